//! From a model file to something that can answer.
//!
//! The order is fixed: check the header, read the description, build the
//! tokenizer and the template, load the weights, compute once. Everything that
//! can be refused cheaply is refused before a weight is read, and every
//! refusal names the file.
//!
//! It refuses to look for files; whoever calls it knows the path.

mod problem;

use std::{
    any::Any,
    fmt,
    io::{self, Read, Seek, SeekFrom},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use candle_core::{
    Device,
    quantized::gguf_file::{Content, Value},
};

pub use self::problem::{LoadError, LoadProblem};
use crate::{
    engine::{
        Engine,
        candle::{CandleEngine, Source},
        check::Checked,
        shape::ModelShape,
    },
    model_file::{ModelFile, library_says},
    template::ChatTemplate,
    tokenizer::{Tokenizer, gguf::GgufTokenizer},
};

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComputeDevice {
    /// The processor.
    Cpu,
    /// An NVIDIA card by its number; needs a build with the feature `cuda`.
    Cuda(usize),
    /// An Apple card by its number; needs a build with the feature `metal`.
    Metal(usize),
}

impl fmt::Display for ComputeDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("the processor"),
            Self::Cuda(index) => write!(f, "CUDA device {index}"),
            Self::Metal(index) => write!(f, "Metal device {index}"),
        }
    }
}

/// What to load and for how much work.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The GGUF file, or the first part of one that was split.
    pub path: PathBuf,
    /// Where to compute.
    pub device: ComputeDevice,
    /// How many sequences at a time; an engine may give fewer.
    pub slots: usize,
    /// How many tokens each may hold; at most what the model and the engine
    /// can. `None` takes as many as both can.
    pub context_length: Option<usize>,
}

/// How far loading is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LoadProgress {
    /// The header is being checked.
    Checking,
    /// The tokenizer and the template are being built.
    Tokenizer,
    /// Weights are being read.
    Weights {
        /// How much of the file has been read, 0 to 1.
        fraction: f64,
    },
    /// The first computations run.
    WarmingUp,
}

/// A model that is ready to answer.
pub struct Loaded {
    /// What computes.
    pub engine: Box<dyn Engine>,
    /// Its tokenizer.
    pub tokenizer: Arc<dyn Tokenizer>,
    /// Its way of writing a conversation.
    pub template: Arc<ChatTemplate>,
}

/// Loads a model; `progress` is called on the same thread, often.
pub fn load(
    options: &LoadOptions,
    mut progress: impl FnMut(LoadProgress),
) -> Result<Loaded, LoadError> {
    // The checks before should leave the libraries nothing to panic about; a
    // file that finds something all the same must not take the process along.
    let result = catch_unwind(AssertUnwindSafe(|| load_checked(options, &mut progress)));
    let result = result.unwrap_or_else(|panic| Err(LoadProblem::Crashed(panic_message(&*panic))));
    result.map_err(|problem| LoadError { path: options.path.clone(), problem })
}

fn load_checked(
    options: &LoadOptions,
    progress: &mut dyn FnMut(LoadProgress),
) -> Result<Loaded, LoadProblem> {
    progress(LoadProgress::Checking);
    let device = open_device(options.device)?;
    let ModelFile { mut content, reader, checked, bytes } = ModelFile::open(&options.path)?;
    let shape = ModelShape::read(&mut content).map_err(LoadProblem::Shape)?;

    progress(LoadProgress::Tokenizer);
    let tokenizer = GgufTokenizer::new(&content.metadata).map_err(LoadProblem::Tokenizer)?;
    if tokenizer.vocabulary() > shape.vocabulary {
        let (tokens, rows) = (tokenizer.vocabulary(), shape.vocabulary);
        return Err(LoadProblem::TokensWithoutWeights { tokens, rows });
    }
    let template = template(&content, &tokenizer);

    let source = source(&options.path, &content, &checked, bytes);
    let wishes = (options.slots, options.context_length.unwrap_or(usize::MAX));
    let mut reader = Watched { reader, file_bytes: bytes, progress: &mut *progress };
    let mut engine = CandleEngine::load(source, &shape, content, &mut reader, device, wishes)
        .map_err(|error| LoadProblem::Weights(library_says(&error)))?;
    if engine.slots() < options.slots {
        tracing::warn!(
            slots = engine.slots(),
            wanted = options.slots,
            architecture = %shape.architecture,
            "this architecture computes fewer sequences at a time"
        );
    }
    progress(LoadProgress::WarmingUp);
    engine.warm_up().map_err(LoadProblem::WarmUp)?;
    Ok(Loaded {
        engine: Box::new(engine),
        tokenizer: Arc::new(tokenizer),
        template: Arc::new(template),
    })
}

fn open_device(device: ComputeDevice) -> Result<Device, LoadProblem> {
    let (built_in, opened) = match device {
        ComputeDevice::Cpu => return Ok(Device::Cpu),
        ComputeDevice::Cuda(index) => (cfg!(feature = "cuda"), Device::new_cuda(index)),
        ComputeDevice::Metal(index) => (cfg!(feature = "metal"), Device::new_metal(index)),
    };
    let why = match opened {
        Ok(device) => return Ok(device),
        Err(_) if !built_in => "this build of the worker does not contain it".to_owned(),
        Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
    };
    Err(LoadProblem::Device { device, why })
}

/// The file's template, or the plain layout where it has none or a broken one:
/// prompts without a conversation work all the same.
fn template(content: &Content, tokenizer: &GgufTokenizer) -> ChatTemplate {
    let Some(Value::String(source)) = content.metadata.get("tokenizer.chat_template") else {
        return ChatTemplate::plain();
    };
    ChatTemplate::compile(source, tokenizer.markers()).unwrap_or_else(|error| {
        tracing::warn!(%error, "conversations are written plainly instead");
        ChatTemplate::plain()
    })
}

fn source(path: &Path, content: &Content, checked: &Checked, file_bytes: u64) -> Source {
    let text = |key: &str| content.metadata.get(key).and_then(|value| value.to_string().ok());
    let file_type = content.metadata.get("general.file_type").and_then(|v| v.to_u32().ok());
    let stem = || path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    Source {
        name: text("general.name")
            .map(|name| name.chars().filter(|c| !c.is_control()).take(120).collect())
            .or_else(stem)
            .unwrap_or_default(),
        parameters: checked.parameters,
        quantisation: file_type.and_then(mixture).unwrap_or(checked.dominant_type()).to_owned(),
        file_bytes,
        weight_bytes: checked.weight_bytes,
    }
}

/// The name of a mixture of types; pure ones are known from their tensors.
pub(crate) fn mixture(file_type: u32) -> Option<&'static str> {
    Some(match file_type {
        11 => "Q3_K_S",
        12 => "Q3_K_M",
        13 => "Q3_K_L",
        14 => "Q4_K_S",
        15 => "Q4_K_M",
        16 => "Q5_K_S",
        17 => "Q5_K_M",
        _ => return None,
    })
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let text = text.unwrap_or_else(|| "without a message".to_owned());
    text.lines().next().unwrap_or_default().chars().take(300).collect()
}

/// A reader that tells how far it is.
struct Watched<'a, R> {
    reader: R,
    file_bytes: u64,
    progress: &'a mut dyn FnMut(LoadProgress),
}

impl<R: Read + Seek> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        let fraction = self.reader.stream_position()? as f64 / self.file_bytes.max(1) as f64;
        (self.progress)(LoadProgress::Weights { fraction: fraction.clamp(0.0, 1.0) });
        Ok(read)
    }
}

impl<R: Seek> Seek for Watched<'_, R> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.reader.seek(position)
    }
}

#[cfg(test)]
mod tests;
