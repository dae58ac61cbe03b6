//! The hive of this machine as a process: started in the background, looked
//! for, stopped. Whoever looks after a machine from afar has these commands
//! run on it, and a person who has logged in uses the same ones.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use client::Daemon;
use config::{Config, Found, Paths, Record, instance};
use lifecycle::{Launch, Process};
use serde_json::{Value, json};

/// From launch to the first answer.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// From the request to stop to the end of the process, beyond what its workers
/// may take to finish.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// From SIGTERM to SIGKILL, for one that did not stop when asked.
const SIGNAL_GRACE: Duration = Duration::from_secs(2);

/// Starts the hive with these arguments, or finds the one that runs.
pub async fn start(paths: &Paths, args: Vec<String>) -> anyhow::Result<String> {
    if let Some(record) = running(paths)? {
        return Ok(format!("runs already: {record}"));
    }
    let program = std::env::current_exe().context("this program has no file")?;
    let launch = Launch::new(program, paths.hive_dir().join("hive.log")).args(args);
    let mut launched = launch.start()?;
    let dir = paths.hive_dir();
    let ready =
        lifecycle::wait_until_ready(&mut launched, &dir, START_PATIENCE, is_healthy).await?;
    Ok(format!("started: {ready}"))
}

/// Asks the hive to stop and sees to it.
pub async fn stop(paths: &Paths, config: &Config, keep_workers: bool) -> anyhow::Result<String> {
    let Some(record) = running(paths)? else { return Ok("was not running".to_owned()) };
    let Some(process) = Process::open(&record)? else { return Ok("was not running".to_owned()) };
    let mut patience = Duration::ZERO;
    if let Some(address) = record.address {
        let mut hive = Daemon::new(&format!("http://{address}"))?.named("hive");
        if let Some(file) = &config.hive.token_file {
            hive = hive.with_token(config::read_token(file)?);
        }
        let stop_workers = if keep_workers { "false" } else { "true" };
        match hive.shutdown(&[("stop_workers", stop_workers)]).await {
            Ok(()) => patience = STOP_PATIENCE + config.hive.worker_drain,
            Err(error) => {
                tracing::warn!(error = %error.one_line(), "the request to stop did not arrive")
            }
        }
    }
    // It finishes its workers first; only one that does not is signalled.
    let _ = tokio::time::timeout(patience, process.exited()).await;
    lifecycle::stop(&record, SIGNAL_GRACE).await?;
    Ok("stopped".to_owned())
}

/// Whether it runs, and where.
pub fn status(paths: &Paths) -> anyhow::Result<Value> {
    Ok(match running(paths)? {
        Some(record) => json!({
            "running": true,
            "pid": record.pid,
            "address": record.address,
            "version": record.version,
        }),
        None => json!({ "running": false, "version": daemon::build::VERSION }),
    })
}

fn running(paths: &Paths) -> anyhow::Result<Option<Record>> {
    match instance::find(&paths.hive_dir())? {
        Found::Running(record) => Ok(Some(record)),
        Found::Stale(_) | Found::Absent => Ok(None),
    }
}

async fn is_healthy(address: SocketAddr) -> bool {
    match Daemon::new(&format!("http://{address}")) {
        Ok(daemon) => daemon.health().await.is_ok(),
        Err(_) => false,
    }
}
