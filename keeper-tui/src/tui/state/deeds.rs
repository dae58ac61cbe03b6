//! What was done from here: under way, and done.
//!
//! A deed is one action on one or several targets. Each target has its own run
//! of steps; a run goes on with its next step when the job of the one before
//! is done, and ends at the first that fails. How all of them ended is told
//! once, in one line.

use std::{collections::VecDeque, time::Duration};

use protocol::{JobId, Timestamp};

use crate::tui::{
    actions::{Kind, Step, Verb},
    theme::Tone,
};

/// Deeds under way at once; a further one is refused.
pub(crate) const DEEDS_MAX: usize = 32;
/// Targets of one deed that are asked for at once; the others wait.
pub(crate) const RUNS_AT_ONCE: usize = 8;
/// Alerts kept.
const ALERTS_MAX: usize = 50;
/// Command lines kept.
const COMMANDS_MAX: usize = 200;

/// One target of a deed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    /// What it is called.
    pub(crate) target: String,
    /// What is still to be asked for.
    pub(crate) steps: VecDeque<Step>,
    /// Where it stands.
    pub(crate) state: RunState,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RunState {
    /// The next step can be asked for.
    Waiting,
    /// The queen was asked and has not answered.
    Asking(u64),
    /// She said yes; over when the job is.
    Running {
        /// The job.
        job: JobId,
        /// When she said it.
        since: Duration,
    },
    /// She was asked to cancel this job; over when the job is.
    Cancelling(JobId),
    /// All steps are done.
    Done,
    /// A step failed, for this reason.
    Failed(String),
}

impl RunState {
    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Done | Self::Failed(_))
    }
}

/// One action that is under way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Deed {
    /// What is done.
    pub(crate) verb: Verb,
    /// To what.
    pub(crate) kind: Kind,
    /// One run for each target.
    pub(crate) runs: Vec<Run>,
    /// Since when.
    pub(crate) since: Duration,
    /// Its first job is opened as soon as there is one.
    pub(crate) opens: bool,
}

/// One line of the history of alerts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alert {
    /// When.
    pub(crate) at: Timestamp,
    /// What.
    pub(crate) text: String,
    /// How bad.
    pub(crate) tone: Tone,
}

/// Everything that was done from here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deeds {
    /// Under way, oldest first.
    pub(crate) running: Vec<Deed>,
    /// What went wrong or ended, newest last.
    pub(crate) alerts: VecDeque<Alert>,
    /// The command line for each thing done, newest last.
    pub(crate) commands: VecDeque<(Timestamp, String)>,
    /// Tells the answer to one request from the answer to another.
    tickets: u64,
}

impl Deeds {
    /// For the next request.
    pub(crate) fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// Notes an alert.
    pub(crate) fn alert(&mut self, alert: Alert) {
        push_within(&mut self.alerts, alert, ALERTS_MAX);
    }

    /// Notes a command line.
    pub(crate) fn command(&mut self, at: Timestamp, line: String) {
        push_within(&mut self.commands, (at, line), COMMANDS_MAX);
    }
}

fn push_within<T>(queue: &mut VecDeque<T>, value: T, limit: usize) {
    if queue.len() >= limit {
        queue.pop_front();
    }
    queue.push_back(value);
}
