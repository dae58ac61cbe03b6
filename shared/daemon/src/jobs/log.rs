//! One job's log: append-only, densely numbered, read by cursors.
//!
//! Readers hold a number and a `watch`, never a channel: any number of them,
//! at any time, at any speed, and none can hold the job or another reader
//! back. Whatever is in here has been committed by the store before.

use std::sync::{Arc, Mutex};

use protocol::job::{End, JobEvent, JobRecord};
use tokio::sync::watch;

use crate::lock;

/// One event as it travels: encoded once, shared by all readers.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The JSON that stands after `data:`.
    pub(crate) json: Arc<str>,
    /// The message alone, for a person's eyes.
    pub(crate) text: Arc<str>,
}

impl Entry {
    pub(crate) fn new(event: &JobEvent) -> Self {
        // A JobEvent holds nothing that JSON cannot express.
        let json = serde_json::to_string(event).unwrap_or_default();
        Self { json: json.into(), text: event.message.as_str().into() }
    }
}

/// What a reader finds after its cursor.
#[derive(Debug)]
pub(crate) struct Page {
    /// Entries from cursor + 1 on.
    pub(crate) entries: Vec<Entry>,
    /// The end, once every entry has been handed out.
    pub(crate) end: Option<End>,
}

/// A reader takes at most this many entries at a time.
const PAGE_ENTRIES_MAX: usize = 512;

#[derive(Debug)]
struct Inner {
    record: JobRecord,
    entries: Vec<Entry>,
    end: Option<End>,
}

/// The log and the record that sums it up.
#[derive(Debug)]
pub(crate) struct JobLog {
    inner: Mutex<Inner>,
    /// Counts changes; readers wait for it to move.
    changed: watch::Sender<u64>,
}

impl JobLog {
    pub(crate) fn new(record: JobRecord) -> Self {
        Self::restored(record, Vec::new(), None)
    }

    /// A log read back from the store.
    pub(crate) fn restored(record: JobRecord, entries: Vec<Entry>, end: Option<End>) -> Self {
        Self { inner: Mutex::new(Inner { record, entries, end }), changed: watch::Sender::new(0) }
    }

    pub(crate) fn record(&self) -> JobRecord {
        lock(&self.inner).record.clone()
    }

    /// The number of the newest event.
    pub(crate) fn last_event(&self) -> u64 {
        lock(&self.inner).entries.len() as u64
    }

    /// Shows entries that have been committed, with the record they lead to.
    pub(crate) fn append(&self, entries: impl IntoIterator<Item = Entry>, record: JobRecord) {
        {
            let mut inner = lock(&self.inner);
            inner.entries.extend(entries);
            inner.record = record;
        }
        self.changed.send_modify(|n| *n += 1);
    }

    /// Shows the end and the entry before it. Only the first end counts.
    pub(crate) fn end(&self, last: Option<Entry>, end: End, record: JobRecord) {
        {
            let mut inner = lock(&self.inner);
            if inner.end.is_some() {
                return;
            }
            inner.entries.extend(last);
            inner.end = Some(end);
            inner.record = record;
        }
        self.changed.send_modify(|n| *n += 1);
    }

    /// What comes after event number `after`.
    pub(crate) fn page(&self, after: u64) -> Page {
        let inner = lock(&self.inner);
        let from = usize::try_from(after).unwrap_or(usize::MAX).min(inner.entries.len());
        let to = inner.entries.len().min(from + PAGE_ENTRIES_MAX);
        let entries = inner.entries[from..to].to_vec();
        let end = if to == inner.entries.len() { inner.end.clone() } else { None };
        Page { entries, end }
    }

    /// What `pick` finds first, from the newest entry on.
    pub(crate) fn newest<T>(&self, pick: impl FnMut(&Entry) -> Option<T>) -> Option<T> {
        lock(&self.inner).entries.iter().rev().find_map(pick)
    }

    /// Wakes a reader at every change. Level-triggered: a change between
    /// reading a page and waiting is not missed.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
