//! What is on disk: where rbee's files are, what `config.toml` and `hives.conf`
//! say, the tokens, and who holds a data directory.
//!
//! No network and no async runtime. Everything read here was written by a
//! person or by a program that may have died in the middle, so every refusal
//! names the file and the remedy.

pub mod capabilities;
pub mod check;
pub mod examples;
pub mod file;
pub mod hives;
pub mod hives_conf;
pub mod instance;
pub mod keys;
pub mod paths;
pub mod procfs;
pub mod secret;
pub mod ssh_config;
pub mod threads;
pub mod values;

mod text_file;
mod toml_section;
mod words;

pub use file::{BaseUrl, Config, ConfigError, Glyphs};
pub use hives::{HiveEntry, Origin, Reach, SshTarget};
pub use instance::{Found, Instance, InstanceError, Nonce, Record};
pub use keys::{KeyWish, KeysConfig, Place, Written};
pub use paths::{Paths, PathsError};
pub use secret::{SecretError, read_token};
