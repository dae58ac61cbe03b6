//! The training run: batches in, model file out.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use candle_core::backprop::GradStore;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::batches::Batches;
use crate::corpus::Corpus;
use crate::gguf;
use crate::model::{Batch, Model, Shape};
use crate::optimizer::AdamW;
use crate::tokenizer::Vocabulary;

/// The file in the output directory.
pub const FILE_NAME: &str = "rbee-demo.gguf";

const VOCABULARY: usize = 1280;
/// Documents that the vocabulary is learned from.
const TOKENIZER_DOCUMENTS: usize = 6_000;
const VALIDATION_BATCHES: usize = 8;
const WARM_UP_STEPS: usize = 100;
/// Steps between two lines of progress.
const REPORT_EVERY: usize = 50;
/// Reports between two measurements on unseen documents, each of which also saves the model.
const REPORTS_PER_SAVE: usize = 6;

/// What a run can be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the file goes.
    pub out: PathBuf,
    /// Decides the corpus and the first weights.
    pub seed: u64,
    /// Updates of the weights.
    pub steps: usize,
    /// Ends the run early, with the learning rate brought down in time.
    pub limit: Option<Duration>,
    /// Batches computed side by side; their gradients are averaged.
    pub threads: usize,
    /// Tokens in a batch, padding included.
    pub batch_tokens: usize,
    /// Highest learning rate.
    pub rate: f32,
}

/// Trains, reports every now and then through `report`, and leaves the file behind.
pub fn run(settings: &Settings, report: impl Fn(&str)) -> Result<()> {
    let begun = Instant::now();
    fs::create_dir_all(&settings.out)
        .with_context(|| format!("cannot create {}", settings.out.display()))?;
    let path = settings.out.join(FILE_NAME);

    let vocabulary = learn_vocabulary(settings.seed)?;
    // Three seeds in a row: words, lessons, exam.
    let shape = Shape::shipped(vocabulary.tokens.len());
    let mut lessons =
        Batches::new(settings.seed + 1, &vocabulary, shape.context, settings.batch_tokens);
    let mut exam =
        Batches::new(settings.seed + 2, &vocabulary, shape.context, settings.batch_tokens);
    let exam = (0..VALIDATION_BATCHES).map(|_| exam.take()).collect::<Result<Vec<_>>>()?;

    let model = Model::new(shape, &mut ChaCha8Rng::seed_from_u64(settings.seed))?;
    let mut optimizer = AdamW::new(model.variables());
    report(&format!("{} tokens, {} parameters", vocabulary.tokens.len(), model.parameters()));

    let mut recent = Vec::new();
    let mut step = 0;
    let mut seen = 0;
    loop {
        let progress = progress(step, settings, begun.elapsed());
        if step % REPORT_EVERY == 0 && step > 0 || progress >= 1.0 {
            let mean = recent.iter().sum::<f32>() / recent.len().max(1) as f32;
            recent.clear();
            let mut line = format!(
                "step {step}, {} tokens, {:.0} s, loss {mean:.4}",
                seen,
                begun.elapsed().as_secs_f32()
            );
            if step % (REPORT_EVERY * REPORTS_PER_SAVE) == 0 || progress >= 1.0 {
                line.push_str(&format!(", validation {:.4}", validate(&model, &exam)?));
                gguf::write(&path, &model, &vocabulary)?;
            }
            report(&line);
        }
        if progress >= 1.0 {
            return Ok(());
        }
        let batches =
            (0..settings.threads.max(1)).map(|_| lessons.take()).collect::<Result<Vec<_>>>()?;
        seen += batches.iter().map(Batch::learned).sum::<usize>();
        let (losses, gradients): (Vec<f32>, Vec<GradStore>) =
            differentiate(&model, &batches)?.into_iter().unzip();
        recent.push(losses.iter().sum::<f32>() / losses.len() as f32);
        optimizer.step(&gradients, settings.rate * schedule(step, progress))?;
        step += 1;
    }
}

/// The vocabulary that belongs to this seed.
pub fn learn_vocabulary(seed: u64) -> Result<Vocabulary> {
    let mut corpus = Corpus::new(seed);
    let documents =
        (0..TOKENIZER_DOCUMENTS).map(|_| corpus.document()).collect::<Result<Vec<_>>>()?;
    Vocabulary::train(&documents, VOCABULARY)
}

/// How much of the run is over, from 0 to 1, by whichever limit comes first.
fn progress(step: usize, settings: &Settings, elapsed: Duration) -> f32 {
    let by_steps = step as f32 / settings.steps as f32;
    let by_clock = settings.limit.map_or(0.0, |limit| elapsed.as_secs_f32() / limit.as_secs_f32());
    by_steps.max(by_clock).min(1.0)
}

/// Share of the highest learning rate: a short climb, then half a cosine down to nearly nothing.
fn schedule(step: usize, progress: f32) -> f32 {
    let climb = ((step + 1) as f32 / WARM_UP_STEPS as f32).min(1.0);
    climb * (0.01 + 0.99 * 0.5 * (1.0 + (std::f32::consts::PI * progress).cos()))
}

/// Loss and gradients of each batch, one thread per batch.
///
/// A product of this size is too small to be shared between threads; two whole batches are not.
fn differentiate(model: &Model, batches: &[Batch]) -> Result<Vec<(f32, GradStore)>> {
    let one = |batch: &Batch| -> Result<(f32, GradStore)> {
        let loss = model.loss(batch)?;
        Ok((loss.to_scalar::<f32>()?, loss.backward()?))
    };
    if let [batch] = batches {
        return Ok(vec![one(batch)?]);
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = batches.iter().map(|batch| scope.spawn(|| one(batch))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a training thread panicked"))?)
            .collect()
    })
}

fn validate(model: &Model, exam: &[Batch]) -> Result<f32> {
    let mut total = 0.0;
    for batch in exam {
        total += model.loss(batch)?.to_scalar::<f32>()?;
    }
    Ok(total / exam.len() as f32)
}
