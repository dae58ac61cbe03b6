//! A model on a machine's disk, and what may be said about it.
//!
//! ```text
//! available ─▶ downloading ─▶ ready
//!                 │    ▲
//!                 ▼    │
//!              partial, failed
//! ```

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

use crate::{ApiError, HiveId, ModelRef, WorkerId, ids::InvalidId, job::Progress};

/// Where a model comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelSource {
    /// Every hive carries it in itself.
    Demo,
    /// A repository of the Hugging Face hub.
    Hub,
    /// A file that somebody put there.
    File,
}

impl ModelSource {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::Hub => "hub",
            Self::File => "file",
        }
    }
}

/// Where a model stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    /// On the hub, and not here.
    Available,
    /// Being fetched.
    Downloading,
    /// All here; a worker can be started with it.
    Ready,
    /// Some of it is here; downloading it again continues.
    Partial,
    /// It cannot be used; the record's error says why.
    Failed,
}

impl ModelState {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Downloading => "downloading",
            Self::Ready => "ready",
            Self::Partial => "partial",
            Self::Failed => "failed",
        }
    }
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFile {
    /// Where it is; inside its repository for a model that is not here.
    pub path: String,
    /// How long it is.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal; `null` until this hive has compared it
    /// with the hub's.
    pub sha256: Option<String>,
}

/// A model on a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// What it is called.
    pub id: ModelRef,
    /// The machine.
    pub hive_id: HiveId,
    /// Where it comes from.
    pub source: ModelSource,
    /// Its repository on the hub.
    pub repo: Option<String>,
    /// The branch, tag or commit that was asked for.
    pub revision: Option<String>,
    /// Its files; a split model has several.
    pub files: Vec<ModelFile>,
    /// All files together.
    pub bytes: u64,
    /// Where it stands.
    pub state: ModelState,
    /// How much of it is here, while it is not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// The kind of model, such as `llama`.
    pub architecture: Option<String>,
    /// How many weights it has.
    pub parameters: Option<u64>,
    /// How its weights are stored, such as `Q4_K_M`.
    pub quantisation: Option<String>,
    /// Tokens it was made to hold.
    pub context_length: Option<u64>,
    /// The most tokens that a worker's context holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_length_max: Option<u64>,
    /// What one slot keeps for each token of its context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_bytes_per_token: Option<u64>,
    /// What a worker with one slot and the whole context that workers can
    /// hold is expected to need.
    pub memory_bytes_estimate: Option<u64>,
    /// Who runs it.
    pub used_by: Vec<WorkerId>,
    /// Why it cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ApiError>,
}

/// What the header of a model file says, read by a process of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The kind of model, such as `llama`.
    pub architecture: String,
    /// How many weights it has.
    pub parameters: u64,
    /// How its weights are stored, such as `Q4_K_M`.
    pub quantisation: String,
    /// Tokens it was made to hold.
    pub context_length: u64,
    /// The most tokens that a worker's context holds.
    pub context_length_max: u64,
    /// The file's length.
    pub file_bytes: u64,
    /// What one slot keeps for each token of its context.
    pub kv_bytes_per_token: u64,
    /// What a worker with one slot and the whole context that workers can
    /// hold is expected to need.
    pub memory_bytes_estimate: u64,
    /// The kind of tokenizer, such as `gpt2`.
    pub tokenizer: Option<String>,
}

/// A branch, tag or commit of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Revision(String);

impl Revision {
    const MUST: &str = "be a branch, tag or commit such as `main` (letters, digits, `.`, `_`, `-` \
                        and `/` between them; at most 128)";

    /// The revision as it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Revision {
    fn default() -> Self {
        Self("main".to_owned())
    }
}

impl FromStr for Revision {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        // It becomes a path in the cache and a part of a URL.
        if text.len() <= 128 && text.split('/').all(|part| crate::ids::is_plain(part, 128)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId::new(Self::MUST, text))
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for Revision {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_a_path_that_stays_where_it_is() {
        for good in ["main", "v1.0", "refs/pr/3", "0123456789abcdef0123456789abcdef01234567"] {
            assert!(good.parse::<Revision>().is_ok(), "{good}");
        }
        for bad in ["", "/", "../x", "a/../b", "a//b", "-x", "a b", "a%2Fb", ".hidden", "a\nb"] {
            assert!(bad.parse::<Revision>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(129).parse::<Revision>().is_err());
    }
}
