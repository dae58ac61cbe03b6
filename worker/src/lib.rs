//! One model in one process, with a fixed number of slots.
//!
//! ```text
//!   load        a model file, checked, read and warmed up
//!   engine      what computes logits, behind one trait
//!   tokenizer   text to tokens, tokens to bytes
//!   template    a conversation as one text
//!   sampling    which token comes next
//!   text        bytes to text that may be shown
//!   generation  requests in, logs of tokens out
//! ```
//!
//! A worker knows nothing of other workers, of catalogs or of downloads.

pub mod engine;
pub mod generation;
pub mod load;
pub mod sampling;
pub mod template;
pub mod text;
pub mod tokenizer;

#[cfg(test)]
mod testing;
