//! From a model file to something that can answer.
//!
//! The order is fixed: check the header, read the description, build the
//! tokenizer and the template, load the weights, compute once. Everything that
//! can be refused cheaply is refused before a weight is read, and every
//! refusal names the file.
//!
//! It refuses to look for files; whoever calls it knows the path.

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

use crate::{
    engine::{
        Engine, EngineError,
        candle::{CandleEngine, Source},
        check::{CheckError, Checked},
        shape::{ModelShape, ShapeError},
    },
    model_file::{ModelFile, SplitError},
    template::ChatTemplate,
    tokenizer::{Tokenizer, TokenizerError, gguf::GgufTokenizer},
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
    /// The file cannot be opened.
    #[error("it cannot be opened ({0})")]
    Open(io::Error),
    /// The file is not a GGUF file that can be read.
    #[error("{0}")]
    Check(CheckError),
    /// Another part of a split model cannot be read.
    #[error("its part {part}: {problem}")]
    Part {
        /// The name of its file.
        part: String,
        /// What is wrong with it.
        problem: Box<Self>,
    },
    /// The parts of a split model do not belong together.
    #[error(transparent)]
    Split(#[from] SplitError),
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
            Self::Open(_) => "check the path and its permissions",
            Self::Check(CheckError::Truncated { .. } | CheckError::Io(_)) => {
                "remove the file and download it again"
            }
            Self::Part { problem, .. } => problem.remedy(),
            Self::Split(SplitError::NotFirst { .. }) => "name that one",
            Self::Split(SplitError::Missing { .. }) => "download the model again, or put it there",
            Self::Split(SplitError::Extra { .. }) => "remove it, or download the model again",
            Self::Check(CheckError::TensorType { .. }) => "choose another quantisation",
            Self::Shape(ShapeError::Architecture { .. }) => "choose another model",
            Self::Device { .. } => "choose another device or another build of the worker",
            _ => "download the file again or choose another model",
        }
    }
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
        .map_err(weights)?;
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

pub(crate) fn weights(error: candle_core::Error) -> LoadProblem {
    let text = error.to_string();
    LoadProblem::Weights(text.lines().next().unwrap_or_default().chars().take(300).collect())
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
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        engine::{SlotIndex, SlotStep},
        testing::{self, TestModel},
    };

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn load_bytes(bytes: &[u8], slots: usize) -> Result<Loaded, LoadError> {
        let file = file(bytes);
        let path = file.path().to_owned();
        let options = LoadOptions { path, device: ComputeDevice::Cpu, slots, context_length: None };
        load(&options, |_| {})
    }

    fn load_model(model: &TestModel) -> Result<Loaded, LoadError> {
        load_bytes(&model.bytes(), 2)
    }

    /// The logits after `tokens` that go in as chunks of `chunk`.
    fn logits(engine: &mut dyn Engine, slot: usize, tokens: &[u32], chunk: usize) -> Vec<f32> {
        let slot = SlotIndex(slot);
        let mut last = Vec::new();
        for (index, tokens) in tokens.chunks(chunk).enumerate() {
            let position = index * chunk;
            let step = SlotStep { slot, tokens, position, wants_logits: true };
            last = engine.step(&[step]).unwrap().remove(0).logits;
        }
        engine.clear(slot);
        last
    }

    fn assert_close(a: &[f32], b: &[f32]) {
        assert_eq!(a.len(), b.len());
        let largest = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // A matrix times one vector rounds otherwise than times many.
        assert!(largest < 0.05, "logits are {largest} apart");
    }

    #[test]
    fn every_architecture_computes_the_same_however_the_prompt_is_cut() {
        for architecture in ["llama", "qwen2", "qwen3", "phi3"] {
            let mut engine = load_model(&testing::model(architecture)).unwrap().engine;
            let tokens: Vec<u32> = (0..150).map(|i| i * 7 % 250).collect();
            let whole = logits(&mut *engine, 0, &tokens, 128);
            assert!(whole.iter().all(|logit| logit.is_finite()), "{architecture}");
            assert!(whole.iter().any(|logit| *logit != whole[0]), "{architecture}");
            for chunk in [1, 50, 75] {
                assert_close(&logits(&mut *engine, 0, &tokens, chunk), &whole);
            }
        }
    }

    #[test]
    fn slots_do_not_see_each_other_and_forget_when_cleared() {
        for architecture in ["llama", "qwen3", "phi3"] {
            let mut engine = load_model(&testing::model(architecture)).unwrap().engine;
            assert_eq!(engine.slots(), 2, "{architecture}");
            let alone = logits(&mut *engine, 0, &[1, 2, 3, 4], 2);
            let mut step = |slot, tokens: &[u32], position| {
                let work = SlotStep { slot: SlotIndex(slot), tokens, position, wants_logits: true };
                engine.step(&[work]).unwrap().remove(0).logits
            };
            step(0, &[1, 2], 0);
            step(1, &[9, 9, 9], 0);
            assert_close(&step(0, &[3, 4], 2), &alone);
        }
    }

    #[test]
    fn one_step_takes_a_chunk_of_one_slot_beside_a_token_of_another() {
        let mut engine = load_model(&testing::model("llama")).unwrap().engine;
        let expected = logits(&mut *engine, 1, &[5, 6], 1);
        let steps = [
            SlotStep { slot: SlotIndex(0), tokens: &[1, 2, 3], position: 0, wants_logits: false },
            SlotStep { slot: SlotIndex(1), tokens: &[5], position: 0, wants_logits: true },
        ];
        assert_eq!(engine.step(&steps).unwrap().len(), 1, "only one wants logits");
        let next = SlotStep { slot: SlotIndex(1), tokens: &[6], position: 1, wants_logits: true };
        let output = engine.step(&[next]).unwrap().remove(0);
        assert_eq!(output.slot, SlotIndex(1));
        assert_close(&output.logits, &expected);
    }

    #[test]
    fn steps_that_cannot_be_are_refused_without_harm() {
        let mut engine = load_model(&testing::model("llama")).unwrap().engine;
        let step = SlotStep { slot: SlotIndex(0), tokens: &[1], position: 0, wants_logits: true };
        let long = vec![1; 129];
        for bad in [
            SlotStep { slot: SlotIndex(2), ..step },
            SlotStep { tokens: &[], ..step },
            SlotStep { tokens: &long, ..step },
            SlotStep { tokens: &[264], ..step },
            SlotStep { position: 512, ..step },
        ] {
            let refused = engine.step(&[bad]);
            assert!(matches!(refused, Err(EngineError::Refused(_))), "{refused:?}");
        }
        engine.step(&[step]).unwrap();
    }

    #[test]
    fn the_model_is_described_and_progress_goes_forward_only() {
        let file = file(&testing::model("llama").bytes());
        let path = file.path().to_owned();
        let options =
            LoadOptions { path, device: ComputeDevice::Cpu, slots: 1, context_length: Some(100) };
        let mut seen = Vec::new();
        let loaded = load(&options, |progress| seen.push(progress)).unwrap();
        let info = loaded.engine.info();
        assert_eq!((info.name.as_str(), info.quantisation.as_str()), ("test model", "Q8_0"));
        assert_eq!((info.context_length, info.vocabulary), (100, 264));
        assert!(info.memory_bytes_estimate > info.file_bytes / 2, "{info:?}");
        let fractions: Vec<f64> = seen
            .iter()
            .filter_map(|progress| match progress {
                LoadProgress::Weights { fraction } => Some(*fraction),
                _ => None,
            })
            .collect();
        assert!(fractions.iter().all(|fraction| (0.0..=1.0).contains(fraction)));
        assert!(fractions.iter().any(|fraction| *fraction > 0.9), "{fractions:?}");
        assert_eq!(seen[..2], [LoadProgress::Checking, LoadProgress::Tokenizer]);
        assert_eq!(seen.last(), Some(&LoadProgress::WarmingUp));
    }

    #[test]
    fn refusals_name_the_file_and_a_remedy() {
        let whole = testing::model("llama").bytes();
        let cases = [
            (load_bytes(&whole[..whole.len() / 2], 1), "download it again"),
            (load_bytes(b"<html>", 1), "not a GGUF file"),
            (
                load_model(&testing::model("llama").without("tokenizer.ggml.tokens")),
                "tokens is missing",
            ),
            (load_model(&testing::model("llama").without_tensor("blk.1.ffn_up.weight")), "ffn_up"),
            (load_model(&testing::model("gpt2")), "supported are llama"),
        ];
        for (result, expected) in cases {
            let error = result.err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(error.starts_with("cannot load /"), "{error}");
        }
        let options = LoadOptions {
            path: "/nowhere/model.gguf".into(),
            device: ComputeDevice::Cpu,
            slots: 1,
            context_length: None,
        };
        let error = load(&options, |_| {}).err().unwrap().to_string();
        assert!(
            error.contains("/nowhere/model.gguf") && error.contains("check the path"),
            "{error}"
        );
    }

    #[test]
    #[cfg(not(any(feature = "cuda", feature = "metal")))]
    fn a_device_that_is_not_built_in_is_refused() {
        for device in [ComputeDevice::Cuda(0), ComputeDevice::Metal(0)] {
            let path = "/nowhere/model.gguf".into();
            let options = LoadOptions { path, device, slots: 1, context_length: None };
            let error = load(&options, |_| {}).err().unwrap().to_string();
            assert!(error.contains("does not contain it"), "{error}");
        }
    }

    #[test]
    fn a_tokenizer_with_more_tokens_than_weights_is_refused() {
        let tokens = (0..300).map(|id| Value::String(format!("t{id}"))).collect();
        let model = testing::model("llama").with("tokenizer.ggml.tokens", Value::Array(tokens));
        let error = load_model(&model).err().unwrap().to_string();
        assert!(error.contains("300 tokens"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]

        #[test]
        fn a_damaged_file_is_loaded_or_refused_but_never_crashes(
            cut in prop_oneof![4 => Just(None), 1 => any::<prop::sample::Index>().prop_map(Some)],
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 0..6),
        ) {
            let mut bytes = testing::model("llama").bytes();
            // Most of the file is weights, where damage is only noise.
            let header = 8192.min(bytes.len());
            for (index, byte, anywhere) in changes {
                let range = if anywhere { bytes.len() } else { header };
                bytes[index.index(range)] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            if let Err(error) = load_bytes(&bytes, 1) {
                let crashed = matches!(error.problem, LoadProblem::Crashed(_));
                prop_assert!(!crashed, "{}", error);
            }
        }
    }
}
