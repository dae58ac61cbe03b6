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
mod dialogs;
mod fleet;
mod help;
mod history;
mod hive;
mod hives;
mod infer;
mod jobs;
mod lines;
mod machines;
mod models;
mod offline;
mod palette;
mod popup;
mod queen;
mod table;
mod totals;
mod welcome;
mod widgets;
mod workers;

use std::time::Duration;

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use self::{
    context::Ctx,
    widgets::{Panel, bar, cut_line, safe, word},
};
use super::{
    keymap::{self, Action},
    sizes::is_tiny,
    state::{
        HiveTab, Model, Now, Source, View, connection::Connection, dialog::Dialog,
        reading::Reading, spots::Spot,
    },
    theme::Tone,
    update::lists,
};

/// Below this the names of the views do not fit beside each other.
const TABS: u16 = 76;
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
    ctx.model.ui.spots.clear();
    ctx.model.ui.forget_areas();
    if area.is_empty() {
        return;
    }
    if let Connection::Syncing { until, .. } = ctx.model.connection {
        ctx.changes_at(until);
    }
    if let Some(toast) = &ctx.model.ui.toast {
        ctx.changes_at(toast.until);
    }
    // Rows that were held in their places may change them then.
    if ctx.model.list_in_view().is_some_and(|name| lists::is_sorted(ctx.model, name)) {
        ctx.changes_at(ctx.model.ui.held_until);
    }
    if is_tiny((area.width, area.height)) {
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
        bar(row, buffer, tabs(ctx, row), Line::from(format!("{} ", crumbs(ctx.model))));
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
    let asked = match &ctx.model.ui.dialog {
        Some(Dialog::Filter(..)) => Some(filter_line(ctx.model)),
        _ => lines::asked(ctx.model),
    };
    let toast = match asked {
        Some(line) => {
            cut_line(buffer, status.x, status.y, &line, status.width);
            draw_footer(ctx, footer_area, buffer);
            return;
        }
        None => &ctx.model.ui.toast,
    };
    match toast {
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
        None if !wide => bar(status, buffer, tabs(ctx, status), Line::default()),
        None => {}
    }
    draw_footer(ctx, footer_area, buffer);
    if let Some(first) = ctx.model.ui.help {
        help::draw(ctx, body, buffer, first);
    }
    dialogs::draw(ctx, body, buffer);
}

fn draw_body(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    if !ctx.model.is_known {
        offline::first_contact(ctx, area, buffer);
        return;
    }
    match (&ctx.model.ui.view, ctx.model.reading()) {
        (view, Some(reading)) if ctx.model.ui.full => {
            let panel = Panel::new(view.name()).focused(true);
            lines::framed(ctx, area, buffer, reading, panel, None);
        }
        (View::Fleet, _) => fleet::draw(ctx, area, buffer),
        (View::Hive(hive, tab), _) => hive::draw(ctx, area, buffer, hive, *tab),
        (View::Workers, _) => workers::draw(ctx, area, buffer),
        (View::Worker(worker), _) => workers::draw_one(ctx, area, buffer, worker),
        (View::Devices, _) => devices::draw(ctx, area, buffer),
        (View::Device(hive, device), _) => devices::draw_one(ctx, area, buffer, hive, device),
        (View::Models, _) => models::draw(ctx, area, buffer),
        (View::Jobs, _) => jobs::draw(ctx, area, buffer),
        (View::Job(job), _) => jobs::draw_one(ctx, area, buffer, job),
        (View::Infer, _) => infer::draw(ctx, area, buffer),
        (View::Events, _) => {
            let panel = Panel::new("Events  everybody").focused(true);
            lines::framed(ctx, area, buffer, Reading::Events, panel, None);
        }
        (View::Queen, _) => queen::draw(ctx, area, buffer),
    }
}

/// The filter that is being typed, and what it comes to.
fn filter_line<'a>(model: &Model) -> Line<'a> {
    let Some(Dialog::Filter(name, line, _)) = &model.ui.dialog else { return Line::default() };
    let mut spans = vec![word("/", Tone::Accent)];
    spans.extend(popup::typed(line, ""));
    match lists::filtered(model, *name) {
        Ok((shown, total)) => {
            spans.push(word(format!("  {shown} of {total}"), Tone::Quiet));
        }
        Err(problem) => spans.push(safe(&format!("  ✗ {problem}"), Tone::Bad)),
    }
    Line::from(spans)
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

/// A list and what is selected in it: beside each other, below each other, or
/// only the list where that would leave it no room.
fn with_detail(area: Rect, share: u16, rows: u16) -> (Rect, Option<Rect>) {
    if is_wide(area) {
        let (list, detail) = split_left(area, area.width * share / 20);
        (list, Some(detail))
    } else if area.height >= rows * 2 {
        let (list, detail) = split_bottom(area, rows);
        (list, Some(detail))
    } else {
        (area, None)
    }
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
    if model.ui.mouse {
        left.push(word(" MOUSE", Tone::Accent));
    }
    let left = Line::from(left);
    let room = usize::from(area.width).saturating_sub(left.width() + 3);
    let right = match &model.connection {
        Connection::Lost(outage, _) => {
            let at = ctx.clock(outage.at);
            let age = ctx.elapsed(outage.since);
            Line::from(word(format!("as of {at}, {age} ago "), Tone::Warn))
        }
        // On a small screen the way back stands here, on a larger one beside the tabs.
        Connection::Live if !model.ui.trail.is_empty() && !is_wide(area_of(model)) => {
            Line::from(format!("{} ", crumbs(model)))
        }
        Connection::Live => Line::from(format!("{} ", totals::line(model, room))),
        Connection::Connecting | Connection::Unreached(_) | Connection::Syncing { .. } => {
            Line::default()
        }
    };
    bar(area, buffer, left, right);
}

fn area_of(model: &Model) -> Rect {
    Rect { width: model.size.0, height: model.size.1, ..Rect::default() }
}

/// All views; where there is no room for their names, only their keys.
fn tabs<'a>(ctx: &Ctx<'_>, row: Rect) -> Line<'a> {
    let model = ctx.model;
    let mut x = row.x;
    let spans = View::ROOTS.into_iter().map(|(root, action)| {
        let key = model.keymap.first_key(action);
        let name = match &key {
            Some(key) => format!("{key} {}", root.name()),
            None => root.name(),
        };
        let span = if model.ui.view.root() == root {
            word(format!("[{name}]"), Tone::Accent)
        } else if row.width < TABS {
            word(format!(" {} ", key.unwrap_or_else(|| "·".to_owned())), Tone::Quiet)
        } else {
            word(format!(" {name} "), Tone::Quiet)
        };
        let width = u16::try_from(span.width()).unwrap_or(0);
        model.ui.spots.note(Rect { x, width, ..row }, Spot::View(root));
        x = x.saturating_add(width);
        span
    });
    Line::from_iter(spans)
}

/// The way back.
fn crumbs(model: &Model) -> String {
    if model.ui.trail.is_empty() {
        return String::new();
    }
    let views = model.ui.trail.iter().chain([&model.ui.view]);
    views.map(View::name).collect::<Vec<_>>().join(" › ")
}

/// The keys that matter here, the way out on the right.
fn draw_footer(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let is_root = model.ui.parent().is_none();
    let mut left = vec![Span::raw(" ")];
    let mut used = 1;
    let mut right = Line::default();
    for binding in keymap::bindings(model) {
        let hint = match binding.action {
            Action::BackOrQuit if is_root => "quit",
            Action::ToggleMouse if model.ui.mouse => "mouse off",
            _ => binding.hint,
        };
        if hint.is_empty() {
            continue;
        }
        let Some(key) = binding.key_label() else { continue };
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

/// Without room for frames: how it is, what is selected, the way out.
fn tiny(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let model = ctx.model;
    let mut lines = vec![Line::from(connection_spans(model))];
    if let Some(banner) = offline::banner(ctx) {
        lines.push(banner);
    }
    if model.ui.dialog.is_some() {
        lines.extend(dialogs::plain(ctx));
    } else if let Some(toast) = &model.ui.toast {
        lines.push(Line::from(word(toast.text.as_str(), toast.tone)));
    }
    if !model.is_known {
        lines.extend(offline::question(ctx));
    } else {
        match &model.ui.view {
            View::Fleet => lines.extend(fleet::plain(ctx)),
            View::Hive(hive, tab) => lines.extend(hive::plain(ctx, hive, *tab)),
            View::Workers => lines.extend(workers::plain(ctx)),
            View::Worker(worker) => lines.extend(workers::plain_one(ctx, worker)),
            View::Devices => lines.extend(devices::plain(ctx)),
            View::Device(hive, device) => {
                lines.extend(devices::plain_one(ctx, hive, device, area.width));
            }
            View::Models => lines.extend(models::plain(ctx)),
            View::Jobs => lines.extend(jobs::plain(ctx)),
            View::Job(job) => lines.extend(jobs::plain_one(ctx, job)),
            View::Infer => lines.extend(infer::plain(ctx)),
            View::Queen => lines.extend(queen::plain(ctx)),
            View::Events => {}
        }
    }
    lines.extend(lines::asked(model));
    // A single row says how it is rather than which keys there are.
    let (body, footer) = split_bottom(area, u16::from(area.height > 1));
    for (line, y) in lines.iter().zip(body.y..body.bottom()) {
        cut_line(buffer, body.x, y, line, body.width);
    }
    let used = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let (_, rest) = split_top(body, used);
    let reading = match &model.ui.view {
        _ if !model.is_known => None,
        View::Infer => Some(model.reading().unwrap_or(Reading::JobText)),
        View::Hive(_, HiveTab::Overview) => None,
        View::Fleet => None,
        _ => model.reading(),
    };
    if let Some(reading) = reading
        && let Some(log) = model.log(reading)
    {
        lines::draw(ctx, rest, buffer, reading, log);
    }
    draw_footer(ctx, footer, buffer);
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

/// All lines of the help.
#[cfg(test)]
pub(crate) fn help_text(keymap: &keymap::Keymap) -> Vec<String> {
    help::text(keymap, 100).iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod gallery;
#[cfg(test)]
mod many_tests;
#[cfg(test)]
mod tests;
