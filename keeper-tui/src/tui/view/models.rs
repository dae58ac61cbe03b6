//! Models on the disks of the fleet, and those on their way there.

use protocol::{
    HiveId,
    fleet::{DiskRecord, HiveRecord},
    job::{JobRecord, Progress},
    model::{ModelRecord, ModelState},
};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{
    context::{Ctx, span},
    hives, plain_list, split_bottom,
    table::{Column, Table, figures, growing, words},
    widgets::{Panel, UNKNOWN, bytes, cut_line, meter, model_sign, safe, short_model, word},
    with_detail,
};
use crate::tui::{
    state::{
        lists::ListName,
        models::{Row, STALLED, is_download},
    },
    theme::Tone,
    update::lists::title,
};

const COLUMNS: [Column; 9] = columns(3);
/// While nothing is fetched, what a model is comes before how far it is.
const COLUMNS_AT_REST: [Column; 9] = columns(9);

const fn columns(rank_of_download: u8) -> [Column; 9] {
    [
        growing("MODEL", 23, 0),
        words("HIVE", 9, 2),
        words("STATE", 11, 1),
        figures("SIZE", 6, 4),
        words("QUANT", 8, 5),
        figures("CTX", 7, 6),
        Column { grow: 2, ..growing("DOWNLOAD", 26, rank_of_download) },
        words("USED BY", 12, 7),
        figures("SEEN", 6, 8),
    ]
}

/// An amount per second.
fn pace(rate: f64) -> String {
    if rate >= 1e9 { format!("{:.1} GB/s", rate / 1e9) } else { format!("{:.1} MB/s", rate / 1e6) }
}

/// How far it is: a bar when the whole is known, then how much, how fast, how
/// long still; or since when nothing comes.
fn progress<'a>(ctx: &Ctx<'_>, progress: &Progress, job: Option<&JobRecord>) -> Line<'a> {
    let mut spans = Vec::new();
    if let Some(fraction) = progress.fraction() {
        spans.extend(meter(Some(fraction * 100.0), 8));
        spans.push(Span::raw("  "));
    }
    let done = bytes(Some(progress.done));
    let amount = Span::raw(match progress.total {
        Some(total) => format!("{done}/{}", bytes(Some(total))),
        None => done,
    });
    // The amounts last: they are what can be cut off.
    let since = job.and_then(|job| ctx.model.models.progressed(&job.id));
    if let Some(since) = since {
        ctx.changes_at(since + STALLED);
        if ctx.now.monotonic >= since + STALLED {
            let since = ctx.elapsed(since);
            spans.push(word(format!("stalled {since}  "), Tone::Warn));
            spans.push(amount);
            return Line::from(spans);
        }
    }
    if let Some(rate) = progress.rate {
        spans.push(Span::raw(format!("{}  ", pace(rate))));
    }
    if let Some(eta) = progress.eta_s.and_then(|it| std::time::Duration::try_from_secs_f64(it).ok())
    {
        spans.push(word(format!("eta {}  ", span(eta)), Tone::Quiet));
    }
    spans.push(amount);
    Line::from(spans)
}

/// How far it is, or why it cannot be used.
fn condition<'a>(ctx: &Ctx<'_>, row: &Row<'_>) -> Line<'a> {
    match (row.progress(), row.record.and_then(|it| it.error.as_ref())) {
        (Some(it), _) => progress(ctx, it, row.download),
        (None, Some(error)) => Line::from(safe(&error.one_line(), Tone::Bad)),
        (None, None) => Line::default(),
    }
}

fn users(record: Option<&ModelRecord>) -> String {
    let users = record.into_iter().flat_map(|it| &it.used_by);
    users.map(|it| it.as_str()).collect::<Vec<_>>().join(" ")
}

/// Draws the view.
pub(super) fn draw(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let (list, below) = with_detail(area, 13, 8);
    table(ctx, list, buffer);
    if let Some(below) = below {
        detail(ctx, below, buffer);
    }
}

/// The machines in question that are there and have told of no model.
fn silent<'a>(ctx: &Ctx<'a>) -> Vec<&'a HiveRecord> {
    let model = ctx.model;
    let is_silent =
        |hive: &&HiveRecord| model.is_current(&hive.id) && model.models.told(&hive.id) == 0;
    in_question(ctx).filter(is_silent).collect()
}

/// The machines in question whose models may not be what they were.
fn outdated<'a>(ctx: &Ctx<'a>) -> Vec<&'a HiveRecord> {
    let model = ctx.model;
    let is_outdated =
        |hive: &&HiveRecord| !model.is_current(&hive.id) && model.models.told(&hive.id) > 0;
    in_question(ctx).filter(is_outdated).collect()
}

/// All machines, or the one whose models are on the screen.
fn in_question<'a>(ctx: &Ctx<'a>) -> impl Iterator<Item = &'a HiveRecord> {
    let scope = ctx.model.ui.models.scope.as_ref();
    let hives = ctx.model.fleet.hives.values();
    hives.filter(move |it| scope.is_none_or(|scope| it.id == *scope))
}

fn standing<'a>(ctx: &Ctx<'_>) -> Line<'a> {
    if !ctx.model.connection.is_live() {
        return Line::from(word("STALE", Tone::Warn));
    }
    match (outdated(ctx).len(), silent(ctx).len()) {
        (0, 0) => Line::default(),
        (0, n) => Line::from(word(format!("▲ {n} not told"), Tone::Warn)),
        (n, _) => Line::from(word(format!("▲ {n} not live"), Tone::Warn)),
    }
}

/// Why the list may not be what is.
fn shortcoming<'a>(ctx: &Ctx<'_>) -> Option<Line<'a>> {
    if !ctx.model.connection.is_live() {
        return None;
    }
    if let Some(hive) = outdated(ctx).first() {
        let (id, seen) = (&hive.id, hives::seen(ctx, hive));
        let why = hive.reason.as_deref().unwrap_or("no word from it");
        let text = format!("▲ {id}: as it was {seen} ago, {}: {why}", hive.state.as_str());
        return Some(Line::from(safe(&text, Tone::Warn)));
    }
    let hive = silent(ctx).first().copied()?;
    let text = format!("▲ {} has not told which models it has", hive.id);
    Some(Line::from(safe(&text, Tone::Warn)))
}

/// The room on a machine's disk, in short.
pub(super) fn room(disk: Option<DiskRecord>) -> String {
    match disk {
        Some(disk) => {
            let [free, total] = [disk.free_bytes, disk.total_bytes].map(coarse);
            format!("{free} free of {total}")
        }
        None => format!("{UNKNOWN} free"),
    }
}

/// `212G`, `1.8T`: as much as says whether another model fits.
fn coarse(amount: u64) -> String {
    let gib = amount as f64 / (1_u64 << 30) as f64;
    match gib {
        gib if gib >= 999.5 => format!("{:.1}T", gib / 1024.0),
        gib if gib >= 9.95 => format!("{gib:.0}G"),
        _ => bytes(Some(amount)),
    }
}

/// How many models a machine has, and the room beside them.
pub(super) fn on_disk<'a>(ctx: &Ctx<'_>, hive: &HiveRecord) -> Line<'a> {
    let told = ctx.model.models.told(&hive.id);
    let count = if told == 0 { UNKNOWN.to_owned() } else { told.to_string() };
    Line::from(vec![
        word("MODELS", Tone::Quiet),
        Span::raw(format!(" on disk {count}  {}", room(hive.disk))),
    ])
}

fn table(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let rows = model.ui.models.shown(model.models.listed());
    let total = rows.clone().count();
    let selected = model.ui.models.id();
    let at = selected.and_then(|id| rows.clone().position(|(key, _)| key == id));
    let mut panel =
        Panel::new(title(model, ListName::Models, "Models")).focused(true).right(standing(ctx));
    let place = model.ui.models.scope.as_ref().or(selected.map(|(_, hive)| hive));
    if let Some(hive) = place.and_then(|id| model.fleet.hives.get(id)) {
        panel = panel.bottom_left(format!("{} {}", hive.id, room(hive.disk)));
    }
    if let Some(at) = at {
        panel = panel.bottom_right(format!("{}/{total}", at + 1));
    }
    let mut inner = panel.draw(area, buffer);
    if let Some(line) = shortcoming(ctx) {
        let (above, below) = split_bottom(inner, 1);
        cut_line(buffer, below.x + 1, below.y, &line, below.width.saturating_sub(2));
        inner = above;
    }
    let is_known = model.connection.is_live() && silent(ctx).is_empty();
    if total == 0 && is_known && model.ui.models.filter.is_empty() && inner.height > 1 {
        let note = "No models on disk. One is fetched with: rbee-keeper model download MODEL";
        let line = Line::from(word(note, Tone::Quiet));
        cut_line(buffer, inner.x + 1, inner.y + 1, &line, inner.width.saturating_sub(2));
    }
    let is_at_rest = model.models.listed().values().all(|it| it.state == ModelState::Ready);
    let columns = if is_at_rest { &COLUMNS_AT_REST } else { &COLUMNS };
    Table { columns, selection: &model.ui.models, focused: true }.draw(
        inner,
        buffer,
        rows,
        |listed| !model.is_current(&listed.hive),
        |listed, column| {
            let row = listed.row(&model.fleet);
            let record = row.record;
            let (sign, tone) = model_sign(listed.state);
            match column {
                0 => Line::from(vec![
                    word(format!("{sign} "), tone),
                    safe(short_model(&listed.model), Tone::Plain),
                ]),
                1 => Line::from(listed.hive.as_str()),
                2 => Line::from(word(listed.state.as_str(), tone)),
                3 => Line::from(bytes(record.map(|it| it.bytes))),
                4 => {
                    let stored = record.and_then(|it| it.quantisation.as_deref());
                    Line::from(safe(stored.unwrap_or(UNKNOWN), Tone::Plain))
                }
                5 => {
                    let context = record.and_then(|it| it.context_length);
                    Line::from(context.map_or_else(|| UNKNOWN.to_owned(), |n| n.to_string()))
                }
                6 => condition(ctx, &row),
                7 => Line::from(users(record)),
                _ => {
                    let hive = model.fleet.hives.get(&listed.hive);
                    Line::from(hive.map_or_else(|| UNKNOWN.to_owned(), |it| hives::seen(ctx, it)))
                }
            }
        },
    );
}

fn detail(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let listed = model.models.listed();
    let selected = model.ui.models.id().and_then(|key| listed.get_key_value(key));
    let Some(((id, hive), selected)) = selected else {
        Panel::new("No model selected").draw(area, buffer);
        return;
    };
    let inner = Panel::new(short_model(id).to_owned()).draw(area, buffer);
    let label = |text: &'static str| word(text, Tone::Quiet);
    let mut lines = vec![Line::from(vec![label("model    "), safe(id.as_str(), Tone::Strong)])];
    let row = selected.row(&model.fleet);
    let (sign, tone) = model_sign(selected.state);
    let mut spans = vec![
        label("state    "),
        word(format!("{sign} {} ", selected.state.as_str()), tone),
        Span::raw(format!("on {hive}  ")),
    ];
    spans.extend(condition(ctx, &row));
    lines.push(Line::from(spans));
    if let Some(record) = row.record {
        let number = |n: Option<u64>| n.map_or_else(|| UNKNOWN.to_owned(), |n| n.to_string());
        lines.push(Line::from(vec![
            label("size     "),
            Span::raw(bytes(Some(record.bytes))),
            label("   needs about "),
            Span::raw(bytes(record.memory_bytes_estimate)),
            label("   kind "),
            safe(record.architecture.as_deref().unwrap_or(UNKNOWN), Tone::Plain),
            label("   weights "),
            Span::raw(number(record.parameters)),
        ]));
        lines.push(Line::from(vec![
            label("from     "),
            Span::raw(record.source.as_str()),
            Span::raw("  "),
            safe(record.repo.as_deref().unwrap_or(""), Tone::Plain),
            label("   files "),
            Span::raw(record.files.len().to_string()),
        ]));
    }
    for ((_, where_), listed) in listed.iter().filter(|((it, _), _)| it == id) {
        let users = users(listed.row(&model.fleet).record);
        let users = if users.is_empty() { "nobody".to_owned() } else { users };
        lines.push(Line::from(vec![
            label("on       "),
            Span::raw(format!("{where_:<12} ")),
            word(listed.state.as_str(), model_sign(listed.state).1),
            label("   run by "),
            Span::raw(users),
        ]));
    }
    for (line, y) in lines.iter().zip(inner.y..inner.bottom()) {
        cut_line(buffer, inner.x + 1, y, line, inner.width.saturating_sub(2));
    }
    if !model.is_current(hive) {
        buffer.set_style(inner, Tone::Quiet.style());
    }
}

/// What is on its way to a machine.
pub(super) fn downloads<'a>(ctx: &Ctx<'_>, hive: &HiveId) -> Vec<Line<'a>> {
    let jobs = ctx.model.fleet.jobs.values();
    let its_own = jobs.filter(|it| is_download(it) && it.hive_id.as_ref() == Some(hive));
    its_own
        .map(|job| {
            let name = job.model.as_ref().map_or(UNKNOWN, short_model);
            let (sign, tone) = model_sign(ModelState::Downloading);
            let mut spans = vec![word(format!("{sign} "), tone), safe(name, Tone::Plain)];
            spans.push(Span::raw("  "));
            if let Some(it) = &job.progress {
                spans.extend(progress(ctx, it, Some(job)));
            }
            Line::from(spans)
        })
        .collect()
}

/// The view without frames.
pub(super) fn plain<'a>(ctx: &Ctx<'a>) -> Vec<Line<'a>> {
    let model = ctx.model;
    let rows = model.ui.models.shown(model.models.listed()).map(|(key, listed)| {
        let (sign, tone) = model_sign(listed.state);
        let mut spans = vec![
            word(format!("{sign} {} ", listed.state.as_str()), tone),
            safe(&format!("{} {} ", short_model(&key.0), key.1), Tone::Plain),
        ];
        spans.extend(condition(ctx, &listed.row(&model.fleet)));
        (key.clone(), Line::from(spans))
    });
    let mut lines: Vec<Line<'a>> = shortcoming(ctx).into_iter().collect();
    lines.extend(plain_list(ctx, rows, model.ui.models.id()));
    lines
}
