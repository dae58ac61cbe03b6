//! The palette: a line at the foot of the view, and above it what could be
//! meant.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::{Clear, Widget},
};

use super::{
    context::Ctx,
    popup::{chosen, typed},
    widgets::{Panel, cut_line, safe, word},
};
use crate::tui::{
    keymap::{Action, Context},
    state::dialog::Palette,
    theme::Tone,
    update::palette::ghost,
};

/// Rows offered at once.
const ROWS: u16 = 10;

fn line<'a>(palette: &Palette) -> Line<'a> {
    let mut spans = vec![word(":", Tone::Accent)];
    spans.extend(typed(&palette.line, ghost(palette).unwrap_or("")));
    Line::from(spans)
}

/// Draws it at the foot of `area`.
pub(super) fn draw(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer, palette: &Palette) {
    let found = u16::try_from(palette.found.len()).unwrap_or(u16::MAX).clamp(1, ROWS);
    let height = (found + 3).min(area.height);
    let area = Rect { y: area.bottom() - height, height, ..area };
    Clear.render(area, buffer);
    let total = palette.found.len();
    let panel = Panel::new("Command").focused(true).bottom_right(format!("{total} found"));
    let inner = panel.draw(area, buffer);
    if inner.height == 0 {
        return;
    }
    let rows = usize::from(inner.height - 1);
    let first = palette.at.map_or(0, |at| (at + 1).saturating_sub(rows));
    let mut lines: Vec<Line<'_>> = match &palette.problem {
        Some(problem) => vec![Line::from(safe(&format!("✗ {problem}"), Tone::Bad))],
        None if palette.found.is_empty() => {
            let key = ctx.model.keymap.label_in(Context::Palette, Action::Accept);
            let note = format!("nothing is called that; {key} says why");
            vec![Line::from(word(note, Tone::Quiet))]
        }
        None => Vec::new(),
    };
    let wide = usize::from(inner.width / 2).min(44);
    lines.extend(palette.found.iter().enumerate().skip(first).map(|(index, it)| {
        let tone = if it.off.is_some() { Tone::Quiet } else { Tone::Plain };
        let mut spans =
            vec![safe(&format!("{:<wide$} ", it.text), tone), safe(&it.what, Tone::Quiet)];
        if let Some(reason) = &it.off {
            spans.push(word(format!("  — {reason}"), Tone::Warn));
        }
        chosen(spans, Some(index) == palette.at)
    }));
    lines.truncate(rows);
    for (line, y) in lines.iter().zip(inner.y..inner.bottom() - 1) {
        cut_line(buffer, inner.x + 1, y, line, inner.width.saturating_sub(2));
    }
    let at = inner.bottom() - 1;
    cut_line(buffer, inner.x + 1, at, &line(palette), inner.width.saturating_sub(2));
}

/// The palette without a frame.
pub(super) fn plain<'a>(palette: &Palette) -> Vec<Line<'a>> {
    let mut lines = vec![line(palette)];
    if let Some(problem) = &palette.problem {
        lines.push(Line::from(safe(&format!("✗ {problem}"), Tone::Bad)));
    }
    lines.extend(
        palette
            .found
            .iter()
            .map(|it| Line::from(vec![Span::raw("  "), safe(&it.text, Tone::Quiet)])),
    );
    lines
}
