//! What a daemon says of itself: heartbeats, health, its build.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::WorkerState;
use crate::{DeviceId, HiveId, ModelRef, WorkerId, job::Progress};

/// Whether a worker feels well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// All well.
    #[serde(alias = "Healthy")]
    Healthy,
    /// It works, and something is wrong.
    #[serde(alias = "Degraded")]
    Degraded,
}

/// Worker → queen. The first three fields are the documented payload and
/// enough; ours adds the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Who is alive.
    pub worker_id: WorkerId,
    /// The worker's clock; for people, never for judging.
    pub timestamp: Timestamp,
    /// How it feels.
    pub health_status: HealthStatus,
    /// Everything a worker of ours adds.
    #[serde(flatten)]
    pub details: HeartbeatDetails,
}

/// What a worker of ours adds to its heartbeat.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HeartbeatDetails {
    /// Its machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hive_id: Option<HiveId>,
    /// What it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRef>,
    /// Where it listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<WorkerState>,
    /// How many requests it runs at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots_total: Option<u32>,
    /// How many it runs now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots_busy: Option<u32>,
    /// Memory of its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Over the last seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f64>,
    /// As in [`WorkerRecord`](super::WorkerRecord).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_first_token_ms: Option<f64>,
    /// As in [`WorkerRecord`](super::WorkerRecord).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_cache_tokens: Option<u64>,
    /// As in [`WorkerRecord`](super::WorkerRecord).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_cache_capacity_tokens: Option<u64>,
    /// The version of its program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Which life of the worker this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
    /// Counts this life's heartbeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<u64>,
}

/// The queen's answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatAnswer {
    /// `ok`
    pub status: String,
    /// One line.
    pub message: String,
}

/// `GET /v1/build-info`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildInfo {
    /// Cargo's version.
    pub version: String,
    /// Features of the build.
    pub features: Vec<String>,
    /// When it was built, RFC 3339.
    pub build_timestamp: String,
    /// The commit; `unknown` outside a checkout.
    pub git_sha: String,
}

/// `GET /health`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// `ok` when it can serve; for a worker `loading`, `ready` or `draining`.
    pub status: String,
    /// How far a worker's model is loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// What a worker runs and how busy it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerHealth>,
}

/// What a worker says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerHealth {
    /// The worker.
    pub worker_id: WorkerId,
    /// Which life of it.
    pub incarnation: u64,
    /// How many requests it runs at once; `null` until the model is loaded.
    pub slots_total: Option<u32>,
    /// How many it runs now.
    pub slots_busy: Option<u32>,
    /// Tokens its context holds.
    pub context_length: Option<u32>,
    /// Memory of its process.
    pub memory_bytes: Option<u64>,
    /// Over the last seconds.
    pub tokens_per_second: Option<f64>,
    /// As in [`WorkerRecord`](super::WorkerRecord).
    #[serde(default)]
    pub time_to_first_token_ms: Option<f64>,
    /// As in [`WorkerRecord`](super::WorkerRecord).
    #[serde(default)]
    pub kv_cache_tokens: Option<u64>,
    /// As in [`WorkerRecord`](super::WorkerRecord).
    #[serde(default)]
    pub kv_cache_capacity_tokens: Option<u64>,
    /// The version of its program.
    #[serde(default)]
    pub version: Option<String>,
}
