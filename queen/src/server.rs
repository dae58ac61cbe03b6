//! The queen as a value: started, asked where she listens, closed.
//!
//! ```text
//! hold the data directory ─▶ bind ─▶ jobs, feed ─▶ hives ─▶ serve ─▶ publish the address
//! asked to stop ─▶ drain jobs ─▶ local hive ─▶ end streams ─▶ close ─▶ let go of the directory
//! ```

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use config::{Config, Instance, InstanceError, Nonce, Paths, SecretError};
use daemon::{
    door::Door,
    feed::Feed,
    jobs::{Jobs, Retention, StoreError},
    server::{BindError, HttpServer},
    shutdown::Shutdown,
};
use protocol::{
    ApiError,
    fleet::{FeedEvent, FirstTokenRecord, QueenRecord},
};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::{
    FEATURES,
    first_tokens::FirstTokens,
    fleet::FleetHandle,
    hives::Hives,
    http::{self, KeepHives},
    machines::Machines,
    operations::Operations,
    scheduler::SchedulerHandle,
};

/// The queen's name in records and messages.
pub const KIND: &str = "queen-rbee";
/// Old jobs are looked for this often.
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);
/// After every job has its end, streams have this long to be read to it.
const STREAMS_GRACE: Duration = Duration::from_secs(2);

/// What a queen is started with.
pub struct ServerConfig {
    /// Where she keeps what she knows.
    pub paths: Paths,
    /// What the operator configured.
    pub config: Config,
    /// Overrides the configured address.
    pub address: Option<SocketAddr>,
    /// Who launched her.
    pub nonce: Nonce,
}

/// Why a queen does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Somebody else has her directory.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// She cannot listen.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Her log of jobs cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Her token cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A configured hive cannot be.
    #[error("{0}")]
    Hive(ApiError),
    /// The address cannot be learnt.
    #[error("cannot serve: {0}")]
    Serve(#[from] std::io::Error),
}

/// A running queen.
pub struct Server {
    http: HttpServer,
    jobs: Jobs,
    hives: Hives,
    machines: Machines,
    tasks: TaskTracker,
    shutdown: Shutdown,
    keep_hives: KeepHives,
    drain: Duration,
    /// Let go last: whoever finds the directory free finds everything closed.
    instance: Instance,
}

impl Server {
    /// Starts a queen. When this returns she can be talked to.
    pub async fn start(start: ServerConfig) -> Result<Self, StartError> {
        let ServerConfig { paths, config, address, nonce } = start;
        let dir = paths.queen_dir();
        let mut instance = Instance::acquire(&dir, KIND, nonce)?;
        let token = config.queen.token_file.as_deref().map(config::read_token).transpose()?;
        let listener = daemon::server::bind(address.unwrap_or(config.queen.address)).await?;
        let local_addr = listener.local_addr()?;

        let feed = Feed::new();
        let shutdown = Shutdown::new();
        let keep_hives = KeepHives::default();
        let retention =
            Retention { jobs_max: config.queen.retention_jobs, age_max: config.queen.retention };
        let file: PathBuf = dir.join("jobs.sqlite");
        let jobs = Jobs::open(&file, "queen", retention, feed.clone()).await?;

        let fleet = FleetHandle::new(feed.clone());
        let queen_url = format!("http://{local_addr}");
        let hive_token = config.hive.token_file.as_deref().map(config::read_token).transpose()?;
        let hives =
            Hives::new(fleet.clone(), &paths, &config, &queen_url, shutdown.clone(), hive_token)
                .map_err(StartError::Hive)?;
        #[cfg(feature = "local-hive")]
        hives.adopt_orphans().await;
        let machines =
            Machines::new(fleet.clone(), hives.clone(), &config, &dir).map_err(StartError::Hive)?;
        let waiting_max = usize::try_from(config.queen.queue_limit).unwrap_or(usize::MAX);
        let scheduler = SchedulerHandle::new(fleet.clone(), waiting_max);

        let tasks = TaskTracker::new();
        tasks.spawn(fleet.clone().judge(shutdown.clone()));
        tasks.spawn(scheduler.clone().follow_fleet(shutdown.clone()));
        let first_tokens = FirstTokens::new(feed.metrics().clone());
        let (waiting, waits) = (scheduler.waiting(), first_tokens.record());
        tasks.spawn(publish_own_record(fleet.clone(), waiting, waits, shutdown.clone()));
        tasks.spawn(prune(jobs.clone(), retention, shutdown.clone()));
        tasks.close();

        let operations = Arc::new(Operations::new(
            fleet.clone(),
            hives.clone(),
            machines.clone(),
            scheduler,
            first_tokens,
        ));
        jobs.resume(&operations).await?;
        let router =
            http::router(&jobs, operations, &feed, fleet, shutdown.clone(), keep_hives.clone());
        let router = feed.metrics().watch(Door::new(token.as_ref()).guard(router));
        let http = HttpServer::serve(listener, router)?;
        instance.publish(local_addr)?;
        tracing::info!(%local_addr, "the queen serves");
        let drain = config.queen.drain;
        Ok(Self { http, jobs, hives, machines, tasks, shutdown, keep_hives, drain, instance })
    }

    /// Where she listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.http.local_addr()
    }

    /// What asks her to stop, from inside and outside.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Stops: running jobs finish or get their end within the configured
    /// drain, and the local hive goes with her unless it is to be kept.
    pub async fn close(self) {
        self.shutdown.ask();
        self.jobs.drain(self.drain).await;
        self.hives.leave_local(self.keep_hives.is_set()).await;
        self.machines.close();
        self.hives.close().await;
        self.tasks.wait().await;
        self.http.close(STREAMS_GRACE).await;
        drop(self.instance);
    }
}

/// The queen's own record changes when her queue does, and when a request has
/// its first token.
async fn publish_own_record(
    fleet: FleetHandle,
    mut waiting: watch::Receiver<u32>,
    mut first_tokens: watch::Receiver<Option<FirstTokenRecord>>,
    shutdown: Shutdown,
) {
    let started_at = daemon::now();
    loop {
        let record = QueenRecord {
            version: daemon::build::VERSION.to_owned(),
            features: FEATURES.iter().map(ToString::to_string).collect(),
            started_at,
            now: daemon::now(),
            queued: *waiting.borrow_and_update(),
            heartbeats_ignored: fleet.heartbeats_ignored(),
            time_to_first_token: *first_tokens.borrow_and_update(),
        };
        fleet.feed().publish(FeedEvent::Queen(Box::new(record)));
        tokio::select! {
            () = shutdown.asked() => return,
            moved = waiting.changed() => if moved.is_err() { return },
            moved = first_tokens.changed() => if moved.is_err() { return },
        }
    }
}

async fn prune(jobs: Jobs, retention: Retention, shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(PRUNE_EVERY);
    loop {
        tokio::select! {
            () = shutdown.asked() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = jobs.prune(retention).await {
            tracing::warn!(%error, "old jobs could not be forgotten");
        }
    }
}
