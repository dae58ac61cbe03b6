//! The home view: machines, what they have, what is said, what needs attention.

use protocol::{
    HiveId,
    fleet::{DeviceRecord, HiveRecord, HiveState, WorkerState},
    job::JobState,
};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{
    context::Ctx,
    devices, hive, hives, is_wide, jobs, lines, offline, plain_list, split_bottom, split_left,
    split_top,
    table::{Column, Table, figures, growing, words},
    welcome,
    widgets::{
        Panel, UNKNOWN, count, cut_line, figure, hive_sign, job_sign, memory, meter, rate, safe,
        word, worker_sign,
    },
};
use crate::tui::{
    sizes,
    state::{Model, Pane, lists::ListName, reading::Reading},
    theme::Tone,
    update::{lists::title, shown_streams, streams},
};

const COLUMNS: [Column; 9] = [
    growing("HIVE", 10, 0),
    words("STATE", 8, 1),
    words("UTIL", 13, 3),
    figures("MEMORY", 9, 4),
    figures("WORKERS", 7, 5),
    figures("TOK/S", 6, 6),
    figures("TEMP", 5, 8),
    figures("SEEN", 7, 2),
    words("TOK/S 12 S", 12, 9),
];

/// What the devices of one machine come to: its GPUs, or else its processor.
/// One figure that is not known makes the sum unknown.
struct Gear {
    percent: Option<f64>,
    used: Option<u64>,
    total: Option<u64>,
    celsius: Option<f64>,
}

fn gear(model: &Model, hive: &HiveId) -> Gear {
    let has_gpu = hives::devices_of(model, hive).any(|it| !it.id.is_cpu());
    let devices = hives::devices_of(model, hive).filter(|it| !it.id.is_cpu() || !has_gpu);
    let known = devices.clone().count();
    let percents: Vec<f64> = devices.clone().filter_map(|it| it.utilisation_percent).collect();
    let sum = |amount: fn(&DeviceRecord) -> Option<u64>| {
        devices.clone().map(amount).sum::<Option<u64>>().filter(|_| known > 0)
    };
    Gear {
        percent: (!percents.is_empty())
            .then(|| percents.iter().sum::<f64>() / percents.len() as f64),
        used: sum(|it| it.memory_used_bytes),
        total: sum(|it| it.memory_total_bytes),
        celsius: devices.clone().filter_map(|it| it.temperature_celsius).reduce(f64::max),
    }
}

/// Draws the view.
pub(super) fn draw(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    if ctx.model.is_first_run() {
        let area = attention_or_help(ctx, area, buffer);
        welcome::draw(ctx, area, buffer);
    } else if sizes::is_large(ctx.model.size) {
        large(ctx, area, buffer);
    } else if is_wide(area) {
        wide(ctx, area, buffer);
    } else {
        small(ctx, area, buffer);
    }
}

fn small(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let rest = attention_or_help(ctx, area, buffer);
    let hives_height = rows(ctx.model.fleet.hives.len()).clamp(4, (rest.height / 2).max(4));
    let (hives_area, rest) = split_top(rest, hives_height);
    hives(ctx, hives_area, buffer);
    let devices_height = rows(ctx.model.fleet.devices.len()).clamp(4, 7);
    let rest = if rest.height >= devices_height + 4 {
        let (devices_area, rest) = split_top(rest, devices_height);
        devices::panel(ctx, devices_area, buffer);
        rest
    } else {
        rest
    };
    narration(ctx, rest, buffer);
}

/// A frame, a heading and a row each.
fn rows(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX).saturating_add(3)
}

fn wide(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let rest = attention_or_help(ctx, area, buffer);
    let (top, below) = split_top(rest, rest.height * 11 / 20);
    let (left, right) = split_left(top, top.width * 3 / 5);
    hives(ctx, left, buffer);
    detail(ctx, right, buffer);
    narration(ctx, below, buffer);
}

fn large(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let rest = attention_or_help(ctx, area, buffer);
    let (rest, jobs_area) = split_bottom(rest, sizes::JOBS_ROWS);
    jobs::panel(ctx, jobs_area, buffer);
    let (top, below) = split_top(rest, sizes::upper(rest.height));
    let (left, right) = split_left(top, top.width * 5 / 8);
    hives(ctx, left, buffer);
    detail(ctx, right, buffer);
    let (left, right) = split_left(below, below.width * 5 / 8);
    narration(ctx, left, buffer);
    answers(ctx, right, buffer);
}

fn hives(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let total = model.fleet.hives.len();
    let live = model.connection.is_live();
    let title = if live {
        title(model, ListName::Hives, "Hives")
    } else {
        format!("Hives  {total} (last known, not live)")
    };
    let at = model
        .ui
        .hives
        .id()
        .and_then(|id| model.ui.hives.shown(&model.fleet.hives).position(|(it, _)| it == id));
    let focused = model.ui.focus == Pane::List;
    let mut panel = Panel::new(title).focused(focused);
    if let Some(at) = at {
        panel = panel.bottom_right(format!("{}/{total}", at + 1));
    }
    if !live {
        panel = panel.right(Line::from(word("STALE", Tone::Warn)));
    }
    let inner = panel.draw(area, buffer);
    let crew = |hive: &HiveRecord| model.totals.crew(&hive.id);
    let table = Table { columns: &COLUMNS, selection: &model.ui.hives, focused };
    table.draw(
        inner,
        buffer,
        model.ui.hives.shown(&model.fleet.hives),
        |hive| !model.is_current(&hive.id),
        |hive, column| {
            let (sign, state, tone) = hives::condition(model, hive, crew(hive));
            let crew = crew(hive);
            let gear = || gear(model, &hive.id);
            match column {
                0 => Line::from(vec![word(format!("{sign} "), tone), Span::raw(hive.id.as_str())]),
                1 => Line::from(word(state, tone)),
                2 => Line::from(meter(gear().percent, 8)),
                3 => Line::from(memory(gear().used, gear().total)),
                4 if hive.state == HiveState::Lost => Line::from(format!("?/{}", crew.alive)),
                4 => Line::from(format!("{}/{}", crew.serving, crew.alive)),
                5 => Line::from(rate(crew.speed().filter(|_| hive.state != HiveState::Lost))),
                6 => Line::from(figure(gear().celsius, "°")),
                7 => Line::from(hives::seen(ctx, hive)),
                _ => Line::from(hives::pace(ctx, &hive.id, 12)),
            }
        },
    );
}

/// The selected machine with everything on it.
fn detail(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let Some(hive) = model.ui.hives.id().and_then(|id| model.fleet.hives.get(id)) else {
        Panel::new("No hive selected").draw(area, buffer);
        return;
    };
    let inner = Panel::new(hive.id.to_string()).draw(area, buffer);
    hive::about(ctx, inner, buffer, hive);
}

fn narration(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let title = model
        .ui
        .hives
        .id()
        .map_or_else(|| "Narration".to_owned(), |hive| format!("{hive} · narration"));
    let panel = Panel::new(title).focused(model.ui.focus == Pane::Narration);
    lines::framed(ctx, area, buffer, Reading::Fleet, panel, None);
}

/// Answers that are being generated, the newest first, as many as there is
/// room for.
fn answers(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let live = streams(model).count();
    let rows = area.height.saturating_sub(2);
    let shown: Vec<_> = shown_streams(model, rows).collect();
    let mut panel = Panel::new(format!("Streams  {live} live"));
    if let Some(hidden) = live.checked_sub(shown.len()).filter(|hidden| *hidden > 0) {
        let more = count(hidden, "more stream", "more streams");
        panel = panel.bottom_left(format!("+ {more} not shown"));
    }
    let inner = panel.draw(area, buffer);
    let each = inner.height / u16::try_from(shown.len().max(1)).unwrap_or(1);
    let mut rest = inner;
    for job in shown {
        let (area, below) = split_top(rest, each);
        rest = below;
        let (head, text) = split_top(area, 1);
        let line = jobs::stream_head(ctx, job);
        cut_line(buffer, head.x + 1, head.y, &line, head.width.saturating_sub(2));
        if let Some(stream) = model.streams.job(job) {
            let text = Rect { x: text.x + 3, width: text.width.saturating_sub(3), ..text };
            lines::tail(text, buffer, &stream.text);
        }
    }
    if live == 0 && inner.height > 0 {
        let note = Line::from(word("No answer is being generated.", Tone::Quiet));
        cut_line(buffer, inner.x + 1, inner.y, &note, inner.width.saturating_sub(2));
    }
}

/// What is wrong, the worst first.
fn troubles<'a>(ctx: &Ctx<'_>) -> Vec<Line<'a>> {
    let model = ctx.model;
    let mut lines = Vec::new();
    for state in [HiveState::Lost, HiveState::Stale, HiveState::Late] {
        for hive in model.fleet.hives.values().filter(|it| it.state == state) {
            let (sign, tone) = hive_sign(state);
            let reason = hive.reason.as_deref().unwrap_or("no word from it");
            let seen = hives::seen(ctx, hive);
            lines.push(Line::from(vec![
                word(format!("{sign} {}  {}: ", hive.id, state.as_str()), tone),
                safe(reason, Tone::Plain),
                word(format!("  (seen {seen})"), Tone::Quiet),
            ]));
        }
    }
    for worker in model.fleet.workers.values().filter(|it| it.state == WorkerState::Failed) {
        let (sign, tone) = worker_sign(worker.state);
        let reason = worker.last_exit.as_ref().map_or("no reason known", |it| it.reason.as_str());
        lines.push(Line::from(vec![
            word(format!("{sign} {} on {}  failed: ", worker.id, worker.hive_id), tone),
            safe(reason, Tone::Plain),
        ]));
    }
    for device in model.fleet.devices.values() {
        if let Some(reason) = &device.unavailable {
            lines.push(Line::from(vec![
                word(format!("▲ {} of {}  unusable: ", device.id, device.hive_id), Tone::Warn),
                safe(reason, Tone::Plain),
            ]));
        }
    }
    // Only recent ones: of the newest jobs, those nobody has opened yet.
    let recent = model.fleet.jobs.values().rev().take(50);
    for job in recent.filter(|it| it.state == JobState::Failed && !model.ui.read.contains(&it.id)) {
        let (sign, tone) = job_sign(job.state);
        let error = job.error.as_ref().map_or_else(|| UNKNOWN.to_owned(), |it| it.one_line());
        lines.push(Line::from(vec![
            word(format!("{sign} {} {}  failed: ", job.operation, job.id.short()), tone),
            safe(&error, Tone::Plain),
        ]));
    }
    lines.extend(model.mismatches().into_iter().map(|it| {
        Line::from(vec![
            safe(&format!("▲ {}: ", it.what), Tone::Warn),
            safe(&it.remedy, Tone::Plain),
        ])
    }));
    lines
}

/// Draws what needs attention at the lower end, if anything does. The answer
/// is the room that is left.
fn attention_or_help(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) -> Rect {
    if !ctx.model.connection.is_live() {
        let (rest, bottom) = split_bottom(area, offline::WHAT_YOU_CAN_DO);
        offline::what_you_can_do(ctx, bottom, buffer);
        return rest;
    }
    let troubles = troubles(ctx);
    if troubles.is_empty() {
        return area;
    }
    let height = u16::try_from(troubles.len()).unwrap_or(u16::MAX).min(3) + 2;
    let (rest, area) = split_bottom(area, height);
    let title = format!("Needs attention  {}", troubles.len());
    let mut panel = Panel::new(Line::from(word(title, Tone::Strong)));
    if let Some(hidden) = troubles.len().checked_sub(3).filter(|hidden| *hidden > 0) {
        panel = panel.bottom_right(format!("{hidden} more"));
    }
    let inner = panel.draw(area, buffer);
    for (line, y) in troubles.iter().zip(inner.y..inner.bottom()) {
        cut_line(buffer, inner.x + 1, y, line, inner.width.saturating_sub(2));
    }
    rest
}

/// The view without frames.
pub(super) fn plain<'a>(ctx: &Ctx<'a>) -> Vec<Line<'a>> {
    let model = ctx.model;
    if model.is_first_run() {
        return welcome::lines(ctx);
    }
    let rows = model.ui.hives.shown(&model.fleet.hives).map(|(id, hive)| {
        let crew = model.totals.crew(id);
        let (sign, state, tone) = hives::condition(model, hive, crew);
        let workers = count(crew.alive, "worker", "workers");
        let line = Line::from(vec![
            word(format!("{sign} {id} {state} "), tone),
            Span::raw(format!("{workers} {}", hives::seen(ctx, hive))),
        ]);
        (id.clone(), line)
    });
    plain_list(ctx, rows, model.ui.hives.id())
}
