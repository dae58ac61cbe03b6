//! What the dashboard costs: frames by themselves, and the whole program on a
//! terminal before a queen that does what she is told, beside other programs
//! that show a machine's state.
//!
//! ```sh
//! cargo bench -p keeper-tui                                # 10 s a scenario
//! cargo bench -p keeper-tui -- --seconds 60 --only idle
//! ```
//!
//! CPU is of one core. A wake-up is a voluntary switch of a thread that was
//! not running. Bytes are what a remote line would carry.
#![expect(clippy::print_stdout, reason = "its figures are what a benchmark is for")]

mod fleet;
mod frames;
mod meter;
mod program;
mod queen;

use std::time::Duration;

use clap::Parser;

#[derive(Debug, Parser)]
struct Args {
    /// How long each scenario is measured
    #[arg(long, value_name = "N", default_value_t = 10)]
    seconds: u64,
    /// Only what has this in its name
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let wanted = |name: &str| args.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    if wanted("frames") {
        frames::measure()?;
    }
    program::measure(Duration::from_secs(args.seconds), wanted)
}
