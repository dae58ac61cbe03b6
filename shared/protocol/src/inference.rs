//! The worker's wire: one inference request and the events of its answer.
//!
//! `POST /v1/inference` answers with a stream of [`InferenceEvent`]s: tokens
//! with dense indices from 0, then one `stats`, then the end marker. With a
//! `request_id` the request outlives its connection and can be resumed.

use serde::{Deserialize, Serialize};

use crate::{RequestId, bounds};

/// Who speaks in a chat message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions for the whole conversation.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// How the next token is chosen.
///
/// The filters apply in the order penalty, temperature, top-k, top-p, min-p; `temperature` 0 is
/// greedy decoding. Equal parameters, seed included, give equal text on the
/// same engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// How many tokens are generated at most.
    pub max_tokens: u32,
    /// 0 to 2; 0 always takes the likeliest token.
    pub temperature: f64,
    /// Keep the smallest set of tokens whose probability reaches this.
    pub top_p: Option<f64>,
    /// Keep this many of the likeliest tokens; 0 keeps all.
    pub top_k: Option<u32>,
    /// Drop tokens less likely than this times the likeliest one.
    pub min_p: Option<f64>,
    /// Above 1, tokens already seen become less likely.
    pub repetition_penalty: Option<f64>,
    /// Absent: a new one each time.
    pub seed: Option<u64>,
    /// Generation ends before the first of these would appear.
    pub stop: Vec<String>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            max_tokens: default_max_tokens(),
            temperature: default_temperature(),
            top_p: None,
            top_k: None,
            min_p: None,
            repetition_penalty: None,
            seed: None,
            stop: Vec::new(),
        }
    }
}

pub(crate) fn default_max_tokens() -> u32 {
    256
}

pub(crate) fn default_temperature() -> f64 {
    0.7
}

/// The body of `POST /v1/inference`.
///
/// Exactly one of `prompt`, `messages` and `prompt_tokens` is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InferenceRequest {
    /// Makes the request outlive its connection; the same id twice is the
    /// same request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// Text to continue, as it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// A conversation, put into the model's chat template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<Message>>,
    /// Token ids of the model's own vocabulary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<Vec<u32>>,
    /// See [`Sampling::max_tokens`].
    #[serde(default = "default_max_tokens", deserialize_with = "bounds::max_tokens")]
    pub max_tokens: u32,
    /// See [`Sampling::temperature`].
    #[serde(default = "default_temperature", deserialize_with = "bounds::temperature")]
    pub temperature: f64,
    /// See [`Sampling::top_p`].
    #[serde(
        default,
        deserialize_with = "bounds::fraction",
        skip_serializing_if = "Option::is_none"
    )]
    pub top_p: Option<f64>,
    /// See [`Sampling::top_k`].
    #[serde(default, deserialize_with = "bounds::top_k", skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// See [`Sampling::min_p`].
    #[serde(
        default,
        deserialize_with = "bounds::fraction",
        skip_serializing_if = "Option::is_none"
    )]
    pub min_p: Option<f64>,
    /// See [`Sampling::repetition_penalty`].
    #[serde(
        default,
        deserialize_with = "bounds::repetition_penalty",
        skip_serializing_if = "Option::is_none"
    )]
    pub repetition_penalty: Option<f64>,
    /// See [`Sampling::seed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// See [`Sampling::stop`].
    #[serde(default, deserialize_with = "bounds::stop", skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// What is left of the caller's deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

impl InferenceRequest {
    /// How the answer is to be sampled.
    pub fn sampling(&self) -> Sampling {
        Sampling {
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
            stop: self.stop.clone(),
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model said that it is done, or a stop string came up.
    Stop,
    /// `max_tokens` were generated.
    Length,
    /// The model's context is full.
    ContextFull,
}

/// What the answer cost; the last event before the end marker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InferenceStats {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens generated, those held back by a stop string included.
    pub generated_tokens: u32,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// From acceptance to the first token; `null` when there was none.
    pub time_to_first_token_ms: Option<f64>,
    /// Over the generation without the prompt; `null` below two tokens.
    pub tokens_per_second: Option<f64>,
}

/// One event of a worker's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum InferenceEvent {
    /// A piece of text.
    ///
    /// Its text is always whole UTF-8: bytes of a character that is split over
    /// tokens are held back until the character is whole, so the text may be
    /// empty.
    Token {
        /// The text, nothing added.
        message: String,
        /// The token's id in the model's vocabulary.
        id: u32,
        /// 0, 1, 2, … without a hole.
        index: u32,
    },
    /// What it cost.
    Stats {
        /// The figures.
        fields: InferenceStats,
    },
}
