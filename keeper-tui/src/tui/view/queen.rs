//! The queen and the way to her.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{
    connection_spans,
    context::Ctx,
    cut_line, lines, split_top,
    widgets::{Panel, UNKNOWN, latency, safe, word},
};
use crate::tui::{
    state::{connection::Connection, reading::Reading},
    theme::Tone,
};

/// Draws the view.
pub(super) fn draw(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let facts = facts(ctx);
    let height = u16::try_from(facts.len()).unwrap_or(u16::MAX).saturating_add(2);
    let (top, below) = split_top(area, height.min(area.height * 2 / 3));
    let inner = Panel::new("The queen").draw(top, buffer);
    for (line, y) in facts.iter().zip(inner.y..inner.bottom()) {
        cut_line(buffer, inner.x + 1, y, line, inner.width.saturating_sub(2));
    }
    let panel = Panel::new("Errors and commands").focused(true);
    lines::framed(ctx, below, buffer, Reading::Diary, panel, None);
}

fn fact<'a>(name: &'static str, value: impl Into<Span<'a>>) -> Line<'a> {
    Line::from(vec![word(format!("{name:<10}"), Tone::Quiet), value.into()])
}

fn facts<'a>(ctx: &Ctx<'_>) -> Vec<Line<'a>> {
    let model = ctx.model;
    let queen = model.fleet.queen.as_ref();
    let build = model.queen.build.as_ref();
    let mut state = vec![word(format!("{:<10}", "state"), Tone::Quiet)];
    state.extend(connection_spans(model));
    if let Some(queen) = queen {
        let since = match model.connection {
            Connection::Live => ctx.age(queen.started_at),
            _ => UNKNOWN.to_owned(),
        };
        state.push(word("   up ", Tone::Quiet));
        state.push(Span::raw(since));
    }
    let measured = model.queen.latency.filter(|_| model.connection.is_live());
    let measured = measured.map_or_else(
        || UNKNOWN.to_owned(),
        |it| format!("{:.1} ms for a question and its answer", it.as_secs_f64() * 1000.0),
    );
    if let Some(at) = model.queen.measure_at.filter(|_| model.connection.is_live()) {
        ctx.changes_at(at);
    }
    let version = build.map(|it| &it.version).or(queen.map(|it| &it.version));
    let features = build.map(|it| &it.features).or(queen.map(|it| &it.features));
    let features = match features {
        None => UNKNOWN.to_owned(),
        Some(none) if none.is_empty() => "none".to_owned(),
        Some(some) => some.join(", "),
    };
    let mut versions = fact("version", safe(version.map_or(UNKNOWN, String::as_str), Tone::Plain));
    if model.keeper_skew().is_some() {
        let text = format!("   ▲ this keeper is {}", model.version);
        versions.push_span(word(text, Tone::Warn));
    }
    let mut lines = vec![
        Line::from(state),
        fact("address", safe(&model.address, Tone::Plain)),
        fact("latency", Span::raw(measured)),
        Line::from(vec![
            word(format!("{:<10}", "link"), Tone::Quiet),
            Span::raw(format!(
                "{} connected, {} failed",
                model.queen.connections, model.queen.failures
            )),
        ]),
        versions,
        fact("features", safe(&features, Tone::Plain)),
    ];
    if let Some(build) = build {
        let text = format!("{} of {}", build.git_sha, build.build_timestamp);
        lines.push(fact("build", safe(&text, Tone::Plain)));
    }
    if let Some(queen) = queen {
        let text = format!(
            "{} waiting for a slot, {} heartbeats refused",
            queen.queued, queen.heartbeats_ignored
        );
        lines.push(fact("work", Span::raw(text)));
        let text = queen.time_to_first_token.map_or_else(
            || UNKNOWN.to_owned(),
            |it| {
                let (p50, p95) = (latency(Some(it.p50_ms)), latency(Some(it.p95_ms)));
                format!("p50 {p50}, p95 {p95} over the newest {}", it.requests)
            },
        );
        lines.push(fact("ttft", Span::raw(text)));
    }
    let config = model.queen.config.as_deref().unwrap_or(UNKNOWN);
    lines.push(fact("config", safe(config, Tone::Plain)));
    lines
}

/// The view without frames; the diary goes below.
pub(super) fn plain<'a>(ctx: &Ctx<'_>) -> Vec<Line<'a>> {
    let mut lines = facts(ctx);
    lines.truncate(usize::from(ctx.model.size.1 / 2));
    lines
}
