//! Byte-level BPE, the tokenizer of GPT-2, Llama 3, Qwen and SmolLM.
//!
//! Every byte has a visible character, so a vocabulary can be written as text.
//! What differs between models is how a text is cut before merging; the file
//! names it in `tokenizer.ggml.pre`.

use tokenizers::{
    PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer,
    models::bpe::{BPE, Vocab},
    normalizers::unicode::NFC,
    pre_tokenizers::{
        byte_level::ByteLevel,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
};

use super::TokenizerError;

const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const ONE_DIGIT: &str = r"\p{N}";

/// How a text is cut into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Gpt2,
    Llama3,
    Qwen2,
    /// GPT-2's way with every digit alone.
    SmolLm,
}

impl Cut {
    /// The way that a model file names; `None` if it is not known here.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "default" | "gpt-2" | "gpt2" | "phi-2" | "mpt" | "olmo" | "jais" => Self::Gpt2,
            "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "smaug-bpe" | "dbrx" => Self::Llama3,
            "qwen2" | "deepseek-r1-qwen" | "stablelm2" | "megrez" => Self::Qwen2,
            "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" => Self::SmolLm,
            _ => return None,
        })
    }

    fn pre_tokenizer(self) -> tokenizers::Result<PreTokenizerWrapper> {
        let split = |pattern: &str| {
            let pattern = SplitPattern::Regex(pattern.to_owned());
            Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
        };
        // Never a space in front: the first word of an answer's context is not
        // always the first of a text.
        let bytes = |words: bool| ByteLevel::new(false, false, words).into();
        Ok(match self {
            Self::Gpt2 => bytes(true),
            Self::Llama3 => Sequence::new(vec![split(LLAMA3)?.into(), bytes(false)]).into(),
            Self::Qwen2 => Sequence::new(vec![split(QWEN2)?.into(), bytes(false)]).into(),
            Self::SmolLm => Sequence::new(vec![split(ONE_DIGIT)?.into(), bytes(true)]).into(),
        })
    }
}

/// Text without special tokens to tokens.
pub(super) struct ByteLevelBpe(Tokenizer);

impl ByteLevelBpe {
    pub(super) fn new(
        tokens: &[String],
        merges: &[String],
        cut: Cut,
    ) -> Result<Self, TokenizerError> {
        let vocabulary: Vocab = (0..).zip(tokens).map(|(id, token)| (token.clone(), id)).collect();
        let merges = merges.iter().filter_map(|merge| {
            let (left, right) = merge.split_once(' ')?;
            // The library takes it on trust that all three are tokens.
            let known = [left, right, &format!("{left}{right}")]
                .iter()
                .all(|token| vocabulary.contains_key(*token));
            known.then(|| (left.to_owned(), right.to_owned()))
        });
        let merges = merges.collect();
        let bpe = BPE::builder()
            .vocab_and_merges(vocabulary, merges)
            .ignore_merges(cut == Cut::Llama3)
            .build()
            .map_err(failed)?;
        let mut tokenizer = Tokenizer::new(bpe);
        tokenizer.with_pre_tokenizer(Some(cut.pre_tokenizer().map_err(failed)?));
        if cut == Cut::Qwen2 {
            tokenizer.with_normalizer(Some(NFC)).map_err(failed)?;
        }
        Ok(Self(tokenizer))
    }

    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoding = self.0.encode_fast(text, false).map_err(failed)?;
        Ok(encoding.get_ids().to_vec())
    }
}

pub(super) fn failed(error: impl std::fmt::Display) -> TokenizerError {
    TokenizerError::Failed(error.to_string())
}

/// The character of every byte: itself where it can be seen, and the next
/// free one from U+0100 where it cannot.
pub(crate) fn alphabet() -> [char; 256] {
    let visible = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut free = '\u{100}'..;
    std::array::from_fn(|index| match u8::try_from(index) {
        Ok(byte) if visible(byte) => char::from(byte),
        _ => free.next().unwrap_or(char::REPLACEMENT_CHARACTER),
    })
}

/// What bytes a token written in the alphabet stands for.
#[derive(Debug)]
pub(super) struct Alphabet(Vec<Option<u8>>);

impl Alphabet {
    pub(super) fn new() -> Self {
        let mut bytes = vec![None; 0x200];
        for (byte, character) in (0..=u8::MAX).zip(alphabet()) {
            bytes[character as usize] = Some(byte);
        }
        Self(bytes)
    }

    /// The bytes of `token`; a character that is not in the alphabet stands
    /// for itself.
    pub(super) fn bytes(&self, token: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(token.len());
        for character in token.chars() {
            match self.0.get(character as usize).copied().flatten() {
                Some(byte) => bytes.push(byte),
                None => bytes.extend(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_gpt2s_and_reads_back() {
        let characters = alphabet();
        assert_eq!(characters[usize::from(b' ')], 'Ġ');
        assert_eq!(characters[usize::from(b'\n')], 'Ċ');
        let alphabet = Alphabet::new();
        for (byte, character) in (0..=u8::MAX).zip(characters) {
            assert_eq!(alphabet.bytes(&character.to_string()), [byte]);
        }
    }

    /// The words that a text is cut into, as text again.
    fn words(cut: Cut, text: &str) -> Vec<String> {
        let tokens: Vec<String> = alphabet().map(String::from).to_vec();
        let mut tokenizer = Tokenizer::new(
            BPE::builder()
                .vocab_and_merges(
                    (0..).zip(&tokens).map(|(id, t)| (t.clone(), id)).collect::<Vocab>(),
                    vec![],
                )
                .build()
                .unwrap(),
        );
        tokenizer.with_pre_tokenizer(Some(cut.pre_tokenizer().unwrap()));
        let encoding = tokenizer.encode(text, false).unwrap();
        let mut words: Vec<(Option<u32>, Vec<u8>)> = Vec::new();
        for (&token, &word) in encoding.get_ids().iter().zip(encoding.get_word_ids()) {
            let byte = u8::try_from(token).unwrap();
            match words.last_mut() {
                Some((last, bytes)) if *last == word => bytes.push(byte),
                _ => words.push((word, vec![byte])),
            }
        }
        words.into_iter().map(|(_, bytes)| String::from_utf8(bytes).unwrap()).collect()
    }

    #[test]
    fn each_way_of_cutting_treats_numbers_and_spaces_its_own_way() {
        let text = "I'LL  pay 1234!";
        assert_eq!(words(Cut::Gpt2, text), ["I", "'", "LL", " ", " pay", " 1234", "!"]);
        assert_eq!(words(Cut::Llama3, text), ["I", "'LL", " ", " pay", " ", "123", "4", "!"]);
        assert_eq!(
            words(Cut::Qwen2, text),
            ["I", "'LL", " ", " pay", " ", "1", "2", "3", "4", "!"]
        );
        assert_eq!(
            words(Cut::SmolLm, text),
            ["I", "'", "LL", " ", " pay", " ", "1", "2", "3", "4", "!"]
        );
    }
}
