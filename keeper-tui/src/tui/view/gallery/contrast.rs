//! Two states that differ have to differ on a terminal that has neither
//! colours nor letters beyond ASCII.

use protocol::{
    fleet::{Change, FeedEvent, HiveState, Snapshot, WorkerRecord, WorkerState},
    job::JobState,
    model::ModelState,
};

use super::{
    POOR, SIZES,
    picture::{frame, text},
};
use crate::tui::{
    fixture::{Stage, busy_fleet, catalogue, empty_fleet, hive, job, worker},
    message::FeedNews,
    state::Source,
};

#[test]
fn the_states_of_machines() {
    use HiveState::{Late, Lost, Offline, Ready, Stale, Starting};
    all_differ([Offline, Starting, Ready, Late, Stale, Lost].map(|state| {
        let hives = vec![hive("gpu-1", state, 1, None)];
        (state.as_str(), move |size| selected(size, "1", hives_of(hives.clone())))
    }));
}

#[test]
fn the_states_of_workers() {
    use WorkerState::{BackingOff, Busy, Draining, Failed, Loading, Ready, Starting, Stopped};
    let states = [Starting, Loading, Ready, Busy, Draining, BackingOff, Stopped, Failed];
    all_differ(states.map(|state| {
        // Nothing but the state may tell them apart.
        let record = WorkerRecord {
            slots_total: None,
            slots_busy: None,
            tokens_per_second: None,
            progress: None,
            started_at: None,
            ..worker("wk-02", "gpu-1", state)
        };
        let hives = vec![hive("gpu-1", HiveState::Ready, 1, None)];
        let fleet = Snapshot { workers: vec![record], ..hives_of(hives) };
        (state.as_str(), move |size| selected(size, "2", fleet.clone()))
    }));
}

#[test]
fn the_states_of_jobs() {
    use JobState::{Cancelled, Done, Failed, Queued, Running};
    all_differ([Queued, Running, Done, Failed, Cancelled].map(|state| {
        let mut record = job("job-00007f3c", "infer", state, 7);
        (record.started_at, record.ended_at, record.error) = (None, None, None);
        let fleet = Snapshot { jobs: vec![record], ..empty_fleet() };
        (state.as_str(), move |size| selected(size, "5", fleet.clone()))
    }));
}

#[test]
fn the_states_of_models() {
    use ModelState::{Available, Downloading, Failed, Partial, Ready};
    all_differ([Available, Downloading, Ready, Partial, Failed].map(|state| {
        (state.as_str(), move |size| {
            let mut stage = connected(size, "4", empty_fleet());
            for mut it in catalogue().into_iter().take(1) {
                (it.state, it.error) = (state, None);
                stage.feed(FeedEvent::Model(Change::from(it)));
            }
            row_of_the_selection(&stage)
        })
    }));
}

#[test]
fn the_states_of_the_connection() {
    type Act = fn(&mut Stage);
    let header = |stage: Stage| {
        let shown = text(&frame(&stage));
        shown.lines().next().unwrap_or_default().to_owned()
    };
    let states: [(&str, Act); 7] = [
        ("connecting", |_| {}),
        ("not reached", |stage| stage.disconnect()),
        ("live", |stage| drop(stage.connect(busy_fleet()))),
        ("DISCONNECTED", |stage| {
            stage.connect(busy_fleet());
            stage.disconnect();
        }),
        ("connected", |stage| {
            stage.connect(busy_fleet());
            stage.disconnect();
            stage.news(FeedNews::Connected);
        }),
        ("recording", |stage| {
            stage.connect(busy_fleet());
            stage.model.source = Source::Recording { is_cut_off: false };
        }),
        ("recording, over", |stage| {
            stage.connect(busy_fleet());
            stage.model.source = Source::Over;
        }),
    ];
    all_differ(states.map(|(word, act)| {
        (word, move |size| {
            let mut stage = Stage::with_theme(size, POOR);
            act(&mut stage);
            header(stage)
        })
    }));
}

fn hives_of(hives: Vec<protocol::fleet::HiveRecord>) -> Snapshot {
    Snapshot { hives, ..empty_fleet() }
}

fn connected(size: (u16, u16), keys: &str, fleet: Snapshot) -> Stage {
    let mut stage = Stage::with_theme(size, POOR);
    stage.connect(fleet);
    stage.type_keys(keys);
    stage
}

fn selected(size: (u16, u16), keys: &str, fleet: Snapshot) -> String {
    row_of_the_selection(&connected(size, keys, fleet))
}

fn row_of_the_selection(stage: &Stage) -> String {
    let shown = text(&frame(stage));
    let row = shown.lines().find(|line| line.trim_start_matches('|').starts_with('>'));
    row.unwrap_or_else(|| panic!("nothing is selected\n{shown}")).to_owned()
}

/// Each says its word, and no two are the same.
fn all_differ<const N: usize>(states: [(&str, impl Fn((u16, u16)) -> String); N]) {
    for size in SIZES {
        let mut seen: Vec<String> = Vec::new();
        for (word, shown) in &states {
            let shown = shown(size);
            // In a narrow place `loading` is `load 61%`, and every word is one word.
            let word = word.replace('_', " ");
            let is_said = shown.replace('_', " ").contains(&word);
            assert!(is_said, "no `{word}` at {size:?} in {shown:?}");
            assert!(!seen.contains(&shown), "at {size:?} two states look like this: {shown}");
            seen.push(shown);
        }
    }
}
