//! Ending a daemon and everything it started.
//!
//! ```text
//! TERM to the daemon -> it drains and ends -> KILL to what it left behind
//!                    -> grace is over      -> KILL to the daemon and the rest
//! ```
//!
//! Only the daemon is asked: it looks after its own children while it drains.
//! What is left of its family afterwards is found by two marks, of which
//! neither is a number that somebody else could have by now:
//!
//! * the **nonce** in the environment, which every descendant inherits, also
//!   one that left the session, and which a daemon launched by a daemon does
//!   not have, because it was given its own;
//! * the **session**, asked for while the daemon still lives and its number
//!   can therefore mean no other session; this finds a child whose
//!   environment was cleared.
//!
//! A hive can thus be killed without its workers, and a worker together with
//! all its helpers. Signalling a process group by its number would reach
//! fewer and could reach strangers.

use std::{
    io, process,
    time::{Duration, Instant},
};

use config::{Nonce, Record, procfs};
use tokio::time::timeout;

use crate::Process;

/// How long the kernel may take to carry out a KILL. A process that takes
/// longer hangs in a driver or on a disk.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// What it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It ended when asked.
    Asked,
    /// It did not, and was killed.
    Killed,
    /// It had ended before.
    AlreadyGone,
}

/// Why something of a daemon may still run.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The processes of this machine could not be looked at.
    #[error("cannot look for the processes to stop")]
    Look {
        /// What the system said.
        source: io::Error,
    },
    /// A process could not be signalled or waited for.
    #[error("cannot stop the process {pid}")]
    Signal {
        /// Its process id.
        pid: u32,
        /// What the system said.
        source: io::Error,
    },
    /// It was killed and is still there.
    #[error(
        "the process {pid} was killed {} s ago and has not ended: it hangs in the kernel, most \
         often in a driver or on a network disk (`cat /proc/{pid}/stack` tells root where)",
        KILL_PATIENCE.as_secs()
    )]
    Undying {
        /// Its process id.
        pid: u32,
    },
}

/// Ends the process of `record`, giving it `grace` to end by itself, and
/// whatever it started and left behind.
pub async fn stop(record: &Record, grace: Duration) -> Result<Stopped, StopError> {
    let leader = Process::open(record).map_err(|source| StopError::Look { source })?;
    stop_family(leader.as_ref(), record.nonce, grace).await
}

/// Ends `leader`, if there is one, and everybody else who carries `nonce`.
pub(crate) async fn stop_family(
    leader: Option<&Process>,
    nonce: Nonce,
    grace: Duration,
) -> Result<Stopped, StopError> {
    let mut rest = Vec::new();
    let stopped = match leader.filter(|leader| !leader.has_ended()) {
        None => Stopped::AlreadyGone,
        Some(leader) => {
            rest.extend(session_of(leader)?);
            leader.terminate().map_err(signal_error(leader))?;
            if has_ended_within(leader, grace).await? {
                Stopped::Asked
            } else {
                // Again, for what it started in the meantime.
                rest.extend(session_of(leader)?);
                kill_all([leader]).await?;
                Stopped::Killed
            }
        }
    };
    tracing::debug!(pid = leader.map(Process::pid), ?stopped, left_behind = rest.len(), "stopped");
    end_rest(rest, nonce).await?;
    Ok(stopped)
}

/// Kills `rest` and everybody who carries `nonce`, and looks again until there
/// is nobody: one of them may have started another in the meantime.
async fn end_rest(mut rest: Vec<Process>, nonce: Nonce) -> Result<(), StopError> {
    let mark = format!("{}={nonce}", Nonce::ENV);
    let begun = Instant::now();
    loop {
        rest.extend(others(|process| procfs::was_started_with(process.pid(), &mark))?);
        let Some(one) = rest.first() else { return Ok(()) };
        if begun.elapsed() > KILL_PATIENCE {
            return Err(StopError::Undying { pid: one.pid() });
        }
        kill_all(&rest).await?;
        rest.clear();
    }
}

/// Everybody else in the session that `leader` leads.
fn session_of(leader: &Process) -> Result<Vec<Process>, StopError> {
    let members = others(|process| {
        process.pid() != leader.pid()
            && process.stat().is_some_and(|stat| stat.session == leader.pid() && !stat.has_ended())
    })?;
    // A number that is still the leader's was the leader's all along.
    Ok(if leader.stat().is_some() { members } else { Vec::new() })
}

/// The processes, except this one, that are `wanted` once they are held.
fn others(wanted: impl Fn(&Process) -> bool) -> Result<Vec<Process>, StopError> {
    let look_error = |source| StopError::Look { source };
    let mut found = Vec::new();
    for pid in procfs::pids().map_err(look_error)? {
        if pid != process::id()
            && let Some(process) = Process::open_pid(pid).map_err(look_error)?
            && wanted(&process)
        {
            found.push(process);
        }
    }
    Ok(found)
}

async fn kill_all(processes: impl IntoIterator<Item = &Process> + Clone) -> Result<(), StopError> {
    // All first and then waited for: one after the other they could start
    // each other again.
    for process in processes.clone() {
        process.kill().map_err(signal_error(process))?;
    }
    for process in processes {
        if !has_ended_within(process, KILL_PATIENCE).await? {
            return Err(StopError::Undying { pid: process.pid() });
        }
    }
    Ok(())
}

async fn has_ended_within(process: &Process, patience: Duration) -> Result<bool, StopError> {
    match timeout(patience, process.exited()).await {
        Ok(exited) => exited.map(|()| true).map_err(signal_error(process)),
        Err(_) => Ok(false),
    }
}

fn signal_error(process: &Process) -> impl FnOnce(io::Error) -> StopError {
    let pid = process.pid();
    move |source| StopError::Signal { pid, source }
}
