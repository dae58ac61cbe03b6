//! How what was measured stands to what it should be, and to others.

use std::time::Duration;

use crate::{
    frames::{self, SIZES},
    program::{
        self, BEATS, BEATS_UNSEEN, FOUR, IDLE, IDLE_LARGE, NO_QUEEN, OTHERS, SIXTEEN,
        SIXTEEN_SHOWN, milliseconds,
    },
};

/// The most that something should cost, in each scenario that shows it.
struct Aim {
    what: &'static str,
    unit: &'static str,
    most: f64,
    /// What it came to: scenario and size, and the figure.
    reached: Vec<(String, f64)>,
}

/// Prints every aim with what was reached, as far as it was measured, and what
/// others cost in the same run.
pub(crate) fn compare(frames: &[frames::Cost], programs: &[program::Cost]) {
    println!("Aims\n\n{:<44} {:>16} {:>9}  reached", "what", "at most", "");
    for aim in aims(frames, programs).into_iter().filter(|it| !it.reached.is_empty()) {
        let most = format!("{} {}", aim.most, aim.unit);
        println!("{:<44} {most:>16}", aim.what);
        for (wherein, figure) in aim.reached {
            let verdict = if figure <= aim.most { "yes" } else { "NO" };
            println!("  {wherein:<42} {figure:>16.2} {verdict:>9}");
        }
    }
    beside_others(programs);
}

fn aims(frames: &[frames::Cost], programs: &[program::Cost]) -> Vec<Aim> {
    let ran = |names: &[&str], figure: &dyn Fn(&program::Cost) -> Option<f64>| {
        let those = programs.iter().filter(|it| names.contains(&it.name.as_str()));
        those.filter_map(|it| Some((place(&it.name, it.size), figure(it)?))).collect::<Vec<_>>()
    };
    let drew = |what: &str, only: &[(u16, u16)], figure: &dyn Fn(&frames::Cost) -> f64| {
        let those = frames.iter().filter(|it| it.name.contains(what) && only.contains(&it.size));
        those.map(|it| (place(&it.name, it.size), figure(it))).collect::<Vec<_>>()
    };
    let (cpu, bytes) = (
        |it: &program::Cost| Some(it.rates.cpu_percent),
        |it: &program::Cost| Some(it.rates.bytes),
    );
    let ms = |time: Option<Duration>| time.map(milliseconds);
    let drawn = |it: &frames::Cost| it.bytes as f64;
    let (idle, streams) = ([IDLE, IDLE_LARGE], [FOUR, SIXTEEN, SIXTEEN_SHOWN]);
    let aim = |what, most, unit, reached| Aim { what, unit, most, reached };
    vec![
        aim("idle: CPU", 0.05, "%", ran(&idle, &cpu)),
        aim("idle: bytes", 0.0, "/s", ran(&idle, &bytes)),
        aim("idle: wake-ups", 1.0, "/s", ran(&idle, &|it| Some(it.rates.wakeups))),
        aim("200 heartbeats/s: CPU", 1.0, "%", ran(&[BEATS_UNSEEN, BEATS], &cpu)),
        aim("200 heartbeats/s off the screen: bytes", 500.0, "/s", ran(&[BEATS_UNSEEN], &bytes)),
        aim("500 tokens/s: CPU", 5.0, "%", ran(&streams, &cpu)),
        aim("500 tokens/s: bytes", 20_000.0, "/s", ran(&streams, &bytes)),
        aim("a key, idle: p50", 2.0, "ms", ran(&idle, &|it| ms(it.key_p50))),
        aim("a key, idle: p95", 5.0, "ms", ran(&idle, &|it| ms(it.key_p95))),
        aim("a key, 500 tokens/s: p95", 20.0, "ms", ran(&streams, &|it| ms(it.key_p95))),
        aim("a frame: p99", 2.0, "ms", drew("", &SIZES, &|it| milliseconds(it.p99))),
        aim("a filter keystroke: p99", 5.0, "ms", {
            drew("workers, filter", &SIZES, &|it| milliseconds(it.p99))
        }),
        aim("the cursor moves: bytes", 400.0, "", drew("workers, cursor", &SIZES[..1], &drawn)),
        aim("a row scrolls: bytes", 2_500.0, "", drew("workers, scroll", &SIZES[..1], &drawn)),
        aim("a whole frame: bytes", 6_000.0, "", drew("first frame", &SIZES[..1], &drawn)),
        aim("start to the first frame, no queen", 50.0, "ms", {
            ran(&[NO_QUEEN], &|it| Some(milliseconds(it.start)))
        }),
        aim("memory", 60.0, "MiB", ran(&[IDLE_LARGE, BEATS], &|it| Some(it.rates.memory_mib))),
    ]
}

fn place(name: &str, (width, height): (u16, u16)) -> String {
    format!("{name}, {width}x{height}")
}

/// Ours at rest beside each of the others; 1 is the same.
fn beside_others(programs: &[program::Cost]) {
    println!("\nOurs at rest to others (1 is the same)\n");
    println!(
        "{:<16} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "beside", "size", "CPU", "bytes", "key p50", "start", "memory"
    );
    for size in SIZES {
        let of = |name: &str| programs.iter().find(|it| it.name == name && it.size == size);
        let Some(ours) = of(IDLE) else { continue };
        for (name, other) in OTHERS.into_iter().filter_map(|name| Some((name, of(name)?))) {
            let keys = ours.key_p50.zip(other.key_p50);
            println!(
                "{name:<16} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
                format!("{}x{}", size.0, size.1),
                ratio(ours.rates.cpu_percent, other.rates.cpu_percent),
                ratio(ours.rates.bytes, other.rates.bytes),
                keys.map_or_else(
                    || "-".to_owned(),
                    |(a, b)| ratio(milliseconds(a), milliseconds(b))
                ),
                ratio(milliseconds(ours.start), milliseconds(other.start)),
                ratio(ours.rates.memory_mib, other.rates.memory_mib),
            );
        }
    }
}

fn ratio(ours: f64, other: f64) -> String {
    if other > 0.0 { format!("{:.2}", ours / other) } else { "-".to_owned() }
}
