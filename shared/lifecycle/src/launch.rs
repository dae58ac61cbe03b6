//! Starting a process that belongs to nobody but itself.
//!
//! It leads its own session, so closing the launcher's terminal or killing
//! the launcher's process group does not reach it; its output goes to a file.
//! The kernel's "die with your parent" signal is never asked for: its parent
//! is the *thread* that started it, and a runtime ends threads when it likes.
//!
//! It is told a [`Nonce`] through its environment. The daemon repeats it in
//! its record, which is how a launcher knows its own, and whatever the daemon
//! starts inherits it, which is how [`crate::stop()`] finds what it left behind.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use config::Nonce;
use process_wrap::tokio::{CommandWrap, ProcessSession};
use tokio::sync::watch;

use crate::{
    Exit, Process, StopError, Stopped,
    log::{self, tail_since},
    stop::stop_family,
};

/// What to launch and how.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program's absolute path; [`crate::locate`] finds it.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// What its environment has beyond the launcher's.
    pub env: Vec<(OsString, OsString)>,
    /// Where its output goes.
    pub log_file: PathBuf,
    /// Which launch this is; may be written down before it starts.
    pub nonce: Nonce,
}

/// A process that was launched, and may have ended since. Dropping this does
/// nothing to it.
#[derive(Debug)]
pub struct Launched {
    /// Its process id.
    pub pid: u32,
    /// Which launch this was.
    pub nonce: Nonce,
    program: String,
    log_file: PathBuf,
    log_begin: u64,
    process: Process,
    exit: watch::Receiver<Option<Exit>>,
}

/// Why a process could not be launched.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// Its log could not be opened.
    #[error("cannot write the log {}", path.display())]
    Log {
        /// The log.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The program could not be run.
    #[error("cannot start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The program ran and could not be held on to, so it was ended.
    #[error("started {} and ended it again, because it could not be watched", program.display())]
    Watch {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Launch {
    /// The launch of `program`, with its output in `log_file`.
    pub fn new(program: impl Into<PathBuf>, log_file: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            log_file: log_file.into(),
            nonce: Nonce::fresh(),
        }
    }

    /// With these arguments after those it has.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// With this in its environment.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Starts it. Needs a tokio runtime, which reaps it when it ends.
    pub fn start(self) -> Result<Launched, LaunchError> {
        let Self { program, args, env, log_file, nonce } = self;
        let (log, log_begin) = log::open(&log_file)
            .and_then(|(log, begin)| Ok(([log.try_clone()?, log], begin)))
            .map_err(|source| LaunchError::Log { path: log_file.clone(), source })?;
        let [stdout, stderr] = log;

        let mut command = CommandWrap::with_new(&program, |command| {
            command
                .args(args)
                .envs(env)
                .env(Nonce::ENV, nonce.to_string())
                // Not the launcher's folder, which could then not be unmounted.
                .current_dir("/")
                .stdin(Stdio::null())
                .stdout(stdout)
                .stderr(stderr);
        });
        command.wrap(ProcessSession);
        let start_error = |source| LaunchError::Start { program: program.clone(), source };
        // Unwrapped again, because the wrapper's wait is for the whole group,
        // which a launcher that adopts orphans would wait for in vain.
        let mut child = command.spawn().map_err(start_error)?.into_inner();

        // Nobody has waited for it yet, so its number is still its own.
        let process = match child.id().map(Process::open_pid) {
            Some(Ok(Some(process))) => process,
            failure => {
                let source = match failure {
                    Some(Err(source)) => source,
                    _ => io::Error::other("it has no process id"),
                };
                // Dropping the child leaves reaping it to the runtime.
                let _ = child.start_kill();
                return Err(LaunchError::Watch { program, source });
            }
        };

        let (ended, exit) = watch::channel(None);
        tokio::spawn(async move {
            if let Ok(status) = child.wait().await {
                ended.send_replace(Some(Exit::from(status)));
            }
        });
        let program = file_name(&program);
        let pid = process.pid();
        tracing::debug!(program, pid, %nonce, "launched");
        Ok(Launched { pid, nonce, program, log_file, log_begin, process, exit })
    }
}

impl Launched {
    /// Returns when it has ended; at once if it has.
    pub async fn exited(&mut self) -> Exit {
        match self.exit.wait_for(Option::is_some).await {
            Ok(exit) => *exit,
            // The task that waits for it is gone with its runtime.
            Err(_) => None,
        }
        .unwrap_or(Exit { code: None, signal: None })
    }

    /// Ends it and whatever it started; as [`crate::stop()`], for one that has
    /// no record yet.
    pub async fn stop(&self, grace: Duration) -> Result<Stopped, StopError> {
        stop_family(Some(&self.process), self.nonce, grace).await
    }

    /// The program's file name.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Where its output goes.
    pub fn log_file(&self) -> &Path {
        &self.log_file
    }

    /// The last `lines` it wrote, without those of earlier launches.
    pub fn log_tail(&self, lines: usize, max_bytes: u64) -> Vec<String> {
        tail_since(&self.log_file, self.log_begin, lines, max_bytes)
    }
}

fn file_name(program: &Path) -> String {
    program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned()
}
