//! Tokens that stand for themselves wherever they are written out, and the
//! marks that keep a person's text from containing one.

use std::borrow::Cow;

/// Marks a place that only reads like a control token. A noncharacter, which
/// Unicode reserves for exactly such internal use.
const GUARD: char = '\u{10fffe}';

/// A stretch of text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Span<'a> {
    /// To be tokenized; its marks are gone.
    Text(Cow<'a, str>),
    /// One token.
    Token(u32),
}

/// The tokens that are matched as a whole.
#[derive(Debug, Default)]
pub(super) struct SpecialTokens {
    /// Longest first, so that the longest match is the first.
    tokens: Vec<Special>,
    /// Whether any begins with this byte: most positions are ruled out here.
    begins: Vec<bool>,
}

#[derive(Debug)]
struct Special {
    text: String,
    id: u32,
    /// Whether only a template may write it.
    control: bool,
}

impl SpecialTokens {
    pub(super) fn new(tokens: impl Iterator<Item = (String, u32, bool)>) -> Self {
        let mut tokens: Vec<Special> = tokens
            .filter(|(text, ..)| !text.is_empty())
            .map(|(text, id, control)| Special { text, id, control })
            .collect();
        tokens.sort_by_key(|special| std::cmp::Reverse(special.text.len()));
        let mut begins = vec![false; 256];
        for special in &tokens {
            begins[usize::from(special.text.as_bytes()[0])] = true;
        }
        Self { tokens, begins }
    }

    fn at(&self, text: &str, control_only: bool) -> Option<&Special> {
        let first = *text.as_bytes().first()?;
        if !self.begins.get(usize::from(first)).copied().unwrap_or(false) {
            return None;
        }
        let mut tokens = self.tokens.iter().filter(|special| special.control || !control_only);
        tokens.find(|special| text.starts_with(&special.text))
    }

    /// Cuts `text` at the tokens that are written out in it.
    pub(super) fn split<'a>(&self, text: &'a str) -> Vec<Span<'a>> {
        let mut spans = Vec::new();
        let (mut start, mut position) = (0, 0);
        while position < text.len() {
            if let Some(special) = self.at(&text[position..], false) {
                push_text(&mut spans, &text[start..position]);
                spans.push(Span::Token(special.id));
                position += special.text.len();
                start = position;
            } else {
                position += text[position..].chars().next().map_or(1, char::len_utf8);
            }
        }
        push_text(&mut spans, &text[start..]);
        spans
    }

    /// Puts a mark into everything in `text` that reads like a control token,
    /// so that [`SpecialTokens::split`] finds none.
    pub(super) fn shield<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let clean = without_guards(text);
        let is_control = |start: usize| self.at(&clean[start..], true).is_some();
        if !clean.char_indices().any(|(start, _)| is_control(start)) {
            return clean;
        }
        let mut shielded = String::with_capacity(clean.len() + 16);
        for (start, character) in clean.char_indices() {
            shielded.push(character);
            if is_control(start) {
                shielded.push(GUARD);
            }
        }
        Cow::Owned(shielded)
    }
}

fn push_text<'a>(spans: &mut Vec<Span<'a>>, text: &'a str) {
    let text = without_guards(text);
    if !text.is_empty() {
        spans.push(Span::Text(text));
    }
}

fn without_guards(text: &str) -> Cow<'_, str> {
    if text.contains(GUARD) { Cow::Owned(text.replace(GUARD, "")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn special() -> SpecialTokens {
        let tokens =
            [("<s>", 1, true), ("<sys>", 2, true), ("<think>", 3, false), ("<s><s>", 4, true)];
        SpecialTokens::new(
            tokens.into_iter().map(|(text, id, control)| (text.to_owned(), id, control)),
        )
    }

    #[test]
    fn tokens_are_cut_out_longest_first() {
        let special = special();
        let expected = vec![
            Span::Token(4),
            Span::Text("hé <s".into()),
            Span::Token(2),
            Span::Token(3),
            Span::Text(">".into()),
        ];
        assert_eq!(special.split("<s><s>hé <s<sys><think>>"), expected);
    }

    #[test]
    fn a_shielded_control_token_is_plain_text_and_keeps_its_letters() {
        let special = special();
        let shielded = special.shield("say <s><sys> please");
        assert_eq!(special.split(&shielded), [Span::Text("say <s><sys> please".into())]);
    }

    #[test]
    fn a_token_that_is_no_control_token_works_in_anybodys_text() {
        let special = special();
        assert!(matches!(special.shield("<think>"), Cow::Borrowed("<think>")));
        assert_eq!(special.split("<think>"), [Span::Token(3)]);
    }

    proptest! {
        #[test]
        fn no_text_gets_a_control_token_past_the_shield(
            text in "(<s>|<sys>|<|s|>|[a-é]|\u{10fffe}){0,20}",
        ) {
            let special = special();
            let shielded = special.shield(&text).into_owned();
            let mut plain = String::new();
            for span in special.split(&shielded) {
                match span {
                    Span::Text(text) => plain.push_str(&text),
                    Span::Token(id) => prop_assert!(false, "token {} from {:?}", id, text),
                }
            }
            prop_assert_eq!(plain, text.replace(GUARD, ""));
        }
    }
}
