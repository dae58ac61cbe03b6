//! Jobs: all of them, and one with what it says and generates.

use protocol::{
    JobId,
    inference::FinishReason,
    job::{EndMarker, JobRecord, JobState},
};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{
    context::{Ctx, span},
    is_wide, lines, plain_list, split_bottom, split_left,
    table::{Column, Table, figures, growing, words},
    widgets::{Panel, UNKNOWN, cut_line, job_sign, meter, rate, safe, short_model, word},
};
use crate::tui::{
    actions::{Slot, Target, Verb, available},
    keymap::{Action, Context},
    state::{
        Model, Pane, View, lists::ListName, reading::Reading, selection::Selection,
        streams::JobStream,
    },
    theme::Tone,
    update::lists::{is_special, title as title_of},
};

const COLUMNS: [Column; 8] = [
    words("JOB", 8, 0),
    words("STATE", 9, 1),
    words("OPERATION", 14, 2),
    words("HIVE", 10, 5),
    growing("MODEL", 14, 6),
    Column { grow: 2, ..growing("PROGRESS", 16, 3) },
    figures("WHEN", 8, 7),
    figures("TOOK", 6, 4),
];

/// How far it is, or what it said last, or why it failed.
fn progress<'a>(job: &JobRecord) -> Line<'a> {
    if let Some(error) = &job.error {
        return Line::from(safe(&error.one_line(), Tone::Bad));
    }
    let fraction = job.progress.as_ref().and_then(protocol::job::Progress::fraction);
    if let Some(fraction) = fraction.filter(|_| !job.state.is_ended()) {
        let mut spans = meter(Some(fraction * 100.0), 8);
        if let Some(eta) = job.progress.as_ref().and_then(|it| it.eta_s)
            && let Ok(eta) = std::time::Duration::try_from_secs_f64(eta)
        {
            spans.push(word(format!("  {} left", span(eta)), Tone::Quiet));
        }
        return Line::from(spans);
    }
    Line::from(safe(job.last_message.as_deref().unwrap_or(""), Tone::Quiet))
}

/// How long it ran, or has been running.
fn took(ctx: &Ctx<'_>, job: &JobRecord) -> String {
    match (job.started_at, job.ended_at) {
        (Some(start), Some(end)) => {
            span(std::time::Duration::try_from(end.duration_since(start)).unwrap_or_default())
        }
        (Some(start), None) if ctx.model.connection.is_live() => ctx.age(start),
        (_, _) => UNKNOWN.to_owned(),
    }
}

/// Draws the view.
pub(super) fn draw(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    panel(ctx, area, buffer);
}

/// The jobs in their frame; also at the foot of a large view `fleet`, where no
/// key reaches them.
pub(super) fn panel(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let is_view = model.ui.view != View::Fleet;
    let nothing = Selection::newest_first();
    let selection = if is_view { &model.ui.jobs } else { &nothing };
    let rows = selection.shown(&model.fleet.jobs);
    let all = || rows.clone().map(|(_, job)| job);
    let running = all().filter(|it| !it.state.is_ended()).count();
    let failed = all().filter(|it| it.state == JobState::Failed).count();
    let title = if is_view && is_special(model, ListName::Jobs) {
        title_of(model, ListName::Jobs, "Jobs")
    } else {
        format!("Jobs  {running} running  {failed} failed  {} in all", all().count())
    };
    let inner = Panel::new(title).focused(is_view).draw(area, buffer);
    if all().next().is_none() && selection.filter.is_empty() && inner.height > 1 {
        let line = Line::from(word("Nobody has asked for anything yet.", Tone::Quiet));
        cut_line(buffer, inner.x + 1, inner.y + 1, &line, inner.width.saturating_sub(2));
    }
    Table { columns: &COLUMNS, selection, focused: is_view }.draw(
        inner,
        buffer,
        rows,
        |_| !model.connection.is_live(),
        |job, column| {
            let (sign, tone) = job_sign(job.state);
            match column {
                0 => Line::from(vec![word(format!("{sign} "), tone), Span::raw(job.id.short())]),
                1 => Line::from(word(job.state.as_str(), tone)),
                2 => Line::from(safe(&job.operation, Tone::Plain)),
                3 => Line::from(job.hive_id.as_ref().map_or(UNKNOWN, |it| it.as_str())),
                4 => {
                    let model = job.model.as_ref().map_or(UNKNOWN, short_model);
                    Line::from(safe(model, Tone::Plain))
                }
                5 => progress(job),
                6 => Line::from(ctx.when(job.created_at)),
                _ => Line::from(took(ctx, job)),
            }
        },
    );
}

/// Draws one job.
pub(super) fn draw_one(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer, job: &JobId) {
    if !ctx.model.generates(job) {
        narration(ctx, area, buffer, job, true);
        return;
    }
    let (first, second) = if is_wide(area) {
        split_left(area, area.width * 11 / 20)
    } else {
        split_bottom(area, (area.height / 3).max(4))
    };
    text(ctx, first, buffer, job);
    narration(ctx, second, buffer, job, false);
}

fn title<'a>(ctx: &Ctx<'_>, job: &JobId) -> Line<'a> {
    let record = ctx.model.fleet.jobs.get(job);
    let mut spans = vec![safe(record.map_or("job", |it| it.operation.as_str()), Tone::Plain)];
    spans.push(Span::raw(format!(" {}", job.short())));
    if let Some(record) = record {
        if let Some(hive) = &record.hive_id {
            spans.push(Span::raw(format!("  {hive}")));
            if let Some(worker) = &record.worker_id {
                spans.push(Span::raw(format!("/{worker}")));
            }
        }
        if let Some(model) = &record.model {
            spans.push(Span::raw("  "));
            spans.push(safe(model.as_str(), Tone::Plain));
        }
    }
    Line::from(spans)
}

/// The sign and the word for where a job stands, by whoever knows more.
pub(super) fn standing<'a>(model: &Model, job: &JobId) -> Vec<Span<'a>> {
    let stream = model.streams.job(job);
    let ended = stream.and_then(|it| it.end.as_ref()).map(|end| match end {
        EndMarker::Done => JobState::Done,
        EndMarker::Error(_) => JobState::Failed,
        EndMarker::Cancelled => JobState::Cancelled,
    });
    let state = ended.or_else(|| model.fleet.jobs.get(job).map(|it| it.state));
    if ended.is_none() && stream.is_some_and(|it| it.broken.is_some()) {
        return vec![word("▲ NOT LISTENING", Tone::Warn)];
    }
    let streams = stream.is_some_and(|it| it.pace.count > 0);
    let (sign, text, tone) = match state {
        None if !streams => ("◌", "WAITING".to_owned(), Tone::Working),
        Some(JobState::Running) | None if streams => ("●", "STREAMING".to_owned(), Tone::Good),
        Some(state) => {
            let (sign, tone) = job_sign(state);
            (sign, state.as_str().to_uppercase(), tone)
        }
        None => ("◌", UNKNOWN.to_owned(), Tone::Quiet),
    };
    vec![word(format!("{sign} "), tone), word(text, tone)]
}

/// TTFT, pace and count of an answer.
pub(super) fn figures_of(stream: &JobStream, asked_at: Option<protocol::Timestamp>) -> String {
    let mut parts = Vec::new();
    let stats = stream.stats.as_ref();
    let measured = asked_at
        .zip(stream.pace.first)
        .map(|(asked, first)| first.duration_since(asked).as_secs_f64().max(0.0) * 1000.0);
    if let Some(ms) = stats.and_then(|it| it.time_to_first_token_ms).or(measured) {
        parts.push(format!("ttft {ms:.0} ms"));
    }
    match stats.and_then(|it| it.tokens_per_second).or_else(|| stream.pace.mean()) {
        mean if stats.is_some() || stream.end.is_some() => {
            parts.push(format!("{} tok/s", rate(mean)));
        }
        mean => {
            let current = rate(stream.pace.current());
            parts.push(format!("{current} tok/s (mean {})", rate(mean)));
        }
    }
    let count = stats.map_or(stream.pace.count, |it| u64::from(it.generated_tokens));
    parts.push(format!("{count} tok"));
    parts.extend(stats.map(|it| match it.finish_reason {
        FinishReason::Stop => "ended by stop".to_owned(),
        FinishReason::Length => "ended by length".to_owned(),
        FinishReason::ContextFull => "ended by context full".to_owned(),
    }));
    parts.join("  ")
}

fn text(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer, job: &JobId) {
    let model = ctx.model;
    let panel = Panel::new(title(ctx, job))
        .focused(model.ui.focus == Pane::Text)
        .right(Line::from(standing(model, job)));
    let asked_at = model.fleet.jobs.get(job).map(|it| it.created_at);
    let figures = model.streams.job(job).map(|stream| figures_of(stream, asked_at));
    lines::framed(ctx, area, buffer, Reading::JobText, panel, figures);
}

/// What one job says.
pub(super) fn narration(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer, job: &JobId, alone: bool) {
    let model = ctx.model;
    let focused = model.ui.focus == Pane::Narration || alone;
    let panel = if alone {
        Panel::new(title(ctx, job)).right(Line::from(standing(model, job)))
    } else {
        Panel::new("narration")
    };
    let area = match last_word(ctx, job) {
        Some(line) if area.height > 4 => {
            let (above, below) = split_bottom(area, 1);
            cut_line(buffer, below.x + 2, below.y, &line, below.width.saturating_sub(3));
            above
        }
        _ => area,
    };
    let keys = what_next(model, job);
    lines::framed(ctx, area, buffer, Reading::Job, panel.focused(focused), keys);
}

/// The keys that help with a job that failed.
fn what_next(model: &Model, job: &JobId) -> Option<String> {
    let has_failed = model.fleet.jobs.get(job).is_some_and(|it| it.state == JobState::Failed)
        || model.streams.job(job).is_some_and(|it| matches!(it.end, Some(EndMarker::Error(_))));
    let target = Target::Job(job.clone());
    let again = available(model, Verb::Retry, &target).is_ok();
    let key = |action| model.keymap.label(action);
    let more = key(Action::ShowActions);
    has_failed.then(|| match again {
        true => format!("{} tries again  {more} more", key(Action::Do(Slot::Again))),
        false => format!("{more} what can be done"),
    })
}

/// How it ended, or why nothing more is heard of it.
pub(super) fn last_word<'a>(ctx: &Ctx<'_>, job: &JobId) -> Option<Line<'a>> {
    let model = ctx.model;
    let stream = model.streams.job(job);
    if let Some(EndMarker::Error(cause)) = stream.and_then(|it| it.end.as_ref()) {
        return Some(Line::from(safe(&format!("✗ {cause}"), Tone::Bad)));
    }
    if let Some(broken) = stream.and_then(|it| it.broken.as_ref()) {
        let at = ctx.clock(broken.at);
        let key = model.keymap.label_in(Context::Detached, Action::Attach);
        let text = format!(
            "▲ Stopped listening at {at}; the job may still run ({key} listens again): {}",
            broken.cause
        );
        return Some(Line::from(safe(&text, Tone::Warn)));
    }
    let error = model.fleet.jobs.get(job)?.error.as_ref()?;
    Some(Line::from(safe(&format!("✗ {}", error.one_line()), Tone::Bad)))
}

/// One line about an answer beside others.
pub(super) fn stream_head<'a>(ctx: &Ctx<'_>, job: &JobId) -> Line<'a> {
    let model = ctx.model;
    let mut spans = vec![word(job.short().to_owned(), Tone::Strong), Span::raw("  ")];
    let record = model.fleet.jobs.get(job);
    if let Some(worker) = record.and_then(|it| it.worker_id.as_ref()) {
        spans.push(Span::raw(format!("{worker}  ")));
    }
    match model.streams.job(job) {
        Some(stream) => {
            spans.push(Span::raw(figures_of(stream, record.map(|it| it.created_at))));
        }
        None => spans.push(word("waiting", Tone::Quiet)),
    }
    Line::from(spans)
}

/// The view without frames.
pub(super) fn plain<'a>(ctx: &Ctx<'a>) -> Vec<Line<'a>> {
    let rows = ctx.model.ui.jobs.shown(&ctx.model.fleet.jobs);
    let rows = rows.map(|(id, job)| {
        let (sign, tone) = job_sign(job.state);
        let mut line = Line::from(vec![
            word(format!("{sign} {} {} ", id.short(), job.state.as_str()), tone),
            safe(&job.operation, Tone::Plain),
            Span::raw(" "),
        ]);
        line.extend(progress(job));
        (id.clone(), line)
    });
    plain_list(ctx, rows, ctx.model.ui.jobs.id())
}

/// One job without frames; what it says or generates goes below.
pub(super) fn plain_one<'a>(ctx: &Ctx<'_>, job: &JobId) -> Vec<Line<'a>> {
    let mut lines = vec![title(ctx, job), Line::from(standing(ctx.model, job))];
    lines.extend(last_word(ctx, job));
    lines
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::tui::{
        fixture::{Stage, empty_fleet, job},
        keymap::Keymap,
    };

    #[test]
    fn the_keys_below_a_failed_job_are_the_operators_own() {
        let mut stage = Stage::new((80, 24));
        let failed = job("job-1", "worker_spawn", JobState::Failed, 1);
        let id = failed.id.clone();
        stage.connect(protocol::fleet::Snapshot { jobs: vec![failed], ..empty_fleet() });
        let said = |stage: &Stage| what_next(&stage.model, &id).unwrap();
        assert_eq!(said(&stage), "r tries again  a more");
        let keys = "[keys.selection]\nagain = \"R\"\nactions = \"Ctrl-e\"\n";
        let config = config::Config::parse(Path::new("/c/config.toml"), keys).unwrap();
        let (keymap, problems) = Keymap::read(&config.keys);
        assert_eq!(problems, []);
        stage.model.set_keymap(keymap);
        assert_eq!(said(&stage), "R tries again  ^e more");
    }
}
