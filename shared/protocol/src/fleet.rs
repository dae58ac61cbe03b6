//! The records of the fleet and the feed that carries them.
//!
//! The same shape travels hive → queen and queen → keeper: a [`Snapshot`],
//! then whole records as they change. Whatever is not known is `null`.

mod device;
mod feed;
mod health;
mod hive;
mod worker;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::{
    device::{Capabilities, CapabilityDevice, DeviceKind, DeviceProcess, DeviceRecord},
    feed::{Change, FeedEvent, FeedToken, Gone, Narration},
    health::{
        BuildInfo, Health, HealthStatus, Heartbeat, HeartbeatAnswer, HeartbeatDetails, WorkerHealth,
    },
    hive::{DiskRecord, HiveRecord, HiveState, LinkRecord, LinkState},
    worker::{ExitRecord, WorkerRecord, WorkerState},
};
use crate::{DeviceId, HiveId, JobId, ModelRef, WorkerId, job::JobRecord, model::ModelRecord};

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
    /// How long the newest requests waited for their first token; `null`
    /// before there was one.
    #[serde(default)]
    pub time_to_first_token: Option<FirstTokenRecord>,
}

/// How long the newest requests waited, from their acceptance by the queen to
/// the first token that she passed on: the wait for a slot is in it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FirstTokenRecord {
    /// Over how many requests.
    pub requests: u32,
    /// Half of them waited no longer.
    pub p50_ms: f64,
    /// Of twenty, nineteen waited no longer.
    pub p95_ms: f64,
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
    /// The models on the machines' disks; none from a daemon that does not
    /// tell of them.
    #[serde(default)]
    pub models: Vec<ModelRecord>,
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
