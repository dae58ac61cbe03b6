//! When a worker that ended is started again, and when no more.
//!
//! Plain arithmetic over instants and a random number that come in from
//! outside.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use protocol::Timestamp;
use serde::{Deserialize, Serialize};

/// A wait is never longer than this, however many there were before.
const DELAY_MAX: Duration = Duration::from_secs(60);
/// How far a wait may be from its middle, so that workers that a fault of the
/// machine ended together do not come back together.
const JITTER: f64 = 0.2;
/// What [`RestartPolicy::tries_max`] counts.
const WINDOW: Duration = Duration::from_secs(10 * 60);
/// A worker that served this long is well, whatever was before.
const GOOD: Duration = Duration::from_secs(10 * 60);

/// How patient a hive is with workers that fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartPolicy {
    /// The wait before the first restart in a row; each further one waits
    /// twice as long, up to a minute.
    pub delay_first: Duration,
    /// So many restarts within ten minutes are enough to know that another
    /// one does not help.
    pub tries_max: u32,
}

/// What the end of a life says about the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It had served since then.
    Serving { since: Instant },
    /// It ended by force before it served.
    Coming,
    /// It said itself that it cannot load its model, or there was no room to
    /// start it. That seldom gets better, but memory that somebody else holds
    /// may come free.
    Refused,
}

/// The restarts of one worker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Restarts {
    /// The newest ones, no more than the policy allows.
    recent: VecDeque<Instant>,
    /// Since it was last well.
    in_a_row: u32,
    /// Lives in a row that ended with a refusal.
    refused: u32,
}

/// [`Restarts`] as they are written down for the next hive, whose clock for
/// intervals began somewhere else.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Tries {
    recent: Vec<Timestamp>,
    in_a_row: u32,
    refused: u32,
}

impl Restarts {
    /// The wait before the next life; `None` when there is to be none.
    /// `jitter` is in 0..1.
    pub(crate) fn next(
        &mut self,
        policy: RestartPolicy,
        ended: Ended,
        now: Instant,
        jitter: f64,
    ) -> Option<Duration> {
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
            Ended::Refused => self.refused = self.refused.saturating_add(1),
        }
        self.recent.retain(|at| now.saturating_duration_since(*at) < WINDOW);
        let tries = u32::try_from(self.recent.len()).unwrap_or(u32::MAX);
        if tries >= policy.tries_max || self.refused >= policy.tries_max {
            return None;
        }
        self.recent.push_back(now);
        let doubled = policy.delay_first.saturating_mul(1 << self.in_a_row.min(16));
        self.in_a_row = self.in_a_row.saturating_add(1);
        let factor = 1.0 - JITTER + 2.0 * JITTER * jitter.clamp(0.0, 1.0);
        Some(doubled.min(DELAY_MAX).mul_f64(factor))
    }

    /// What the next hive is to know; it is `at` by the wall clock.
    pub(crate) fn written(&self, now: Instant, at: Timestamp) -> Tries {
        let wall = |instant: &Instant| at - now.saturating_duration_since(*instant);
        Tries {
            recent: self.recent.iter().map(wall).collect(),
            in_a_row: self.in_a_row,
            refused: self.refused,
        }
    }

    /// What a former hive has written. A clock that was set back makes a
    /// restart one of this moment, and never one of the future.
    pub(crate) fn read(tries: &Tries, now: Instant, at: Timestamp) -> Self {
        let instant = |wall: &Timestamp| now.checked_sub(elapsed(*wall, at)).unwrap_or(now);
        let mut recent: VecDeque<_> = tries.recent.iter().map(instant).collect();
        recent.make_contiguous().sort();
        Self { recent, in_a_row: tries.in_a_row, refused: tries.refused }
    }
}

/// How much of a wait until `retry_at` is left; never more than any wait takes.
pub(crate) fn left_until(retry_at: Timestamp, at: Timestamp) -> Duration {
    elapsed(at, retry_at).min(DELAY_MAX.mul_f64(1.0 + JITTER))
}

fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIDDLE: f64 = 0.5;
    const POLICY: RestartPolicy = RestartPolicy { delay_first: SECOND, tries_max: 5 };
    const SECOND: Duration = Duration::from_secs(1);
    const AT: Timestamp = Timestamp::UNIX_EPOCH;

    /// A life of so many seconds, of which it served all.
    fn life(restarts: &mut Restarts, now: &mut Instant, seconds: u64) -> Option<u64> {
        let since = *now;
        *now += Duration::from_secs(seconds);
        let wait = restarts.next(POLICY, Ended::Serving { since }, *now, MIDDLE)?;
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
        while restarts.next(POLICY, Ended::Refused, now, MIDDLE).is_some() {
            now += Duration::from_secs(3600);
            lives += 1;
        }
        assert_eq!(lives, POLICY.tries_max - 1);
    }

    #[test]
    fn none_are_allowed_and_none_happens() {
        let never = RestartPolicy { tries_max: 0, ..POLICY };
        let ended = Ended::Coming;
        assert_eq!(Restarts::default().next(never, ended, Instant::now(), MIDDLE), None);
    }

    #[test]
    fn the_next_hive_counts_on_where_the_one_before_stopped() {
        let (mut restarts, mut now) = (Restarts::default(), Instant::now());
        for _ in 0..3 {
            life(&mut restarts, &mut now, 60);
        }
        let written = restarts.written(now, AT);
        // Two minutes without a hive, and its clock began anew.
        let (mut later, at) = (Instant::now(), AT + Duration::from_secs(120));
        let mut read = Restarts::read(&written, later, at);
        let waits: Vec<_> = (0..3).map(|_| life(&mut read, &mut later, 1)).collect();
        assert_eq!(waits, [Some(8), Some(16), None]);

        let next_day = Restarts::read(&written, later, AT + Duration::from_secs(86_400));
        let waits = (0..6).filter_map(|_| life(&mut next_day.clone(), &mut later, 1)).count();
        assert_eq!(waits, 6, "those are too long ago to count");
    }

    #[test]
    fn a_clock_that_was_set_makes_no_wait_longer_and_no_restart_one_of_the_future() {
        let hour = Duration::from_secs(3600);
        assert_eq!(left_until(AT, AT + hour), Duration::ZERO);
        assert_eq!(left_until(AT + SECOND, AT), SECOND);
        assert_eq!(left_until(AT + hour, AT), Duration::from_secs(72));
        let (mut restarts, mut now) = (Restarts::default(), Instant::now());
        life(&mut restarts, &mut now, 1);
        let written = restarts.written(now, AT + hour);
        let read = Restarts::read(&written, now, AT);
        assert!(read.recent.iter().all(|tried| *tried <= now) && read.recent.len() == 1);
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
                let Some(wait) = restarts.next(POLICY, how, now, jitter) else { continue };
                prop_assert!(wait >= SECOND.mul_f64(0.8) && wait <= DELAY_MAX.mul_f64(1.2));
                tried.push(now);
                let within = tried.iter().filter(|at| now - **at < WINDOW).count();
                prop_assert!(within <= POLICY.tries_max as usize, "{within} restarts in ten minutes");
            }
        }
    }
}
