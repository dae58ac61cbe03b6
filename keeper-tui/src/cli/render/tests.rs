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
    assert_eq!(text(&report), "FIELD      VALUE\nnone       —\nshape      new\nworker_id  wk-1\n");
    assert_eq!(report.names, ["wk-1"]);
    assert_eq!(
        text(&of("model_list", json!([{"id": "demo", "size": 7}]))),
        "ID    SIZE\ndemo  7\n"
    );
}
