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
    /// The newest line as it came, and how often it did.
    noted: Option<String>,
    times: u64,
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
            noted: None,
            times: 0,
        }
    }
}

impl Queen {
    /// Writes a line down. One that says the same as the line before takes its
    /// place: an outage of a day must not push out everything else.
    pub(crate) fn note(&mut self, at: Timestamp, actor: &str, level: Level, text: &str) {
        let same = self
            .diary
            .last()
            .is_some_and(|last| last.said.actor == actor && self.noted.as_deref() == Some(text));
        self.times = if same { self.times + 1 } else { 1 };
        self.noted = Some(text.to_owned());
        let said = Said { at: Some(at), actor: actor.to_owned(), level, ..Said::default() };
        if same {
            let text = format!("{text} ({} times)", self.times);
            self.diary.replace_last(text, said);
        } else {
            self.diary.push(text.to_owned(), said);
        }
    }

    /// A question came back, or did not.
    pub(crate) fn measured(&mut self, latency: Option<Duration>, now: Duration) {
        self.latency = latency;
        self.measure_at = Some(now + MEASURE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_again_is_counted_in_one_line() {
        let mut queen = Queen::default();
        let at = Timestamp::UNIX_EPOCH;
        for text in ["refused", "refused", "refused", "timed out", "refused"] {
            queen.note(at, "link", Level::Error, text);
        }
        let lines: Vec<_> = queen.diary.numbered().map(|(_, it)| it.text.as_str()).collect();
        assert_eq!(lines, ["refused (3 times)", "timed out", "refused"]);
    }
}
