//! Who holds a data directory.
//!
//! Two facts, kept apart. The **lock** (`flock` on `<dir>/lock`) decides: the
//! kernel gives it to one process and takes it back when that process ends,
//! however it ends. The **record** (`<dir>/record.json`) only tells: which
//! process, since when, at which address. A record is believed when the lock
//! is held and the process it names is still the one that wrote it, by pid,
//! start time and boot; a file that says "pid 123" is never believed alone,
//! because pids are used again.
//!
//! ```text
//! acquire: lock -> record without an address -> (bind) -> publish: address
//! drop:    record removed -> unlock
//! ```
//!
//! The lock file itself is never removed: somebody could be waiting on the
//! removed one while another locks the new one.

use std::{
    ffi::OsString,
    fmt,
    fs::{self, File, OpenOptions},
    io,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use protocol::Timestamp;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    paths::{create_private_dir, replace_private_file},
    procfs,
};

/// The holder needs a moment between taking the lock and saying who it is, in
/// which its record goes to the disk; it needs none to be named when it has.
const IDENTIFY_PATIENCE: Duration = Duration::from_secs(5);

/// A held data directory. Dropping it gives the directory back.
#[derive(Debug)]
pub struct Instance {
    dir: PathBuf,
    lock: File,
    record: Record,
}

/// What a daemon says about itself in its data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Which program, such as `queen-rbee`.
    pub kind: String,
    /// Its process id.
    pub pid: u32,
    /// When the process started, in clock ticks since boot.
    pub start_time: u64,
    /// Which boot these ticks are counted from.
    pub boot_id: String,
    /// Which launch this was.
    pub nonce: Nonce,
    /// Where it listens; none until it does.
    pub address: Option<SocketAddr>,
    /// Its version.
    pub version: String,
    /// When it took the directory.
    pub started_at: Timestamp,
}

/// Tells one launch of a daemon from every other, so that a launcher knows
/// the record of the process it started from the record of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(Uuid);

/// What [`find`] found in a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nobody, and nothing that says who it was.
    Absent,
    /// What a process left behind that is gone.
    Stale(Record),
    /// The process that holds the directory.
    Running(Record),
}

/// Why a data directory could not be taken or read.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// Another process has it.
    #[error("{} is held by {}", dir.display(), holder(record.as_deref()))]
    Held {
        /// The data directory.
        dir: PathBuf,
        /// Who, if the holder has said so.
        record: Option<Box<Record>>,
    },
    /// A file of the directory could not be made, read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The record is not one of ours.
    #[error("{} is damaged, and the daemon that wrote it runs; remove it when that has ended", path.display())]
    Unreadable {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// The holder as an operator recognises it.
fn holder(record: Option<&Record>) -> String {
    match record {
        Some(record) => record.to_string(),
        None => "a process that has not said who it is".to_owned(),
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, pid, started_at, .. } = self;
        write!(f, "{kind} (pid {pid}, since {started_at:.0}, ")?;
        match self.address {
            Some(address) => write!(f, "at {address})"),
            None => write!(f, "not listening yet)"),
        }
    }
}

impl Record {
    /// Whether the process that wrote this is still there.
    pub fn is_live(&self) -> bool {
        let same_process = procfs::stat(self.pid)
            .is_some_and(|stat| stat.start_time == self.start_time && !stat.has_ended());
        same_process && procfs::boot_id().is_ok_and(|boot_id| boot_id == self.boot_id)
    }

    fn of_this_process(kind: &str, nonce: Nonce) -> io::Result<Self> {
        let pid = std::process::id();
        let stat = procfs::stat(pid)
            .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat cannot be read")))?;
        Ok(Self {
            kind: kind.to_owned(),
            pid,
            start_time: stat.start_time,
            boot_id: procfs::boot_id()?,
            nonce,
            address: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: Timestamp::now(),
        })
    }
}

impl Nonce {
    /// The environment variable in which a launcher passes it.
    pub const ENV: &str = "RBEE_INSTANCE_NONCE";

    /// One that nobody has.
    pub fn fresh() -> Self {
        Self(Uuid::new_v4())
    }

    /// The one this process was launched with, or a fresh one when a person
    /// started it.
    pub fn from_env() -> Self {
        Self::from_launcher(std::env::var_os(Self::ENV))
    }

    fn from_launcher(value: Option<OsString>) -> Self {
        value
            .as_deref()
            .and_then(|value| value.to_str())
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(Self::fresh)
    }
}

impl FromStr for Nonce {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Instance {
    /// Takes `dir` for this process, which is a `kind` launched as `nonce`,
    /// and says so in its record. Do this before binding a port, so that a
    /// second daemon is told who holds the directory and not "address in use".
    pub fn acquire(dir: &Path, kind: &str, nonce: Nonce) -> Result<Self, InstanceError> {
        Self::acquire_within(IDENTIFY_PATIENCE, dir, kind, nonce)
    }

    fn acquire_within(
        patience: Duration,
        dir: &Path,
        kind: &str,
        nonce: Nonce,
    ) -> Result<Self, InstanceError> {
        create_private_dir(dir).map_err(io_error("create", dir))?;
        let lock = lock_exclusively(dir, patience)?;
        let record = Record::of_this_process(kind, nonce)
            .map_err(io_error("identify this process by", Path::new("/proc")))?;
        write_record(dir, &record)?;
        Ok(Self { dir: dir.to_owned(), lock, record })
    }

    /// Says where this process listens.
    pub fn publish(&mut self, address: SocketAddr) -> Result<(), InstanceError> {
        self.record.address = Some(address);
        write_record(&self.dir, &self.record)
    }

    /// What this process says about itself.
    pub fn record(&self) -> &Record {
        &self.record
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // In this order: a record without its lock would be a lie to whoever
        // takes the lock in between. Failing leaves a stale record, which is
        // recognised as one.
        let _ = fs::remove_file(record_path(&self.dir));
        // Unlocked by name, because a child that is just being started may
        // still share the open file and would keep the lock.
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

/// Who holds `dir`.
pub fn find(dir: &Path) -> Result<Found, InstanceError> {
    let record = match read_record(dir) {
        Ok(Some(record)) => record,
        Ok(None) => return Ok(Found::Absent),
        // What nobody can read names nobody, and with nobody at the lock it
        // is in nobody's way: the next to take the directory replaces it.
        Err(InstanceError::Unreadable { .. }) if !is_locked(dir)? => return Ok(Found::Absent),
        Err(error) => return Err(error),
    };
    // In this order: only with a live process behind the record is the lock
    // tried, and then it is held, so that looking does not take it from
    // somebody who is starting.
    if record.is_live() && is_locked(dir)? {
        Ok(Found::Running(record))
    } else {
        Ok(Found::Stale(record))
    }
}

fn record_path(dir: &Path) -> PathBuf {
    dir.join("record.json")
}

fn lock_path(dir: &Path) -> PathBuf {
    dir.join("lock")
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> InstanceError {
    let path = path.to_owned();
    move |source| InstanceError::Io { action, path, source }
}

fn lock_exclusively(dir: &Path, patience: Duration) -> Result<File, InstanceError> {
    const INTERVAL: Duration = Duration::from_millis(5);

    let path = lock_path(dir);
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(io_error("open", &path))?;
    let began = Instant::now();
    loop {
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(lock),
            Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(io_error("lock", &path)(error.into())),
        }
        // A stale record is another's: naming it would send the operator
        // after a process that is gone.
        let record = read_record(dir).ok().flatten().filter(Record::is_live);
        if record.is_some() || began.elapsed() >= patience {
            let record = record.map(Box::new);
            return Err(InstanceError::Held { dir: dir.to_owned(), record });
        }
        thread::sleep(INTERVAL);
    }
}

fn is_locked(dir: &Path) -> Result<bool, InstanceError> {
    let path = lock_path(dir);
    let lock = match File::open(&path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(io_error("open", &path)(source)),
    };
    // Shared, so that two who look at the same time do not see each other.
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(io_error("lock", &path)(error.into())),
    }
}

fn read_record(dir: &Path) -> Result<Option<Record>, InstanceError> {
    let path = record_path(dir);
    match fs::read(&path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(source) => Err(InstanceError::Unreadable { path, source }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io_error("read", &path)(source)),
    }
}

fn write_record(dir: &Path, record: &Record) -> Result<(), InstanceError> {
    let path = record_path(dir);
    let write = || {
        let json = serde_json::to_vec_pretty(record)?;
        replace_private_file(&path, &json)
    };
    write().map_err(io_error("write", &path))
}

#[cfg(test)]
mod tests;
