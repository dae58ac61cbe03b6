//! What the queen knows of the fleet, from two sources kept apart: each hive's
//! feed (processes, devices) and each worker's heartbeats (slots, health).
//!
//! [`registry`] decides and is pure; this wrapper holds its lock, publishes
//! what changed and so keeps both in the same order.

pub mod liveness;
pub mod registry;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use daemon::{feed::Feed, shutdown::Shutdown};
use protocol::{
    ApiError, HiveId,
    fleet::{FeedEvent, Fleet, Heartbeat, LinkRecord},
};

use self::registry::Registry;

/// How often silence is judged.
const JUDGE_EVERY: Duration = Duration::from_secs(1);

/// The fleet as the queen knows it. Cheap to clone.
#[derive(Clone)]
pub struct FleetHandle {
    registry: Arc<Mutex<Registry>>,
    feed: Feed,
}

impl FleetHandle {
    /// Nothing is known; everything that becomes known is published to `feed`.
    pub fn new(feed: Feed) -> Self {
        Self { registry: Arc::new(Mutex::new(Registry::default())), feed }
    }

    /// Where the fleet is published.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// The fleet as it is.
    pub fn snapshot(&self) -> Fleet {
        self.feed.fleet()
    }

    /// The machine exists, at this address.
    pub fn hive_at(&self, id: &HiveId, url: &str) {
        self.change(|registry| registry.hive_at(id, url));
    }

    /// The machine is known and cannot be reached by us.
    pub fn hive_out_of_reach(&self, id: &HiveId, reason: &str) {
        self.change(|registry| registry.hive_out_of_reach(id, reason));
    }

    /// A process of the machine's daemon was launched.
    pub fn hive_starting(&self, id: &HiveId) {
        self.change(|registry| registry.hive_starting(id));
    }

    /// The machine was stopped as it was asked to.
    pub fn hive_stopped(&self, id: &HiveId) {
        self.change(|registry| registry.hive_stopped(id));
    }

    /// The machine said something on its feed.
    pub fn hive_says(&self, id: &HiveId, event: &FeedEvent) {
        let now = Instant::now();
        self.change(|registry| registry.hive_says(id, event, now, daemon::now()));
    }

    /// The machine's feed broke or did not come about.
    pub fn hive_unreachable(&self, id: &HiveId, reason: &str) {
        self.change(|registry| registry.hive_unreachable(id, reason));
    }

    /// What became of the ssh connection to the machine.
    pub fn hive_link(&self, id: &HiveId, link: Option<LinkRecord>) {
        self.change(|registry| registry.hive_link(id, link));
    }

    /// The machine is none of ours any more.
    pub fn hive_gone(&self, id: &HiveId) {
        self.change(|registry| registry.hive_gone(id));
    }

    /// A worker says that it lives.
    pub fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<(), ApiError> {
        let now = Instant::now();
        let mut registry = self.lock();
        let (changes, answer) = registry.heartbeat(heartbeat, now, daemon::now());
        changes.into_iter().for_each(|change| self.feed.publish(change));
        answer
    }

    /// Heartbeats that were counted and ignored.
    pub fn heartbeats_ignored(&self) -> u64 {
        self.lock().heartbeats_ignored()
    }

    /// Looks at the registry. `look` must be brief.
    pub fn look<T>(&self, look: impl FnOnce(&Registry) -> T) -> T {
        look(&self.lock())
    }

    /// Judges silence once a second until shutdown.
    pub async fn judge(self, shutdown: Shutdown) {
        let mut ticks = tokio::time::interval(JUDGE_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut clock = liveness::Clock::new(Instant::now());
        loop {
            tokio::select! {
                () = shutdown.asked() => return,
                _ = ticks.tick() => {}
            }
            let now = Instant::now();
            // A queen that stood still cannot blame others for the silence.
            let stalled = clock.stalled_since_last(now);
            self.change(|registry| {
                registry.forgive(stalled);
                registry.judge(now)
            });
        }
    }

    fn change(&self, decide: impl FnOnce(&mut Registry) -> Vec<FeedEvent>) {
        let mut registry = self.lock();
        decide(&mut registry).into_iter().for_each(|change| self.feed.publish(change));
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        // The registry's methods leave it consistent at every step.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
