//! The log of one worker, as far as it was read.

use protocol::{
    WorkerId,
    job::Level,
    logs::{LogLine, LogSource},
};

use super::log::{Limits, Log, Said};
use crate::text::one_line;

const LIMITS: Limits = Limits { lines: 10_000, bytes: 1 << 20 };

/// The log.
#[derive(Debug, Clone)]
pub(crate) struct WorkerLog {
    /// Whose.
    pub(crate) worker: WorkerId,
    /// Its lines.
    pub(crate) lines: Log,
    /// Why no more of it comes.
    pub(crate) broken: Option<String>,
}

impl WorkerLog {
    /// Nothing was read yet.
    pub(crate) fn new(worker: WorkerId) -> Self {
        Self { worker, lines: Log::new(LIMITS), broken: None }
    }

    /// Adds a page.
    pub(crate) fn read(&mut self, lines: Vec<LogLine>) {
        for line in lines {
            let actor = match line.source {
                LogSource::Output => "output",
                LogSource::Log => "log",
            };
            let said = Said { actor: actor.to_owned(), level: Level::Info, ..Said::default() };
            self.lines.push(one_line(&line.text).into_owned(), said);
        }
    }
}
