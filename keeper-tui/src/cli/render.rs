//! A job's result as an answer: tables and lines for a person, names for a
//! shell, the document itself for a program.
//!
//! A result that this build does not know, because it is of another version,
//! is shown as what it is and never refused.

use protocol::{
    Timestamp,
    fleet::{
        DeviceRecord, ExitRecord, HiveRecord, HiveState, LinkRecord, QueenRecord, Snapshot,
        WorkerRecord, WorkerState,
    },
    job::{JobRecord, JobState},
    model::{ModelRecord, ModelState},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    exit::Exit,
    output::{Block, Report, progress_text},
    table::{Cell, Table, age, bytes},
    terminal::Tone,
};

/// What a job left: its structured result and the line that sums it up.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// For a program.
    pub result: Value,
    /// For a person.
    pub summary: Option<String>,
}

/// The answer of the operation `name`.
pub fn report(name: &str, answer: &Answer, now: Timestamp) -> Report {
    let Answer { result, summary } = answer;
    let line = || summary.iter().cloned().map(Block::Line).collect::<Vec<_>>();
    let (blocks, exit) = match name {
        "status" => match parse::<Snapshot>(result) {
            Some(snapshot) => return fleet(&snapshot, result.clone()),
            None => (None, Exit::Done),
        },
        "hive_list" => {
            (list(result, "hives").map(|it| vec![Block::Table(hives(&it, now))]), Exit::Done)
        }
        "worker_list" => {
            (list(result, "workers").map(|it| vec![Block::Table(workers(&it, now))]), Exit::Done)
        }
        "worker_spawn" => {
            (one(result, "worker").map(|it| vec![Block::Table(workers(&[it], now))]), Exit::Done)
        }
        "model_list" => {
            (list(result, "models").map(|it| vec![Block::Table(models(&it))]), Exit::Done)
        }
        "model_download" => {
            (one(result, "model").map(|it| vec![Block::Table(models(&[it]))]), Exit::Done)
        }
        "model_get" => (one(result, "model").map(|it| model_details(&it)), Exit::Done),
        "worker_get" => (one(result, "worker").map(|it| worker_details(&it, now)), Exit::Done),
        "hive_get" => (one(result, "hive").map(|it| hive_details(&it, result, now)), Exit::Done),
        "hive_status" => match one::<HiveRecord>(result, "hive") {
            Some(hive) => {
                let exit = hive_health(hive.state);
                (Some(vec![Block::Table(hives(&[hive], now))]), exit)
            }
            None => (None, stated_health(result)),
        },
        "hive_start" | "hive_stop" | "hive_install" | "hive_update" | "hive_uninstall"
        | "worker_delete" | "model_delete" => (Some(line()), Exit::Done),
        "ssh_test" => (Some(line()), problems(result)),
        _ => (None, Exit::Done),
    };
    let blocks = match blocks {
        Some(blocks) if !blocks.is_empty() => blocks,
        _ => {
            let generic = generic(result);
            if generic.is_empty() { line() } else { generic }
        }
    };
    // What a record of a hive brings along is not what was asked for.
    let subject =
        ["hive", "worker", "model"].iter().find_map(|field| result.get(field)).unwrap_or(result);
    Report { document: result.clone(), names: names(subject), blocks, exit }
}

/// The whole fleet.
pub fn fleet(snapshot: &Snapshot, document: Value) -> Report {
    let now = snapshot.queen.as_ref().map_or_else(Timestamp::now, |queen| queen.now);
    let mut blocks = Vec::new();
    if let Some(queen) = &snapshot.queen {
        blocks.push(Block::Line(queen_line(queen)));
    }
    let mut section = |table: Table, is_empty: bool, none: &str| {
        blocks.push(Block::Line(String::new()));
        blocks.push(if is_empty { Block::Line(none.to_owned()) } else { Block::Table(table) });
    };
    section(
        hives(&snapshot.hives, now),
        snapshot.hives.is_empty(),
        "no hives; start one: rbee-keeper hive start",
    );
    section(
        workers(&snapshot.workers, now),
        snapshot.workers.is_empty(),
        "no workers; start one: rbee-keeper worker spawn --model demo",
    );
    if !snapshot.devices.is_empty() {
        section(devices(&snapshot.devices), false, "");
    }
    let running: Vec<_> =
        snapshot.jobs.iter().filter(|job| !job.state.is_ended()).cloned().collect();
    if !running.is_empty() {
        section(jobs(&running, now), false, "");
    }
    let hive_names = snapshot.hives.iter().map(|hive| hive.id.to_string());
    let worker_names = snapshot.workers.iter().map(|worker| worker.id.to_string());
    Report {
        document,
        names: hive_names.chain(worker_names).collect(),
        blocks,
        exit: fleet_health(snapshot),
    }
}

/// Whether the fleet is well. A hive that was never started is not ill.
pub fn fleet_health(snapshot: &Snapshot) -> Exit {
    let hives = snapshot.hives.iter().map(|hive| match hive.state {
        HiveState::Offline => Exit::Done,
        state => hive_health(state),
    });
    let workers = snapshot.workers.iter().map(|worker| match worker.state {
        WorkerState::Failed | WorkerState::BackingOff => Exit::Degraded,
        _ => Exit::Done,
    });
    if hives.chain(workers).all(|exit| exit == Exit::Done) { Exit::Done } else { Exit::Degraded }
}

fn hive_health(state: HiveState) -> Exit {
    match state {
        HiveState::Ready => Exit::Done,
        HiveState::Offline => Exit::NotFound,
        HiveState::Starting | HiveState::Late | HiveState::Stale | HiveState::Lost => {
            Exit::Degraded
        }
    }
}

/// A machine that was looked at and has problems is not well.
fn problems(result: &Value) -> Exit {
    let problems = result.get("problems").and_then(Value::as_array);
    if problems.is_none_or(Vec::is_empty) { Exit::Done } else { Exit::Degraded }
}

/// The health in a result that is no whole record but names a state.
fn stated_health(result: &Value) -> Exit {
    let state = result.get("state").cloned().unwrap_or_default();
    serde_json::from_value(state).map_or(Exit::Done, hive_health)
}

/// The queen in one line.
pub fn queen_line(queen: &QueenRecord) -> String {
    format!(
        "queen {}  up {}  {} waiting",
        queen.version,
        age(queen.started_at, queen.now),
        queen.queued
    )
}

fn hives(hives: &[HiveRecord], now: Timestamp) -> Table {
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
fn link(link: &LinkRecord) -> String {
    match link.round_trip_ms {
        Some(ms) => format!("{ms:.1} ms"),
        None => link.state.as_str().to_owned(),
    }
}

fn hive_tone(state: HiveState) -> Tone {
    match state {
        HiveState::Ready => Tone::Good,
        HiveState::Offline => Tone::Faint,
        HiveState::Starting | HiveState::Late | HiveState::Stale => Tone::Warn,
        HiveState::Lost => Tone::Bad,
    }
}

fn worker_tone(state: WorkerState) -> Tone {
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

fn slots(worker: &WorkerRecord) -> Cell {
    let total = worker.slots_total;
    Cell::from(total.map(|total| match worker.slots_busy {
        Some(busy) => format!("{busy}/{total}"),
        None => format!("?/{total}"),
    }))
}

fn worker_state(worker: &WorkerRecord) -> Cell {
    let loading = worker.progress.as_ref().filter(|_| worker.state == WorkerState::Loading);
    let percent = loading.and_then(|progress| progress.fraction());
    let state = worker.state.as_str();
    let text = match percent {
        Some(fraction) => format!("{state} {:.0}%", (fraction * 100.0).floor()),
        None => state.to_owned(),
    };
    Cell::toned(text, worker_tone(worker.state))
}

fn per_second(rate: Option<f64>) -> Cell {
    Cell::from(rate.map(|rate| format!("{rate:.1}")))
}

fn workers(workers: &[WorkerRecord], now: Timestamp) -> Table {
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
        "+>CONTEXT",
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
            Cell::from(worker.context_length),
            Cell::from(worker.pid),
            Cell::from(worker.url.as_ref()),
            Cell::from(worker.log_file.as_ref()),
        ]);
    }
    table
}

fn devices(devices: &[DeviceRecord]) -> Table {
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

fn model_state(model: &ModelRecord) -> Cell {
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

fn users(model: &ModelRecord) -> Option<String> {
    let ids: Vec<&str> = model.used_by.iter().map(|id| id.as_str()).collect();
    (!ids.is_empty()).then(|| ids.join(", "))
}

fn models(models: &[ModelRecord]) -> Table {
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
fn count(parameters: u64) -> String {
    match parameters {
        0..1_000_000 => format!("{:.0}K", parameters as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}M", parameters as f64 / 1e6),
        _ => format!("{:.1}B", parameters as f64 / 1e9),
    }
}

fn model_details(model: &ModelRecord) -> Vec<Block> {
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

/// A record as rows of a name and a value.
struct Details(Table);

impl Details {
    fn new() -> Self {
        Self(Table::new(["FIELD", "VALUE"]))
    }

    fn with(mut self, name: &str, value: impl Into<Cell>) -> Self {
        self.0.row([Cell::new(name), value.into()]);
        self
    }

    fn block(self) -> Block {
        Block::Table(self.0)
    }
}

fn worker_details(worker: &WorkerRecord, now: Timestamp) -> Vec<Block> {
    let details = Details::new()
        .with("worker", Cell::new(&worker.id))
        .with("state", worker_state(worker))
        .with("hive", Cell::new(&worker.hive_id))
        .with("device", Cell::new(&worker.device))
        .with("model", Cell::new(&worker.model))
        .with("slots", slots(worker))
        .with("tokens per second", per_second(worker.tokens_per_second))
        .with("context", worker.context_length)
        .with("memory", worker.memory_bytes.map(bytes))
        .with("threads", worker.threads)
        .with("started", worker.started_at.map(|at| format!("{} ago", age(at, now))))
        .with("heard of", worker.last_heartbeat_at.map(|at| format!("{} ago", age(at, now))))
        .with("life", Cell::new(worker.incarnation))
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

fn last_exit(exit: &ExitRecord, now: Timestamp) -> String {
    format!("{}, {} ago", exit.reason, age(exit.at, now))
}

fn hive_details(hive: &HiveRecord, result: &Value, now: Timestamp) -> Vec<Block> {
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

/// Any JSON: an object as rows of a name and a value, a list of objects as
/// a table, anything else as it stands.
pub fn generic(value: &Value) -> Vec<Block> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![Block::Line(text.clone())],
        Value::Object(fields) => {
            let details = Details::new();
            let details =
                fields.iter().fold(details, |it, (name, value)| it.with(name, cell(value)));
            vec![details.block()]
        }
        Value::Array(rows) => {
            let Some(Value::Object(first)) = rows.first() else {
                return rows.iter().map(|row| Block::Line(row.to_string())).collect();
            };
            let headings: Vec<String> = first.keys().map(|name| name.to_uppercase()).collect();
            let mut table = Table::new(headings.iter().map(String::as_str));
            for row in rows {
                table.row(first.keys().map(|name| cell(row.get(name).unwrap_or(&Value::Null))));
            }
            vec![Block::Table(table)]
        }
        other => vec![Block::Line(other.to_string())],
    }
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::default(),
        Value::String(text) => Cell::new(text),
        other => Cell::new(other),
    }
}

/// The ids in a result.
fn names(result: &Value) -> Vec<String> {
    match result {
        Value::Array(rows) => rows.iter().flat_map(names).collect(),
        Value::Object(fields) => {
            const IDS: [&str; 5] = ["id", "worker_id", "hive_id", "alias", "job_id"];
            let id = IDS.iter().find_map(|name| fields.get(*name)?.as_str());
            match id {
                Some(id) => vec![id.to_owned()],
                // A list or a record in a box: `{"workers": […]}`.
                None => fields
                    .values()
                    .filter(|it| it.is_array() || it.is_object())
                    .flat_map(names)
                    .collect(),
            }
        }
        _ => Vec::new(),
    }
}

fn parse<T: DeserializeOwned>(value: &Value) -> Option<T> {
    T::deserialize(value).ok()
}

/// A record, by itself or as a field.
fn one<T: DeserializeOwned>(result: &Value, field: &str) -> Option<T> {
    parse(result).or_else(|| parse(result.get(field)?))
}

/// A list of records, by itself or as a field.
fn list<T: DeserializeOwned>(result: &Value, field: &str) -> Option<Vec<T>> {
    one(result, field)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::terminal::Look;

    const PIPE: Look = Look { terminal: false, color: false, unicode: true, width: None };

    fn now() -> Timestamp {
        "2026-11-21T10:00:10Z".parse().unwrap()
    }

    fn text(report: &Report) -> String {
        report
            .blocks
            .iter()
            .map(|block| match block {
                Block::Line(line) => format!("{line}\n"),
                Block::Table(table) => table.render(&PIPE, false),
            })
            .collect()
    }

    fn worker(id: &str, state: &str) -> Value {
        json!({
            "id": id, "hive_id": "localhost", "model": "demo", "device": "CPU-0", "state": state,
            "url": null, "pid": 42, "incarnation": 1, "started_at": "2026-11-21T09:59:58Z",
            "progress": null, "slots_total": 4, "slots_busy": 1, "threads": 2,
            "context_length": 512, "memory_bytes": 1_503_238_553, "tokens_per_second": null,
            "last_heartbeat_at": null, "last_exit": null, "log_file": null,
        })
    }

    fn hive(state: &str) -> Value {
        json!({
            "id": "localhost", "url": "http://127.0.0.1:9000", "state": state, "version": "0.1.0",
            "last_seen_at": "2026-11-21T10:00:09Z", "reason": null,
        })
    }

    fn of(name: &str, result: Value) -> Report {
        let summary = Some("in short".to_owned());
        super::report(name, &Answer { result, summary }, now())
    }

    #[test]
    fn workers_are_a_table_whether_the_list_is_boxed_or_not() {
        let expected = "\
WORKER  STATE  HIVE       DEVICE  MODEL  SLOTS  TOK/S   MEMORY  AGE
wk-1    ready  localhost  CPU-0   demo     1/4      —  1.4 GiB  12s
";
        let rows = json!([worker("wk-1", "ready")]);
        for result in [rows.clone(), json!({ "workers": rows })] {
            let report = of("worker_list", result);
            assert_eq!(text(&report), expected);
            assert_eq!(report.names, ["wk-1"]);
        }
        assert_eq!(text(&of("worker_spawn", worker("wk-1", "ready"))), expected);
    }

    #[test]
    fn an_empty_list_is_a_table_without_rows_and_no_names() {
        let report = of("worker_list", json!({"workers": []}));
        assert!(text(&report).starts_with("WORKER  STATE"), "{report:?}");
        assert!(report.names.is_empty());
    }

    #[test]
    fn a_hives_status_tells_its_health_by_the_exit_code() {
        for (state, exit) in [
            ("ready", Exit::Done),
            ("late", Exit::Degraded),
            ("lost", Exit::Degraded),
            ("offline", Exit::NotFound),
        ] {
            assert_eq!(of("hive_status", hive(state)).exit, exit, "{state}");
            assert_eq!(of("hive_status", json!({"hive": hive(state)})).exit, exit, "{state}");
            assert_eq!(of("hive_status", json!({ "state": state })).exit, exit, "{state}");
            assert_eq!(of("hive_get", hive(state)).exit, Exit::Done);
            let boxed = json!({"hive": hive(state), "workers": [worker("wk-1", "ready")]});
            assert_eq!(of("hive_status", boxed.clone()).exit, exit, "{state}");
            assert_eq!(of("hive_status", boxed).names, ["localhost"]);
        }
    }

    #[test]
    fn a_fleet_with_a_failed_worker_or_a_silent_hive_is_degraded() {
        let fleet = |hive_state: &str, worker_state: &str| {
            let snapshot = json!({
                "queen": null, "hives": [hive(hive_state)],
                "workers": [worker("wk-1", worker_state)], "devices": [], "jobs": [],
            });
            of("status", snapshot)
        };
        assert_eq!(fleet("ready", "ready").exit, Exit::Done);
        assert_eq!(fleet("offline", "stopped").exit, Exit::Done);
        assert_eq!(fleet("stale", "ready").exit, Exit::Degraded);
        assert_eq!(fleet("ready", "failed").exit, Exit::Degraded);
        assert_eq!(fleet("ready", "ready").names, ["localhost", "wk-1"]);
    }

    #[test]
    fn an_empty_fleet_says_what_to_do_next() {
        let empty = json!({"hives": [], "workers": [], "devices": [], "jobs": []});
        let text = text(&of("status", empty));
        assert!(text.contains("hive start") && text.contains("worker spawn"), "{text}");
    }

    #[test]
    fn what_is_done_is_said_in_the_words_of_whoever_did_it() {
        assert_eq!(text(&of("worker_delete", json!({"id": "wk-1"}))), "in short\n");
        assert_eq!(text(&of("hive_start", Value::Null)), "in short\n");
    }

    #[test]
    fn a_result_of_another_version_is_shown_as_it_is() {
        let report = of("worker_get", json!({"worker_id": "wk-1", "shape": "new", "none": null}));
        assert_eq!(
            text(&report),
            "FIELD      VALUE\nnone       —\nshape      new\nworker_id  wk-1\n"
        );
        assert_eq!(report.names, ["wk-1"]);
        assert_eq!(
            text(&of("model_list", json!([{"id": "demo", "size": 7}]))),
            "ID    SIZE\ndemo  7\n"
        );
    }
}
