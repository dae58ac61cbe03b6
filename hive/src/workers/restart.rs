//! When a worker that ended is started again, and when no more.
//!
//! Plain arithmetic over instants and a random number that come in from
//! outside.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The wait before the first restart in a row; each further one waits twice
/// as long …
const DELAY_FIRST: Duration = Duration::from_secs(1);
/// … up to this.
const DELAY_MAX: Duration = Duration::from_secs(60);
/// How far a wait may be from its middle, so that workers that a fault of the
/// machine ended together do not come back together.
const JITTER: f64 = 0.2;
/// So many restarts …
const TRIES_MAX: usize = 5;
/// … within this are enough to know that another one does not help.
const WINDOW: Duration = Duration::from_secs(10 * 60);
/// A worker that served this long is well, whatever was before.
const GOOD: Duration = Duration::from_secs(10 * 60);

/// What the end of a life says about the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It had served since then.
    Serving { since: Instant },
    /// It ended by force before it served.
    Coming,
    /// It said itself that it cannot load its model. That seldom gets better,
    /// but memory that somebody else holds may come free.
    Refused,
}

/// The restarts of one worker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Restarts {
    /// The newest ones, at most [`TRIES_MAX`].
    recent: VecDeque<Instant>,
    /// Since it was last well.
    in_a_row: u32,
    /// Lives in a row that ended with a refusal.
    refused: usize,
}

impl Restarts {
    /// The wait before the next life; `None` when there is to be none.
    /// `jitter` is in 0..1.
    pub(crate) fn next(&mut self, ended: Ended, now: Instant, jitter: f64) -> Option<Duration> {
        match ended {
            Ended::Serving { since } => {
                self.refused = 0;
                if now.saturating_duration_since(since) >= GOOD {
                    *self = Self::default();
                }
            }
            Ended::Coming => self.refused = 0,
            // Loading a large model takes minutes, so that refusals alone
            // would never be many enough within the window.
            Ended::Refused => self.refused += 1,
        }
        self.recent.retain(|at| now.saturating_duration_since(*at) < WINDOW);
        if self.recent.len() >= TRIES_MAX || self.refused >= TRIES_MAX {
            return None;
        }
        self.recent.push_back(now);
        let doubled = DELAY_FIRST.saturating_mul(1 << self.in_a_row.min(16));
        self.in_a_row = self.in_a_row.saturating_add(1);
        let factor = 1.0 - JITTER + 2.0 * JITTER * jitter.clamp(0.0, 1.0);
        Some(doubled.min(DELAY_MAX).mul_f64(factor))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIDDLE: f64 = 0.5;

    /// A life of so many seconds, of which it served all.
    fn life(restarts: &mut Restarts, now: &mut Instant, seconds: u64) -> Option<u64> {
        let since = *now;
        *now += Duration::from_secs(seconds);
        let wait = restarts.next(Ended::Serving { since }, *now, MIDDLE)?;
        *now += wait;
        Some(wait.as_secs())
    }

    #[test]
    fn waits_double_and_after_five_restarts_in_ten_minutes_it_is_enough() {
        let (mut restarts, mut now) = (Restarts::default(), Instant::now());
        let waits: Vec<_> = (0..6).map(|_| life(&mut restarts, &mut now, 1)).collect();
        assert_eq!(waits, [Some(1), Some(2), Some(4), Some(8), Some(16), None]);
    }

    #[test]
    fn one_that_crashes_now_and_then_waits_a_minute_at_most_and_is_not_given_up() {
        let (mut restarts, mut now) = (Restarts::default(), Instant::now());
        let waits: Vec<_> = (0..9).map(|_| life(&mut restarts, &mut now, 200)).collect();
        let expected = [1, 2, 4, 8, 16, 32, 60, 60, 60].map(Some);
        assert_eq!(waits, expected);
    }

    #[test]
    fn ten_good_minutes_make_everything_forgotten() {
        let (mut restarts, mut now) = (Restarts::default(), Instant::now());
        for _ in 0..5 {
            life(&mut restarts, &mut now, 1);
        }
        assert_eq!(life(&mut restarts, &mut now, 600), Some(1));
        assert_eq!(life(&mut restarts, &mut now, 1), Some(2));
    }

    #[test]
    fn a_worker_that_refuses_its_model_is_given_up_however_slowly_it_does() {
        let (mut restarts, mut now) = (Restarts::default(), Instant::now());
        let mut lives = 0;
        while restarts.next(Ended::Refused, now, MIDDLE).is_some() {
            now += Duration::from_secs(3600);
            lives += 1;
        }
        assert_eq!(lives, TRIES_MAX - 1);
    }

    fn ended() -> impl Strategy<Value = (u8, u64, f64)> {
        (0..3_u8, 0..1_200_u64, 0.0..1.0_f64)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_ten_minutes_see_more_than_five_restarts_unless_it_was_well_and_each_wait_is_bounded(
            lives in prop::collection::vec(ended(), 0..80)
        ) {
            let (mut restarts, mut now) = (Restarts::default(), Instant::now());
            let mut tried: Vec<Instant> = vec![];
            for (kind, seconds, jitter) in lives {
                let since = now;
                now += Duration::from_secs(seconds);
                let how = match kind {
                    0 => Ended::Serving { since },
                    1 => Ended::Coming,
                    _ => Ended::Refused,
                };
                if kind == 0 && seconds >= GOOD.as_secs() {
                    tried.clear();
                }
                let Some(wait) = restarts.next(how, now, jitter) else { continue };
                prop_assert!(wait >= DELAY_FIRST.mul_f64(0.8) && wait <= DELAY_MAX.mul_f64(1.2));
                tried.push(now);
                let within = tried.iter().filter(|at| now - **at < WINDOW).count();
                prop_assert!(within <= TRIES_MAX, "{within} restarts in ten minutes");
            }
        }
    }
}
