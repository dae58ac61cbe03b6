//! What drawing needs to know beside the model: the time, and a note of when
//! the picture will be another one although nothing happened.
//!
//! Every age, countdown and moving graph is written through here, so whoever
//! draws one has also said when it changes. With none on the screen nothing is
//! due, and the dashboard sleeps.

use std::{cell::Cell, time::Duration};

use protocol::Timestamp;

use crate::tui::state::{Model, Now, history::History};

/// The context of one frame.
pub(crate) struct Ctx<'a> {
    /// What is drawn.
    pub(crate) model: &'a Model,
    /// When.
    pub(crate) now: Now,
    next: Cell<Option<Duration>>,
}

impl<'a> Ctx<'a> {
    /// The context of a frame drawn now.
    pub(crate) fn new(model: &'a Model, now: Now) -> Self {
        Self { model, now, next: Cell::new(None) }
    }

    /// When the picture changes by itself.
    pub(crate) fn next_change(&self) -> Option<Duration> {
        self.next.get()
    }

    /// Something drawn will look different from this time on.
    pub(crate) fn changes_at(&self, at: Duration) {
        if at > self.now.monotonic {
            let next = self.next.get().map_or(at, |next| next.min(at));
            self.next.set(Some(next));
        }
    }

    /// How long ago a time of the queen's clock was, counting on.
    pub(crate) fn age(&self, since: Timestamp) -> String {
        let age = self.model.queen_time(self.now).duration_since(since);
        self.running(Duration::try_from(age).unwrap_or_default())
    }

    /// How long something has lasted that began at this time of the
    /// dashboard's clock, counting on.
    pub(crate) fn elapsed(&self, since: Duration) -> String {
        self.running(self.now.monotonic.saturating_sub(since))
    }

    /// How a figure went over the last seconds. A picture of it moves once a
    /// second, unless it is the same all along.
    pub(crate) fn history(&self, history: &History, seconds: usize) -> Vec<Option<f64>> {
        if !history.is_still(self.now.monotonic, seconds) {
            self.changes_at(Duration::from_secs(self.now.monotonic.as_secs() + 1));
        }
        history.seconds(self.now.monotonic, seconds)
    }

    /// Whole seconds until a time of the dashboard's clock, counting down.
    pub(crate) fn seconds_until(&self, at: Duration) -> u64 {
        let left = at.saturating_sub(self.now.monotonic);
        let part = Duration::from_nanos(u64::from(left.subsec_nanos()));
        let part = if part.is_zero() { Duration::from_secs(1) } else { part };
        if !left.is_zero() {
            self.changes_at(self.now.monotonic + part);
        }
        left.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
    }

    /// A duration that is still growing.
    fn running(&self, age: Duration) -> String {
        let step = grain(age);
        let rest = age.as_nanos() % step.as_nanos();
        let left = step.as_nanos() - rest;
        let left = Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX));
        self.changes_at(self.now.monotonic + left);
        span(age)
    }

    /// When something was, for a list: the time of day, or the day. Unlike an
    /// age it stands still.
    pub(crate) fn when(&self, at: Timestamp) -> String {
        let zoned = |at: Timestamp| at.to_zoned(self.model.zone.clone());
        if zoned(at).date() == zoned(self.now.wall).date() {
            self.clock(at)
        } else {
            zoned(at).strftime("%m-%d").to_string()
        }
    }

    /// A time of day where the operator is.
    pub(crate) fn clock(&self, at: Timestamp) -> String {
        at.to_zoned(self.model.zone.clone()).strftime("%H:%M:%S").to_string()
    }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How often the text of [`span`] changes at this length.
fn grain(length: Duration) -> Duration {
    Duration::from_secs(match length.as_secs() {
        0..600 => 1,
        600..172_800 => MINUTE,
        _ => HOUR,
    })
}

/// A length of time in at most six letters.
pub(crate) fn span(length: Duration) -> String {
    match length.as_secs() {
        s @ 0..MINUTE => format!("{s}s"),
        s @ MINUTE..600 => format!("{}m{:02}s", s / MINUTE, s % MINUTE),
        s @ 600..HOUR => format!("{}m", s / MINUTE),
        s @ HOUR..172_800 => format!("{}h{:02}m", s / HOUR, s % HOUR / MINUTE),
        s => format!("{}d", s / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_short_at_any_length() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (250, "4m10s"),
            (700, "11m"),
            (18_720, "5h12m"),
            (200_000, "2d"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }
}
