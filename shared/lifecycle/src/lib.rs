//! A daemon as a process: found on disk, launched detached, waited for until
//! it is ready, found again, stopped.
//!
//! A launched process outlives its launcher and the launcher's terminal, and
//! nothing here ties the two together: adopting beats killing. No process is
//! signalled by its name or by a number that somebody wrote down; a handle to
//! the process is taken first, then the process is identified, then it is
//! signalled through the handle.
//!
//! This crate makes no network calls. Whether a daemon answers is asked
//! through a closure of the caller's, and another machine is reached through
//! the system's [`ssh`].

pub mod binaries;
pub mod build;
pub mod exit;
pub mod launch;
pub mod log;
pub mod process;
pub mod ready;
pub mod ssh;
pub mod stop;

pub use binaries::{NotFound, locate};
pub use build::{Build, BuildError, Checkout, Profile};
pub use config::procfs::memory_bytes as process_memory_bytes;
pub use exit::Exit;
pub use launch::{Launch, LaunchError, Launched};
pub use log::log_tail;
pub use process::Process;
pub use ready::{ReadyError, Stage, wait_until_ready};
pub use stop::{StopError, Stopped, stop};
