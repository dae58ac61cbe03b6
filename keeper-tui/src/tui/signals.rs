//! Signals that concern a program on a terminal.

use std::{io, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

/// How long a stop may take to come before it is taken that none will: a
/// program without a shell behind it cannot be stopped this way.
const STOP_WITHIN: Duration = Duration::from_millis(200);

/// Who ended the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// Whoever sits before it.
    Operator,
    /// SIGINT.
    Interrupt,
    /// SIGTERM or SIGHUP.
    Termination,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Leave.
    Leave(EndedBy),
    /// Somebody may have used the terminal: take it again.
    GoOn,
}

/// Listens.
pub(crate) struct Signals {
    terminate: Signal,
    hang_up: Signal,
    interrupt: Signal,
    go_on: Signal,
}

impl Signals {
    /// From now on these signals no longer end the program by themselves.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            go_on: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
        })
    }

    /// Waits for one.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Leave(EndedBy::Termination),
            _ = self.hang_up.recv() => Asked::Leave(EndedBy::Termination),
            _ = self.interrupt.recv() => Asked::Leave(EndedBy::Interrupt),
            _ = self.go_on.recv() => Asked::GoOn,
        }
    }

    /// Waits for something during which the operator's Ctrl-C is meant for
    /// somebody else.
    pub(crate) async fn apart_from_interrupts<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return result,
                _ = self.interrupt.recv() => {}
            }
        }
    }

    /// Stops the program, and whatever wraps it, until the shell says `fg`.
    pub(crate) async fn stop(&mut self) -> io::Result<()> {
        rustix::process::kill_current_process_group(rustix::process::Signal::TSTP)?;
        tokio::select! {
            biased;
            _ = self.go_on.recv() => {}
            () = sleep(STOP_WITHIN) => {}
        }
        Ok(())
    }
}
