//! The daemon of one machine: its devices, the models on its disk, and the
//! worker processes that run them.
//!
//! It starts, follows and ends workers as it is told. It refuses to decide
//! which request runs where, knows no other machine, and never kills a worker
//! because it restarts itself: `workers` says how they are adopted.

mod devices;
mod direct;
pub mod here;
mod http;
mod models;
mod operations;
mod server;
mod size;
mod workers;

pub use direct::Direct;
pub use models::{CatalogError, HubConfig, Silence, TokenFile};
pub use server::{KIND, Server, ServerConfig, StartError};
pub use workers::{RestartPolicy, has_left_workers};
