//! What a link to another machine costs: a real queen with one ssh connection
//! to each of so many machines, each a real sshd with a real hive.
//!
//! ```sh
//! cargo build --release --workspace && cargo bench -p end-to-end
//! cargo bench -p end-to-end -- --hives 10 --hives 100 --seconds 60
//! ```
//!
//! The machines are this one, so what they cost themselves is not in the
//! figures; they have no workers, and nothing is asked of them. Memory that
//! processes share, such as the program of all the ssh, is counted once (PSS).
#![expect(clippy::print_stdout, reason = "its figures are what a benchmark is for")]

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Parser;
use futures::{StreamExt, TryStreamExt, stream};
use harness::{Cluster, Daemon, Machine, Seen, wait_within};

/// Machines that are installed at the same time.
const AT_ONCE: usize = 4;
/// For many machines to be there again, on one that does much else.
const PATIENCE: Duration = Duration::from_secs(300);
/// Of `/proc/PID/stat`, which Linux counts in hundredths for everybody.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug, Parser)]
struct Args {
    /// With how many machines it is measured
    #[arg(long, value_name = "N", default_values_t = [10, 100])]
    hives: Vec<usize>,
    /// How long the quiet lasts that is measured
    #[arg(long, value_name = "N", default_value_t = 30)]
    seconds: u64,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

/// What was seen with so many machines.
#[derive(Debug, Clone, Copy)]
struct Figures {
    hives: usize,
    until_live: Duration,
    queen: Cost,
    ssh: Cost,
    ssh_processes: usize,
}

/// What processes cost together.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    rss_kib: u64,
    pss_kib: u64,
    /// Of one core, while nothing happens.
    cpu_percent: f64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let quiet = Duration::from_secs(args.seconds);
    let mut counts = args.hives;
    counts.sort_unstable();
    let cluster = Cluster::start().await?;
    let mut machines: Vec<Machine> = Vec::new();
    println!(
        "{:>5} {:>10} | {:>10} {:>8} | {:>10} {:>10} {:>8} {:>5}",
        "hives", "live after", "queen RSS", "CPU", "ssh RSS", "ssh PSS", "CPU", "procs"
    );
    let base = measure(&cluster, 0, quiet).await?;
    show(&base);
    let mut seen = Vec::new();
    for count in counts {
        install(&cluster, &mut machines, count).await?;
        let figures = measure(&cluster, count, quiet).await?;
        show(&figures);
        seen.push(figures);
    }
    for figures in seen {
        per_hive(&base, &figures);
    }
    drop(machines);
    cluster.close()
}

/// Adds machines until there are `count`. The programs are sent to the first;
/// the others find them there already, as after an installation that broke.
async fn install(
    cluster: &Cluster,
    machines: &mut Vec<Machine>,
    count: usize,
) -> anyhow::Result<()> {
    if machines.is_empty() {
        let first = Machine::start(cluster, &name(0)).await?;
        cluster.keeper(&["hive", "install", &name(0)]).await?.succeeded()?;
        machines.push(first);
    }
    let mut new = Vec::new();
    for number in machines.len()..count {
        let machine = Machine::start(cluster, &name(number)).await?;
        machine.take_programs_of(&machines[0])?;
        new.push(machine);
    }
    let numbers = stream::iter(machines.len()..count);
    let installed = numbers.map(async |number| {
        cluster.keeper(&["hive", "install", &name(number)]).await?.succeeded().map(drop)
    });
    installed.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    machines.append(&mut new);
    Ok(())
}

fn name(number: usize) -> String {
    format!("box-{number:03}")
}

/// Starts the queen anew, waits until everything is there, and then does
/// nothing for a while.
async fn measure(cluster: &Cluster, hives: usize, quiet: Duration) -> anyhow::Result<Figures> {
    cluster.kill9(cluster.pid(Daemon::Queen)?).await?;
    let began = Instant::now();
    cluster.keeper(&["queen", "start"]).await?.succeeded()?;
    wait_within(PATIENCE, "every machine to be there", async || {
        let status = cluster.get("/v1/status").await?;
        let all = status.body["hives"].as_array().cloned().unwrap_or_default();
        let is_live =
            |hive: &&serde_json::Value| hive["state"] == "ready" && hive["link"]["state"] == "up";
        let live = all.iter().filter(is_live).count();
        Ok(Seen::when(live == hives, format!("{live} of {hives}")))
    })
    .await?;
    let until_live = began.elapsed();
    let queen = [cluster.pid(Daemon::Queen)?];
    // Those of the queen that was killed end by themselves.
    let ssh = wait_within(PATIENCE, "one ssh to each", async || {
        let ssh = cluster.ssh_pids();
        Ok(if ssh.len() == hives { Seen::Yes(ssh) } else { Seen::NotYet(format!("{ssh:?}")) })
    })
    .await?;
    let before = (ticks(&queen)?, ticks(&ssh)?);
    tokio::time::sleep(quiet).await;
    let cost = |pids: &[u32], before: u64| -> anyhow::Result<Cost> {
        let used = ticks(pids)?.saturating_sub(before) as f64;
        let cpu_percent = used / TICKS_PER_SECOND / quiet.as_secs_f64() * 100.0;
        Ok(Cost { rss_kib: kib(pids, "Rss:")?, pss_kib: kib(pids, "Pss:")?, cpu_percent })
    };
    Ok(Figures {
        hives,
        until_live,
        queen: cost(&queen, before.0)?,
        ssh: cost(&ssh, before.1)?,
        ssh_processes: ssh.len(),
    })
}

fn show(it: &Figures) {
    println!(
        "{:>5} {:>8.1} s | {:>6.1} MiB {:>6.2} % | {:>6.1} MiB {:>6.1} MiB {:>6.2} % {:>5}",
        it.hives,
        it.until_live.as_secs_f64(),
        mib(it.queen.rss_kib),
        it.queen.cpu_percent,
        mib(it.ssh.rss_kib),
        mib(it.ssh.pss_kib),
        it.ssh.cpu_percent,
        it.ssh_processes,
    );
}

fn per_hive(base: &Figures, it: &Figures) {
    let hives = it.hives.max(1) as f64;
    let queen_kib = it.queen.rss_kib.saturating_sub(base.queen.rss_kib) as f64 / hives;
    let queen_cpu = (it.queen.cpu_percent - base.queen.cpu_percent).max(0.0) / hives;
    println!(
        "per hive of {:>3}: live after {:.0} ms; queen {:.0} KiB, {:.3} % of a core; \
         ssh {:.0} KiB of its own, {:.3} % of a core",
        it.hives,
        it.until_live.saturating_sub(base.until_live).as_secs_f64() * 1000.0 / hives,
        queen_kib,
        queen_cpu,
        it.ssh.pss_kib as f64 / hives,
        it.ssh.cpu_percent / hives,
    );
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// A line of `/proc/PID/smaps_rollup`, of all of them together.
fn kib(pids: &[u32], line: &str) -> anyhow::Result<u64> {
    let one = |pid: &u32| -> anyhow::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let value = text.lines().find_map(|it| it.strip_prefix(line)).context("no such line")?;
        Ok(value.split_whitespace().next().context("no number")?.parse()?)
    };
    pids.iter().map(one).sum()
}

/// The processor's time, of all of them together.
fn ticks(pids: &[u32]) -> anyhow::Result<u64> {
    let one = |pid: &u32| -> anyhow::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (_, fields) = text.rsplit_once(')').context("no name")?;
        // utime and stime, counted from the state.
        fields.split_whitespace().skip(11).take(2).map(|it| Ok(it.parse::<u64>()?)).sum()
    };
    pids.iter().map(one).sum()
}
