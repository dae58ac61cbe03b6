//! The pieces views are put together from: frames, bars, meters, graphs.

use protocol::{
    ModelRef,
    fleet::{HiveState, WorkerState},
    job::JobState,
    model::ModelState,
};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::{Block, Widget},
};

use crate::{text::one_line, tui::theme::Tone};

/// What stands where nothing is known. Never a zero.
pub(crate) const UNKNOWN: &str = "—";

/// Text from elsewhere, safe for one line.
pub(crate) fn safe<'a>(text: &str, tone: Tone) -> Span<'a> {
    Span::styled(one_line(text).into_owned(), tone.style())
}

/// Our own words.
pub(crate) fn word<'a>(text: impl Into<std::borrow::Cow<'a, str>>, tone: Tone) -> Span<'a> {
    Span::styled(text, tone.style())
}

/// A frame with what is written into its edges.
pub(crate) struct Panel<'a> {
    title: Line<'a>,
    right: Line<'a>,
    bottom_left: Line<'a>,
    bottom_right: Line<'a>,
    focused: bool,
}

impl<'a> Panel<'a> {
    /// A frame with a title.
    pub(crate) fn new(title: impl Into<Line<'a>>) -> Self {
        Self {
            title: title.into(),
            right: Line::default(),
            bottom_left: Line::default(),
            bottom_right: Line::default(),
            focused: false,
        }
    }

    /// Keys are aimed at it.
    pub(crate) fn focused(mut self, focused: bool) -> Self {
        self.focused = focused;
        self
    }

    /// In the upper right corner.
    pub(crate) fn right(mut self, text: impl Into<Line<'a>>) -> Self {
        self.right = text.into();
        self
    }

    /// In the lower left corner.
    pub(crate) fn bottom_left(mut self, text: impl Into<Line<'a>>) -> Self {
        self.bottom_left = text.into();
        self
    }

    /// In the lower right corner.
    pub(crate) fn bottom_right(mut self, text: impl Into<Line<'a>>) -> Self {
        self.bottom_right = text.into();
        self
    }

    /// Draws it; what is left inside is the answer.
    pub(crate) fn draw(self, area: Rect, buffer: &mut Buffer) -> Rect {
        let edge = if self.focused { Tone::Accent } else { Tone::Quiet }.style();
        let room = usize::from(area.width.saturating_sub(4));
        let title_style = if self.focused { Tone::Strong.style() } else { Style::new() };
        let mut block = Block::bordered().border_style(edge);
        let fits = |a: &Line<'_>, b: &Line<'_>| a.width() + b.width() + 6 <= room;
        // The title gives way to what stands on the right, unless nothing of it were left.
        let left_over = room.saturating_sub(self.right.width() + 6);
        let top_fits = left_over >= self.title.width().min(TITLE_MIN);
        let title = if top_fits { shorten(self.title, left_over) } else { self.title };
        block = block.title_top(set_in(title, edge, false).patch_style(title_style));
        if self.right.width() > 0 && top_fits {
            block = block.title_top(set_in(self.right, edge, true).right_aligned());
        }
        let bottom_fits = fits(&self.bottom_left, &self.bottom_right);
        if self.bottom_left.width() > 0 {
            block = block.title_bottom(set_in(self.bottom_left, edge, false));
        }
        if self.bottom_right.width() > 0 && bottom_fits {
            block = block.title_bottom(set_in(self.bottom_right, edge, true).right_aligned());
        }
        let inner = block.inner(area);
        block.render(area, buffer);
        inner
    }
}

/// How much of a title is always shown.
const TITLE_MIN: usize = 12;

/// What does not fit ends in `…`.
pub(crate) fn shorten(line: Line<'_>, width: usize) -> Line<'_> {
    if line.width() <= width {
        return line;
    }
    let mut left = width.saturating_sub(1);
    let mut spans = Vec::new();
    for span in line.spans {
        let mut text = String::new();
        for c in span.content.chars() {
            let wide = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
            if wide > left {
                left = 0;
                break;
            }
            left -= wide;
            text.push(c);
        }
        spans.push(Span::styled(text, span.style));
        if left == 0 {
            break;
        }
    }
    spans.push(Span::raw("…"));
    Line::from(spans)
}

/// `─ text `, or ` text ─` on the right.
fn set_in<'a>(text: Line<'a>, edge: Style, on_the_right: bool) -> Line<'a> {
    if text.width() == 0 {
        return text;
    }
    let mut spans = text.spans;
    if on_the_right {
        spans.insert(0, Span::raw(" "));
        spans.push(Span::styled(" ─", edge));
    } else {
        spans.insert(0, Span::styled("─ ", edge));
        spans.push(Span::raw(" "));
    }
    Line::from(spans)
}

/// One line with something at each end; the right one gives way.
pub(crate) fn bar(area: Rect, buffer: &mut Buffer, left: Line<'_>, right: Line<'_>) {
    if area.height == 0 {
        return;
    }
    let (left_width, right_width) = (left.width(), right.width());
    let at = usize::from(area.width).saturating_sub(right_width);
    buffer.set_line(area.x, area.y, &left, area.width);
    if right_width > 0 && left_width + 2 <= at {
        let x = area.x + u16::try_from(at).unwrap_or(0);
        buffer.set_line(x, area.y, &right, area.right().saturating_sub(x));
    }
}

/// One line; whatever does not fit ends in `…`.
pub(crate) fn cut_line(buffer: &mut Buffer, x: u16, y: u16, line: &Line<'_>, width: u16) {
    if width == 0 {
        return;
    }
    if line.width() <= usize::from(width) {
        buffer.set_line(x, y, line, width);
        return;
    }
    let (end, _) = buffer.set_line(x, y, line, width - 1);
    // A wide character that did not fit leaves its column empty.
    let style = line.spans.last().map_or(Style::new(), |span| span.style);
    buffer.set_string(end.max(x), y, "…", style);
}

/// A bar with its number outside.
pub(crate) fn meter<'a>(percent: Option<f64>, width: usize) -> Vec<Span<'a>> {
    let Some(percent) = percent.filter(|it| it.is_finite()) else {
        return vec![
            word("·".repeat(width), Tone::Quiet),
            word(format!(" {UNKNOWN:>4}"), Tone::Quiet),
        ];
    };
    let percent = percent.clamp(0.0, 100.0);
    let full = ((percent / 100.0 * width as f64).round() as usize).min(width);
    let tone = match percent {
        _ if percent >= 95.0 => Tone::Warn,
        _ if percent >= 1.0 => Tone::Good,
        _ => Tone::Plain,
    };
    vec![
        word("▇".repeat(full), tone),
        word("▁".repeat(width - full), Tone::Quiet),
        word(format!(" {percent:>3.0}%"), Tone::Plain),
    ]
}

/// A graph of percentages; what is not known is a gap.
pub(crate) fn graph<'a>(values: &[Option<f64>]) -> Span<'a> {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let draw = |value: &Option<f64>| match value {
        Some(value) => {
            let level = (value.clamp(0.0, 100.0) / 100.0 * 7.0).round() as usize;
            LEVELS.get(level).copied().unwrap_or('█')
        }
        None => ' ',
    };
    word(values.iter().map(draw).collect::<String>(), Tone::Good)
}

/// Used and total memory: `41/48G`.
pub(crate) fn memory(used: Option<u64>, total: Option<u64>) -> String {
    match (used, total) {
        (None, None) => UNKNOWN.to_owned(),
        (None, Some(total)) => format!("{UNKNOWN}/{}G", gib(total)),
        (Some(used), None) => format!("{}G", gib(used)),
        (Some(used), Some(total)) => format!("{}/{}G", gib(used), gib(total)),
    }
}

/// An amount of memory on its own.
pub(crate) fn bytes(amount: Option<u64>) -> String {
    match amount {
        None => UNKNOWN.to_owned(),
        Some(amount) if amount < 1 << 30 => format!("{}M", amount >> 20),
        Some(amount) => format!("{:.1}G", amount as f64 / (1_u64 << 30) as f64),
    }
}

fn gib(amount: u64) -> String {
    let gib = amount as f64 / (1_u64 << 30) as f64;
    if gib < 9.95 { format!("{gib:.1}") } else { format!("{gib:.0}") }
}

/// The part of a model's name that tells it from others, for a narrow place.
pub(crate) fn short_model(model: &ModelRef) -> &str {
    model.as_str().rsplit('/').next().unwrap_or_default()
}

/// A figure, or `—`.
pub(crate) fn figure(value: Option<f64>, unit: &str) -> String {
    value
        .filter(|it| it.is_finite())
        .map_or_else(|| UNKNOWN.to_owned(), |value| format!("{value:.0}{unit}"))
}

/// A short time: `180ms`, `12.3s`.
pub(crate) fn latency(milliseconds: Option<f64>) -> String {
    match milliseconds.filter(|it| it.is_finite()) {
        None => UNKNOWN.to_owned(),
        Some(ms) if ms < 9_999.5 => format!("{ms:.0}ms"),
        Some(ms) => format!("{:.1}s", ms / 1000.0),
    }
}

/// A part of a whole: `71%`.
pub(crate) fn share(part: Option<f64>) -> String {
    figure(part.map(|part| part * 100.0), "%")
}

/// Tokens per second.
pub(crate) fn rate(value: Option<f64>) -> String {
    match value.filter(|it| it.is_finite()) {
        None => UNKNOWN.to_owned(),
        Some(value) if value < 100.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
    }
}

/// `1 worker`, `2 workers`.
pub(crate) fn count(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

/// The sign of a machine's state.
pub(crate) fn hive_sign(state: HiveState) -> (&'static str, Tone) {
    match state {
        HiveState::Offline => ("◌", Tone::Quiet),
        HiveState::Starting => ("◐", Tone::Working),
        HiveState::Ready => ("●", Tone::Good),
        HiveState::Late => ("▲", Tone::Warn),
        HiveState::Stale => ("◌", Tone::Warn),
        HiveState::Lost => ("✗", Tone::Bad),
    }
}

/// The sign of a worker's state.
pub(crate) fn worker_sign(state: WorkerState) -> (&'static str, Tone) {
    match state {
        WorkerState::Starting | WorkerState::Loading => ("◐", Tone::Working),
        WorkerState::Ready | WorkerState::Busy => ("●", Tone::Good),
        WorkerState::Draining | WorkerState::BackingOff => ("◐", Tone::Warn),
        WorkerState::Stopped => ("◌", Tone::Quiet),
        WorkerState::Failed => ("✗", Tone::Bad),
    }
}

/// The sign of a model's state.
pub(crate) fn model_sign(state: ModelState) -> (&'static str, Tone) {
    match state {
        ModelState::Available => ("◌", Tone::Quiet),
        ModelState::Downloading => ("◐", Tone::Working),
        ModelState::Ready => ("●", Tone::Good),
        ModelState::Partial => ("▲", Tone::Warn),
        ModelState::Failed => ("✗", Tone::Bad),
    }
}

/// The sign of a job's state.
pub(crate) fn job_sign(state: JobState) -> (&'static str, Tone) {
    match state {
        JobState::Queued => ("◌", Tone::Plain),
        JobState::Running => ("◐", Tone::Working),
        JobState::Done => ("✓", Tone::Good),
        JobState::Failed => ("✗", Tone::Bad),
        JobState::Cancelled => ("◌", Tone::Quiet),
    }
}
