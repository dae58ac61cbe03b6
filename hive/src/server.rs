//! The hive as a value: started from a configuration, closed when asked.
//!
//! ```text
//! start: directories ─▶ hold the data directory ─▶ bind ─▶ jobs, devices, workers ─▶ serve ─▶ publish
//! close: jobs end ─▶ (workers end, if asked) ─▶ connections end ─▶ the directory is given back
//! ```

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use config::{
    BaseUrl, Config, Instance, InstanceError, Nonce, Paths, SecretError, paths::create_private_dir,
};
use daemon::{
    door::Door,
    feed::Feed,
    jobs::{Jobs, Retention, StoreError},
    server::{BindError, HttpServer},
    shutdown::Shutdown,
};
use protocol::{
    HiveId, Timestamp,
    fleet::{DiskRecord, FeedEvent, HiveRecord, HiveState},
};
use secrecy::SecretString;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    devices::Devices,
    direct::Direct,
    http::{self, Stop},
    models::{CatalogError, HubConfig, Models, publish},
    operations::Hive,
    workers::{Launcher, Means, RestartPolicy, Workers},
};

/// What the record in the data directory calls this program.
pub const KIND: &str = "rbee-hive";
/// Running jobs may finish for this long when the hive is told to stop.
const JOBS_GRACE: Duration = Duration::from_secs(5);
/// Answers that are being sent may finish for this long after that.
const CONNECTIONS_GRACE: Duration = Duration::from_secs(2);
/// Its queen judges a hive by what it says, and counts 10 s of silence as late.
const SIGN_OF_LIFE_INTERVAL: Duration = Duration::from_secs(4);
/// How often the disk is looked through for abandoned downloads.
const SWEEP_INTERVAL: Duration = Duration::from_secs(6 * 60 * 60);
/// How often ended jobs are looked through for those that are too old.
const PRUNE_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// Everything a hive is started with. Nothing else is read from outside, but
/// the environment that its workers inherit.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where its files are.
    pub paths: Paths,
    /// What it is called.
    pub hive_id: HiveId,
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// Whom its workers send their heartbeats to.
    pub queen_url: BaseUrl,
    /// The near end of the tunnel to her, where there is one.
    pub queen_socket: Option<PathBuf>,
    /// Which launch this is.
    pub nonce: Nonce,
    /// What callers must show, the workers' as well.
    pub token: Option<SecretString>,
    /// Where that is written, for the workers.
    pub token_file: Option<PathBuf>,
    /// The first port that a worker tries.
    pub worker_ports_first: u16,
    /// How long a worker may finish its work when it is told to stop.
    pub worker_drain: Duration,
    /// When a worker that fell is started again.
    pub worker_restarts: RestartPolicy,
    /// The most threads of a worker that does not ask for a number.
    pub worker_threads_max: Option<u32>,
    /// Which ended jobs are kept.
    pub retention: Retention,
    /// Where models come from and where they are kept.
    pub hub: HubConfig,
}

impl ServerConfig {
    /// What `config` says, for the hive `localhost`.
    pub fn new(paths: Paths, config: &Config) -> Result<Self, SecretError> {
        let token = config.hive.token_file.as_deref().map(config::read_token).transpose()?;
        let hub = HubConfig::from_env(config.hive.hf_token_file.clone(), paths.cache_dir.clone());
        Ok(Self {
            paths,
            hive_id: HiveId::localhost(),
            address: config.hive.address,
            queen_url: BaseUrl::from(config.queen.address),
            queen_socket: None,
            nonce: Nonce::fresh(),
            token,
            token_file: config.hive.token_file.clone(),
            worker_ports_first: config.hive.worker_ports_first,
            worker_drain: config.hive.worker_drain,
            worker_restarts: RestartPolicy {
                delay_first: config.hive.worker_restart_delay,
                tries_max: config.hive.worker_restarts_max,
            },
            worker_threads_max: config.hive.worker_threads,
            retention: Retention::default(),
            hub,
        })
    }
}

/// Why a hive could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A directory cannot be made.
    #[error("cannot create {}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The data directory is another hive's, or cannot be used.
    #[error("{error}{}", remedy(error))]
    Instance {
        /// Why.
        error: InstanceError,
    },
    /// The port cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The job log cannot be used.
    #[error("cannot open the job log {}", path.display())]
    Jobs {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// The catalogue of models cannot be used.
    #[error(transparent)]
    Models(#[from] CatalogError),
    /// The system does not give us what every program gets.
    #[error("the system refuses {what}")]
    System {
        /// What we asked for.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
}

impl From<InstanceError> for StartError {
    fn from(error: InstanceError) -> Self {
        Self::Instance { error }
    }
}

fn remedy(error: &InstanceError) -> &'static str {
    match error {
        InstanceError::Held { .. } => "; stop it, or give this one its own RBEE_DATA_DIR",
        _ => "",
    }
}

/// A running hive.
pub struct Server {
    http: HttpServer,
    jobs: Jobs,
    workers: Workers,
    stop: Stop,
    direct: Direct,
    /// Given back last, so that the next hive finds nothing of this one.
    instance: Instance,
    /// Ends the tasks and threads that are still there.
    background: DropGuard,
}

impl Server {
    /// Starts a hive. Workers of a former one that still run are adopted.
    pub async fn start(config: ServerConfig) -> Result<Self, StartError> {
        let hive_dir = config.paths.hive_dir();
        for dir in [hive_dir.clone(), hive_dir.join("workers"), config.paths.models_dir()] {
            create_private_dir(&dir)
                .map_err(|source| StartError::Directory { path: dir.clone(), source })?;
        }
        // Before the port, so that a second hive is told who has the
        // directory and not that the port is taken.
        let mut instance = Instance::acquire(&hive_dir, KIND, config.nonce)?;
        let listener = daemon::server::bind(config.address).await?;
        let local_addr = listener.local_addr().map_err(system("its own address"))?;

        let background = CancellationToken::new();
        let feed = Feed::new();
        let own = record(&config.hive_id, local_addr);
        feed.publish(FeedEvent::Hive(own.clone().into()));
        let path = hive_dir.join("jobs.sqlite");
        let jobs = Jobs::open(&path, "hive", config.retention, feed.clone())
            .await
            .map_err(|source| StartError::Jobs { path, source })?;
        tokio::spawn(prune(jobs.clone(), config.retention, background.clone()));
        let devices = Devices::start(config.hive_id.clone(), feed.clone(), background.clone())
            .await
            .map_err(system("a thread for the devices"))?;
        let (hive_id, demo_dir) = (config.hive_id.clone(), config.paths.models_dir());
        let catalog = hive_dir.join("models.sqlite");
        let hub = config.hub;
        // It looks at the disk.
        let opening =
            tokio::task::spawn_blocking(move || Models::open(hive_id, demo_dir, hub, &catalog));
        let models = opening.await.map_err(io::Error::other).map_err(system("a thread"))??;
        tokio::spawn(sweep(models.clone(), background.clone()));
        let disk = publish(models.clone(), feed.clone(), background.clone()).await;
        tokio::spawn(live(feed.clone(), own, disk, background.clone(), daemon::now));
        let launcher = Launcher {
            hive_id: config.hive_id.clone(),
            paths: config.paths,
            queen_url: config.queen_url,
            queen_socket: config.queen_socket,
            token: config.token.clone(),
            token_file: config.token_file,
            ports_first: config.worker_ports_first,
        };
        let means = Means {
            launcher: launcher.clone(),
            devices: devices.clone(),
            policy: config.worker_restarts,
            threads_max: config.worker_threads_max,
            drain: config.worker_drain,
            feed: feed.clone(),
        };
        let workers = Workers::start(means, background.clone()).await;

        let stop = Stop::default();
        let door = Door::new(config.token.as_ref());
        let hive = Hive { id: config.hive_id, devices, workers: workers.clone(), launcher, models };
        let hive = Arc::new(hive);
        let direct = Direct { hive: Arc::clone(&hive), feed: feed.clone() };
        let router = http::router(hive, &jobs, &feed, &stop, door);
        let http = HttpServer::serve(listener, router).map_err(system("its own address"))?;
        instance.publish(local_addr)?;
        tracing::info!(%local_addr, "serving");
        Ok(Self {
            http,
            jobs,
            workers,
            stop,
            direct,
            instance,
            background: background.drop_guard(),
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.http.local_addr()
    }

    /// The way in for the same process.
    pub fn direct(&self) -> Direct {
        self.direct.clone()
    }

    /// What `POST /v1/shutdown` asks it to stop by.
    pub fn shutdown(&self) -> &Shutdown {
        &self.stop.shutdown
    }

    /// Stops serving. The workers live on for the next hive, unless they were
    /// asked to end with this one.
    pub async fn close(self) {
        let stops_workers = self.stop.stops_workers();
        self.close_with(stops_workers).await;
    }

    /// Stops serving and ends the workers: for a queen who stops the hive
    /// that she started in her own process.
    pub async fn close_with_workers(self) {
        self.close_with(true).await;
    }

    async fn close_with(self, stops_workers: bool) {
        let Self { http, jobs, workers, stop, direct: _, instance, background } = self;
        // Ends the feed's streams, which would hold the listener open.
        stop.shutdown.ask();
        jobs.drain(JOBS_GRACE).await;
        if stops_workers {
            workers.stop_all().await;
        }
        http.close(CONNECTIONS_GRACE).await;
        drop(background);
        drop(instance);
        tracing::info!(stops_workers, "closed");
    }
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::System { what, source }
}

fn record(id: &HiveId, local_addr: SocketAddr) -> HiveRecord {
    HiveRecord {
        id: id.clone(),
        url: BaseUrl::from(local_addr).to_string(),
        state: HiveState::Ready,
        version: Some(daemon::build::VERSION.to_owned()),
        last_seen_at: Some(daemon::now()),
        reason: None,
        link: None,
        disk: None,
    }
}

/// Says now and then that the hive is there: where nothing changes, the feed
/// would be silent. News of the disk are told at once.
async fn live(
    feed: Feed,
    mut record: HiveRecord,
    mut disk: watch::Receiver<Option<DiskRecord>>,
    stop: CancellationToken,
    now: impl Fn() -> Timestamp,
) {
    let mut ticks = interval(SIGN_OF_LIFE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            Ok(()) = disk.changed() => {}
            () = stop.cancelled() => return,
        }
        record.disk = *disk.borrow_and_update();
        record.last_seen_at = Some(now());
        feed.publish(FeedEvent::Hive(record.clone().into()));
    }
}

/// Once has been when the models were opened.
async fn sweep(models: Models, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = sleep(SWEEP_INTERVAL) => {}
            () = stop.cancelled() => return,
        }
        let models = models.clone();
        let swept = tokio::task::spawn_blocking(move || models.sweep()).await;
        if let Err(error) =
            swept.map_err(io::Error::other).and_then(|it| it.map_err(io::Error::other))
        {
            tracing::warn!(%error, "cannot look for abandoned downloads");
        }
    }
}

async fn prune(jobs: Jobs, retention: Retention, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = sleep(PRUNE_INTERVAL) => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = jobs.prune(retention).await {
            tracing::warn!(%error, "cannot forget old jobs");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_hive_where_nothing_happens_is_heard_of_every_four_seconds() {
        let feed = Feed::new();
        let stop = CancellationToken::new();
        let record = record(&HiveId::localhost(), SocketAddr::from(([127, 0, 0, 1], 9000)));
        let began = tokio::time::Instant::now();
        let wall = move || Timestamp::UNIX_EPOCH + began.elapsed();
        let (_disk, told) = watch::channel(None);
        tokio::spawn(live(feed.clone(), record, told, stop, wall));
        let mut said = feed.subscribe();
        for _ in 0..3 {
            timeout(Duration::from_secs(5), said.changed()).await.unwrap().unwrap();
        }
        assert_eq!(feed.fleet().hives[&HiveId::localhost()].state, HiveState::Ready);
    }
}
