//! Logs go to a file that is rotated, written by a thread of its own.
//!
//! What a daemon prints to its standard error is for the moments before this
//! is set up; afterwards the file is the place. Prompts and generated text are
//! never logged.

use std::path::Path;

use tracing_appender::{
    non_blocking::{NonBlockingBuilder, WorkerGuard},
    rolling::{InitError, RollingFileAppender, Rotation},
};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Rotated files that are kept.
const FILES_KEPT: usize = 7;
/// Lines that may wait for the disk; beyond that they are dropped, and
/// counted by the appender.
const LINES_BUFFERED_MAX: usize = 16_384;

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The directory cannot be written.
    #[error("cannot write logs to {directory}")]
    Directory {
        /// Where.
        directory: String,
        /// Why.
        #[source]
        source: InitError,
    },
    /// Somebody else has set a logger.
    #[error("logging is set up already")]
    Twice,
}

/// Holds the writer; dropping it writes out what still waits.
#[must_use = "dropping the guard stops the log"]
pub struct LogGuard {
    _writer: WorkerGuard,
}

/// Logs to `<directory>/<name>.<date>.log`, filtered by `RUST_LOG` (default
/// `info`).
pub fn to_files(directory: &Path, name: &str) -> Result<LogGuard, LoggingError> {
    let appender = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix(name)
        .filename_suffix("log")
        .max_log_files(FILES_KEPT)
        .build(directory)
        .map_err(|source| LoggingError::Directory {
            directory: directory.display().to_string(),
            source,
        })?;
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_BUFFERED_MAX)
        .finish(appender);
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // JSON, so that a line end in a message can never pass for another line.
    tracing_subscriber::registry()
        .with(filter)
        .with(fmt::layer().json().with_writer(writer))
        .try_init()
        .map_err(|_| LoggingError::Twice)?;
    Ok(LogGuard { _writer: guard })
}
