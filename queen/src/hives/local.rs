//! The hive of this machine: started, found again, stopped. It is a process of
//! its own, or, with the feature `local-hive`, a part of the queen's.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

#[cfg(not(feature = "local-hive"))]
use client::Daemon;
use config::{
    Config, Paths, Record,
    instance::{self, Found},
};
use daemon::jobs::{Failure, JobHandle};
#[cfg(feature = "local-hive")]
use daemon::shutdown::Shutdown;
#[cfg(not(feature = "local-hive"))]
use lifecycle::Launch;
use lifecycle::Process;
use protocol::{ApiError, ErrorCode, HiveId};
use secrecy::SecretString;

use super::{link::HiveLink, remote::RemoteHive};

/// From launch to the first answer.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(20);
/// From the request to stop to the end of the process: the hive's own drain
/// of its workers, and some.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// From SIGTERM to SIGKILL, for a hive that did not stop when asked.
const SIGNAL_GRACE: Duration = Duration::from_secs(2);
#[cfg(not(feature = "local-hive"))]
const PROGRAM: &str = "rbee-hive";

/// See the module.
pub(super) struct LocalMachine {
    dir: PathBuf,
    queen_url: String,
    token: Option<SecretString>,
    #[cfg(feature = "local-hive")]
    setup: (Paths, Config),
    machine: tokio::sync::Mutex<Machine>,
}

/// What runs in this process; held while the hive is started or stopped.
#[derive(Default)]
pub(super) struct Machine {
    #[cfg(feature = "local-hive")]
    hive: Option<hive::Server>,
}

#[cfg(feature = "local-hive")]
impl Machine {
    /// What the hive in this process is asked to stop by, at its own door.
    pub(super) fn shutdown(&self) -> Option<&Shutdown> {
        self.hive.as_ref().map(hive::Server::shutdown)
    }
}

impl LocalMachine {
    pub(super) fn new(
        paths: &Paths,
        #[cfg_attr(not(feature = "local-hive"), expect(unused_variables, reason = "for the hive"))]
        config: &Config,
        queen_url: &str,
        token: Option<SecretString>,
    ) -> Self {
        Self {
            dir: paths.hive_dir(),
            queen_url: queen_url.to_owned(),
            token,
            #[cfg(feature = "local-hive")]
            setup: (paths.clone(), config.clone()),
            machine: tokio::sync::Mutex::default(),
        }
    }

    /// Whether the hive is a part of this process when the queen starts it.
    pub(super) fn is_embedded(&self) -> bool {
        cfg!(feature = "local-hive")
    }

    pub(super) fn log_file(&self) -> PathBuf {
        self.dir.join("hive.log")
    }

    /// The token of the hive of this machine, if `id` is that.
    pub(super) fn token(&self, id: &HiveId) -> Option<SecretString> {
        self.token.clone().filter(|_| id.is_localhost())
    }

    /// Held while the hive is started or stopped.
    pub(super) async fn hold(&self) -> tokio::sync::MutexGuard<'_, Machine> {
        self.machine.lock().await
    }

    fn link(&self, address: SocketAddr) -> Result<RemoteHive, ApiError> {
        RemoteHive::new(HiveId::localhost(), &url(address), self.token.clone())
    }

    /// The record of a hive that runs here as a process of its own.
    fn process(&self) -> Result<Option<Record>, ApiError> {
        match instance::find(&self.dir).map_err(internal)? {
            Found::Running(record) if record.pid != std::process::id() => Ok(Some(record)),
            _ => Ok(None),
        }
    }

    /// The hive that runs here as a process of its own, if one does.
    pub(super) fn running(&self) -> Result<Option<Arc<dyn HiveLink>>, ApiError> {
        let address = self.process()?.and_then(|record| record.address);
        match address {
            Some(address) => Ok(Some(Arc::new(self.link(address)?))),
            None => Ok(None),
        }
    }

    /// Starts the hive in this process.
    #[cfg(feature = "local-hive")]
    pub(super) async fn start(
        &self,
        machine: &mut Machine,
        job: &JobHandle,
    ) -> Result<Arc<dyn HiveLink>, Failure> {
        job.narrate("hive_start", "starting the hive of this machine in the queen").await;
        let began = Instant::now();
        let link = self.embed(machine).await?;
        let message = format!("the hive is there after {} ms", began.elapsed().as_millis());
        job.narrate("hive_start", message).await;
        Ok(link)
    }

    /// Makes the hive a part of this process. It adopts what workers a former
    /// one has left.
    #[cfg(feature = "local-hive")]
    pub(super) async fn embed(&self, machine: &mut Machine) -> Result<Arc<dyn HiveLink>, ApiError> {
        let (paths, config) = self.setup.clone();
        let mut setup = hive::ServerConfig::new(paths, &config).map_err(spawn_failed)?;
        setup.queen_url = self.queen_url.parse().map_err(spawn_failed)?;
        let server = hive::Server::start(setup).await.map_err(spawn_failed)?;
        let address = url(server.local_addr());
        let link = super::embedded::EmbeddedHive::new(
            HiveId::localhost(),
            address,
            server.direct(),
            self.token.clone(),
        );
        machine.hive = Some(server);
        Ok(Arc::new(link))
    }

    /// Whether a hive that ended with its queen has left workers that nobody
    /// looks after.
    #[cfg(feature = "local-hive")]
    pub(super) fn has_orphans(&self) -> bool {
        hive::has_left_workers(&self.setup.0)
    }

    /// Launches the hive and waits until it answers.
    #[cfg(not(feature = "local-hive"))]
    pub(super) async fn start(
        &self,
        _machine: &mut Machine,
        job: &JobHandle,
    ) -> Result<Arc<dyn HiveLink>, Failure> {
        let program = lifecycle::binaries::locate(PROGRAM).map_err(spawn_failed)?;
        job.narrate(
            "hive_start",
            format!("starting the hive of this machine: {}", program.display()),
        )
        .await;
        let began = Instant::now();
        let launch = Launch::new(program, self.log_file()).args(["--queen-url", &self.queen_url]);
        let mut launched = launch.start().map_err(spawn_failed)?;
        let ready =
            lifecycle::wait_until_ready(&mut launched, &self.dir, START_TIMEOUT, is_healthy);
        let record = job.unless_cancelled(ready).await?.map_err(spawn_failed)?;
        let message =
            format!("hive process {} answers after {} ms", record.pid, began.elapsed().as_millis());
        job.narrate("hive_start", message).await;
        let address = record.address.ok_or_else(|| {
            ApiError::new(ErrorCode::SpawnFailed, "the hive runs without an address")
        })?;
        Ok(Arc::new(self.link(address)?))
    }

    /// Leaves the hive and its workers to the next queen. One in this process
    /// ends with it; its workers live on.
    pub(super) async fn leave(
        &self,
        #[cfg_attr(not(feature = "local-hive"), expect(unused_variables, reason = "holds none"))]
        machine: &mut Machine,
    ) -> Result<String, ApiError> {
        #[cfg(feature = "local-hive")]
        if let Some(hive) = machine.hive.take() {
            hive.close().await;
            return Ok("closed; its workers live on".to_owned());
        }
        Ok("lives on".to_owned())
    }

    /// Asks the hive to stop its workers and itself, and sees to it.
    pub(super) async fn stop(
        &self,
        #[cfg_attr(not(feature = "local-hive"), expect(unused_variables, reason = "holds none"))]
        machine: &mut Machine,
    ) -> Result<String, ApiError> {
        #[cfg(feature = "local-hive")]
        if let Some(hive) = machine.hive.take() {
            let began = Instant::now();
            hive.close_with_workers().await;
            let took = began.elapsed().as_millis();
            return Ok(format!("stopped with its workers after {took} ms"));
        }
        let Some(record) = self.process()? else {
            return Ok("was not running".to_owned());
        };
        if let Some(address) = record.address
            && let Err(error) =
                self.link(address)?.daemon().shutdown(&[("stop_workers", "true")]).await
        {
            tracing::warn!(error = %error.one_line(), "the hive did not take the request to stop");
        }
        let began = Instant::now();
        if let Some(process) = Process::open(&record).map_err(internal)? {
            // It was asked over HTTP already, and finishes its workers first;
            // only one that does not is signalled.
            let _ = tokio::time::timeout(STOP_TIMEOUT, process.exited()).await;
            lifecycle::stop(&record, SIGNAL_GRACE).await.map_err(internal)?;
        }
        Ok(format!("stopped with its workers after {} ms", began.elapsed().as_millis()))
    }
}

#[cfg(not(feature = "local-hive"))]
async fn is_healthy(address: SocketAddr) -> bool {
    match Daemon::new(&url(address)) {
        Ok(daemon) => daemon.health().await.is_ok(),
        Err(_) => false,
    }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

fn internal(error: impl std::error::Error) -> ApiError {
    ApiError::new(ErrorCode::Internal, error.to_string())
}

fn spawn_failed(error: impl std::error::Error) -> ApiError {
    ApiError::new(ErrorCode::SpawnFailed, error.to_string())
}

/// What this queen can do only to the machine she runs on.
pub(super) fn only_here(id: &HiveId, verb: &str) -> ApiError {
    ApiError::new(
        ErrorCode::UnsupportedOperation,
        format!("this version can {verb} only the hive of its own machine, not '{id}'"),
    )
    .with_hint(format!("log in there and run: rbee-keeper hive {verb}"))
}
