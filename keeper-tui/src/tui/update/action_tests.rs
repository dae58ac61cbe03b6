use std::time::Duration;

use crossterm::event::KeyCode;
use protocol::{
    fleet::{Change, FeedEvent, Gone, WorkerState},
    job::JobState,
    operation::{HiveOperation, Operation, WorkerDelete, WorkerSpawn},
};

use super::*;
use crate::tui::{
    actions::Verb,
    fixture::{Stage, id, job, worker},
    state::{dialog::Dialog, lists::ListName},
};

const SIZE: (u16, u16) = (80, 24);

/// The operation that is asked for, and its ticket.
fn asked(effects: &[Effect]) -> (u64, Operation) {
    match effects {
        [Effect::Act { ticket, operation }] => (*ticket, operation.clone()),
        other => panic!("{other:?}"),
    }
}

fn deletion(worker: &str) -> Operation {
    HiveOperation::from(WorkerDelete { hive_id: None, worker_id: id(worker) }).into()
}

fn toast(stage: &Stage) -> &str {
    stage.model.ui.toast.as_ref().map_or("", |it| it.text.as_str())
}

/// The queen takes the job, and it ends like this.
fn ends(stage: &mut Stage, ticket: u64, name: &str, state: JobState) -> Vec<Effect> {
    stage.send(Message::Acted { ticket, result: Ok(id(name)) });
    stage.pass(Duration::from_secs(1));
    stage.feed(FeedEvent::Job(Change::from(job(name, "worker_delete", state, 0))))
}

fn shown(stage: &Stage) -> Vec<String> {
    let ui = &stage.model.ui;
    ui.workers.shown(&stage.model.fleet.workers).map(|(id, _)| id.to_string()).collect()
}

#[test]
fn a_worker_is_stopped_by_draining_and_the_end_is_told() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("2x");
    let effects = stage.type_keys("d");
    let (ticket, operation) = asked(&effects);
    assert_eq!(operation, deletion("wk-02"));
    assert_eq!(toast(&stage), "Stopping wk-02");
    ends(&mut stage, ticket, "job-0000b001", JobState::Done);
    assert_eq!(toast(&stage), "wk-02 stopped in 1.0 s");
    let (_, line) = stage.model.deeds.commands.back().unwrap();
    assert_eq!(line, "rbee-keeper worker delete wk-02 --confirm wk-02");
    assert_eq!(stage.model.deeds.alerts.back().unwrap().text, "wk-02 stopped in 1.0 s");
}

#[test]
fn a_worker_is_killed_after_its_work_was_cancelled() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("2X");
    let effects = stage.type_keys("s");
    assert_eq!(effects, [Effect::Cancel(id("job-00007f3c"))]);
    let effects = stage.send(Message::Cancelled { job: id("job-00007f3c"), result: Ok(()) });
    assert_eq!(asked(&effects).1, deletion("wk-02"));
}

#[test]
fn a_restart_spawns_only_once_the_old_one_is_gone() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("2r");
    let (ticket, _) = asked(&stage.type_keys("d"));
    assert_eq!(stage.send(Message::Acted { ticket, result: Ok(id("job-0000b001")) }), []);
    let running = job("job-0000b001", "worker_delete", JobState::Running, 0);
    assert_eq!(stage.feed(FeedEvent::Job(Change::from(running))), []);
    let done = job("job-0000b001", "worker_delete", JobState::Done, 0);
    let effects = stage.feed(FeedEvent::Job(Change::from(done)));
    let (_, Operation::Hive(HiveOperation::WorkerSpawn(spawn))) = asked(&effects) else {
        panic!("{effects:?}");
    };
    let as_before = WorkerSpawn {
        device: Some(protocol::operation::DeviceSelector::Id(id("GPU-0"))),
        slots: Some(4),
        context_length: Some(8192),
        ..WorkerSpawn::new(id("gpu-1"), id("meta-llama/Llama-3.1-8B-GGUF:Q4_K_M"))
    };
    assert_eq!(spawn, as_before);
}

#[test]
fn a_restart_whose_first_half_failed_spawns_nothing() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("2r");
    let (ticket, _) = asked(&stage.type_keys("d"));
    assert_eq!(ends(&mut stage, ticket, "job-0000b001", JobState::Failed), []);
    assert!(
        toast(&stage).starts_with("wk-02 was not restarted: out of memory"),
        "{}",
        toast(&stage)
    );
}

#[test]
fn a_worker_is_deleted_only_by_its_name() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("2D");
    assert_eq!(stage.key(KeyCode::Enter), []);
    stage.type_keys("wk-0");
    assert_eq!(stage.key(KeyCode::Enter), []);
    assert!(stage.model.ui.dialog.is_some(), "a part of the name is not the name");
    // Letters are text here and no answers, and what is deleted does not move.
    stage.feed(FeedEvent::Worker(Change::from(worker("wk-00", "gpu-1", WorkerState::Ready))));
    stage.type_keys("2");
    let effects = stage.key(KeyCode::Enter);
    assert_eq!(asked(&effects).1, deletion("wk-02"));
}

#[test]
fn marks_are_acted_on_together_and_told_together() {
    let mut stage = Stage::busy(SIZE);
    // wk-02, wk-03, and wk-11, whose machine is lost.
    stage.type_keys("2  j x");
    let effects = stage.type_keys("d");
    let tickets: Vec<u64> = effects
        .iter()
        .map(|effect| match effect {
            Effect::Act { ticket, .. } => *ticket,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(tickets.len(), 2, "what cannot be stopped is not asked for");
    assert!(stage.model.ui.workers.marks.is_empty(), "nothing stays marked for the next action");
    stage.send(Message::Acted { ticket: tickets[1], result: Err("refused".to_owned()) });
    ends(&mut stage, tickets[0], "job-0000b001", JobState::Done);
    assert_eq!(
        toast(&stage),
        "Partly done: 1 of 3 stopped; wk-03: refused, and 1 more (! shows them)"
    );
    let alerts: Vec<&str> = stage.model.deeds.alerts.iter().map(|it| it.text.as_str()).collect();
    assert!(alerts.contains(&"wk-11 was not stopped: attic is lost"), "{alerts:?}");
}

#[test]
fn a_mark_on_what_is_no_more_is_taken_off_and_told() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("2 ");
    stage.feed(FeedEvent::Worker(Change::Gone(Gone::new("wk-02"))));
    assert!(stage.model.ui.workers.marks.is_empty());
    assert!(toast(&stage).contains("no more"), "{}", toast(&stage));
}

#[test]
fn a_range_of_marks_goes_from_here_to_there_and_can_be_undone() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("2vjjv");
    assert_eq!(stage.model.ui.workers.marks.len(), 3);
    stage.type_keys("*");
    assert_eq!(stage.model.ui.workers.marks.len(), 4);
    stage.type_keys("z");
    assert_eq!(stage.model.ui.workers.marks.len(), 3);
    stage.key(KeyCode::Esc);
    assert!(stage.model.ui.workers.marks.is_empty());
    assert_eq!(stage.model.ui.view, View::Workers, "Esc clears the marks before it goes back");
}

#[test]
fn a_filter_counts_while_it_is_typed_and_escape_brings_back_what_was() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("2/gpu-1");
    assert_eq!(shown(&stage), ["wk-02", "wk-03"]);
    assert_eq!(lists::filtered(&stage.model, ListName::Workers), Ok((2, 4)));
    stage.key(KeyCode::Enter);
    stage.type_keys("/ !load");
    assert_eq!(shown(&stage), ["wk-02"]);
    stage.key(KeyCode::Esc);
    assert_eq!(shown(&stage), ["wk-02", "wk-03"]);
    stage.key(KeyCode::Esc);
    assert_eq!(shown(&stage).len(), 4);
    stage.type_keys("z");
    assert_eq!(shown(&stage), ["wk-02", "wk-03"]);
}

#[test]
fn a_sorted_table_stands_still_while_somebody_aims() {
    let mut stage = Stage::busy(SIZE);
    let speed = |stage: &mut Stage, name: &str, speed: f64| {
        let record = protocol::fleet::WorkerRecord {
            tokens_per_second: Some(speed),
            ..worker(name, "gpu-1", WorkerState::Ready)
        };
        stage.feed(FeedEvent::Worker(Change::from(record)));
    };
    speed(&mut stage, "wk-02", 10.0);
    speed(&mut stage, "wk-03", 20.0);
    stage.type_keys("2otOk");
    assert_eq!(shown(&stage)[..2], ["wk-11", "wk-03"]);
    speed(&mut stage, "wk-02", 99.0);
    lists::arrange(&mut stage.model, stage.now);
    assert_eq!(shown(&stage)[..2], ["wk-11", "wk-03"], "held after a move");
    stage.pass(Duration::from_secs(3));
    stage.type_keys("x");
    lists::arrange(&mut stage.model, stage.now);
    stage.pass(Duration::from_secs(3));
    lists::arrange(&mut stage.model, stage.now);
    let before = shown(&stage);
    speed(&mut stage, "wk-03", 120.0);
    lists::arrange(&mut stage.model, stage.now);
    assert_eq!(shown(&stage), before, "held while a question is in front");
    stage.key(KeyCode::Esc);
    lists::arrange(&mut stage.model, stage.now);
    assert_eq!(shown(&stage)[0], "wk-03");
    stage.type_keys("z");
    stage.type_keys("z");
    assert_eq!(shown(&stage)[0], "wk-02", "undone twice it is the order of the ids");
}

#[test]
fn a_form_spawns_a_worker_and_says_what_is_wrong_with_it() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("jj+meta");
    stage.key(KeyCode::Tab);
    stage.key(KeyCode::Tab);
    stage.type_keys("GPU-0");
    stage.key(KeyCode::Down);
    stage.type_keys("many");
    assert_eq!(stage.key(KeyCode::Enter), []);
    let Some(Dialog::Form(form)) = &stage.model.ui.dialog else { panic!("it stays open") };
    assert!(form.problem.as_ref().unwrap().contains("--slots"), "{:?}", form.problem);
    for _ in 0..4 {
        stage.key(KeyCode::Backspace);
    }
    stage.type_keys("2");
    let effects = stage.key(KeyCode::Enter);
    let (_, Operation::Hive(HiveOperation::WorkerSpawn(spawn))) = asked(&effects) else {
        panic!("{effects:?}");
    };
    assert_eq!(spawn.hive_id, id("gpu-1"));
    assert_eq!(spawn.model, id("meta-llama/Llama-3.1-8B-GGUF:Q4_K_M"));
    assert_eq!(spawn.slots, Some(2));
}

#[test]
fn the_palette_speaks_the_command_line() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys(":workers");
    stage.key(KeyCode::Enter);
    assert_eq!(stage.model.ui.view, View::Workers);
    stage.type_keys(":worker spawn --model demo --hive gpu-2");
    let effects = stage.key(KeyCode::Enter);
    let spawn = WorkerSpawn::new(id("gpu-2"), id("demo"));
    assert_eq!(asked(&effects).1, HiveOperation::from(spawn).into());
    stage.type_keys(":job cancel job-00007f3c");
    stage.key(KeyCode::Enter);
    assert!(matches!(&stage.model.ui.dialog, Some(Dialog::Confirm(_))), "it asks as the key does");
    assert_eq!(stage.type_keys("y"), [Effect::Cancel(id("job-00007f3c"))]);
    stage.type_keys(":wk-11");
    stage.key(KeyCode::Enter);
    assert_eq!(stage.model.ui.workers.id(), Some(&id("wk-11")));
}

#[test]
fn the_palette_completes_remembers_and_says_what_is_wrong() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys(":worker stop wk-0");
    let Some(Dialog::Palette(palette)) = &stage.model.ui.dialog else { panic!() };
    let texts: Vec<&str> = palette.found.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(texts, ["worker stop wk-02", "worker stop wk-03", "worker stop wk-07"]);
    assert_eq!(palette.found[2].off.as_deref(), Some("wk-07 is failed"));
    assert_eq!(palette::ghost(palette), Some("2"));
    stage.key(KeyCode::Tab);
    stage.key(KeyCode::Enter);
    assert!(matches!(&stage.model.ui.dialog, Some(Dialog::Confirm(_))));
    stage.key(KeyCode::Esc);
    stage.type_keys(":");
    stage.key(KeyCode::Up);
    let Some(Dialog::Palette(palette)) = &stage.model.ui.dialog else { panic!() };
    assert_eq!(palette.line.text(), "worker stop wk-02");
    stage.key(KeyCode::Esc);
    for (line, problem) in [
        ("wrkrs list", "wrkrs"),
        ("worker stop wk-99", "there is no worker `wk-99`"),
        ("worker spawn --model tinyllama", "org/repo"),
        ("infer 'hi", "a quote is not closed"),
        ("config path", "only at the shell: rbee-keeper config path"),
    ] {
        stage.type_keys(&format!(":{line}"));
        assert_eq!(stage.key(KeyCode::Enter), [], "{line}");
        let Some(Dialog::Palette(palette)) = &stage.model.ui.dialog else { panic!("{line}") };
        let said = palette.problem.as_deref().unwrap();
        assert!(said.contains(problem), "{line}: {said}");
        stage.key(KeyCode::Esc);
    }
}

#[test]
fn what_is_copied_goes_to_the_terminal_or_to_a_file() {
    let mut stage = Stage::busy(SIZE);
    assert_eq!(stage.type_keys("2yy"), [Effect::Copy("wk-02".to_owned())]);
    assert_eq!(stage.type_keys("yc"), [Effect::Copy("rbee-keeper worker get wk-02".to_owned())]);
    let effects = stage.type_keys("yj");
    let [Effect::Copy(text)] = effects.as_slice() else { panic!("{effects:?}") };
    assert!(text.contains("\"id\": \"wk-02\""), "{text}");
    assert!(toast(&stage).contains("OSC 52"), "{}", toast(&stage));
    stage.model.can_copy = false;
    assert_eq!(
        stage.type_keys("*yy"),
        [Effect::CopyToFile("wk-02\nwk-03\nwk-07\nwk-11".to_owned())]
    );
    stage.send(Message::CopiedToFile(Ok("/x/copied.txt".to_owned())));
    assert!(toast(&stage).contains("/x/copied.txt"));
}

#[test]
fn no_action_is_begun_while_the_queen_is_away() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("2");
    stage.disconnect();
    assert_eq!(stage.type_keys("x"), []);
    assert!(stage.model.ui.dialog.is_none());
    assert_eq!(toast(&stage), "Not now: the queen is away");
    stage.type_keys("a");
    assert!(stage.model.ui.dialog.is_some(), "the menu says why");
}

#[test]
fn a_job_that_anybody_asked_for_is_retried_as_a_new_one_whose_id_is_told() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("5");
    let effects = stage.type_keys(":job retry job-00005aaa\n");
    let [Effect::ActAgain { ticket, job: former }] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert_eq!(*former, id("job-00005aaa"));
    stage.send(Message::Acted { ticket: *ticket, result: Ok(id("job-0000b001")) });
    assert_eq!(toast(&stage), "Retrying 005aaa as 00b001");
    stage.pass(Duration::from_secs(1));
    stage.feed(FeedEvent::Job(Change::from(job("job-0000b001", "infer", JobState::Done, 0))));
    assert_eq!(toast(&stage), "005aaa as 00b001 done once more in 1.0 s");
    let (_, line) = stage.model.deeds.commands.back().unwrap();
    assert_eq!(line, "rbee-keeper job retry job-00005aaa");
}

#[test]
fn a_retry_that_would_take_something_away_is_asked_about() {
    let mut stage = Stage::busy(SIZE);
    let deletion = job("job-0000b001", "model_delete", JobState::Failed, 7);
    stage.feed(FeedEvent::Job(Change::from(deletion)));
    assert_eq!(stage.type_keys("5:job retry job-0000b001\n"), []);
    assert!(matches!(&stage.model.ui.dialog, Some(Dialog::Confirm(it)) if it.verb == Verb::Retry));
    let effects = stage.type_keys("y");
    assert!(matches!(effects.as_slice(), [Effect::ActAgain { .. }]), "{effects:?}");
}

#[test]
fn what_ended_while_the_question_stood_there_is_neither_done_nor_a_failure() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("5jx");
    stage.feed(FeedEvent::Job(Change::from(job("job-00007f3c", "infer", JobState::Done, 7))));
    assert_eq!(stage.type_keys("y"), []);
    assert_eq!(toast(&stage), "Not now: 007f3c is over already");
    assert!(stage.model.deeds.commands.is_empty(), "nothing was done");
    assert!(stage.model.deeds.alerts.is_empty(), "nothing went wrong");
}

#[test]
fn one_machine_lists_and_marks_only_what_is_on_it() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("2*1jj");
    stage.key(KeyCode::Enter);
    stage.type_keys("]");
    assert_eq!(shown(&stage), ["wk-02", "wk-03"]);
    assert!(stage.model.ui.workers.marks.is_empty(), "no mark is out of sight");
    stage.type_keys("*");
    assert_eq!(stage.model.ui.workers.marks.len(), 2);
    assert_eq!(lists::filtered(&stage.model, ListName::Workers), Ok((2, 2)));
    stage.feed(FeedEvent::Worker(Change::from(worker("wk-04", "gpu-2", WorkerState::Ready))));
    stage.feed(FeedEvent::Worker(Change::from(worker("wk-05", "gpu-1", WorkerState::Ready))));
    assert_eq!(shown(&stage), ["wk-02", "wk-03", "wk-05"]);
    stage.type_keys("2");
    assert_eq!(shown(&stage).len(), 6);
}

#[test]
fn a_kill_cuts_what_runs_when_the_answer_is_given() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("2x");
    let newer = job("job-0000b002", "infer", JobState::Running, 0);
    stage.feed(FeedEvent::Job(Change::from(newer)));
    let effects = stage.type_keys("s");
    assert_eq!(effects, [Effect::Cancel(id("job-00007f3c"))]);
    let effects = stage.send(Message::Cancelled { job: id("job-00007f3c"), result: Ok(()) });
    assert_eq!(effects, [Effect::Cancel(id("job-0000b002"))]);
}

#[test]
fn a_model_is_filtered_spawned_and_deleted_where_it_is() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("4");
    stage.models();
    let all = lists::filtered(&stage.model, ListName::Models).unwrap();
    assert!(all.0 > 1 && all.0 == all.1, "{all:?}");
    stage.type_keys("/quant:q8");
    let few = lists::filtered(&stage.model, ListName::Models).unwrap();
    assert!(few.0 < few.1, "{few:?}");
    stage.key(KeyCode::Esc);
    stage.type_keys("+");
    assert!(matches!(&stage.model.ui.dialog, Some(Dialog::Form(form)) if form.model().is_some()));
    stage.key(KeyCode::Esc);
    stage.type_keys("D");
    let Some(Dialog::Confirm(confirm)) = &stage.model.ui.dialog else { panic!() };
    let name = confirm.name.as_ref().unwrap().0.clone();
    stage.type_keys(&name);
    let effects = stage.key(KeyCode::Enter);
    let (_, Operation::Hive(HiveOperation::ModelDelete(deletion))) = asked(&effects) else {
        panic!("{effects:?}");
    };
    assert_eq!(deletion.id.as_str(), name);
    assert_eq!(deletion.hive_id, id("gpu-1"));
}
