//! The screen before there is a fleet, how machines are added, and machines of
//! another version.

use crossterm::event::KeyCode;
use protocol::{
    ApiError, ErrorCode,
    fleet::{HiveRecord, HiveState, QueenRecord, Snapshot},
    job::{JobRecord, JobState},
};

use super::tests::text;
use crate::tui::{
    fixture::{Stage, busy_fleet, empty_fleet, hive, id, job, link, queen},
    message::Message,
};

const SMALL: (u16, u16) = (80, 24);

/// A queen who knows no machine but her own, and ssh some others.
fn first_run(size: (u16, u16), hosts: &[&str]) -> Stage {
    let mut stage = Stage::new(size);
    let here = HiveRecord {
        last_seen_at: None,
        version: None,
        ..hive("localhost", HiveState::Offline, 0, Some("not started"))
    };
    let queen = QueenRecord { features: Vec::new(), queued: 0, ..queen() };
    stage.connect(Snapshot { queen: Some(queen), hives: vec![here], ..empty_fleet() });
    stage.send(Message::Hosts(Ok(hosts.iter().map(|it| (*it).to_owned()).collect())));
    stage
}

#[test]
fn before_there_is_a_fleet_the_screen_says_how_to_come_by_one() {
    let many: Vec<String> = (0..40).map(|n| format!("node-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (name, size, hosts) in [
        ("few", SMALL, &["gpu-1", "gpu-2", "attic"][..]),
        ("none", SMALL, &[]),
        ("many", SMALL, &many[..]),
        ("few", (50, 12), &["gpu-1", "gpu-2", "attic"]),
    ] {
        let stage = first_run(size, hosts);
        insta::assert_snapshot!(format!("welcome_{name}_{}", size.0), text(&stage));
    }
}

#[test]
fn a_machine_is_chosen_looked_at_and_its_key_shown() {
    let mut stage = first_run(SMALL, &["gpu-1", "gpu-2", "attic"]);
    stage.type_keys("2");
    stage.key(KeyCode::Down);
    insta::assert_snapshot!("add_pick", text(&stage));
    stage.type_keys("local");
    insta::assert_snapshot!("add_typed", text(&stage));
    stage.key(KeyCode::Esc);
    stage.type_keys("2gpu-2");
    stage.key(KeyCode::Enter);
    insta::assert_snapshot!("add_question", text(&stage));
    stage.key(KeyCode::Esc);
    stage.type_keys("3");
    insta::assert_snapshot!("add_by_url", text(&stage));

    let message =
        "the host key of ada@gpu-9 is not known; it shows ED25519 SHA256:c3VjaCBhIGZpbmdl";
    let refused = JobRecord {
        hive_id: Some(id("gpu-9")),
        error: Some(ApiError::new(ErrorCode::HostKeyUnknown, message)),
        ..job("job-0000b001", "hive_install", JobState::Failed, 0)
    };
    let mut stage = Stage::new(SMALL);
    stage.connect(Snapshot { jobs: vec![refused], ..busy_fleet() });
    stage.type_keys("Aada@gpu-9");
    stage.key(KeyCode::Enter);
    insta::assert_snapshot!("add_key", text(&stage));
}

#[test]
fn what_is_not_of_the_queens_version_is_marked_where_it_stands() {
    let mut fleet = busy_fleet();
    fleet.hives.truncate(2);
    fleet.workers.truncate(1);
    fleet.devices.truncate(2);
    fleet.jobs.clear();
    fleet.hives[0].version = Some("0.0.9".to_owned());
    fleet.hives[0].link = Some(link());
    fleet.workers[0].version = Some("0.0.8".to_owned());
    for (name, keys) in [("fleet", "1"), ("hive", "1\n"), ("worker", "2\n"), ("queen", "8")] {
        let mut stage = Stage::new(SMALL);
        stage.model.version = "0.2.0".to_owned();
        stage.connect(fleet.clone());
        stage.type_keys(keys);
        insta::assert_snapshot!(format!("skew_{name}"), text(&stage));
    }
}
