//! A place in a log, and how it is read: wrapped or not, with or without the
//! time, all of it or the lines that hold a word.
//!
//! The place is a line and a row of that line counted from its beginning, so
//! that neither new lines nor a line that grows ever move what is being read.

use std::cell::Cell;

use protocol::job::Level;

use super::{
    log::{Entry, Log},
    needle::Needle,
};

/// How far one key moves lines that are not wrapped.
const SIDEWAYS: usize = 16;

/// Where one is in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Place {
    /// At the newest line, wherever that is.
    #[default]
    Follow,
    /// This row of this line is the lowest shown.
    Held {
        /// The number of the line.
        number: u64,
        /// The row, counted from the line's first.
        row: usize,
    },
}

/// A word that is looked for.
#[derive(Debug, Clone)]
pub(crate) struct Find {
    /// The word.
    pub(crate) needle: Needle,
    /// The line one was led to.
    pub(crate) at: Option<u64>,
}

/// A window on a log: where it stands, how it is read, and how large it was
/// when it was last drawn, which is what the next key needs to know.
#[derive(Debug, Clone)]
pub(crate) struct LogWindow {
    /// Where it stands.
    pub(crate) place: Place,
    /// The line that the bar is on; `None` is the newest.
    pub(crate) cursor: Option<u64>,
    /// What is too long goes on in the next row.
    pub(crate) wraps: bool,
    /// The first column that is shown of lines that are not wrapped.
    pub(crate) column: usize,
    /// The time stands before each line.
    pub(crate) times: bool,
    /// Only lines with this are shown.
    pub(crate) only: Option<Needle>,
    /// Only lines that matter this much are shown.
    pub(crate) level: Level,
    /// What is looked for.
    pub(crate) find: Option<Find>,
    /// Columns for the text.
    pub(crate) width: Cell<u16>,
    /// Rows.
    pub(crate) height: Cell<u16>,
    /// The first line that was seen.
    pub(crate) first_seen: Cell<u64>,
}

impl Default for LogWindow {
    fn default() -> Self {
        Self {
            place: Place::Follow,
            cursor: None,
            wraps: true,
            column: 0,
            times: true,
            only: None,
            level: Level::Info,
            find: None,
            width: Cell::new(0),
            height: Cell::new(0),
            first_seen: Cell::new(0),
        }
    }
}

impl LogWindow {
    /// Whether a line is among those that are asked for.
    pub(crate) fn lets_through(&self, entry: &Entry) -> bool {
        let matters = self.level == Level::Info || entry.said.level >= self.level;
        matters && self.only.as_ref().is_none_or(|only| only.is_in_line(entry))
    }

    /// How many rows a line takes here.
    pub(crate) fn rows(&self, entry: &Entry) -> usize {
        if self.wraps { entry.rows(self.width.get().max(1)) } else { 1 }
    }

    /// Moves by rows, up when negative. Moving up leaves the newest line, going
    /// beyond it follows it again. Only lines that `shown` accepts count.
    pub(crate) fn scroll(&mut self, log: &Log, by: i64, shown: impl Fn(&Entry) -> bool) {
        let rows = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
        if by < 0 {
            self.up(log, rows, &shown);
            self.fill(log, &shown);
        } else {
            self.down(log, rows, &shown);
        }
    }

    fn up(&mut self, log: &Log, rows: usize, shown: &impl Fn(&Entry) -> bool) {
        let (from, row) = match self.place {
            Place::Follow => (log.last_number(), usize::MAX),
            Place::Held { number, row } => (number, row),
        };
        let mut left = rows;
        for (number, entry) in log.back_from(from).filter(|(_, it)| shown(it)) {
            let last = self.rows(entry) - 1;
            let bottom = if number == from { row.min(last) } else { last };
            self.place = Place::Held { number, row: bottom.saturating_sub(left) };
            if left <= bottom {
                return;
            }
            left -= bottom + 1;
        }
    }

    fn down(&mut self, log: &Log, rows: usize, shown: &impl Fn(&Entry) -> bool) {
        let Place::Held { number: from, row } = self.place else { return };
        let mut left = rows;
        if left == 0 {
            return;
        }
        for (number, entry) in log.from(from).filter(|(_, it)| shown(it)) {
            let first = if number == from { row.saturating_add(1) } else { 0 };
            let count = self.rows(entry).saturating_sub(first);
            if left <= count {
                self.place = Place::Held { number, row: first + left - 1 };
                return;
            }
            left -= count;
        }
        self.place = Place::Follow;
    }

    /// At the top, the lowest row shown is as far down as the window is high.
    fn fill(&mut self, log: &Log, shown: &impl Fn(&Entry) -> bool) {
        let Place::Held { number: from, row } = self.place else { return };
        let height = usize::from(self.height.get().max(1));
        let mut rows = 0;
        for (number, entry) in log.back_from(from).filter(|(_, it)| shown(it)) {
            let all = self.rows(entry);
            rows += if number == from { all.min(row.saturating_add(1)) } else { all };
            if rows >= height {
                return;
            }
        }
        self.down(log, height - rows, shown);
    }

    /// To the newest line, and on with it.
    pub(crate) fn follow(&mut self) {
        self.place = Place::Follow;
        self.cursor = None;
    }

    /// Stays where it is, whatever comes.
    pub(crate) fn hold(&mut self, log: &Log, shown: impl Fn(&Entry) -> bool) {
        if self.place == Place::Follow {
            self.up(log, 0, &shown);
        }
    }

    /// Brings a line on the screen, in the middle when it was not there.
    pub(crate) fn lead_to(&mut self, log: &Log, number: u64, shown: impl Fn(&Entry) -> bool) {
        let last = match self.place {
            Place::Follow => u64::MAX,
            Place::Held { number, .. } => number,
        };
        if (self.first_seen.get()..=last).contains(&number) {
            self.hold(log, shown);
            return;
        }
        self.place = Place::Held { number, row: 0 };
        self.down(log, usize::from(self.height.get() / 2), &shown);
        self.hold(log, &shown);
        self.fill(log, &shown);
        self.hold(log, shown);
    }

    /// Moves the bar by lines; below the newest it follows again.
    pub(crate) fn step(&mut self, log: &Log, by: i64, shown: impl Fn(&Entry) -> bool) {
        let count = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
        let Some(skip) = count.checked_sub(1) else { return };
        if by < 0 {
            let below = self.cursor.map_or(log.last_number(), |at| at.saturating_sub(1));
            let below = if self.cursor == Some(0) { return } else { below };
            // The newest line is where one stands already when nothing is marked.
            let skip = if self.cursor.is_none() { skip.saturating_add(1) } else { skip };
            let mut oldest = None;
            for (index, (number, _)) in log.back_from(below).filter(|(_, it)| shown(it)).enumerate()
            {
                oldest = Some(number);
                if index == skip {
                    break;
                }
            }
            self.cursor = oldest.or(self.cursor);
        } else {
            let Some(at) = self.cursor else { return };
            let after = log.from(at + 1).filter(|(_, it)| shown(it)).nth(skip);
            match after {
                Some((number, _)) if number < log.last_number() => self.cursor = Some(number),
                _ => {
                    self.follow();
                    return;
                }
            }
        }
        let Some(cursor) = self.cursor else { return };
        let lowest = match self.place {
            Place::Follow => u64::MAX,
            Place::Held { number, .. } => number,
        };
        if cursor < self.first_seen.get() {
            self.place = Place::Held { number: cursor, row: 0 };
            self.down(log, usize::from(self.height.get()).saturating_sub(1), &shown);
            self.hold(log, shown);
        } else if cursor >= lowest {
            self.place = Place::Held { number: cursor, row: usize::MAX };
            self.fill(log, &shown);
        } else {
            self.hold(log, shown);
        }
    }

    /// Left when negative.
    pub(crate) fn sideways(&mut self, by: isize) {
        self.column = self.column.saturating_add_signed(by.saturating_mul(SIDEWAYS as isize));
    }

    /// How many rows a page has.
    pub(crate) fn page(&self) -> i64 {
        i64::from(self.height.get().max(2)) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::state::log::{Limits, Said};

    const ROOM: Limits = Limits { lines: 100, bytes: 10_000 };

    fn log(lines: std::ops::Range<u32>) -> Log {
        let mut log = Log::new(ROOM);
        lines.for_each(|n| log.push(format!("line {n}"), Said::default()));
        log
    }

    fn all(_: &Entry) -> bool {
        true
    }

    fn window(width: u16, height: u16) -> LogWindow {
        let window = LogWindow::default();
        window.width.set(width);
        window.height.set(height);
        window
    }

    #[test]
    fn new_lines_never_move_what_is_being_read() {
        let mut log = log(0..20);
        let mut window = window(40, 0);
        window.scroll(&log, -3, all);
        assert_eq!(window.place, Place::Held { number: 16, row: 0 });
        (20..30).for_each(|n| log.push(format!("line {n}"), Said::default()));
        assert_eq!(window.place, Place::Held { number: 16, row: 0 });
        window.scroll(&log, 2, all);
        assert_eq!(window.place, Place::Held { number: 18, row: 0 });
        window.scroll(&log, 100, all);
        assert_eq!(window.place, Place::Follow);
    }

    #[test]
    fn a_line_that_grows_does_not_move_what_is_being_read_either() {
        let mut log = Log::new(ROOM);
        log.append("aaaa bbbb");
        let mut window = window(4, 5);
        window.hold(&log, all);
        assert_eq!(window.place, Place::Held { number: 0, row: 1 });
        log.append(" cccc dddd");
        assert_eq!(window.place, Place::Held { number: 0, row: 1 });
        window.scroll(&log, 1, all);
        assert_eq!(window.place, Place::Held { number: 0, row: 2 });
    }

    #[test]
    fn a_line_of_many_rows_is_scrolled_row_by_row() {
        let mut log = Log::new(ROOM);
        log.push("first".to_owned(), Said::default());
        log.push("aaaa bbbb cccc dddd".to_owned(), Said::default());
        let mut window = window(4, 0);
        window.scroll(&log, -1, all);
        assert_eq!(window.place, Place::Held { number: 1, row: 2 });
        window.scroll(&log, -3, all);
        assert_eq!(window.place, Place::Held { number: 0, row: 1 });
        window.scroll(&log, -50, all);
        assert_eq!(window.place, Place::Held { number: 0, row: 0 }, "no further than the top");
        window.scroll(&log, 2, all);
        assert_eq!(window.place, Place::Held { number: 1, row: 0 });
        window.wraps = false;
        window.scroll(&log, -1, all);
        assert_eq!(window.place, Place::Held { number: 0, row: 0 }, "one row each, not wrapped");
    }

    #[test]
    fn the_top_fills_the_window() {
        let log = log(0..20);
        let mut window = window(40, 5);
        window.scroll(&log, i64::MIN, all);
        assert_eq!(window.place, Place::Held { number: 4, row: 0 });
        window.height.set(30);
        window.scroll(&log, -1, all);
        assert_eq!(window.place, Place::Follow, "everything is on the screen");
    }

    #[test]
    fn the_bar_moves_over_lines_and_the_window_goes_with_it() {
        let log = log(0..20);
        let mut window = window(40, 5);
        window.first_seen.set(15);
        window.step(&log, -1, all);
        assert_eq!(window.cursor, Some(18));
        assert_eq!(window.place, Place::Held { number: 19, row: 0 }, "nothing moves but the bar");
        window.step(&log, -8, all);
        assert_eq!(window.cursor, Some(10));
        assert_eq!(window.place, Place::Held { number: 14, row: 0 }, "it is the uppermost now");
        window.step(&log, i64::MAX, all);
        assert_eq!((window.cursor, window.place), (None, Place::Follow));
    }

    #[test]
    fn what_was_found_is_brought_on_the_screen() {
        let log = log(0..100);
        let mut window = window(40, 10);
        window.first_seen.set(90);
        window.lead_to(&log, 95, all);
        assert_eq!(window.place, Place::Held { number: 99, row: 0 }, "it was there already");
        window.lead_to(&log, 50, all);
        assert_eq!(window.place, Place::Held { number: 55, row: 0 });
        window.first_seen.set(46);
        window.lead_to(&log, 2, all);
        assert_eq!(window.place, Place::Held { number: 9, row: 0 }, "the top fills the window");
    }
}
