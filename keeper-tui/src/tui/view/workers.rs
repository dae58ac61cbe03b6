//! Workers: what they run, on what, and how much they have to do.

use protocol::{
    WorkerId,
    fleet::{WorkerRecord, WorkerState},
};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{
    context::Ctx,
    is_wide, lines, plain_list, split_bottom, split_left, split_top,
    table::{Column, Table, figures, growing, lines_of, words},
    widgets::{
        Panel, UNKNOWN, bytes, cut_line, latency, rate, safe, share, short_model, word, worker_sign,
    },
    with_detail,
};
use crate::tui::{
    state::{Model, Pane, lists::ListName, reading::Reading},
    theme::Tone,
    update::lists::title,
};

const COLUMNS: [Column; 12] = [
    words("WORKER", 13, 0),
    growing("MODEL", 12, 2),
    words("HIVE", 10, 5),
    words("DEVICE", 6, 8),
    words("STATE", 11, 1),
    figures("SLOTS", 7, 3),
    figures("TOK/S", 6, 4),
    figures("TTFT", 6, 6),
    figures("KV", 4, 7),
    figures("MEMORY", 6, 9),
    figures("CTX", 6, 11),
    figures("UP", 6, 10),
];

/// Columns of the workers of one machine, beside what else it is.
const BRIEF: [Column; 6] = [
    words("WORKER", 13, 0),
    growing("MODEL", 9, 2),
    words("SLOTS", 11, 1),
    figures("TOK/S", 6, 3),
    figures("TTFT", 6, 4),
    figures("KV", 4, 5),
];

/// Busy and all, and how many were asked for where it has others.
fn slots(worker: &WorkerRecord) -> String {
    let known = |n: Option<u32>| n.map_or_else(|| UNKNOWN.to_owned(), |n| n.to_string());
    let desired = worker
        .slots_desired
        .filter(|desired| worker.slots_total.is_some_and(|total| total != *desired));
    match (worker.slots_busy, worker.slots_total, desired) {
        (None, None, _) => UNKNOWN.to_owned(),
        (busy, total, None) => format!("{}/{}", known(busy), known(total)),
        (busy, total, Some(desired)) => format!("{}/{}/{desired}", known(busy), known(total)),
    }
}

/// One sign for each slot.
fn slot_bar<'a>(worker: &WorkerRecord) -> Span<'a> {
    const SHOWN: u32 = 32;
    match (worker.slots_busy, worker.slots_total) {
        (Some(busy), Some(total)) => {
            let sign = |slot: u32| if slot < busy { '▇' } else { '▁' };
            word((0..total.min(SHOWN)).map(sign).collect::<String>(), Tone::Good)
        }
        _ => Span::raw(""),
    }
}

/// `loading 61%`
fn state(worker: &WorkerRecord) -> String {
    let loaded = worker.progress.as_ref().and_then(protocol::job::Progress::fraction);
    match (worker.state, loaded) {
        (WorkerState::Loading, Some(loaded)) => format!("load {:.0}%", loaded * 100.0),
        (state, _) => state.as_str().replace('_', " "),
    }
}

fn up(ctx: &Ctx<'_>, worker: &WorkerRecord) -> String {
    match worker.started_at {
        Some(at) if !worker.state.is_ended() => ctx.age(at),
        _ => UNKNOWN.to_owned(),
    }
}

/// The sign of a worker; nothing is green that may not be so any more.
fn sign(model: &Model, worker: &WorkerRecord) -> (&'static str, Tone) {
    match worker_sign(worker.state) {
        (_, Tone::Good) if !model.is_current(&worker.hive_id) => ("◌", Tone::Quiet),
        sign => sign,
    }
}

/// Draws the view.
pub(super) fn draw(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let (list, below) = with_detail(area, 12, 9);
    table(ctx, list, buffer);
    let Some(below) = below else { return };
    match ctx.model.ui.workers.id().and_then(|id| ctx.model.fleet.workers.get(id)) {
        Some(worker) => detail(ctx, below, buffer, worker),
        None => drop(Panel::new("No worker selected").draw(below, buffer)),
    }
}

/// Draws one worker: what is known about it, what it logs, what is said about
/// it.
pub(super) fn draw_one(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer, id: &WorkerId) {
    let model = ctx.model;
    let Some(worker) = model.fleet.workers.get(id) else {
        Panel::new(format!("{id} is gone")).draw(area, buffer);
        return;
    };
    let height = u16::try_from(about(ctx, worker).len()).unwrap_or(u16::MAX).saturating_add(2);
    let (top, rest) = split_top(area, height.min(area.height / 2));
    detail(ctx, top, buffer, worker);
    let (log_area, said_area) = if is_wide(area) {
        split_left(rest, rest.width * 11 / 20)
    } else {
        split_bottom(rest, (rest.height / 3).max(4))
    };
    let mut panel = Panel::new("log").focused(model.ui.focus == Pane::Text);
    if let Some(cause) = model.worker_log.as_ref().and_then(|it| it.broken.as_ref()) {
        panel = panel.right(Line::from(safe(&format!("▲ {cause}"), Tone::Warn)));
    }
    lines::framed(ctx, log_area, buffer, Reading::WorkerLog, panel, None);
    let panel = Panel::new("narration").focused(model.ui.focus == Pane::Narration);
    lines::framed(ctx, said_area, buffer, Reading::Worker, panel, None);
}

fn table(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let rows = model.ui.workers.shown(&model.fleet.workers);
    let total = rows.clone().count();
    let at = model.ui.workers.id().and_then(|id| rows.clone().position(|(key, _)| key == id));
    let mut panel = Panel::new(title(model, ListName::Workers, "Workers")).focused(true);
    if let Some(at) = at {
        panel = panel.bottom_right(format!("{}/{total}", at + 1));
    }
    let inner = panel.draw(area, buffer);
    if total == 0 && model.ui.workers.filter.is_empty() && inner.height > 1 {
        let note = "No workers. One is started for a model when somebody asks it something.";
        let line = Line::from(word(note, Tone::Quiet));
        cut_line(buffer, inner.x + 1, inner.y + 1, &line, inner.width.saturating_sub(2));
    }
    Table { columns: &COLUMNS, selection: &model.ui.workers, focused: true }.draw(
        inner,
        buffer,
        rows,
        |worker| !model.is_current(&worker.hive_id) || worker.state.is_ended(),
        |worker, column| {
            let (sign, tone) = sign(model, worker);
            match column {
                0 => {
                    Line::from(vec![word(format!("{sign} "), tone), Span::raw(worker.id.as_str())])
                }
                1 => Line::from(safe(short_model(&worker.model), Tone::Plain)),
                2 => Line::from(worker.hive_id.as_str()),
                3 => Line::from(worker.device.as_str()),
                4 => Line::from(word(state(worker), tone)),
                5 => Line::from(slots(worker)),
                6 => Line::from(rate(worker.tokens_per_second)),
                7 => Line::from(latency(worker.time_to_first_token_ms)),
                8 => Line::from(share(worker.kv_cache_share())),
                9 => Line::from(bytes(worker.memory_bytes)),
                10 => Line::from(
                    worker.context_length.map_or_else(|| UNKNOWN.to_owned(), |n| n.to_string()),
                ),
                _ => Line::from(up(ctx, worker)),
            }
        },
    );
}

fn detail(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer, worker: &WorkerRecord) {
    let inner = Panel::new(worker.id.to_string()).draw(area, buffer);
    let lines = about(ctx, worker);
    for (line, y) in lines.iter().zip(inner.y..inner.bottom()) {
        cut_line(buffer, inner.x + 1, y, line, inner.width.saturating_sub(2));
    }
    if !ctx.model.is_current(&worker.hive_id) {
        buffer.set_style(inner, Tone::Quiet.style());
    }
}

/// Everything that is known about a worker.
fn about<'a>(ctx: &Ctx<'_>, worker: &WorkerRecord) -> Vec<Line<'a>> {
    let (sign, tone) = sign(ctx.model, worker);
    let label = |text: &'static str| word(text, Tone::Quiet);
    let number = |n: Option<u32>| n.map_or_else(|| UNKNOWN.to_owned(), |n| n.to_string());
    let mut lines = vec![
        Line::from(vec![
            label("state    "),
            word(format!("{sign} {}", state(worker)), tone),
            label("   up "),
            Span::raw(up(ctx, worker)),
            label("   life "),
            Span::raw(worker.incarnation.to_string()),
            label("   slots "),
            Span::raw(slots(worker)),
            Span::raw("  "),
            slot_bar(worker),
        ]),
        Line::from(vec![label("model    "), safe(worker.model.as_str(), Tone::Plain)]),
        Line::from(vec![
            label("runs on  "),
            Span::raw(format!("{} of {}", worker.device, worker.hive_id)),
            label("   pid "),
            Span::raw(number(worker.pid)),
            label("   threads "),
            Span::raw(number(worker.threads)),
        ]),
        Line::from(vec![
            label("memory   "),
            Span::raw(bytes(worker.memory_bytes)),
            label("   context "),
            Span::raw(number(worker.context_length)),
        ]),
        Line::from(vec![
            label("pace     "),
            Span::raw(rate(worker.tokens_per_second)),
            label(" tok/s   ttft "),
            Span::raw(latency(worker.time_to_first_token_ms)),
            label("   kv "),
            Span::raw(kv_cache(worker)),
        ]),
    ];
    let version = worker.version.as_deref().unwrap_or(UNKNOWN);
    let is_other = ctx.model.worker_skew(worker).is_some();
    let mut lives = vec![
        label("restarts "),
        Span::raw(number(worker.restarts)),
        label("   last heard of "),
        Span::raw(worker.last_heartbeat_at.map_or_else(|| UNKNOWN.to_owned(), |at| ctx.clock(at))),
        label("   version "),
        safe(version, if is_other { Tone::Warn } else { Tone::Plain }),
        word(if is_other { " ▲ not the queen's" } else { "" }, Tone::Warn),
    ];
    if let Some(at) = worker.retry_at {
        lives.push(word(format!("   started again at {}", ctx.clock(at)), Tone::Warn));
    }
    lines.push(Line::from(lives));
    if let Some(exit) = &worker.last_exit {
        let how = match (exit.code, exit.signal) {
            (_, Some(signal)) => format!("signal {signal}"),
            (Some(code), None) => format!("exit code {code}"),
            (None, None) => UNKNOWN.to_owned(),
        };
        lines.push(Line::from(vec![
            label("last end "),
            Span::raw(format!("{} {how}: ", ctx.clock(exit.at))),
            safe(&exit.reason, Tone::Warn),
        ]));
        lines.extend(exit.log_tail.iter().map(|line| Line::from(safe(line, Tone::Quiet))));
    }
    let url = worker.url.as_deref().unwrap_or(UNKNOWN);
    lines.push(Line::from(vec![label("address  "), safe(url, Tone::Plain)]));
    let log = worker.log_file.as_deref().unwrap_or(UNKNOWN);
    lines.push(Line::from(vec![label("log      "), safe(log, Tone::Plain)]));
    lines
}

/// `6% of 32768 tokens`
fn kv_cache(worker: &WorkerRecord) -> String {
    match (worker.kv_cache_share(), worker.kv_cache_capacity_tokens) {
        (Some(part), Some(capacity)) => format!("{} of {capacity} tokens", share(Some(part))),
        _ => UNKNOWN.to_owned(),
    }
}

/// The workers of a machine in its detail.
pub(super) fn brief<'a>(
    model: &Model,
    workers: impl Iterator<Item = &'a WorkerRecord>,
    width: u16,
) -> Vec<Line<'static>> {
    lines_of(&BRIEF, width, workers, |worker, column| {
        let (sign, tone) = sign(model, worker);
        match column {
            0 => Line::from(word(format!("{sign} {}", worker.id), tone)),
            1 => Line::from(safe(short_model(&worker.model), Tone::Plain)),
            // One that serves says so by its slots.
            2 if worker.state.is_serving() => Line::from(slots(worker)),
            2 => Line::from(word(state(worker), tone)),
            3 => Line::from(rate(worker.tokens_per_second)),
            4 => Line::from(latency(worker.time_to_first_token_ms)),
            _ => Line::from(share(worker.kv_cache_share())),
        }
    })
}

/// The view without frames.
pub(super) fn plain<'a>(ctx: &Ctx<'a>) -> Vec<Line<'a>> {
    let rows = ctx.model.ui.workers.shown(&ctx.model.fleet.workers);
    let rows = rows.map(|(id, worker)| {
        let (sign, tone) = sign(ctx.model, worker);
        let line = Line::from(vec![
            word(format!("{sign} {id} {} ", state(worker)), tone),
            safe(worker.model.as_str(), Tone::Plain),
        ]);
        (id.clone(), line)
    });
    plain_list(ctx, rows, ctx.model.ui.workers.id())
}

/// One worker without frames; its log goes below.
pub(super) fn plain_one<'a>(ctx: &Ctx<'_>, id: &WorkerId) -> Vec<Line<'a>> {
    match ctx.model.fleet.workers.get(id) {
        Some(worker) => about(ctx, worker).into_iter().take(2).collect(),
        None => vec![Line::from(word("It is gone.", Tone::Quiet))],
    }
}
