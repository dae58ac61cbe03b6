//! Following a job to its end, across connections that break.
//!
//! A job's log is numbered without a hole, so a follower needs one number to
//! be exact: what it has delivered. A message at or below it is a repetition,
//! the one after it is next, and anything else means that something was lost,
//! which is said and never passed over.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt, stream, stream::BoxStream};
use protocol::{
    JobId,
    job::{End, EndMarker, JobEvent},
    routes,
};
use reqwest::Method;
use tokio::time::Instant;

use crate::{
    ClientError, Daemon, backoff,
    sse::{Fault, Message, Source},
    transport::{self, Use},
};

/// A callee ends a stream itself when the deadline has passed. Its own last
/// word says more than ours, so it gets this long to arrive.
const DEADLINE_GRACE: Duration = Duration::from_secs(1);

/// A connection that broke after this long was a good one: keep-alives came
/// through. An outage that began before it is over.
const STEADY: Duration = Duration::from_secs(20);

/// What a job's stream yields.
#[derive(Debug, Clone, PartialEq)]
pub enum JobItem {
    /// The next event.
    Event {
        /// Its number: 1, 2, 3, … without a hole.
        number: u64,
        /// The event.
        event: JobEvent,
    },
    /// How it ended; the last item.
    End(EndMarker),
}

/// A job as it goes on; made by [`Daemon::follow`].
///
/// Ends after [`JobItem::End`] or after the first error. Dropping it closes
/// the connection and leaves the job alone.
pub struct JobStream {
    items: BoxStream<'static, Result<JobItem, ClientError>>,
}

impl JobStream {
    /// The next item; `None` after the last.
    pub async fn next_item(&mut self) -> Option<Result<JobItem, ClientError>> {
        self.items.next().await
    }
}

impl fmt::Debug for JobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobStream").finish_non_exhaustive()
    }
}

impl Stream for JobStream {
    type Item = Result<JobItem, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.items.poll_next_unpin(cx)
    }
}

impl Daemon {
    /// Follows a job to its end marker, from the event after number `after`.
    ///
    /// A dropped connection is resumed and never seen; no event is delivered
    /// twice. When the stream stays away for [`Limits::patience`] the last item
    /// is [`ClientError::GaveUp`].
    ///
    /// [`Limits::patience`]: crate::Limits::patience
    pub fn follow(&self, id: &JobId, after: u64) -> JobStream {
        let follower = Follower {
            daemon: self.clone(),
            job: id.clone(),
            last: after,
            source: None,
            outage: None,
            until: stream_deadline(self),
            over: false,
        };
        let items = stream::unfold(follower, |mut follower| async {
            Some((follower.next().await?, follower))
        });
        JobStream { items: items.boxed() }
    }
}

/// When a stream of this daemon must have ended.
pub(crate) fn stream_deadline(daemon: &Daemon) -> Option<(Instant, ClientError)> {
    let deadline = daemon.deadline()?;
    let left = deadline.remaining(std::time::Instant::now());
    Some((Instant::now() + left + DEADLINE_GRACE, ClientError::Deadline(deadline.exceeded())))
}

/// A time without any progress.
struct Outage {
    since: Instant,
    attempts: u32,
}

struct Follower {
    daemon: Daemon,
    job: JobId,
    /// The last number delivered.
    last: u64,
    source: Option<Source>,
    outage: Option<Outage>,
    until: Option<(Instant, ClientError)>,
    over: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Result<JobItem, ClientError>> {
        if self.over {
            return None;
        }
        let item = match self.until.clone() {
            Some((at, error)) => {
                tokio::time::timeout_at(at, self.item()).await.unwrap_or(Err(error))
            }
            None => self.item().await,
        };
        if !matches!(item, Ok(JobItem::Event { .. })) {
            self.over = true;
            // The daemon is not kept waiting until the reader lets go of us.
            self.source = None;
        }
        Some(item)
    }

    async fn item(&mut self) -> Result<JobItem, ClientError> {
        loop {
            match self.message().await.and_then(|message| self.read(&message)) {
                Ok(Some(item)) => return Ok(item),
                Ok(None) => {}
                Err(fault) => self.pause(fault).await?,
            }
        }
    }

    async fn message(&mut self) -> Result<Message, Fault> {
        let source = match &mut self.source {
            Some(source) => source,
            None => {
                let source = self.open().await?;
                self.source.insert(source)
            }
        };
        source.next().await
    }

    async fn open(&mut self) -> Result<Source, Fault> {
        let path = routes::job_stream(&self.job);
        let request = self.daemon.request(Use::Job, Method::GET, &path);
        let mut request = request.map_err(Fault::last)?;
        if self.last > 0 {
            request = request.header(routes::LAST_EVENT_ID_HEADER, self.last);
        }
        Source::open_promptly(&self.daemon, Use::Job, request).await
    }

    /// `None` for a repetition.
    fn read(&mut self, message: &Message) -> Result<Option<JobItem>, Fault> {
        // The parser hands an id on to the messages after it, so an end marker
        // may come with a number that is not its own, or with none.
        let number = self.number(message)?;
        if let Some(number) = number.filter(|number| *number > self.last.saturating_add(1)) {
            let problem = format!("event {number} came right after event {}", self.last);
            return Err(self.unreadable(problem));
        }
        if let Some(end) = End::parse(&message.data) {
            return Ok(Some(JobItem::End(end)));
        }
        let Some(number) = number else {
            return Err(self.unreadable("an event came without a number".to_owned()));
        };
        if number <= self.last {
            return Ok(None);
        }
        let event = serde_json::from_str(&message.data).map_err(|error| {
            self.unreadable(format!("event {number}: {}", transport::excerpt(&error.to_string())))
        })?;
        self.last = number;
        self.outage = None;
        Ok(Some(JobItem::Event { number, event }))
    }

    fn number(&self, message: &Message) -> Result<Option<u64>, Fault> {
        if message.id.is_empty() {
            return Ok(None);
        }
        message.id.parse().map(Some).map_err(|_| {
            self.unreadable(format!("{:?} is not a number", transport::excerpt(&message.id)))
        })
    }

    fn unreadable(&self, problem: String) -> Fault {
        Fault::last(ClientError::Undecodable {
            peer: self.daemon.peer().clone(),
            what: format!("a stream of job {}", self.job),
            problem,
        })
    }

    /// Waits until it is time to try again, or says that it is not worth it.
    async fn pause(&mut self, fault: Fault) -> Result<(), ClientError> {
        let source = self.source.take();
        let Some(asked) = fault.again else { return Err(fault.error) };
        let now = Instant::now();
        // A job may be silent for minutes, so it is not the silence before a
        // fault that counts but the time since; a connection that was good for
        // a while starts that anew, unless it was its own silence that broke it.
        let was_good = source.is_some_and(|it| it.age() >= STEADY && !fault.error.is_timeout());
        if was_good {
            self.outage = None;
        }
        let outage = self.outage.get_or_insert(Outage { since: now, attempts: 0 });
        let limits = self.daemon.limits();
        let jitter = backoff::jitter();
        let wait = backoff::wait(backoff::JOB, outage.attempts, asked, jitter, limits.backoff_max);
        outage.attempts = outage.attempts.saturating_add(1);
        let waited = now - outage.since;
        let Some(wait) = backoff::within(limits.patience, waited, wait) else {
            return Err(ClientError::GaveUp {
                job: self.job.clone(),
                last_event: self.last,
                waited,
                cause: Box::new(fault.error),
            });
        };
        tracing::debug!(job = %self.job, last = self.last, error = %fault.error, ?wait, "resuming");
        backoff::pause(wait).await;
        Ok(())
    }
}
