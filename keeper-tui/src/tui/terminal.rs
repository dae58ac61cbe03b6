//! The terminal as a thing that is held and given back.
//!
//! Whatever happens (an error, a panic, a signal), every mode that was switched
//! on is switched off again, each step on its own so that one that fails stops
//! no other. Only a panic of the dashboard itself gives the terminal back: one
//! in another task is logged, because the dashboard goes on drawing.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    panic,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crossterm::terminal::{disable_raw_mode, enable_raw_mode};

tokio::task_local! {
    /// Set while the dashboard's own code runs, on whichever thread that is.
    pub(crate) static DASHBOARD: ();
}

/// Alternate screen, bracketed paste, no cursor, an empty screen.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?2004h\x1b[?25l\x1b[2J";
/// The end of a frame that may have been cut off, then everything back, the
/// mouse as well: whether it is on is not known in a panic.
const LEAVE: &[u8] = b"\x1b[?2026l\x1b[0m\x1b[?1006l\x1b[?1000l\x1b[?2004l\x1b[?1049l\x1b[?25h";
/// Buttons and the wheel, and not each move, in the form that knows no limit
/// of columns.
pub(crate) const MOUSE_ON: &[u8] = b"\x1b[?1000h\x1b[?1006h";
/// None of it.
pub(crate) const MOUSE_OFF: &[u8] = b"\x1b[?1006l\x1b[?1000l";

type Hook = dyn Fn(&panic::PanicHookInfo<'_>) + Sync + Send + 'static;

/// The terminal, and whether it is ours at the moment.
struct Tty {
    // Not `io::stdout()`: its lock may be held by a writer that waits for a slow terminal.
    file: File,
    held: AtomicBool,
}

impl Tty {
    fn enter(&self) -> io::Result<()> {
        if self.held.swap(true, Ordering::SeqCst) {
            // A shell that had the terminal meanwhile has set its own modes, and crossterm
            // does nothing when it believes that its own are still on.
            disable_raw_mode()?;
        }
        enable_raw_mode()?;
        (&self.file).write_all(ENTER)
    }

    fn leave(&self) {
        if self.held.swap(false, Ordering::SeqCst) {
            let written = (&self.file).write_all(LEAVE);
            let cooked = disable_raw_mode();
            for error in [written.err(), cooked.err()].into_iter().flatten() {
                tracing::warn!(%error, "the terminal could not be put back");
            }
        }
    }
}

/// Holds the terminal until it is dropped.
pub(crate) struct Guard {
    tty: Arc<Tty>,
    previous_hook: Arc<Hook>,
}

impl Guard {
    /// Takes the terminal that standard output is connected to.
    pub(crate) fn take() -> io::Result<Self> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let tty = Arc::new(Tty { file, held: AtomicBool::new(false) });
        let previous_hook: Arc<Hook> = Arc::from(panic::take_hook());
        let (hook_tty, hook_previous) = (Arc::clone(&tty), Arc::clone(&previous_hook));
        panic::set_hook(Box::new(move |info| {
            if DASHBOARD.try_with(|()| ()).is_ok() {
                hook_tty.leave();
                hook_previous(info);
            } else if hook_tty.held.load(Ordering::SeqCst) {
                tracing::error!(%info, "a task panicked");
            } else {
                hook_previous(info);
            }
        }));
        let guard = Self { tty, previous_hook };
        guard.tty.enter()?;
        Ok(guard)
    }

    /// Another handle to the same terminal.
    pub(crate) fn file(&self) -> io::Result<File> {
        self.tty.file.try_clone()
    }

    /// Gives the terminal back for a while.
    pub(crate) fn leave(&self) {
        self.tty.leave();
    }

    /// Takes it again.
    pub(crate) fn enter(&self) -> io::Result<()> {
        self.tty.enter()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.tty.leave();
        // Changing the hook while it runs aborts the program.
        if !std::thread::panicking() {
            let previous = Arc::clone(&self.previous_hook);
            drop(panic::take_hook());
            panic::set_hook(Box::new(move |info| previous(info)));
        }
    }
}
