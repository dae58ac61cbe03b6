//! Packs documents of different lengths into windows of two lengths.
//!
//! Attention costs grow with the length of a window, and nearly every story fits into one that is
//! well below the context. So what fits goes into short windows, where questions fill the room
//! that a story leaves, and only the rest into long ones. Every window begins with
//! the beginning of a document and no document is cut.

use anyhow::Result;

use crate::corpus::Corpus;
use crate::model::Batch;
use crate::ops::IGNORE;
use crate::tokenizer::{END_ID, Vocabulary};

/// Windows being filled at the same time, for each length. More would pack tighter, but would
/// also keep documents of one kind together.
const OPEN: usize = 12;

struct Window {
    tokens: Vec<u32>,
    targets: Vec<u32>,
    starts: Vec<u32>,
}

struct Pool {
    length: usize,
    open: Vec<Window>,
    full: Vec<Window>,
}

impl Pool {
    fn new(length: usize) -> Self {
        Self { length, open: Vec::new(), full: Vec::new() }
    }

    /// Puts a document into the first window with room for it.
    fn add(&mut self, ids: &[u32]) {
        // The last token is only ever a target.
        let size = ids.len() - 1;
        let room = |window: &Window| window.tokens.len() + size <= self.length;
        let index = match self.open.iter().position(room) {
            Some(index) => index,
            None => {
                if self.open.len() == OPEN {
                    self.close_fullest();
                }
                self.open.push(Window { tokens: vec![], targets: vec![], starts: vec![] });
                self.open.len() - 1
            }
        };
        let window = &mut self.open[index];
        let start = window.tokens.len() as u32;
        window.tokens.extend_from_slice(&ids[..size]);
        window.targets.extend_from_slice(&ids[1..]);
        window.starts.extend(std::iter::repeat_n(start, size));
    }

    fn close_fullest(&mut self) {
        let fullest = (0..self.open.len()).max_by_key(|&index| self.open[index].tokens.len());
        if let Some(index) = fullest {
            let mut window = self.open.swap_remove(index);
            for position in window.tokens.len()..self.length {
                window.tokens.push(END_ID);
                window.targets.push(IGNORE);
                window.starts.push(position as u32);
            }
            self.full.push(window);
        }
    }

    fn take(&mut self, count: usize) -> Batch {
        let (mut tokens, mut targets, mut starts) = (vec![], vec![], vec![]);
        for window in self.full.drain(..count) {
            tokens.extend(window.tokens);
            targets.extend(window.targets);
            starts.extend(window.starts);
        }
        Batch { windows: count, tokens, targets: targets.into(), starts: starts.into() }
    }
}

/// An endless sequence of batches, all of about the same number of tokens.
pub struct Batches<'a> {
    corpus: Corpus,
    vocabulary: &'a Vocabulary,
    batch_tokens: usize,
    pools: [Pool; 2],
}

impl<'a> Batches<'a> {
    /// Batches from the corpus of `seed`, in windows of `context` and five eighths of it.
    pub fn new(seed: u64, vocabulary: &'a Vocabulary, context: usize, batch_tokens: usize) -> Self {
        let pools = [Pool::new(context * 5 / 8), Pool::new(context)];
        Self { corpus: Corpus::new(seed), vocabulary, batch_tokens, pools }
    }

    /// The next batch.
    pub fn take(&mut self) -> Result<Batch> {
        loop {
            for pool in &mut self.pools {
                let count = (self.batch_tokens / pool.length).max(1);
                if pool.full.len() >= count {
                    return Ok(pool.take(count));
                }
            }
            let ids = self.vocabulary.encode(&self.corpus.document()?)?;
            // The rare document that is longer than the context is left out.
            if let Some(pool) = self.pools.iter_mut().find(|pool| ids.len() <= pool.length + 1) {
                pool.add(&ids);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_whole_documents_and_targets_are_the_next_tokens() {
        let mut corpus = Corpus::new(4);
        let documents: Vec<_> = (0..200).map(|_| corpus.document().unwrap()).collect();
        let vocabulary = Vocabulary::train(&documents, 600).unwrap();
        let mut batches = Batches::new(5, &vocabulary, 1024, 2048);
        for _ in 0..5 {
            let batch = batches.take().unwrap();
            assert!((1536..=2048).contains(&batch.tokens.len()));
            let window = batch.tokens.len() / batch.windows;
            for index in 0..batch.tokens.len() {
                let target = batch.targets[index];
                let next = index + 1;
                let same_document = next < batch.tokens.len()
                    && next % window != 0
                    && batch.starts[next] == batch.starts[index];
                if same_document {
                    assert_eq!(target, batch.tokens[next]);
                } else {
                    assert!(target == END_ID || target == IGNORE);
                }
            }
        }
    }
}
