//! The texts the model learns from, made up by a seeded grammar of our own.
//!
//! There is no data set: every document is generated when it is needed, and the same seed gives
//! the same documents in the same order. Nothing is repeated often enough to be learned by heart
//! except what is meant to be, the short answers.

use anyhow::Result;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::tokenizer::{ASSISTANT, END, START, SYSTEM as SYSTEM_ROLE, USER};

mod cast;
mod facts;
mod plots;
mod story;
mod talk;
mod template;

use story::Story;
use talk::Exchange;
use template::{chance, pick};

/// An endless sequence of documents, written as the tokenizer reads them.
pub struct Corpus {
    rng: ChaCha8Rng,
}

impl Corpus {
    /// The documents of this seed, from the first.
    pub fn new(seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// The next document, closed by the end token.
    pub fn document(&mut self) -> Result<String> {
        let rng = &mut self.rng;
        let text = match rand::Rng::random_range(rng, 0..100) {
            0..42 => format!("{}{END}", Story::any(rng)?.text),
            42..64 => conversation(&talk::story_talk(rng)?, rng),
            _ => conversation(&talk::question_talk(rng)?, rng),
        };
        // Some programs put the start token before every prompt and some do not.
        Ok(if chance(20, rng) { format!("{START}{text}") } else { text })
    }
}

fn conversation(exchanges: &[Exchange], rng: &mut ChaCha8Rng) -> String {
    let mut text = String::new();
    if chance(15, rng) {
        text.push_str(&format!("{SYSTEM_ROLE}{}", pick(facts::SYSTEM, rng)));
    }
    for Exchange { user, assistant } in exchanges {
        text.push_str(&format!("{USER}{user}{ASSISTANT}{assistant}{END}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seed: u64, count: usize) -> Vec<String> {
        let mut corpus = Corpus::new(seed);
        (0..count).map(|_| corpus.document().unwrap()).collect()
    }

    #[test]
    fn the_same_seed_tells_the_same_stories() {
        assert_eq!(sample(7, 200), sample(7, 200));
        assert_ne!(sample(7, 20), sample(8, 20));
    }

    #[test]
    fn every_template_expands_and_every_document_ends() {
        for document in sample(1, 5_000) {
            assert!(document.ends_with(END), "{document}");
            assert!(!document.contains(['{', '}', '[', ']']), "{document}");
            assert!(!document.contains("  "), "{document}");
        }
    }

    #[test]
    fn the_openings_that_people_type_are_in_the_corpus() {
        let documents = sample(2, 20_000);
        for opening in
            ["Once upon a time", "In a small village", "There was once a fox", "The little robot"]
        {
            assert!(documents.iter().any(|text| text.starts_with(opening)), "{opening}");
        }
    }
}
