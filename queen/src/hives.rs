//! The way to a hive: an HTTP connection for operations, its feed for what is
//! going on there, and, on this machine, its process.

mod local;
mod remote;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use client::{FeedItem, FeedOptions};
use config::Paths;
use daemon::{
    jobs::{Failure, JobHandle},
    shutdown::Shutdown,
};
use protocol::{
    ApiError, ErrorCode, HiveId,
    fleet::{HiveRecord, HiveState},
    suggest::nearest,
};
use secrecy::SecretString;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::remote::RemoteHive;
use crate::fleet::FleetHandle;

/// All hives the queen knows, and their links. Cheap to clone.
#[derive(Clone)]
pub struct Hives {
    shared: Arc<Shared>,
}

struct Shared {
    fleet: FleetHandle,
    links: Mutex<HashMap<HiveId, Link>>,
    tasks: TaskTracker,
    shutdown: Shutdown,
    local: local::LocalProcess,
}

/// A hive's address, and the task that follows its feed.
struct Link {
    hive: RemoteHive,
    stop_following: CancellationToken,
}

impl Hives {
    /// Knows this machine, and the machines that the configuration names.
    pub fn new(
        fleet: FleetHandle,
        paths: &Paths,
        config: &config::Config,
        queen_url: &str,
        shutdown: Shutdown,
        hive_token: Option<SecretString>,
    ) -> Result<Self, ApiError> {
        let localhost = HiveId::localhost();
        let shared = Shared {
            fleet,
            links: Mutex::default(),
            tasks: TaskTracker::new(),
            shutdown,
            local: local::LocalProcess::new(paths, queen_url, hive_token),
        };
        let hives = Self { shared: Arc::new(shared) };
        hives.shared.fleet.hive_at(&localhost, &format!("http://{}", config.hive.address));
        for (id, entry) in &config.hives {
            if let Some(url) = &entry.url {
                hives.connect(id, url.as_str())?;
            }
        }
        // A hive outlives the queen that started it.
        if let Some(url) = hives.shared.local.running()? {
            hives.connect(&localhost, &url)?;
        }
        Ok(hives)
    }

    /// Follows the hive's feed from now on, at this address.
    fn connect(&self, id: &HiveId, url: &str) -> Result<(), ApiError> {
        // A machine's own token is known to that machine; others come without.
        let token = self.shared.local.token().filter(|_| id.is_localhost());
        let hive = RemoteHive::new(id.clone(), url, token)?;
        self.shared.fleet.hive_at(id, url);
        self.shared.fleet.hive_starting(id);
        let stop_following = CancellationToken::new();
        let task = follow(
            hive.clone(),
            self.shared.fleet.clone(),
            stop_following.clone(),
            self.shared.shutdown.clone(),
        );
        self.shared.tasks.spawn(task);
        let link = Link { hive, stop_following };
        if let Some(old) = self.links().insert(id.clone(), link) {
            old.stop_following.cancel();
        }
        Ok(())
    }

    /// The link to a hive that was started or configured.
    pub fn link(&self, id: &HiveId) -> Result<RemoteHive, ApiError> {
        if let Some(link) = self.links().get(id) {
            return Ok(link.hive.clone());
        }
        self.record(id)?;
        Err(ApiError::new(ErrorCode::HiveUnreachable, format!("hive '{id}' is not running"))
            .with_hint(format!("rbee-keeper hive start {id}")))
    }

    /// All links there are.
    pub fn all(&self) -> Vec<RemoteHive> {
        let mut hives: Vec<_> = self.links().values().map(|link| link.hive.clone()).collect();
        hives.sort_by(|a, b| a.id().cmp(b.id()));
        hives
    }

    /// A hive's record, or the error that names the nearest known hive.
    pub fn record(&self, id: &HiveId) -> Result<HiveRecord, ApiError> {
        self.shared.fleet.look(|registry| {
            if let Some(record) = registry.hive(id) {
                return Ok(record.clone());
            }
            let known: Vec<&str> = registry.hive_ids().map(HiveId::as_str).collect();
            let hint = match nearest(id.as_str(), known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known hives: {}", known.join(", ")),
            };
            Err(ApiError::new(ErrorCode::HiveNotFound, format!("no hive '{id}'")).with_hint(hint))
        })
    }

    /// Starts the hive of this machine, if it does not run, and waits until
    /// its feed is live.
    pub async fn start(&self, id: &HiveId, job: &JobHandle) -> Result<HiveRecord, Failure> {
        let record = self.record(id)?;
        if !id.is_localhost() {
            if record.state == HiveState::Ready {
                job.narrate("hive_start", format!("hive '{id}' runs already at {}", record.url))
                    .await;
                return Ok(record);
            }
            return Err(local::only_here(id, "start").into());
        }
        // Two jobs that start it at the same time start it once.
        let _starting = self.shared.local.starting().await;
        let url = match self.shared.local.running()? {
            Some(url) => {
                job.narrate("hive_start", format!("hive '{id}' runs already at {url}")).await;
                url
            }
            None => {
                self.shared.fleet.hive_starting(id);
                let started = self.shared.local.start(job).await;
                if started.is_err() {
                    self.shared.fleet.hive_stopped(id);
                }
                started?
            }
        };
        let linked = self.links().get(id).map(|link| link.hive.url().to_owned());
        if linked.as_deref() != Some(&url) {
            self.connect(id, &url)?;
        }
        let live = self.shared.fleet.feed().wait_for(|fleet| {
            fleet.hives.get(id).filter(|hive| hive.state == HiveState::Ready).cloned()
        });
        let live = tokio::time::timeout(local::START_TIMEOUT, job.unless_cancelled(live)).await;
        match live {
            Ok(record) => {
                let record = record?;
                job.narrate("hive_start", format!("hive '{id}' is ready at {}", record.url)).await;
                Ok(record)
            }
            Err(_) => Err(ApiError::new(
                ErrorCode::HiveUnreachable,
                format!("hive '{id}' runs at {url} but its feed does not come"),
            )
            .with_hint(format!("its log: {}", self.shared.local.log_file().display()))
            .into()),
        }
    }

    /// Stops the hive of this machine with its workers.
    pub async fn stop(&self, id: &HiveId, job: &JobHandle) -> Result<(), Failure> {
        self.record(id)?;
        if !id.is_localhost() {
            return Err(local::only_here(id, "stop").into());
        }
        let _starting = self.shared.local.starting().await;
        if let Some(link) = self.links().remove(id) {
            link.stop_following.cancel();
        }
        let stopped = self.shared.local.stop().await;
        self.shared.fleet.hive_stopped(id);
        let how = stopped?;
        job.narrate("hive_stop", format!("hive '{id}' {how}")).await;
        Ok(())
    }

    /// Stops the hive of this machine as the queen leaves.
    pub async fn stop_local(&self) {
        if let Some(link) = self.links().remove(&HiveId::localhost()) {
            link.stop_following.cancel();
        }
        match self.shared.local.stop().await {
            Ok(how) => tracing::info!("the local hive {how}"),
            Err(error) => tracing::warn!(%error, "the local hive could not be stopped"),
        }
    }

    /// Waits until no feed is followed any more.
    pub async fn close(&self) {
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    fn links(&self) -> std::sync::MutexGuard<'_, HashMap<HiveId, Link>> {
        // Only whole links are put in and taken out.
        self.shared.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn follow(hive: RemoteHive, fleet: FleetHandle, stop: CancellationToken, shutdown: Shutdown) {
    let mut feed = hive.daemon().feed(FeedOptions::default());
    loop {
        let item = tokio::select! {
            () = stop.cancelled() => return,
            () = shutdown.asked() => return,
            item = feed.next_item() => item,
        };
        match item {
            Some(FeedItem::Event(event)) => fleet.hive_says(hive.id(), &event),
            Some(FeedItem::Disconnected { error, .. }) => {
                fleet.hive_unreachable(hive.id(), &error.one_line());
            }
            Some(FeedItem::Undecodable { name, error }) => {
                tracing::warn!(hive = %hive.id(), name, error, "a hive's message cannot be read");
            }
            Some(FeedItem::Connected) => {}
            None => return,
        }
    }
}
