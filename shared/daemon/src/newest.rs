//! The newest measurements of something, and what they come to.

use std::{collections::VecDeque, time::Duration};

/// A bounded window: with each new measurement beyond its size the oldest goes.
#[derive(Debug, Clone)]
pub struct Newest {
    measured: VecDeque<Duration>,
    kept: usize,
}

impl Newest {
    /// Keeps `kept` measurements.
    pub fn new(kept: usize) -> Self {
        Self { measured: VecDeque::with_capacity(kept), kept }
    }

    /// One more.
    pub fn note(&mut self, measured: Duration) {
        if self.measured.len() >= self.kept {
            self.measured.pop_front();
        }
        self.measured.push_back(measured);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.measured.len()
    }

    /// The smallest measurement that at least `share` (0 to 1) of all do not
    /// exceed; `None` before there is one.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.measured.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied()
    }
}

/// Milliseconds with one digit after the point: more would be noise, and each
/// change of it a message.
pub fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e4).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_count_and_one_slow_request_does_not_move_the_median() {
        let ms = |n| Duration::from_millis(n);
        let mut newest = Newest::new(20);
        assert_eq!(newest.quantile(0.5), None);
        newest.note(ms(9_000));
        assert_eq!(newest.quantile(0.5), Some(ms(9_000)));
        (1..=19).for_each(|n| newest.note(ms(n)));
        assert_eq!(newest.quantile(0.5), Some(ms(10)));
        assert_eq!(newest.quantile(0.95), Some(ms(19)));
        assert_eq!(newest.quantile(1.0), Some(ms(9_000)));
        newest.note(ms(20));
        assert_eq!((newest.count(), newest.quantile(1.0)), (20, Some(ms(20))));
    }
}
