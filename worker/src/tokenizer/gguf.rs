//! The tokenizer that a GGUF file describes in its metadata.
//!
//! `tokenizer.ggml.model` is `gpt2` (byte-level BPE) or `llama`
//! (SentencePiece BPE); anything else is refused by name.

use std::{borrow::Cow, collections::HashMap};

use candle_core::quantized::gguf_file::Value;

use super::{
    Markers, Tokenizer, TokenizerError,
    byte_level::{Alphabet, ByteLevelBpe, Cut},
    sentencepiece::{self, SentencePieceBpe},
    special::{Span, SpecialTokens},
};

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const TOKENS: &str = "tokenizer.ggml.tokens";
const SCORES: &str = "tokenizer.ggml.scores";
const MERGES: &str = "tokenizer.ggml.merges";
const TYPES: &str = "tokenizer.ggml.token_type";
const BOS: &str = "tokenizer.ggml.bos_token_id";
const EOS: &str = "tokenizer.ggml.eos_token_id";
const UNKNOWN: &str = "tokenizer.ggml.unknown_token_id";
const ADD_BOS: &str = "tokenizer.ggml.add_bos_token";
const ADD_SPACE: &str = "tokenizer.ggml.add_space_prefix";
/// Files name the ends of a turn and of a message apart from the end of a text.
const OTHER_ENDS: [&str; 2] = ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];

/// Control tokens that end an answer, for the many files that name only one
/// of theirs as the end.
const END_TEXTS: [&str; 9] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot|>",
    "</s>",
];

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl Kind {
    fn from_number(number: i64) -> Self {
        match number {
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => Self::Normal,
        }
    }
}

enum Merger {
    ByteLevel(Box<ByteLevelBpe>),
    SentencePiece(Box<SentencePieceBpe>),
}

/// A tokenizer built from a file's metadata.
pub struct GgufTokenizer {
    merger: Merger,
    special: SpecialTokens,
    /// The bytes of all tokens in one piece, and where each of them ends.
    bytes: Vec<u8>,
    bytes_end: Vec<usize>,
    ends: Vec<u32>,
    /// The token that goes in front of every text.
    first: Option<u32>,
    markers: Markers,
}

impl GgufTokenizer {
    /// Builds the tokenizer that `metadata` describes.
    pub fn new(metadata: &HashMap<String, Value>) -> Result<Self, TokenizerError> {
        let metadata = Metadata(metadata);
        let model = metadata.string(MODEL)?.ok_or(TokenizerError::Missing { key: MODEL })?;
        let tokens = metadata.strings(TOKENS)?;
        let kinds = metadata.kinds(tokens.len())?;
        let bos = metadata.token(BOS, tokens.len())?;
        let (merger, adds_bos, bytes_of): (_, _, BytesOf) = match model {
            "gpt2" => {
                let cut = metadata.cut()?;
                let bpe = ByteLevelBpe::new(&tokens, &metadata.strings(MERGES)?, cut)?;
                let alphabet = Alphabet::new();
                let bytes = Box::new(move |token: &str| alphabet.bytes(token));
                (Merger::ByteLevel(Box::new(bpe)), cut == Cut::Llama3, bytes)
            }
            "llama" => {
                let bpe = metadata.sentencepiece(&tokens, &kinds)?;
                (Merger::SentencePiece(Box::new(bpe)), true, Box::new(sentencepiece::plain_bytes))
            }
            other => {
                return Err(TokenizerError::Invalid {
                    key: MODEL,
                    found: format!("{other:?}"),
                    expected: "gpt2 or llama".to_owned(),
                });
            }
        };
        let ends = metadata.ends(&tokens, &kinds)?;
        let (bytes, bytes_end) = table(&tokens, &kinds, &bytes_of);
        let adds_bos = metadata.flag(ADD_BOS).unwrap_or(adds_bos);
        let text = |id: Option<u32>| id.map(|id| tokens[id as usize].clone()).unwrap_or_default();
        let markers = Markers { bos: text(bos), eos: text(metadata.token(EOS, tokens.len())?) };
        Ok(Self {
            merger,
            special: special(&tokens, &kinds),
            bytes,
            bytes_end,
            ends,
            first: bos.filter(|_| adds_bos),
            markers,
        })
    }
}

type BytesOf = Box<dyn Fn(&str) -> Vec<u8>>;

fn table(tokens: &[String], kinds: &[Kind], plain: &BytesOf) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = Vec::new();
    let mut ends = Vec::with_capacity(tokens.len());
    for (token, kind) in tokens.iter().zip(kinds) {
        match kind {
            Kind::Normal => bytes.extend(plain(token)),
            Kind::UserDefined => bytes.extend(token.as_bytes()),
            Kind::Byte => bytes.extend(sentencepiece::byte(token)),
            Kind::Control | Kind::Unknown | Kind::Unused => {}
        }
        ends.push(bytes.len());
    }
    (bytes, ends)
}

fn special(tokens: &[String], kinds: &[Kind]) -> SpecialTokens {
    SpecialTokens::new((0..).zip(tokens).zip(kinds).filter_map(|((id, token), kind)| match kind {
        Kind::Control | Kind::Unknown => Some((token.clone(), id, true)),
        Kind::UserDefined => Some((token.clone(), id, false)),
        Kind::Normal | Kind::Unused | Kind::Byte => None,
    }))
}

impl Tokenizer for GgufTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut tokens = Vec::new();
        let mut first = true;
        for span in self.special.split(text) {
            match (span, &self.merger) {
                (Span::Token(token), _) => tokens.push(token),
                (Span::Text(text), Merger::ByteLevel(bpe)) => tokens.extend(bpe.encode(&text)?),
                (Span::Text(text), Merger::SentencePiece(bpe)) => {
                    tokens.extend(bpe.encode(&text, first)?);
                    first = false;
                    continue;
                }
            }
            first = true;
        }
        match self.first {
            Some(bos) if tokens.first() != Some(&bos) => tokens.insert(0, bos),
            _ => {}
        }
        Ok(tokens)
    }

    fn bytes(&self, token: u32) -> &[u8] {
        let index = token as usize;
        let end = self.bytes_end.get(index).copied().unwrap_or(0);
        let start = index.checked_sub(1).and_then(|before| self.bytes_end.get(before).copied());
        self.bytes.get(start.unwrap_or(0)..end).unwrap_or_default()
    }

    fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    fn vocabulary(&self) -> usize {
        self.bytes_end.len()
    }

    fn shield<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.special.shield(text)
    }

    fn markers(&self) -> Markers {
        self.markers.clone()
    }
}

/// Typed access to what the file says.
struct Metadata<'a>(&'a HashMap<String, Value>);

impl Metadata<'_> {
    fn string(&self, key: &'static str) -> Result<Option<&str>, TokenizerError> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        let text = value.to_string().map_err(|_| invalid(key, value, "a string"))?;
        Ok(Some(text))
    }

    fn array(&self, key: &'static str) -> Result<&[Value], TokenizerError> {
        let value = self.0.get(key).ok_or(TokenizerError::Missing { key })?;
        value.to_vec().map(Vec::as_slice).map_err(|_| invalid(key, value, "an array"))
    }

    fn strings(&self, key: &'static str) -> Result<Vec<String>, TokenizerError> {
        let string = |value: &Value| {
            value.to_string().cloned().map_err(|_| invalid(key, value, "an array of strings"))
        };
        self.array(key)?.iter().map(string).collect()
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.0.get(key)?.to_bool().ok()
    }

    /// A token's id, which must exist.
    fn token(&self, key: &'static str, tokens: usize) -> Result<Option<u32>, TokenizerError> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        // Some files say -1 for "none".
        let Some(id) = integer(value).and_then(|id| u32::try_from(id).ok()) else {
            return Ok(None);
        };
        if (id as usize) < tokens {
            return Ok(Some(id));
        }
        Err(invalid(key, value, &format!("below {tokens}, the number of tokens")))
    }

    fn kinds(&self, tokens: usize) -> Result<Vec<Kind>, TokenizerError> {
        let mut kinds = vec![Kind::Normal; tokens];
        if self.0.contains_key(TYPES) {
            for (kind, number) in kinds.iter_mut().zip(self.array(TYPES)?) {
                *kind = Kind::from_number(integer(number).unwrap_or(1));
            }
        }
        for key in [BOS, EOS] {
            if let Some(id) = self.token(key, tokens)?
                && kinds[id as usize] == Kind::Normal
            {
                kinds[id as usize] = Kind::Control;
            }
        }
        Ok(kinds)
    }

    fn cut(&self) -> Result<Cut, TokenizerError> {
        let Some(name) = self.string(PRE)? else { return Ok(Cut::Gpt2) };
        Ok(Cut::named(name).unwrap_or_else(|| {
            tracing::warn!(
                pre = name,
                "this way of cutting text is not known here; prompts are cut as GPT-2 does"
            );
            Cut::Gpt2
        }))
    }

    fn sentencepiece(
        &self,
        tokens: &[String],
        kinds: &[Kind],
    ) -> Result<SentencePieceBpe, TokenizerError> {
        let scores = self.array(SCORES)?;
        if scores.len() != tokens.len() {
            return Err(TokenizerError::Invalid {
                key: SCORES,
                found: format!("an array of {}", scores.len()),
                expected: format!("one score for each of the {} tokens", tokens.len()),
            });
        }
        let scores: Vec<f32> = scores.iter().map(|score| score.to_f32().unwrap_or(0.0)).collect();
        let unknown = self.token(UNKNOWN, tokens.len())?.map(|id| tokens[id as usize].as_str());
        let plain = |id: usize| kinds[id] == Kind::Normal;
        let space_first = self.flag(ADD_SPACE).unwrap_or(true);
        SentencePieceBpe::new(tokens, &scores, plain, unknown, space_first)
    }

    fn ends(&self, tokens: &[String], kinds: &[Kind]) -> Result<Vec<u32>, TokenizerError> {
        let mut ends = Vec::new();
        for key in [EOS].into_iter().chain(OTHER_ENDS) {
            ends.extend(self.token(key, tokens.len())?);
        }
        ends.extend((0..).zip(tokens).zip(kinds).filter_map(|((id, token), kind)| {
            (*kind == Kind::Control && END_TEXTS.contains(&token.as_str())).then_some(id)
        }));
        ends.sort_unstable();
        ends.dedup();
        Ok(ends)
    }
}

fn integer(value: &Value) -> Option<i64> {
    Some(match value {
        Value::U8(v) => i64::from(*v),
        Value::I8(v) => i64::from(*v),
        Value::U16(v) => i64::from(*v),
        Value::I16(v) => i64::from(*v),
        Value::U32(v) => i64::from(*v),
        Value::I32(v) => i64::from(*v),
        Value::I64(v) => *v,
        Value::U64(v) => i64::try_from(*v).ok()?,
        _ => return None,
    })
}

fn invalid(key: &'static str, found: &Value, expected: &str) -> TokenizerError {
    let found: String = format!("{found:?}").chars().take(80).collect();
    TokenizerError::Invalid { key, found, expected: expected.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use candle_core::quantized::gguf_file::Content;

    use super::*;
    use crate::testing::{self, TestModel};

    fn metadata(model: &TestModel) -> HashMap<String, Value> {
        Content::read(&mut Cursor::new(model.bytes())).unwrap().metadata
    }

    fn byte_level() -> GgufTokenizer {
        GgufTokenizer::new(&metadata(&testing::model("llama"))).unwrap()
    }

    fn text(tokenizer: &GgufTokenizer, tokens: &[u32]) -> String {
        let bytes = tokens.iter().flat_map(|token| tokenizer.bytes(*token)).copied().collect();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn byte_level_text_reads_back_without_a_space_in_front() {
        let tokenizer = byte_level();
        for sample in ["the end", " the end", "", "naïve ☃ 数\n\t'll", "  two"] {
            let tokens = tokenizer.encode(sample).unwrap();
            assert_eq!(text(&tokenizer, &tokens), sample);
        }
        assert_eq!(tokenizer.encode("the").unwrap(), [257]);
    }

    #[test]
    fn control_tokens_are_read_from_text_and_add_none_to_an_answer() {
        let tokenizer = byte_level();
        let tokens = tokenizer.encode("<s><|user|>the<tool>").unwrap();
        assert_eq!(tokens, [testing::BOS, testing::USER, 257, 263]);
        assert_eq!(text(&tokenizer, &tokens), "the<tool>");
        let shielded = tokenizer.shield("<|user|>");
        assert!(!tokenizer.encode(&shielded).unwrap().contains(&testing::USER));
    }

    #[test]
    fn the_first_token_is_added_once_if_the_model_wants_it() {
        let wants = testing::model("llama").with(ADD_BOS, Value::Bool(true));
        let tokenizer = GgufTokenizer::new(&metadata(&wants)).unwrap();
        assert_eq!(tokenizer.encode("the").unwrap(), [testing::BOS, 257]);
        assert_eq!(tokenizer.encode("<s>the").unwrap(), [testing::BOS, 257]);
        assert_eq!(byte_level().encode("the").unwrap(), [257]);
    }

    #[test]
    fn an_answer_ends_with_the_end_of_text_and_of_turn() {
        let tokenizer = byte_level();
        assert!(tokenizer.is_end(testing::EOS));
        assert!(!tokenizer.is_end(testing::USER) && !tokenizer.is_end(5));
        assert_eq!(tokenizer.markers(), Markers { bos: "<s>".into(), eos: "</s>".into() });
    }

    /// `<unk> <s> </s>`, all bytes, and a few words.
    fn sentencepiece_model() -> TestModel {
        let mut tokens = ["<unk>", "<s>", "</s>"].map(str::to_owned).to_vec();
        tokens.extend((0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>")));
        tokens.extend(["▁", "a", "b", "▁a", "ab"].map(str::to_owned));
        let kinds = [2, 3, 3].into_iter().chain([6; 256]).chain([1; 5]).map(Value::I32);
        let scores: Vec<Value> = (0..tokens.len()).map(|id| Value::F32(-(id as f32))).collect();
        testing::model("llama")
            .with(MODEL, Value::String("llama".into()))
            .with(TOKENS, Value::Array(tokens.into_iter().map(Value::String).collect()))
            .with(TYPES, Value::Array(kinds.collect()))
            .with(SCORES, Value::Array(scores))
            .with(UNKNOWN, Value::U32(0))
            .with(BOS, Value::U32(1))
            .with(EOS, Value::U32(2))
    }

    #[test]
    fn sentencepiece_text_has_its_first_token_its_space_and_its_bytes() {
        let tokenizer = GgufTokenizer::new(&metadata(&sentencepiece_model())).unwrap();
        let tokens = tokenizer.encode("a aé").unwrap();
        assert_eq!(tokens, [1, 262, 262, 3 + 0xc3, 3 + 0xa9]);
        assert_eq!(text(&tokenizer, &tokens), " a aé");
        assert_eq!(tokenizer.encode("ab</s>a").unwrap(), [1, 262, 261, 2, 262]);
        let bare = sentencepiece_model().with(ADD_SPACE, Value::Bool(false));
        let tokenizer = GgufTokenizer::new(&metadata(&bare)).unwrap();
        assert_eq!(tokenizer.encode("ab").unwrap(), [1, 263]);
    }

    #[test]
    fn descriptions_that_make_no_sense_are_refused_by_key() {
        let broken = [
            (testing::model("llama").without(MODEL), MODEL),
            (testing::model("llama").with(MODEL, Value::String("bert".into())), MODEL),
            (testing::model("llama").without(TOKENS), TOKENS),
            (testing::model("llama").with(TOKENS, Value::U32(1)), TOKENS),
            (testing::model("llama").with(EOS, Value::U32(1 << 20)), EOS),
            (sentencepiece_model().without(SCORES), SCORES),
            (sentencepiece_model().with(SCORES, Value::Array(vec![])), SCORES),
        ];
        for (model, key) in broken {
            let error = GgufTokenizer::new(&metadata(&model)).err().unwrap().to_string();
            assert!(error.starts_with(key), "{error}");
        }
    }

    #[test]
    fn merges_of_unknown_tokens_are_left_out() {
        let merges = ["x y", "th", "th e", "longerthananytoken alsolonger"];
        let merges = merges.map(|merge| Value::String(merge.into())).to_vec();
        let model = testing::model("llama").with(MERGES, Value::Array(merges));
        let tokenizer = GgufTokenizer::new(&metadata(&model)).unwrap();
        assert_eq!(text(&tokenizer, &tokenizer.encode("the").unwrap()), "the");
    }
}
