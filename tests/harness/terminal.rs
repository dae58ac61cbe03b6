//! A program on a terminal of its own, whose screen can be read.

use std::{
    io::{Read, Write},
    num::NonZeroU16,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::Context as _;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::{Cluster, Seen, wait_for};

const ROWS: NonZeroU16 = NonZeroU16::new(30).unwrap();
const COLUMNS: NonZeroU16 = NonZeroU16::new(120).unwrap();

/// The keeper on a terminal.
pub struct Terminal {
    screen: Arc<Mutex<vt100::Parser>>,
    keyboard: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    // The terminal lasts as long as its master is open.
    _master: Box<dyn MasterPty + Send>,
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
        let (rows, cols) = (ROWS.get(), COLUMNS.get());
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size)?;
        let program = cluster.command("rbee-keeper");
        let mut command = CommandBuilder::new(program.get_program());
        command.args(args);
        command.env_clear();
        for (name, value) in program.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.env("TERM", "xterm-256color");
        env.iter().for_each(|(name, value)| command.env(name, value));
        let child = pair.slave.spawn_command(command)?;
        drop(pair.slave);
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
        Ok(Self { screen, keyboard: pair.master.take_writer()?, child, _master: pair.master })
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
