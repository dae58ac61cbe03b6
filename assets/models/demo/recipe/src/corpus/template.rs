//! The small language the grammar is written in.
//!
//! `[one|two|three]` chooses one of several wordings and may be nested; `{name}` puts in a value
//! that stays the same for the whole text; `{a name}` puts the right article before it.

use anyhow::{Context, Result, bail};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Values by name. A handful per text, so a list is enough.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings(Vec<(String, String)>);

impl Bindings {
    /// Binds `name`; a later value hides an earlier one.
    pub(super) fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// One of `choices`.
pub(super) fn pick<T: Copy>(choices: &[T], rng: &mut ChaCha8Rng) -> T {
    choices[rng.random_range(0..choices.len())]
}

/// True in `percent` of a hundred cases.
pub(super) fn chance(percent: u32, rng: &mut ChaCha8Rng) -> bool {
    rng.random_range(0..100) < percent
}

/// The first letter as a capital.
pub(super) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// "a" or "an", by spelling: good enough for the words of this grammar.
pub(super) fn with_article(word: &str) -> String {
    let article = if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {word}")
}

/// Writes `template` out: chooses among the wordings, then puts the values in.
pub(super) fn expand(template: &str, bindings: &Bindings, rng: &mut ChaCha8Rng) -> Result<String> {
    let chosen = choose(template, rng)?;
    let mut out = String::with_capacity(chosen.len() + 32);
    let mut rest = chosen.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').context("a `{` is not closed")?;
        out.push_str(before);
        let (article, name) = match name.strip_prefix("a ") {
            Some(name) => (true, name),
            None => (false, name),
        };
        let value = bindings.get(name).with_context(|| format!("nothing is called `{name}`"))?;
        if article {
            out.push_str(&with_article(value));
        } else {
            out.push_str(value);
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// Replaces every bracket by one of its wordings, innermost first.
fn choose(template: &str, rng: &mut ChaCha8Rng) -> Result<String> {
    let mut text = template.to_owned();
    while let Some(close) = text.find(']') {
        let Some(open) = text[..close].rfind('[') else { bail!("a `]` was never opened") };
        let wordings: Vec<&str> = text[open + 1..close].split('|').collect();
        let wording = pick(&wordings, rng).to_owned();
        text.replace_range(open..=close, &wording);
    }
    Ok(text)
}
