//! Makes the small model that ships with rbee, from nothing but this program.
//!
//! `corpus` shows the texts it learns from, `train` learns and writes a GGUF file, `sample` lets
//! the file speak.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use demo_recipe::{corpus, sample, train};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print some documents of the corpus.
    Corpus {
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[arg(long, default_value_t = 10)]
        count: usize,
    },
    /// Train a model and write it to DIR/rbee-demo.gguf.
    Train {
        #[arg(long)]
        out: PathBuf,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[arg(long, default_value_t = 5200)]
        steps: usize,
        /// Finish within this time even if that means fewer steps. The result then depends on the
        /// speed of the machine.
        #[arg(long)]
        minutes: Option<f32>,
        /// Batches per step, each on a thread of its own.
        #[arg(long, default_value_t = 1)]
        threads: usize,
        /// Tokens in a batch, padding included.
        #[arg(long, default_value_t = 2048)]
        batch_tokens: usize,
        /// Highest learning rate.
        #[arg(long, default_value_t = 3e-3)]
        rate: f32,
    },
    /// Continue a prompt.
    Sample {
        #[arg(long)]
        model: PathBuf,
        /// Plain text, or with the special tokens, as in "<|user|>Hello!<|assistant|>".
        #[arg(long)]
        prompt: String,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[arg(long, default_value_t = 0.7)]
        temperature: f64,
        #[arg(long, default_value_t = 0.95)]
        top_p: f64,
        #[arg(long, default_value_t = 400)]
        tokens: usize,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Corpus { seed, count } => {
            let mut corpus = corpus::Corpus::new(seed);
            for _ in 0..count {
                say(&format!("{}\n", corpus.document()?));
            }
            Ok(())
        }
        Command::Train { out, seed, steps, minutes, threads, batch_tokens, rate } => {
            let limit = minutes.map(|minutes| Duration::from_secs_f32(minutes * 60.0));
            let settings = train::Settings { out, seed, steps, limit, threads, batch_tokens, rate };
            train::run(&settings, say)
        }
        Command::Sample { model, prompt, seed, temperature, top_p, tokens } => {
            let sampling = sample::Sampling { seed, temperature, top_p, tokens };
            let text = sample::Reader::open(&model)?.generate(&prompt, sampling)?;
            say(&format!("{prompt}{text}"));
            Ok(())
        }
    }
}

/// One line for the reader. That nobody reads any more is no reason to stop a training run.
fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}
