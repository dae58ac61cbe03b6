//! Stories of going through views and reading what is in them.

use crossterm::event::KeyCode;
use protocol::{
    fleet::{Change, FeedEvent, Gone},
    job::JobEvent,
    logs::{LogLine, LogSource},
    operation::{Operation, QueenOperation},
};
use ratatui::{Terminal, backend::TestBackend};

use super::*;
use crate::tui::{
    fixture::{Stage, id},
    state::{HiveTab, reading::Reading, window::Place},
    view::view,
};

const SIZE: (u16, u16) = (80, 24);

#[test]
fn what_is_opened_leads_back_to_where_it_was_opened() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("jj\n]\n");
    assert_eq!(stage.model.ui.view, View::Worker(id("wk-02")));
    stage.key(KeyCode::Esc);
    assert_eq!(stage.model.ui.view, View::Hive(id("gpu-1"), HiveTab::Workers));
    stage.key(KeyCode::Esc);
    assert_eq!(stage.model.ui.view, View::Fleet);
    stage.type_keys("4-");
    assert_eq!(stage.model.ui.view, View::Fleet, "the view before");
    stage.type_keys("-");
    assert_eq!(stage.model.ui.view, View::Models);
    stage.type_keys("1l");
    assert_eq!(stage.model.ui.view, View::Hive(id("gpu-1"), HiveTab::Log));
    stage.type_keys("]");
    assert_eq!(stage.model.ui.view, View::Hive(id("gpu-1"), HiveTab::Overview), "round and round");
}

#[test]
fn the_part_of_a_machine_lists_only_what_is_its_own() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("2jjj");
    assert_eq!(stage.model.ui.workers.id(), Some(&id("wk-11")), "of another machine");
    stage.type_keys("1jj\n]");
    assert_eq!(stage.model.ui.workers.id(), Some(&id("wk-02")));
    stage.type_keys("G");
    assert_eq!(stage.model.ui.workers.id(), Some(&id("wk-03")), "its last");
}

#[test]
fn a_word_is_found_upwards_first_and_counted() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("7");
    (0..200).for_each(|n| say(&mut stage, &format!("line {n} of {}", n % 50)));
    view_of(&stage);
    stage.type_keys("/of 7\n");
    let at = |stage: &Stage| {
        stage.model.ui.windows.on(Reading::Events).find.as_ref().and_then(|find| find.at)
    };
    let text = |stage: &Stage| {
        let number = at(stage).unwrap();
        stage.model.streams.all.from(number).next().unwrap().1.text.clone()
    };
    assert_eq!(text(&stage), "line 157 of 7");
    stage.type_keys("N");
    assert_eq!(text(&stage), "line 107 of 7");
    stage.type_keys("nn");
    assert_eq!(text(&stage), "line 157 of 7");
    assert!(stage.model.ui.toast.as_ref().unwrap().text.contains("not further down"));
    // What comes meanwhile moves nothing.
    let place = stage.model.ui.windows.on(Reading::Events).place;
    say(&mut stage, "another one of 7");
    assert_eq!(stage.model.ui.windows.on(Reading::Events).place, place);
    stage.key(KeyCode::Esc);
    assert!(stage.model.ui.windows.on(Reading::Events).find.is_none());
    assert_eq!(stage.model.ui.view, View::Events, "the word first, then the view");
}

#[test]
fn a_filter_keeps_the_lines_with_a_word_or_of_a_level_and_a_marked_line_opens_its_job() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("7&hive\n");
    let shown = |stage: &Stage| {
        let all = stage.model.streams.all.numbered();
        all.filter(|(_, it)| stage.model.shows(Reading::Events, it)).count()
    };
    assert_eq!(shown(&stage), 2, "by who says it");
    stage.type_keys("&");
    (0..4).for_each(|_| drop(stage.key(KeyCode::Backspace)));
    stage.type_keys("\nLL");
    assert_eq!(shown(&stage), 1, "errors only");
    stage.key(KeyCode::Enter);
    assert_eq!(stage.model.ui.view, View::Job(id("job-00006b20")));
    stage.key(KeyCode::Esc);
    assert_eq!(stage.model.ui.view, View::Events);
}

#[test]
fn a_pause_stands_still_and_a_second_one_goes_on() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("7p");
    let place = stage.model.ui.windows.on(Reading::Events).place;
    assert_ne!(place, Place::Follow);
    (0..300).for_each(|n| say(&mut stage, &format!("line {n}")));
    assert_eq!(stage.model.ui.windows.on(Reading::Events).place, place);
    stage.type_keys("p");
    assert_eq!(stage.model.ui.windows.on(Reading::Events).place, Place::Follow);
}

#[test]
fn what_is_read_is_what_the_pager_gets() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("7&memory\n");
    let effects = stage.type_keys("e");
    let [Effect::Page(text)] = effects.as_slice() else { panic!("{effects:?}") };
    assert!(text.contains("out of memory") && text.lines().count() == 1, "{text}");
}

#[test]
fn models_are_known_without_being_asked_for_and_the_selection_follows_them() {
    let mut stage = Stage::busy(SIZE);
    assert_eq!(stage.type_keys("4"), [], "nothing is asked for");
    stage.models();
    let rows = |stage: &Stage| stage.model.models.listed().len();
    assert_eq!(rows(&stage), 5);
    stage.type_keys("j k");
    let (model, hive) = stage.model.ui.models.id().cloned().unwrap();
    assert!(!stage.model.ui.models.marks.is_empty());
    stage.feed(FeedEvent::Model(Change::Gone(Gone::on(&hive, &model))));
    assert_eq!(rows(&stage), 4);
    assert!(stage.model.ui.models.id().is_some_and(|id| *id != (model, hive)));
    assert!(stage.model.ui.models.marks.is_empty(), "the mark went with its model");
}

#[test]
fn the_log_of_a_worker_is_read_while_it_is_on_the_screen() {
    let mut stage = Stage::busy(SIZE);
    let effects = stage.type_keys("2\n");
    assert_eq!(effects, [Effect::ReadLog(id("wk-02"))]);
    let line = LogLine { source: LogSource::Output, text: "loaded\u{1b}[2J".to_owned() };
    stage.send(Message::WorkerLog { worker: id("wk-02"), result: Ok(vec![line.clone()]) });
    stage.send(Message::WorkerLog { worker: id("wk-03"), result: Ok(vec![line]) });
    let log = stage.model.log(Reading::WorkerLog).unwrap();
    assert_eq!(log.numbered().map(|(_, it)| it.text.as_str()).collect::<Vec<_>>(), ["loaded"]);
    assert_eq!(stage.key(KeyCode::Esc), [Effect::LeaveLog]);
}

#[test]
fn the_way_to_the_queen_is_measured_only_while_somebody_looks() {
    let mut stage = Stage::busy(SIZE);
    assert_eq!(stage.type_keys("8"), [Effect::Measure, Effect::ReadBuild]);
    stage.send(Message::Measured(Ok(Duration::from_millis(2))));
    stage.now.monotonic += Duration::from_secs(5);
    assert_eq!(stage.send(Message::Tick), [Effect::Measure, Effect::ReadBuild]);
    stage.send(Message::Measured(Err("timed out".to_owned())));
    assert_eq!(stage.model.queen.latency, None);
    stage.type_keys("1");
    stage.pass(Duration::from_secs(60));
    assert_eq!(stage.send(Message::Tick), []);
}

#[test]
fn one_prompt_is_put_to_two_at_once_with_the_same_settings() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("6");
    stage.key(KeyCode::Esc);
    stage.type_keys("c");
    for _ in 0..3 {
        stage.key(KeyCode::Tab);
    }
    assert_eq!(stage.model.ui.focus, Pane::Settings);
    // Down to the seed, which is typed; up to the worker, which is chosen.
    stage.type_keys("G\n42\n");
    stage.type_keys("ggjjj");
    stage.key(KeyCode::Right);
    stage.type_keys("i");
    stage.type_keys("Why?");
    let effects = stage.key(KeyCode::Enter);
    let asked: Vec<_> = effects
        .iter()
        .map(|effect| match effect {
            Effect::Submit {
                ticket,
                operation: Operation::Queen(QueenOperation::Infer(infer)),
            } => (*ticket, infer.seed),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(asked, [(1, Some(42)), (2, Some(42))]);
    let (first, second) = (id::<JobId>("job-a"), id::<JobId>("job-b"));
    stage.send(Message::Submitted { ticket: 2, result: Ok(second.clone()) });
    stage.send(Message::Submitted { ticket: 1, result: Ok(first.clone()) });
    assert_eq!(stage.model.infer.job(), Some(&first));
    assert_eq!(stage.model.infer.second_job(), Some(&second));
    assert_eq!(stage.model.following, BTreeSet::from([first, second]));
}

fn say(stage: &mut Stage, text: &str) {
    let event = JobEvent { actor: Some("hive".to_owned()), ..JobEvent::new("x", text) };
    let narration = protocol::fleet::Narration { job_id: id("job-00006b20"), event };
    stage.feed(FeedEvent::Narration(narration));
}

/// Draws once, so that what is read knows how large it is.
fn view_of(stage: &Stage) {
    let mut terminal = Terminal::new(TestBackend::new(SIZE.0, SIZE.1)).unwrap();
    let draw = |frame: &mut ratatui::Frame<'_>| {
        view(&stage.model, frame, stage.now);
    };
    terminal.draw(draw).unwrap();
}

#[test]
fn tab_reaches_both_of_two_answers() {
    let mut stage = Stage::busy((120, 30));
    stage.type_keys("6");
    stage.key(KeyCode::Esc);
    stage.type_keys("ci");
    stage.type_keys("Hi\n");
    stage.send(Message::Submitted { ticket: 1, result: Ok(id("job-00000001")) });
    stage.send(Message::Submitted { ticket: 2, result: Ok(id("job-00000002")) });
    stage.stream("job-00000001", &["an ", "apple"]);
    stage.stream("job-00000002", &["a ", "pear"]);
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push((stage.model.ui.focus, stage.model.reading()));
        stage.key(KeyCode::Tab);
    }
    assert!(seen.contains(&(Pane::Second, Some(Reading::SecondText))), "{seen:?}");
    assert!(seen.contains(&(Pane::Text, Some(Reading::JobText))), "{seen:?}");
    assert_eq!(stage.model.ui.focus, seen[0].0, "all the way around");
}
