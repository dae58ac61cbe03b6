//! What happened to one request, in order, for as long as anyone may ask.
//!
//! A log is append-only: tokens with dense indices, the statistics, then
//! exactly one end. Readers are cursors over it, a number each, and a `watch`
//! that wakes them: any number of them, at any time, at any speed, and none of
//! them slows the engine down.
//!
//! Ending is a compare-and-set. Whoever ends a log first decides how it ended;
//! nothing can be appended after that. So a cancelled request is over for its
//! readers at once, even while the engine is still in a step.
//!
//! It cannot grow without limit: a request has at most as many tokens as the
//! context holds.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use protocol::{ApiError, RequestId, inference::InferenceEvent};
use tokio::sync::watch;

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The answer is complete.
    Done,
    /// It broke off.
    Error(ApiError),
    /// Somebody cancelled it.
    Cancelled,
}

/// What a cursor finds.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// An event.
    Event(InferenceEvent),
    /// The end; nothing follows.
    End(End),
}

/// The log of one request.
#[derive(Debug)]
pub struct RequestLog {
    id: RequestId,
    state: Mutex<State>,
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<InferenceEvent>,
    end: Option<(End, Instant)>,
}

impl RequestLog {
    pub(super) fn new(id: RequestId) -> Arc<Self> {
        Arc::new(Self { id, state: Mutex::default(), changes: watch::Sender::new(()) })
    }

    /// Whose log this is.
    pub fn id(&self) -> &RequestId {
        &self.id
    }

    /// How many events there are so far.
    pub fn len(&self) -> usize {
        self.state().events.len()
    }

    /// Whether nothing has happened yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Option<End> {
        self.state().end.as_ref().map(|(end, _)| end.clone())
    }

    /// A reader that begins at event number `position`; one beyond the newest
    /// event waits until the log gets there.
    pub fn cursor(self: &Arc<Self>, position: usize) -> Cursor {
        Cursor { log: Arc::clone(self), position, ended: false, changes: self.changes.subscribe() }
    }

    pub(super) fn ended_at(&self) -> Option<Instant> {
        self.state().end.as_ref().map(|(_, at)| *at)
    }

    /// Appends an event, unless the log has ended.
    pub(super) fn push(&self, event: InferenceEvent) {
        let mut state = self.state();
        if state.end.is_none() {
            state.events.push(event);
            drop(state);
            self.changes.send_replace(());
        }
    }

    /// Ends the log, if nobody has; returns whether this was the end.
    pub(super) fn finish(&self, end: End, now: Instant) -> bool {
        let mut state = self.state();
        if state.end.is_some() {
            return false;
        }
        state.end = Some((end, now));
        drop(state);
        self.changes.send_replace(());
        true
    }

    fn entry(&self, position: usize) -> Option<Entry> {
        let state = self.state();
        match state.events.get(position) {
            Some(event) => Some(Entry::Event(event.clone())),
            None => state.end.as_ref().map(|(end, _)| Entry::End(end.clone())),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reader of a log.
#[derive(Debug)]
pub struct Cursor {
    pub(super) log: Arc<RequestLog>,
    position: usize,
    ended: bool,
    changes: watch::Receiver<()>,
}

impl Cursor {
    /// The number of the next event.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The next entry, as soon as there is one; `None` after the end. Dropping
    /// the future loses nothing.
    pub async fn next(&mut self) -> Option<Entry> {
        if self.ended {
            return None;
        }
        loop {
            // Before looking, so that a change in between is not missed.
            self.changes.borrow_and_update();
            match self.log.entry(self.position) {
                Some(entry @ Entry::Event(_)) => {
                    self.position += 1;
                    return Some(entry);
                }
                Some(end) => {
                    self.ended = true;
                    return Some(end);
                }
                // The log holds the sender, so it is there to wait for.
                None => self.changes.changed().await.ok()?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(index: u32) -> InferenceEvent {
        InferenceEvent::Token { message: format!("t{index}"), id: 1, index }
    }

    fn log() -> Arc<RequestLog> {
        RequestLog::new(RequestId::generate())
    }

    async fn rest(mut cursor: Cursor) -> Vec<Entry> {
        let mut entries = Vec::new();
        while let Some(entry) = cursor.next().await {
            entries.push(entry);
        }
        entries
    }

    #[tokio::test]
    async fn readers_see_the_same_whenever_they_come_and_wherever_they_begin() {
        let log = log();
        let early = tokio::spawn(rest(log.cursor(0)));
        (0..3).for_each(|index| log.push(token(index)));
        let middle = tokio::spawn(rest(log.cursor(2)));
        assert!(log.finish(End::Done, Instant::now()));
        let whole = [0, 1, 2].map(|index| Entry::Event(token(index)));
        let whole: Vec<Entry> = whole.into_iter().chain([Entry::End(End::Done)]).collect();
        assert_eq!(early.await.unwrap(), whole);
        assert_eq!(middle.await.unwrap(), whole[2..]);
        assert_eq!(rest(log.cursor(0)).await, whole);
    }

    #[tokio::test]
    async fn there_is_one_end_and_nothing_after_it() {
        let log = log();
        assert!(log.finish(End::Cancelled, Instant::now()));
        assert!(!log.finish(End::Done, Instant::now()));
        log.push(token(0));
        assert_eq!(rest(log.cursor(0)).await, [Entry::End(End::Cancelled)]);
        assert_eq!(log.end(), Some(End::Cancelled));
        assert!(log.is_empty());
    }
}
