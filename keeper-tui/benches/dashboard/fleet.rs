//! Fleets of any size.

use protocol::{
    Timestamp,
    fleet::{DeviceRecord, HiveRecord, Snapshot, WorkerRecord},
    job::JobRecord,
};
use serde_json::{from_value, json};

/// `hives` machines with a GPU each, `workers` spread over them, and `jobs`
/// that are generating.
pub(crate) fn fleet(hives: usize, workers: usize, jobs: usize) -> anyhow::Result<Snapshot> {
    let now = Timestamp::now();
    Ok(Snapshot {
        queen: Some(from_value(json!({
            "version": "0.1.0", "features": [], "started_at": now, "now": now, "queued": 0,
            "heartbeats_ignored": 0,
        }))?),
        hives: (0..hives).map(hive).collect::<Result<_, _>>()?,
        workers: (0..workers).map(|it| worker(it, it % hives, 0)).collect::<Result<_, _>>()?,
        devices: (0..hives).map(device).collect::<Result<_, _>>()?,
        jobs: (0..jobs).map(job).collect::<Result<_, _>>()?,
        models: Vec::new(),
    })
}

fn hive(number: usize) -> serde_json::Result<HiveRecord> {
    from_value(json!({
        "id": format!("hive-{number:04}"), "url": "http://127.0.0.1:9000", "state": "ready",
        "version": "0.1.0", "last_seen_at": Timestamp::now(), "reason": null,
    }))
}

/// A worker after `beats` heartbeats.
pub(crate) fn worker(number: usize, hive: usize, beats: u64) -> serde_json::Result<WorkerRecord> {
    from_value(json!({
        "id": format!("wk-{number:05}"), "hive_id": format!("hive-{hive:04}"),
        "model": "org/llama-8b:Q4_K_M", "device": "GPU-0", "state": "ready", "url": null,
        "pid": 4711, "incarnation": 1, "started_at": Timestamp::now(), "progress": null,
        "slots_total": 4, "slots_busy": beats % 4, "threads": null, "context_length": 8192,
        "memory_bytes": 5_000_000_000_u64, "tokens_per_second": (beats % 40) as f64 + 0.5,
        "last_heartbeat_at": Timestamp::now(), "last_exit": null, "log_file": null,
    }))
}

fn device(hive: usize) -> serde_json::Result<DeviceRecord> {
    from_value(json!({
        "id": "GPU-0", "hive_id": format!("hive-{hive:04}"), "kind": "gpu", "name": "NVIDIA L40",
        "unavailable": null, "memory_total_bytes": 48_000_000_000_u64,
        "memory_used_bytes": 31_000_000_000_u64, "utilisation_percent": 61.0,
        "temperature_celsius": 55.0, "power_watts": 211.0, "compute_capability": "8.9",
        "cores": null, "processes": [],
    }))
}

/// The name of a job.
pub(crate) fn job_id(number: usize) -> String {
    format!("job-{number:08}")
}

fn job(number: usize) -> serde_json::Result<JobRecord> {
    let now = Timestamp::now();
    from_value(json!({
        "id": job_id(number), "operation": "infer", "state": "running", "created_at": now,
        "started_at": now, "ended_at": null, "hive_id": "hive-0000", "worker_id": "wk-00000",
        "model": "org/llama-8b:Q4_K_M", "progress": null, "last_message": null, "last_event": 0,
        "error": null,
    }))
}
