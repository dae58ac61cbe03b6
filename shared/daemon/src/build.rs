//! What this build is.

use std::sync::OnceLock;

use protocol::fleet::BuildInfo;

/// The workspace's version; all programs share it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a program's `main` knows of its build and no library does: otherwise
/// each commit would compile all of them again.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// The commit.
    pub git_sha: &'static str,
    /// When it was built, RFC 3339.
    pub built_at: &'static str,
}

static STAMP: OnceLock<Stamp> = OnceLock::new();

/// To be called once and first, by `main`.
pub fn stamp(stamp: Stamp) {
    // A process is one build, so a second one says the same.
    let _ = STAMP.set(stamp);
}

/// The record `GET /v1/build-info` answers with.
pub fn info(features: &[&str]) -> BuildInfo {
    let unknown = Stamp { git_sha: "unknown", built_at: "unknown" };
    let stamp = STAMP.get().unwrap_or(&unknown);
    BuildInfo {
        version: VERSION.to_owned(),
        features: features.iter().map(ToString::to_string).collect(),
        build_timestamp: stamp.built_at.to_owned(),
        git_sha: stamp.git_sha.to_owned(),
    }
}
