//! The queen decides: she routes operations, schedules inference and keeps the
//! registries and the job log. She never touches a model file or a GPU.
//!
//! ```text
//! keeper ──▶ http ──▶ operations ──▶ hives ──▶ rbee-hive
//!                        │  └─▶ machines ─┘ (over ssh)
//!                        │   └─────▶ scheduler ──▶ llm-worker-rbee
//!                        ▼                 ▲
//!                 jobs, feed ◀── fleet ◀───┘ heartbeats, hive feeds
//! ```

pub mod first_tokens;
pub mod fleet;
pub mod hives;
pub mod http;
pub mod machines;
pub mod operations;
pub mod scheduler;
pub mod server;

pub use server::{Server, ServerConfig, StartError};

/// Cargo features of this build, as `GET /v1/build-info` names them.
pub const FEATURES: &[&str] = &[
    #[cfg(feature = "local-hive")]
    "local-hive",
];
