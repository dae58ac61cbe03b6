//! What every HTTP daemon of rbee is made of: a listener with limits, jobs
//! with their log and stream, the fleet feed, the guard at the door, logging
//! and shutdown.
//!
//! Nothing here knows what a queen, a hive or a worker does; they bring a
//! router and an [`jobs::Execute`].

pub mod body;
pub mod build;
pub mod door;
pub mod feed;
pub mod jobs;
pub mod logging;
pub mod metrics;
pub mod newest;
pub mod refusal;
pub mod server;
pub mod shutdown;
pub mod sse;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use refusal::Refusal;

use protocol::Timestamp;

/// The wall clock, to the millisecond: the only place that reads it for what
/// crosses a socket.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// Locks a mutex whose data stays consistent even if a holder panicked: every
/// critical section of this crate is a few moves that cannot be left halfway.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
