//! What boxes in front of a view are made of.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Modifier,
    text::{Line, Span},
    widgets::{Clear, Widget},
};

use super::widgets::{Panel, cut_line, safe, word};
use crate::tui::{
    state::{line, wrap::wrap},
    theme::Tone,
};

/// A row with the bar before it when Enter takes it.
pub(super) fn chosen<'a>(mut spans: Vec<Span<'a>>, is_chosen: bool) -> Line<'a> {
    spans.insert(0, word(if is_chosen { "▌ " } else { "  " }, Tone::Accent));
    let line = Line::from(spans);
    if is_chosen { line.patch_style(Tone::Strong.style()) } else { line }
}

/// A line that is being typed, with its cursor and what would complete it.
pub(super) fn typed<'a>(line: &line::Line, rest: &str) -> Vec<Span<'a>> {
    let text = line.text();
    let at = text.char_indices().nth(line.cursor()).map_or(text.len(), |(at, _)| at);
    let (before, after) = text.split_at(at);
    let mut after = after.chars();
    let is_end = at == text.len();
    let mut rest = rest.chars();
    let under = if is_end { rest.next() } else { after.next() }.unwrap_or(' ');
    let cursor = Tone::Plain.style().add_modifier(Modifier::REVERSED);
    vec![
        safe(before, Tone::Plain),
        Span::styled(under.to_string(), cursor),
        safe(after.as_str(), Tone::Plain),
        safe(rest.as_str(), Tone::Quiet),
    ]
}

/// A box in front of everything.
pub(super) fn popup(area: Rect, buffer: &mut Buffer, title: &str, note: &str, lines: &[Line<'_>]) {
    let width = area.width.saturating_sub(4).min(96);
    // What is asked must be readable whole: long lines go on in the next row.
    let rows: Vec<Line<'_>> =
        lines.iter().flat_map(|line| broken(line, width.saturating_sub(4))).collect();
    let height = (u16::try_from(rows.len()).unwrap_or(u16::MAX).saturating_add(2)).min(area.height);
    let x = area.x + (area.width - width) / 2;
    let y = area.y + (area.height - height) / 2;
    let area = Rect { x, y, width, height };
    Clear.render(area, buffer);
    let panel = Panel::new(title.to_owned()).bottom_left(note.to_owned()).focused(true);
    let inner = panel.draw(area, buffer);
    for (line, y) in rows.iter().zip(inner.y..inner.bottom()) {
        cut_line(buffer, inner.x + 1, y, line, inner.width.saturating_sub(2));
    }
}

/// The rows of a line that may be too long for one; what goes on is set in.
pub(super) fn broken<'a>(line: &Line<'a>, width: u16) -> Vec<Line<'a>> {
    if line.width() <= usize::from(width) {
        return vec![line.clone()];
    }
    let text: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
    let rows = wrap(&text, width.saturating_sub(4));
    let row = |(index, range): (usize, std::ops::Range<usize>)| {
        let mut spans = if index == 0 { Vec::new() } else { vec![Span::raw("    ")] };
        let mut begin = 0;
        for span in &line.spans {
            let end = begin + span.content.len();
            let (from, to) = (range.start.max(begin), range.end.min(end));
            if from < to
                && let Some(part) = span.content.get(from - begin..to - begin)
            {
                spans.push(Span::styled(part.to_owned(), span.style));
            }
            begin = end;
        }
        Line::from(spans).style(line.style)
    };
    rows.into_iter().enumerate().map(row).collect()
}
