//! How a figure went over the last minute.
//!
//! A figure is sent only when it changes, so what is kept is the changes; what
//! is not known is kept as a gap, never as a zero.

use std::{collections::VecDeque, time::Duration};

/// How much is kept. One change per second is the most that is sent.
const KEPT: usize = 180;

/// The changes of one figure, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    changes: VecDeque<(Duration, Option<f64>)>,
}

impl History {
    /// From now on it is this.
    pub(crate) fn record(&mut self, now: Duration, value: Option<f64>) {
        if self.changes.back().is_some_and(|(_, last)| *last == value) {
            return;
        }
        self.changes.push_back((now, value));
        if self.changes.len() > KEPT {
            self.changes.pop_front();
        }
    }

    /// Its value at each of the last `count` seconds, oldest first.
    pub(crate) fn seconds(&self, now: Duration, count: usize) -> Vec<Option<f64>> {
        (0..count)
            .rev()
            .map(|ago| {
                let at = now.checked_sub(Duration::from_secs(ago as u64))?;
                self.changes.iter().rev().find(|(since, _)| *since <= at).and_then(|(_, v)| *v)
            })
            .collect()
    }

    /// Whether the last `count` seconds are all the same, so that a picture of
    /// them does not move.
    pub(crate) fn is_still(&self, now: Duration, count: usize) -> bool {
        let window = Duration::from_secs(count as u64);
        self.changes.back().is_none_or(|(since, _)| now.saturating_sub(*since) > window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lasts_until_the_next_and_the_unknown_is_a_gap() {
        let at = Duration::from_secs;
        let mut history = History::default();
        history.record(at(100), Some(50.0));
        history.record(at(102), None);
        history.record(at(104), Some(70.0));
        let seconds = history.seconds(at(105), 7);
        assert_eq!(seconds, [None, Some(50.0), Some(50.0), None, None, Some(70.0), Some(70.0)]);
        assert!(!history.is_still(at(105), 7));
        assert!(history.is_still(at(112), 7));
    }
}
