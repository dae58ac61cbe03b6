//! The fleet before there is any: what can be done about it, by a key.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{
    context::Ctx,
    widgets::{Panel, cut_line, safe, word},
};
use crate::tui::{keymap::Action, state::Model, theme::Tone};

/// The feature that makes the hive of her machine a part of the queen.
const LOCAL_HIVE: &str = "local-hive";

/// Draws it.
pub(super) fn draw(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let inner = Panel::new("Welcome to rbee").draw(area, buffer);
    for (line, y) in lines(ctx).iter().zip(inner.y + 1..inner.bottom()) {
        cut_line(buffer, inner.x + 1, y, line, inner.width.saturating_sub(2));
    }
}

/// What it says.
pub(super) fn lines<'a>(ctx: &Ctx<'_>) -> Vec<Line<'a>> {
    let model = ctx.model;
    let here = if model.is_queen_here() { "This machine" } else { "The queen's machine" };
    let mut lines = vec![
        Line::from("No hive runs yet. A hive is one machine that runs model workers."),
        Line::default(),
        choice(model, Action::StartHere, here, "rbee-keeper hive start"),
        choice(model, Action::AddMachine, "A machine by SSH", "rbee-keeper hive install MACHINE"),
        choice(model, Action::AddByUrl, "Already running", "hives.conf, by its URL"),
        Line::default(),
        choice(model, Action::ShowInfer, "Ask the demo model", "the queen starts what is missing"),
        Line::default(),
    ];
    let mut hosts = model.hosts().peekable();
    if hosts.peek().is_some() {
        let mut spans = vec![word("Found in ~/.ssh/config:", Tone::Quiet)];
        let width = usize::from(model.size.0).saturating_sub(6);
        let mut used = 23;
        while let Some(host) = hosts.next() {
            // Room for the number of those that are left out.
            if used + host.len() + 12 > width {
                spans.push(word(format!("  and {} more", hosts.count() + 1), Tone::Quiet));
                break;
            }
            used += host.len() + 2;
            spans.push(Span::raw("  "));
            spans.push(safe(host, Tone::Strong));
        }
        lines.extend([Line::from(spans), Line::default()]);
    }
    let queen = model.fleet.queen.as_ref();
    if queen.is_some_and(|queen| !queen.features.iter().any(|it| it == LOCAL_HIVE)) {
        lines.extend([
            Line::from(word(
                "Built without `local-hive`, this queen calls a hive beside her over HTTP.",
                Tone::Quiet,
            )),
            Line::from(word("rbee-keeper queen rebuild --with-local-hive --restart", Tone::Quiet)),
            Line::default(),
        ]);
    }
    let help = model.keymap.label(Action::ToggleHelp);
    lines.push(Line::from(word(format!("Every key is in the help: {help}"), Tone::Quiet)));
    lines
}

fn choice<'a>(model: &Model, action: Action, what: &'static str, how: &'static str) -> Line<'a> {
    Line::from(vec![
        word(format!("  {}  ", model.keymap.label(action)), Tone::Accent),
        Span::raw(format!("{what:<22}")),
        word(how, Tone::Quiet),
    ])
}
