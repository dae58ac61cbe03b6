//! One connection that carries a stream of events, read with
//! `reqwest-eventsource` and kept from doing what it does by itself.
//!
//! On its own, the library reconnects after every end of a stream, so a job
//! that is over would be replayed for ever; it never counts its retries; and
//! any answer but 200 closes it for good, which a restarting daemon's 503 must
//! not do. So it gets [`retry::Never`], reads exactly one connection, and what
//! follows a fault is decided by the owner of the [`Source`].
//!
//! **Silence.** The library has no idle timeout, and its parser swallows
//! comments: a keep-alive never comes up here. The only layer that sees it is
//! the body itself, so the timeout is reqwest's `read_timeout`, which is reset
//! by every chunk of bytes and also covers the wait for the headers. Since it
//! cannot be set per request there is one client per length of silence. It is
//! looked at before the bytes are, so a reader that stops polling for that
//! long is taken for a silent daemon; resuming costs it one reconnect.
//!
//! **Closing.** `EventSource::close` only stops it from yielding and keeps the
//! connection open; dropping it is what closes. A `Source` is therefore
//! dropped as soon as an end marker was read.
//!
//! **What it cannot do.** The parser's line buffer has no limit and cannot be
//! given one from outside. It is fed by our own daemons only, which bound
//! every event they send.

use std::time::Duration;

use futures::StreamExt;
use protocol::ErrorCode;
use reqwest::RequestBuilder;
use reqwest_eventsource::{Error, Event, EventSource, retry};
use tokio::time::Instant;

use crate::{
    ClientError, Daemon, Silence,
    transport::{self, Use},
};

/// What broke a stream and whether trying again makes sense.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) error: ClientError,
    /// `None` when the same request would fail the same way; otherwise how
    /// long the daemon asks us to stay away.
    pub(crate) again: Option<Duration>,
}

impl Fault {
    /// A fault that is final.
    pub(crate) fn last(error: ClientError) -> Self {
        Self { error, again: None }
    }

    /// A fault that may pass.
    pub(crate) fn passing(error: ClientError) -> Self {
        Self { error, again: Some(Duration::ZERO) }
    }
}

/// One message as it came. The library's own type has no public name.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) name: String,
    /// The last id that was sent, not necessarily with this message.
    pub(crate) id: String,
    pub(crate) data: String,
}

/// One open stream of events.
pub(crate) struct Source {
    events: EventSource,
    origin: Origin,
    opened: Instant,
}

impl Source {
    /// Sends the request and waits until the stream has begun.
    pub(crate) async fn open(
        daemon: &Daemon,
        purpose: Use,
        request: RequestBuilder,
    ) -> Result<Self, Fault> {
        let origin = Origin { daemon: daemon.clone(), purpose };
        let mut events = EventSource::new(request).map_err(|error| {
            let reason = error.to_string();
            Fault::last(ClientError::Setup { peer: daemon.peer().clone(), reason })
        })?;
        events.set_retry_policy(Box::new(retry::Never));
        match events.next().await {
            Some(Ok(Event::Open)) => Ok(Self { events, origin, opened: Instant::now() }),
            Some(Err(error)) => Err(origin.fault(error).await),
            Some(Ok(Event::Message(_))) | None => Err(origin.broken("there were no headers")),
        }
    }

    /// [`Self::open`], given up after [`Limits::call`](crate::Limits::call):
    /// for streams whose headers come at once.
    pub(crate) async fn open_promptly(
        daemon: &Daemon,
        purpose: Use,
        request: RequestBuilder,
    ) -> Result<Self, Fault> {
        let limit = daemon.limits().call;
        match tokio::time::timeout(limit, Self::open(daemon, purpose, request)).await {
            Ok(opened) => opened,
            Err(_) => Err(Fault::passing(ClientError::TimedOut {
                peer: daemon.peer().clone(),
                silence: Silence::Answer,
                after: limit,
            })),
        }
    }

    /// The next message; the end of the connection is a fault.
    pub(crate) async fn next(&mut self) -> Result<Message, Fault> {
        loop {
            match self.events.next().await {
                Some(Ok(Event::Message(it))) => {
                    return Ok(Message { name: it.event, id: it.id, data: it.data });
                }
                Some(Ok(Event::Open)) => {}
                Some(Err(error)) => return Err(self.origin.fault(error).await),
                None => return Err(self.origin.broken(NO_END)),
            }
        }
    }

    /// How long it has been open.
    pub(crate) fn age(&self) -> Duration {
        self.opened.elapsed()
    }
}

const NO_END: &str = "the stream closed without an end marker";

/// Where a stream comes from, for saying what its faults mean. It stands
/// apart because an [`EventSource`] cannot be shared across an await.
struct Origin {
    daemon: Daemon,
    purpose: Use,
}

impl Origin {
    async fn fault(&self, error: Error) -> Fault {
        match error {
            Error::StreamEnded => self.broken(NO_END),
            Error::Transport(error) => {
                let limits = self.daemon.limits();
                let after = self.purpose.silence(limits).unwrap_or(limits.call);
                let peer = self.daemon.peer().clone();
                let error = transport::fault(peer, &error, limits.connect, Silence::Stream, after);
                match error {
                    ClientError::Setup { .. } => Fault::last(error),
                    _ => Fault::passing(error),
                }
            }
            Error::InvalidStatusCode(status, response) => {
                let asked = transport::retry_after(&response);
                let error = transport::refusal(self.daemon.peer(), response).await;
                // A deadline that has passed stays passed, whatever the status.
                let over = error.api().is_some_and(|it| it.code == ErrorCode::DeadlineExceeded);
                let again = (transport::is_passing(status) && !over).then_some(asked);
                Fault { error, again }
            }
            Error::InvalidContentType(_, response) => {
                Fault::last(transport::foreign(self.daemon.peer(), response).await)
            }
            Error::Utf8(_) | Error::Parser(_) => self.broken("the stream is garbled"),
            Error::InvalidLastEventId(_) => self.broken("the stream has no usable position"),
        }
    }

    fn broken(&self, reason: &str) -> Fault {
        Fault::passing(ClientError::Broken {
            peer: self.daemon.peer().clone(),
            reason: reason.to_owned(),
        })
    }
}
