//! The hive of this machine as a process: started, found again, stopped.

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use client::Daemon;
use config::{
    Paths,
    instance::{self, Found},
};
use daemon::jobs::{Failure, JobHandle};
use lifecycle::{Launch, Process};
use protocol::{ApiError, ErrorCode, HiveId};
use secrecy::SecretString;

use super::RemoteHive;

/// From launch to the first answer.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(20);
/// From the request to stop to the end of the process: the hive's own drain
/// of its workers, and some.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// From SIGTERM to SIGKILL, for a hive that did not stop when asked.
const SIGNAL_GRACE: Duration = Duration::from_secs(2);
const PROGRAM: &str = "rbee-hive";

/// See the module.
pub(super) struct LocalProcess {
    dir: PathBuf,
    queen_url: String,
    token: Option<SecretString>,
    starting: tokio::sync::Mutex<()>,
}

impl LocalProcess {
    pub(super) fn new(paths: &Paths, queen_url: &str, token: Option<SecretString>) -> Self {
        Self {
            dir: paths.hive_dir(),
            queen_url: queen_url.to_owned(),
            token,
            starting: tokio::sync::Mutex::default(),
        }
    }

    /// What the hive of this machine asks of its callers.
    pub(super) fn token(&self) -> Option<SecretString> {
        self.token.clone()
    }

    pub(super) fn log_file(&self) -> PathBuf {
        self.dir.join("hive.log")
    }

    /// Held while the process is started or stopped.
    pub(super) async fn starting(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.starting.lock().await
    }

    /// The address of the hive that runs here, if one does.
    pub(super) fn running(&self) -> Result<Option<String>, ApiError> {
        match instance::find(&self.dir).map_err(internal)? {
            Found::Running(record) => Ok(record.address.map(url)),
            Found::Absent | Found::Stale(_) => Ok(None),
        }
    }

    /// Launches the hive and waits until it answers; the caller holds
    /// [`LocalProcess::starting`].
    pub(super) async fn start(&self, job: &JobHandle) -> Result<String, Failure> {
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
        record.address.map(url).ok_or_else(|| {
            ApiError::new(ErrorCode::SpawnFailed, "the hive runs without an address").into()
        })
    }

    /// Asks the hive to stop its workers and itself, and sees to it.
    pub(super) async fn stop(&self) -> Result<String, ApiError> {
        let Found::Running(record) = instance::find(&self.dir).map_err(internal)? else {
            return Ok("was not running".to_owned());
        };
        if let Some(address) = record.address
            && let Ok(hive) = RemoteHive::new(HiveId::localhost(), &url(address), self.token())
            && let Err(error) = hive.daemon().shutdown(&[("stop_workers", "true")]).await
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
