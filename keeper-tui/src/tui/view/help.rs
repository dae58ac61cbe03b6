//! The help: the keymap, as it is.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::{Clear, Widget},
};

use super::{
    context::Ctx,
    cut_line,
    widgets::{Panel, word},
};
use crate::tui::{keymap::Keymap, theme::Tone};

/// Where the command that does the same begins, if there is room for it.
const TWIN: usize = 56;

/// All lines of it.
pub(super) fn text<'a>(keymap: &Keymap, width: u16) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    let mut heading = "";
    for binding in keymap.bindings() {
        if binding.heading() != heading {
            if !heading.is_empty() {
                lines.push(Line::default());
            }
            heading = binding.heading();
            lines.push(Line::from(word(heading, Tone::Strong)));
        }
        let keys = word(format!("  {:<16}", binding.keys_label()), Tone::Accent);
        let mut line = Line::from(vec![keys, Span::raw(binding.what)]);
        if let Some(twin) = binding.action.twin() {
            let gap = TWIN.saturating_sub(line.width());
            if gap > 0 && TWIN + twin.len() <= usize::from(width) {
                line.push_span(Span::raw(" ".repeat(gap)));
            } else {
                lines.push(std::mem::replace(&mut line, Line::from(" ".repeat(18))));
            }
            line.push_span(word(twin, Tone::Quiet));
        }
        lines.push(line);
    }
    lines
}

/// Draws it in front of everything, from this line on.
pub(super) fn draw(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer, first: u16) {
    let width = area.width.min(100);
    let lines = text(&ctx.model.keymap, width.saturating_sub(4));
    let area = Rect { x: area.x + (area.width - width) / 2, width, ..area };
    Clear.render(area, buffer);
    let total = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let last = total.min(first.saturating_add(area.height.saturating_sub(2)));
    let inner =
        Panel::new("Help").focused(true).bottom_right(format!("{last}/{total}")).draw(area, buffer);
    ctx.model.ui.help_max.set(total.saturating_sub(inner.height));
    for (line, y) in lines.iter().skip(usize::from(first)).zip(inner.y..inner.bottom()) {
        cut_line(buffer, inner.x + 1, y, line, inner.width.saturating_sub(2));
    }
}
