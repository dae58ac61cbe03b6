//! Byte-level BPE, trained on the corpus.
//!
//! All 256 bytes are in the vocabulary, so any text goes through it and comes back unchanged. Text
//! is cut into words by the rule that GGUF files call `llama3`: of the rules that readers know by
//! name it is the one that neither puts a space before the text nor normalises it.

use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{AddedToken, Tokenizer, models::TrainerWrapper};

/// Stands before a document, for programs that insist on such a token.
pub const START: &str = "<|start|>";
/// Closes a document or an answer; generation stops here.
pub const END: &str = "<|end|>";
/// What follows is said by the user.
pub const USER: &str = "<|user|>";
/// What follows is said by the model.
pub const ASSISTANT: &str = "<|assistant|>";
/// What follows is an instruction for the conversation.
pub const SYSTEM: &str = "<|system|>";

/// The special tokens; the place in this list is the token id.
pub const SPECIAL: [&str; 5] = [START, END, USER, ASSISTANT, SYSTEM];

/// Id of [`START`].
pub const START_ID: u32 = 0;
/// Id of [`END`].
pub const END_ID: u32 = 1;

/// The name of the word rule in GGUF metadata.
pub const PRE_TOKENIZER: &str = "llama3";

/// The word rule of that name.
const WORDS: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// A trained vocabulary, and what a model file stores of it.
pub struct Vocabulary {
    tokenizer: Tokenizer,
    /// Every token, by id, in the byte-level alphabet.
    pub tokens: Vec<String>,
    /// Merges in the order in which they apply, as `left right`.
    pub merges: Vec<String>,
}

impl Vocabulary {
    /// Learns `size` tokens from `documents`.
    pub fn train(documents: &[String], size: usize) -> Result<Self> {
        let mut tokenizer = Tokenizer::new(BPE::default());
        let words = Split::new(
            SplitPattern::Regex(WORDS.to_owned()),
            SplitDelimiterBehavior::Isolated,
            false,
        )
        .map_err(|error| anyhow!("word rule: {error}"))?;
        let bytes = ByteLevel::new(false, true, false);
        tokenizer
            .with_pre_tokenizer(Some(Sequence::new(vec![words.into(), bytes.into()])))
            .with_decoder(Some(ByteLevelDecoder::new(false, true, false)));
        let mut trainer = TrainerWrapper::from(
            BpeTrainer::builder()
                .vocab_size(size)
                .min_frequency(2)
                .show_progress(false)
                .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
                .special_tokens(SPECIAL.map(|token| AddedToken::from(token, true)).to_vec())
                .build(),
        );
        // The special tokens must not be learned again as ordinary text.
        let pieces = documents.iter().flat_map(|text| text.split("<|").map(after_role));
        tokenizer
            .train(&mut trainer, pieces)
            .map_err(|error| anyhow!("training the tokenizer: {error}"))?;
        Self::read_back(tokenizer)
    }

    fn read_back(tokenizer: Tokenizer) -> Result<Self> {
        let tokens = (0..tokenizer.get_vocab_size(true) as u32)
            .map(|id| tokenizer.id_to_token(id).with_context(|| format!("no token has id {id}")))
            .collect::<Result<Vec<_>>>()?;
        // The merges have no accessor; their serialised form is the public one.
        let serialised = tokenizer.to_string(false).map_err(|error| anyhow!("{error}"))?;
        let serialised: Value = serde_json::from_str(&serialised)?;
        let merges = serialised["model"]["merges"]
            .as_array()
            .context("the tokenizer has no merges")?
            .iter()
            .map(|pair| match (pair[0].as_str(), pair[1].as_str()) {
                (Some(left), Some(right)) => Ok(format!("{left} {right}")),
                _ => Err(anyhow!("a merge is not a pair")),
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { tokenizer, tokens, merges })
    }

    /// The ids of a text; special tokens written out in it are recognised.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode(text, false).map_err(|error| anyhow!("{error}"))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of some ids, special tokens included.
    #[cfg(test)]
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.tokenizer.decode(ids, false).map_err(|error| anyhow!("{error}"))
    }
}

fn after_role(piece: &str) -> &str {
    piece.split_once("|>").map_or(piece, |(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Corpus;

    fn small() -> Vocabulary {
        let mut corpus = Corpus::new(3);
        let documents: Vec<_> = (0..300).map(|_| corpus.document().unwrap()).collect();
        Vocabulary::train(&documents, 700).unwrap()
    }

    #[test]
    fn any_text_comes_back_unchanged() {
        let vocabulary = small();
        for text in [
            "Once upon a time",
            " leading and trailing ",
            "two  spaces\nand\r\n\tlines\n\n",
            "Grüße, 東京, cafe\u{301}, \u{0}\u{7f}",
            "🦊🐝 👩‍🚀 don't 12345 <|nobody|>",
            "",
        ] {
            let ids = vocabulary.encode(text).unwrap();
            assert_eq!(vocabulary.decode(&ids).unwrap(), text);
        }
    }

    #[test]
    fn special_tokens_are_one_token_with_a_known_id() {
        let vocabulary = small();
        for (id, token) in SPECIAL.into_iter().enumerate() {
            assert_eq!(vocabulary.encode(token).unwrap(), [id as u32]);
        }
        assert_eq!(SPECIAL[START_ID as usize], START);
        assert_eq!(SPECIAL[END_ID as usize], END);
    }

    /// Some readers look a whole word up before they merge. Both ways must give the same tokens.
    #[test]
    fn every_token_is_what_its_own_text_encodes_to() {
        let vocabulary = small();
        for id in SPECIAL.len() as u32..vocabulary.tokens.len() as u32 {
            let text = vocabulary.decode(&[id]).unwrap();
            // Single bytes of a longer character are no text by themselves.
            if !text.contains(char::REPLACEMENT_CHARACTER) {
                assert_eq!(vocabulary.encode(&text).unwrap(), [id], "{text:?}");
            }
        }
    }

    #[test]
    fn the_same_corpus_gives_the_same_vocabulary() {
        let (one, two) = (small(), small());
        assert_eq!(one.tokens, two.tokens);
        assert_eq!(one.merges, two.merges);
        assert_eq!(one.tokens.len(), 700);
    }
}
