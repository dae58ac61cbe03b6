//! Makes the small model that ships with rbee, from nothing but this program.
//!
//! `corpus` makes up the texts, `tokenizer` learns to cut them into tokens, `batches` packs them;
//! `model` is the graph over the operations in `ops` and `heads`; `optimizer` and `train` do the
//! learning, `gguf` writes the file, and `sample` reads it back the way other programs do.

// Named for the kernels that its feature switches on; see Cargo.toml.
use gemm as _;

pub mod batches;
pub mod corpus;
pub mod gguf;
pub mod heads;
pub mod model;
pub mod ops;
pub mod optimizer;
pub mod sample;
pub mod tokenizer;
pub mod train;
