//! What time it is for the dashboard: the time of day, or that of a recording.

use std::{sync::Arc, time::Duration};

use protocol::Timestamp;
use tokio::time::Instant;

use super::state::Now;
use crate::recording::{self, Recording};

/// Where the time comes from.
pub(crate) enum Clock {
    /// From the world.
    World {
        /// When the dashboard began.
        began: Instant,
    },
    /// From a recording that is played.
    Recording(Arc<Recording>, recording::Clock),
}

impl Clock {
    pub(crate) fn now(&self) -> Now {
        match self {
            Self::World { began } => Now { monotonic: began.elapsed(), wall: Timestamp::now() },
            Self::Recording(recording, clock) => {
                let place = clock.place(Instant::now());
                Now { monotonic: place, wall: recording.time(place) }
            }
        }
    }

    /// When it will be this late; never in a recording that ends before.
    pub(crate) fn when(&self, monotonic: Duration) -> Option<Instant> {
        match self {
            Self::World { began } => began.checked_add(monotonic),
            Self::Recording(_, clock) => clock.when(monotonic),
        }
    }
}
