//! When to try again: plain functions of what has passed and of a random
//! number, so that they can be tested without waiting.
//!
//! Every wait has full jitter, because after a daemon's restart all its
//! clients come back at once.

use std::time::Duration;

/// Upper bounds of the waits of a job's stream. Short at first: a reader is
/// watching the text appear.
pub(crate) const JOB: &[Duration] = &[
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// Upper bounds of the waits of the feed, which goes on for ever and must not
/// wear down a machine that stays away.
pub(crate) const FEED: &[Duration] = &[
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(5),
];

/// A daemon that asks for more than this has made a mistake.
const ASKED_MAX: Duration = Duration::from_secs(60);

/// The wait before attempt `attempt` (from 0). `asked` is what the daemon
/// itself asked for, `jitter` is in 0..1, `most` caps our own part.
pub(crate) fn wait(
    steps: &[Duration],
    attempt: u32,
    asked: Duration,
    jitter: f64,
    most: Duration,
) -> Duration {
    let at = usize::try_from(attempt).unwrap_or(usize::MAX);
    let step = steps.get(at).or(steps.last()).copied().unwrap_or_default();
    asked.min(ASKED_MAX) + step.min(most).mul_f64(jitter.clamp(0.0, 1.0))
}

/// The wait, cut so that the last attempt falls into the `patience`; `None`
/// when the outage has used it up.
pub(crate) fn within(patience: Duration, outage: Duration, wait: Duration) -> Option<Duration> {
    let left = patience.checked_sub(outage).filter(|left| !left.is_zero())?;
    Some(wait.min(left))
}

/// Waits. No wait is none at all, where a timer takes its next millisecond.
pub(crate) async fn pause(wait: Duration) {
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
}

/// A random number for [`wait`].
pub(crate) fn jitter() -> f64 {
    rand::random()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;
    const FAR: Duration = Duration::from_secs(3600);

    #[test]
    fn waits_grow_to_the_last_step_and_stay_there() {
        let whole = |steps, attempt| wait(steps, attempt, Duration::ZERO, 1.0, FAR);
        let job: Vec<_> = (0..8).map(|attempt| whole(JOB, attempt)).collect();
        assert_eq!(job, [100, 250, 500, 1000, 2000, 4000, 4000, 4000].map(MS));
        let feed: Vec<_> = (0..6).map(|attempt| whole(FEED, attempt)).collect();
        assert_eq!(feed, [500, 1000, 2000, 4000, 5000, 5000].map(MS));
        assert_eq!(whole(FEED, u32::MAX), MS(5000));
    }

    #[test]
    fn jitter_spreads_a_wait_from_nothing_to_the_whole_step() {
        assert_eq!(wait(JOB, 3, Duration::ZERO, 0.0, FAR), Duration::ZERO);
        assert_eq!(wait(JOB, 3, Duration::ZERO, 0.25, FAR), MS(250));
        assert_eq!(wait(JOB, 3, Duration::ZERO, 7.0, FAR), MS(1000));
    }

    #[test]
    fn what_the_daemon_asks_for_is_waited_on_top_and_never_beyond_a_minute() {
        assert_eq!(wait(JOB, 0, MS(2000), 0.5, FAR), MS(2050));
        assert_eq!(wait(JOB, 0, MS(2000), 0.5, Duration::ZERO), MS(2000));
        assert_eq!(wait(JOB, 0, Duration::MAX, 0.0, FAR), MS(60_000));
    }

    #[test]
    fn patience_shortens_the_last_wait_and_then_ends() {
        assert_eq!(within(MS(30_000), MS(1_000), MS(4_000)), Some(MS(4_000)));
        assert_eq!(within(MS(30_000), MS(29_000), MS(4_000)), Some(MS(1_000)));
        assert_eq!(within(MS(30_000), MS(30_000), MS(0)), None);
        assert_eq!(within(MS(30_000), MS(31_000), MS(0)), None);
    }
}
