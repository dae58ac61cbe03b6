//! How fast a model file runs here, with one thread and with two.
//!
//! `cargo run --release -p worker --example decode_speed -- MODEL.gguf [prompt tokens] [answer tokens]`
//!
//! The number of threads is fixed when a process starts, so each measurement
//! is a child process; the two alternate, because a machine's speed drifts.
//! Only the ratio means something elsewhere.

use std::{io::Write, num::NonZeroUsize, path::PathBuf, process::Command, time::Instant};

use anyhow::{Context, Result, ensure};
use worker::{
    engine::{Engine, SlotIndex, SlotStep},
    load::{ComputeDevice, LoadOptions, load},
};

/// In the environment of a child: measure and report on standard output.
const CHILD: &str = "DECODE_SPEED_CHILD";
const ROUNDS: usize = 3;

struct Speed {
    prefill: f64,
    decode: f64,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().context("give the path of a GGUF file")?);
    let mut number = |absent: usize| arguments.next().map_or(Ok(absent), |n| n.parse());
    let (prompt, answer) = (number(128)?.max(1), number(64)?.max(1));
    let mut out = std::io::stdout().lock();
    if std::env::var_os(CHILD).is_some() {
        let speed = measure(path, prompt, answer)?;
        writeln!(out, "{} {}", speed.prefill, speed.decode)?;
        return Ok(());
    }
    writeln!(out, "{:>6}  {:>14}  {:>14}", "", "prefill t/s", "decode t/s")?;
    let mut best = [1, 2].map(|threads| (threads, Speed { prefill: 0.0, decode: 0.0 }));
    for _ in 0..ROUNDS {
        for (threads, best) in &mut best {
            let speed = in_child(*threads)?;
            best.prefill = best.prefill.max(speed.prefill);
            best.decode = best.decode.max(speed.decode);
        }
    }
    for (threads, speed) in &best {
        writeln!(out, "{threads:>6}  {:>14.1}  {:>14.1}", speed.prefill, speed.decode)?;
    }
    let [(_, one), (_, two)] = best;
    let (prefill, decode) = (two.prefill / one.prefill, two.decode / one.decode);
    writeln!(out, "{:>6}  {prefill:>13.2}x  {decode:>13.2}x", "2 / 1")?;
    Ok(())
}

/// Measures in a child process with so many threads.
fn in_child(threads: usize) -> Result<Speed> {
    let threads = NonZeroUsize::new(threads).context("at least one thread")?;
    let output = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .envs(config::threads::environment(threads))
        .env(CHILD, "1")
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let (prefill, decode) = text.trim().split_once(' ').context("two numbers")?;
    Ok(Speed { prefill: prefill.parse()?, decode: decode.parse()? })
}

fn measure(path: PathBuf, prompt: usize, answer: usize) -> Result<Speed> {
    let options = LoadOptions { path, device: ComputeDevice::Cpu, slots: 1, context_length: None };
    let mut engine = load(&options, |_| {})?.engine;
    let context = engine.info().context_length;
    ensure!(prompt + answer <= context, "the context holds {context} tokens");
    let started = Instant::now();
    feed(&mut *engine, prompt)?;
    let prefilled = Instant::now();
    for position in prompt..prompt + answer {
        step(&mut *engine, &[1], position)?;
    }
    let rate = |tokens: usize, from: Instant, to: Instant| {
        tokens as f64 / to.duration_since(from).as_secs_f64()
    };
    let done = Instant::now();
    Ok(Speed { prefill: rate(prompt, started, prefilled), decode: rate(answer, prefilled, done) })
}

fn feed(engine: &mut dyn Engine, prompt: usize) -> Result<()> {
    let tokens = vec![1; prompt];
    let mut position = 0;
    for chunk in tokens.chunks(engine.chunk_tokens()) {
        step(engine, chunk, position)?;
        position += chunk.len();
    }
    Ok(())
}

fn step(engine: &mut dyn Engine, tokens: &[u32], position: usize) -> Result<()> {
    engine.step(&[SlotStep { slot: SlotIndex(0), tokens, position, wants_logits: true }])?;
    Ok(())
}
