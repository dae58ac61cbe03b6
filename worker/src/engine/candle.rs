//! The stock models of candle-transformers as an [`Engine`].
//!
//! They compute one sequence at a time, so a step is a loop over its work.
//! Slots share the weights: each is a clone of a model that has never
//! computed anything, because only such a clone has a cache of its own.
//! Clearing a slot replaces it by a fresh clone, which also drops the masks
//! that the stock models collect and never give back.
//!
//! Qwen 2 cannot be cloned, so it has one slot, and its chunks are cut so that
//! few different masks exist.
//!
//! It refuses to hold more tokens than [`CONTEXT_MAX`] in a slot, whatever the
//! model was trained for.

use std::io::{Read, Seek};

use candle_core::{
    DType, Device, Result, Tensor,
    quantized::gguf_file::{Content, Value},
};
use candle_transformers::models::{
    quantized_llama, quantized_phi3, quantized_qwen2, quantized_qwen3,
};

use super::{
    Engine, EngineError, ModelInfo, SlotIndex, SlotStep, StepOutput,
    shape::{Architecture, CONTEXT_MAX, ModelShape},
};

/// Larger chunks make one operation's result so big that the allocator returns
/// it to the system each time, and a prompt of 512 takes a third longer.
const CHUNK_TOKENS: usize = 128;

/// A stock model on one device.
pub struct CandleEngine {
    info: ModelInfo,
    device: Device,
    /// Never computes; every fresh slot is its clone. `None` if the model
    /// cannot be cloned.
    pristine: Option<Model>,
    slots: Vec<Model>,
}

enum Model {
    Llama(Box<quantized_llama::ModelWeights>),
    Qwen2(Box<quantized_qwen2::ModelWeights>),
    Qwen3(Box<quantized_qwen3::ModelWeights>),
    Phi3(Box<quantized_phi3::ModelWeights>),
}

impl Model {
    fn load(
        shape: &ModelShape,
        content: Content,
        reader: &mut (impl Read + Seek),
        device: &Device,
    ) -> Result<Self> {
        Ok(match shape.architecture {
            Architecture::Llama => Self::Llama(Box::new(quantized_llama::ModelWeights::from_gguf(
                content, reader, device,
            )?)),
            Architecture::Qwen2 => Self::Qwen2(Box::new(quantized_qwen2::ModelWeights::from_gguf(
                content, reader, device,
            )?)),
            Architecture::Qwen3 => Self::Qwen3(Box::new(quantized_qwen3::ModelWeights::from_gguf(
                content, reader, device,
            )?)),
            Architecture::Phi3 => {
                let flash = false;
                Self::Phi3(Box::new(quantized_phi3::ModelWeights::from_gguf(
                    flash, content, reader, device,
                )?))
            }
        })
    }

    /// A model with the same weights and an empty cache, if `self` is pristine.
    fn fresh(&self) -> Option<Self> {
        match self {
            Self::Llama(model) => Some(Self::Llama(model.clone())),
            Self::Qwen2(_) => None,
            Self::Qwen3(model) => Some(Self::Qwen3(model.clone())),
            Self::Phi3(model) => Some(Self::Phi3(model.clone())),
        }
    }

    fn forward(&mut self, tokens: &Tensor, position: usize) -> Result<Tensor> {
        match self {
            Self::Llama(model) => model.forward(tokens, position),
            Self::Qwen2(model) => model.forward(tokens, position),
            Self::Qwen3(model) => model.forward(tokens, position),
            Self::Phi3(model) => model.forward(tokens, position),
        }
    }

    /// How many of `left` tokens go through the model at once.
    fn stride(&self, left: usize) -> usize {
        match self {
            // The largest power of two: its masks are kept for ever, one per
            // pair of length and position.
            Self::Qwen2(_) => 1 << left.min(CHUNK_TOKENS).ilog2(),
            _ => left,
        }
    }
}

/// What the caller knows about the file.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) parameters: u64,
    pub(crate) quantisation: String,
    pub(crate) file_bytes: u64,
    pub(crate) weight_bytes: u64,
}

impl CandleEngine {
    /// Loads the weights of a file whose header has been checked, for `slots`
    /// sequences of `context_length` tokens, and computes once in either form
    /// so that no request pays for what happens only the first time.
    ///
    /// Both numbers are wishes: see [`Engine::slots`] and
    /// [`ModelInfo::context_length`] for what became of them.
    pub(crate) fn load(
        source: Source,
        shape: &ModelShape,
        mut content: Content,
        reader: &mut (impl Read + Seek),
        device: Device,
        (slots, context_length): (usize, usize),
    ) -> Result<Self> {
        let context_length = context_length.min(shape.context_length).clamp(2, CONTEXT_MAX);
        // The loaders tabulate angles up to this length, and a file may claim
        // any.
        content.metadata.insert(
            format!("{}.context_length", shape.architecture),
            Value::U32(u32::try_from(context_length).unwrap_or(u32::MAX)),
        );
        let model = Model::load(shape, content, reader, &device)?;
        let (pristine, models) = match (0..slots.max(1)).map(|_| model.fresh()).collect() {
            Some(models) => (Some(model), models),
            None => (None, vec![model]),
        };
        let info = source.info(shape, context_length, models.len(), device.is_cpu());
        Ok(Self { info, device, pristine, slots: models })
    }

    /// Computes a chunk and a single token in the first slot. Both forms have
    /// packed weights of their own that the first use makes.
    pub(crate) fn warm_up(&mut self) -> std::result::Result<(), EngineError> {
        let slot = SlotIndex(0);
        let chunk = vec![0; CHUNK_TOKENS.min(self.info.context_length - 1)];
        for (tokens, position) in [(chunk.as_slice(), 0), (&chunk[..1], chunk.len())] {
            self.step(&[SlotStep { slot, tokens, position, wants_logits: true }])?;
        }
        self.clear(slot);
        Ok(())
    }

    fn forward(&mut self, step: &SlotStep<'_>) -> Result<Option<Vec<f32>>> {
        let SlotStep { slot: SlotIndex(slot), mut tokens, mut position, .. } = *step;
        let model = &mut self.slots[slot];
        let mut logits = None;
        while !tokens.is_empty() {
            let (now, later) = tokens.split_at(model.stride(tokens.len()));
            let input = Tensor::new(now, &self.device)?.unsqueeze(0)?;
            logits = Some(model.forward(&input, position)?);
            position += now.len();
            tokens = later;
        }
        match logits {
            Some(logits) if step.wants_logits => {
                logits.flatten_all()?.to_dtype(DType::F32)?.to_vec1().map(Some)
            }
            _ => Ok(None),
        }
    }

    fn refuse(&self, step: &SlotStep<'_>) -> std::result::Result<(), EngineError> {
        let refused = |why: String| Err(EngineError::Refused(why));
        let slot = step.slot.0;
        if slot >= self.slots.len() {
            return refused(format!("slot {slot} of {}", self.slots.len()));
        }
        if step.tokens.is_empty() || step.tokens.len() > CHUNK_TOKENS {
            return refused(format!(
                "{} tokens in a chunk of 1 to {CHUNK_TOKENS}",
                step.tokens.len()
            ));
        }
        let end = step.position + step.tokens.len();
        if end > self.info.context_length {
            return refused(format!("{end} tokens in a context of {}", self.info.context_length));
        }
        if let Some(token) = step.tokens.iter().find(|t| **t as usize >= self.info.vocabulary) {
            return refused(format!("token {token} of {}", self.info.vocabulary));
        }
        Ok(())
    }
}

impl Source {
    fn info(self, shape: &ModelShape, context_length: usize, slots: usize, cpu: bool) -> ModelInfo {
        const F32_BYTES: u64 = 4;
        let embedding = (shape.vocabulary * shape.embedding_length) as u64 * F32_BYTES;
        // On a processor the packed copy of the weights stays beside them.
        let copies = if cpu { 2 } else { 1 };
        let caches = shape.kv_bytes_per_token() * (slots * context_length) as u64;
        ModelInfo {
            architecture: shape.architecture.to_string(),
            name: self.name,
            parameters: self.parameters,
            quantisation: self.quantisation,
            context_length,
            vocabulary: shape.vocabulary,
            file_bytes: self.file_bytes,
            memory_bytes_estimate: copies * self.weight_bytes + embedding + caches,
        }
    }
}

impl Engine for CandleEngine {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn slots(&self) -> usize {
        self.slots.len()
    }

    fn chunk_tokens(&self) -> usize {
        CHUNK_TOKENS
    }

    fn step(&mut self, work: &[SlotStep<'_>]) -> std::result::Result<Vec<StepOutput>, EngineError> {
        work.iter().try_for_each(|step| self.refuse(step))?;
        let mut outputs = Vec::with_capacity(work.len());
        for step in work {
            let logits = self.forward(step).map_err(|e| EngineError::Failed(e.to_string()))?;
            outputs.extend(logits.map(|logits| StepOutput { slot: step.slot, logits }));
        }
        Ok(outputs)
    }

    fn clear(&mut self, SlotIndex(slot): SlotIndex) {
        let fresh = self.pristine.as_ref().and_then(Model::fresh);
        match (self.slots.get_mut(slot), fresh) {
            (Some(slot), Some(fresh)) => *slot = fresh,
            (Some(Model::Qwen2(model)), None) => model.clear_kv_cache(),
            _ => {}
        }
    }
}
