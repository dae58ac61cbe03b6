//! A reader's place in the feed: what comes next, whoever it is for.

use std::{collections::VecDeque, sync::Arc};

use protocol::fleet::{FeedEvent, Snapshot};
use tokio::sync::watch;

use super::{Feed, Message};
use crate::{lock, metrics::FEED_LAGGED};

/// Messages taken from the window at a time.
const BATCH_MAX: usize = 256;

/// See the module.
#[derive(Debug)]
pub(super) struct Cursor {
    feed: Feed,
    changed: watch::Receiver<u64>,
    /// The number of the last message this reader has; `None` needs a
    /// snapshot.
    position: Option<u64>,
}

/// What a cursor finds, without waiting.
pub(super) enum Found {
    /// Nothing new.
    Nothing,
    /// The window has moved past this reader; a snapshot comes next.
    Lagged { at: u64 },
    /// The whole state.
    Snapshot { at: u64, snapshot: Box<Snapshot> },
    /// Messages from number `first` on.
    Messages { first: u64, messages: Vec<Arc<Message>> },
}

impl Cursor {
    pub(super) fn new(feed: Feed, position: Option<u64>) -> Self {
        Self { changed: feed.subscribe(), feed, position }
    }

    pub(super) fn epoch(&self) -> &str {
        self.feed.epoch()
    }

    /// What comes next, and moves past it.
    pub(super) fn look(&mut self) -> Found {
        // Marked before reading, so that a message in between wakes us.
        self.changed.borrow_and_update();
        let inner = lock(&self.feed.inner);
        let Some(after) = self.position else {
            self.position = Some(inner.newest);
            return Found::Snapshot { at: inner.newest, snapshot: Box::new(inner.snapshot()) };
        };
        let first = after + 1;
        if first < inner.oldest() {
            self.position = None;
            self.feed.metrics.count(&FEED_LAGGED, &[]);
            return Found::Lagged { at: after };
        }
        let skip = usize::try_from(first - inner.oldest()).unwrap_or(usize::MAX);
        let messages: Vec<_> = inner.window.iter().skip(skip).take(BATCH_MAX).cloned().collect();
        if messages.is_empty() {
            return Found::Nothing;
        }
        self.position = Some(after + messages.len() as u64);
        Found::Messages { first, messages }
    }

    /// Resolves when there may be something new.
    pub(super) async fn moved(&mut self) {
        // The sender lives as long as the feed, which this holds.
        if self.changed.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// A reader in the same process: the snapshot first, then every message.
#[derive(Debug)]
pub struct Follower {
    cursor: Cursor,
    ready: VecDeque<FeedEvent>,
}

impl Follower {
    /// The next message. Dropping the future loses nothing.
    pub async fn next(&mut self) -> FeedEvent {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return event;
            }
            match self.cursor.look() {
                Found::Nothing => self.cursor.moved().await,
                Found::Lagged { .. } => return FeedEvent::Lagged,
                Found::Snapshot { snapshot, .. } => return FeedEvent::Snapshot(snapshot),
                Found::Messages { messages, .. } => {
                    self.ready.extend(messages.iter().map(|message| message.event.clone()));
                }
            }
        }
    }
}

impl Feed {
    /// A reader in the same process, from the snapshot on.
    pub fn follow(&self) -> Follower {
        Follower { cursor: Cursor::new(self.clone(), None), ready: VecDeque::new() }
    }

    /// The number in a `Last-Event-ID` of this life, if the window still
    /// reaches back to it.
    pub(super) fn position(&self, id: &str) -> Option<u64> {
        let (epoch, number) = id.trim().rsplit_once('-')?;
        let number = number.parse().ok().filter(|_| epoch == &*self.epoch)?;
        let inner = lock(&self.inner);
        (inner.oldest() <= number + 1 && number <= inner.newest).then_some(number)
    }
}
