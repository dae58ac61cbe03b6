//! GPUs and processors: how busy, how full, how warm.

use protocol::{DeviceId, HiveId, fleet::DeviceRecord};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{
    context::Ctx,
    plain_list,
    table::{Column, Table, figures, growing, words},
    widgets::{Panel, UNKNOWN, bytes, cut_line, figure, graph, memory, meter, safe, word},
    with_detail,
};
use crate::tui::{
    state::{Pane, View, lists::ListName},
    theme::Tone,
    update::lists::title,
};

/// How many seconds a graph shows.
const GRAPH: usize = 60;

const COLUMNS: [Column; 8] = [
    words("HIVE", 10, 3),
    words("DEVICE", 6, 0),
    growing("NAME", 8, 4),
    words("UTIL", 13, 1),
    figures("MEMORY", 10, 2),
    figures("TEMP", 5, 5),
    figures("POWER", 6, 6),
    words("LAST 15 S", 15, 7),
];

fn percent(device: &DeviceRecord) -> Option<f64> {
    device.utilisation_percent.filter(|_| device.unavailable.is_none())
}

fn history<'a>(ctx: &Ctx<'_>, device: &DeviceRecord, seconds: usize) -> Span<'a> {
    let key = (device.hive_id.clone(), device.id.clone());
    let Some(history) = ctx.model.histories.get(&key) else { return Span::raw("") };
    graph(&ctx.history(history, seconds))
}

/// The devices in their frame; also in the view `fleet`, where nothing is
/// selected and no key reaches them.
pub(super) fn panel(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let focused = model.ui.view != View::Fleet && model.ui.focus == Pane::List;
    let title = if focused {
        title(model, ListName::Devices, "Devices")
    } else {
        format!("Devices  {}", model.fleet.devices.len())
    };
    let inner = Panel::new(title).focused(focused).draw(area, buffer);
    let nothing = Default::default();
    let selection = if focused { &model.ui.devices } else { &nothing };
    let rows = selection.shown(&model.fleet.devices);
    Table { columns: &COLUMNS, selection, focused }.draw(
        inner,
        buffer,
        rows,
        |device| !model.is_current(&device.hive_id) || device.unavailable.is_some(),
        |device, column| match column {
            0 => Line::from(device.hive_id.as_str()),
            1 => Line::from(device.id.as_str()),
            2 => match &device.unavailable {
                Some(reason) => Line::from(safe(reason, Tone::Warn)),
                None => Line::from(safe(&device.name, Tone::Plain)),
            },
            3 => Line::from(meter(percent(device), 8)),
            4 => Line::from(memory(device.memory_used_bytes, device.memory_total_bytes)),
            5 => Line::from(figure(device.temperature_celsius, "°")),
            6 => Line::from(figure(device.power_watts, "W")),
            _ => Line::from(history(ctx, device, 15)),
        },
    );
}

/// Draws the view.
pub(super) fn draw(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let (list, below) = with_detail(area, 12, 9);
    panel(ctx, list, buffer);
    let Some(below) = below else { return };
    match ctx.model.ui.devices.id().and_then(|id| ctx.model.fleet.devices.get(id)) {
        Some(device) => detail(ctx, below, buffer, device),
        None => drop(Panel::new("No device selected").draw(below, buffer)),
    }
}

/// Draws one device.
pub(super) fn draw_one(
    ctx: &Ctx<'_>,
    area: Rect,
    buffer: &mut Buffer,
    hive: &HiveId,
    device: &DeviceId,
) {
    match ctx.model.fleet.devices.get(&(hive.clone(), device.clone())) {
        Some(device) => detail(ctx, area, buffer, device),
        None => drop(Panel::new(format!("{device} of {hive} is gone")).draw(area, buffer)),
    }
}

fn detail(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer, device: &DeviceRecord) {
    let inner = Panel::new(format!("{} of {}", device.id, device.hive_id)).draw(area, buffer);
    let lines = about(ctx, device, inner.width);
    for (line, y) in lines.iter().zip(inner.y..inner.bottom()) {
        cut_line(buffer, inner.x + 1, y, line, inner.width.saturating_sub(2));
    }
    if !ctx.model.is_current(&device.hive_id) {
        buffer.set_style(inner, Tone::Quiet.style());
    }
}

/// Everything that is known about a device, the holders of its memory last.
fn about<'a>(ctx: &Ctx<'_>, device: &DeviceRecord, width: u16) -> Vec<Line<'a>> {
    let mut lines = vec![Line::from(safe(&device.name, Tone::Strong))];
    if let Some(reason) = &device.unavailable {
        lines.push(Line::from(vec![word("unusable: ", Tone::Warn), safe(reason, Tone::Warn)]));
    }
    let mut facts = vec![word("memory ", Tone::Quiet)];
    facts.push(Span::raw(memory(device.memory_used_bytes, device.memory_total_bytes)));
    if let Some(cores) = device.cores {
        facts.push(word("   cores ", Tone::Quiet));
        facts.push(Span::raw(cores.to_string()));
    }
    if let Some(capability) = &device.compute_capability {
        facts.push(word("   compute capability ", Tone::Quiet));
        facts.push(safe(capability, Tone::Plain));
    }
    lines.push(Line::from(facts));
    let mut busy = vec![word("util   ", Tone::Quiet)];
    busy.extend(meter(percent(device), 8));
    lines.push(Line::from(busy));
    let room = usize::from(width).saturating_sub(8).min(GRAPH);
    lines.push(Line::from(vec![
        history(ctx, device, room),
        word(format!("  {room}s"), Tone::Quiet),
    ]));
    lines.push(Line::from(word("PROCESSES", Tone::Quiet)));
    match &device.processes {
        None => lines.push(Line::from(word(format!("{UNKNOWN}  not told"), Tone::Quiet))),
        Some(processes) if processes.is_empty() => {
            lines.push(Line::from(word("none", Tone::Quiet)));
        }
        Some(processes) => lines.extend(processes.iter().map(|process| {
            let who = process.worker_id.as_ref().map_or_else(
                || process.name.as_deref().unwrap_or(UNKNOWN).to_owned(),
                |worker| format!("{worker} (ours)"),
            );
            Line::from(vec![
                Span::raw(format!("{:>8}  {:>7}  ", process.pid, bytes(process.memory_bytes))),
                safe(&who, Tone::Plain),
            ])
        })),
    }
    lines
}

/// A device in the detail of its machine: figures, and a graph below.
pub(super) fn brief<'a>(ctx: &Ctx<'_>, device: &DeviceRecord, width: u16) -> Vec<Line<'a>> {
    let mut first = vec![word(format!("{:<6} ", device.id), Tone::Strong)];
    first.extend(meter(percent(device), 8));
    first.push(Span::raw(format!(
        "  {}",
        memory(device.memory_used_bytes, device.memory_total_bytes)
    )));
    if device.temperature_celsius.is_some() || device.power_watts.is_some() {
        first.push(Span::raw(format!("  {}", figure(device.temperature_celsius, "°"))));
        first.push(Span::raw(format!("  {}", figure(device.power_watts, "W"))));
    }
    first.push(Span::raw("  "));
    first.push(match &device.unavailable {
        Some(reason) => safe(reason, Tone::Warn),
        None => safe(&device.name, Tone::Quiet),
    });
    let room = usize::from(width).saturating_sub(12).min(GRAPH);
    let second = vec![
        Span::raw("       "),
        history(ctx, device, room),
        word(format!("  {room}s"), Tone::Quiet),
    ];
    vec![Line::from(first), Line::from(second)]
}

/// The view without frames.
pub(super) fn plain<'a>(ctx: &Ctx<'a>) -> Vec<Line<'a>> {
    let rows = ctx.model.ui.devices.shown(&ctx.model.fleet.devices);
    let rows = rows.map(|(id, device)| {
        let mut spans = vec![Span::raw(format!("{} {} ", device.hive_id, device.id))];
        spans.extend(meter(percent(device), 4));
        let memory = memory(device.memory_used_bytes, device.memory_total_bytes);
        spans.push(Span::raw(format!(" {memory}")));
        (id.clone(), Line::from(spans))
    });
    plain_list(ctx, rows, ctx.model.ui.devices.id())
}

/// One device without frames.
pub(super) fn plain_one<'a>(
    ctx: &Ctx<'_>,
    hive: &HiveId,
    device: &DeviceId,
    width: u16,
) -> Vec<Line<'a>> {
    match ctx.model.fleet.devices.get(&(hive.clone(), device.clone())) {
        Some(device) => about(ctx, device, width),
        None => vec![Line::from(word("It is gone.", Tone::Quiet))],
    }
}
