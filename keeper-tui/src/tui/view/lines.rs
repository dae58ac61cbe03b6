//! Windows on texts: narration, generated text, logs.

use protocol::job::Level;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
    text::{Line, Span},
};
use unicode_width::UnicodeWidthChar;

use super::{
    context::Ctx,
    split_top,
    widgets::{Panel, UNKNOWN, count, cut_line, word},
};
use crate::tui::{
    keymap::{Action, Context},
    state::{
        Model,
        log::{Entry, Log, Said},
        needle::{self, Needle},
        reading::{Asked, Reading},
        spots::Spot,
        window::{LogWindow, Place},
        wrap::{TAB, wrap},
    },
    theme::Tone,
};

/// Generated text moves up this many rows at once when the window is full:
/// moving by one costs a whole window of bytes per row.
const JUMP: usize = 4;
/// `14:02:09 `
const TIME: u16 = 9;
/// `worker   `
const ACTOR: u16 = 9;
/// `00007f3c `
const JOB: u16 = 9;
/// `gpu-1      `
const HIVE: u16 = 11;
/// `▲ `
const SIGN: u16 = 2;

/// A text in a frame: its lines, and in the edges where one is in it, how it
/// is read and what is missing.
pub(crate) fn framed(
    ctx: &Ctx<'_>,
    area: Rect,
    buffer: &mut Buffer,
    reading: Reading,
    panel: Panel<'_>,
    figures: Option<String>,
) {
    framed_below(ctx, area, buffer, reading, panel, (figures, 0));
}

/// The same, with rows left free above the text.
pub(crate) fn framed_below(
    ctx: &Ctx<'_>,
    area: Rect,
    buffer: &mut Buffer,
    reading: Reading,
    panel: Panel<'_>,
    (figures, head): (Option<String>, u16),
) {
    let model = ctx.model;
    model.ui.spots.note(area, Spot::Text(reading));
    let Some(log) = model.log(reading) else {
        panel.bottom_left(figures.unwrap_or_default()).draw(area, buffer);
        return;
    };
    let mut notes = notes(model, reading, log);
    notes.splice(0..0, figures);
    let inner = panel
        .bottom_left(notes.join("  "))
        .bottom_right(corner(model, reading, log))
        .draw(area, buffer);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(1), ..inner };
    let (_, inner) = split_top(inner, head);
    if !log.back_from(u64::MAX).any(|(_, entry)| model.shows(reading, entry)) {
        if let Some(nothing) = nothing(model, reading) {
            let line = Line::from(word(nothing, Tone::Quiet));
            if inner.height > 0 {
                cut_line(buffer, inner.x, inner.y, &line, inner.width.saturating_sub(1));
            }
        }
        return;
    }
    draw(ctx, inner, buffer, reading, log);
}

fn nothing(model: &Model, reading: Reading) -> Option<String> {
    let window = model.ui.windows.on(reading);
    if let Some(only) = &window.only {
        let key = model.keymap.label(Action::Escape);
        return Some(format!("No line has `{}`. {key} shows all of them.", only.as_str()));
    }
    match reading {
        _ if window.level != Level::Info => Some("Nothing as bad as that was said.".to_owned()),
        Reading::Job | Reading::JobText | Reading::SecondText => None,
        Reading::WorkerLog => Some("It has not logged anything.".to_owned()),
        Reading::Diary => Some("Nothing went wrong so far.".to_owned()),
        _ => Some("Nothing was said since this dashboard started.".to_owned()),
    }
}

/// A text without a frame.
pub(crate) fn draw(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer, reading: Reading, log: &Log) {
    let model = ctx.model;
    let window = model.ui.windows.on(reading);
    let sought = model.sought(reading);
    let at = window.find.as_ref().and_then(|find| find.at);
    let prefix = Prefix::new(reading, window.times, area.width);
    let jump = match reading {
        Reading::JobText | Reading::SecondText => JUMP,
        _ => 1,
    };
    let text = inset(area, prefix.width());
    let shown = |entry: &Entry| model.shows(reading, entry);
    let bar = (reading == Reading::Events).then(|| {
        let newest = || log.back_from(u64::MAX).find(|(_, it)| shown(it)).map(|it| it.0);
        window.cursor.or_else(newest)
    });
    for row in rows(text, log, window, jump, shown) {
        let said = &row.entry.said;
        if row.is_first {
            buffer.set_line(area.x, row.y, &prefix.line(ctx, said), prefix.width());
        }
        put(buffer, text, &row, window, level_tone(said.level).style());
        if let Some(sought) = sought {
            mark(buffer, text, &row, sought, at == Some(row.number));
        }
        if bar.flatten() == Some(row.number) {
            let whole = Rect { y: row.y, height: 1, ..area };
            buffer.set_style(whole, Tone::Strong.style().add_modifier(Modifier::REVERSED));
        }
    }
}

/// The newest lines of an answer that is shown beside others.
pub(crate) fn tail(area: Rect, buffer: &mut Buffer, log: &Log) {
    let window = LogWindow::default();
    let text = inset(area, 0);
    for row in rows(text, log, &window, JUMP, |_| true) {
        put(buffer, text, &row, &window, Style::new());
    }
}

fn level_tone(level: Level) -> Tone {
    match level {
        Level::Debug => Tone::Quiet,
        Level::Info => Tone::Plain,
        Level::Warn => Tone::Warn,
        Level::Error => Tone::Bad,
    }
}

/// What stands before each line.
struct Prefix {
    time: bool,
    actor: bool,
    job: bool,
    hive: bool,
}

impl Prefix {
    fn new(reading: Reading, times: bool, width: u16) -> Self {
        let plain = matches!(reading, Reading::JobText | Reading::SecondText);
        let room = !plain && width > 2 * (TIME + ACTOR);
        let everybody = reading == Reading::Events;
        Self {
            time: room && times && reading != Reading::WorkerLog,
            actor: room,
            job: room && everybody,
            hive: everybody && width >= 100,
        }
    }

    fn width(&self) -> u16 {
        let parts =
            [(self.time, TIME), (self.actor, ACTOR + SIGN), (self.job, JOB), (self.hive, HIVE)];
        parts.into_iter().filter(|(is_there, _)| *is_there).map(|(_, width)| width).sum()
    }

    fn line<'a>(&self, ctx: &Ctx<'_>, said: &Said) -> Line<'a> {
        let mut text = String::new();
        let mut field = |value: &str, width: u16| {
            let width = usize::from(width) - 1;
            let value: String = value.chars().take(width).collect();
            text.push_str(&format!("{value:width$} "));
        };
        if self.time {
            field(&said.at.map_or_else(|| UNKNOWN.to_owned(), |at| ctx.clock(at)), TIME);
        }
        if self.actor {
            field(&said.actor, ACTOR);
        }
        if self.job {
            field(said.job.as_ref().map_or(UNKNOWN, |job| job.short()), JOB);
        }
        if self.hive {
            field(said.hive.as_ref().map_or(UNKNOWN, |hive| hive.as_str()), HIVE);
        }
        let mut spans = vec![word(text, Tone::Quiet)];
        if self.actor {
            let sign = match said.level {
                Level::Debug | Level::Info => "  ",
                Level::Warn => "▲ ",
                Level::Error => "✗ ",
            };
            spans.push(word(sign, level_tone(said.level)));
        }
        Line::from(spans)
    }
}

/// Whether it goes on by itself, and what came meanwhile.
fn corner<'a>(model: &Model, reading: Reading, log: &Log) -> Line<'a> {
    match model.ui.windows.on(reading).place {
        Place::Follow => Line::from(word("FOLLOW", Tone::Quiet)),
        Place::Held { number, .. } => {
            let after = log.numbered().rev().take_while(|(it, _)| *it > number);
            let new = after.filter(|(_, entry)| model.shows(reading, entry)).count();
            let key = model.keymap.label(Action::Follow);
            Line::from(word(format!("PAUSED  {new} new  {key} follows"), Tone::Warn))
        }
    }
}

/// What is missing, and what is looked for.
fn notes(model: &Model, reading: Reading, log: &Log) -> Vec<String> {
    let window = model.ui.windows.on(reading);
    let mut notes = Vec::new();
    let dropped = usize::try_from(log.dropped()).unwrap_or(usize::MAX);
    if dropped > 0 {
        notes.push(format!("{} dropped", count(dropped, "older line", "older lines")));
    }
    if window.level != Level::Info {
        let least = Said { level: window.level, ..Said::default() };
        notes.push(format!("level {}", least.level()));
    }
    if let Some(only) = &window.only {
        let shown = log.numbered().filter(|(_, entry)| model.shows(reading, entry)).count();
        notes.push(format!("&{} {shown} of {}", only.as_str(), log.numbered().len()));
    }
    if let Some(find) = &window.find {
        let shown = |entry: &Entry| model.shows(reading, entry);
        let (place, total) = needle::tally(log, &find.needle, find.at, shown);
        let place = place.map_or_else(String::new, |place| format!("{place} of "));
        notes.push(format!("/{} {place}{total}", find.needle.as_str()));
    }
    if !window.wraps {
        let key = |action| model.keymap.label_in(Context::Reading, action);
        notes.push(format!("not wrapped {} {}", key(Action::Left), key(Action::Right)));
    }
    notes
}

/// The word that is being typed, for the status line.
pub(crate) fn asked<'a>(model: &Model) -> Option<Line<'a>> {
    let ask = model.ui.ask.as_ref()?;
    let sign = match ask.asked {
        Asked::Find => " find: /",
        Asked::Only => " only lines with: &",
    };
    Some(Line::from(vec![
        word(sign, Tone::Accent),
        word(ask.text.clone(), Tone::Strong),
        Span::styled(" ", Style::new().add_modifier(Modifier::REVERSED)),
    ]))
}

/// One space at each side.
fn inset(area: Rect, left: u16) -> Rect {
    let width = area.width.saturating_sub(left + 1);
    Rect { x: area.x + left, width, ..area }
}

struct Row<'a> {
    y: u16,
    number: u64,
    entry: &'a Entry,
    bytes: std::ops::Range<usize>,
    is_first: bool,
}

/// The rows of one line.
fn rows_of(window: &LogWindow, entry: &Entry, width: u16) -> Vec<std::ops::Range<usize>> {
    if window.wraps {
        return wrap(&entry.text, width);
    }
    let mut left = window.column;
    let from = entry.text.char_indices().find(|(_, c)| {
        let wide = c.width().unwrap_or(0);
        let is_here = left < wide.max(1);
        left = left.saturating_sub(wide);
        is_here
    });
    let from = from.map_or(entry.text.len(), |(at, _)| at);
    std::iter::once(from..entry.text.len()).collect()
}

/// The rows that are seen, found from the lowest up. When there are too few
/// above it, what is below fills the window.
fn rows<'a>(
    area: Rect,
    log: &'a Log,
    window: &LogWindow,
    jump: usize,
    shown: impl Fn(&Entry) -> bool,
) -> Vec<Row<'a>> {
    window.width.set(area.width);
    window.height.set(area.height);
    let height = usize::from(area.height);
    if height == 0 || area.width == 0 {
        return Vec::new();
    }
    // A window that is no higher would be empty after each jump.
    let jump = jump.min(height);
    let (from, lowest, wanted) = match window.place {
        Place::Held { number, row } => (number, row, height),
        Place::Follow if jump == 1 => (u64::MAX, usize::MAX, height),
        Place::Follow => {
            let total: usize = log.numbered().map(|(_, entry)| window.rows(entry)).sum();
            let above = total.saturating_sub(height).next_multiple_of(jump);
            (u64::MAX, usize::MAX, total.saturating_sub(above).min(height))
        }
    };
    let mut found = Vec::new();
    'up: for (number, entry) in log.back_from(from).filter(|(_, it)| shown(it)) {
        let ranges = rows_of(window, entry, area.width);
        let last = ranges.len().saturating_sub(1);
        let bottom = if number == from { lowest.min(last) } else { last };
        for (index, bytes) in ranges.into_iter().enumerate().take(bottom + 1).rev() {
            if found.len() == wanted {
                break 'up;
            }
            found.push(Row { y: 0, number, entry, bytes, is_first: index == 0 });
        }
    }
    found.reverse();
    if found.len() < wanted && window.place != Place::Follow {
        'down: for (number, entry) in log.from(from).filter(|(_, it)| shown(it)) {
            let ranges = rows_of(window, entry, area.width);
            let skip = if number == from { lowest.saturating_add(1) } else { 0 };
            for (index, bytes) in ranges.into_iter().enumerate().skip(skip) {
                if found.len() == wanted {
                    break 'down;
                }
                found.push(Row { y: 0, number, entry, bytes, is_first: index == 0 });
            }
        }
    }
    window.first_seen.set(found.first().map_or(0, |row| row.number));
    for (row, y) in found.iter_mut().zip(area.y..) {
        row.y = y;
    }
    found
}

fn put(buffer: &mut Buffer, area: Rect, row: &Row<'_>, window: &LogWindow, style: Style) {
    let Some(text) = row.entry.text.get(row.bytes.clone()) else { return };
    let line = if text.contains('\t') {
        Line::from(Span::styled(text.replace('\t', &" ".repeat(TAB)), style))
    } else {
        Line::from(Span::styled(text, style))
    };
    cut_line(buffer, area.x, row.y, &line, area.width);
    if window.column > 0 && row.bytes.start > 0 && !text.is_empty() {
        buffer.set_string(area.x, row.y, "…", Tone::Quiet.style());
    }
}

/// Marks a word in a row that is drawn already.
fn mark(buffer: &mut Buffer, area: Rect, row: &Row<'_>, needle: &Needle, is_here: bool) {
    let style = match is_here {
        true => Tone::Accent.style().add_modifier(Modifier::REVERSED),
        false => Tone::Accent.style().add_modifier(Modifier::UNDERLINED),
    };
    let columns = |text: &str| -> u16 {
        let wide = |c: char| if c == '\t' { TAB } else { c.width().unwrap_or(0) };
        u16::try_from(text.chars().map(wide).sum::<usize>()).unwrap_or(u16::MAX)
    };
    let text = &row.entry.text;
    for range in needle.ranges(text) {
        // A word that a line break cuts in two is marked in both rows.
        let (start, end) = (range.start.max(row.bytes.start), range.end.min(row.bytes.end));
        let (Some(before), Some(found)) = (text.get(row.bytes.start..start), text.get(start..end))
        else {
            continue;
        };
        let x = columns(before).min(area.width);
        let width = columns(found).min(area.width - x);
        buffer.set_style(Rect { x: area.x + x, y: row.y, width, height: 1 }, style);
    }
}
