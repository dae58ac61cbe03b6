//! Lists of records as tables.

use protocol::{
    Timestamp,
    fleet::{DeviceRecord, HiveRecord, HiveState, LinkRecord, WorkerRecord, WorkerState},
    job::{JobRecord, JobState},
    model::{ModelRecord, ModelState},
};

use crate::cli::{
    output::progress_text,
    table::{Cell, Table, age, bytes},
    terminal::Tone,
};

pub(super) fn hives(hives: &[HiveRecord], now: Timestamp) -> Table {
    let mut table = Table::new(["HIVE", "STATE", "VERSION", ">SEEN", "LINK", "+URL", "REASON"]);
    for hive in hives {
        table.row([
            Cell::new(&hive.id),
            Cell::toned(hive.state.as_str(), hive_tone(hive.state)),
            Cell::from(hive.version.as_ref()),
            Cell::from(hive.last_seen_at.map(|seen| age(seen, now))),
            Cell::from(hive.link.as_ref().map(link)),
            Cell::new(&hive.url),
            Cell::from(hive.reason.as_ref()),
        ]);
    }
    table
}

/// The ssh connection: how long an echo takes, or that there is none.
pub(super) fn link(link: &LinkRecord) -> String {
    match link.round_trip_ms {
        Some(ms) => format!("{ms:.1} ms"),
        None => link.state.as_str().to_owned(),
    }
}

pub(super) fn hive_tone(state: HiveState) -> Tone {
    match state {
        HiveState::Ready => Tone::Good,
        HiveState::Offline => Tone::Faint,
        HiveState::Starting | HiveState::Late | HiveState::Stale => Tone::Warn,
        HiveState::Lost => Tone::Bad,
    }
}

pub(super) fn worker_tone(state: WorkerState) -> Tone {
    match state {
        WorkerState::Ready | WorkerState::Busy => Tone::Good,
        WorkerState::Starting
        | WorkerState::Loading
        | WorkerState::Draining
        | WorkerState::BackingOff => Tone::Warn,
        WorkerState::Stopped => Tone::Faint,
        WorkerState::Failed => Tone::Bad,
    }
}

pub(super) fn slots(worker: &WorkerRecord) -> Cell {
    let total = worker.slots_total;
    Cell::from(total.map(|total| {
        let busy = worker.slots_busy.map_or_else(|| "?".to_owned(), |busy| busy.to_string());
        match worker.slots_desired.filter(|desired| *desired != total) {
            Some(desired) => format!("{busy}/{total}/{desired}"),
            None => format!("{busy}/{total}"),
        }
    }))
}

pub(super) fn milliseconds(time: Option<f64>) -> Cell {
    Cell::from(time.map(|time| format!("{time:.0} ms")))
}

pub(super) fn kv_cache(worker: &WorkerRecord) -> Cell {
    Cell::from(worker.kv_cache_share().map(|share| format!("{:.0}%", share * 100.0)))
}

pub(super) fn worker_state(worker: &WorkerRecord) -> Cell {
    let loading = worker.progress.as_ref().filter(|_| worker.state == WorkerState::Loading);
    let percent = loading.and_then(|progress| progress.fraction());
    let state = worker.state.as_str();
    let text = match percent {
        Some(fraction) => format!("{state} {:.0}%", (fraction * 100.0).floor()),
        None => state.to_owned(),
    };
    Cell::toned(text, worker_tone(worker.state))
}

pub(super) fn per_second(rate: Option<f64>) -> Cell {
    Cell::from(rate.map(|rate| format!("{rate:.1}")))
}

pub(super) fn workers(workers: &[WorkerRecord], now: Timestamp) -> Table {
    let mut table = Table::new([
        "WORKER",
        "STATE",
        "HIVE",
        "DEVICE",
        "MODEL",
        ">SLOTS",
        ">TOK/S",
        ">MEMORY",
        ">AGE",
        "+>TTFT",
        "+>KV",
        "+>CONTEXT",
        "+VERSION",
        "+>PID",
        "+URL",
        "+LOG",
    ]);
    for worker in workers {
        table.row([
            Cell::new(&worker.id),
            worker_state(worker),
            Cell::new(&worker.hive_id),
            Cell::new(&worker.device),
            Cell::new(&worker.model),
            slots(worker),
            per_second(worker.tokens_per_second),
            Cell::from(worker.memory_bytes.map(bytes)),
            Cell::from(worker.started_at.map(|started| age(started, now))),
            milliseconds(worker.time_to_first_token_ms),
            kv_cache(worker),
            Cell::from(worker.context_length),
            Cell::from(worker.version.as_ref()),
            Cell::from(worker.pid),
            Cell::from(worker.url.as_ref()),
            Cell::from(worker.log_file.as_ref()),
        ]);
    }
    table
}

pub(super) fn devices(devices: &[DeviceRecord]) -> Table {
    let mut table = Table::new([
        "DEVICE", "HIVE", "NAME", ">MEMORY", ">USED", ">UTIL", ">TEMP", ">POWER", "NOTE",
    ]);
    for device in devices {
        table.row([
            Cell::new(&device.id),
            Cell::new(&device.hive_id),
            Cell::new(&device.name),
            Cell::from(device.memory_total_bytes.map(bytes)),
            Cell::from(device.memory_used_bytes.map(bytes)),
            Cell::from(device.utilisation_percent.map(|percent| format!("{percent:.0}%"))),
            Cell::from(device.temperature_celsius.map(|celsius| format!("{celsius:.0} C"))),
            Cell::from(device.power_watts.map(|watts| format!("{watts:.0} W"))),
            Cell::from(device.unavailable.as_ref()),
        ]);
    }
    table
}

/// The newest jobs.
pub fn jobs(jobs: &[JobRecord], now: Timestamp) -> Table {
    let mut table = Table::new([
        "JOB",
        "OPERATION",
        "STATE",
        "HIVE",
        "+WORKER",
        "+MODEL",
        ">AGE",
        ">TOOK",
        "MESSAGE",
    ]);
    for job in jobs {
        let took = job.started_at.map(|started| age(started, job.ended_at.unwrap_or(now)));
        let said = match (&job.error, &job.progress) {
            (Some(error), _) => Some(error.message.clone()),
            (None, Some(progress)) if !job.state.is_ended() => Some(progress_text(progress)),
            _ => job.last_message.clone(),
        };
        let tone = match job.state {
            JobState::Done => Tone::Good,
            JobState::Failed => Tone::Bad,
            JobState::Queued | JobState::Running => Tone::Warn,
            JobState::Cancelled => Tone::Faint,
        };
        table.row([
            Cell::new(&job.id),
            Cell::new(&job.operation),
            Cell::toned(job.state, tone),
            Cell::from(job.hive_id.as_ref()),
            Cell::from(job.worker_id.as_ref()),
            Cell::from(job.model.as_ref()),
            Cell::new(age(job.created_at, now)),
            Cell::from(took),
            Cell::from(said),
        ]);
    }
    table
}

pub(super) fn model_state(model: &ModelRecord) -> Cell {
    let percent = model.progress.as_ref().and_then(|progress| progress.fraction());
    let state = model.state.as_str();
    let text = match percent {
        Some(fraction) => format!("{state} {:.0}%", (fraction * 100.0).floor()),
        None => state.to_owned(),
    };
    let tone = match model.state {
        ModelState::Ready => Tone::Good,
        ModelState::Downloading | ModelState::Partial => Tone::Warn,
        ModelState::Failed => Tone::Bad,
        ModelState::Available => Tone::Faint,
    };
    Cell::toned(text, tone)
}

pub(super) fn users(model: &ModelRecord) -> Option<String> {
    let ids: Vec<&str> = model.used_by.iter().map(|id| id.as_str()).collect();
    (!ids.is_empty()).then(|| ids.join(", "))
}

pub(super) fn models(models: &[ModelRecord]) -> Table {
    let mut table = Table::new([
        "MODEL",
        "STATE",
        "HIVE",
        ">SIZE",
        "QUANT",
        "ARCH",
        ">PARAMS",
        ">CONTEXT",
        ">MEMORY",
        "USED BY",
        "+SOURCE",
        "+REVISION",
        "+ERROR",
    ]);
    for model in models {
        table.row([
            Cell::new(&model.id),
            model_state(model),
            Cell::new(&model.hive_id),
            Cell::new(bytes(model.bytes)),
            Cell::from(model.quantisation.as_ref()),
            Cell::from(model.architecture.as_ref()),
            Cell::from(model.parameters.map(count)),
            Cell::from(model.context_length),
            Cell::from(model.memory_bytes_estimate.map(bytes)),
            Cell::from(users(model)),
            Cell::new(model.source.as_str()),
            Cell::from(model.revision.as_ref()),
            Cell::from(model.error.as_ref().map(|error| &error.message)),
        ]);
    }
    table
}

/// `2.7M`, `7.0B`: as models are called after it.
pub(super) fn count(parameters: u64) -> String {
    match parameters {
        0..1_000_000 => format!("{:.0}K", parameters as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}M", parameters as f64 / 1e6),
        _ => format!("{:.1}B", parameters as f64 / 1e9),
    }
}
