//! What the dashboard wants done in the world. Nothing here does it: the loop
//! does what concerns the terminal, the link what concerns the queen.

use protocol::{JobId, WorkerId, operation::Operation};

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// Read a job's events after this number.
    Follow {
        /// The job.
        job: JobId,
        /// The number of the newest event that is already here.
        after: u64,
    },
    /// Stop reading a job's events; the job goes on.
    Unfollow(JobId),
    /// Ask the queen for a job.
    Submit {
        /// Tells the answer to this from the answer to another.
        ticket: u64,
        /// What she is asked.
        operation: Operation,
    },
    /// Ask the queen for a job that is part of an action.
    Act {
        /// Tells the answer to this from the answer to another.
        ticket: u64,
        /// What she is asked.
        operation: Operation,
    },
    /// Ask the queen once more for what a job was asked for, as part of an
    /// action.
    ActAgain {
        /// Tells the answer to this from the answer to another.
        ticket: u64,
        /// The job that is over.
        job: JobId,
    },
    /// Ask the queen to stop.
    StopQueen,
    /// Ask the terminal to put this into the clipboard.
    Copy(String),
    /// Put this into a file, because the terminal takes no such thing.
    CopyToFile(String),
    /// Cancel a job.
    Cancel(JobId),
    /// Read which hosts `~/.ssh/config` names.
    ReadHosts,
    /// Ask the queen what a job was asked for.
    ReadRequest(JobId),
    /// Ask the queen for her build.
    ReadBuild,
    /// See how long she takes to answer.
    Measure,
    /// Read a worker's log, and go on reading it.
    ReadLog(WorkerId),
    /// Stop reading it.
    LeaveLog,
    /// Show a text in the operator's pager.
    Page(String),
    /// Open the configuration in the operator's editor.
    EditConfig,
    /// Ask the terminal for what the mouse does, or ask it no more.
    Mouse(bool),
    /// Launch a queen on this machine.
    StartQueen,
    /// Try to reach the queen now instead of when the wait is over.
    Retry,
    /// Draw everything again.
    Redraw,
    /// Give the terminal back to the shell until it says `fg`.
    Suspend,
    /// Leave.
    Quit,
}
