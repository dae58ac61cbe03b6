//! Windows on logs: narration and generated text.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{
    context::Ctx,
    widgets::{UNKNOWN, cut_line, word},
};
use crate::tui::{
    state::{
        log::{Entry, Log, LogWindow, Place},
        streams::Said,
        wrap::{TAB, wrap},
    },
    theme::Tone,
};

/// Generated text moves up this many rows at once when the window is full:
/// moving by one costs a whole window of bytes per row.
const JUMP: usize = 4;
/// `14:02:09 worker   `
const PREFIX: u16 = 18;
const ACTOR: usize = 8;

/// What jobs say, with time and speaker.
pub(crate) fn narration(
    ctx: &Ctx<'_>,
    area: Rect,
    buffer: &mut Buffer,
    log: &Log<Said>,
    window: &LogWindow,
    shown: impl Fn(&Said) -> bool,
) {
    let indent = if area.width > 2 * PREFIX { PREFIX } else { 0 };
    let text = inset(area, indent);
    for row in rows(text, log, window, 1, shown) {
        let tone = match row.entry.meta.level {
            protocol::job::Level::Debug => Tone::Quiet,
            protocol::job::Level::Info => Tone::Plain,
            protocol::job::Level::Warn => Tone::Warn,
            protocol::job::Level::Error => Tone::Bad,
        };
        if indent > 0 && row.is_first {
            let said = &row.entry.meta;
            let at = said.at.map_or_else(|| format!("{UNKNOWN:8}"), |at| ctx.clock(at));
            let actor: String = said.actor.chars().take(ACTOR).collect();
            let prefix = Line::from(word(format!("{at} {actor:ACTOR$} "), Tone::Quiet));
            buffer.set_line(area.x, row.y, &prefix, indent);
        }
        put(buffer, text, &row, tone.style());
    }
}

/// What a job generates.
pub(crate) fn text(area: Rect, buffer: &mut Buffer, log: &Log<()>, window: &LogWindow) {
    let text = inset(area, 0);
    for row in rows(text, log, window, JUMP, |()| true) {
        put(buffer, text, &row, Style::new());
    }
}

/// What stands in the corner of a window on a log.
pub(crate) fn corner<'a, T>(
    log: &Log<T>,
    window: &LogWindow,
    shown: impl Fn(&T) -> bool,
) -> Line<'a> {
    match window.place {
        Place::Follow => Line::from(word("FOLLOW", Tone::Quiet)),
        Place::Held { number, .. } => {
            let after = log.numbered().rev().take_while(|(it, _)| *it > number);
            let new = after.filter(|(_, entry)| shown(&entry.meta)).count();
            Line::from(word(format!("PAUSED  {new} new  G follows"), Tone::Warn))
        }
    }
}

/// What stands below it when lines had to go.
pub(crate) fn dropped<'a, T>(log: &Log<T>) -> Line<'a> {
    match log.dropped() {
        0 => Line::default(),
        1 => Line::from(word("1 older line dropped", Tone::Quiet)),
        n => Line::from(word(format!("{n} older lines dropped"), Tone::Quiet)),
    }
}

/// One space at each side.
fn inset(area: Rect, left: u16) -> Rect {
    let width = area.width.saturating_sub(left + 1);
    Rect { x: area.x + left, width, ..area }
}

struct Row<'a, T> {
    y: u16,
    entry: &'a Entry<T>,
    bytes: std::ops::Range<usize>,
    is_first: bool,
}

/// The rows that are seen, found from the lowest up.
fn rows<'a, T>(
    area: Rect,
    log: &'a Log<T>,
    window: &LogWindow,
    jump: usize,
    shown: impl Fn(&T) -> bool,
) -> Vec<Row<'a, T>> {
    window.width.set(area.width);
    window.height.set(area.height);
    let height = usize::from(area.height);
    if height == 0 || area.width == 0 {
        return Vec::new();
    }
    let (number, below, wanted) = match window.place {
        Place::Held { number, below } => (number, below, height),
        Place::Follow if jump == 1 => (u64::MAX, 0, height),
        Place::Follow => {
            let total: usize = log.numbered().map(|(_, entry)| entry.rows(area.width)).sum();
            let above = total.saturating_sub(height).next_multiple_of(jump);
            (u64::MAX, 0, total.saturating_sub(above).min(height))
        }
    };
    let mut found = Vec::new();
    let mut skip = below;
    'lines: for (_, entry) in log.back_from(number).filter(|(_, it)| shown(&it.meta)) {
        let ranges = wrap(&entry.text, area.width);
        let last = ranges.len().saturating_sub(1);
        skip = skip.min(last);
        for (index, bytes) in ranges.into_iter().enumerate().rev() {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            if found.len() == wanted {
                break 'lines;
            }
            found.push(Row { y: 0, entry, bytes, is_first: index == 0 });
        }
    }
    found.reverse();
    for (row, y) in found.iter_mut().zip(area.y..) {
        row.y = y;
    }
    found
}

fn put<T>(buffer: &mut Buffer, area: Rect, row: &Row<'_, T>, style: Style) {
    let Some(text) = row.entry.text.get(row.bytes.clone()) else { return };
    let line = if text.contains('\t') {
        Line::from(Span::styled(text.replace('\t', &" ".repeat(TAB)), style))
    } else {
        Line::from(Span::styled(text, style))
    };
    cut_line(buffer, area.x, row.y, &line, area.width);
}
