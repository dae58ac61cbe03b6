//! The registry: hives, workers, devices and models, and what is thought of
//! them.
//!
//! Pure: every method takes what happened and the time it happened at, and
//! returns what changed. It refuses to guess: a worker is what its hive says
//! of its process and what it says of itself, and neither overwrites the
//! other.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use protocol::{
    ApiError, DeviceId, ErrorCode, HiveId, ModelRef, Timestamp, WorkerId,
    fleet::{
        Change, FeedEvent, Gone, Heartbeat, HeartbeatDetails, HiveRecord, HiveState, LinkRecord,
        Snapshot, WorkerRecord, WorkerState,
    },
    model::ModelRecord,
};

use super::liveness;

/// What the queen keeps of one hive.
#[derive(Debug)]
struct Hive {
    record: HiveRecord,
    /// When its feed last said something.
    heard_at: Option<Instant>,
    /// What it has, to know what is gone after a new snapshot.
    workers: BTreeSet<WorkerId>,
    devices: BTreeSet<DeviceId>,
    models: BTreeSet<ModelRef>,
}

/// What the queen keeps of one worker.
#[derive(Debug)]
struct Worker {
    /// As its hive says.
    record: WorkerRecord,
    /// As it says itself.
    heard: Option<Heard>,
}

/// The newest heartbeat that counted.
#[derive(Debug)]
struct Heard {
    at: Instant,
    at_wall: Timestamp,
    incarnation: u64,
    number: Option<u64>,
    details: HeartbeatDetails,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Registry {
    hives: BTreeMap<HiveId, Hive>,
    workers: BTreeMap<WorkerId, Worker>,
    heartbeats_ignored: u64,
}

impl Registry {
    /// Heartbeats that were counted and ignored.
    pub fn heartbeats_ignored(&self) -> u64 {
        self.heartbeats_ignored
    }

    /// A hive exists, at this address.
    pub fn hive_at(&mut self, id: &HiveId, url: &str) -> Vec<FeedEvent> {
        let hive = self.hives.entry(id.clone()).or_insert_with(|| Hive {
            record: HiveRecord {
                id: id.clone(),
                url: url.to_owned(),
                state: HiveState::Offline,
                version: None,
                last_seen_at: None,
                reason: Some("not started".to_owned()),
                link: None,
                disk: None,
            },
            heard_at: None,
            workers: BTreeSet::new(),
            devices: BTreeSet::new(),
            models: BTreeSet::new(),
        });
        url.clone_into(&mut hive.record.url);
        vec![FeedEvent::Hive(hive.record.clone().into())]
    }

    /// The hive is known and there is no way to it.
    pub fn hive_out_of_reach(&mut self, id: &HiveId, reason: &str) -> Vec<FeedEvent> {
        self.set_hive(id, |hive| {
            hive.record.state = HiveState::Offline;
            hive.record.reason = Some(reason.to_owned());
        })
    }

    /// The hive's process was launched.
    pub fn hive_starting(&mut self, id: &HiveId) -> Vec<FeedEvent> {
        self.set_hive(id, |hive| {
            hive.record.state = HiveState::Starting;
            hive.record.reason = None;
            // Silence counts from now, not from its former life.
            hive.heard_at = None;
        })
    }

    /// The hive was stopped on purpose; its workers went with it, and nobody
    /// looks at its disk.
    pub fn hive_stopped(&mut self, id: &HiveId) -> Vec<FeedEvent> {
        let mut changes = self.set_hive(id, |hive| {
            hive.record.state = HiveState::Offline;
            hive.record.reason = Some("stopped".to_owned());
            hive.record.disk = None;
            hive.heard_at = None;
        });
        if let Some(hive) = self.hives.get_mut(id) {
            let workers = std::mem::take(&mut hive.workers);
            for device in std::mem::take(&mut hive.devices) {
                changes.push(FeedEvent::Device(Change::Gone(Gone::on(id, &device))));
            }
            for model in std::mem::take(&mut hive.models) {
                changes.push(FeedEvent::Model(Change::Gone(Gone::on(id, &model))));
            }
            for worker in workers {
                self.workers.remove(&worker);
                changes.push(FeedEvent::Worker(Change::Gone(Gone::new(worker))));
            }
        }
        changes
    }

    /// What became of the ssh connection to the hive's machine. One that stays
    /// up keeps the time since when it does.
    pub fn hive_link(&mut self, id: &HiveId, link: Option<LinkRecord>) -> Vec<FeedEvent> {
        self.set_hive(id, |hive| {
            let since = hive.record.link.as_ref().map(|before| (before.state, before.since));
            hive.record.link = link.map(|link| match since {
                Some((state, since)) if state == link.state => LinkRecord { since, ..link },
                _ => link,
            });
        })
    }

    /// The hive is known no more.
    pub fn hive_gone(&mut self, id: &HiveId) -> Vec<FeedEvent> {
        let mut changes = self.hive_stopped(id);
        if self.hives.remove(id).is_some() {
            changes.push(FeedEvent::Hive(Change::Gone(Gone::new(id))));
        }
        changes
    }

    /// The feed of the hive broke or did not come about. A refusal is a fact;
    /// silence alone is judged by its length.
    pub fn hive_unreachable(&mut self, id: &HiveId, reason: &str) -> Vec<FeedEvent> {
        self.set_hive(id, |hive| {
            if hive.record.state == HiveState::Offline {
                return;
            }
            if hive.heard_at.is_none() || hive.record.state == HiveState::Ready {
                hive.record.state = HiveState::Lost;
            }
            hive.record.reason = Some(reason.to_owned());
        })
    }

    fn set_hive(&mut self, id: &HiveId, set: impl FnOnce(&mut Hive)) -> Vec<FeedEvent> {
        let Some(hive) = self.hives.get_mut(id) else { return Vec::new() };
        set(hive);
        vec![FeedEvent::Hive(hive.record.clone().into())]
    }

    /// The hive said something on its feed.
    pub fn hive_says(
        &mut self,
        id: &HiveId,
        event: &FeedEvent,
        now: Instant,
        wall: Timestamp,
    ) -> Vec<FeedEvent> {
        let mut changes = self.set_hive(id, |hive| {
            hive.heard_at = Some(now);
            hive.record.state = HiveState::Ready;
            hive.record.last_seen_at = Some(wall);
            hive.record.reason = None;
        });
        if changes.is_empty() {
            return changes;
        }
        match event {
            FeedEvent::Snapshot(snapshot) => changes.extend(self.hive_snapshot(id, snapshot)),
            FeedEvent::Hive(Change::Now(own)) => changes = self.hive_record(id, own),
            FeedEvent::Worker(Change::Now(record)) => {
                changes.push(self.worker_record(id, (**record).clone()));
            }
            FeedEvent::Worker(Change::Gone(gone)) => {
                if let Ok(worker) = gone.id.parse() {
                    changes.extend(self.worker_gone(id, &worker));
                }
            }
            FeedEvent::Device(Change::Now(record)) => {
                let mut record = (**record).clone();
                // A hive speaks for its own devices, whatever it calls itself.
                record.hive_id = id.clone();
                if let Some(hive) = self.hives.get_mut(id) {
                    hive.devices.insert(record.id.clone());
                }
                changes.push(FeedEvent::Device(record.into()));
            }
            FeedEvent::Device(Change::Gone(gone)) => {
                if let (Ok(device), Some(hive)) = (gone.id.parse(), self.hives.get_mut(id)) {
                    hive.devices.remove(&device);
                    changes.push(FeedEvent::Device(Change::Gone(Gone::on(id, &device))));
                }
            }
            FeedEvent::Model(Change::Now(record)) => {
                changes.push(self.model_record(id, (**record).clone()));
            }
            FeedEvent::Model(Change::Gone(gone)) => {
                if let (Ok(model), Some(hive)) = (gone.id.parse(), self.hives.get_mut(id)) {
                    hive.models.remove(&model);
                    changes.push(FeedEvent::Model(Change::Gone(Gone::on(id, &model))));
                }
            }
            // The hive's own jobs are steps of the queen's, and are narrated
            // there.
            _ => {}
        }
        changes
    }

    /// What a hive says of itself.
    fn hive_record(&mut self, id: &HiveId, own: &HiveRecord) -> Vec<FeedEvent> {
        let (version, disk) = (own.version.clone(), own.disk);
        self.set_hive(id, |hive| {
            hive.record.version = version;
            hive.record.disk = disk;
        })
    }

    fn hive_snapshot(&mut self, id: &HiveId, snapshot: &Snapshot) -> Vec<FeedEvent> {
        let mut changes = Vec::new();
        if let Some(own) = snapshot.hives.first() {
            changes.extend(self.hive_record(id, own));
        }
        let Some(hive) = self.hives.get_mut(id) else { return changes };
        let devices = snapshot.devices.iter().map(|device| device.id.clone()).collect();
        let gone_devices = std::mem::replace(&mut hive.devices, devices);
        let workers = snapshot.workers.iter().map(|worker| worker.id.clone()).collect();
        let gone_workers = std::mem::replace(&mut hive.workers, workers);
        let models = snapshot.models.iter().map(|model| model.id.clone()).collect();
        let gone_models = std::mem::replace(&mut hive.models, models);

        for model in gone_models.difference(&hive.models) {
            changes.push(FeedEvent::Model(Change::Gone(Gone::on(id, model))));
        }
        for device in gone_devices.difference(&hive.devices) {
            changes.push(FeedEvent::Device(Change::Gone(Gone::on(id, device))));
        }
        let gone_workers: Vec<WorkerId> = gone_workers.difference(&hive.workers).cloned().collect();
        for worker in gone_workers {
            changes.extend(self.worker_gone(id, &worker));
        }
        for device in &snapshot.devices {
            let mut device = device.clone();
            device.hive_id = id.clone();
            changes.push(FeedEvent::Device(device.into()));
        }
        for worker in &snapshot.workers {
            changes.push(self.worker_record(id, worker.clone()));
        }
        for model in &snapshot.models {
            changes.push(self.model_record(id, model.clone()));
        }
        changes
    }

    /// A hive speaks for its own disk, whatever it calls itself.
    fn model_record(&mut self, id: &HiveId, mut record: ModelRecord) -> FeedEvent {
        record.hive_id = id.clone();
        if let Some(hive) = self.hives.get_mut(id) {
            hive.models.insert(record.id.clone());
        }
        FeedEvent::Model(record.into())
    }

    fn worker_record(&mut self, hive_id: &HiveId, mut record: WorkerRecord) -> FeedEvent {
        record.hive_id = hive_id.clone();
        if let Some(hive) = self.hives.get_mut(hive_id) {
            hive.workers.insert(record.id.clone());
        }
        let id = record.id.clone();
        let worker = match self.workers.remove(&id) {
            // A new life has not been heard of yet.
            Some(known) if known.record.incarnation != record.incarnation => {
                Worker { record, heard: None }
            }
            Some(known) => Worker { record, heard: known.heard },
            None => Worker { record, heard: None },
        };
        let change = FeedEvent::Worker(worker.merged().into());
        self.workers.insert(id, worker);
        change
    }

    fn worker_gone(&mut self, hive_id: &HiveId, id: &WorkerId) -> Option<FeedEvent> {
        if let Some(hive) = self.hives.get_mut(hive_id) {
            hive.workers.remove(id);
        }
        self.workers.remove(id)?;
        Some(FeedEvent::Worker(Change::Gone(Gone::new(id))))
    }

    /// A worker says that it lives. What came twice, out of order or from a
    /// former life is counted and changes nothing.
    pub fn heartbeat(
        &mut self,
        heartbeat: &Heartbeat,
        now: Instant,
        wall: Timestamp,
    ) -> (Vec<FeedEvent>, Result<(), ApiError>) {
        let Some(worker) = self.workers.get_mut(&heartbeat.worker_id) else {
            // A worker is made by its hive; until the hive tells of it the
            // documented answer is all it gets.
            return (Vec::new(), Ok(()));
        };
        let details = &heartbeat.details;
        let incarnation = details.incarnation.unwrap_or(worker.record.incarnation);
        if incarnation < worker.record.incarnation {
            self.heartbeats_ignored += 1;
            let error = ApiError::new(
                ErrorCode::StaleIncarnation,
                format!("worker {} has a newer life than yours", heartbeat.worker_id),
            )
            .with_hint("finish and exit");
            return (Vec::new(), Err(error));
        }
        if let Some(heard) = &worker.heard
            && heard.incarnation == incarnation
            && details.heartbeat.is_some()
            && details.heartbeat <= heard.number
        {
            self.heartbeats_ignored += 1;
            return (Vec::new(), Ok(()));
        }
        worker.heard = Some(Heard {
            at: now,
            at_wall: wall,
            incarnation,
            number: details.heartbeat,
            details: details.clone(),
        });
        (vec![FeedEvent::Worker(worker.merged().into())], Ok(()))
    }

    /// Judges the silence of every hive.
    pub fn judge(&mut self, now: Instant) -> Vec<FeedEvent> {
        let mut changes = Vec::new();
        for hive in self.hives.values_mut() {
            let Some(heard_at) = hive.heard_at else { continue };
            let silence = now.saturating_duration_since(heard_at);
            let state = liveness::hive_state(silence);
            let worsens = severity(state) > severity(hive.record.state);
            if worsens {
                hive.record.state = state;
                hive.record
                    .reason
                    .get_or_insert_with(|| format!("silent for {} s", silence.as_secs()));
                changes.push(FeedEvent::Hive(hive.record.clone().into()));
            }
        }
        changes
    }

    /// Takes a stall of the queen's own out of everybody's silence.
    pub fn forgive(&mut self, stalled: Duration) {
        if stalled.is_zero() {
            return;
        }
        for hive in self.hives.values_mut() {
            hive.heard_at = hive.heard_at.map(|at| at + stalled);
        }
        for worker in self.workers.values_mut() {
            if let Some(heard) = &mut worker.heard {
                heard.at += stalled;
            }
        }
    }

    /// A hive's record.
    pub fn hive(&self, id: &HiveId) -> Option<&HiveRecord> {
        self.hives.get(id).map(|hive| &hive.record)
    }

    /// All hives' ids.
    pub fn hive_ids(&self) -> impl Iterator<Item = &HiveId> {
        self.hives.keys()
    }

    /// A worker's record.
    pub fn worker(&self, id: &WorkerId) -> Option<WorkerRecord> {
        self.workers.get(id).map(Worker::merged)
    }

    /// Every worker, with whether it may be given work now.
    pub fn workers(&self, now: Instant) -> impl Iterator<Item = (WorkerRecord, bool)> {
        self.workers.values().map(move |worker| {
            let expired = worker.heard.as_ref().is_some_and(|heard| {
                liveness::heartbeat_expired(now.saturating_duration_since(heard.at))
            });
            let hive_lives = self.hives.get(&worker.record.hive_id).is_some_and(|hive| {
                matches!(hive.record.state, HiveState::Ready | HiveState::Late)
            });
            let record = worker.merged();
            let serving = record.state.is_serving() && hive_lives && !expired;
            (record, serving)
        })
    }
}

/// States of silence, in the order in which they come.
fn severity(state: HiveState) -> u8 {
    match state {
        HiveState::Offline | HiveState::Starting | HiveState::Ready => 0,
        HiveState::Late => 1,
        HiveState::Stale => 2,
        HiveState::Lost => 3,
    }
}

impl Worker {
    /// The process as its hive sees it, the work as the worker tells it.
    fn merged(&self) -> WorkerRecord {
        let mut record = self.record.clone();
        let Some(heard) = &self.heard else { return record };
        record.last_heartbeat_at = Some(heard.at_wall);
        if record.state.is_down() {
            return record;
        }
        let details = &heard.details;
        record.slots_total = details.slots_total.or(record.slots_total);
        record.slots_busy = details.slots_busy.or(record.slots_busy);
        record.memory_bytes = details.memory_bytes.or(record.memory_bytes);
        record.tokens_per_second = details.tokens_per_second;
        record.time_to_first_token_ms =
            details.time_to_first_token_ms.or(record.time_to_first_token_ms);
        record.kv_cache_tokens = details.kv_cache_tokens.or(record.kv_cache_tokens);
        record.kv_cache_capacity_tokens =
            details.kv_cache_capacity_tokens.or(record.kv_cache_capacity_tokens);
        record.version = details.version.clone().or(record.version);
        // Between ready and busy the worker knows first; a process's start
        // and end are its hive's to tell.
        if record.state.is_serving()
            && let Some(state @ (WorkerState::Ready | WorkerState::Busy | WorkerState::Draining)) =
                details.state
        {
            record.state = state;
        }
        record
    }
}

#[cfg(test)]
mod tests;
