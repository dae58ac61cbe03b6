//! Lines that keep coming: a ring with a limit, and a place in it.
//!
//! A line is known by its number, never by its row, so that new lines and
//! another width of the window never move what is being read. What a full ring
//! drops is counted and shown.

use std::{cell::Cell, collections::VecDeque};

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

/// One line and what is known about it.
#[derive(Debug, Clone)]
pub(crate) struct Entry<T> {
    /// The text, already safe to show.
    pub(crate) text: String,
    /// What is known about it.
    pub(crate) meta: T,
    /// For which width and length the rows were counted, and the count.
    rows: Cell<(u16, usize, usize)>,
}

impl<T> Entry<T> {
    fn new(text: String, meta: T) -> Self {
        Self { text, meta, rows: Cell::new((0, 0, 0)) }
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
pub(crate) struct Log<T> {
    entries: VecDeque<Entry<T>>,
    bytes: usize,
    dropped: u64,
    limits: Limits,
}

impl<T> Log<T> {
    /// An empty one.
    pub(crate) fn new(limits: Limits) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, dropped: 0, limits }
    }

    /// Adds a line.
    pub(crate) fn push(&mut self, text: String, meta: T) {
        self.bytes += text.len();
        self.entries.push_back(Entry::new(text, meta));
        self.trim();
    }

    /// Puts a line in the place of the newest, when `same` says that it is the
    /// newer version of it.
    pub(crate) fn push_or_replace(&mut self, text: String, meta: T, same: impl Fn(&T) -> bool) {
        match self.entries.back_mut() {
            Some(last) if same(&last.meta) => {
                self.bytes = self.bytes - last.text.len() + text.len();
                *last = Entry::new(text, meta);
            }
            _ => self.push(text, meta),
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
    ) -> impl DoubleEndedIterator<Item = (u64, &Entry<T>)> + ExactSizeIterator {
        let first = self.dropped;
        self.entries.iter().enumerate().map(move |(index, entry)| (first + index as u64, entry))
    }

    /// The lines up to this number, newest first.
    pub(crate) fn back_from(&self, number: u64) -> impl Iterator<Item = (u64, &Entry<T>)> {
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
    pub(crate) fn last(&self) -> Option<&Entry<T>> {
        self.entries.back()
    }

    /// The number of the newest line.
    fn last_number(&self) -> u64 {
        (self.dropped + self.entries.len() as u64).saturating_sub(1)
    }
}

impl<T: Default> Log<T> {
    /// Continues the newest line; each line feed begins another.
    pub(crate) fn append(&mut self, text: &str) {
        let mut parts = text.split('\n');
        if let Some(first) = parts.next() {
            self.extend_last(first);
        }
        for part in parts {
            self.push(String::new(), T::default());
            self.extend_last(part);
        }
        self.trim();
    }

    fn extend_last(&mut self, text: &str) {
        if self.entries.back().is_none_or(|last| last.text.len() + text.len() > LINE_MAX) {
            self.push(String::new(), T::default());
        }
        if let Some(last) = self.entries.back_mut() {
            last.text.push_str(text);
            self.bytes += text.len();
        }
    }
}

/// Where one is in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Place {
    /// At the newest line, wherever that is.
    #[default]
    Follow,
    /// At a line: its last row, or that many rows above it, is the lowest shown.
    Held {
        /// The number of the line.
        number: u64,
        /// Rows of it that are below the window.
        below: usize,
    },
}

/// A window on a log: where it stands, and how large it was when it was last
/// drawn, which is what the next key needs to know.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogWindow {
    /// Where it stands.
    pub(crate) place: Place,
    /// Columns for the text.
    pub(crate) width: Cell<u16>,
    /// Rows.
    pub(crate) height: Cell<u16>,
}

impl LogWindow {
    /// Moves by rows, up when negative. Moving up leaves the newest line,
    /// reaching it follows it again. Only lines that `shown` accepts count.
    pub(crate) fn scroll<T>(&mut self, log: &Log<T>, by: i64, shown: impl Fn(&T) -> bool) {
        let rows = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
        if by < 0 {
            self.up(log, rows, &shown);
            self.fill(log, &shown);
        } else {
            self.down(log, rows, &shown);
        }
    }

    fn up<T>(&mut self, log: &Log<T>, rows: usize, shown: &impl Fn(&T) -> bool) {
        let width = self.width.get().max(1);
        let (number, below) = match self.place {
            Place::Follow => (log.last_number(), 0),
            Place::Held { number, below } => (number, below),
        };
        let mut left = rows.saturating_add(below);
        for (number, entry) in log.back_from(number).filter(|(_, it)| shown(&it.meta)) {
            let rows = entry.rows(width);
            self.place = Place::Held { number, below: left.min(rows - 1) };
            if left < rows {
                return;
            }
            left -= rows;
        }
    }

    fn down<T>(&mut self, log: &Log<T>, rows: usize, shown: &impl Fn(&T) -> bool) {
        let width = self.width.get().max(1);
        let Place::Held { number, below } = self.place else { return };
        if rows <= below && number >= log.dropped() {
            self.place = Place::Held { number, below: below - rows };
            return;
        }
        let mut left = rows.saturating_sub(below);
        let skip = (number + 1).saturating_sub(log.dropped());
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        for (number, entry) in log.numbered().skip(skip).filter(|(_, it)| shown(&it.meta)) {
            let rows = entry.rows(width);
            if left <= rows {
                self.place = Place::Held { number, below: rows - left };
                return;
            }
            left -= rows;
        }
        self.place = Place::Follow;
    }

    /// At the top, the lowest row shown is as far down as the window is high.
    fn fill<T>(&mut self, log: &Log<T>, shown: &impl Fn(&T) -> bool) {
        let Place::Held { number, below } = self.place else { return };
        let (width, height) = (self.width.get().max(1), usize::from(self.height.get().max(1)));
        let above = log.back_from(number).filter(|(_, it)| shown(&it.meta));
        let mut rows = 0;
        for (_, entry) in above {
            rows += entry.rows(width);
            if rows >= height + below {
                return;
            }
        }
        self.down(log, height + below - rows, shown);
    }

    /// To the newest line, and on with it.
    pub(crate) fn follow(&mut self) {
        self.place = Place::Follow;
    }

    /// How many rows a page has.
    pub(crate) fn page(&self) -> i64 {
        i64::from(self.height.get().max(2)) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Limits = Limits { lines: 5, bytes: 100 };

    fn texts(log: &Log<()>) -> Vec<&str> {
        log.numbered().map(|(_, entry)| entry.text.as_str()).collect()
    }

    #[test]
    fn a_full_ring_drops_the_oldest_and_counts_them() {
        let mut log = Log::new(SMALL);
        for n in 0..8 {
            log.push(format!("line {n}"), ());
        }
        assert_eq!(log.dropped(), 3);
        assert_eq!(texts(&log), ["line 3", "line 4", "line 5", "line 6", "line 7"]);
        log.push("x".repeat(90), ());
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

    #[test]
    fn new_lines_never_move_what_is_being_read() {
        let mut log = Log::new(Limits { lines: 100, bytes: 10_000 });
        (0..20).for_each(|n| log.push(format!("line {n}"), ()));
        let mut window = LogWindow::default();
        window.width.set(40);
        window.scroll(&log, -3, |()| true);
        assert_eq!(window.place, Place::Held { number: 16, below: 0 });
        (20..30).for_each(|n| log.push(format!("line {n}"), ()));
        assert_eq!(window.place, Place::Held { number: 16, below: 0 });
        window.scroll(&log, 2, |()| true);
        assert_eq!(window.place, Place::Held { number: 18, below: 0 });
        window.scroll(&log, 100, |()| true);
        assert_eq!(window.place, Place::Follow);
    }

    #[test]
    fn a_line_of_many_rows_is_scrolled_row_by_row() {
        let mut log = Log::new(Limits { lines: 100, bytes: 10_000 });
        log.push("first".to_owned(), ());
        log.push("aaaa bbbb cccc dddd".to_owned(), ());
        let mut window = LogWindow::default();
        window.width.set(4);
        window.scroll(&log, -1, |()| true);
        assert_eq!(window.place, Place::Held { number: 1, below: 1 });
        window.scroll(&log, -3, |()| true);
        assert_eq!(window.place, Place::Held { number: 0, below: 0 });
        window.scroll(&log, -50, |()| true);
        assert_eq!(window.place, Place::Held { number: 0, below: 1 }, "no further than the top");
        window.scroll(&log, 2, |()| true);
        assert_eq!(window.place, Place::Held { number: 1, below: 3 });
    }

    #[test]
    fn the_top_fills_the_window() {
        let mut log = Log::new(Limits { lines: 100, bytes: 10_000 });
        (0..20).for_each(|n| log.push(format!("line {n}"), ()));
        let mut window = LogWindow::default();
        window.width.set(40);
        window.height.set(5);
        window.scroll(&log, i64::MIN, |()| true);
        assert_eq!(window.place, Place::Held { number: 4, below: 0 });
        window.height.set(30);
        window.scroll(&log, -1, |()| true);
        assert_eq!(window.place, Place::Follow, "everything is on the screen");
    }
}
