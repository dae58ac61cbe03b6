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
fn program(pid: u32) -> Option<String> {
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
