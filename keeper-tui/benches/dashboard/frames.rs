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
pub(crate) const SIZES: [(u16, u16); 2] = [(80, 24), (160, 45)];

/// What frames of one kind cost.
pub(crate) struct Cost {
    pub(crate) name: String,
    pub(crate) size: (u16, u16),
    pub(crate) p99: Duration,
    /// The median.
    pub(crate) bytes: usize,
}

type Step<'a> = &'a mut dyn FnMut(&mut Offscreen, usize) -> anyhow::Result<()>;

fn key(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

/// Prints the figures.
pub(crate) fn measure() -> anyhow::Result<Vec<Cost>> {
    println!(
        "Frames: {HIVES} hives, {WORKERS} workers, {FRAMES} frames each (us; bytes are the median)\n"
    );
    println!("{:<34} {:>8} {:>8} {:>8} {:>8}", "scenario", "size", "p50", "p99", "bytes");
    let mut costs = Vec::new();
    for size in SIZES {
        for (view, name) in [('1', "fleet"), ('2', "workers"), ('3', "devices")] {
            let mut dashboard = dashboard(size, view)?;
            costs.push(cost(format!("{name}, first frame"), size, vec![one(&mut dashboard)?]));
            let mut run = |dashboard: &mut Offscreen, what: &str, each: Step<'_>| {
                let mut taken = Vec::with_capacity(FRAMES);
                for number in 0..FRAMES {
                    let began = Instant::now();
                    each(dashboard, number)?;
                    let bytes = dashboard.frame()?.len();
                    taken.push((began.elapsed(), bytes));
                }
                costs.push(cost(format!("{name}, {what}"), size, taken));
                anyhow::Ok(())
            };
            run(&mut dashboard, "no change", &mut |_, _| Ok(()))?;
            run(&mut dashboard, "cursor moves one row", &mut |dashboard, number| {
                let back = number % 10 >= 5;
                dashboard.press(key(if back { KeyCode::Up } else { KeyCode::Down }));
                Ok(())
            })?;
            run(&mut dashboard, "one worker beats", &mut |dashboard, number| {
                let worker = number * 7 % WORKERS;
                let record = fleet::worker(worker, worker % HIVES, number as u64)?;
                let event = FeedEvent::Worker(Change::from(record));
                dashboard.hear(FeedNews::Event(Box::new(event)));
                Ok(())
            })?;
            run(&mut dashboard, "a second passes", &mut |dashboard, _| {
                dashboard.pass(Duration::from_secs(1));
                Ok(())
            })?;
            for _ in 0..60 {
                dashboard.press(key(KeyCode::Down));
            }
            run(&mut dashboard, "scroll one row", &mut |dashboard, _| {
                dashboard.press(key(KeyCode::Down));
                Ok(())
            })?;
            dashboard.press(key(KeyCode::Char('/')));
            run(&mut dashboard, "filter keystroke", &mut |dashboard, number| {
                let back = number % 2 == 1;
                dashboard.press(key(if back { KeyCode::Backspace } else { KeyCode::Char('7') }));
                Ok(())
            })?;
        }
    }
    println!();
    Ok(costs)
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

fn cost(name: String, size: (u16, u16), mut taken: Vec<(Duration, usize)>) -> Cost {
    taken.sort_unstable();
    let at = |percent: usize| taken[(taken.len() - 1) * percent / 100].0;
    let (p50, p99) = (at(50), at(99));
    let mut bytes: Vec<usize> = taken.iter().map(|(_, bytes)| *bytes).collect();
    bytes.sort_unstable();
    let bytes = bytes[bytes.len() / 2];
    let (width, height) = size;
    println!(
        "{name:<34} {:>8} {:>8} {:>8} {bytes:>8}",
        format!("{width}x{height}"),
        p50.as_micros(),
        p99.as_micros(),
    );
    Cost { name, size, p99, bytes }
}
