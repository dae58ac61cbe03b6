//! The records of the fleet and the feed that carries them.
//!
//! The same shape travels hive → queen and queen → keeper: a [`Snapshot`],
//! then whole records as they change. Whatever is not known is `null`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    DeviceId, HiveId, JobId, ModelRef, WorkerId, job::JobEvent, job::JobRecord, job::Progress,
    model::ModelRecord,
};

/// The queen herself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueenRecord {
    /// Her version.
    pub version: String,
    /// Cargo features she was built with.
    pub features: Vec<String>,
    /// When this process started.
    pub started_at: Timestamp,
    /// Her clock when this was written; ages are counted from it.
    pub now: Timestamp,
    /// Requests waiting for a slot.
    pub queued: u32,
    /// Heartbeats refused because they came twice, late or from a former life.
    pub heartbeats_ignored: u64,
}

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
    /// Threads it may use; `null` on a GPU.
    pub threads: Option<u32>,
    /// Tokens its context holds.
    pub context_length: Option<u32>,
    /// Memory of its process.
    pub memory_bytes: Option<u64>,
    /// Over the last seconds; `null` when it generates nothing.
    pub tokens_per_second: Option<f64>,
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

/// What a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// A graphics processor.
    Gpu,
    /// The processors of the machine, taken together.
    Cpu,
}

/// A process that holds memory of a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceProcess {
    /// Its process id.
    pub pid: u32,
    /// Its program's name.
    pub name: Option<String>,
    /// What it holds.
    pub memory_bytes: Option<u64>,
    /// The worker it is, when it is one of ours.
    pub worker_id: Option<WorkerId>,
}

/// One device of one hive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// The device.
    pub id: DeviceId,
    /// Its machine.
    pub hive_id: HiveId,
    /// What it is.
    pub kind: DeviceKind,
    /// What its maker calls it.
    pub name: String,
    /// Why it cannot be used; `null` when it can.
    pub unavailable: Option<String>,
    /// Memory it has; for the CPU the machine's.
    pub memory_total_bytes: Option<u64>,
    /// Memory in use by anybody.
    pub memory_used_bytes: Option<u64>,
    /// 0 to 100.
    pub utilisation_percent: Option<f64>,
    /// Of the chip.
    pub temperature_celsius: Option<f64>,
    /// Drawn now.
    pub power_watts: Option<f64>,
    /// NVIDIA's compute capability, such as `8.6`.
    pub compute_capability: Option<String>,
    /// Logical cores, for a CPU.
    pub cores: Option<u32>,
    /// Who holds its memory; `null` when the driver does not say.
    pub processes: Option<Vec<DeviceProcess>>,
}

/// The whole state of what a daemon knows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// Absent on a hive's own feed.
    #[serde(default)]
    pub queen: Option<QueenRecord>,
    /// All known machines.
    pub hives: Vec<HiveRecord>,
    /// All known workers.
    pub workers: Vec<WorkerRecord>,
    /// All known devices.
    pub devices: Vec<DeviceRecord>,
    /// The newest jobs, newest first.
    pub jobs: Vec<JobRecord>,
    /// The models on the machines' disks; absent from a daemon that does not
    /// tell of them.
    #[serde(default)]
    pub models: Vec<ModelRecord>,
}

/// A line of narration in the feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Narration {
    /// The job that says it.
    pub job_id: JobId,
    /// What it says.
    #[serde(flatten)]
    pub event: JobEvent,
}

/// A token in the feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeedToken {
    /// The job it belongs to.
    pub job_id: JobId,
    /// Its text.
    pub text: String,
    /// Its place in the answer.
    pub index: u32,
}

/// A record that is no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// What was its id.
    pub id: String,
    /// For a device or a model, whose it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hive_id: Option<HiveId>,
    gone: True,
}

/// The literal `true`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct True;

impl Serialize for True {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

impl<'de> Deserialize<'de> for True {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if bool::deserialize(d)? {
            Ok(Self)
        } else {
            Err(serde::de::Error::custom("`gone` is true or absent"))
        }
    }
}

impl Gone {
    /// The record with this id is no more.
    pub fn new(id: impl ToString) -> Self {
        Self { id: id.to_string(), hive_id: None, gone: True }
    }

    /// What only its hive and its id together name is no more.
    pub fn on(hive_id: &HiveId, id: impl ToString) -> Self {
        Self { id: id.to_string(), hive_id: Some(hive_id.clone()), gone: True }
    }
}

/// A record, or the word that it is no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Change<T> {
    /// It is no more.
    Gone(Gone),
    /// The whole new record.
    Now(Box<T>),
}

impl<T> From<T> for Change<T> {
    fn from(record: T) -> Self {
        Self::Now(Box::new(record))
    }
}

/// One message of the feed. The SSE `event:` name is the variant's.
#[derive(Debug, Clone, PartialEq)]
pub enum FeedEvent {
    /// Everything, first and after a gap.
    Snapshot(Box<Snapshot>),
    /// The queen's own record changed.
    Queen(Box<QueenRecord>),
    /// A machine changed.
    Hive(Change<HiveRecord>),
    /// A worker changed.
    Worker(Change<WorkerRecord>),
    /// A device changed.
    Device(Change<DeviceRecord>),
    /// A job changed.
    Job(Change<JobRecord>),
    /// A model on a machine's disk changed.
    Model(Change<ModelRecord>),
    /// Somebody says something.
    Narration(Narration),
    /// Somebody generates something.
    Token(FeedToken),
    /// This reader was too slow; a snapshot follows.
    Lagged,
}

impl FeedEvent {
    /// The SSE event name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Snapshot(_) => "snapshot",
            Self::Queen(_) => "queen",
            Self::Hive(_) => "hive",
            Self::Worker(_) => "worker",
            Self::Device(_) => "device",
            Self::Job(_) => "job",
            Self::Model(_) => "model",
            Self::Narration(_) => "narration",
            Self::Token(_) => "token",
            Self::Lagged => "lagged",
        }
    }

    /// The SSE data.
    pub fn data(&self) -> serde_json::Result<String> {
        match self {
            Self::Snapshot(it) => serde_json::to_string(it),
            Self::Queen(it) => serde_json::to_string(it),
            Self::Hive(it) => serde_json::to_string(it),
            Self::Worker(it) => serde_json::to_string(it),
            Self::Device(it) => serde_json::to_string(it),
            Self::Job(it) => serde_json::to_string(it),
            Self::Model(it) => serde_json::to_string(it),
            Self::Narration(it) => serde_json::to_string(it),
            Self::Token(it) => serde_json::to_string(it),
            Self::Lagged => Ok("{}".to_owned()),
        }
    }

    /// Reads a message back; `None` for a name from a newer version, which a
    /// reader passes over.
    pub fn parse(name: &str, data: &str) -> serde_json::Result<Option<Self>> {
        Ok(Some(match name {
            "snapshot" => Self::Snapshot(serde_json::from_str(data)?),
            "queen" => Self::Queen(serde_json::from_str(data)?),
            "hive" => Self::Hive(serde_json::from_str(data)?),
            "worker" => Self::Worker(serde_json::from_str(data)?),
            "device" => Self::Device(serde_json::from_str(data)?),
            "job" => Self::Job(serde_json::from_str(data)?),
            "model" => Self::Model(serde_json::from_str(data)?),
            "narration" => Self::Narration(serde_json::from_str(data)?),
            "token" => Self::Token(serde_json::from_str(data)?),
            "lagged" => Self::Lagged,
            _ => return Ok(None),
        }))
    }
}

/// The fleet as a reader of the feed keeps it: the snapshot with every change
/// applied. Keeper and queen use the same one, so they cannot disagree.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fleet {
    /// The queen, once she has said something.
    pub queen: Option<QueenRecord>,
    /// Machines.
    pub hives: BTreeMap<HiveId, HiveRecord>,
    /// Workers.
    pub workers: BTreeMap<WorkerId, WorkerRecord>,
    /// Devices.
    pub devices: BTreeMap<(HiveId, DeviceId), DeviceRecord>,
    /// Jobs; their ids sort by creation.
    pub jobs: BTreeMap<JobId, JobRecord>,
    /// Models on disks.
    pub models: BTreeMap<(HiveId, ModelRef), ModelRecord>,
}

impl Fleet {
    /// Takes one message in. Narration, tokens and `lagged` change no record.
    pub fn apply(&mut self, event: &FeedEvent) {
        match event {
            FeedEvent::Snapshot(snapshot) => *self = Self::from((**snapshot).clone()),
            FeedEvent::Queen(queen) => self.queen = Some((**queen).clone()),
            FeedEvent::Hive(change) => apply(&mut self.hives, change, |it| it.id.clone(), parse_id),
            FeedEvent::Worker(change) => {
                apply(&mut self.workers, change, |it| it.id.clone(), parse_id);
            }
            FeedEvent::Job(change) => apply(&mut self.jobs, change, |it| it.id.clone(), parse_id),
            FeedEvent::Device(change) => apply(
                &mut self.devices,
                change,
                |it| (it.hive_id.clone(), it.id.clone()),
                parse_place,
            ),
            FeedEvent::Model(change) => apply(
                &mut self.models,
                change,
                |it| (it.hive_id.clone(), it.id.clone()),
                parse_place,
            ),
            FeedEvent::Narration(_) | FeedEvent::Token(_) | FeedEvent::Lagged => {}
        }
    }

    /// The fleet as one message.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            queen: self.queen.clone(),
            hives: self.hives.values().cloned().collect(),
            workers: self.workers.values().cloned().collect(),
            devices: self.devices.values().cloned().collect(),
            jobs: self.jobs.values().rev().cloned().collect(),
            models: self.models.values().cloned().collect(),
        }
    }
}

impl From<Snapshot> for Fleet {
    fn from(snapshot: Snapshot) -> Self {
        Self {
            queen: snapshot.queen,
            hives: snapshot.hives.into_iter().map(|it| (it.id.clone(), it)).collect(),
            workers: snapshot.workers.into_iter().map(|it| (it.id.clone(), it)).collect(),
            devices: snapshot
                .devices
                .into_iter()
                .map(|it| ((it.hive_id.clone(), it.id.clone()), it))
                .collect(),
            jobs: snapshot.jobs.into_iter().map(|it| (it.id.clone(), it)).collect(),
            models: snapshot
                .models
                .into_iter()
                .map(|it| ((it.hive_id.clone(), it.id.clone()), it))
                .collect(),
        }
    }
}

fn parse_id<K: std::str::FromStr>(gone: &Gone) -> Option<K> {
    gone.id.parse().ok()
}

fn parse_place<K: std::str::FromStr>(gone: &Gone) -> Option<(HiveId, K)> {
    Some((gone.hive_id.clone()?, gone.id.parse().ok()?))
}

fn apply<K: Ord, T: Clone>(
    records: &mut BTreeMap<K, T>,
    change: &Change<T>,
    key: impl Fn(&T) -> K,
    gone_key: impl Fn(&Gone) -> Option<K>,
) {
    match change {
        Change::Now(record) => {
            records.insert(key(record), (**record).clone());
        }
        Change::Gone(gone) => {
            if let Some(key) = gone_key(gone) {
                records.remove(&key);
            }
        }
    }
}

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
}

/// One device as `GET /capabilities` documents it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapabilityDevice {
    /// `GPU-0`, `CPU-0`.
    pub id: DeviceId,
    /// What its maker calls it.
    pub name: String,
    /// `gpu` or `cpu`.
    pub device_type: DeviceKind,
    /// Whole gibibytes, for a GPU.
    pub vram_gb: Option<u64>,
    /// NVIDIA's compute capability.
    pub compute_capability: Option<String>,
    /// The exact size.
    pub memory_bytes: Option<u64>,
    /// Logical cores, for a CPU.
    pub cores: Option<u32>,
}

/// `GET /capabilities`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Capabilities {
    /// The machine's devices.
    pub devices: Vec<CapabilityDevice>,
    /// Why there is no GPU among them, when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
