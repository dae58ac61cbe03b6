//! What is shown while the queen is away: why, until when, and what can be
//! done about it.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{
    context::Ctx,
    cut_line,
    popup::broken,
    widgets::{Panel, count, safe, word},
};
use crate::tui::{
    keymap::Action,
    state::{Model, connection::Connection, connection::Wait},
    theme::Tone,
};

/// The columns of the frame around what is said, and beside it.
const FRAME: u16 = 6;

/// One line above the body, while what is shown is not what is.
pub(super) fn banner<'a>(ctx: &Ctx<'_>) -> Option<Line<'a>> {
    let Connection::Lost(outage, wait) = &ctx.model.connection else { return None };
    let since = ctx.elapsed(outage.since);
    // The cause last: it may be long, and how long it takes must not be what is cut off.
    Some(Line::from(vec![
        word(format!(" ✗ Lost the queen {since} ago. "), Tone::Bad),
        word(format!("{}: ", next_attempt(ctx, wait)), Tone::Plain),
        safe(&wait.cause, Tone::Bad),
    ]))
}

fn next_attempt(ctx: &Ctx<'_>, wait: &Wait) -> String {
    let key = ctx.model.keymap.label(Action::Retry);
    match ctx.seconds_until(wait.retry_at) {
        0 => format!("Attempt {} now", wait.attempt + 1),
        seconds => format!("Attempt {} in {seconds}s ({key} now)", wait.attempt + 1),
    }
}

/// The body before the queen has ever said anything.
pub(super) fn first_contact(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let title = match &ctx.model.launch {
        Some(launch) if launch.failed.is_none() => "Starting the queen",
        _ => "The queen",
    };
    let inner = Panel::new(title).draw(area, buffer);
    let lines = question(ctx);
    for (line, y) in lines.iter().zip(inner.y.saturating_add(1)..inner.bottom()) {
        cut_line(buffer, inner.x + 2, y, line, inner.width.saturating_sub(3));
    }
}

/// What is known about a queen who never answered, and the offer to start one.
pub(super) fn question<'a>(ctx: &Ctx<'_>) -> Vec<Line<'a>> {
    let model = ctx.model;
    let mut lines = Vec::new();
    if let Some(launch) = &model.launch {
        match &launch.failed {
            None => {
                let since = ctx.elapsed(launch.since);
                lines.push(Line::from(word(
                    format!("Starting a queen here  {since}"),
                    Tone::Strong,
                )));
            }
            Some(cause) => lines.push(Line::from(vec![
                word("✗ The queen did not start: ", Tone::Bad),
                safe(cause, Tone::Bad),
            ])),
        }
        lines.push(Line::default());
        let room = usize::from(model.size.1.saturating_sub(14)).max(3);
        let first = launch.lines.len().saturating_sub(room);
        lines.extend(
            launch.lines.iter().skip(first).map(|line| Line::from(safe(line, Tone::Quiet))),
        );
        if launch.failed.is_none() {
            return lines;
        }
        lines.push(Line::default());
    }
    match &model.connection {
        Connection::Connecting => {
            lines.push(Line::from(format!("Looking for the queen at {}…", model.address)));
        }
        Connection::Syncing { .. } | Connection::Live => {
            lines.push(Line::from("The queen answers; waiting for what she knows…"));
        }
        Connection::Unreached(wait) | Connection::Lost(_, wait) => {
            lines.extend(offer(ctx, wait));
        }
    }
    lines
}

fn offer<'a>(ctx: &Ctx<'_>, wait: &Wait) -> Vec<Line<'a>> {
    let address = &ctx.model.address;
    let mut lines = vec![
        Line::from(vec![
            word(format!("No queen at {address}. Start one here?  "), Tone::Strong),
            word(ctx.model.keymap.label(Action::StartQueen), Tone::Accent),
        ]),
        Line::default(),
    ];
    let reason = Line::from(vec![Span::raw("Reason: "), safe(&wait.cause, Tone::Plain)]);
    lines.extend(broken(&reason, ctx.model.size.0.saturating_sub(FRAME)));
    lines.extend([Line::from(next_attempt(ctx, wait)), Line::default()]);
    lines.extend(commands());
    lines.push(Line::default());
    lines.push(two(ctx.model, Action::EditConfig, "edit the queen's address"));
    lines
}

fn commands<'a>() -> Vec<Line<'a>> {
    [(Action::StartQueen, "start it on this machine"), (Action::Retry, "see whether she answers")]
        .into_iter()
        .filter_map(|(action, what)| {
            let twin = action.twin()?;
            Some(Line::from(vec![Span::raw(format!("{twin:<26}")), word(what, Tone::Quiet)]))
        })
        .collect()
}

/// How many rows [`what_you_can_do`] takes.
pub(super) const WHAT_YOU_CAN_DO: u16 = 7;

/// In the body, while the fleet is shown as it was.
pub(super) fn what_you_can_do(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let inner = Panel::new("What you can do").draw(area, buffer);
    let mut lines = if let Some(launch) = &ctx.model.launch {
        let state = launch.failed.as_ref().map_or_else(
            || word("Starting a queen here…", Tone::Working),
            |cause| safe(&format!("✗ The queen did not start: {cause}"), Tone::Bad),
        );
        let newest = launch.lines.last().map_or_else(String::new, Clone::clone);
        vec![Line::from(state), Line::from(word(newest, Tone::Quiet))]
    } else {
        vec![
            two(ctx.model, Action::Retry, "try again now"),
            two(ctx.model, Action::StartQueen, "start a queen here"),
            two(ctx.model, Action::EditConfig, "edit the queen's address"),
        ]
    };
    lines.push(Line::from("Nothing can be started or cancelled until the queen is back."));
    lines.extend(running(ctx.model));
    for (line, y) in lines.iter().zip(inner.y..inner.bottom()) {
        cut_line(buffer, inner.x + 1, y, line, inner.width.saturating_sub(2));
    }
}

fn two<'a>(model: &Model, action: Action, what: &'static str) -> Line<'a> {
    Line::from(vec![
        word(format!("{:<4}", model.keymap.label(action)), Tone::Accent),
        Span::raw(format!("{what:<26}")),
        word(action.twin().unwrap_or_default(), Tone::Quiet),
    ])
}

fn running<'a>(model: &Model) -> Option<Line<'a>> {
    let running = model.fleet.jobs.values().filter(|job| !job.state.is_ended()).count();
    (running > 0).then(|| {
        let were = if running == 1 { "was" } else { "were" };
        let jobs = count(running, "job", "jobs");
        Line::from(format!("{jobs} {were} running; losing the connection cancels nothing."))
    })
}
