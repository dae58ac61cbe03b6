//! How long the client waits for what.

use std::time::Duration;

/// How long a [`Daemon`](crate::Daemon) is waited for.
///
/// The defaults suit loopback and an ssh tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a connection to be accepted.
    pub connect: Duration,
    /// For a plain call as a whole, and for a stream to begin.
    pub call: Duration,
    /// For a byte of a job's or an inference's stream. Daemons send a comment
    /// every 15 s, so three missed ones mean that nobody is there.
    pub job_silence: Duration,
    /// For a byte of the feed, where a comment is due every 5 s.
    pub feed_silence: Duration,
    /// For a job's stream to come back, counted from when it broke.
    pub patience: Duration,
    /// The longest wait before an attempt, unless the daemon itself asks for
    /// a longer one; zero tries again at once.
    pub backoff_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            call: Duration::from_secs(10),
            job_silence: Duration::from_secs(45),
            feed_silence: Duration::from_secs(15),
            patience: Duration::from_secs(30),
            backoff_max: Duration::from_secs(5),
        }
    }
}
