//! How what is said is written, in words and on one line.

use std::time::Duration;

use jiff::tz::TimeZone;
use protocol::{
    Timestamp,
    job::{JobEvent, Level, Progress},
};

use crate::{
    cli::{
        exit::{Exit, Failure},
        table,
        terminal::{Look, Tone},
    },
    text,
};

/// Foreign text as a stream may show it: harmless on a terminal, without
/// pictures anywhere else.
pub(super) fn shown(line: &str, look: &Look) -> String {
    if look.terminal && look.unicode {
        text::sanitise(line).replace('\n', " ")
    } else {
        text::one_line(line).trim_start().to_owned()
    }
}

pub(super) fn event_text(event: &JobEvent, look: &Look, verbose: bool) -> String {
    let message = shown(&event.message, look);
    let tone = match event.level.unwrap_or_default() {
        Level::Debug => Tone::Faint,
        Level::Info => Tone::Plain,
        Level::Warn => Tone::Warn,
        Level::Error => Tone::Bad,
    };
    let word = match event.level.unwrap_or_default() {
        Level::Warn => "warning: ",
        Level::Error => "error: ",
        Level::Debug | Level::Info => "",
    };
    let actor = event.actor.as_deref().unwrap_or("keeper");
    let mut prefix = format!("{:<7}", shown(actor, look));
    if verbose {
        let at = event.at.unwrap_or_else(Timestamp::now);
        prefix = format!("{} {prefix}", clock(at));
    }
    format!(
        "{} {}",
        look.paint(Tone::Faint, &prefix),
        look.paint(tone, &format!("{word}{message}"))
    )
}

/// The time of day where the operator sits.
pub(super) fn clock(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string()
}

/// One line of a job's log.
pub(super) fn log_line(event: &JobEvent) -> String {
    let at = event.at.map_or_else(String::new, |at| format!("{} ", clock(at)));
    let actor = event.actor.as_deref().unwrap_or("queen");
    format!("{at}{actor:<7} {}", event.message)
}

/// How far something is: `61%  18.4 GiB/30.1 GiB  112.0 MiB/s  eta 1m44s`.
pub fn progress_text(progress: &Progress) -> String {
    let quantity = |units: u64| match progress.unit.as_str() {
        "bytes" => table::bytes(units),
        unit => format!("{units} {unit}"),
    };
    let mut parts = Vec::new();
    if let Some(fraction) = progress.fraction() {
        parts.push(format!("{:.0}%", (fraction * 100.0).floor()));
    }
    parts.push(match progress.total {
        Some(total) if progress.unit == "bytes" => {
            format!("{}/{}", quantity(progress.done), quantity(total))
        }
        Some(total) => format!("{}/{}", progress.done, quantity(total)),
        None => quantity(progress.done),
    });
    // A rate or a time of a hostile or broken sender must not become a panic.
    let finite = |value: Option<f64>| value.filter(|it| it.is_finite() && (0.0..1e15).contains(it));
    if let Some(rate) = finite(progress.rate) {
        parts.push(format!("{}/s", quantity(rate.round() as u64)));
    }
    if let Some(eta) = finite(progress.eta_s) {
        parts.push(format!("eta {}", table::duration(Duration::from_secs(eta.round() as u64))));
    }
    parts.join("  ")
}

pub(super) fn failure_text(failure: &Failure, look: &Look) -> String {
    // A launch's failure ends with the lines of its log, so line ends stay.
    let message = text::sanitise(&failure.message);
    let pictures = look.terminal && look.unicode;
    // Whoever pressed Ctrl-C is not told that this was an error.
    let is_asked_for = matches!(failure.exit, Exit::Interrupted | Exit::Terminated);
    let mut text = if is_asked_for {
        format!("{message}\n")
    } else if pictures {
        format!("❌ {} {message}\n", look.paint(Tone::Bad, "Error:"))
    } else {
        format!("{} {message}\n", look.paint(Tone::Bad, "error:"))
    };
    if let Some(hint) = &failure.hint {
        let hint = text::sanitise(hint);
        text.push_str(&if pictures {
            format!("💡 {hint}\n")
        } else {
            format!("  hint: {hint}\n")
        });
    }
    text
}
