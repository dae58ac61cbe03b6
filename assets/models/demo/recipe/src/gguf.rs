//! Writes the model as one GGUF file that other programs load without further help.
//!
//! Matrices become Q8_0, which costs nothing that one could notice in a model of this size; the
//! norms are a few kilobytes and stay exact.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Result;
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};

use crate::model::Model;
use crate::tokenizer::{END_ID, PRE_TOKENIZER, SPECIAL, START_ID, Vocabulary};

/// `general.file_type` of a file that is mostly Q8_0.
const MOSTLY_Q8_0: u32 = 7;
/// Version of the block layouts, unchanged for years.
const QUANTIZATION_VERSION: u32 = 2;

const NORMAL_TOKEN: i32 = 1;
const CONTROL_TOKEN: i32 = 3;

/// How messages become a prompt. Answers are closed by the end token, everything else by the role
/// that follows.
pub const CHAT_TEMPLATE: &str = "{% for message in messages %}\
{% if message['role'] == 'system' %}{{ '<|system|>' + message['content'] }}\
{% elif message['role'] == 'user' %}{{ '<|user|>' + message['content'] }}\
{% elif message['role'] == 'assistant' %}{{ '<|assistant|>' + message['content'] + '<|end|>' }}\
{% endif %}{% endfor %}\
{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

/// Writes the file beside `path` and then moves it there, so that a reader never sees half of it.
pub fn write(path: &Path, model: &Model, vocabulary: &Vocabulary) -> Result<()> {
    let tensors = model
        .export()?
        .into_iter()
        .map(|(name, tensor)| {
            let kind = if tensor.rank() > 1 { GgmlDType::Q8_0 } else { GgmlDType::F32 };
            Ok((name, QTensor::quantize(&tensor, kind)?))
        })
        .collect::<Result<Vec<_>>>()?;
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let metadata = metadata(model, vocabulary);
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (*key, value)).collect();

    let unfinished = path.with_extension("gguf.part");
    let mut file = BufWriter::new(File::create(&unfinished)?);
    gguf_file::write(&mut file, &metadata, &tensors)?;
    file.flush()?;
    fs::rename(&unfinished, path)?;
    Ok(())
}

fn metadata(model: &Model, vocabulary: &Vocabulary) -> Vec<(&'static str, Value)> {
    let shape = model.shape();
    let text = |value: &str| Value::String(value.to_owned());
    let count = |value: usize| Value::U32(value as u32);
    let texts = |values: &[String]| Value::Array(values.iter().map(|value| text(value)).collect());
    let kinds = (0..vocabulary.tokens.len())
        .map(|id| Value::I32(if id < SPECIAL.len() { CONTROL_TOKEN } else { NORMAL_TOKEN }))
        .collect();
    vec![
        ("general.architecture", text("llama")),
        ("general.type", text("model")),
        ("general.name", text("rbee demo")),
        ("general.author", text("the rbee authors")),
        ("general.license", text("mit")),
        (
            "general.description",
            text("A very small model that tells short stories. Made for trying rbee out."),
        ),
        ("general.size_label", text("3M")),
        ("general.quantization_version", Value::U32(QUANTIZATION_VERSION)),
        ("general.file_type", Value::U32(MOSTLY_Q8_0)),
        ("llama.context_length", count(shape.context)),
        ("llama.embedding_length", count(shape.hidden)),
        ("llama.block_count", count(shape.layers)),
        ("llama.feed_forward_length", count(shape.feed_forward)),
        ("llama.attention.head_count", count(shape.heads)),
        ("llama.attention.head_count_kv", count(shape.kv_heads)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(shape.norm_eps)),
        ("llama.rope.dimension_count", count(shape.head_width())),
        ("llama.rope.freq_base", Value::F32(shape.rope_base)),
        ("llama.vocab_size", count(shape.vocabulary)),
        ("tokenizer.ggml.model", text("gpt2")),
        ("tokenizer.ggml.pre", text(PRE_TOKENIZER)),
        ("tokenizer.ggml.tokens", texts(&vocabulary.tokens)),
        ("tokenizer.ggml.token_type", Value::Array(kinds)),
        ("tokenizer.ggml.merges", texts(&vocabulary.merges)),
        ("tokenizer.ggml.bos_token_id", Value::U32(START_ID)),
        ("tokenizer.ggml.eos_token_id", Value::U32(END_ID)),
        ("tokenizer.ggml.padding_token_id", Value::U32(END_ID)),
        ("tokenizer.ggml.add_bos_token", Value::Bool(false)),
        ("tokenizer.ggml.add_eos_token", Value::Bool(false)),
        ("tokenizer.chat_template", text(CHAT_TEMPLATE)),
    ]
}
