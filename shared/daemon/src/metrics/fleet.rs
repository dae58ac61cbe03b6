//! Facts about the fleet, looked up in the feed when they are asked for.
//!
//! Hives and workers are counted by state and not named: a fleet has thousands
//! of them over time, and every name would stay in every scrape.

use protocol::{
    fleet::{HiveState, WorkerState},
    model::ModelState,
};

use super::{
    DEVICE_MEMORY, DEVICE_MEMORY_USED, DEVICE_POWER, DEVICE_TEMPERATURE, DEVICE_UTILISATION, HIVES,
    MODELS, MODELS_DISK, MODELS_DISK_FREE, Metrics, SLOTS, SLOTS_BUSY, WORKERS,
};
use crate::feed::Feed;

const HIVE_STATES: [HiveState; 6] = [
    HiveState::Offline,
    HiveState::Starting,
    HiveState::Ready,
    HiveState::Late,
    HiveState::Stale,
    HiveState::Lost,
];

const WORKER_STATES: [WorkerState; 8] = [
    WorkerState::Starting,
    WorkerState::Loading,
    WorkerState::Ready,
    WorkerState::Busy,
    WorkerState::Draining,
    WorkerState::BackingOff,
    WorkerState::Stopped,
    WorkerState::Failed,
];

const MODEL_STATES: [ModelState; 4] =
    [ModelState::Downloading, ModelState::Ready, ModelState::Partial, ModelState::Failed];

/// How many hives are in each state.
pub fn sample_hives(metrics: &Metrics, feed: &Feed) {
    let counts = feed.look(|fleet| {
        HIVE_STATES.map(|state| fleet.hives.values().filter(|hive| hive.state == state).count())
    });
    for (state, count) in HIVE_STATES.iter().zip(counts) {
        metrics.set(&HIVES, &[("state", state.as_str())], count as f64);
    }
}

/// How many workers are in each state, and what they can take.
pub fn sample_workers(metrics: &Metrics, feed: &Feed) {
    let (counts, slots, busy) = feed.look(|fleet| {
        let workers = || fleet.workers.values();
        let counts =
            WORKER_STATES.map(|state| workers().filter(|worker| worker.state == state).count());
        let serving = || workers().filter(|worker| worker.state.is_serving());
        let slots: u32 = serving().filter_map(|worker| worker.slots_total).sum();
        let busy: u32 = serving().filter_map(|worker| worker.slots_busy).sum();
        (counts, slots, busy)
    });
    for (state, count) in WORKER_STATES.iter().zip(counts) {
        metrics.set(&WORKERS, &[("state", state.as_str())], count as f64);
    }
    metrics.set(&SLOTS, &[], slots.into());
    metrics.set(&SLOTS_BUSY, &[], busy.into());
}

/// What a machine has on its disk, and the room there.
pub fn sample_models(metrics: &Metrics, feed: &Feed) {
    let (counts, disk) = feed.look(|fleet| {
        let models = || fleet.models.values();
        let counts = MODEL_STATES.map(|state| models().filter(|it| it.state == state).count());
        (counts, fleet.hives.values().find_map(|hive| hive.disk))
    });
    for (state, count) in MODEL_STATES.iter().zip(counts) {
        metrics.set(&MODELS, &[("state", state.as_str())], count as f64);
    }
    metrics.set(&MODELS_DISK, &[], disk.map_or(f64::NAN, |it| it.total_bytes as f64));
    metrics.set(&MODELS_DISK_FREE, &[], disk.map_or(f64::NAN, |it| it.free_bytes as f64));
}

/// What each device of a machine says. A machine has few, and they stay.
pub fn sample_devices(metrics: &Metrics, feed: &Feed) {
    let devices: Vec<_> = feed.look(|fleet| fleet.devices.values().cloned().collect());
    for device in devices {
        let labels = [("device", device.id.as_str())];
        // A number that is not known any more must not stay as it was.
        let set = |metric, value: Option<f64>| {
            metrics.set(metric, &labels, value.unwrap_or(f64::NAN));
        };
        let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
        set(&DEVICE_MEMORY, bytes(device.memory_total_bytes));
        set(&DEVICE_MEMORY_USED, bytes(device.memory_used_bytes));
        set(&DEVICE_UTILISATION, device.utilisation_percent.map(|percent| percent / 100.0));
        set(&DEVICE_TEMPERATURE, device.temperature_celsius);
        set(&DEVICE_POWER, device.power_watts);
    }
}
