//! What is said of a machine wherever it is shown.

use protocol::{
    DeviceId, HiveId,
    fleet::{DeviceRecord, HiveRecord, HiveState},
};
use ratatui::text::Span;

use super::{
    context::Ctx,
    widgets::{UNKNOWN, graph, hive_sign},
};
use crate::tui::{
    state::{Model, totals::Crew},
    theme::Tone,
};

/// Its devices, the processor first.
pub(super) fn devices_of<'a>(
    model: &'a Model,
    hive: &'a HiveId,
) -> impl Iterator<Item = &'a DeviceRecord> + Clone {
    let first = (hive.clone(), DeviceId::cpu());
    model.fleet.devices.range(first..).take_while(move |(key, _)| key.0 == *hive).map(|it| it.1)
}

/// The sign and the word for a machine. Nothing is green while the queen is
/// away.
pub(super) fn condition(
    model: &Model,
    hive: &HiveRecord,
    crew: Crew,
) -> (&'static str, &'static str, Tone) {
    let (sign, tone) = hive_sign(hive.state);
    let (sign, text, tone) = match hive.state {
        HiveState::Ready if crew.starting > 0 => ("◐", "loading", Tone::Working),
        HiveState::Ready if crew.serving > 0 && crew.busy == crew.serving => (sign, "busy", tone),
        state => (sign, state.as_str(), tone),
    };
    if model.connection.is_live() || hive.state == HiveState::Lost {
        (sign, text, tone)
    } else {
        ("◌", text, Tone::Quiet)
    }
}

/// When a machine was last heard of. One that is well was heard of just now,
/// and that does not have to be counted.
pub(super) fn seen(ctx: &Ctx<'_>, hive: &HiveRecord) -> String {
    let live = ctx.model.connection.is_live();
    match hive.last_seen_at {
        _ if live && hive.state == HiveState::Ready => "now".to_owned(),
        None => UNKNOWN.to_owned(),
        Some(at) if live => ctx.age(at),
        Some(at) => format!("{}+", ctx.age(at)),
    }
}

/// How fast a machine generated lately; silence is a gap.
pub(super) fn pace<'a>(ctx: &Ctx<'_>, hive: &HiveId, seconds: usize) -> Span<'a> {
    let Some(history) = ctx.model.speeds.get(hive) else { return Span::raw("") };
    let values = ctx.history(history, seconds);
    let most = values.iter().flatten().copied().fold(1.0, f64::max);
    let shares: Vec<_> =
        values.iter().map(|value| value.map(|value| value / most * 100.0)).collect();
    graph(&shares)
}
