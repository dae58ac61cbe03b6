//! How fast something comes in. Pure: the clock is handed in.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use protocol::job::Progress;

/// The rate is the mean over this.
const WINDOW: Duration = Duration::from_secs(10);
/// Samples closer together than this are one.
const RESOLUTION: Duration = Duration::from_millis(100);

/// Bytes over time.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    total: u64,
    done: u64,
    /// When how much was there; the first one is older than the window.
    samples: VecDeque<(Instant, u64)>,
    moved_at: Instant,
    /// Silence for this long is worth saying.
    told_after: Duration,
}

impl Meter {
    /// `done` bytes were here before.
    pub(crate) fn new(done: u64, total: u64, told_after: Duration, now: Instant) -> Self {
        Self { total, done, samples: VecDeque::from([(now, done)]), moved_at: now, told_after }
    }

    /// So much is here now. Less than before means that some of it has to be
    /// fetched again, and the rate starts anew.
    pub(crate) fn at(&mut self, done: u64, now: Instant) {
        if done > self.done {
            self.moved_at = now;
        } else if done < self.done {
            self.samples = VecDeque::from([(now, done)]);
        }
        self.done = done.min(self.total);
        let is_first = self.samples.len() < 2;
        match self.samples.back_mut() {
            Some((at, last)) if !is_first && now.saturating_duration_since(*at) < RESOLUTION => {
                *last = done;
            }
            _ => self.samples.push_back((now, done)),
        }
        while let Some((second, _)) = self.samples.get(1)
            && now.saturating_duration_since(*second) >= WINDOW
        {
            self.samples.pop_front();
        }
    }

    /// How long nothing has come, once that is worth saying.
    pub(crate) fn stalled(&self, now: Instant) -> Option<Duration> {
        let silence = now.saturating_duration_since(self.moved_at);
        (silence >= self.told_after && self.done < self.total).then_some(silence)
    }

    pub(crate) fn progress(&self, now: Instant) -> Progress {
        let rate = self.rate(now).filter(|rate| *rate > 0.0);
        let left = self.total.saturating_sub(self.done);
        Progress {
            done: self.done,
            total: Some(self.total),
            unit: "bytes".to_owned(),
            rate,
            eta_s: rate.filter(|_| left > 0).map(|rate| left as f64 / rate),
        }
    }

    fn rate(&self, now: Instant) -> Option<f64> {
        let (since, then) = self.samples.front()?;
        let took = now.saturating_duration_since(*since);
        // A rate of the first instants says nothing.
        (took >= RESOLUTION).then(|| self.done.saturating_sub(*then) as f64 / took.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD_AFTER: Duration = Duration::from_secs(10);

    fn ms(began: Instant, ms: u64) -> Instant {
        began + Duration::from_millis(ms)
    }

    #[test]
    fn the_rate_is_the_mean_of_the_last_ten_seconds() {
        let began = Instant::now();
        let mut meter = Meter::new(0, 100_000, TOLD_AFTER, began);
        for second in 1..=20 {
            meter.at(second * 1000, ms(began, second * 1000));
        }
        assert_eq!(meter.progress(ms(began, 20_000)).rate, Some(1000.0));
        for second in 21..=30 {
            meter.at(20_000 + (second - 20) * 3000, ms(began, second * 1000));
        }
        let progress = meter.progress(ms(began, 30_000));
        assert_eq!((progress.done, progress.rate), (50_000, Some(3000.0)));
        assert_eq!(progress.eta_s.map(f64::round), Some(17.0));
    }

    #[test]
    fn what_was_there_before_is_done_and_no_part_of_the_rate() {
        let began = Instant::now();
        let mut meter = Meter::new(90, 100, TOLD_AFTER, began);
        assert_eq!(meter.progress(began).rate, None);
        meter.at(95, ms(began, 1000));
        let progress = meter.progress(ms(began, 1000));
        assert_eq!((progress.fraction(), progress.rate), (Some(0.95), Some(5.0)));
    }

    #[test]
    fn silence_is_said_after_ten_seconds_and_not_at_the_end() {
        let began = Instant::now();
        let mut meter = Meter::new(0, 100, TOLD_AFTER, began);
        meter.at(50, ms(began, 1000));
        meter.at(50, ms(began, 5000));
        assert_eq!(meter.stalled(ms(began, 10_900)), None);
        assert_eq!(meter.stalled(ms(began, 13_000)), Some(Duration::from_secs(12)));
        let progress = meter.progress(ms(began, 30_000));
        assert!(progress.rate.is_none_or(|rate| rate < 2.0), "{progress:?}");
        meter.at(100, ms(began, 31_000));
        assert_eq!(meter.stalled(ms(began, 99_000)), None);
        assert_eq!(meter.progress(ms(began, 31_000)).eta_s, None, "nothing is to come");
    }

    #[test]
    fn what_has_to_be_fetched_again_never_gives_a_negative_rate() {
        let began = Instant::now();
        let mut meter = Meter::new(0, 100, TOLD_AFTER, began);
        meter.at(80, ms(began, 1000));
        meter.at(40, ms(began, 2000));
        meter.at(50, ms(began, 3000));
        assert_eq!(meter.progress(ms(began, 3000)).rate, Some(10.0));
    }
}
