//! A table that makes only the rows that are seen, and drops columns rather
//! than refusing a narrow window.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Modifier,
    text::{Line, Span},
};

use super::widgets::{cut_line, safe, shorten};
use crate::tui::{state::selection::Selection, theme::Tone};

/// One column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// Its heading.
    pub(crate) title: &'static str,
    /// How wide it is at least.
    pub(crate) width: u16,
    /// How much of what is left over it gets.
    pub(crate) grow: u16,
    /// The highest rank is dropped first.
    pub(crate) rank: u8,
    /// Figures stand on the right.
    pub(crate) right: bool,
}

/// A column of words.
pub(crate) const fn words(title: &'static str, width: u16, rank: u8) -> Column {
    Column { title, width, grow: 0, rank, right: false }
}

/// A column of words that takes what is left over.
pub(crate) const fn growing(title: &'static str, width: u16, rank: u8) -> Column {
    Column { title, width, grow: 1, rank, right: false }
}

/// A column of figures.
pub(crate) const fn figures(title: &'static str, width: u16, rank: u8) -> Column {
    Column { title, width, grow: 0, rank, right: true }
}

/// Room for the mark of the selected row.
const GUTTER: u16 = 2;
/// Between columns.
const GAP: u16 = 2;

/// Which columns fit, and how wide they are.
fn fit(columns: &[Column], width: u16) -> Vec<(usize, u16)> {
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    let needed = |kept: &[usize]| {
        let gaps = GAP * u16::try_from(kept.len().saturating_sub(1)).unwrap_or(0);
        gaps + kept.iter().filter_map(|&i| columns.get(i)).map(|it| it.width).sum::<u16>()
    };
    while kept.len() > 1 && needed(&kept) > width {
        let last = kept.iter().copied().max_by_key(|&i| columns.get(i).map(|it| (it.rank, i)));
        kept.retain(|i| Some(*i) != last);
    }
    let mut left = width.saturating_sub(needed(&kept));
    let growing = |i: usize| columns.get(i).map_or(0, |it| it.grow);
    let mut shares: u16 = kept.iter().map(|&i| growing(i)).sum();
    kept.into_iter()
        .filter_map(|i| {
            let column = columns.get(i)?;
            let extra = (left * column.grow).checked_div(shares).unwrap_or(0);
            left -= extra;
            shares -= column.grow;
            Some((i, (column.width + extra).min(width)))
        })
        .collect()
}

/// A table without a selection, as lines of at most `width`: the heading, then
/// a line for each row.
pub(crate) fn lines_of<R>(
    columns: &[Column],
    width: u16,
    rows: impl Iterator<Item = R>,
    cell: impl Fn(&R, usize) -> Line<'static>,
) -> Vec<Line<'static>> {
    let slots = fit(columns, width);
    let line = |cell: &dyn Fn(usize) -> Line<'static>| {
        let mut spans = Vec::new();
        for (place, &(column, width)) in slots.iter().enumerate() {
            let content = shorten(cell(column), usize::from(width));
            let room = " ".repeat(usize::from(width).saturating_sub(content.width()));
            let right = columns.get(column).is_some_and(|it| it.right);
            if place > 0 {
                spans.push(Span::raw(" ".repeat(usize::from(GAP))));
            }
            match right {
                true => spans.extend(std::iter::once(Span::raw(room)).chain(content.spans)),
                false => spans.extend(content.spans.into_iter().chain([Span::raw(room)])),
            }
        }
        Line::from(spans)
    };
    let title = |column: usize| columns.get(column).map_or("", |it| it.title);
    let heading = line(&|column| Line::from(Span::styled(title(column), Tone::Quiet.style())));
    std::iter::once(heading).chain(rows.map(|row| line(&|column| cell(&row, column)))).collect()
}

/// What a table shows.
pub(crate) struct Table<'a, K> {
    /// Its columns.
    pub(crate) columns: &'a [Column],
    /// What is selected, and how far it is scrolled.
    pub(crate) selection: &'a Selection<K>,
    /// Keys are aimed at it.
    pub(crate) focused: bool,
}

impl<K: Ord + Clone> Table<'_, K> {
    /// Draws the heading and the rows that fit. `rows` are all rows in their
    /// order and cost nothing until `cell` is called for one that is seen, with
    /// the column's place in `columns`; a row that `dim` accepts is old.
    pub(crate) fn draw<'r, R>(
        &self,
        area: Rect,
        buffer: &mut Buffer,
        rows: impl Iterator<Item = (&'r K, R)> + Clone,
        dim: impl Fn(&R) -> bool,
        cell: impl Fn(&R, usize) -> Line<'r>,
    ) where
        K: 'r,
    {
        if area.height == 0 || area.width <= GUTTER + 1 {
            return;
        }
        self.selection.area.set(area);
        // One column stays free before the frame.
        let slots = fit(self.columns, area.width - GUTTER - 1);
        self.heading(area, buffer, &slots);
        if let Some(note) = &self.selection.no_match {
            let note = Line::from(safe(note, Tone::Warn));
            let room = area.width.saturating_sub(GUTTER + 1);
            if area.height > 1 {
                cut_line(buffer, area.x + GUTTER, area.y + 1, &note, room);
            }
        }
        let height = usize::from(area.height - 1);
        self.selection.height.set(height);
        let selected =
            self.selection.id().and_then(|id| rows.clone().position(|(key, _)| key == id));
        let mut offset = self.selection.offset.get();
        if let Some(selected) = selected {
            offset = offset.min(selected).max((selected + 1).saturating_sub(height));
        }
        let total = rows.clone().count();
        offset = offset.min(total.saturating_sub(height));
        self.selection.offset.set(offset);

        let seen = rows.enumerate().skip(offset).take(height);
        self.selection.note_seen(seen.clone().map(|(_, (id, _))| id));
        for (y, (index, (id, row))) in (area.y + 1..).zip(seen) {
            let mut x = area.x + GUTTER;
            for &(column, width) in &slots {
                let line = cell(&row, column);
                let right = self.columns.get(column).is_some_and(|it| it.right);
                let used = u16::try_from(line.width()).unwrap_or(u16::MAX).min(width);
                let indent = if right { width - used } else { 0 };
                cut_line(buffer, x + indent, y, &line, width - indent);
                x += width + GAP;
            }
            let is_marked = self.selection.marks.contains(id);
            if is_marked {
                buffer.set_string(area.x + 1, y, "✓", Tone::Accent.style());
            }
            let whole = Rect { y, height: 1, ..area };
            if dim(&row) {
                buffer.set_style(whole, Tone::Quiet.style());
            }
            if selected == Some(index) {
                buffer.set_string(area.x, y, "▌", Tone::Accent.style());
                let mut style = Tone::Strong.style();
                if self.focused {
                    style = style.add_modifier(Modifier::REVERSED);
                }
                let text = Rect { x: area.x + 1, width: area.width - 1, ..whole };
                buffer.set_style(text, style);
            }
        }
    }

    fn heading(&self, area: Rect, buffer: &mut Buffer, slots: &[(usize, u16)]) {
        let mut headings = self.selection.headings.borrow_mut();
        headings.clear();
        let mut x = area.x + GUTTER;
        for &(column, width) in slots {
            if let Some(column) = self.columns.get(column) {
                headings.push((x..x + width, column.title));
                let used = u16::try_from(column.title.len()).unwrap_or(0).min(width);
                let indent = if column.right { width - used } else { 0 };
                let style = Tone::Quiet.style();
                buffer.set_stringn(x + indent, area.y, column.title, usize::from(used), style);
            }
            x += width + GAP;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_important_columns_give_way_and_one_always_stays() {
        let columns = [growing("NAME", 8, 0), words("STATE", 6, 1), figures("SEEN", 5, 9)];
        let kept = |width| fit(&columns, width).iter().map(|it| it.0).collect::<Vec<_>>();
        assert_eq!(kept(40), [0, 1, 2]);
        assert_eq!(kept(20), [0, 1]);
        assert_eq!(kept(9), [0]);
        assert_eq!(fit(&columns, 3), [(0, 3)]);
        assert_eq!(fit(&columns, 40).first(), Some(&(0, 25)), "what is left over goes to it");
    }

    #[test]
    fn lines_without_a_table_stand_below_their_headings() {
        let columns = [growing("NAME", 8, 0), figures("SEEN", 5, 1)];
        let rows = [("a long name", "12s"), ("b", "4m")];
        let lines = lines_of(&columns, 17, rows.iter(), |row, column| {
            Line::from(if column == 0 { row.0 } else { row.1 })
        });
        let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["NAME         SEEN", "a long na…    12s", "b              4m"]);
    }
}
