//! One model in one process, with a fixed number of slots.
//!
//! ```text
//!   load        a model file, checked, read and warmed up
//!   inspect     what a model file says of itself
//!   engine      what computes logits, behind one trait
//!   tokenizer   text to tokens, tokens to bytes
//!   template    a conversation as one text
//!   sampling    which token comes next
//!   text        bytes to text that may be shown
//!   generation  requests in, logs of tokens out
//!   http        the worker's routes
//!   heartbeat   tells the queen that it lives
//!   orphan      leaves when its hive is gone
//!   server      all of it as one value
//!   program     the server with arguments around it
//! ```
//!
//! A worker knows nothing of other workers, of catalogs or of downloads.

pub mod engine;
pub mod generation;
pub mod heartbeat;
pub mod http;
pub mod inspect;
pub mod load;
pub mod model_file;
pub mod orphan;
pub mod phase;
pub mod program;
pub mod sampling;
pub mod server;
pub mod template;
pub mod text;
pub mod tokenizer;

/// Cargo features of this build, as `GET /v1/build-info` names them.
pub const FEATURES: &[&str] = &[
    #[cfg(feature = "cuda")]
    "cuda",
    #[cfg(feature = "metal")]
    "metal",
];

pub use server::{Server, ServerConfig, StartError};

#[cfg(test)]
mod testing;
