//! How long silence may last, and what it means.
//!
//! Judged on the queen's monotonic clock and by the time of receipt: nobody
//! else's clock decides, and the queen's own stalls are taken out.

use std::time::{Duration, Instant};

use protocol::fleet::HiveState;

/// Silence of a hive's feed, which sends something every 4 s.
const LATE_AFTER: Duration = Duration::from_secs(10);
const STALE_AFTER: Duration = Duration::from_secs(15);
const LOST_AFTER: Duration = Duration::from_secs(50);
/// Silence of a worker, which sends a heartbeat every 30 s.
const HEARTBEAT_TTL: Duration = Duration::from_secs(90);

/// A tick that comes this much too late means that the queen stood still: the
/// machine slept, or had no time for her.
const STALL: Duration = Duration::from_secs(3);

/// What the silence of a hive means.
pub fn hive_state(silence: Duration) -> HiveState {
    if silence >= LOST_AFTER {
        HiveState::Lost
    } else if silence >= STALE_AFTER {
        HiveState::Stale
    } else if silence >= LATE_AFTER {
        HiveState::Late
    } else {
        HiveState::Ready
    }
}

/// Whether a worker's last heartbeat is too old to send it work.
pub fn heartbeat_expired(silence: Duration) -> bool {
    silence >= HEARTBEAT_TTL
}

/// Notices when the queen herself stood still.
#[derive(Debug)]
pub struct Clock {
    last: Instant,
}

impl Clock {
    /// Starts at `now`.
    pub fn new(now: Instant) -> Self {
        Self { last: now }
    }

    /// How long the queen stood still since the last call; zero when she was
    /// merely a little late.
    pub fn stalled_since_last(&mut self, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.last);
        self.last = now;
        if since >= STALL { since } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_late_then_stale_then_lost() {
        for (seconds, state) in [
            (0, HiveState::Ready),
            (9, HiveState::Ready),
            (10, HiveState::Late),
            (15, HiveState::Stale),
            (49, HiveState::Stale),
            (50, HiveState::Lost),
        ] {
            assert_eq!(hive_state(Duration::from_secs(seconds)), state, "{seconds} s");
        }
    }

    #[test]
    fn only_a_long_gap_counts_as_the_queens_own_stall() {
        let start = Instant::now();
        let mut clock = Clock::new(start);
        assert_eq!(clock.stalled_since_last(start + Duration::from_secs(1)), Duration::ZERO);
        let gap = clock.stalled_since_last(start + Duration::from_secs(61));
        assert_eq!(gap, Duration::from_secs(60));
    }
}
