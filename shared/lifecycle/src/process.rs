//! A handle to a process, whether or not it is a child of ours.
//!
//! The handle is a pidfd: it means one process for ever, so a signal sent
//! through it reaches that process or nobody. The order is what makes it
//! safe: **open, then identify, then signal**. Identifying first would leave
//! a moment in which the process ends and a stranger gets its number.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use config::{Record, procfs};
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use tokio::io::{Interest, unix::AsyncFd};

/// A handle to one process.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    start_time: u64,
    handle: OwnedFd,
}

impl Process {
    /// The process that wrote `record`, if it is still there. An error means
    /// that it could not be found out.
    pub fn open(record: &Record) -> io::Result<Option<Self>> {
        let process = Self::open_pid(record.pid)?;
        Ok(process.filter(|process| process.start_time == record.start_time && record.is_live()))
    }

    /// Whichever process has the number `pid` now.
    pub(crate) fn open_pid(pid: u32) -> io::Result<Option<Self>> {
        let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        let handle = match pidfd_open(raw, PidfdFlags::empty()) {
            Ok(handle) => handle,
            // No such process, or by now the number of somebody's thread.
            Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stat = procfs::stat(pid);
        Ok(stat.map(|stat| Self { pid, start_time: stat.start_time, handle }))
    }

    /// Its number, to show; signals go through the handle.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks it to end (SIGTERM). One that has ended is asked in vain, which
    /// is no error.
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Ends it (SIGKILL), stopped or not.
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Returns when it has ended. That it was reaped is not waited for: its
    /// parent may take its time.
    pub async fn exited(&self) -> io::Result<()> {
        // A copy of the handle, because the reactor knows each only once and
        // two may wait for one process.
        let handle = self.handle.try_clone()?;
        #[expect(
            deprecated,
            reason = "its successor is `unsafe`, for descriptors that somebody else may close; \
                      an `OwnedFd` is open until it is dropped"
        )]
        let handle = AsyncFd::with_interest(handle, Interest::READABLE)?;
        handle.readable().await.map(drop)
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.stat().is_none_or(|stat| stat.has_ended())
    }

    /// What `/proc` says about this very process.
    pub(crate) fn stat(&self) -> Option<procfs::Stat> {
        procfs::stat(self.pid).filter(|stat| stat.start_time == self.start_time)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(self.handle.as_fd(), signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
