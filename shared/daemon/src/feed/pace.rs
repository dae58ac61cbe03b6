//! How often a reader is written to.
//!
//! Every chunk wakes whoever reads it. A fleet of ten thousand workers has
//! something to say hundreds of times a second; said thirty times a second in
//! larger chunks it is as good as new and costs each reader a fraction. What
//! happens now and then is never held back.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Between chunks when there is always something to say: a frame of a
/// dashboard.
const EVERY: Duration = Duration::from_millis(33);
/// Chunks that may go out at once after a silence.
const BURST: u32 = 8;

/// Lets a burst through at once, and then a chunk every so often.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the chunks sent so far would be used up at the steady rate.
    used_up: Instant,
}

impl Default for Pace {
    fn default() -> Self {
        Self { used_up: Instant::now() }
    }
}

impl Pace {
    /// Waits until the next chunk may go out.
    pub(super) async fn ready(&self) {
        let ahead = self.used_up.saturating_duration_since(Instant::now());
        let wait = ahead.saturating_sub(EVERY * (BURST - 1));
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }

    /// A chunk has gone out.
    pub(super) fn sent(&mut self) {
        self.used_up = self.used_up.max(Instant::now()) + EVERY;
    }
}
