//! What the dashboard is told: keys, news from the queen, answers to what it
//! asked for, and that time has passed.

use std::time::Duration;

use crossterm::event::{KeyEvent, MouseButton, MouseEventKind};
use protocol::{
    JobId, WorkerId,
    fleet::BuildInfo,
    job::{EndMarker, JobEvent},
    logs::LogLine,
    operation::Operation,
};
use ratatui::layout::Position;

use super::configuration::Reread;

pub(crate) use crate::news::FeedNews;

/// One thing that happened.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    /// A key went down.
    Key(KeyEvent),
    /// Text came in at once.
    Paste(String),
    /// The mouse did something.
    Mouse {
        /// What.
        mouse: Mouse,
        /// Where.
        at: Position,
    },
    /// The terminal has another size.
    Resize {
        /// Columns.
        width: u16,
        /// Rows.
        height: u16,
    },
    /// Something on the screen is due to change by itself.
    Tick,
    /// The queen was found at another address.
    Moved(String),
    /// News of the feed.
    Feed(FeedNews),
    /// Events of a followed job, in their order.
    Job {
        /// The job.
        job: JobId,
        /// What its stream brought.
        news: Vec<JobNews>,
    },
    /// The queen answered a submission.
    Submitted {
        /// The ticket of the submission.
        ticket: u64,
        /// The new job, or one sentence why there is none.
        result: Result<JobId, String>,
    },
    /// The queen answered a step of an action.
    Acted {
        /// The ticket of the step.
        ticket: u64,
        /// The new job, or one sentence why there is none.
        result: Result<JobId, String>,
    },
    /// The queen was asked to stop; or one sentence why not.
    QueenStopping(Result<(), String>),
    /// The file that holds what was copied, or why there is none.
    CopiedToFile(Result<String, String>),
    /// The queen answered a cancellation.
    Cancelled {
        /// The job.
        job: JobId,
        /// Or one sentence why not.
        result: Result<(), String>,
    },
    /// What a job was asked for, to be asked for once more.
    Request(Result<Operation, String>),
    /// The hosts that `~/.ssh/config` names.
    Hosts(Result<Vec<String>, String>),
    /// The queen said what she is.
    Build(Result<BuildInfo, String>),
    /// How long she took to answer; or one sentence why she did not.
    Measured(Result<Duration, String>),
    /// A worker's log goes on, or one sentence why it does not.
    WorkerLog {
        /// The worker.
        worker: WorkerId,
        /// What was read.
        result: Result<Vec<LogLine>, String>,
    },
    /// The pager is closed; or one sentence why it, or the editor, never opened.
    Paged(Result<(), String>),
    /// The configuration was edited; or what is wrong with it.
    ConfigEdited(Result<Reread, Vec<String>>),
    /// What should be known about the operator's files.
    Noticed(Vec<String>),
    /// A queen being launched says something.
    StartLine(String),
    /// The launch is over.
    StartEnded(Result<(), String>),
    /// The recording that is played has come to its end.
    RecordingEnded,
}

/// What a mouse can do here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mouse {
    /// The left button went down.
    Click,
    /// One notch.
    WheelUp,
    /// One notch.
    WheelDown,
}

impl Mouse {
    /// What an event of the terminal is, if it is anything.
    pub(crate) fn of(kind: MouseEventKind) -> Option<Self> {
        match kind {
            MouseEventKind::Down(MouseButton::Left) => Some(Self::Click),
            MouseEventKind::ScrollUp => Some(Self::WheelUp),
            MouseEventKind::ScrollDown => Some(Self::WheelDown),
            _ => None,
        }
    }
}

/// One piece of news of a job's stream.
#[derive(Debug, Clone)]
pub(crate) enum JobNews {
    /// An event.
    Event {
        /// Its number.
        number: u64,
        /// What it says.
        event: Box<JobEvent>,
    },
    /// The job is over.
    End(EndMarker),
    /// The stream broke off before the end; the job may go on.
    Broken(String),
}
