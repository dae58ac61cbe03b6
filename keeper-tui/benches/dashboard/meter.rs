//! A program on a terminal, and what the system says about it.

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// How long a program may take to show or do something.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is kept of what it shows, for finding a word in it.
const KEPT: usize = 1 << 20;

/// A program on a terminal of its own.
pub(crate) struct Program {
    pid: u32,
    child: Box<dyn Child + Send + Sync>,
    keyboard: Box<dyn Write + Send>,
    bytes: Arc<AtomicU64>,
    /// The first of them.
    shown: Arc<Mutex<Vec<u8>>>,
    /// When output came, one entry a read.
    seen: Receiver<Instant>,
    began: Instant,
    // The terminal lasts as long as its master is open.
    _master: Box<dyn MasterPty + Send>,
}

/// What a program has used up so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    ticks: u64,
    wakeups: u64,
    bytes: u64,
}

/// What it uses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    /// Of one core.
    pub(crate) cpu_percent: f64,
    /// In a second.
    pub(crate) wakeups: f64,
    /// In a second.
    pub(crate) bytes: f64,
    /// Resident, in MiB.
    pub(crate) memory_mib: f64,
}

impl Program {
    /// Starts it on a terminal of this size.
    pub(crate) fn start(
        mut command: CommandBuilder,
        (cols, rows): (u16, u16),
    ) -> anyhow::Result<Self> {
        let pair =
            native_pty_system().openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 })?;
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        let began = Instant::now();
        let child = pair.slave.spawn_command(command)?;
        drop(pair.slave);
        let pid = child.process_id().context("it has ended at once")?;
        let mut output = pair.master.try_clone_reader()?;
        let bytes = Arc::new(AtomicU64::new(0));
        let (sender, seen) = mpsc::channel();
        let counted = Arc::clone(&bytes);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&shown);
        thread::spawn(move || {
            let mut buffer = [0; 64 * 1024];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                counted.fetch_add(count as u64, Ordering::Relaxed);
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() < KEPT {
                    kept.extend_from_slice(&buffer[..count]);
                }
                drop(kept);
                if sender.send(Instant::now()).is_err() {
                    return;
                }
            }
        });
        let keyboard = pair.master.take_writer()?;
        Ok(Self { pid, child, keyboard, bytes, shown, seen, began, _master: pair.master })
    }

    /// From the start to the first byte.
    pub(crate) fn first_byte(&self) -> anyhow::Result<Duration> {
        let at = self.seen.recv_timeout(PATIENCE).context("it shows nothing")?;
        Ok(at - self.began)
    }

    /// Waits until it has shown this.
    pub(crate) fn until_shown(&self, word: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            if shown.windows(word.len()).any(|it| it == word.as_bytes()) {
                return Ok(());
            }
            drop(shown);
            anyhow::ensure!(began.elapsed() < PATIENCE, "it never shows `{word}`");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// From each key to the first byte after it; keys that show nothing are
    /// left out.
    pub(crate) fn key_latencies(
        &mut self,
        keys: &[&str],
        times: usize,
    ) -> anyhow::Result<Vec<Duration>> {
        let mut latencies = Vec::with_capacity(times);
        for key in keys.iter().cycle().take(times) {
            thread::sleep(Duration::from_millis(60));
            while self.seen.try_recv().is_ok() {}
            let pressed = Instant::now();
            self.keyboard.write_all(key.as_bytes())?;
            self.keyboard.flush()?;
            if let Ok(at) = self.seen.recv_timeout(Duration::from_millis(500)) {
                latencies.push(at - pressed);
            }
        }
        latencies.sort_unstable();
        Ok(latencies)
    }

    /// What it uses in this time.
    pub(crate) fn rates(&self, time: Duration) -> anyhow::Result<Rates> {
        let (before, began) = (self.usage()?, Instant::now());
        thread::sleep(time);
        let (after, taken) = (self.usage()?, began.elapsed().as_secs_f64());
        let ticks = (after.ticks - before.ticks) as f64;
        let per_second = rustix::param::clock_ticks_per_second() as f64;
        Ok(Rates {
            cpu_percent: ticks / per_second / taken * 100.0,
            wakeups: after.wakeups.saturating_sub(before.wakeups) as f64 / taken,
            bytes: (after.bytes - before.bytes) as f64 / taken,
            memory_mib: self.memory_mib()?,
        })
    }

    fn usage(&self) -> anyhow::Result<Usage> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The name may hold anything, spaces and brackets included.
        let fields = stat.rsplit_once(')').context("no stat")?.1;
        let field =
            |at: usize| fields.split_whitespace().nth(at).and_then(|it| it.parse::<u64>().ok());
        let ticks = field(11).zip(field(12)).context("no times")?;
        let mut wakeups = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            wakeups +=
                status(&task?.path().join("status"), "voluntary_ctxt_switches:").unwrap_or(0);
        }
        Ok(Usage { ticks: ticks.0 + ticks.1, wakeups, bytes: self.bytes.load(Ordering::Relaxed) })
    }

    fn memory_mib(&self) -> anyhow::Result<f64> {
        let file = format!("/proc/{}/status", self.pid);
        Ok(status(Path::new(&file), "VmRSS:").context("no memory")? as f64 / 1024.0)
    }
}

fn status(file: &Path, field: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
