//! Whether a model's description of itself makes sense to an engine.
//!
//! The stock models divide by head counts, reserve memory by layer counts and
//! tabulate angles by lengths, all straight from the metadata. Here every
//! number they will use is read, bounded and held against the tensors first,
//! and what a file may leave out is filled in.
//!
//! It loads no weights, and it refuses what no engine here computes by name.

use std::fmt;

use candle_core::quantized::gguf_file::{Content, TensorInfo, Value};

/// The longest sequence the stock models can hold: one of them has its table
/// of angles fixed at this, and their masks and caches, which grow with every
/// token, are no good beyond it.
pub const CONTEXT_MAX: usize = 4096;

const EMBEDDING_MAX: usize = 1 << 16;
const LAYERS_MAX: usize = 1 << 10;
const HEADS_MAX: usize = 1 << 10;
const EXPERTS_MAX: usize = 1 << 8;
const VOCABULARY_MAX: usize = 1 << 20;

/// Why an engine would not know what to do with a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A kind of model that no engine here computes.
    #[error("the model's architecture is {found:?}; supported are {}", Architecture::names())]
    Architecture {
        /// What the file says.
        found: String,
    },
    /// Something that must be there is not.
    #[error("{key} is missing")]
    Missing {
        /// The metadata key or the tensor.
        key: String,
    },
    /// A value that cannot be.
    #[error("{key} is {found}, which must be {expected}")]
    Invalid {
        /// The metadata key or the tensor.
        key: String,
        /// What the file says.
        found: String,
        /// What would be right.
        expected: String,
    },
}

/// The kinds of model that can be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Llama and everything built like it: Mistral, TinyLlama, SmolLM.
    Llama,
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Qwen 3, dense.
    Qwen3,
    /// Phi 3 and 3.5.
    Phi3,
}

impl Architecture {
    const ALL: [Self; 4] = [Self::Llama, Self::Qwen2, Self::Qwen3, Self::Phi3];

    /// The name in the file, which also begins its metadata keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Phi3 => "phi3",
        }
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The numbers an engine needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelShape {
    /// The kind of model.
    pub architecture: Architecture,
    /// The context it was trained for.
    pub context_length: usize,
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// The width of the model.
    pub embedding_length: usize,
    /// How many layers there are.
    pub layers: usize,
    /// How many key-value heads each layer has.
    pub kv_heads: usize,
    /// The width of one head.
    pub head_dim: usize,
}

impl ModelShape {
    /// Reads and checks the description, and completes it: counts that a file
    /// may leave out are written into `content`.
    pub fn read(content: &mut Content) -> Result<Self, ShapeError> {
        let architecture = architecture(content)?;
        let keys = Keys { content, prefix: architecture.name() };
        let embedding_length = keys.count("embedding_length", EMBEDDING_MAX)?;
        let layers = keys.count("block_count", LAYERS_MAX)?;
        let heads = keys.count("attention.head_count", HEADS_MAX)?;
        let kv_heads = keys.count_or("attention.head_count_kv", HEADS_MAX, heads)?;
        let context_length = keys.count("context_length", u32::MAX as usize)?;
        if heads % kv_heads != 0 {
            return Err(keys.invalid(
                "attention.head_count_kv",
                kv_heads,
                "a divisor of the heads",
            ));
        }
        if embedding_length % heads != 0 {
            let expected = "a divisor of the embedding length";
            return Err(keys.invalid("attention.head_count", heads, expected));
        }
        let head_dim = match architecture {
            Architecture::Qwen3 => keys.count("attention.key_length", EMBEDDING_MAX)?,
            _ => embedding_length / heads,
        };
        if head_dim % 2 != 0 {
            let expected = "such that the width of a head is even";
            return Err(keys.invalid("attention.head_count", heads, expected));
        }
        keys.rope(architecture, head_dim)?;
        keys.experts()?;
        keys.positive("attention.layer_norm_rms_epsilon", None)?;
        let vocabulary = vocabulary(content, embedding_length)?;
        let shape = Self {
            architecture,
            context_length,
            vocabulary,
            embedding_length,
            layers,
            kv_heads,
            head_dim,
        };
        shape.complete(content);
        Ok(shape)
    }

    /// What one slot keeps per token, in bytes.
    pub fn kv_bytes_per_token(&self) -> u64 {
        const F32_BYTES: usize = 4;
        (2 * self.layers * self.kv_heads * self.head_dim * F32_BYTES) as u64
    }

    /// Writes the values that a file may leave out where the loader looks.
    fn complete(&self, content: &mut Content) {
        let defaults =
            [("attention.head_count_kv", self.kv_heads), ("rope.dimension_count", self.head_dim)];
        for (key, value) in defaults {
            let key = format!("{}.{key}", self.architecture);
            let value = Value::U32(u32::try_from(value).unwrap_or(u32::MAX));
            content.metadata.entry(key).or_insert(value);
        }
    }
}

fn architecture(content: &Content) -> Result<Architecture, ShapeError> {
    const KEY: &str = "general.architecture";
    let value = content.metadata.get(KEY).ok_or_else(|| missing(KEY))?;
    let found = value.to_string().map_err(|_| missing(KEY))?;
    let known = Architecture::ALL.into_iter().find(|architecture| architecture.name() == found);
    known.ok_or_else(|| ShapeError::Architecture { found: found.chars().take(80).collect() })
}

/// The number of rows of the embedding, which the output must share: a token
/// that can be chosen must be one that can be read back.
fn vocabulary(content: &Content, embedding_length: usize) -> Result<usize, ShapeError> {
    const EMBEDDING: &str = "token_embd.weight";
    let embedding = content.tensor_infos.get(EMBEDDING).ok_or_else(|| missing(EMBEDDING))?;
    let invalid = |key: &str, info: &TensorInfo, expected: String| ShapeError::Invalid {
        key: key.to_owned(),
        found: format!("of shape {:?}", info.shape.dims()),
        expected,
    };
    let rows = match embedding.shape.dims() {
        [rows, width] if *width == embedding_length && *rows <= VOCABULARY_MAX => *rows,
        _ => {
            let expected = format!("of shape [vocabulary, {embedding_length}]");
            return Err(invalid(EMBEDDING, embedding, expected));
        }
    };
    match content.tensor_infos.get("output.weight") {
        Some(output) if output.shape.dims() != [rows, embedding_length] => {
            let expected = format!("of shape [{rows}, {embedding_length}]");
            Err(invalid("output.weight", output, expected))
        }
        _ => Ok(rows),
    }
}

fn missing(key: impl Into<String>) -> ShapeError {
    ShapeError::Missing { key: key.into() }
}

/// The metadata of one architecture.
struct Keys<'a> {
    content: &'a Content,
    prefix: &'static str,
}

impl Keys<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.content.metadata.get(&self.key(name))
    }

    fn invalid(&self, name: &str, found: impl fmt::Display, expected: &str) -> ShapeError {
        ShapeError::Invalid {
            key: self.key(name),
            found: found.to_string(),
            expected: expected.to_owned(),
        }
    }

    /// A number from 1 to `max`, stored as the loader expects it.
    fn count(&self, name: &str, max: usize) -> Result<usize, ShapeError> {
        let value = self.value(name).ok_or_else(|| missing(self.key(name)))?;
        let count = value.to_u32().ok().map(|count| count as usize);
        count.filter(|count| (1..=max).contains(count)).ok_or_else(|| {
            let found: String = format!("{value:?}").chars().take(80).collect();
            self.invalid(name, found, &format!("a u32 between 1 and {max}"))
        })
    }

    fn count_or(&self, name: &str, max: usize, absent: usize) -> Result<usize, ShapeError> {
        if self.value(name).is_none() { Ok(absent) } else { self.count(name, max) }
    }

    fn rope(&self, architecture: Architecture, head_dim: usize) -> Result<(), ShapeError> {
        let dimensions = self.count_or("rope.dimension_count", EMBEDDING_MAX, head_dim)?;
        if dimensions != head_dim {
            let expected = format!("{head_dim}, the width of a head");
            return Err(self.invalid("rope.dimension_count", dimensions, &expected));
        }
        // The loader of this one does without a default.
        let absent = (architecture != Architecture::Qwen3).then_some(10_000.0);
        self.positive("rope.freq_base", absent)
    }

    fn experts(&self) -> Result<(), ShapeError> {
        if self.value("expert_count").is_none_or(|count| matches!(count.to_u32(), Ok(0))) {
            return Ok(());
        }
        let experts = self.count("expert_count", EXPERTS_MAX)?;
        self.count("expert_used_count", experts).map(|_| ())
    }

    fn positive(&self, name: &str, absent: Option<f32>) -> Result<(), ShapeError> {
        let value = match (self.value(name), absent) {
            (Some(value), _) => value.to_f32().unwrap_or(f32::NAN),
            (None, Some(absent)) => absent,
            (None, None) => return Err(missing(self.key(name))),
        };
        if value.is_finite() && value > 0.0 {
            return Ok(());
        }
        Err(self.invalid(name, value, "a positive f32"))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::testing::{self, TestModel};

    fn read(model: TestModel) -> Result<ModelShape, ShapeError> {
        let mut content = Content::read(&mut Cursor::new(model.bytes())).unwrap();
        ModelShape::read(&mut content)
    }

    #[test]
    fn a_sane_description_of_every_architecture_is_read() {
        for architecture in Architecture::ALL {
            let shape = read(testing::model(architecture.name())).unwrap();
            assert_eq!(shape.architecture, architecture);
            assert_eq!((shape.layers, shape.kv_heads, shape.head_dim), (2, 2, 16));
            assert_eq!(shape.kv_bytes_per_token(), 2 * 2 * 2 * 16 * 4);
        }
    }

    #[test]
    fn an_unknown_architecture_is_named_beside_the_known_ones() {
        let model =
            testing::model("llama").with("general.architecture", Value::String("mamba".into()));
        let error = read(model).unwrap_err().to_string();
        assert!(error.contains("\"mamba\"") && error.contains("llama, qwen2"), "{error}");
    }

    #[test]
    fn silly_numbers_are_refused_by_the_name_of_their_key() {
        let silly = [
            ("attention.head_count", Value::U32(0)),
            ("attention.head_count", Value::U32(3)),
            ("attention.head_count", Value::String("four".into())),
            ("attention.head_count_kv", Value::U32(0)),
            ("attention.head_count_kv", Value::U32(3)),
            ("block_count", Value::U32(u32::MAX)),
            ("embedding_length", Value::U32(0)),
            ("embedding_length", Value::U32(u32::MAX)),
            ("context_length", Value::U32(0)),
            ("rope.dimension_count", Value::U32(1 << 15)),
            ("rope.freq_base", Value::F32(f32::NAN)),
            ("attention.layer_norm_rms_epsilon", Value::F32(-1.0)),
            ("expert_count", Value::U32(u32::MAX)),
        ];
        for (name, value) in silly {
            let key = format!("llama.{name}");
            let error = read(testing::model("llama").with(&key, value.clone())).unwrap_err();
            assert!(error.to_string().starts_with(&key), "{key} = {value:?}: {error}");
        }
    }

    #[test]
    fn an_embedding_of_another_width_is_refused() {
        let model = testing::model("llama")
            .with("llama.embedding_length", Value::U32(128))
            .without("llama.rope.dimension_count");
        let error = read(model).unwrap_err().to_string();
        assert!(error.contains("token_embd.weight"), "{error}");
    }

    #[test]
    fn what_may_be_left_out_is_filled_in() {
        let model = testing::model("llama").without("llama.rope.dimension_count");
        let mut content = Content::read(&mut Cursor::new(model.bytes())).unwrap();
        ModelShape::read(&mut content).unwrap();
        let filled = &content.metadata["llama.rope.dimension_count"];
        assert_eq!(filled.to_u32().unwrap(), 16);
    }
}
