//! The whole program on a terminal.

use std::{path::Path, thread, time::Duration};

use portable_pty::CommandBuilder;

use crate::{
    meter::{Program, Rates},
    queen::{self, Load},
};

const SIZES: [(u16, u16); 2] = [(80, 24), (160, 45)];
/// A program is measured once it has come to rest.
const SETTLED: Duration = Duration::from_secs(5);
const KEYS: usize = 60;
const STARTS: usize = 7;

const SMALL: Load = Load { hives: 1, workers: 3, heartbeats: 0, streams: 0, tokens: 0 };
const LARGE: Load = Load { hives: 1_000, workers: 10_000, ..SMALL };

const SCENARIOS: [(&str, Load); 4] = [
    ("idle, 3 workers", SMALL),
    ("idle, 10,000 workers", LARGE),
    ("200 heartbeats/s, 10,000 workers", Load { heartbeats: 200, ..LARGE }),
    ("500 tokens/s, 16 streams", Load { streams: 16, tokens: 500, ..SMALL }),
];

/// Others, and the keys that move something in them.
const OTHERS: [&str; 3] = ["top", "htop", "btop"];

/// Prints the figures.
pub(crate) fn measure(time: Duration, wanted: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    println!("The program, {} s each; key and start in ms\n", time.as_secs());
    println!(
        "{:<46} {:>7} {:>6} {:>8} {:>8} {:>7} {:>8} {:>8} {:>8}",
        "scenario", "size", "CPU %", "wakes/s", "bytes/s", "MiB", "key p50", "key p95", "start"
    );
    for (name, load) in SCENARIOS.into_iter().filter(|(name, _)| wanted(name)) {
        let address = runtime.block_on(queen::start(load))?;
        for size in SIZES {
            let home = tempfile::tempdir()?;
            one(
                &format!("rbee-keeper, {name}"),
                || keeper(home.path(), &format!("http://{address}")),
                size,
                time,
            )?;
        }
    }
    if wanted("no queen") {
        let home = tempfile::tempdir()?;
        one("rbee-keeper, no queen", || keeper(home.path(), "http://127.0.0.1:1"), SIZES[0], time)?;
    }
    for other in OTHERS.into_iter().filter(|it| wanted(it)) {
        let Some(program) = found(other) else {
            println!("{other:<46} is not installed");
            continue;
        };
        for size in SIZES {
            one(other, || CommandBuilder::new(&program), size, time)?;
        }
    }
    Ok(())
}

fn one(
    name: &str,
    command: impl Fn() -> CommandBuilder,
    size: (u16, u16),
    time: Duration,
) -> anyhow::Result<()> {
    let mut starts = Vec::with_capacity(STARTS);
    for _ in 1..STARTS {
        starts.push(Program::start(command(), size)?.first_byte()?);
    }
    let mut program = Program::start(command(), size)?;
    starts.push(program.first_byte()?);
    starts.sort_unstable();
    thread::sleep(SETTLED);
    let Rates { cpu_percent, wakeups, bytes, memory_mib } = program.rates(time)?;
    let keys = program.key_latencies(&["\u{1b}[B", "\u{1b}[A"], KEYS)?;
    let key = |percent: usize| match keys.len() {
        0 => "-".to_owned(),
        count => format!("{:.2}", milliseconds(keys[(count - 1) * percent / 100])),
    };
    let start = milliseconds(starts[starts.len() / 2]);
    let size = format!("{}x{}", size.0, size.1);
    println!(
        "{name:<46} {size:>7} {cpu_percent:>6.2} {wakeups:>8.1} {bytes:>8.0} {memory_mib:>7.1} {:>8} {:>8} {start:>8.1}",
        key(50),
        key(95),
    );
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn keeper(home: &Path, queen: &str) -> CommandBuilder {
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_rbee-keeper"));
    command.args(["--queen", queen]);
    for name in ["RBEE_CONFIG_DIR", "RBEE_DATA_DIR", "RBEE_CACHE_DIR"] {
        command.env(name, home);
    }
    // Over ssh it draws less often.
    command.env_remove("SSH_CONNECTION");
    command
}

fn found(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}
