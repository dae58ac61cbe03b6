//! A job's result as an answer: tables and lines for a person, names for a
//! shell, the document itself for a program.
//!
//! A result that this build does not know, because it is of another version,
//! is shown as what it is and never refused.

mod details;
mod tables;

use protocol::{
    Timestamp,
    fleet::{HiveRecord, HiveState, QueenRecord, Snapshot, WorkerState},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use self::tables::jobs;
use self::{
    details::{Details, hive_details, model_details, worker_details},
    tables::{devices, hives, models, workers},
};
use super::{
    exit::Exit,
    output::{Block, Report},
    table::{Cell, Table, age},
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
    let up = age(queen.started_at, queen.now);
    let line = format!("queen {}  up {up}  {} waiting", queen.version, queen.queued);
    match queen.time_to_first_token {
        Some(it) => format!("{line}  ttft p50 {:.0} ms p95 {:.0} ms", it.p50_ms, it.p95_ms),
        None => line,
    }
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

/// The exit codes as an answer.
pub fn exit_codes() -> Report {
    let mut table = Table::new([">CODE", "MEANING"]);
    for (exit, meaning) in Exit::ALL {
        table.row([Cell::new(exit.code()), Cell::new(meaning)]);
    }
    let codes = Exit::ALL.map(|(exit, meaning)| json!({"code": exit.code(), "meaning": meaning}));
    let names = Exit::ALL.map(|(exit, _)| exit.code().to_string());
    Report {
        document: json!({ "exit_codes": codes }),
        names: names.to_vec(),
        blocks: vec![Block::Table(table)],
        exit: Exit::Done,
    }
}

#[cfg(test)]
mod tests;
