//! Tables without borders, and how figures are written in them.

use std::time::Duration;

use protocol::Timestamp;
use unicode_width::UnicodeWidthStr;

use super::terminal::{Look, Tone, cut};
use crate::text;

/// Between two columns.
const GAP: &str = "  ";

/// One column.
#[derive(Debug, Clone)]
struct Column {
    heading: String,
    wide: bool,
    right: bool,
}

/// One place of a table.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    /// `None`: nobody knows.
    text: Option<String>,
    tone: Tone,
}

impl Cell {
    /// A text.
    pub fn new(text: impl ToString) -> Self {
        Self { text: Some(text.to_string()), tone: Tone::Plain }
    }

    /// A text with a meaning.
    pub fn toned(text: impl ToString, tone: Tone) -> Self {
        Self { text: Some(text.to_string()), tone }
    }

    fn shown(&self, look: &Look) -> String {
        match &self.text {
            // An empty cell would make a script count columns wrongly.
            Some(text) if !text.is_empty() => text::one_line(text).into_owned(),
            _ => look.unknown().to_owned(),
        }
    }
}

impl<T: ToString> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        Self { text: value.map(|value| value.to_string()), tone: Tone::Plain }
    }
}

/// Rows under headings.
#[derive(Debug, Clone, Default)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these headings. `>` before a heading aligns its column to
    /// the right, `+` shows it only with `-o wide`.
    pub fn new<'a>(headings: impl IntoIterator<Item = &'a str>) -> Self {
        let columns = headings
            .into_iter()
            .map(|heading| {
                let plain = heading.trim_start_matches(['>', '+']);
                let marks = &heading[..heading.len() - plain.len()];
                Column {
                    heading: plain.to_owned(),
                    wide: marks.contains('+'),
                    right: marks.contains('>'),
                }
            })
            .collect();
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as text, each line with its end.
    pub fn render(&self, look: &Look, wide: bool) -> String {
        let shown: Vec<usize> =
            (0..self.columns.len()).filter(|&index| wide || !self.columns[index].wide).collect();
        let mut lines = vec![
            shown
                .iter()
                .map(|&index| (self.columns[index].heading.clone(), Tone::Strong))
                .collect::<Vec<_>>(),
        ];
        lines.extend(self.rows.iter().map(|row| {
            let cell = |&index: &usize| row.get(index).cloned().unwrap_or_default();
            shown.iter().map(cell).map(|cell| (cell.shown(look), cell.tone)).collect()
        }));
        let widths: Vec<usize> = (0..shown.len())
            .map(|place| lines.iter().map(|line| line[place].0.width()).max().unwrap_or(0))
            .collect();
        let right: Vec<bool> = shown.iter().map(|&index| self.columns[index].right).collect();
        lines.iter().map(|line| render_line(line, &widths, &right, look)).collect()
    }
}

fn render_line(line: &[(String, Tone)], widths: &[usize], right: &[bool], look: &Look) -> String {
    let mut rendered = String::new();
    let mut used = 0;
    for (place, (text, tone)) in line.iter().enumerate() {
        let gap = if place == 0 { "" } else { GAP };
        let room = look.width.map(|width| width.saturating_sub(used + gap.len()));
        if room == Some(0) {
            break;
        }
        let pad = " ".repeat(widths[place].saturating_sub(text.width()));
        let padded = if right[place] { format!("{pad}{text}") } else { text.clone() };
        let cell = match room {
            Some(room) => cut(&padded, room, look.unicode),
            None => padded,
        };
        used += gap.len() + cell.width();
        rendered.push_str(gap);
        rendered.push_str(&look.paint(*tone, &cell));
        // No spaces at the end of a line: they wrap on a terminal and are a
        // nuisance in a file.
        if !right[place] && place + 1 < line.len() {
            used += pad.len();
            rendered.push_str(&pad);
        }
    }
    let mut rendered = rendered.trim_end().to_owned();
    rendered.push('\n');
    rendered
}

/// A duration in its two largest units: `12s`, `4m10s`, `3h5m`, `2d4h`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let two = |large: u64, unit: char, small: u64, small_unit: char| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit}{small}{small_unit}"),
    };
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => two(minutes, 'm', seconds % 60, 's'),
        3_600..86_400 => two(hours, 'h', minutes % 60, 'm'),
        _ => two(days, 'd', hours % 24, 'h'),
    }
}

/// How long ago something was. A clock that is a little ahead of ours makes no
/// negative ages.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    duration(Duration::try_from(now.duration_since(then)).unwrap_or_default())
}

/// A size in the largest unit that keeps it above one: `1.4 GiB`.
pub fn bytes(bytes: u64) -> String {
    let mut size = bytes as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        // Rounded first, so that nothing is ever written as `1024.0 KiB`.
        if (size * 10.0).round() / 10.0 < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{size:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["WORKER", ">SLOTS", "STATE", "+PID"]);
        table.row([Cell::new("wk-1"), Cell::new("0/4"), Cell::new("ready"), Cell::new(17)]);
        table.row([
            Cell::new("wk-long-name"),
            Cell::from(None::<u32>),
            Cell::toned("failed", Tone::Bad),
            Cell::new(4_711),
        ]);
        table
    }

    const PIPE: Look = Look { terminal: false, color: false, unicode: true, width: None };

    #[test]
    fn columns_are_aligned_to_the_longest_cell_and_unknown_is_said() {
        assert_eq!(
            table().render(&PIPE, false),
            "WORKER        SLOTS  STATE\n\
             wk-1            0/4  ready\n\
             wk-long-name      —  failed\n"
        );
        let ascii = Look { unicode: false, ..PIPE };
        assert!(table().render(&ascii, true).ends_with("wk-long-name      -  failed  4711\n"));
    }

    #[test]
    fn lines_are_cut_on_a_terminal_only() {
        let narrow = Look { terminal: true, width: Some(16), ..PIPE };
        let rendered = table().render(&narrow, true);
        assert!(rendered.lines().all(|line| line.width() <= 16), "{rendered}");
        assert!(rendered.contains("wk-long-name"), "{rendered}");
    }

    #[test]
    fn colour_does_not_move_a_column() {
        let color = Look { color: true, ..PIPE };
        let rendered = table().render(&color, true);
        assert!(rendered.contains("\x1b[31mfailed\x1b[0m  4711"), "{rendered}");
        assert!(rendered.contains("ready   17"), "{rendered}");
    }

    #[test]
    fn a_cell_can_neither_break_the_row_nor_the_terminal() {
        let mut table = Table::new(["NAME", "MESSAGE"]);
        table.row([Cell::new("a\u{1b}[2J"), Cell::new("two\nlines")]);
        assert_eq!(table.render(&PIPE, false), "NAME  MESSAGE\na     two lines\n");
    }

    #[test]
    fn durations_have_at_most_two_units() {
        for (seconds, shown) in [
            (0, "0s"),
            (12, "12s"),
            (60, "1m"),
            (250, "4m10s"),
            (11_100, "3h5m"),
            (86_400, "1d"),
            (187_200, "2d4h"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), shown);
        }
        let (then, now) = ("2026-01-01T00:00:10Z", "2026-01-01T00:00:09Z");
        assert_eq!(age(then.parse().unwrap(), now.parse().unwrap()), "0s");
        assert_eq!(age(now.parse().unwrap(), then.parse().unwrap()), "1s");
    }

    #[test]
    fn sizes_are_written_in_their_largest_unit() {
        for (size, shown) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (1_503_238_553, "1.4 GiB"),
            (151_397_597_184, "141.0 GiB"),
        ] {
            assert_eq!(bytes(size), shown);
        }
    }
}
