//! The processes of a cluster, each known by what it says about itself.

use std::path::PathBuf;

use anyhow::Context as _;
use config::{Found, Record, instance, procfs};
use protocol::WorkerId;
use rustix::process::{Pid, Signal};

use crate::{Cluster, Seen, wait_for};

/// One of the daemons of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Daemon {
    /// `queen-rbee`
    Queen,
    /// `rbee-hive`
    Hive,
}

const WORKER: &str = "llm-worker-rbee";
/// A test may not have awaited it yet.
const KEEPER: &str = "rbee-keeper";

impl Cluster {
    /// What the running daemon says about itself; `None` when it does not run.
    pub fn record(&self, daemon: Daemon) -> anyhow::Result<Option<Record>> {
        match instance::find(&self.dir(daemon))? {
            Found::Running(record) => Ok(Some(record)),
            Found::Stale(_) | Found::Absent => Ok(None),
        }
    }

    /// Where it answers.
    pub fn url(&self, daemon: Daemon) -> anyhow::Result<String> {
        let record = self.record(daemon)?.with_context(|| format!("no {daemon:?} runs"))?;
        let address = record.address.with_context(|| format!("{record} does not listen yet"))?;
        Ok(format!("http://{address}"))
    }

    /// Its process.
    pub fn pid(&self, daemon: Daemon) -> anyhow::Result<u32> {
        Ok(self.record(daemon)?.with_context(|| format!("no {daemon:?} runs"))?.pid)
    }

    /// Where it keeps what it knows.
    pub fn dir(&self, daemon: Daemon) -> PathBuf {
        match daemon {
            Daemon::Queen => self.paths().queen_dir(),
            Daemon::Hive => self.paths().hive_dir(),
        }
    }

    /// The program of one of this cluster's processes, with its arguments.
    pub fn same_again(&self, pid: u32) -> anyhow::Result<std::process::Command> {
        let arguments = arguments(pid);
        let arguments: Vec<_> = arguments.iter().filter(|it| !it.is_empty()).collect();
        let (program, rest) = arguments.split_first().context("it has ended")?;
        let name = program.rsplit('/').next().context("it has no name")?;
        let mut command = self.command(name);
        command.args(rest);
        Ok(command)
    }

    /// Whether the hive of this machine is a part of the queen's process, as
    /// her build says. What this makes different for a test is in the two calls
    /// below.
    pub async fn hive_is_in_queen(&self) -> anyhow::Result<bool> {
        let build = self.get("/v1/build-info").await?;
        let features = build.body["features"].as_array().context("she does not say")?;
        Ok(features.iter().any(|feature| feature == "local-hive"))
    }

    /// How many processes a queen, a hive and so many workers are.
    pub async fn processes_with(&self, workers: usize) -> anyhow::Result<usize> {
        Ok(workers + if self.hive_is_in_queen().await? { 1 } else { 2 })
    }

    /// The process that is the hive and nothing else; one that is a part of
    /// the queen's begins and ends with hers.
    pub fn hive_process(&self) -> Option<u32> {
        let mut processes = self.processes().into_iter();
        processes.find(|(_, program)| program == "rbee-hive").map(|(pid, _)| pid)
    }

    /// Kills the process of the hive, and with it the queen whose part it is.
    pub async fn kill_hive(&self) -> anyhow::Result<()> {
        self.kill9(self.pid(Daemon::Hive)?).await
    }

    /// Starts the hive, and before it the queen if she is gone.
    pub async fn start_hive(&self) -> anyhow::Result<()> {
        self.keeper(&["queen", "start"]).await?.succeeded()?;
        self.keeper(&["hive", "start"]).await?.succeeded().map(drop)
    }

    /// Asks the hive to end at its own door, and waits until it has.
    pub async fn end_hive(&self) -> anyhow::Result<()> {
        let answer = self.call(Daemon::Hive, "POST", "/v1/shutdown", &[], None).await?;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        wait_for("the hive to be gone", async || {
            let record = self.record(Daemon::Hive)?;
            Ok(Seen::when(record.is_none(), record))
        })
        .await
    }

    /// A worker's process, as its own record says.
    pub fn worker_pid(&self, id: &WorkerId) -> anyhow::Result<u32> {
        match instance::find(&self.paths().worker_dir(id))? {
            Found::Running(record) => Ok(record.pid),
            other => anyhow::bail!("worker {id} does not run: {other:?}"),
        }
    }

    /// Ends one of this cluster's processes the hard way, and waits until it
    /// is gone.
    pub async fn kill9(&self, pid: u32) -> anyhow::Result<()> {
        self.signal(pid, Signal::KILL)?;
        wait_for("the killed process to be gone", async || {
            let stat = procfs::stat(pid).filter(|stat| !stat.has_ended());
            Ok(Seen::when(stat.is_none(), stat))
        })
        .await
    }

    /// Signals one of this cluster's processes, and nobody else's.
    pub fn signal(&self, pid: u32, signal: Signal) -> anyhow::Result<()> {
        anyhow::ensure!(self.owns(pid), "process {pid} is not of this cluster");
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("not a process id")?;
        rustix::process::kill_process(pid, signal)?;
        Ok(())
    }

    /// What the cluster has started and still runs, with its programs: daemons,
    /// and whatever they have started themselves.
    pub fn processes(&self) -> Vec<(u32, String)> {
        let pids = procfs::pids().unwrap_or_default().into_iter();
        let named = pids.filter(|pid| self.owns(*pid)).filter_map(|pid| Some((pid, program(pid)?)));
        named.filter(|(_, program)| program != KEEPER).collect()
    }

    /// The processes of workers that run.
    pub fn worker_pids(&self) -> Vec<u32> {
        let workers = self.processes().into_iter();
        workers.filter(|(_, program)| program == WORKER).map(|(pid, _)| pid).collect()
    }

    /// The ssh processes of its daemons.
    pub fn ssh_pids(&self) -> Vec<u32> {
        let pids = procfs::pids().unwrap_or_default().into_iter();
        pids.filter(|pid| self.owns(*pid) && program(*pid).as_deref() == Some("ssh")).collect()
    }

    /// Two processes that take themselves for the same worker would answer for
    /// the same slots.
    pub(crate) fn is_at_most_one_worker_per_slot(&self) -> anyhow::Result<()> {
        let mut ids: Vec<_> = self.worker_pids().into_iter().map(worker_id).collect();
        ids.sort();
        let twice = ids.windows(2).find(|pair| pair[0] == pair[1]);
        anyhow::ensure!(twice.is_none(), "two processes of one worker: {twice:?}");
        Ok(())
    }

    /// Whatever a cluster starts inherits its data directory, which is nobody
    /// else's.
    fn owns(&self, pid: u32) -> bool {
        let mark = format!("RBEE_DATA_DIR={}", self.paths().data_dir.display());
        procfs::was_started_with(pid, &mark)
    }
}

/// The file name of the program that a live process runs.
pub(crate) fn program(pid: u32) -> Option<String> {
    procfs::stat(pid).filter(|stat| !stat.has_ended())?;
    Some(arguments(pid).first()?.rsplit('/').next().unwrap_or_default().to_owned())
}

/// Which worker a process is; its arguments say so before it does.
fn worker_id(pid: u32) -> Option<String> {
    let arguments = arguments(pid);
    let flag = arguments.iter().position(|argument| argument == "--worker-id")?;
    arguments.get(flag + 1).cloned()
}

fn arguments(pid: u32) -> Vec<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).map(|it| String::from_utf8_lossy(it).into_owned()).collect()
}
