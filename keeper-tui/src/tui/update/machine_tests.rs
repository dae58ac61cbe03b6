//! Machines are added: from nothing, from ssh's own list, by a typed name.

use crossterm::event::KeyCode;
use protocol::{
    ApiError, ErrorCode,
    fleet::{Change, FeedEvent, HiveRecord, HiveState, Snapshot},
    job::{JobRecord, JobState},
    operation::{HiveInstall, HiveStart, HiveUpdate, Operation, QueenOperation},
};

use crate::tui::{
    effect::Effect,
    fixture::{Stage, empty_fleet, hive, id, job},
    message::Message,
    state::{View, dialog::Dialog},
};

const KEY: &str = "SHA256:c3VjaCBhIGZpbmdlcnByaW50IGl0IGlz";

/// A queen who knows no machine but her own, which nobody has started.
fn new_fleet() -> Snapshot {
    let here = HiveRecord {
        last_seen_at: None,
        version: None,
        ..hive("localhost", HiveState::Offline, 0, None)
    };
    Snapshot { hives: vec![here], ..empty_fleet() }
}

fn first_run() -> (Stage, Vec<Effect>) {
    let mut stage = Stage::new((80, 24));
    let effects = stage.connect(new_fleet());
    stage.pass(std::time::Duration::from_secs(1));
    (stage, effects)
}

fn found(stage: &mut Stage, names: &[&str]) {
    stage.send(Message::Hosts(Ok(names.iter().map(|it| (*it).to_owned()).collect())));
}

fn asked(effects: &[Effect]) -> Operation {
    match effects {
        [Effect::Act { operation, .. }] => operation.clone(),
        other => panic!("{other:?}"),
    }
}

fn install(alias: &str, ssh: Option<&str>, host_key: Option<&str>) -> Operation {
    QueenOperation::from(HiveInstall {
        alias: id(alias),
        binary_path: None,
        ssh: ssh.map(str::to_owned),
        host_key: host_key.map(str::to_owned),
    })
    .into()
}

fn hosts(stage: &Stage) -> Vec<&str> {
    stage.model.hosts().collect()
}

#[test]
fn on_the_first_run_one_key_starts_the_hive_of_this_machine() {
    let (mut stage, effects) = first_run();
    assert_eq!(effects, [Effect::ReadHosts], "and nothing waits for the answer");
    assert!(stage.model.is_first_run());
    let start = QueenOperation::from(HiveStart { alias: id("localhost") });
    assert_eq!(asked(&stage.type_keys("1")), start.into());
    let starting = hive("localhost", HiveState::Starting, 0, None);
    stage.feed(FeedEvent::Hive(Change::from(starting)));
    assert!(!stage.model.is_first_run(), "there is something to show");
    stage.type_keys("21");
    assert_eq!(stage.model.ui.view, View::Fleet, "the keys of the views are theirs again");
}

#[test]
fn a_host_that_ssh_knows_is_picked_shown_and_only_then_installed() {
    let (mut stage, _) = first_run();
    found(&mut stage, &["gpu-1", "gpu-2", "attic", "not an alias", "localhost"]);
    assert_eq!(hosts(&stage), ["gpu-1", "gpu-2", "attic"]);
    assert_eq!(stage.type_keys("2"), [Effect::ReadHosts], "what was written since counts");
    stage.key(KeyCode::Down);
    stage.key(KeyCode::Down);
    assert_eq!(stage.key(KeyCode::Enter), []);
    let Some(Dialog::Confirm(_)) = &stage.model.ui.dialog else { panic!("it asks first") };
    assert_eq!(stage.key(KeyCode::Enter), [], "Enter is no yes");
    assert_eq!(asked(&stage.type_keys("y")), install("gpu-2", None, None));
    let (_, line) = stage.model.deeds.commands.back().unwrap();
    assert_eq!(line, "rbee-keeper hive install gpu-2");
}

#[test]
fn without_hosts_the_machine_is_typed_and_what_is_wrong_with_it_is_said() {
    let (mut stage, _) = first_run();
    found(&mut stage, &[]);
    stage.type_keys("2");
    for (typed, problem) in [
        ("", "type a host, or move to one with ↓"),
        ("localhost", "the queen's machine has the programs already"),
    ] {
        stage.type_keys(typed);
        assert_eq!(stage.key(KeyCode::Enter), []);
        let Some(Dialog::Machine(pick)) = &stage.model.ui.dialog else { panic!("{typed}") };
        assert_eq!(pick.problem.as_deref(), Some(problem));
        typed.chars().for_each(|_| drop(stage.key(KeyCode::Backspace)));
    }
    stage.type_keys("ada@10.0.0.7:2222");
    stage.key(KeyCode::Enter);
    let operation = asked(&stage.type_keys("y"));
    assert_eq!(operation, install("10.0.0.7", Some("ada@10.0.0.7:2222"), None));
}

#[test]
fn a_key_that_is_not_known_is_shown_the_next_time_and_never_trusted_unseen() {
    let mut stage = Stage::busy((80, 24));
    stage.type_keys(":hive install gpu-9");
    stage.key(KeyCode::Enter);
    let effects = stage.type_keys("y");
    let [Effect::Act { ticket, operation }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(*operation, install("gpu-9", None, None));
    stage.send(Message::Acted { ticket: *ticket, result: Ok(id("job-0000b001")) });
    let message = format!("the host key of gpu-9 is not known; it shows ED25519 {KEY}");
    let failed = JobRecord {
        hive_id: Some(id("gpu-9")),
        error: Some(ApiError::new(ErrorCode::HostKeyUnknown, message)),
        ..job("job-0000b001", "hive_install", JobState::Failed, 0)
    };
    stage.feed(FeedEvent::Job(Change::from(failed)));
    let toast = &stage.model.ui.toast.as_ref().unwrap().text;
    assert_eq!(toast, "gpu-9 shows a key that is not known: install it again to see it");
    assert!(stage.model.ui.dialog.is_none(), "no question comes up under a key that is typed");

    // The same again, and a retry of the job, ask about the key.
    stage.type_keys(":hive install gpu-9");
    assert_eq!(stage.key(KeyCode::Enter), []);
    let question = |stage: &Stage| match &stage.model.ui.dialog {
        Some(Dialog::Confirm(confirm)) => confirm.operation.clone(),
        _ => None,
    };
    assert_eq!(question(&stage), Some(install("gpu-9", None, Some(KEY))));
    stage.key(KeyCode::Esc);
    stage.type_keys(":job retry job-0000b001");
    assert_eq!(stage.key(KeyCode::Enter), [Effect::ReadRequest(id("job-0000b001"))]);
    stage.send(Message::Request(Ok(install("gpu-9", Some("ada@10.0.0.9"), None))));
    assert_eq!(question(&stage), Some(install("gpu-9", Some("ada@10.0.0.9"), Some(KEY))));
}

#[test]
fn only_a_machine_behind_ssh_is_updated_and_it_is_asked_first() {
    let mut stage = Stage::busy((80, 24));
    stage.type_keys(":hive update gpu-1");
    assert_eq!(stage.key(KeyCode::Enter), []);
    let toast = &stage.model.ui.toast.as_ref().unwrap().text;
    assert_eq!(toast, "Not now: gpu-1 is not reached over ssh");
    let link = crate::tui::fixture::link();
    let behind = HiveRecord { link: Some(link), ..hive("gpu-1", HiveState::Ready, 1, None) };
    stage.feed(FeedEvent::Hive(Change::from(behind)));
    stage.type_keys(":hive update gpu-1");
    assert_eq!(stage.key(KeyCode::Enter), []);
    let update = HiveUpdate { alias: id("gpu-1"), binary_path: None, allow_downgrade: false };
    assert_eq!(asked(&stage.type_keys("y")), QueenOperation::from(update).into());
}

#[test]
fn a_dashboard_that_only_looks_adds_nothing_and_a_queen_elsewhere_knows_other_hosts() {
    let (mut stage, _) = first_run();
    stage.model.is_read_only = true;
    for keys in ["1", "2"] {
        assert_eq!(stage.type_keys(keys), [], "{keys}");
        assert!(stage.model.ui.dialog.is_none(), "{keys}");
    }
    let mut stage = Stage::new((80, 24));
    stage.model.address = "queen.lan:8500".to_owned();
    assert_eq!(stage.connect(new_fleet()), []);
    assert_eq!(stage.type_keys("2"), []);
    assert!(matches!(stage.model.ui.dialog, Some(Dialog::Machine(_))), "it can be typed");
}
