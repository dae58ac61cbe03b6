//! Why a model cannot be loaded, and what to do about it.

use std::path::PathBuf;

use super::ComputeDevice;
use crate::{
    engine::{EngineError, shape::ShapeError},
    model_file::FileProblem,
    tokenizer::TokenizerError,
};

/// Why a model is not ready.
#[derive(Debug, thiserror::Error)]
#[error("cannot load {}: {problem}; {}", path.display(), problem.remedy())]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    #[source]
    pub problem: LoadProblem,
}

/// What is wrong with a model.
#[derive(Debug, thiserror::Error)]
pub enum LoadProblem {
    /// The file, or a part of it, cannot be read.
    #[error(transparent)]
    File(#[from] FileProblem),
    /// The description makes no sense.
    #[error("{0}")]
    Shape(ShapeError),
    /// There is no usable tokenizer.
    #[error("{0}")]
    Tokenizer(TokenizerError),
    /// The tokenizer has tokens that the weights do not.
    #[error("its tokenizer has {tokens} tokens and its weights only {rows}")]
    TokensWithoutWeights {
        /// Tokens of the tokenizer.
        tokens: usize,
        /// Rows of the embedding.
        rows: usize,
    },
    /// The device is not there.
    #[error("{device} cannot be used ({why})")]
    Device {
        /// Which device.
        device: ComputeDevice,
        /// What is missing.
        why: String,
    },
    /// The library refused the weights.
    #[error("the weights cannot be used ({0})")]
    Weights(String),
    /// The first computation failed.
    #[error("{0}")]
    WarmUp(EngineError),
    /// Loading panicked.
    #[error("loading crashed ({0})")]
    Crashed(String),
}

impl LoadProblem {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::File(problem) => problem.remedy(),
            Self::Shape(ShapeError::Architecture { .. }) => "choose another model",
            Self::Device { .. } => "choose another device or another build of the worker",
            _ => "download the file again or choose another model",
        }
    }
}
