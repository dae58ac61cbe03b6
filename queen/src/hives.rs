//! The way to a hive: an HTTP connection for operations, its feed for what is
//! going on there, and, on this machine, its process.

mod capabilities;
#[cfg(feature = "local-hive")]
mod embedded;
mod link;
mod local;
mod remote;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use client::Daemon;
use config::{Paths, Reach};
use daemon::{
    jobs::{Failure, JobHandle},
    shutdown::Shutdown,
};
use futures::StreamExt;
use protocol::{
    ApiError, ErrorCode, HiveId, WorkerId,
    fleet::{FeedEvent, HiveRecord, HiveState},
    suggest::nearest,
};
use secrecy::SecretString;
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

pub(crate) use self::remote::RemoteHive;
use self::{capabilities::Notebook, local::LocalMachine};
pub use self::{
    capabilities::Refreshed,
    link::{HiveLink, News, list},
};
use crate::fleet::FleetHandle;

/// Why a machine that is configured for ssh is offline.
const NOT_INSTALLED: &str = "no hive is installed there";

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
    local: LocalMachine,
    notebook: Notebook,
}

/// A hive's address, and the task that follows its feed.
struct Link {
    hive: Arc<dyn HiveLink>,
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
            local: LocalMachine::new(paths, config, queen_url, hive_token),
            notebook: Notebook::new(paths),
        };
        let hives = Self { shared: Arc::new(shared) };
        hives.shared.fleet.hive_at(&localhost, &format!("http://{}", config.hive.address));
        for (id, entry) in &config.hives {
            match &entry.reach {
                Reach::Http { url, token_file, ca_file } => {
                    let refuse = |problem: String| {
                        let message = format!("hive '{id}' ({}): {problem}", entry.origin);
                        ApiError::new(ErrorCode::HiveUnreachable, message)
                    };
                    let token = token_file.as_deref().map(config::read_token).transpose();
                    let token = token.map_err(|error| refuse(error.to_string()))?;
                    let hive = match ca_file {
                        None => RemoteHive::new(id.clone(), url.as_str(), token)?,
                        Some(file) => {
                            let cannot = |problem: String| {
                                refuse(format!("the CA file {}: {problem}", file.display()))
                            };
                            let pem = std::fs::read(file);
                            let pem = pem.map_err(|error| cannot(error.to_string()))?;
                            RemoteHive::vouched_for(id.clone(), url.as_str(), token, &pem)
                                .map_err(cannot)?
                        }
                    };
                    hives.connect(Arc::new(hive.configured_by(entry.origin.clone(), url)));
                }
                Reach::Ssh(target) => {
                    hives.shared.fleet.hive_at(id, &target.to_string());
                    hives.shared.fleet.hive_out_of_reach(id, NOT_INSTALLED);
                }
            }
        }
        // A hive outlives the queen that started it.
        if let Some(hive) = hives.shared.local.running()? {
            hives.connect(hive);
        }
        Ok(hives)
    }

    /// There is no way to the machine now. One whose hive was reached before
    /// is judged by its feed, which breaks by itself.
    pub(crate) fn unreachable(&self, id: &HiveId, reason: &str) {
        if !self.links().contains_key(id) {
            self.shared.fleet.hive_out_of_reach(id, reason);
        }
    }

    /// The machine is there and its hive does not run.
    pub(crate) fn is_not_running(&self, id: &HiveId) {
        if let Some(link) = self.links().remove(id) {
            link.stop_following.cancel();
        }
        self.shared.fleet.hive_stopped(id);
    }

    /// The machine is none of ours any more.
    pub(crate) fn forget(&self, id: &HiveId) {
        self.is_not_running(id);
        self.shared.fleet.hive_gone(id);
    }

    /// A machine of the files where nothing is installed any more.
    pub(crate) fn not_installed(&self, id: &HiveId) {
        self.is_not_running(id);
        self.shared.fleet.hive_out_of_reach(id, NOT_INSTALLED);
    }

    /// Waits until the hive's feed is live.
    pub(crate) async fn until_ready(
        &self,
        id: &HiveId,
        job: &JobHandle,
    ) -> Result<HiveRecord, Failure> {
        let live = self.shared.fleet.feed().wait_for(|fleet| {
            fleet.hives.get(id).filter(|hive| hive.state == HiveState::Ready).cloned()
        });
        let live = tokio::time::timeout(local::START_TIMEOUT, job.unless_cancelled(live)).await;
        match live {
            Ok(record) => record,
            Err(_) => Err(ApiError::new(
                ErrorCode::HiveUnreachable,
                format!("hive '{id}' runs but its feed does not come"),
            )
            .into()),
        }
    }

    /// Follows the hive's feed from now on.
    pub(crate) fn connect(&self, hive: Arc<dyn HiveLink>) {
        let id = hive.id().clone();
        self.shared.fleet.hive_at(&id, hive.url());
        self.shared.fleet.hive_starting(&id);
        let stop_following = CancellationToken::new();
        let task = follow(
            Arc::clone(&hive),
            self.shared.fleet.clone(),
            self.shared.notebook.clone(),
            stop_following.clone(),
            self.shared.shutdown.clone(),
        );
        self.shared.tasks.spawn(task);
        let link = Link { hive, stop_following };
        if let Some(old) = self.links().insert(id, link) {
            old.stop_following.cancel();
        }
    }

    /// The link to a hive that was started or configured.
    pub fn link(&self, id: &HiveId) -> Result<Arc<dyn HiveLink>, ApiError> {
        if let Some(link) = self.links().get(id) {
            return Ok(Arc::clone(&link.hive));
        }
        let record = self.record(id)?;
        if record.link.is_some() || record.reason.as_deref() == Some(NOT_INSTALLED) {
            let reason = record.reason.unwrap_or_else(|| "it is being connected".to_owned());
            let verb = if reason == NOT_INSTALLED { "install" } else { "doctor" };
            let message = format!("hive '{id}' cannot be reached: {reason}");
            return Err(ApiError::new(ErrorCode::HiveUnreachable, message)
                .with_hint(format!("rbee-keeper hive {verb} {id}")));
        }
        Err(ApiError::new(ErrorCode::HiveUnreachable, format!("hive '{id}' is not running"))
            .with_hint(format!("rbee-keeper hive start {id}")))
    }

    /// The way to a worker of a hive that is not behind ssh. Where its hive
    /// does not run now, a worker of this machine may run all the same.
    pub fn worker(&self, id: &HiveId, worker: &WorkerId, url: &str) -> Result<Daemon, ApiError> {
        if let Some(relay) = self.links().get(id).and_then(|link| link.hive.relay(worker)) {
            return Ok(relay);
        }
        let linked = self.links().get(id).map(|link| link.hive.token().cloned());
        let token = linked.unwrap_or_else(|| self.shared.local.token(id));
        let daemon = Daemon::new(url)
            .map_err(|error| ApiError::new(ErrorCode::WorkerLost, error.one_line()))?
            .named("worker");
        Ok(match token {
            Some(token) => daemon.with_token(token),
            None => daemon,
        })
    }

    /// Asks a hive for what it has, and writes it to `capabilities.yaml`.
    pub async fn refresh_capabilities(&self, id: &HiveId) -> Result<Refreshed, ApiError> {
        let hive = self.link(id)?;
        self.shared.notebook.refresh(&*hive).await
    }

    /// All links there are.
    pub fn all(&self) -> Vec<Arc<dyn HiveLink>> {
        let mut hives: Vec<_> = self.links().values().map(|link| Arc::clone(&link.hive)).collect();
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
        let mut machine = self.shared.local.hold().await;
        let url = match self.running_link(id)? {
            Some(url) => {
                job.narrate("hive_start", format!("hive '{id}' runs already at {url}")).await;
                url
            }
            None => {
                self.shared.fleet.hive_starting(id);
                match self.shared.local.start(&mut machine, job).await {
                    Ok(hive) => {
                        let url = hive.url().to_owned();
                        self.connect(hive);
                        #[cfg(feature = "local-hive")]
                        self.close_when_asked(&machine);
                        url
                    }
                    Err(error) => {
                        self.shared.fleet.hive_stopped(id);
                        return Err(error);
                    }
                }
            }
        };
        let live = self.until_ready(id, job).await.map_err(|failure| match failure {
            Failure::Error(error) => {
                let log = self.shared.local.log_file();
                error.with_hint(format!("it answers at {url}; its log: {}", log.display())).into()
            }
            Failure::Cancelled => Failure::Cancelled,
        })?;
        job.narrate("hive_start", format!("hive '{id}' is ready at {}", live.url)).await;
        Ok(live)
    }

    /// A hive in the queen's process ended with the last queen, and its workers
    /// live on; where there are any, it is started again with her.
    #[cfg(feature = "local-hive")]
    pub async fn adopt_orphans(&self) {
        let Shared { fleet, local, .. } = &*self.shared;
        let id = HiveId::localhost();
        let mut machine = local.hold().await;
        if self.links().contains_key(&id) || !local.has_orphans() {
            return;
        }
        match local.embed(&mut machine).await {
            Ok(hive) => {
                self.connect(hive);
                self.close_when_asked(&machine);
            }
            Err(error) => {
                tracing::warn!(%error, "nobody looks after the workers of this machine");
                fleet.hive_unreachable(&id, &error.to_string());
            }
        }
    }

    /// The hive in the queen's process can be asked to stop at its own door,
    /// as one that is a process of its own.
    #[cfg(feature = "local-hive")]
    fn close_when_asked(&self, machine: &local::Machine) {
        let Some(asked) = machine.shutdown().cloned() else { return };
        let hives = self.clone();
        self.shared.tasks.spawn(async move {
            tokio::select! {
                () = asked.asked() => {}
                // She closes it herself.
                () = hives.shared.shutdown.asked() => return,
            }
            let mut machine = hives.shared.local.hold().await;
            // Whoever stopped it in the meantime has closed it, and may have
            // started the next one.
            if machine.shutdown().is_some_and(Shutdown::is_asked) {
                hives.let_go(&mut machine).await;
            }
        });
    }

    #[cfg(feature = "local-hive")]
    async fn let_go(&self, machine: &mut local::Machine) {
        let id = HiveId::localhost();
        if let Some(link) = self.links().remove(&id) {
            link.stop_following.cancel();
        }
        let left = self.shared.local.leave(machine).await;
        self.shared.fleet.hive_stopped(&id);
        tracing::info!(?left, "the local hive was asked to stop at its own door");
    }

    /// The address of the hive of this machine, if it runs; one that somebody
    /// else started is linked on the way.
    fn running_link(&self, id: &HiveId) -> Result<Option<String>, ApiError> {
        let linked = self.links().get(id).map(|link| link.hive.url().to_owned());
        match self.shared.local.running()? {
            // The hive in this process is no process of its own.
            None if self.shared.local.is_embedded() => Ok(linked),
            None => Ok(None),
            Some(hive) => {
                let url = hive.url().to_owned();
                if linked.as_ref() != Some(&url) {
                    self.connect(hive);
                }
                Ok(Some(url))
            }
        }
    }

    /// Stops the hive of this machine with its workers.
    pub async fn stop(&self, id: &HiveId, job: &JobHandle) -> Result<(), Failure> {
        self.record(id)?;
        if !id.is_localhost() {
            return Err(local::only_here(id, "stop").into());
        }
        let mut machine = self.shared.local.hold().await;
        if let Some(link) = self.links().remove(id) {
            link.stop_following.cancel();
        }
        let stopped = self.shared.local.stop(&mut machine).await;
        self.shared.fleet.hive_stopped(id);
        let how = stopped?;
        job.narrate("hive_stop", format!("hive '{id}' {how}")).await;
        Ok(())
    }

    /// Stops the hive of this machine as the queen leaves, or leaves it and
    /// its workers to the next queen.
    pub async fn leave_local(&self, keep: bool) {
        let mut machine = self.shared.local.hold().await;
        if let Some(link) = self.links().remove(&HiveId::localhost()) {
            link.stop_following.cancel();
        }
        let left = if keep {
            self.shared.local.leave(&mut machine).await
        } else {
            self.shared.local.stop(&mut machine).await
        };
        match left {
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

async fn follow(
    hive: Arc<dyn HiveLink>,
    fleet: FleetHandle,
    notebook: Notebook,
    stop: CancellationToken,
    shutdown: Shutdown,
) {
    // One at a time, and beside the feed: what a hive has is for people, and
    // what happens there is not to wait for it.
    let mut _refreshing;
    let mut news = hive.news();
    loop {
        let item = tokio::select! {
            () = stop.cancelled() => return,
            () = shutdown.asked() => return,
            item = news.next() => item,
        };
        match item {
            Some(News::Said(event)) => {
                fleet.hive_says(hive.id(), &event);
                if matches!(event, FeedEvent::Snapshot(_)) {
                    let (hive, notebook) = (Arc::clone(&hive), notebook.clone());
                    let refresh = async move {
                        if let Err(error) = notebook.refresh(&*hive).await {
                            tracing::warn!(hive = %hive.id(), %error, "it does not say what it has");
                        }
                    };
                    _refreshing = AbortOnDropHandle::new(tokio::spawn(refresh));
                }
            }
            Some(News::Unreachable(reason)) => fleet.hive_unreachable(hive.id(), &reason),
            None => return,
        }
    }
}
