//! The prompt, whom it is put to, and the answers as they come.

use protocol::JobId;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
    text::{Line, Span},
    widgets::Widget,
};

use super::{
    context::Ctx,
    is_wide, jobs, lines, split_bottom, split_left, split_top,
    widgets::{Panel, cut_line, safe, word},
};
use crate::tui::{
    keymap::{Action, Context},
    state::{
        Pane,
        infer::{Target, Turn},
        reading::Reading,
        sampling::Setting,
        spots::Spot,
    },
    theme::Tone,
};

/// How wide the settings are.
const SETTINGS: u16 = 40;

/// Draws the view.
pub(super) fn draw(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let (prompt_area, rest) = split_top(area, if area.height >= 30 { 8 } else { 5 });
    prompt(ctx, prompt_area, buffer);
    let wide = is_wide(area);
    let choosing = model.ui.focus == Pane::Settings;
    let (rest, side) = match (wide, choosing) {
        (true, _) => split_left(rest, rest.width - SETTINGS),
        // What is chosen takes the place of what is said.
        (false, true) => split_left(rest, rest.width.saturating_sub(SETTINGS)),
        (false, false) => (rest, Rect::default()),
    };
    if !side.is_empty() {
        settings(ctx, side, buffer);
    }
    let (answers, said) = if choosing && !wide {
        (rest, Rect::default())
    } else {
        split_bottom(rest, (rest.height / 3).clamp(4, 8))
    };
    match &model.infer.second {
        Some(second) => {
            let (left, right) = split_left(answers, answers.width / 2);
            answer(ctx, left, buffer, &model.infer.first, Reading::JobText);
            answer(ctx, right, buffer, second, Reading::SecondText);
        }
        None => answer(ctx, answers, buffer, &model.infer.first, Reading::JobText),
    }
    match model.infer.job() {
        _ if said.is_empty() => {}
        Some(job) => jobs::narration(ctx, said, buffer, job, false),
        None => {
            Panel::new("narration").draw(said, buffer);
        }
    }
}

fn prompt(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let focused = model.ui.focus == Pane::Prompt;
    model.ui.spots.note(area, Spot::Pane(Pane::Prompt));
    let asked: Vec<String> = model.infer.targets().map(name).collect();
    let asked = vec![word("model ", Tone::Quiet), safe(&asked.join(" and "), Tone::Plain)];
    let inner = Panel::new("Prompt").focused(focused).right(Line::from(asked)).draw(area, buffer);
    let text = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    // The box draws its own cursor, and there is none where nothing is typed.
    let mut prompt = model.infer.prompt.clone();
    let key = |action| model.keymap.name_in(Context::Prompt, action);
    let (send, line) = (key(Action::Send), key(Action::NewLine));
    prompt.set_placeholder_text(format!("Ask something. {send} sends, {line} begins a new line."));
    if !focused {
        prompt.set_cursor_style(Style::new());
    }
    if !text.is_empty() {
        (&prompt).render(text, buffer);
    }
}

/// Who is asked: `model` or `model on wk-1`.
fn name(target: &Target) -> String {
    match &target.worker {
        Some(worker) => format!("{} on {worker}", target.model),
        None => target.model.to_string(),
    }
}

fn settings(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let focused = model.ui.focus == Pane::Settings;
    model.ui.spots.note(area, Spot::Pane(Pane::Settings));
    let inner = Panel::new("Settings").focused(focused).draw(area, buffer);
    for (setting, y) in Setting::ALL.into_iter().zip(inner.y..inner.bottom()) {
        let here = focused && setting == model.infer.setting;
        let mut spans = vec![
            word(if here { "▌" } else { " " }, Tone::Accent),
            word(format!("{:<19}", setting.name()), Tone::Quiet),
        ];
        match model.infer.typed.as_ref().filter(|_| here) {
            Some(typed) => {
                spans.push(safe(typed, Tone::Strong));
                spans.push(Span::styled(" ", Style::new().add_modifier(Modifier::REVERSED)));
            }
            None => spans.push(safe(&model.setting(setting), Tone::Plain)),
        }
        cut_line(buffer, inner.x, y, &Line::from(spans), inner.width.saturating_sub(1));
        if here && model.infer.typed.is_none() {
            let row = Rect { x: inner.x + 1, y, width: inner.width - 1, height: 1 };
            buffer.set_style(row, Tone::Strong.style().add_modifier(Modifier::REVERSED));
        }
    }
}

/// What the answer is waiting for; the place in the queue is narrated.
fn waiting<'a>(ctx: &Ctx<'_>, job: &JobId) -> Line<'a> {
    let newest = ctx.model.streams.job(job).and_then(|stream| stream.narration.last());
    let what = newest.map_or("accepted, waiting for the first word", |it| it.text.as_str());
    Line::from(safe(what, Tone::Working))
}

fn answer(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer, target: &Target, reading: Reading) {
    let model = ctx.model;
    let focused = model.reading() == Some(reading);
    let title = match model.infer.second {
        Some(_) => name(target),
        None => "Answer".to_owned(),
    };
    let mut panel = Panel::new(Line::from(safe(&title, Tone::Plain))).focused(focused);
    let stream = target.job().and_then(|job| model.streams.job(job));
    let mut notes = Vec::new();
    let mut figures = None;
    match &target.turn {
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
                    figures = Some(jobs::figures_of(stream, Some(*at)));
                }
                _ if model.is_ended(job) => notes.extend(jobs::last_word(ctx, job)),
                _ => {
                    notes.push(waiting(ctx, job));
                    figures = Some(format!("waiting {}", ctx.age(*at)));
                }
            }
        }
    }
    // The question stands above its answer, within the same frame.
    let head = u16::try_from(notes.len()).unwrap_or(1);
    lines::framed_below(ctx, area, buffer, reading, panel, (figures, head));
    let inner = Rect {
        x: area.x + 2,
        y: area.y + 1,
        width: area.width.saturating_sub(4),
        height: area.height.saturating_sub(2),
    };
    for (line, y) in notes.iter().zip(inner.y..inner.bottom()) {
        cut_line(buffer, inner.x, y, line, inner.width);
    }
}

fn asked<'a>(prompt: &str) -> Line<'a> {
    Line::from(vec![word("› ", Tone::Accent), safe(prompt, Tone::Strong)])
}

/// The view without frames.
pub(super) fn plain<'a>(ctx: &Ctx<'_>) -> Vec<Line<'a>> {
    let model = ctx.model;
    let mut lines = Vec::new();
    if model.ui.focus == Pane::Settings {
        let setting = model.infer.setting;
        let value = match &model.infer.typed {
            Some(typed) => format!("{typed}_"),
            None => model.setting(setting),
        };
        lines.push(Line::from(vec![
            word(format!("{}: ", setting.name()), Tone::Accent),
            safe(&value, Tone::Plain),
        ]));
    } else {
        let typed = model.infer.text();
        lines.push(Line::from(vec![Span::raw("› "), safe(&typed, Tone::Strong)]));
    }
    for target in model.infer.targets() {
        if let Some(job) = target.job() {
            let mut standing = jobs::standing(model, job);
            standing.push(Span::raw(format!("  {}", name(target))));
            lines.push(Line::from(standing));
            lines.extend(jobs::last_word(ctx, job));
        } else if let Turn::Refused { cause } = &target.turn {
            lines.push(Line::from(safe(cause, Tone::Bad)));
        }
    }
    lines
}
