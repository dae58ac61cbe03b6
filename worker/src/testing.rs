//! Small things that several tests of this crate build on; never in a release.
//!
//! [`model`] is a whole GGUF file with weights that mean nothing: small enough
//! to be built in every test, real enough for the loaders.

use std::io::Cursor;

use candle_core::{
    Device, Tensor,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{self, Value},
    },
};

const EMBEDDING: usize = 64;
const HEAD: usize = 16;
const KV: usize = 2 * HEAD;
const FFN: usize = 128;
const LAYERS: usize = 2;

/// The tokens of a test model: all bytes, two words, and the control tokens.
pub(crate) const BOS: u32 = 258;
pub(crate) const EOS: u32 = 259;
pub(crate) const USER: u32 = 260;
const VOCABULARY: usize = 264;

/// A model file in the making.
pub(crate) struct TestModel {
    metadata: Vec<(String, Value)>,
    tensors: Vec<(String, QTensor)>,
}

/// A model of `architecture` with a byte-level tokenizer and a chat template.
pub(crate) fn model(architecture: &str) -> TestModel {
    let mut model = TestModel { metadata: Vec::new(), tensors: Vec::new() };
    model.describe(architecture);
    model.tokenize();
    model.tensor("token_embd.weight", &[VOCABULARY, EMBEDDING]);
    model.tensor("output.weight", &[VOCABULARY, EMBEDDING]);
    model.norm("output_norm.weight", EMBEDDING);
    for layer in 0..LAYERS {
        model.layer(architecture, &format!("blk.{layer}"));
    }
    model
}

impl TestModel {
    /// Sets a metadata value, anew or in place of another.
    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.set(key, value);
        self
    }

    /// Leaves a metadata value out.
    pub(crate) fn without(mut self, key: &str) -> Self {
        self.metadata.retain(|(name, _)| name != key);
        self
    }

    /// Leaves a tensor out.
    pub(crate) fn without_tensor(mut self, name: &str) -> Self {
        self.tensors.retain(|(tensor, _)| tensor != name);
        self
    }

    /// The file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let metadata: Vec<_> =
            self.metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let tensors: Vec<_> =
            self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let mut file = Cursor::new(Vec::new());
        gguf_file::write(&mut file, &metadata, &tensors).unwrap();
        file.into_inner()
    }

    fn set(&mut self, key: &str, value: Value) {
        self.metadata.retain(|(name, _)| name != key);
        self.metadata.push((key.to_owned(), value));
    }

    fn describe(&mut self, architecture: &str) {
        self.set("general.architecture", Value::String(architecture.to_owned()));
        self.set("general.name", Value::String("test model".to_owned()));
        let counts = [
            ("context_length", 512),
            ("embedding_length", 64),
            ("block_count", 2),
            ("feed_forward_length", 128),
            ("attention.head_count", 4),
            ("attention.head_count_kv", 2),
            ("attention.key_length", 16),
            ("rope.dimension_count", 16),
        ];
        for (key, value) in counts {
            self.set(&format!("{architecture}.{key}"), Value::U32(value));
        }
        for (key, value) in [("attention.layer_norm_rms_epsilon", 1e-5), ("rope.freq_base", 1e4)] {
            self.set(&format!("{architecture}.{key}"), Value::F32(value));
        }
    }

    fn tokenize(&mut self) {
        let mut tokens: Vec<String> =
            crate::tokenizer::byte_level::alphabet().map(String::from).to_vec();
        let words = ["th", "the", "<s>", "</s>", "<|user|>", "<|assistant|>", "<pad>", "<tool>"];
        tokens.extend(words.map(str::to_owned));
        let kinds = (0..256).map(|_| 1).chain([1, 1, 3, 3, 3, 3, 3, 4]);
        let strings =
            |words: &[String]| Value::Array(words.iter().cloned().map(Value::String).collect());
        let merges = ["t h".to_owned(), "th e".to_owned()];
        self.set("tokenizer.ggml.model", Value::String("gpt2".to_owned()));
        self.set("tokenizer.ggml.pre", Value::String("gpt-2".to_owned()));
        self.set("tokenizer.ggml.tokens", strings(&tokens));
        self.set("tokenizer.ggml.merges", strings(&merges));
        self.set("tokenizer.ggml.token_type", Value::Array(kinds.map(Value::I32).collect()));
        self.set("tokenizer.ggml.bos_token_id", Value::U32(BOS));
        self.set("tokenizer.ggml.eos_token_id", Value::U32(EOS));
        let template = "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}\
            {% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";
        self.set("tokenizer.chat_template", Value::String(template.to_owned()));
    }

    fn layer(&mut self, architecture: &str, prefix: &str) {
        let name = |part: &str| format!("{prefix}.{part}");
        self.norm(&name("attn_norm.weight"), EMBEDDING);
        self.norm(&name("ffn_norm.weight"), EMBEDDING);
        self.tensor(&name("attn_output.weight"), &[EMBEDDING, EMBEDDING]);
        self.tensor(&name("ffn_down.weight"), &[EMBEDDING, FFN]);
        if architecture == "phi3" {
            self.tensor(&name("attn_qkv.weight"), &[EMBEDDING + 2 * KV, EMBEDDING]);
            self.tensor(&name("ffn_up.weight"), &[2 * FFN, EMBEDDING]);
            return;
        }
        for (part, rows) in [("attn_q", EMBEDDING), ("attn_k", KV), ("attn_v", KV)] {
            self.tensor(&name(&format!("{part}.weight")), &[rows, EMBEDDING]);
            if architecture == "qwen2" {
                self.plain(&name(&format!("{part}.bias")), &[rows]);
            }
        }
        for part in ["ffn_gate.weight", "ffn_up.weight"] {
            self.tensor(&name(part), &[FFN, EMBEDDING]);
        }
        if architecture == "qwen3" {
            self.norm(&name("attn_q_norm.weight"), HEAD);
            self.norm(&name("attn_k_norm.weight"), HEAD);
        }
    }

    fn tensor(&mut self, name: &str, dims: &[usize]) {
        self.push(name, noise(name, dims), GgmlDType::Q8_0);
    }

    fn plain(&mut self, name: &str, dims: &[usize]) {
        self.push(name, noise(name, dims), GgmlDType::F32);
    }

    fn norm(&mut self, name: &str, len: usize) {
        let ones = Tensor::ones(len, candle_core::DType::F32, &Device::Cpu).unwrap();
        self.push(name, ones, GgmlDType::F32);
    }

    fn push(&mut self, name: &str, tensor: Tensor, dtype: GgmlDType) {
        self.tensors.push((name.to_owned(), QTensor::quantize(&tensor, dtype).unwrap()));
    }
}

/// Numbers between -0.5 and 0.5 that depend on the name and on nothing else.
fn noise(name: &str, dims: &[usize]) -> Tensor {
    let mut state = name
        .bytes()
        .fold(0x9e37_79b9_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let values: Vec<f32> = (0..dims.iter().product())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u16::try_from(state >> 16).unwrap()) / 65_536.0 - 0.5
        })
        .collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}
