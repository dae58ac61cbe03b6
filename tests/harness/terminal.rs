//! A program on a terminal of its own, whose screen can be read.

use std::{
    fs::File,
    io::{Read, Write},
    num::NonZeroU16,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::{Context as _, ensure};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, SlavePty, native_pty_system};
use rustix::termios::{Action, tcflow};

use crate::{Cluster, Seen, wait_for};

const ROWS: NonZeroU16 = NonZeroU16::new(30).unwrap();
const COLUMNS: NonZeroU16 = NonZeroU16::new(120).unwrap();
/// What the shell says when it has nothing to do.
const PROMPT: &str = "what next? ";

/// A program on a terminal, as a rule the keeper.
pub struct Terminal {
    screen: Arc<Mutex<vt100::Parser>>,
    keyboard: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    // A terminal that nobody has open any more gets its first modes back from the system, and
    // nobody could tell whether the program had done so.
    _slave: Box<dyn SlavePty + Send>,
}

/// How a terminal is set, and what a program may have asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modes {
    /// `stty -g`
    pub stty: String,
    /// A full-screen program has it.
    pub is_taken: bool,
    /// The cursor is hidden.
    pub hides_cursor: bool,
    /// What is pasted is marked.
    pub marks_pastes: bool,
    /// The mouse is reported.
    pub reports_mouse: bool,
}

impl Terminal {
    /// Opens the dashboard on a new terminal.
    pub fn open(cluster: &Cluster) -> anyhow::Result<Self> {
        Self::running(cluster, &[])
    }

    /// Runs `rbee-keeper …` on a new terminal.
    pub fn running(cluster: &Cluster, args: &[&str]) -> anyhow::Result<Self> {
        Self::running_with(cluster, args, &[])
    }

    /// The same with more in its environment.
    pub fn running_with(
        cluster: &Cluster,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let keeper = PathBuf::from(cluster.command("rbee-keeper").get_program());
        Self::of(cluster, &keeper, args, env)
    }

    /// Runs a shell on a new terminal, one that leaves its modes alone.
    pub async fn with_a_shell(cluster: &Cluster) -> anyhow::Result<Self> {
        let terminal = Self::of(cluster, Path::new("/bin/sh"), &["-i", "-m"], &[])?;
        terminal.until_it_shows(PROMPT).await?;
        Ok(terminal)
    }

    /// Runs any program on a new terminal, in the cluster's environment and
    /// with more in it.
    pub fn of(
        cluster: &Cluster,
        program: &Path,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let (rows, cols) = (ROWS.get(), COLUMNS.get());
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size)?;
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.env_clear();
        for (name, value) in cluster.command("rbee-keeper").get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.env("TERM", "xterm-256color");
        command.env("PS1", PROMPT);
        env.iter().for_each(|(name, value)| command.env(name, value));
        let child = pair.slave.spawn_command(command)?;
        let screen = Arc::new(Mutex::new(vt100::Parser::new(ROWS, COLUMNS, 0)));
        let mut output = pair.master.try_clone_reader()?;
        let drawn = Arc::clone(&screen);
        // Ends with the terminal.
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                let mut screen = drawn.lock().unwrap_or_else(PoisonError::into_inner);
                screen.process(&bytes[..count]);
            }
        });
        let keyboard = pair.master.take_writer()?;
        let (master, slave) = (pair.master, pair.slave);
        Ok(Self { screen, keyboard, child, master, _slave: slave })
    }

    /// Gives it another size.
    pub fn resize(&self, columns: u16, rows: u16) -> anyhow::Result<()> {
        let size = |n| NonZeroU16::new(n).context("a terminal has at least one cell");
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        screen.screen_mut().set_size(size(rows)?, size(columns)?);
        drop(screen);
        self.master.resize(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 })
    }

    /// From now on it takes nothing more, as one behind a line that hangs; or
    /// it does again.
    pub fn take_nothing(&self, hangs: bool) -> anyhow::Result<()> {
        let action = if hangs { Action::OOff } else { Action::OOn };
        Ok(tcflow(self.tty()?, action)?)
    }

    fn tty(&self) -> anyhow::Result<File> {
        Ok(File::open(self.master.tty_name().context("the terminal has no name")?)?)
    }

    /// How it is set.
    pub fn modes(&self) -> anyhow::Result<Modes> {
        let stty = Command::new("stty").arg("-g").stdin(Stdio::from(self.tty()?)).output()?;
        ensure!(stty.status.success(), "stty failed: {stty:?}");
        Ok(self.with_screen(|screen| Modes {
            stty: String::from_utf8_lossy(&stty.stdout).trim().to_owned(),
            is_taken: screen.alternate_screen(),
            hides_cursor: screen.hide_cursor(),
            marks_pastes: screen.bracketed_paste(),
            reports_mouse: screen.mouse_protocol_mode() != vt100::MouseProtocolMode::None,
        }))
    }

    /// Waits until it is set like this.
    pub async fn until_it_is(&self, wanted: &Modes) -> anyhow::Result<()> {
        wait_for("the terminal to be as it was", async || {
            let modes = self.modes()?;
            Ok(Seen::when(modes == *wanted, modes))
        })
        .await
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        self.with_screen(vt100::Screen::contents)
    }

    /// Whether a full-screen program has the terminal.
    pub fn is_taken(&self) -> bool {
        self.with_screen(vt100::Screen::alternate_screen)
    }

    /// Whether the cursor is hidden.
    pub fn hides_cursor(&self) -> bool {
        self.with_screen(vt100::Screen::hide_cursor)
    }

    /// Whether what the mouse does is reported to the program.
    pub fn takes_mouse(&self) -> bool {
        self.with_screen(|screen| screen.mouse_protocol_mode() != vt100::MouseProtocolMode::None)
    }

    /// Waits until a full-screen program has the terminal.
    pub async fn until_it_is_taken(&self) -> anyhow::Result<()> {
        wait_for("a full-screen program to take the terminal", async || {
            Ok(Seen::when(self.is_taken(), self.text()))
        })
        .await
    }

    /// Waits until the screen shows `text`.
    pub async fn until_it_shows(&self, text: &str) -> anyhow::Result<()> {
        wait_for(&format!("{text:?} on the screen"), async || {
            let shown = self.text();
            Ok(if shown.contains(text) {
                Seen::Yes(())
            } else {
                Seen::NotYet(format!("\n{shown}"))
            })
        })
        .await
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) -> anyhow::Result<()> {
        self.keyboard.write_all(keys.as_bytes())?;
        Ok(self.keyboard.flush()?)
    }

    /// The program's process.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child.process_id().context("it has ended")
    }

    /// Presses `q` until it leaves. A dashboard does not leave for a key that
    /// came so soon after a change of view that it was meant for another one.
    pub async fn quit(&mut self) -> anyhow::Result<u32> {
        wait_for("the dashboard to leave", async || {
            if self.child.try_wait()?.is_some() {
                return Ok(Seen::Yes(()));
            }
            // It may have left since.
            let _ = self.press("q");
            Ok(Seen::NotYet(format!("\n{}", self.text())))
        })
        .await?;
        self.exit_code().await
    }

    /// Waits for its end, and until all it wrote has been drawn.
    pub async fn exit_code(&mut self) -> anyhow::Result<u32> {
        let status = wait_for("the program to end", async || {
            Ok(match self.child.try_wait()? {
                Some(status) => Seen::Yes(status),
                None => Seen::NotYet(format!("it shows\n{}", self.text())),
            })
        })
        .await?;
        wait_for("the terminal to be given back", async || {
            Ok(Seen::when(!self.is_taken(), "still the alternate screen"))
        })
        .await?;
        Ok(status.exit_code())
    }

    fn with_screen<T>(&self, look: impl FnOnce(&vt100::Screen) -> T) -> T {
        look(self.screen.lock().unwrap_or_else(PoisonError::into_inner).screen())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that failed has not made it leave; one that passed has.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
