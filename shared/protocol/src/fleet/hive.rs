//! A machine's record.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::HiveId;

/// What is thought of a hive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HiveState {
    /// Known by name, never heard of.
    Offline,
    /// Its process was launched and has not answered yet.
    Starting,
    /// Heard of lately.
    Ready,
    /// Silent for 10 s.
    Late,
    /// Silent for 15 s: its numbers are old.
    Stale,
    /// Silent for 50 s, or its connection was refused.
    Lost,
}

impl HiveState {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Late => "late",
            Self::Stale => "stale",
            Self::Lost => "lost",
        }
    }
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HiveRecord {
    /// Its alias.
    pub id: HiveId,
    /// Where it listens, as the queen reaches it.
    pub url: String,
    /// What the queen thinks of it.
    pub state: HiveState,
    /// Its version.
    pub version: Option<String>,
    /// When the queen last heard of it, on her clock.
    pub last_seen_at: Option<Timestamp>,
    /// Why it is thought late, stale, lost or offline.
    pub reason: Option<String>,
    /// The connection to a machine that is reached over ssh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkRecord>,
    /// The file system that its models are on; `null` when it does not say.
    #[serde(default)]
    pub disk: Option<DiskRecord>,
}

/// The room of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRecord {
    /// What is left for us, as of the last change worth telling.
    pub free_bytes: u64,
    /// All of it.
    pub total_bytes: u64,
}

/// Whether the ssh connection to a machine stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// It is being made.
    Connecting,
    /// It stands.
    Up,
    /// It is gone and will be tried again.
    Down,
}

impl LinkState {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// The ssh connection to a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkRecord {
    /// Whether it stands.
    pub state: LinkState,
    /// Since when.
    pub since: Timestamp,
    /// How long an echo takes; `null` while it does not stand.
    pub round_trip_ms: Option<f64>,
    /// Why it does not stand.
    pub reason: Option<String>,
    /// When it is tried again.
    pub retry_at: Option<Timestamp>,
}
