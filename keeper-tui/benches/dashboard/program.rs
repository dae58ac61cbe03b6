//! The whole program on a terminal.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use portable_pty::CommandBuilder;

use crate::{
    frames::SIZES,
    meter::{Program, Rates},
    queen::{self, Load},
};

/// What ours shows once it knows the fleet.
const KNOWN: &str = "live";
/// A program is measured once it has come to rest.
const SETTLED: Duration = Duration::from_secs(5);
/// The longest graph stands still only when nothing changed for as long as it
/// shows.
const STILL: Duration = Duration::from_secs(62);
const KEYS: usize = 60;
const STARTS: usize = 7;

const SMALL: Load = Load { hives: 3, workers: 3, heartbeats: 0, silent: 0, streams: 0, tokens: 0 };
const LARGE: Load = Load { hives: 1_000, workers: 10_000, ..SMALL };
const TOKENS: Load = Load { streams: 16, tokens: 500, ..SMALL };

pub(crate) const IDLE: &str = "idle, 3 workers";
pub(crate) const IDLE_LARGE: &str = "idle, 10,000 workers";
pub(crate) const BEATS_UNSEEN: &str = "200 heartbeats/s off the screen";
pub(crate) const BEATS: &str = "200 heartbeats/s everywhere";
pub(crate) const SIXTEEN: &str = "500 tokens/s, 16 streams";
pub(crate) const SIXTEEN_SHOWN: &str = "500 tokens/s, 16 streams, all shown";
pub(crate) const FOUR: &str = "500 tokens/s, 4 streams";
pub(crate) const NO_QUEEN: &str = "no queen";

/// So high that every stream has its place.
const HIGH: (u16, u16) = (160, 130);

/// What is measured, how much there is of it, and on which screens.
type Scenario = (&'static str, Load, &'static [(u16, u16)]);

const SCENARIOS: [Scenario; 7] = [
    (IDLE, SMALL, &SIZES),
    (IDLE_LARGE, LARGE, &SIZES),
    (BEATS_UNSEEN, Load { heartbeats: 200, silent: 100, ..LARGE }, &SIZES),
    (BEATS, Load { heartbeats: 200, ..LARGE }, &SIZES),
    (FOUR, Load { streams: 4, ..TOKENS }, &SIZES),
    (SIXTEEN, TOKENS, &SIZES),
    (SIXTEEN_SHOWN, TOKENS, &[HIGH]),
];

/// Others that show what a machine does.
pub(crate) const OTHERS: [&str; 4] = ["top", "htop", "btop", "btm"];

/// What a program costs.
pub(crate) struct Cost {
    pub(crate) name: String,
    pub(crate) size: (u16, u16),
    pub(crate) rates: Rates,
    pub(crate) key_p50: Option<Duration>,
    pub(crate) key_p95: Option<Duration>,
    /// To the first byte; the median.
    pub(crate) start: Duration,
}

/// Prints the figures.
pub(crate) fn measure(
    time: Duration,
    beside: Option<&Path>,
    wanted: impl Fn(&str) -> bool,
) -> anyhow::Result<Vec<Cost>> {
    let runtime = tokio::runtime::Runtime::new()?;
    println!("The program, {} s each; key and start in ms\n", time.as_secs());
    println!(
        "{:<38} {:>7} {:>6} {:>8} {:>8} {:>7} {:>8} {:>8} {:>8}",
        "scenario", "size", "CPU %", "wakes/s", "bytes/s", "MiB", "key p50", "key p95", "start"
    );
    let ours = Path::new(env!("CARGO_BIN_EXE_rbee-keeper"));
    let mut costs = Vec::new();
    for (name, load, sizes) in SCENARIOS.into_iter().filter(|(name, ..)| wanted(name)) {
        let queen = format!("http://{}", runtime.block_on(queen::start(load))?);
        for size in sizes {
            let ours = |home: &Path| keeper(ours, home, &queen);
            costs.push(one(name, ours, *size, time, Some(KNOWN))?);
            if let Some(program) = beside {
                let other = |home: &Path| keeper(program, home, &queen);
                one("  the other build", other, *size, time, Some(KNOWN))?;
            }
        }
    }
    if wanted(NO_QUEEN) {
        let nobody = |home: &Path| keeper(ours, home, "http://127.0.0.1:1");
        costs.push(one(NO_QUEEN, nobody, SIZES[0], time, None)?);
    }
    for other in OTHERS.into_iter().filter(|it| wanted(it)) {
        let Some(program) = found(other) else {
            println!("{other:<38} is not installed");
            continue;
        };
        for size in SIZES {
            costs.push(one(other, |_| CommandBuilder::new(&program), size, time, None)?);
        }
    }
    println!();
    Ok(costs)
}

/// Prints how its memory grows while it shows sixteen answers.
pub(crate) fn soak(minutes: u64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let queen = format!("http://{}", runtime.block_on(queen::start(TOKENS))?);
    let home = tempfile::tempdir()?;
    let ours = Path::new(env!("CARGO_BIN_EXE_rbee-keeper"));
    let program = Program::start(keeper(ours, home.path(), &queen), HIGH)?;
    program.until_shown(KNOWN)?;
    thread::sleep(SETTLED);
    println!("{SIXTEEN_SHOWN}, {minutes} min\n\n{:>6} {:>7} {:>6}", "minute", "MiB", "CPU %");
    let first = program.rates(Duration::from_secs(1))?.memory_mib;
    let mut last = first;
    for minute in 1..=minutes {
        let rates = program.rates(Duration::from_secs(60))?;
        last = rates.memory_mib;
        println!("{minute:>6} {last:>7.1} {:>6.2}", rates.cpu_percent);
    }
    println!("\ngrowth: {:.1} MiB", last - first);
    Ok(())
}

fn one(
    name: &str,
    command: impl Fn(&Path) -> CommandBuilder,
    size: (u16, u16),
    time: Duration,
    awaited: Option<&str>,
) -> anyhow::Result<Cost> {
    let home = tempfile::tempdir()?;
    let mut starts = Vec::with_capacity(STARTS);
    for _ in 1..STARTS {
        starts.push(Program::start(command(home.path()), size)?.first_byte()?);
    }
    let mut program = Program::start(command(home.path()), size)?;
    starts.push(program.first_byte()?);
    starts.sort_unstable();
    awaited.map_or(Ok(()), |word| program.until_shown(word))?;
    thread::sleep(if [IDLE, IDLE_LARGE].contains(&name) { STILL } else { SETTLED });
    let rates = program.rates(time)?;
    let keys = program.key_latencies(&["\u{1b}[B", "\u{1b}[A"], KEYS)?;
    let key = |percent: usize| keys.get(keys.len().saturating_sub(1) * percent / 100).copied();
    let (key_p50, key_p95) = (key(50), key(95));
    let start = starts[starts.len() / 2];
    let shown = |it: Option<Duration>| {
        it.map_or_else(|| "-".to_owned(), |it| format!("{:.2}", milliseconds(it)))
    };
    println!(
        "{name:<38} {:>7} {:>6.2} {:>8.1} {:>8.0} {:>7.1} {:>8} {:>8} {:>8.1}",
        format!("{}x{}", size.0, size.1),
        rates.cpu_percent,
        rates.wakeups,
        rates.bytes,
        rates.memory_mib,
        shown(key_p50),
        shown(key_p95),
        milliseconds(start),
    );
    Ok(Cost { name: name.to_owned(), size, rates, key_p50, key_p95, start })
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn keeper(program: &Path, home: &Path, queen: &str) -> CommandBuilder {
    let mut command = CommandBuilder::new(OsStr::new(program));
    command.args(["--queen", queen]);
    for name in ["RBEE_CONFIG_DIR", "RBEE_DATA_DIR", "RBEE_CACHE_DIR"] {
        command.env(name, home);
    }
    // Over ssh it draws less often.
    command.env_remove("SSH_CONNECTION");
    command
}

fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}
