//! Alerts and commands: what happened, the newest first.

use protocol::Timestamp;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::{Clear, Widget},
};

use super::{
    context::Ctx,
    popup::broken,
    widgets::{Panel, cut_line, safe, word},
};
use crate::tui::theme::Tone;

/// What went wrong, and what ended.
pub(super) fn alerts(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer, first: usize) {
    let alerts = &ctx.model.deeds.alerts;
    let rows = alerts.iter().rev().map(|it| {
        let sign = match it.tone {
            Tone::Good => "✓",
            Tone::Bad => "✗",
            _ => "▲",
        };
        (it.at, vec![word(format!("{sign} "), it.tone), safe(&it.text, it.tone)])
    });
    draw(ctx, area, buffer, "Alerts, the newest first", "Nothing has gone wrong.", rows, first);
}

/// The command lines of what was done.
pub(super) fn commands(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer, first: usize) {
    let rows = ctx.model.deeds.commands.iter().rev();
    let rows = rows.map(|(at, line)| (*at, vec![safe(line, Tone::Plain)]));
    let none = "Nothing was done from here yet.";
    draw(ctx, area, buffer, "Commands of what was done, the newest first", none, rows, first);
}

fn draw<'a>(
    ctx: &Ctx<'_>,
    area: Rect,
    buffer: &mut Buffer,
    title: &'static str,
    none: &'static str,
    rows: impl ExactSizeIterator<Item = (Timestamp, Vec<Span<'a>>)>,
    first: usize,
) {
    let width = area.width.min(120);
    let area = Rect { x: area.x + (area.width - width) / 2, width, ..area };
    Clear.render(area, buffer);
    let total = rows.len();
    let inner = Panel::new(title).focused(true).bottom_right(total.to_string()).draw(area, buffer);
    let mut lines: Vec<Line<'_>> = rows
        .skip(first)
        .take(usize::from(inner.height))
        .map(|(at, mut spans)| {
            spans.insert(0, word(format!("{} ", ctx.when(at)), Tone::Quiet));
            Line::from(spans)
        })
        .flat_map(|line| broken(&line, inner.width.saturating_sub(2)))
        .collect();
    if total == 0 {
        lines.push(Line::from(word(none, Tone::Quiet)));
    }
    for (line, y) in lines.iter().zip(inner.y..inner.bottom()) {
        cut_line(buffer, inner.x + 1, y, line, inner.width.saturating_sub(2));
    }
}
