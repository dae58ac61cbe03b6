//! SentencePiece BPE, the tokenizer of Llama 2, Mistral and TinyLlama.
//!
//! A file has scores instead of merges: the token with the higher score is
//! put together first. Written as merges that is every way of splitting a
//! token into two others, ordered by the score of the whole.
//!
//! Spaces are written `▁`, and a character that has no token is spelled in
//! byte tokens `<0x00>` to `<0xFF>`.

use std::{borrow::Cow, cmp::Reverse};

use tokenizers::{
    Model,
    models::bpe::{BPE, Vocab},
};

use super::{TokenizerError, byte_level::failed};

const SPACE: &str = "▁";

/// Longer tokens exist only in hostile files, where trying every way of
/// splitting them would take for ever.
const SPLIT_CHARS_MAX: usize = 128;

/// The largest vocabularies give a quarter of this.
const MERGES_MAX: usize = 1 << 21;

/// Text without special tokens to tokens.
pub(super) struct SentencePieceBpe {
    bpe: BPE,
    /// Whether a text begins with a space that is not written.
    space_first: bool,
}

impl SentencePieceBpe {
    /// `plain` says which tokens text may be put together from.
    pub(super) fn new(
        tokens: &[String],
        scores: &[f32],
        plain: impl Fn(usize) -> bool,
        unknown: Option<&str>,
        space_first: bool,
    ) -> Result<Self, TokenizerError> {
        let vocabulary: Vocab = (0..).zip(tokens).map(|(id, token)| (token.clone(), id)).collect();
        let mut merges = Vec::new();
        for (id, (token, score)) in tokens.iter().zip(scores).enumerate() {
            if !plain(id) || token.chars().count() > SPLIT_CHARS_MAX || merges.len() > MERGES_MAX {
                continue;
            }
            for (at, _) in token.char_indices().skip(1) {
                let (left, right) = token.split_at(at);
                if let (Some(&l), Some(&r)) = (vocabulary.get(left), vocabulary.get(right))
                    && plain(l as usize)
                    && plain(r as usize)
                {
                    merges.push((
                        Reverse(Score(*score)),
                        l,
                        r,
                        (left.to_owned(), right.to_owned()),
                    ));
                }
            }
        }
        if merges.len() > MERGES_MAX {
            return Err(TokenizerError::Invalid {
                key: "tokenizer.ggml.tokens",
                found: "put together in millions of ways".to_owned(),
                expected: format!("put together in at most {MERGES_MAX} ways"),
            });
        }
        merges.sort_by_key(|(score, left, right, _)| (*score, *left, *right));
        let merges = merges.into_iter().map(|(.., pair)| pair).collect();
        let mut builder =
            BPE::builder().vocab_and_merges(vocabulary, merges).byte_fallback(true).fuse_unk(true);
        if let Some(unknown) = unknown {
            builder = builder.unk_token(unknown.to_owned());
        }
        Ok(Self { bpe: builder.build().map_err(failed)?, space_first })
    }

    /// `first` says that the text begins, or follows a special token.
    pub(super) fn encode(&self, text: &str, first: bool) -> Result<Vec<u32>, TokenizerError> {
        let mut spaced = Cow::Borrowed(text);
        if text.contains(' ') {
            spaced = Cow::Owned(text.replace(' ', SPACE));
        }
        if first && self.space_first {
            spaced.to_mut().insert_str(0, SPACE);
        }
        let tokens = self.bpe.tokenize(&spaced).map_err(failed)?;
        Ok(tokens.into_iter().map(|token| token.id).collect())
    }
}

/// A score with a total order.
#[derive(Clone, Copy)]
struct Score(f32);

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// The bytes of a plain token.
pub(super) fn plain_bytes(token: &str) -> Vec<u8> {
    token.replace(SPACE, " ").into_bytes()
}

/// The byte that a byte token such as `<0x0A>` stands for.
pub(super) fn byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let whole = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u8::from_str_radix(digits, 16).ok().filter(|_| whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `<unk>`, all bytes, and these tokens with these scores.
    fn bpe(words: &[(&str, f32)], space_first: bool) -> (SentencePieceBpe, Vec<String>) {
        let mut tokens = vec!["<unk>".to_owned()];
        tokens.extend((0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>")));
        tokens.extend(words.iter().map(|(word, _)| (*word).to_owned()));
        let mut scores = vec![0.0; 257];
        scores.extend(words.iter().map(|(_, score)| *score));
        let plain = |id| id > 256;
        let bpe =
            SentencePieceBpe::new(&tokens, &scores, plain, Some("<unk>"), space_first).unwrap();
        (bpe, tokens)
    }

    fn pieces(
        (bpe, tokens): &(SentencePieceBpe, Vec<String>),
        text: &str,
        first: bool,
    ) -> Vec<String> {
        let ids = bpe.encode(text, first).unwrap();
        ids.into_iter().map(|id| tokens[id as usize].clone()).collect()
    }

    const WORDS: [(&str, f32); 8] = [
        ("▁", -5.0),
        ("a", -6.0),
        ("b", -7.0),
        ("c", -8.0),
        ("ab", -2.0),
        ("bc", -1.0),
        ("▁a", -3.0),
        ("abc", -4.0),
    ];

    #[test]
    fn the_higher_score_is_put_together_first() {
        let bpe = bpe(&WORDS, false);
        assert_eq!(pieces(&bpe, "abc", true), ["abc"], "bc first, then a+bc");
        assert_eq!(pieces(&bpe, "abcab", true), ["abc", "ab"]);
    }

    #[test]
    fn a_text_begins_with_an_unwritten_space_only_where_the_model_wants_it() {
        assert_eq!(pieces(&bpe(&WORDS, true), "a", true), ["▁a"]);
        assert_eq!(pieces(&bpe(&WORDS, true), "a", false), ["a"]);
        assert_eq!(pieces(&bpe(&WORDS, false), "a a", true), ["a", "▁a"]);
    }

    #[test]
    fn what_has_no_token_is_spelled_in_bytes() {
        assert_eq!(pieces(&bpe(&WORDS, false), "é", true), ["<0xC3>", "<0xA9>"]);
    }

    #[test]
    fn byte_tokens_are_read_strictly() {
        assert_eq!(byte("<0x0A>"), Some(10));
        for other in ["<0xA>", "<0x0A", "0x0A", "<0xGG>", "<0x+1>", "a"] {
            assert_eq!(byte(other), None, "{other}");
        }
    }
}
