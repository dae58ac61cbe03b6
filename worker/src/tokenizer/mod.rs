//! Text to tokens and tokens to bytes.
//!
//! [`Tokenizer`] is the interface; [`gguf::GgufTokenizer`] is built from a
//! model file and [`crate::engine::scripted`] has a trivial one for tests.
//!
//! A single token decodes to *bytes*, not text: a character may be split over
//! tokens, and [`crate::text`] puts it together again.
//!
//! What a person wrote must not become a control token. A conversation is
//! therefore shielded before the chat template joins it with the template's
//! own control tokens: [`Tokenizer::shield`] marks the places in a message
//! that read like one, and [`Tokenizer::encode`] reads a marked place as the
//! plain text it is and drops the mark.

pub(crate) mod byte_level;
pub mod gguf;
mod sentencepiece;
mod special;

use std::borrow::Cow;

/// Why there are no tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenizerError {
    /// The file lacks something.
    #[error("{key} is missing")]
    Missing {
        /// The metadata key.
        key: &'static str,
    },
    /// The file holds something that cannot be.
    #[error("{key} is {found}, which must be {expected}")]
    Invalid {
        /// The metadata key.
        key: &'static str,
        /// What the file says.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// The tokenizer library refused.
    #[error("the tokenizer failed: {0}")]
    Failed(String),
}

/// Text to tokens and back, for one model.
pub trait Tokenizer: Send + Sync {
    /// The tokens of a prompt. Control tokens written out in `text` become
    /// those tokens unless they are shielded, and the model's first token is
    /// put in front if the model wants one and `text` does not begin with it.
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError>;

    /// The bytes that a token adds to an answer: none for control tokens.
    fn bytes(&self, token: u32) -> &[u8];

    /// Whether the model says with this token that it is done.
    fn is_end(&self, token: u32) -> bool;

    /// How many tokens there are.
    fn vocabulary(&self) -> usize;

    /// `text`, marked so that nothing in it is read as a control token.
    fn shield<'a>(&self, text: &'a str) -> Cow<'a, str>;

    /// The first and the last token written out, as chat templates use them.
    fn markers(&self) -> Markers;
}

/// The first and the last token of a text, written out; empty where the model
/// has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Markers {
    /// The beginning.
    pub bos: String,
    /// The end.
    pub eos: String,
}
