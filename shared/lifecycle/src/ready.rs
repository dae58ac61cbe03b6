//! Waiting until a launched daemon is ready.
//!
//! Ready is: its record carries our nonce, it is listening, and it answers.
//! A process that ends first ends the wait, with the reason it gave; the
//! deadline is for the ones that neither answer nor end.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use config::{Found, Nonce, Record, instance};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::{Exit, Launched};

/// The pauses between two looks: short at first, because most daemons are
/// ready in milliseconds.
const PAUSE_FIRST: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// How much of a log explains a failure.
const LOG_LINES: usize = 12;
const LOG_BYTES: u64 = 16 * 1024;

/// Why a launched daemon is not ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadyError {
    /// It ended first.
    #[error("{program} {exit} before it was ready; {}", said(log_file, log))]
    Ended {
        /// The program's file name.
        program: String,
        /// How it ended.
        exit: Exit,
        /// Where its output is.
        log_file: PathBuf,
        /// The last lines of it.
        log: Vec<String>,
    },
    /// It still runs, and is left running.
    #[error(
        "{program} (pid {pid}) was not ready after {waited:?}: {stage}; {}",
        said(log_file, log)
    )]
    Late {
        /// The program's file name.
        program: String,
        /// Its process id.
        pid: u32,
        /// How long it had.
        waited: Duration,
        /// How far it came.
        stage: Stage,
        /// Where its output is.
        log_file: PathBuf,
        /// The last lines of it.
        log: Vec<String>,
    },
}

/// How far a daemon has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It has not taken its data directory.
    Starting,
    /// It has, and does not listen.
    Opening,
    /// It listens, and does not answer well.
    Listening(SocketAddr),
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("it has not taken its data directory"),
            Self::Opening => f.write_str("it has its data directory and is not listening"),
            Self::Listening(address) => {
                write!(f, "it listens at {address} and does not say that it is well")
            }
        }
    }
}

fn said(log_file: &Path, log: &[String]) -> String {
    let log_file = log_file.display();
    if log.is_empty() {
        return format!("it wrote nothing to {log_file}");
    }
    let lines: String = log.iter().map(|line| format!("\n  {line}")).collect();
    format!("{log_file} ends:{lines}")
}

/// Returns the record of `launched` in the data directory `dir` once it is
/// ready, which `probe` has the last word on: it is asked with the address
/// the daemon published.
///
/// On [`ReadyError::Late`] the process is left as it is; the caller may wait
/// again or call [`Launched::stop`].
pub async fn wait_until_ready<F, P>(
    launched: &mut Launched,
    dir: &Path,
    deadline: Duration,
    probe: F,
) -> Result<Record, ReadyError>
where
    F: Fn(SocketAddr) -> P,
    P: Future<Output = bool>,
{
    let nonce = launched.nonce;
    // A watch rather than a cell, so that callers may be moved between threads.
    let stage = watch::Sender::new(Stage::Starting);
    let ready = timeout(deadline, until_ready(nonce, dir, &stage, probe));
    tokio::select! {
        // A daemon that ended is not ready, whatever it said before.
        biased;
        exit = launched.exited() => Err(ReadyError::Ended {
            program: launched.program().to_owned(),
            exit,
            log_file: launched.log_file().to_owned(),
            log: launched.log_tail(LOG_LINES, LOG_BYTES),
        }),
        ready = ready => ready.map_err(|_| ReadyError::Late {
            program: launched.program().to_owned(),
            pid: launched.pid,
            waited: deadline,
            stage: *stage.borrow(),
            log_file: launched.log_file().to_owned(),
            log: launched.log_tail(LOG_LINES, LOG_BYTES),
        }),
    }
}

async fn until_ready<F, P>(
    nonce: Nonce,
    dir: &Path,
    stage: &watch::Sender<Stage>,
    probe: F,
) -> Record
where
    F: Fn(SocketAddr) -> P,
    P: Future<Output = bool>,
{
    let mut pause = PAUSE_FIRST;
    loop {
        // Somebody else's record, or one that cannot be read, is what was
        // there before: the daemon replaces it or says why it cannot.
        if let Ok(Found::Running(record)) = instance::find(dir)
            && record.nonce == nonce
        {
            match record.address {
                None => drop(stage.send_replace(Stage::Opening)),
                Some(address) => {
                    stage.send_replace(Stage::Listening(address));
                    if probe(address).await {
                        return record;
                    }
                }
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
