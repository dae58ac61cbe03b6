//! The fleet feed: a snapshot, then every change, resumable.
//!
//! One hub per daemon holds the fleet and a window of recent messages. Readers
//! are cursors over the window; one that falls out of it is told `lagged` and
//! gets a new snapshot, never a silent gap.

mod cursor;
mod http;
mod pace;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use protocol::{
    fleet::{Change, FeedEvent, Fleet, Snapshot},
    job::Level,
};
use tokio::sync::watch;

pub use self::cursor::Follower;
use crate::{lock, metrics::Metrics};

/// Messages a reader may be behind before it needs a snapshot.
const WINDOW_MESSAGES_MAX: usize = 8_192;
/// The newest jobs the feed knows; older ones are asked for.
const JOBS_MAX: usize = 200;

/// What a reader wants to hear besides records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Filter {
    tokens: Tokens,
    /// `None`: no narration.
    narration: Option<Level>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Tokens {
    #[default]
    None,
    All,
    Jobs(Vec<protocol::JobId>),
}

impl Filter {
    fn wants(&self, event: &FeedEvent) -> bool {
        match event {
            FeedEvent::Narration(narration) => self
                .narration
                .is_some_and(|least| narration.event.level.unwrap_or_default() >= least),
            FeedEvent::Token(token) => match &self.tokens {
                Tokens::None => false,
                Tokens::All => true,
                Tokens::Jobs(jobs) => jobs.contains(&token.job_id),
            },
            _ => true,
        }
    }
}

/// A message in the window, encoded once for all readers.
#[derive(Debug)]
struct Message {
    event: FeedEvent,
    json: String,
}

#[derive(Debug, Default)]
struct Inner {
    fleet: Fleet,
    window: VecDeque<Arc<Message>>,
    /// The number of the newest message.
    newest: u64,
}

/// The hub. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Feed {
    inner: Arc<Mutex<Inner>>,
    /// The number of the newest message; readers wait for it to move.
    newest: Arc<watch::Sender<u64>>,
    /// Tells this life of the daemon from the one before: numbers start anew.
    epoch: Arc<str>,
    metrics: Metrics,
}

impl Default for Feed {
    fn default() -> Self {
        Self::new()
    }
}

impl Feed {
    /// An empty fleet.
    pub fn new() -> Self {
        let epoch = uuid::Uuid::new_v4().simple().to_string();
        Self {
            inner: Arc::default(),
            newest: Arc::new(watch::Sender::new(0)),
            epoch: epoch[..12].into(),
            metrics: Metrics::new(),
        }
    }

    /// Which life of the daemon this is.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// The daemon's numbers: whoever has its feed counts into the same ones.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Takes a message in and shows it to all readers. A record that says
    /// nothing new is not a message.
    pub fn publish(&self, event: FeedEvent) {
        let newest = {
            let mut inner = lock(&self.inner);
            if inner.is_known(&event) {
                return;
            }
            inner.fleet.apply(&event);
            inner.push(event);
            inner.forget_old_jobs();
            inner.newest
        };
        // Concurrent publishers may arrive here in either order.
        self.newest.send_if_modified(|n| {
            let moved = newest > *n;
            *n = newest.max(*n);
            moved
        });
    }

    /// The fleet as it is.
    pub fn fleet(&self) -> Fleet {
        lock(&self.inner).fleet.clone()
    }

    /// The fleet as one message.
    pub fn snapshot(&self) -> Snapshot {
        lock(&self.inner).snapshot()
    }

    /// Looks at the fleet without copying it. `look` must be brief: publishers
    /// wait meanwhile, so it must not take a lock that
    /// a publisher holds.
    pub fn look<T>(&self, look: impl FnOnce(&Fleet) -> T) -> T {
        look(&lock(&self.inner).fleet)
    }

    /// Moves at every message; for those who wait until the fleet looks some
    /// way.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Waits until `look` finds what it looks for.
    pub async fn wait_for<T>(&self, mut look: impl FnMut(&Fleet) -> Option<T>) -> T {
        let mut changed = self.subscribe();
        loop {
            changed.borrow_and_update();
            if let Some(found) = self.look(&mut look) {
                return found;
            }
            // The sender lives as long as `self`.
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Inner {
    /// Ages are counted from the queen's clock at this moment, not from when
    /// her record last changed.
    fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.fleet.snapshot();
        if let Some(queen) = &mut snapshot.queen {
            queen.now = crate::now();
        }
        snapshot
    }

    fn is_known(&self, event: &FeedEvent) -> bool {
        let fleet = &self.fleet;
        match event {
            FeedEvent::Hive(Change::Now(it)) => fleet.hives.get(&it.id) == Some(it),
            FeedEvent::Worker(Change::Now(it)) => fleet.workers.get(&it.id) == Some(it),
            FeedEvent::Job(Change::Now(it)) => fleet.jobs.get(&it.id) == Some(it),
            FeedEvent::Device(Change::Now(it)) => {
                fleet.devices.get(&(it.hive_id.clone(), it.id.clone())) == Some(it)
            }
            FeedEvent::Model(Change::Now(it)) => {
                fleet.models.get(&(it.hive_id.clone(), it.id.clone())) == Some(it)
            }
            FeedEvent::Queen(it) => fleet.queen.as_ref() == Some(it),
            _ => false,
        }
    }

    fn push(&mut self, event: FeedEvent) {
        let json = match event.data() {
            Ok(json) => json,
            Err(error) => {
                tracing::error!(%error, name = event.name(), "a feed message cannot be encoded");
                return;
            }
        };
        self.newest += 1;
        self.window.push_back(Arc::new(Message { event, json }));
        if self.window.len() > WINDOW_MESSAGES_MAX {
            self.window.pop_front();
        }
    }

    /// Readers forget by the same rule as we do only if they are told.
    fn forget_old_jobs(&mut self) {
        while self.fleet.jobs.len() > JOBS_MAX {
            let oldest_ended =
                self.fleet.jobs.values().find(|job| job.state.is_ended()).map(|job| job.id.clone());
            let Some(id) = oldest_ended else { return };
            let gone = FeedEvent::Job(Change::Gone(protocol::fleet::Gone::new(&id)));
            self.fleet.apply(&gone);
            self.push(gone);
        }
    }

    /// The first number in the window.
    fn oldest(&self) -> u64 {
        self.newest + 1 - self.window.len() as u64
    }
}

#[cfg(test)]
mod tests;
