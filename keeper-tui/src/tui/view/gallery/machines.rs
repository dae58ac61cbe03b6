//! Fleets before there is a machine, while one is added, and with machines of
//! another version.

use protocol::{
    ApiError, ErrorCode,
    fleet::{HiveRecord, HiveState, QueenRecord, Snapshot},
    job::{JobRecord, JobState},
};

use crate::tui::{
    fixture::{Stage, busy_fleet, empty_fleet, hive, id, job, link, queen},
    message::Message,
};

/// A queen who knows no machine but her own, and ssh a few others.
pub(super) fn first_run(stage: &mut Stage) {
    knowing(stage, &["gpu-1", "gpu-2", "attic"]);
}

/// The same, and ssh knows nobody.
pub(super) fn first_run_without_hosts(stage: &mut Stage) {
    knowing(stage, &[]);
}

/// The same, and ssh knows more than can be shown.
pub(super) fn first_run_with_many_hosts(stage: &mut Stage) {
    let hosts: Vec<String> = (0..40).map(|n| format!("node-{n}")).collect();
    knowing(stage, &hosts.iter().map(String::as_str).collect::<Vec<_>>());
}

fn knowing(stage: &mut Stage, hosts: &[&str]) {
    let here = HiveRecord {
        last_seen_at: None,
        version: None,
        ..hive("localhost", HiveState::Offline, 0, Some("not started"))
    };
    let queen = QueenRecord { features: Vec::new(), queued: 0, ..queen() };
    stage.connect(Snapshot { queen: Some(queen), hives: vec![here], ..empty_fleet() });
    stage.send(Message::Hosts(Ok(hosts.iter().map(|it| (*it).to_owned()).collect())));
}

/// A machine was not added because nobody knows its key.
pub(super) fn unknown_key(stage: &mut Stage) {
    let message =
        "the host key of ada@gpu-9 is not known; it shows ED25519 SHA256:c3VjaCBhIGZpbmdl";
    let refused = JobRecord {
        hive_id: Some(id("gpu-9")),
        error: Some(ApiError::new(ErrorCode::HostKeyUnknown, message)),
        ..job("job-0000b001", "hive_install", JobState::Failed, 0)
    };
    stage.connect(Snapshot { jobs: vec![refused], ..busy_fleet() });
}

/// A hive and a worker that are older than the queen, and a keeper that is
/// newer.
pub(super) fn other_versions(stage: &mut Stage) {
    let mut fleet = busy_fleet();
    fleet.hives.truncate(2);
    fleet.workers.truncate(1);
    fleet.devices.truncate(2);
    fleet.jobs.clear();
    fleet.hives[0].version = Some("0.0.9".to_owned());
    fleet.hives[0].link = Some(link());
    fleet.workers[0].version = Some("0.0.8".to_owned());
    stage.model.version = "0.2.0".to_owned();
    stage.connect(fleet);
}
