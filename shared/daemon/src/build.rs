//! What this build is.

use protocol::fleet::BuildInfo;

/// The workspace's version; all programs share it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The record `GET /v1/build-info` answers with.
pub fn info(features: &[&str]) -> BuildInfo {
    BuildInfo {
        version: VERSION.to_owned(),
        features: features.iter().map(ToString::to_string).collect(),
        build_timestamp: env!("RBEE_BUILT_AT").to_owned(),
        git_sha: env!("RBEE_GIT_SHA").to_owned(),
    }
}
