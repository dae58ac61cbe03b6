//! Lines that keep coming: a ring with a limit.
//!
//! A line is known by its number, never by its row. What a full ring drops is
//! counted and shown.

use std::{cell::Cell, collections::VecDeque};

use protocol::{HiveId, JobId, Timestamp, job::Level};

use super::wrap::wrap;

/// How much a ring holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Lines.
    pub(crate) lines: usize,
    /// Bytes of text.
    pub(crate) bytes: usize,
}

/// A line that is longer goes on in a new one: it is wrapped again at every
/// token, and that must stay cheap.
const LINE_MAX: usize = 4096;

/// What is known about a line; of generated text nothing is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    /// When, on the clock of who said it.
    pub(crate) at: Option<Timestamp>,
    /// Who says so.
    pub(crate) actor: String,
    /// How much it matters.
    pub(crate) level: Level,
    /// The job.
    pub(crate) job: Option<JobId>,
    /// The machine it concerns, when that is known.
    pub(crate) hive: Option<HiveId>,
    /// A progress line takes the place of the one before it.
    pub(crate) is_progress: bool,
}

impl Said {
    /// The word for how much it matters.
    pub(crate) fn level(&self) -> &'static str {
        match self.level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }

    /// Whether it takes the place of the older one.
    pub(crate) fn is_newer_progress_of(&self, older: &Self) -> bool {
        self.is_progress && older.is_progress && self.job == older.job
    }
}

/// One line and what is known about it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The text, already safe to show.
    pub(crate) text: String,
    /// What is known about it.
    pub(crate) said: Said,
    /// For which width and length the rows were counted, and the count.
    rows: Cell<(u16, usize, usize)>,
}

impl Entry {
    fn new(text: String, said: Said) -> Self {
        Self { text, said, rows: Cell::new((0, 0, 0)) }
    }

    /// How many rows it takes at this width. Counted once per width and length.
    pub(crate) fn rows(&self, width: u16) -> usize {
        let (counted_width, counted_length, rows) = self.rows.get();
        if rows > 0 && counted_width == width && counted_length == self.text.len() {
            return rows;
        }
        let rows = wrap(&self.text, width).len();
        self.rows.set((width, self.text.len(), rows));
        rows
    }
}

/// The ring.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    entries: VecDeque<Entry>,
    bytes: usize,
    dropped: u64,
    limits: Limits,
}

impl Log {
    /// An empty one.
    pub(crate) fn new(limits: Limits) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, dropped: 0, limits }
    }

    /// Adds a line.
    pub(crate) fn push(&mut self, text: String, said: Said) {
        self.bytes += text.len();
        self.entries.push_back(Entry::new(text, said));
        self.trim();
    }

    /// Adds a line, or puts it in the place of the newest when it is newer
    /// progress of the same.
    pub(crate) fn say(&mut self, text: String, said: Said) {
        match self.entries.back() {
            Some(last) if said.is_newer_progress_of(&last.said) => self.replace_last(text, said),
            _ => self.push(text, said),
        }
    }

    /// Puts a line in the place of the newest.
    pub(crate) fn replace_last(&mut self, text: String, said: Said) {
        if let Some(last) = self.entries.back_mut() {
            self.bytes = self.bytes - last.text.len() + text.len();
            *last = Entry::new(text, said);
        }
    }

    /// Drops the oldest lines until the rest is within the limits.
    fn trim(&mut self) {
        while self.entries.len() > self.limits.lines
            || (self.bytes > self.limits.bytes && self.entries.len() > 1)
        {
            if let Some(gone) = self.entries.pop_front() {
                self.bytes -= gone.text.len();
                self.dropped += 1;
            }
        }
    }

    /// How many lines were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How many bytes of text it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing was ever said.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The lines with their numbers, oldest first.
    pub(crate) fn numbered(
        &self,
    ) -> impl DoubleEndedIterator<Item = (u64, &Entry)> + ExactSizeIterator {
        let first = self.dropped;
        self.entries.iter().enumerate().map(move |(index, entry)| (first + index as u64, entry))
    }

    /// The lines up to this number, newest first.
    pub(crate) fn back_from(&self, number: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let kept = number.saturating_add(1).saturating_sub(self.dropped);
        let kept = usize::try_from(kept).unwrap_or(usize::MAX).min(self.entries.len());
        let first = self.dropped;
        self.entries
            .iter()
            .enumerate()
            .take(kept)
            .rev()
            .map(move |(index, entry)| (first + index as u64, entry))
    }

    /// The newest line.
    pub(crate) fn last(&self) -> Option<&Entry> {
        self.entries.back()
    }

    /// The lines from this number on, oldest first.
    pub(crate) fn from(&self, number: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let skip = usize::try_from(number.saturating_sub(self.dropped)).unwrap_or(usize::MAX);
        self.numbered().skip(skip)
    }

    /// The number of the newest line.
    pub(crate) fn last_number(&self) -> u64 {
        (self.dropped + self.entries.len() as u64).saturating_sub(1)
    }
}

impl Log {
    /// Continues the newest line; each line feed begins another.
    pub(crate) fn append(&mut self, text: &str) {
        let mut parts = text.split('\n');
        if let Some(first) = parts.next() {
            self.extend_last(first);
        }
        for part in parts {
            self.push(String::new(), Said::default());
            self.extend_last(part);
        }
        self.trim();
    }

    fn extend_last(&mut self, text: &str) {
        if self.entries.back().is_none_or(|last| last.text.len() + text.len() > LINE_MAX) {
            self.push(String::new(), Said::default());
        }
        if let Some(last) = self.entries.back_mut() {
            last.text.push_str(text);
            self.bytes += text.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Limits = Limits { lines: 5, bytes: 100 };

    fn texts(log: &Log) -> Vec<&str> {
        log.numbered().map(|(_, entry)| entry.text.as_str()).collect()
    }

    #[test]
    fn a_full_ring_drops_the_oldest_and_counts_them() {
        let mut log = Log::new(SMALL);
        for n in 0..8 {
            log.push(format!("line {n}"), Said::default());
        }
        assert_eq!(log.dropped(), 3);
        assert_eq!(texts(&log), ["line 3", "line 4", "line 5", "line 6", "line 7"]);
        log.push("x".repeat(90), Said::default());
        assert_eq!(log.numbered().count(), 2, "the limit of bytes holds as well");
    }

    #[test]
    fn tokens_become_lines_at_their_line_feeds() {
        let mut log = Log::new(SMALL);
        for token in ["On", "ce\n", "upon", " a\n\ntime"] {
            log.append(token);
        }
        assert_eq!(texts(&log), ["Once", "upon a", "", "time"]);
    }
}
