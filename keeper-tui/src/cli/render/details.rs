//! One record as rows of a name and a value.

use protocol::{
    Timestamp,
    fleet::{DeviceRecord, ExitRecord, HiveRecord, WorkerRecord},
    model::ModelRecord,
};
use serde_json::Value;

use super::{
    list,
    tables::{
        count, devices, hive_tone, kv_cache, link, milliseconds, model_state, per_second, slots,
        users, worker_state, workers,
    },
};
use crate::cli::{
    output::Block,
    table::{Cell, Table, age, bytes},
};

/// A record as rows of a name and a value.
pub(super) struct Details(Table);

impl Details {
    pub(super) fn new() -> Self {
        Self(Table::new(["FIELD", "VALUE"]))
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<Cell>) -> Self {
        self.0.row([Cell::new(name), value.into()]);
        self
    }

    pub(super) fn block(self) -> Block {
        Block::Table(self.0)
    }
}

pub(super) fn model_details(model: &ModelRecord) -> Vec<Block> {
    let error = model.error.as_ref();
    let mut details = Details::new()
        .with("model", Cell::new(&model.id))
        .with("state", model_state(model))
        .with("hive", Cell::new(&model.hive_id))
        .with("source", Cell::new(model.source.as_str()))
        .with("revision", model.revision.as_ref())
        .with("size", Cell::new(bytes(model.bytes)))
        .with("architecture", model.architecture.as_ref())
        .with("parameters", model.parameters.map(count))
        .with("quantisation", model.quantisation.as_ref())
        .with("context", model.context_length)
        .with("memory, estimated", model.memory_bytes_estimate.map(bytes))
        .with("used by", users(model));
    for file in &model.files {
        details = details.with("file", Cell::new(&file.path));
        details = details.with("sha256", file.sha256.as_ref());
    }
    if let Some(error) = error {
        details =
            details.with("error", Cell::new(&error.message)).with("remedy", error.hint.as_ref());
    }
    vec![details.block()]
}

pub(super) fn worker_details(worker: &WorkerRecord, now: Timestamp) -> Vec<Block> {
    let details = Details::new()
        .with("worker", Cell::new(&worker.id))
        .with("state", worker_state(worker))
        .with("hive", Cell::new(&worker.hive_id))
        .with("device", Cell::new(&worker.device))
        .with("model", Cell::new(&worker.model))
        .with("slots", slots(worker))
        .with("tokens per second", per_second(worker.tokens_per_second))
        .with("time to first token", milliseconds(worker.time_to_first_token_ms))
        .with("kv cache", kv_cache(worker))
        .with("context", worker.context_length)
        .with("memory", worker.memory_bytes.map(bytes))
        .with("threads", worker.threads)
        .with("started", worker.started_at.map(|at| format!("{} ago", age(at, now))))
        .with("heard of", worker.last_heartbeat_at.map(|at| format!("{} ago", age(at, now))))
        .with("life", Cell::new(worker.incarnation))
        .with("version", worker.version.as_ref())
        .with("restarts", worker.restarts)
        .with("starts again", worker.retry_at.map(|at| format!("in {}", age(now, at))))
        .with("pid", worker.pid)
        .with("url", worker.url.as_ref())
        .with("log", worker.log_file.as_ref())
        .with("last exit", worker.last_exit.as_ref().map(|exit| last_exit(exit, now)));
    let log_tail = worker.last_exit.iter().flat_map(|exit| exit.log_tail.iter());
    let log_lines = log_tail.map(|line| Block::Line(format!("  {line}")));
    std::iter::once(details.block()).chain(log_lines).collect()
}

pub(super) fn last_exit(exit: &ExitRecord, now: Timestamp) -> String {
    format!("{}, {} ago", exit.reason, age(exit.at, now))
}

pub(super) fn hive_details(hive: &HiveRecord, result: &Value, now: Timestamp) -> Vec<Block> {
    let mut blocks = vec![
        Details::new()
            .with("hive", Cell::new(&hive.id))
            .with("state", Cell::toned(hive.state.as_str(), hive_tone(hive.state)))
            .with("url", Cell::new(&hive.url))
            .with("version", hive.version.as_ref())
            .with("link", hive.link.as_ref().map(link))
            .with("heard of", hive.last_seen_at.map(|at| format!("{} ago", age(at, now))))
            .with("reason", hive.reason.as_ref())
            .block(),
    ];
    let mut section = |table| blocks.extend([Block::Line(String::new()), Block::Table(table)]);
    if let Some(found) = list::<DeviceRecord>(result, "devices").filter(|it| !it.is_empty()) {
        section(devices(&found));
    }
    if let Some(found) = list::<WorkerRecord>(result, "workers").filter(|it| !it.is_empty()) {
        section(workers(&found, now));
    }
    blocks
}
