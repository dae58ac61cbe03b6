//! Frames by themselves: decide, draw, compare, encode.

use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use keeper_tui::{
    news::FeedNews,
    tui::{Offscreen, Options},
};
use protocol::{
    Timestamp,
    fleet::{Change, FeedEvent},
};

use crate::fleet;

const HIVES: usize = 1_000;
const WORKERS: usize = 10_000;
const FRAMES: usize = 1_000;
const SIZES: [(u16, u16); 2] = [(80, 24), (160, 45)];

fn key(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

/// Prints the figures.
pub(crate) fn measure() -> anyhow::Result<()> {
    println!(
        "Frames: {HIVES} hives, {WORKERS} workers, {FRAMES} frames each (us; bytes are the median)\n"
    );
    println!("{:<34} {:>8} {:>8} {:>8} {:>8}", "scenario", "size", "p50", "p99", "bytes");
    for size in SIZES {
        for (view, name) in [('1', "fleet"), ('2', "workers"), ('3', "devices")] {
            let mut dashboard = dashboard(size, view)?;
            line(&format!("{name}, first frame"), size, &mut [one(&mut dashboard)?]);
            let mut run =
                |what: &str, each: &mut dyn FnMut(&mut Offscreen, usize) -> anyhow::Result<()>| {
                    let mut taken = Vec::with_capacity(FRAMES);
                    for number in 0..FRAMES {
                        let began = Instant::now();
                        each(&mut dashboard, number)?;
                        let bytes = dashboard.frame()?.len();
                        taken.push((began.elapsed(), bytes));
                    }
                    line(&format!("{name}, {what}"), size, &mut taken);
                    anyhow::Ok(())
                };
            run("no change", &mut |_, _| Ok(()))?;
            run("cursor moves one row", &mut |dashboard, number| {
                let back = number % 10 >= 5;
                dashboard.press(key(if back { KeyCode::Up } else { KeyCode::Down }));
                Ok(())
            })?;
            run("one worker beats", &mut |dashboard, number| {
                let worker = number * 7 % WORKERS;
                let record = fleet::worker(worker, worker % HIVES, number as u64)?;
                let event = FeedEvent::Worker(Change::from(record));
                dashboard.hear(FeedNews::Event(Box::new(event)));
                Ok(())
            })?;
            run("a second passes", &mut |dashboard, _| {
                dashboard.pass(Duration::from_secs(1));
                Ok(())
            })?;
        }
    }
    println!();
    Ok(())
}

fn dashboard(size: (u16, u16), view: char) -> anyhow::Result<Offscreen> {
    let mut dashboard = Offscreen::new(size, Options::default(), Timestamp::now())?;
    let snapshot = fleet::fleet(HIVES, WORKERS, 0)?;
    dashboard.hear(FeedNews::Connected);
    dashboard.hear(FeedNews::Event(Box::new(FeedEvent::Snapshot(Box::new(snapshot)))));
    // Until nothing is shown that goes away by itself.
    dashboard.pass(Duration::from_secs(5));
    dashboard.press(key(KeyCode::Char(view)));
    Ok(dashboard)
}

fn one(dashboard: &mut Offscreen) -> anyhow::Result<(Duration, usize)> {
    let began = Instant::now();
    let bytes = dashboard.frame()?.len();
    Ok((began.elapsed(), bytes))
}

fn line(what: &str, (width, height): (u16, u16), taken: &mut [(Duration, usize)]) {
    taken.sort_unstable();
    let at = |percent: usize| taken[(taken.len() - 1) * percent / 100].0.as_micros();
    let (p50, p99) = (at(50), at(99));
    let mut bytes: Vec<usize> = taken.iter().map(|(_, bytes)| *bytes).collect();
    bytes.sort_unstable();
    let size = format!("{width}x{height}");
    println!("{what:<34} {size:>8} {p50:>8} {p99:>8} {:>8}", bytes[bytes.len() / 2]);
}
