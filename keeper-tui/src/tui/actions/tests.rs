use clap::Parser;
use proptest::prelude::*;
use protocol::{
    fleet::{Change, FeedEvent, HiveState, WorkerState},
    job::JobState,
    operation::{HiveOperation, Infer, Operation, QueenOperation, WorkerDelete, WorkerSpawn},
};

use super::*;
use crate::{
    cli::args::{Cli, Command, checked},
    tui::fixture::{Stage, hive, id, job, worker},
};

const SIZE: (u16, u16) = (80, 24);

fn why_not(stage: &Stage, verb: Verb, target: &Target) -> Option<String> {
    available(&stage.model, verb, target).err().map(|reason| reason.to_string())
}

fn wk(name: &str) -> Target {
    Target::Worker(id(name))
}

#[test]
fn every_kind_has_letters_and_names_of_its_own() {
    for (index, row) in ACTIONS.iter().enumerate() {
        for other in ACTIONS.iter().skip(index + 1).filter(|other| other.kind == row.kind) {
            assert_ne!(row.letter, other.letter, "{} and {}", row.name, other.name);
            assert_ne!(row.name, other.name);
            assert!(row.slot.is_none() || row.slot != other.slot, "{}", row.name);
        }
        assert!(!"jkhqgG".contains(row.letter), "{} moves the cursor", row.letter);
    }
}

#[test]
fn what_cannot_be_done_says_why() {
    let mut stage = Stage::busy(SIZE);
    let dead = Target::Job(id("job-00005aaa"));
    for (verb, target, reason) in [
        (Verb::Stop, wk("wk-02"), None),
        (Verb::Stop, wk("wk-07"), Some("wk-07 is failed")),
        (Verb::DeleteWorker, wk("wk-07"), None),
        (Verb::Stop, wk("wk-11"), Some("attic is lost")),
        (Verb::Stop, wk("wk-99"), Some("wk-99 is no more")),
        (Verb::Cancel, dead.clone(), Some("005aaa is over already")),
        (Verb::Retry, dead, None),
        (Verb::Retry, Target::Job(id("job-00007f3c")), Some("007f3c is not over")),
        (Verb::StartHive, Target::Hive(id("gpu-1")), Some("gpu-1 is ready")),
        (Verb::Spawn, Target::Hive(id("attic")), Some("attic is lost")),
        (Verb::Spawn, wk("wk-02"), Some("not for a worker")),
        (Verb::StartQueen, Target::Queen, Some("the queen runs already")),
    ] {
        assert_eq!(why_not(&stage, verb, &target).as_deref(), reason, "{verb:?} {target:?}");
    }
    let draining = worker("wk-02", "gpu-1", WorkerState::Draining);
    stage.feed(FeedEvent::Worker(Change::from(draining)));
    assert_eq!(why_not(&stage, Verb::Kill, &wk("wk-02")).unwrap(), "wk-02 is draining");
    stage.feed(FeedEvent::Hive(Change::from(hive("gpu-1", HiveState::Stale, 20, None))));
    assert_eq!(why_not(&stage, Verb::Restart, &wk("wk-03")).unwrap(), "gpu-1 is stale");
    stage.disconnect();
    assert_eq!(why_not(&stage, Verb::Stop, &wk("wk-02")).unwrap(), "the queen is away");
    assert_eq!(why_not(&stage, Verb::StartQueen, &Target::Queen), None);
}

#[test]
fn a_dashboard_that_only_looks_offers_only_that() {
    let mut stage = Stage::busy(SIZE);
    stage.model.is_read_only = true;
    let refused = Some("this dashboard is read-only".to_owned());
    for row in ACTIONS.iter().filter(|row| row.kind == Kind::Worker) {
        let expected = refused.clone().filter(|_| row.verb != Verb::Logs);
        assert_eq!(why_not(&stage, row.verb, &wk("wk-02")), expected, "{}", row.name);
    }
    assert_eq!(why_not(&stage, Verb::Attach, &Target::Job(id("job-00005aaa"))), None);
    stage.type_keys(":worker spawn --model demo");
    assert_eq!(stage.key(crossterm::event::KeyCode::Enter), []);
}

#[test]
fn a_restart_and_a_kill_are_made_of_what_there_is() {
    let stage = Stage::busy(SIZE);
    assert_eq!(
        command_line(&stage.model, Verb::Restart, &[wk("wk-02")]),
        "rbee-keeper worker delete wk-02 --confirm wk-02 && rbee-keeper worker spawn --model \
         meta-llama/Llama-3.1-8B-GGUF:Q4_K_M --hive gpu-1 --device GPU-0 --slots 4 \
         --context-length 8192"
    );
    assert_eq!(
        command_line(&stage.model, Verb::Kill, &[wk("wk-02"), wk("wk-03")]),
        "rbee-keeper job cancel job-00007f3c && rbee-keeper worker delete wk-02 --confirm wk-02 \
         && rbee-keeper worker delete wk-03 --confirm wk-03"
    );
}

#[test]
fn every_action_has_a_command_line_that_the_command_line_understands() {
    let mut stage = Stage::busy(SIZE);
    let over = job("job-00007f3c", "infer", JobState::Failed, 7);
    stage.feed(FeedEvent::Job(Change::from(over)));
    stage.model.program = "rbee-keeper --queen http://q:8500".to_owned();
    let target = |kind| match kind {
        Kind::Hive => Target::Hive(id("gpu-1")),
        Kind::Worker => wk("wk-02"),
        Kind::Device => Target::Device(id("gpu-1"), id("GPU-0")),
        Kind::Model => Target::Model(id("gpu-1"), id("org/repo")),
        Kind::Job => Target::Job(id("job-00007f3c")),
        Kind::Queen => Target::Queen,
    };
    for row in ACTIONS {
        let line = command_line(&stage.model, row.verb, &[target(row.kind)]);
        for part in line.split(" && ") {
            let part = part.replace("MODEL", "org/repo");
            let words = shlex::split(&part).unwrap();
            let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{part}: {error}"));
            assert!(cli.command.is_some(), "{part}");
        }
    }
}

fn operation() -> impl Strategy<Value = Operation> {
    let text = "[ -~]{1,20}";
    let infer = (text, 1_u32..100, prop::option::of(0_u64..9), any::<bool>()).prop_map(
        |(prompt, max_tokens, seed, stream)| {
            let infer = Infer { max_tokens, seed, stream, ..Infer::new(prompt, id("demo")) };
            Operation::from(QueenOperation::from(infer))
        },
    );
    let few = || prop::option::of(1_u32..9);
    let spawn = (few(), few(), prop::option::of(16_u32..999)).prop_map(
        |(slots, threads, context_length)| {
            let spawn = WorkerSpawn::new(id("gpu-1"), id("org/repo:Q4_K_M"));
            HiveOperation::from(WorkerSpawn { slots, threads, context_length, ..spawn }).into()
        },
    );
    let delete = WorkerDelete { hive_id: None, worker_id: id("wk-02") };
    prop_oneof![infer, spawn, Just(HiveOperation::from(delete).into())]
}

proptest! {
    #[test]
    fn a_command_line_means_what_was_done(operation in operation()) {
        let line = operation_line("rbee-keeper", &operation);
        let words = shlex::split(&line).unwrap();
        let meant = match Cli::try_parse_from(words).unwrap().command {
            Some(Command::Infer(args)) => {
                QueenOperation::from(args.operation(args.prompt.clone())).into()
            }
            Some(Command::Worker(crate::cli::args::Worker::Spawn(args))) => {
                HiveOperation::from(WorkerSpawn::from(&*args)).into()
            }
            Some(Command::Worker(crate::cli::args::Worker::Delete { id, confirm })) => {
                prop_assert_eq!(Some(&id), confirm.as_ref());
                HiveOperation::from(WorkerDelete { hive_id: None, worker_id: id }).into()
            }
            other => panic!("{line}: {other:?}"),
        };
        prop_assert_eq!(checked(operation).unwrap(), checked(meant).unwrap(), "{}", line);
    }
}
