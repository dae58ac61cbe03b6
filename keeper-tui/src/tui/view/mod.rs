//! Drawing. It reads the model and says when the picture will change by
//! itself; it changes nothing but the notes of how large things came out.
//!
//! ```text
//! header     who, where, how it is, how much of it
//! tabs       (from 120x30)
//! banner     (while the queen is away)
//! body       the view
//! status     a toast, or the tabs on a small screen
//! footer     the keys that matter here
//! ```

mod context;
mod devices;
mod fleet;
mod help;
mod infer;
mod jobs;
mod lines;
mod offline;
mod table;
mod widgets;
mod workers;

use std::time::Duration;

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::{Clear, Widget},
};

use self::{
    context::Ctx,
    widgets::{Panel, bar, count, cut_line, rate, safe, word},
};
use super::{
    keymap::{self, Action, Context},
    state::{Dialog, Model, Now, Source, View, connection::Connection},
    theme::Tone,
};

/// Below this the screen is a plain list.
const TINY: (u16, u16) = (60, 15);
/// From this on there is room beside each other.
const WIDE: (u16, u16) = (120, 30);

/// Draws everything. The answer is when the picture will change although
/// nothing happens; `None` is never.
pub(crate) fn view(model: &Model, frame: &mut Frame<'_>, now: Now) -> Option<Duration> {
    let ctx = Ctx::new(model, now);
    let area = frame.area();
    let buffer = frame.buffer_mut();
    draw(&ctx, area, buffer);
    model.theme.finish(buffer);
    ctx.next_change()
}

fn draw(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    if let Connection::Syncing { until, .. } = ctx.model.connection {
        ctx.changes_at(until);
    }
    if let Some(toast) = &ctx.model.ui.toast {
        ctx.changes_at(toast.until);
    }
    if area.width < TINY.0 || area.height < TINY.1 {
        tiny(ctx, area, buffer);
        return;
    }
    let wide = is_wide(area);
    let (header, rest) = split_top(area, 1);
    let (rest, footer_area) = split_bottom(rest, 1);
    let (rest, status) = split_bottom(rest, 1);
    draw_header(ctx, header, buffer);
    let rest = if wide {
        let (row, rest) = split_top(rest, 1);
        bar(row, buffer, tabs(&ctx.model.ui.view), Line::from(crumbs(ctx.model)));
        rest
    } else {
        rest
    };
    let body = match offline::banner(ctx) {
        Some(line) => {
            let (row, rest) = split_top(rest, 1);
            cut_line(buffer, row.x, row.y, &line, row.width);
            rest
        }
        None => rest,
    };
    draw_body(ctx, body, buffer);
    match &ctx.model.ui.toast {
        Some(toast) => {
            let sign = match toast.tone {
                Tone::Good => "✓ ",
                Tone::Warn => "▲ ",
                Tone::Bad => "✗ ",
                _ => "",
            };
            let line = Line::from(vec![
                word(format!(" {sign}"), toast.tone),
                word(toast.text.as_str(), toast.tone),
            ]);
            cut_line(buffer, status.x, status.y, &line, status.width);
        }
        None if !wide => bar(status, buffer, tabs(&ctx.model.ui.view), Line::default()),
        None => {}
    }
    draw_footer(ctx, footer_area, buffer);
    if let Some(first) = ctx.model.ui.help {
        help::draw(ctx, body, buffer, first);
    }
    if let Some(dialog) = &ctx.model.ui.dialog {
        draw_dialog(ctx, body, buffer, dialog);
    }
}

fn draw_body(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    if !ctx.model.is_known {
        offline::first_contact(ctx, area, buffer);
        return;
    }
    match &ctx.model.ui.view {
        View::Fleet => fleet::draw(ctx, area, buffer),
        View::Workers => workers::draw(ctx, area, buffer),
        View::Devices => devices::draw(ctx, area, buffer),
        View::Jobs => jobs::draw(ctx, area, buffer),
        View::Job(job) => jobs::draw_one(ctx, area, buffer, job),
        View::Infer => infer::draw(ctx, area, buffer),
    }
}

/// Whether there is room beside each other.
fn is_wide(area: Rect) -> bool {
    area.width >= WIDE.0 && area.height + 4 >= WIDE.1
}

fn split_top(area: Rect, height: u16) -> (Rect, Rect) {
    let height = height.min(area.height);
    (Rect { height, ..area }, Rect { y: area.y + height, height: area.height - height, ..area })
}

fn split_bottom(area: Rect, height: u16) -> (Rect, Rect) {
    let height = height.min(area.height);
    let (above, below) = split_top(area, area.height - height);
    (above, below)
}

fn split_left(area: Rect, width: u16) -> (Rect, Rect) {
    let width = width.min(area.width);
    (Rect { width, ..area }, Rect { x: area.x + width, width: area.width - width, ..area })
}

fn connection_spans<'a>(model: &Model) -> Vec<Span<'a>> {
    let (sign, tone) = match (&model.connection, &model.launch) {
        (_, Some(launch)) if launch.failed.is_none() => ("◐", Tone::Working),
        (Connection::Live, _) => ("●", Tone::Good),
        (Connection::Connecting | Connection::Syncing { .. }, _) => ("◐", Tone::Working),
        (Connection::Unreached(_) | Connection::Lost(..), _) => ("✗", Tone::Bad),
    };
    let is_starting = model.launch.as_ref().is_some_and(|launch| launch.failed.is_none());
    let text = match &model.connection {
        _ if is_starting => "starting the queen",
        connection => match (connection, model.source) {
            (_, Source::Over) => "recording, over",
            (Connection::Live, Source::Recording { .. }) => "recording",
            (connection, _) => connection.as_str(),
        },
    };
    vec![word(format!("{sign} "), tone), word(text, tone)]
}

fn draw_header(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let mut left = vec![word(" rbee-keeper", Tone::Strong), Span::raw("  ")];
    left.push(safe(&model.address, Tone::Plain));
    left.push(Span::raw(" "));
    left.extend(connection_spans(model));
    if model.is_read_only {
        left.push(word(" READ-ONLY", Tone::Warn));
    }
    let left = Line::from(left);
    let room = usize::from(area.width).saturating_sub(left.width() + 3);
    let right = match &model.connection {
        Connection::Lost(outage, _) => {
            let at = ctx.clock(outage.at);
            let age = ctx.elapsed(outage.since);
            Line::from(word(format!("as of {at}, {age} ago "), Tone::Warn))
        }
        Connection::Live => Line::from(format!("{} ", totals(model, room))),
        Connection::Connecting | Connection::Unreached(_) | Connection::Syncing { .. } => {
            Line::default()
        }
    };
    bar(area, buffer, left, right);
}

/// How much there is, as far as there is room for it.
fn totals(model: &Model, room: usize) -> String {
    let fleet = &model.fleet;
    let workers = fleet.workers.values().filter(|it| !it.state.is_ended()).count();
    let gpus = fleet.devices.values().filter(|it| !it.id.is_cpu()).count();
    let running = fleet.jobs.values().filter(|it| !it.state.is_ended()).count();
    let queued = fleet.queen.as_ref().map_or(0, |queen| queen.queued);
    let speed = speed(model).map(|speed| format!("{} tok/s", rate(Some(speed))));
    let long = [
        count(fleet.hives.len(), "hive", "hives"),
        count(workers, "worker", "workers"),
        count(gpus, "GPU", "GPUs"),
        format!("{} running", count(running, "job", "jobs")),
        format!("queue {queued}"),
        speed.clone().unwrap_or_default(),
    ];
    let short = [
        count(fleet.hives.len(), "hive", "hives"),
        format!("{workers} wk"),
        format!("{gpus} GPU"),
        if queued > 0 { format!("queue {queued}") } else { String::new() },
        speed.unwrap_or_default(),
    ];
    let shorter = [count(fleet.hives.len(), "hive", "hives"), format!("{workers} wk")];
    for parts in [&long[..], &short[..], &shorter[..]] {
        let parts: Vec<&str> =
            parts.iter().map(String::as_str).filter(|it| !it.is_empty()).collect();
        let text = parts.join("  ");
        if text.chars().count() <= room {
            return text;
        }
    }
    String::new()
}

/// All workers that are heard of together; unknown when nobody generates.
fn speed(model: &Model) -> Option<f64> {
    let heard = model.fleet.workers.values().filter(|it| model.is_current(&it.hive_id));
    let known = heard.filter_map(|it| it.tokens_per_second);
    known.reduce(|a, b| a + b)
}

fn tabs<'a>(view: &View) -> Line<'a> {
    let all = [
        ("1 fleet", matches!(view, View::Fleet)),
        ("2 workers", matches!(view, View::Workers)),
        ("3 gpus", matches!(view, View::Devices)),
        ("5 jobs", matches!(view, View::Jobs | View::Job(_))),
        ("6 infer", matches!(view, View::Infer)),
    ];
    let spans = all.into_iter().map(|(name, here)| {
        if here {
            word(format!("[{name}]"), Tone::Accent)
        } else {
            word(format!(" {name} "), Tone::Quiet)
        }
    });
    Line::from_iter(spans)
}

fn crumbs(model: &Model) -> String {
    match &model.ui.view {
        View::Job(job) => format!("jobs › {} ", job.short()),
        View::Fleet | View::Workers | View::Devices | View::Jobs | View::Infer => String::new(),
    }
}

/// The keys that matter here, the way out on the right.
fn draw_footer(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let is_root = model.ui.view.parent().is_none();
    let hints = keymap::bindings(model).filter(|it| !it.hint.is_empty());
    let mut left = vec![Span::raw(" ")];
    let mut used = 1;
    let mut right = Line::default();
    for binding in hints {
        let hint = match binding.action {
            Action::BackOrQuit if is_root => "quit",
            _ => binding.hint,
        };
        let key = binding.key_label();
        if binding.action == Action::BackOrQuit {
            right = Line::from(vec![word(key, Tone::Accent), Span::raw(format!(" {hint} "))]);
            continue;
        }
        let width = key.chars().count() + hint.len() + 3;
        if used + width + 8 > usize::from(area.width) {
            continue;
        }
        used += width;
        left.push(word(key, Tone::Accent));
        left.push(Span::raw(format!(" {hint}  ")));
    }
    bar(area, buffer, Line::from(left), right);
}

fn draw_dialog(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer, dialog: &Dialog) {
    let Dialog::CancelJob(job) = dialog;
    let record = ctx.model.fleet.jobs.get(job);
    let what = record.map_or("job", |it| it.operation.as_str());
    let state = if ctx.model.is_ended(job) { "over already" } else { "still running" };
    let lines = vec![
        Line::from(vec![
            safe(what, Tone::Strong),
            Span::raw(format!("  {job}  ")),
            word(state, Tone::Plain),
        ]),
        Line::from(
            record
                .and_then(|it| it.last_message.as_deref())
                .map_or_else(|| Span::raw(""), |message| safe(message, Tone::Quiet)),
        ),
        Line::default(),
        yes_or_no(),
        Line::from(word(
            Action::Confirm.twin().unwrap_or_default().replace("JOB", job.as_str()),
            Tone::Quiet,
        )),
    ];
    let title = format!("Cancel {what} {}?", job.short());
    popup(area, buffer, &title, "Enter does nothing here", &lines);
}

/// The keys of a question, from the keymap.
fn yes_or_no<'a>() -> Line<'a> {
    let bindings = keymap::KEYMAP.iter().filter(|it| it.context == Context::Dialog);
    Line::from_iter(bindings.flat_map(|binding| {
        [
            word(format!("[{}]", binding.key_label()), Tone::Accent),
            Span::raw(format!(" {}    ", binding.what)),
        ]
    }))
}

/// A box in front of everything.
fn popup(area: Rect, buffer: &mut Buffer, title: &str, note: &str, lines: &[Line<'_>]) {
    let width = area.width.saturating_sub(4).min(76);
    let height =
        (u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2)).min(area.height);
    let x = area.x + (area.width - width) / 2;
    let y = area.y + (area.height - height) / 2;
    let area = Rect { x, y, width, height };
    Clear.render(area, buffer);
    let panel = Panel::new(title.to_owned()).bottom_left(note.to_owned()).focused(true);
    let inner = panel.draw(area, buffer);
    for (line, y) in lines.iter().zip(inner.y..inner.bottom()) {
        cut_line(buffer, inner.x + 1, y, line, inner.width.saturating_sub(2));
    }
}

/// Without room for frames: how it is, what is selected, the way out.
fn tiny(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let mut lines = vec![Line::from(connection_spans(model))];
    if let Some(banner) = offline::banner(ctx) {
        lines.push(banner);
    }
    if let Some(Dialog::CancelJob(job)) = &model.ui.dialog {
        lines.push(Line::from(word(format!("Cancel {}?", job.short()), Tone::Strong)));
        lines.push(yes_or_no());
    } else if let Some(toast) = &model.ui.toast {
        lines.push(Line::from(word(toast.text.as_str(), toast.tone)));
    }
    if !model.is_known {
        lines.extend(offline::question(ctx));
    } else {
        match &model.ui.view {
            View::Fleet => lines.extend(fleet::plain(ctx)),
            View::Workers => lines.extend(workers::plain(ctx)),
            View::Devices => lines.extend(devices::plain(ctx)),
            View::Jobs => lines.extend(jobs::plain(ctx)),
            View::Job(job) => lines.extend(jobs::plain_one(ctx, job)),
            View::Infer => lines.extend(infer::plain(ctx)),
        }
    }
    let (body, footer) = split_bottom(area, 1);
    for (line, y) in lines.iter().zip(body.y..body.bottom()) {
        cut_line(buffer, body.x, y, line, body.width);
    }
    if body.height > 0 {
        draw_footer(ctx, footer, buffer);
    }
    if model.ui.help.is_some() {
        help::draw(ctx, body, buffer, model.ui.help.unwrap_or(0));
    }
}

/// A list of one line each around the selected one.
fn plain_list<'a, K: Ord>(
    ctx: &Ctx<'_>,
    rows: impl Iterator<Item = (K, Line<'a>)> + Clone,
    selected: Option<&K>,
) -> Vec<Line<'a>> {
    let height = usize::from(ctx.model.size.1.saturating_sub(2)).max(1);
    let at = rows.clone().position(|(key, _)| Some(&key) == selected).unwrap_or(0);
    let first = (at + 1).saturating_sub(height);
    rows.skip(first)
        .take(height)
        .map(|(key, mut line)| {
            let here = Some(&key) == selected;
            line.spans.insert(0, word(if here { "▌ " } else { "  " }, Tone::Accent));
            line.patch_style(if here { Tone::Strong.style() } else { Style::new() })
        })
        .collect()
}

#[cfg(test)]
mod tests;
