//! What the dashboard costs: frames by themselves, and the whole program on a
//! terminal before a queen that does what she is told, beside other programs
//! that show a machine's state; then how that stands to what it should cost.
//!
//! ```sh
//! cargo bench -p keeper-tui                                # 10 s a scenario
//! cargo bench -p keeper-tui -- --seconds 60                # for the record
//! cargo bench -p keeper-tui -- --seconds 60 --only idle
//! cargo bench -p keeper-tui -- --program OLD/rbee-keeper   # beside another build
//! cargo bench -p keeper-tui -- --soak 10                   # minutes of tokens
//! ```
//!
//! CPU is of one core. A wake-up is a voluntary switch of a thread that was
//! not running. Bytes are what a remote line would carry.
#![expect(clippy::print_stdout, reason = "its figures are what a benchmark is for")]

mod aims;
mod fleet;
mod frames;
mod meter;
mod program;
mod queen;

use std::{path::PathBuf, time::Duration};

use clap::Parser;

#[derive(Debug, Parser)]
struct Args {
    /// How long each scenario is measured
    #[arg(long, value_name = "N", default_value_t = 10)]
    seconds: u64,
    /// Only what has this in its name
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Another build of the dashboard, measured in turn with this one
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Only how its memory grows in so many minutes of tokens
    #[arg(long, value_name = "MINUTES")]
    soak: Option<u64>,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(minutes) = args.soak {
        return program::soak(minutes);
    }
    let wanted = |name: &str| args.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let frames = if wanted("frames") { frames::measure()? } else { Vec::new() };
    let time = Duration::from_secs(args.seconds);
    let programs = program::measure(time, args.program.as_deref(), wanted)?;
    aims::compare(&frames, &programs);
    Ok(())
}
