//! Getting models from the hub.

mod config;

pub use self::config::HubConfig;
