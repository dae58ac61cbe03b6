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
fn a_wide_list_and_the_details_show_what_a_worker_measures_and_nothing_for_what_it_does_not() {
    let mut measured = worker("wk-1", "ready");
    for (field, value) in [
        ("slots_desired", json!(8)),
        ("time_to_first_token_ms", json!(180.4)),
        ("kv_cache_tokens", json!(512)),
        ("kv_cache_capacity_tokens", json!(2048)),
        ("version", json!("0.2.0")),
    ] {
        measured[field] = value;
    }
    let report = of("worker_list", json!([measured.clone(), worker("wk-2", "ready")]));
    let Some(Block::Table(table)) = report.blocks.first() else { panic!("{report:?}") };
    let wide = table.render(&PIPE, true);
    let rows: Vec<Vec<&str>> = wide.lines().map(|row| row.split_whitespace().collect()).collect();
    let at = |heading: &str| rows[0].iter().position(|it| *it == heading).unwrap();
    assert_eq!(rows[1][at("SLOTS")], "1/4/8", "busy, all and wanted");
    assert!(wide.contains("180 ms  25%") && wide.contains("0.2.0"), "{wide}");
    assert!(rows[2][at("SLOTS")] == "1/4" && !wide.contains(" 0%"), "{wide}");
    let details = text(&of("worker_get", measured));
    for line in ["time to first token  180 ms", "kv cache             25%"] {
        assert!(details.contains(line), "{details}");
    }
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
