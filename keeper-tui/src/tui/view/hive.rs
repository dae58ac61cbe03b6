//! One machine, part by part.

use protocol::{HiveId, fleet::HiveRecord};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{
    context::Ctx,
    devices, hives, jobs, lines, models, split_top,
    widgets::{Panel, UNKNOWN, bar, cut_line, rate, safe, word},
    workers,
};
use crate::tui::{
    state::{HiveTab, reading::Reading, spots::Spot},
    theme::Tone,
};

/// How many seconds the graph of its pace shows.
const GRAPH: usize = 60;

/// Draws one part of a machine.
pub(super) fn draw(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer, id: &HiveId, tab: HiveTab) {
    let (row, rest) = split_top(area, 1);
    bar(row, buffer, tabs(ctx, row, id, tab), Line::default());
    match tab {
        HiveTab::Overview => overview(ctx, rest, buffer, id),
        HiveTab::Workers => workers::draw(ctx, rest, buffer),
        HiveTab::Devices => devices::draw(ctx, rest, buffer),
        HiveTab::Models => models::draw(ctx, rest, buffer),
        HiveTab::Jobs => jobs::panel(ctx, rest, buffer),
        HiveTab::Log => {
            let panel = Panel::new(format!("{id} · narration")).focused(true);
            lines::framed(ctx, rest, buffer, Reading::Hive, panel, None);
        }
    }
}

fn tabs<'a>(ctx: &Ctx<'_>, row: Rect, id: &HiveId, here: HiveTab) -> Line<'a> {
    let mut spans = vec![word(format!(" {id}  "), Tone::Strong)];
    let width = |span: &Span<'_>| u16::try_from(span.width()).unwrap_or(0);
    let mut x = row.x.saturating_add(spans.iter().map(width).sum());
    spans.extend(HiveTab::ALL.into_iter().map(|tab| {
        let span = if tab == here {
            word(format!("[{}]", tab.as_str()), Tone::Accent)
        } else {
            word(format!(" {} ", tab.as_str()), Tone::Quiet)
        };
        let area = Rect { x, width: width(&span), ..row };
        ctx.model.ui.spots.note(area, Spot::Tab(tab));
        x = area.right();
        span
    }));
    Line::from(spans)
}

fn overview(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer, id: &HiveId) {
    let Some(hive) = ctx.model.fleet.hives.get(id) else {
        Panel::new(format!("{id} is gone")).draw(area, buffer);
        return;
    };
    let width = area.width.saturating_sub(4);
    let needed = u16::try_from(facts(ctx, hive, width).len()).unwrap_or(u16::MAX);
    let (top, below) = split_top(area, needed.saturating_add(2).min(area.height * 2 / 3));
    let inner = Panel::new(id.to_string()).draw(top, buffer);
    about(ctx, inner, buffer, hive);
    let panel = Panel::new(format!("{id} · narration")).focused(true);
    lines::framed(ctx, below, buffer, Reading::Hive, panel, None);
}

/// A machine with everything on it, as far as there is room.
pub(super) fn about(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer, hive: &HiveRecord) {
    let width = area.width.saturating_sub(2);
    let lines = facts(ctx, hive, width);
    for (line, y) in lines.iter().zip(area.y..area.bottom()) {
        cut_line(buffer, area.x + 1, y, line, width);
    }
    if !ctx.model.is_current(&hive.id) {
        buffer.set_style(area, Tone::Quiet.style());
    }
}

fn facts<'a>(ctx: &Ctx<'_>, hive: &HiveRecord, width: u16) -> Vec<Line<'a>> {
    let model = ctx.model;
    let crew = model.totals.crew(&hive.id);
    let (sign, state, tone) = hives::condition(model, hive, crew);
    let version = hive.version.as_deref().unwrap_or(UNKNOWN);
    let mut address = vec![
        word("address  ", Tone::Quiet),
        safe(&hive.url, Tone::Plain),
        word("   version ", Tone::Quiet),
        safe(version, Tone::Plain),
    ];
    let skew = model.hive_skew(hive);
    if skew.is_some() {
        let queens = model.fleet.queen.as_ref().map_or(UNKNOWN, |queen| queen.version.as_str());
        address.push(safe(&format!("  ▲ the queen's is {queens}"), Tone::Warn));
    }
    let mut lines = vec![
        Line::from(vec![
            word("state    ", Tone::Quiet),
            word(format!("{sign} {state}"), tone),
            word(format!("   seen {}", hives::seen(ctx, hive)), Tone::Quiet),
        ]),
        Line::from(address),
    ];
    if let Some(skew) = skew {
        let remedy = model.hive_remedy(hive, skew);
        lines.push(Line::from(vec![word("remedy   ", Tone::Quiet), safe(&remedy, Tone::Plain)]));
    }
    if let Some(reason) = &hive.reason {
        lines.push(Line::from(vec![word("reason   ", Tone::Quiet), safe(reason, Tone::Warn)]));
    }
    let room = usize::from(width).saturating_sub(26).min(GRAPH);
    lines.push(Line::from(vec![
        word("tok/s    ", Tone::Quiet),
        Span::raw(format!("{:<8}", rate(crew.speed().filter(|_| model.is_current(&hive.id))))),
        hives::pace(ctx, &hive.id, room),
        word(format!("  {room}s"), Tone::Quiet),
    ]));
    lines.push(Line::default());
    for device in hives::devices_of(model, &hive.id) {
        lines.extend(devices::brief(ctx, device, width));
    }
    lines.push(Line::default());
    let its_own = model.fleet.workers.values().filter(|it| it.hive_id == hive.id);
    let mut its_own = its_own.take(usize::from(model.size.1)).peekable();
    if its_own.peek().is_some() {
        lines.extend(workers::brief(model, its_own, width));
    } else {
        lines.push(Line::from(word("No workers", Tone::Quiet)));
    }
    // Where there is no room for both, what moves is shown.
    lines.extend(models::downloads(ctx, &hive.id));
    lines.push(models::on_disk(ctx, hive));
    lines
}

/// The view without frames.
pub(super) fn plain<'a>(ctx: &Ctx<'a>, id: &'a HiveId, tab: HiveTab) -> Vec<Line<'a>> {
    let mut lines = vec![tabs(ctx, Rect::default(), id, tab)];
    lines.extend(match tab {
        HiveTab::Overview => match ctx.model.fleet.hives.get(id) {
            Some(hive) => facts(ctx, hive, ctx.model.size.0),
            None => vec![Line::from(word("It is gone.", Tone::Quiet))],
        },
        HiveTab::Workers => workers::plain(ctx),
        HiveTab::Devices => devices::plain(ctx),
        HiveTab::Models => models::plain(ctx),
        HiveTab::Jobs => jobs::plain(ctx),
        HiveTab::Log => Vec::new(),
    });
    lines
}
