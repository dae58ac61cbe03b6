//! The prompt, and the answer as it comes.

use protocol::JobId;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::Widget,
};

use super::{
    context::Ctx,
    is_wide, jobs, lines, split_bottom, split_left, split_top,
    widgets::{Panel, cut_line, safe, word},
};
use crate::tui::{
    state::{Pane, infer::Turn},
    theme::Tone,
};

/// Draws the view.
pub(super) fn draw(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let (prompt_area, rest) = split_top(area, if area.height >= 30 { 8 } else { 5 });
    prompt(ctx, prompt_area, buffer);
    let (answer_area, said_area) = if is_wide(area) {
        split_left(rest, rest.width * 3 / 5)
    } else {
        split_bottom(rest, (rest.height / 3).clamp(4, 8))
    };
    answer(ctx, answer_area, buffer);
    match model.infer.job() {
        Some(job) => jobs::narration(ctx, said_area, buffer, job, false),
        None => {
            Panel::new("narration").draw(said_area, buffer);
        }
    }
}

fn prompt(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let focused = model.ui.focus == Pane::Prompt;
    let asked = vec![word("model ", Tone::Quiet), safe(model.infer.model.as_str(), Tone::Plain)];
    let inner = Panel::new("Prompt").focused(focused).right(Line::from(asked)).draw(area, buffer);
    let text = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    // The box draws its own cursor, and there is none where nothing is typed.
    let mut prompt = model.infer.prompt.clone();
    if !focused {
        prompt.set_cursor_style(ratatui::style::Style::new());
    }
    if !text.is_empty() {
        (&prompt).render(text, buffer);
    }
}

/// What the answer is waiting for; the place in the queue is narrated.
fn waiting<'a>(ctx: &Ctx<'_>, job: &JobId) -> Line<'a> {
    let newest = ctx.model.streams.job(job).and_then(|stream| stream.narration.last());
    let what = newest.map_or("accepted, waiting for the first word", |it| it.text.as_str());
    Line::from(safe(what, Tone::Working))
}

fn answer(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let window = &model.ui.job_text;
    let mut panel = Panel::new("Answer").focused(model.ui.focus == Pane::Text);
    let stream = model.infer.job().and_then(|job| model.streams.job(job));
    let mut notes = Vec::new();
    match &model.infer.turn {
        Turn::Unasked => notes.push(Line::from(word("Nothing was asked yet.", Tone::Quiet))),
        Turn::Sending { prompt, since, .. } => {
            notes.push(asked(prompt));
            let since = ctx.elapsed(*since);
            notes.push(Line::from(word(format!("Sending…  {since}"), Tone::Working)));
        }
        Turn::Refused { cause } => {
            notes.push(Line::from(safe(&format!("✗ Refused: {cause}"), Tone::Bad)));
        }
        Turn::Accepted { job, prompt, at } => {
            panel = panel.right(Line::from(jobs::standing(model, job)));
            notes.push(asked(prompt));
            match stream {
                Some(stream) if stream.pace.count > 0 => {
                    panel = panel
                        .bottom_left(jobs::figures_of(stream, Some(*at)))
                        .bottom_right(lines::corner(&stream.text, window, |()| true));
                }
                _ if model.is_ended(job) => notes.extend(jobs::last_word(model, job)),
                _ => {
                    notes.push(waiting(ctx, job));
                    panel = panel.bottom_left(format!("waiting {}", ctx.age(*at)));
                }
            }
        }
    }
    let inner = panel.draw(area, buffer);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(1), ..inner };
    let (head, text) = split_top(inner, u16::try_from(notes.len()).unwrap_or(1));
    for (line, y) in notes.iter().zip(head.y..head.bottom()) {
        cut_line(buffer, head.x, y, line, head.width.saturating_sub(1));
    }
    if let Some(stream) = stream {
        lines::text(text, buffer, &stream.text, window);
    }
}

fn asked<'a>(prompt: &str) -> Line<'a> {
    Line::from(vec![word("› ", Tone::Accent), safe(prompt, Tone::Strong)])
}

/// The view without frames.
pub(super) fn plain<'a>(ctx: &Ctx<'_>) -> Vec<Line<'a>> {
    let model = ctx.model;
    let typed = model.infer.text();
    let mut lines = vec![Line::from(vec![Span::raw("› "), safe(&typed, Tone::Strong)])];
    if let Some(job) = model.infer.job() {
        lines.push(Line::from(jobs::standing(model, job)));
        if let Some(stream) = model.streams.job(job) {
            let room = usize::from(model.size.1);
            let text: Vec<_> = stream.text.numbered().rev().take(room).collect();
            lines.extend(
                text.into_iter().rev().map(|(_, it)| Line::from(safe(&it.text, Tone::Plain))),
            );
        }
        lines.extend(jobs::last_word(model, job));
    } else if let Turn::Refused { cause } = &model.infer.turn {
        lines.push(Line::from(safe(cause, Tone::Bad)));
    }
    lines
}
