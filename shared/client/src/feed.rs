//! The fleet's feed, read for as long as anybody wants it.
//!
//! Losing the connection is part of what a reader shows, so it is an item and
//! not an end. Nothing ends a feed from this side but dropping it.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt, stream, stream::BoxStream};
use protocol::{JobId, fleet::FeedEvent, job::Level, routes};
use reqwest::Method;
use tokio::sync::watch;

use crate::{
    ClientError, Daemon, backoff,
    sse::{Fault, Message, Source},
    transport::{self, Use},
};

/// A connection that lived this long was a good one, so the next failure is a
/// first one again. A daemon that dies with each snapshot it sends is not
/// asked for one twice a second.
const STEADY: Duration = Duration::from_secs(5);

/// A position is `<epoch>-<seq>`; longer ones are not ours.
const CURSOR_MAX: usize = 128;

/// Which tokens a feed carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TokenFilter {
    /// None at all.
    #[default]
    None,
    /// Those of every job.
    All,
    /// Those of these jobs.
    Jobs(Vec<JobId>),
}

/// What a feed carries besides the records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FeedOptions {
    /// Generated text.
    pub tokens: TokenFilter,
    /// Narration from this level up; absent means none.
    pub narration: Option<Level>,
}

impl FeedOptions {
    fn query(&self) -> [(&'static str, String); 2] {
        let tokens = match &self.tokens {
            TokenFilter::All => "all".to_owned(),
            TokenFilter::Jobs(jobs) if !jobs.is_empty() => {
                jobs.iter().map(JobId::as_str).collect::<Vec<_>>().join(",")
            }
            TokenFilter::None | TokenFilter::Jobs(_) => "none".to_owned(),
        };
        let narration = match self.narration {
            None => "none",
            Some(Level::Debug) => "debug",
            Some(Level::Info | Level::Warn | Level::Error) => "info",
        };
        [("tokens", tokens), ("narration", narration.to_owned())]
    }
}

/// What a feed yields.
#[derive(Debug, Clone, PartialEq)]
pub enum FeedItem {
    /// The connection stands; a snapshot or what was missed follows.
    Connected,
    /// A message.
    Event(FeedEvent),
    /// The connection is gone or did not come about.
    Disconnected {
        /// Why.
        error: ClientError,
        /// How many times in a row now, from 1.
        attempt: u32,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// A message that this build cannot read. It is passed over, so what it
    /// told is missing until the record changes again.
    Undecodable {
        /// The message's name.
        name: String,
        /// What is wrong with it.
        error: String,
    },
}

/// Wakes a feed that waits to reconnect.
#[derive(Debug, Clone)]
pub struct FeedHandle {
    wake: Arc<watch::Sender<()>>,
}

impl FeedHandle {
    /// Ends the wait that the last [`FeedItem::Disconnected`] announced. Does
    /// nothing while the feed is connected.
    pub fn retry_now(&self) {
        self.wake.send_replace(());
    }
}

/// The fleet's feed; made by [`Daemon::feed`]. It never ends; dropping it
/// closes the connection.
pub struct FeedStream {
    items: BoxStream<'static, FeedItem>,
    handle: FeedHandle,
}

impl FeedStream {
    /// The next item; it is never `None`.
    pub async fn next_item(&mut self) -> Option<FeedItem> {
        self.items.next().await
    }

    /// What wakes it from outside.
    pub fn handle(&self) -> FeedHandle {
        self.handle.clone()
    }
}

impl Stream for FeedStream {
    type Item = FeedItem;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.items.poll_next_unpin(cx)
    }
}

impl fmt::Debug for FeedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeedStream").finish_non_exhaustive()
    }
}

impl Daemon {
    /// The feed, for ever: it reconnects by itself and says so.
    pub fn feed(&self, options: FeedOptions) -> FeedStream {
        let (wake, woken) = watch::channel(());
        let reader = Reader {
            daemon: self.with_deadline(None),
            query: options.query(),
            cursor: None,
            source: None,
            failures: 0,
            wait: Duration::ZERO,
            woken,
        };
        let items =
            stream::unfold(reader, |mut reader| async { Some((reader.next().await, reader)) });
        FeedStream { items: items.boxed(), handle: FeedHandle { wake: Arc::new(wake) } }
    }
}

struct Reader {
    daemon: Daemon,
    query: [(&'static str, String); 2],
    /// The position of the last message.
    cursor: Option<String>,
    source: Option<Source>,
    failures: u32,
    /// What is to be waited before the next attempt.
    wait: Duration,
    woken: watch::Receiver<()>,
}

impl Reader {
    async fn next(&mut self) -> FeedItem {
        loop {
            let Some(source) = &mut self.source else {
                self.pause().await;
                return match self.open().await {
                    Ok(source) => {
                        self.source = Some(source);
                        FeedItem::Connected
                    }
                    Err(fault) => self.disconnected(fault),
                };
            };
            match source.next().await {
                Ok(message) => {
                    if let Some(item) = self.read(&message) {
                        return item;
                    }
                }
                Err(fault) => return self.disconnected(fault),
            }
        }
    }

    async fn pause(&mut self) {
        let wait = std::mem::take(&mut self.wait);
        tokio::select! {
            () = backoff::pause(wait) => {}
            // The sender lives in the stream that polls us.
            _ = self.woken.changed() => {}
        }
    }

    async fn open(&mut self) -> Result<Source, Fault> {
        let request = self.daemon.request(Use::Feed, Method::GET, routes::EVENTS);
        let mut request = request.map_err(Fault::last)?.query(&self.query);
        if let Some(cursor) = &self.cursor {
            request = request.header(routes::LAST_EVENT_ID_HEADER, cursor);
        }
        Source::open_promptly(&self.daemon, Use::Feed, request).await
    }

    /// `None` for a message from a newer version.
    fn read(&mut self, message: &Message) -> Option<FeedItem> {
        // What cannot stand in a header would make every later request fail.
        let usable = message.id.len() <= CURSOR_MAX
            && !message.id.is_empty()
            && message.id.bytes().all(|byte| byte.is_ascii_graphic());
        self.cursor = usable.then(|| message.id.clone());
        match FeedEvent::parse(&message.name, &message.data) {
            Ok(event) => event.map(FeedItem::Event),
            Err(error) => Some(FeedItem::Undecodable {
                name: transport::excerpt(&message.name),
                error: transport::excerpt(&error.to_string()),
            }),
        }
    }

    fn disconnected(&mut self, fault: Fault) -> FeedItem {
        if self.source.take().is_some_and(|source| source.age() >= STEADY) {
            self.failures = 0;
        }
        // A refusal may be a refusal of the position; without one, a fresh
        // snapshot comes.
        if fault.again.is_none() {
            self.cursor = None;
        }
        let asked = fault.again.unwrap_or_default();
        let most = self.daemon.limits().backoff_max;
        self.wait = backoff::wait(backoff::FEED, self.failures, asked, backoff::jitter(), most);
        self.failures = self.failures.saturating_add(1);
        // A wake-up from before this was meant for an earlier wait.
        self.woken.mark_unchanged();
        FeedItem::Disconnected { error: fault.error, attempt: self.failures, retry_in: self.wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_written_as_the_documented_query() {
        let query = |tokens, narration| {
            FeedOptions { tokens, narration }.query().map(|(_, value)| value).join("&")
        };
        let jobs = || ["job-a", "job-b"].iter().map(|id| id.parse().unwrap()).collect();
        assert_eq!(query(TokenFilter::None, None), "none&none");
        assert_eq!(query(TokenFilter::All, Some(Level::Debug)), "all&debug");
        assert_eq!(query(TokenFilter::Jobs(jobs()), Some(Level::Warn)), "job-a,job-b&info");
        assert_eq!(query(TokenFilter::Jobs(Vec::new()), Some(Level::Info)), "none&info");
    }
}
