//! What computes the next token, behind one trait.
//!
//! The interface is shaped for slots and steps: one [`Engine::step`] takes
//! work for any number of slots, and prefill chunks of one sequence may stand
//! beside decode rows of others. An engine that computes them as one batch
//! replaces an implementation here, and nothing above.
//!
//! ```text
//!   check      is this a GGUF file that can be read without harm?
//!   shape      does its description make sense to an engine?
//!   candle     the stock models of candle-transformers
//!   scripted   an engine without a model, for tests
//!   threads    how many processor threads a worker takes
//! ```
//!
//! An engine knows tokens and positions. It refuses to know text, sampling,
//! requests or the wire.

pub mod candle;
pub mod check;
pub mod scripted;
pub mod shape;
pub mod threads;

use serde::Serialize;

/// One of the engine's independent sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotIndex(pub usize);

/// What one slot has to compute in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotStep<'a> {
    /// Whose sequence grows.
    pub slot: SlotIndex,
    /// The tokens that are appended to it; never empty, and at most
    /// [`Engine::chunk_tokens`].
    pub tokens: &'a [u32],
    /// The position of the first of them: how many the slot already holds.
    pub position: usize,
    /// Whether the logits after the last of them are needed; a prefill chunk
    /// in the middle of a prompt needs none.
    pub wants_logits: bool,
}

/// The logits of one slot that wanted them.
#[derive(Debug, Clone, PartialEq)]
pub struct StepOutput {
    /// Whose they are.
    pub slot: SlotIndex,
    /// One per token of the vocabulary.
    pub logits: Vec<f32>,
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The caller asked for something that cannot be.
    #[error("step refused: {0}")]
    Refused(String),
    /// The computation itself failed.
    #[error("the model could not be computed: {0}")]
    Failed(String),
}

/// What is loaded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelInfo {
    /// The architecture as the file names it, such as `llama`.
    pub architecture: String,
    /// The name the file gives itself.
    pub name: String,
    /// How many weights it has.
    pub parameters: u64,
    /// How they are stored, such as `Q4_K_M`.
    pub quantisation: String,
    /// How many tokens one sequence may hold, prompt and answer together.
    pub context_length: usize,
    /// How many tokens there are.
    pub vocabulary: usize,
    /// The size of the file.
    pub file_bytes: u64,
    /// What the process is expected to need once every slot is full.
    pub memory_bytes_estimate: u64,
}

/// Something that computes logits for a fixed number of slots.
///
/// Only one thread uses an engine. After an error the slots that stood in the
/// failed step are in an unknown state until [`Engine::clear`]; after a panic
/// the whole engine is.
pub trait Engine: Send {
    /// What is loaded.
    fn info(&self) -> &ModelInfo;

    /// How many sequences it can hold at a time.
    fn slots(&self) -> usize;

    /// How many tokens one slot's work of one step may hold.
    fn chunk_tokens(&self) -> usize;

    /// Computes `work`, at most one entry per slot, and returns the logits of
    /// those that want them, in the order of `work`.
    fn step(&mut self, work: &[SlotStep<'_>]) -> Result<Vec<StepOutput>, EngineError>;

    /// Forgets the sequence of `slot`.
    fn clear(&mut self, slot: SlotIndex);
}
