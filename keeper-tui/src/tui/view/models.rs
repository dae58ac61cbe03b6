//! Models on the disks of the fleet, and those on their way there.

use protocol::{
    HiveId, ModelRef,
    job::{JobRecord, Progress},
    model::ModelState,
};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{
    context::{Ctx, span},
    plain_list, split_bottom,
    table::{Column, Table, figures, growing, words},
    widgets::{Panel, UNKNOWN, bytes, cut_line, meter, model_sign, safe, short_model, word},
    with_detail,
};
use crate::tui::{
    state::{
        lists::ListName,
        models::{Reading, Row, STALLED, is_download},
    },
    theme::Tone,
    update::lists::title,
};

const COLUMNS: [Column; 8] = [
    growing("MODEL", 24, 0),
    words("HIVE", 8, 2),
    words("STATE", 11, 1),
    figures("SIZE", 6, 4),
    words("QUANT", 8, 5),
    figures("CTX", 7, 6),
    Column { grow: 2, ..growing("DOWNLOAD", 26, 3) },
    words("USED BY", 12, 7),
];

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
    let Some(job) = job else {
        spans.push(amount);
        return Line::from(spans);
    };
    // The amounts last: they are what can be cut off.
    let since = ctx.model.models.progressed(&job.id);
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

fn users(ctx: &Ctx<'_>, model: &ModelRef, hive: &HiveId) -> String {
    let workers = ctx.model.fleet.workers.values();
    let running = |id: &ModelRef| id == model;
    let users: Vec<&str> = workers
        .filter(|it| it.hive_id == *hive && running(&it.model) && !it.state.is_ended())
        .map(|it| it.id.as_str())
        .collect();
    users.join(" ")
}

/// Draws the view.
pub(super) fn draw(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let (list, below) = with_detail(area, 13, 8);
    table(ctx, list, buffer);
    if let Some(below) = below {
        detail(ctx, below, buffer);
    }
}

fn standing<'a>(ctx: &Ctx<'_>) -> Line<'a> {
    match &ctx.model.models.reading {
        Reading::Due | Reading::Asked => Line::from(word("reading…", Tone::Working)),
        Reading::Known if ctx.model.models.missing.is_empty() => Line::default(),
        Reading::Known => {
            let missing = ctx.model.models.missing.len();
            Line::from(word(format!("▲ {missing} not asked"), Tone::Warn))
        }
        Reading::Failed { .. } => Line::from(word("✗ not read", Tone::Bad)),
    }
}

/// Why the list may not be all there is.
fn shortcoming<'a>(ctx: &Ctx<'_>) -> Option<Line<'a>> {
    let models = &ctx.model.models;
    match &models.reading {
        Reading::Failed { cause, retry_at: Some(at) } => {
            let seconds = ctx.seconds_until(*at);
            let text = format!("✗ Not read: {cause}. Again in {seconds}s (^r now)");
            Some(Line::from(safe(&text, Tone::Bad)))
        }
        Reading::Failed { cause, retry_at: None } => {
            Some(Line::from(safe(&format!("✗ Not read: {cause}. ^r tries again"), Tone::Bad)))
        }
        Reading::Known => {
            let first = models.missing.first()?;
            Some(Line::from(safe(&format!("▲ {first}"), Tone::Warn)))
        }
        Reading::Due | Reading::Asked => None,
    }
}

fn table(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let all = model.models.rows(&model.fleet);
    let listed = model.models.listed(&model.fleet);
    let rows = model.ui.models.shown(&listed).filter_map(|(key, _)| all.get_key_value(key));
    let total = rows.clone().count();
    let at = model.ui.models.id().and_then(|id| rows.clone().position(|(key, _)| key == id));
    let mut panel =
        Panel::new(title(model, ListName::Models, "Models")).focused(true).right(standing(ctx));
    if let Some(at) = at {
        panel = panel.bottom_right(format!("{}/{total}", at + 1));
    }
    let mut inner = panel.draw(area, buffer);
    if let Some(line) = shortcoming(ctx) {
        let (above, below) = split_bottom(inner, 1);
        cut_line(buffer, below.x + 1, below.y, &line, below.width.saturating_sub(2));
        inner = above;
    }
    let is_all = model.ui.models.filter.is_empty();
    if total == 0 && is_all && inner.height > 1 && model.models.reading == Reading::Known {
        let note = "No models on disk. One is fetched with: rbee-keeper model download MODEL";
        let line = Line::from(word(note, Tone::Quiet));
        cut_line(buffer, inner.x + 1, inner.y + 1, &line, inner.width.saturating_sub(2));
    }
    Table { columns: &COLUMNS, selection: &model.ui.models, focused: true }.draw(
        inner,
        buffer,
        rows.map(|(key, row)| (key, (key, row))),
        |((_, hive), _)| !model.is_current(hive),
        |((id, hive), row), column| {
            let (sign, tone) = model_sign(row.state());
            let record = row.record;
            match column {
                0 => Line::from(vec![
                    word(format!("{sign} "), tone),
                    safe(short_model(id), Tone::Plain),
                ]),
                1 => Line::from(hive.as_str()),
                2 => Line::from(word(row.state().as_str(), tone)),
                3 => Line::from(bytes(record.map(|it| it.bytes))),
                4 => {
                    let stored = record.and_then(|it| it.quantisation.as_deref());
                    Line::from(safe(stored.unwrap_or(UNKNOWN), Tone::Plain))
                }
                5 => {
                    let context = record.and_then(|it| it.context_length);
                    Line::from(context.map_or_else(|| UNKNOWN.to_owned(), |n| n.to_string()))
                }
                6 => condition(ctx, row),
                _ => Line::from(users(ctx, id, hive)),
            }
        },
    );
}

fn detail(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let rows = model.models.rows(&model.fleet);
    let Some((id, hive)) = model.ui.models.id().filter(|key| rows.contains_key(key)) else {
        Panel::new("No model selected").draw(area, buffer);
        return;
    };
    let inner = Panel::new(short_model(id).to_owned()).draw(area, buffer);
    let label = |text: &'static str| word(text, Tone::Quiet);
    let mut lines = vec![Line::from(vec![label("model    "), safe(id.as_str(), Tone::Strong)])];
    if let Some(row) = rows.get(&(id.clone(), hive.clone())) {
        let (sign, tone) = model_sign(row.state());
        let mut spans = vec![
            label("state    "),
            word(format!("{sign} {} ", row.state().as_str()), tone),
            Span::raw(format!("on {hive}  ")),
        ];
        spans.extend(condition(ctx, row));
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
    }
    for ((_, where_), row) in rows.iter().filter(|((it, _), _)| it == id) {
        let users = users(ctx, id, where_);
        let users = if users.is_empty() { "nobody".to_owned() } else { users };
        lines.push(Line::from(vec![
            label("on       "),
            Span::raw(format!("{where_:<12} ")),
            word(row.state().as_str(), model_sign(row.state()).1),
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
    let all = ctx.model.models.rows(&ctx.model.fleet);
    let listed = ctx.model.models.listed(&ctx.model.fleet);
    let shown = ctx.model.ui.models.shown(&listed);
    let rows: Vec<_> = shown
        .filter_map(|(key, _)| all.get_key_value(key))
        .map(|(key, row)| {
            let (sign, tone) = model_sign(row.state());
            let mut spans = vec![
                word(format!("{sign} {} ", row.state().as_str()), tone),
                safe(&format!("{} {} ", short_model(&key.0), key.1), Tone::Plain),
            ];
            spans.extend(condition(ctx, row));
            (key.clone(), Line::from(spans))
        })
        .collect();
    let mut lines: Vec<Line<'a>> = shortcoming(ctx).into_iter().collect();
    lines.extend(plain_list(ctx, rows.into_iter(), ctx.model.ui.models.id()));
    lines
}
