//! What is known about the queen and the way to her.

use std::time::Duration;

use protocol::{Timestamp, fleet::BuildInfo, job::Level};

use super::log::{Limits, Log, Said};

/// How often the way is measured while somebody looks.
pub(crate) const MEASURE: Duration = Duration::from_secs(5);
const DIARY: Limits = Limits { lines: 500, bytes: 256 << 10 };

/// The queen.
#[derive(Debug, Clone)]
pub(crate) struct Queen {
    /// Her build, once she has said it.
    pub(crate) build: Option<BuildInfo>,
    /// How long the last question took.
    pub(crate) latency: Option<Duration>,
    /// When the next is asked; `None` while one is on its way.
    pub(crate) measure_at: Option<Duration>,
    /// How often she was reached.
    pub(crate) connections: u64,
    /// How often she was not, or was lost.
    pub(crate) failures: u64,
    /// The configuration that was read.
    pub(crate) config: Option<String>,
    /// What went wrong, and what was asked for.
    pub(crate) diary: Log,
}

impl Default for Queen {
    fn default() -> Self {
        Self {
            build: None,
            latency: None,
            measure_at: Some(Duration::ZERO),
            connections: 0,
            failures: 0,
            config: None,
            diary: Log::new(DIARY),
        }
    }
}

impl Queen {
    /// Writes a line down.
    pub(crate) fn note(&mut self, at: Timestamp, actor: &str, level: Level, text: String) {
        let said = Said { at: Some(at), actor: actor.to_owned(), level, ..Said::default() };
        self.diary.push(text, said);
    }

    /// A question came back, or did not.
    pub(crate) fn measured(&mut self, latency: Option<Duration>, now: Duration) {
        self.latency = latency;
        self.measure_at = Some(now + MEASURE);
    }
}
