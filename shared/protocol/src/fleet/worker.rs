//! A worker's record and its life.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{DeviceId, HiveId, ModelRef, WorkerId, job::Progress};

/// A worker's life.
///
/// ```text
/// starting ─▶ loading ─▶ ready ⇄ busy ─▶ draining ─▶ stopped
///   ▲ └──────────┴─────────┴──────┴─▶ failed ◀─┐
///   │            └─────────┴──────┴─▶ backing_off
///   └──────────────────────────────────────┘
/// ```
///
/// A worker that has served once is started again when it ends unasked; only
/// one that keeps ending, or never came up, is `failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// Its process was launched and has not answered yet.
    Starting,
    /// It reads its model.
    Loading,
    /// It has a free slot.
    Ready,
    /// Every slot is taken.
    Busy,
    /// It finishes what it has and takes nothing new.
    Draining,
    /// It ended against our will and is started again at its `retry_at`.
    BackingOff,
    /// It ended as it was asked to.
    Stopped,
    /// It ended, or never came up, against our will.
    Failed,
}

impl WorkerState {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::BackingOff => "backing_off",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }

    /// Whether it can be given work, now or when a slot comes free.
    pub fn is_serving(self) -> bool {
        matches!(self, Self::Ready | Self::Busy)
    }

    /// Whether it is on its way to serving without anybody's help.
    pub fn is_coming(self) -> bool {
        matches!(self, Self::Starting | Self::Loading | Self::BackingOff)
    }

    /// Whether its last process is gone, whether or not another one follows.
    pub fn is_down(self) -> bool {
        self.is_ended() || self == Self::BackingOff
    }

    /// Whether its process is gone for good.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Stopped | Self::Failed)
    }
}

/// How a worker's process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// When the hive saw it.
    pub at: Timestamp,
    /// The exit code, if it exited.
    pub code: Option<i32>,
    /// The signal, if it was killed.
    pub signal: Option<i32>,
    /// One sentence.
    pub reason: String,
    /// The last lines of its log.
    pub log_tail: Vec<String>,
}

/// One model in one process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerRecord {
    /// The worker.
    pub id: WorkerId,
    /// The machine it runs on.
    pub hive_id: HiveId,
    /// What it runs.
    pub model: ModelRef,
    /// What it runs on.
    pub device: DeviceId,
    /// Where it stands.
    pub state: WorkerState,
    /// Where it listens; `null` until it does.
    pub url: Option<String>,
    /// Its process.
    pub pid: Option<u32>,
    /// Counts the lives of this worker; an older one is fenced off.
    pub incarnation: u64,
    /// When this life started.
    pub started_at: Option<Timestamp>,
    /// How far the model is loaded.
    pub progress: Option<Progress>,
    /// How many requests it runs at once.
    pub slots_total: Option<u32>,
    /// How many it runs now.
    pub slots_busy: Option<u32>,
    /// How many were asked for when it was spawned.
    #[serde(default)]
    pub slots_desired: Option<u32>,
    /// Threads it may use; `null` on a GPU.
    pub threads: Option<u32>,
    /// Tokens its context holds.
    pub context_length: Option<u32>,
    /// Memory of its process.
    pub memory_bytes: Option<u64>,
    /// Over the last seconds; `null` when it generates nothing.
    pub tokens_per_second: Option<f64>,
    /// The median over its newest 16 requests, from their arrival at the
    /// worker to their first token; `null` before there was one.
    #[serde(default)]
    pub time_to_first_token_ms: Option<f64>,
    /// Tokens that its KV cache holds, in all slots together.
    #[serde(default)]
    pub kv_cache_tokens: Option<u64>,
    /// Tokens that its KV cache can hold: a whole context in every slot.
    #[serde(default)]
    pub kv_cache_capacity_tokens: Option<u64>,
    /// The version of its program.
    #[serde(default)]
    pub version: Option<String>,
    /// When the queen last heard from it.
    pub last_heartbeat_at: Option<Timestamp>,
    /// How its last process ended.
    pub last_exit: Option<ExitRecord>,
    /// How often it was started again; `null` from a hive that does not count.
    #[serde(default)]
    pub restarts: Option<u32>,
    /// When it is started again; `null` unless it is backing off.
    #[serde(default)]
    pub retry_at: Option<Timestamp>,
    /// Where its output goes, on its machine.
    pub log_file: Option<String>,
}

impl WorkerRecord {
    /// How much of its KV cache is in use, 0 to 1.
    pub fn kv_cache_share(&self) -> Option<f64> {
        let (held, capacity) = self.kv_cache_tokens.zip(self.kv_cache_capacity_tokens)?;
        (capacity > 0).then(|| held as f64 / capacity as f64)
    }
}
