use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use protocol::{
    fleet::{Change, FeedEvent, Gone, HiveState},
    job::JobState,
    operation::{Operation, QueenOperation},
};

use super::*;
use crate::tui::{
    actions::Target,
    fixture::{Stage, busy_fleet, hive, id, job, stranger},
    message::FeedNews,
    state::dialog::Dialog,
};

const SIZE: (u16, u16) = (80, 24);

#[test]
fn a_prompt_becomes_one_inference_and_its_text_is_followed() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("6Hi there?");
    let effects = stage.key(KeyCode::Enter);
    let [Effect::Submit { ticket: 1, operation }] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    let Operation::Queen(QueenOperation::Infer(infer)) = operation else { panic!("{operation:?}") };
    assert_eq!(infer.prompt.as_deref(), Some("Hi there?"));
    assert!(infer.model.is_demo());
    stage.type_keys("i");
    assert_eq!(stage.key(KeyCode::Enter), [], "a second Enter asks nothing twice");
    let effects = stage.send(Message::Submitted { ticket: 1, result: Ok(stranger()) });
    assert_eq!(effects, [Effect::Follow { job: stranger(), after: 0 }]);
    assert_eq!(stage.model.infer.text(), "", "what was sent does not have to be deleted");
}

#[test]
fn a_refused_prompt_is_still_there() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("6Hi");
    stage.key(KeyCode::Enter);
    stage.send(Message::Submitted { ticket: 1, result: Err("the queue is full".to_owned()) });
    assert_eq!(stage.model.infer.text(), "Hi");
    assert!(
        matches!(&stage.model.infer.first.turn, Turn::Refused { cause } if cause == "the queue is full")
    );
}

#[test]
fn cancelling_asks_first_and_its_target_does_not_move() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("5jx");
    let target = id("job-00007f3c");
    let Some(Dialog::Confirm(confirm)) = &stage.model.ui.dialog else {
        panic!("{:?}", stage.model.ui.dialog);
    };
    assert_eq!(confirm.targets, [Target::Job(target)]);
    stage.feed(FeedEvent::Job(Change::Gone(Gone::new("job-00005aaa"))));
    stage.feed(FeedEvent::Job(Change::from(job("job-0000ffff", "infer", JobState::Running, 0))));
    assert_eq!(stage.key(KeyCode::Enter), [], "Enter is inert");
    let effects = stage.type_keys("y");
    assert_eq!(effects, [Effect::Cancel(id("job-00007f3c"))]);
    assert!(stage.model.ui.dialog.is_none());
}

#[test]
fn a_job_that_ended_meanwhile_is_not_cancelled() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("5jx");
    stage.feed(FeedEvent::Job(Change::from(job("job-00007f3c", "infer", JobState::Done, 7))));
    assert_eq!(stage.type_keys("y"), []);
}

#[test]
fn a_key_typed_ahead_cannot_hit_a_view_it_was_not_meant_for() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("5j");
    stage.key(KeyCode::Enter);
    let x = KeyEvent::new(KeyCode::Char('x'), KeyModifiers::NONE);
    stage.send(Message::Key(x));
    assert!(stage.model.ui.dialog.is_none());
    stage.pass(Duration::from_millis(200));
    stage.send(Message::Key(x));
    assert!(stage.model.ui.dialog.is_some());
}

#[test]
fn q_goes_back_and_leaves_at_the_root() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("5l");
    assert_eq!(stage.type_keys("q"), [Effect::Unfollow(id("job-0000a9f0"))]);
    assert_eq!(stage.model.ui.view, View::Jobs);
    assert_eq!(stage.type_keys("q"), []);
    assert_eq!(stage.type_keys("q"), [Effect::Quit]);
}

#[test]
fn nothing_is_live_before_the_queen_has_said_what_is() {
    let mut stage = Stage::busy(SIZE);
    stage.disconnect();
    assert!(matches!(stage.model.connection, Connection::Lost(..)));
    stage.news(FeedNews::Connected);
    assert!(!stage.model.connection.is_live());
    stage.feed(FeedEvent::Snapshot(Box::new(busy_fleet())));
    assert!(stage.model.connection.is_live());
    let toast = stage.model.ui.toast.as_ref().unwrap();
    assert_eq!(toast.text, "The queen is back after 38 s");
}

#[test]
fn a_resumed_feed_that_has_nothing_to_say_is_live_after_a_second() {
    let mut stage = Stage::busy(SIZE);
    stage.disconnect();
    stage.news(FeedNews::Connected);
    stage.pass(Duration::from_millis(1_001));
    assert!(stage.model.connection.is_live());
}

#[test]
fn a_stream_that_broke_is_followed_again_when_the_queen_is_back() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("5jl");
    stage.stream("job-00007f3c", &["a", "b"]);
    let broken = vec![JobNews::Broken("connection reset".to_owned())];
    let effects = stage.send(Message::Job { job: id("job-00007f3c"), news: broken });
    assert_eq!(effects, [Effect::Unfollow(id("job-00007f3c"))]);
    stage.disconnect();
    stage.news(FeedNews::Connected);
    let effects = stage.feed(FeedEvent::Snapshot(Box::new(busy_fleet())));
    assert_eq!(effects, [Effect::Follow { job: id("job-00007f3c"), after: 4 }]);
}

#[test]
fn a_job_that_is_not_listened_to_any_more_says_since_when_and_enter_listens_again() {
    let mut stage = Stage::busy(SIZE);
    stage.type_keys("5jl");
    stage.stream("job-00007f3c", &["a", "b"]);
    assert_eq!(stage.key(KeyCode::Enter), [], "it is being listened to");
    let broken = vec![JobNews::Broken("the stream is garbled".to_owned())];
    stage.send(Message::Job { job: id("job-00007f3c"), news: broken });
    let stream = stage.model.streams.job(&id("job-00007f3c")).unwrap();
    assert_eq!(stream.broken.as_ref().map(|it| it.at), Some(stage.now.wall));
    let effects = stage.key(KeyCode::Enter);
    assert_eq!(effects, [Effect::Follow { job: id("job-00007f3c"), after: 4 }]);
}

#[test]
fn a_queen_is_started_only_by_its_own_key() {
    let mut stage = Stage::new(SIZE);
    stage.disconnect();
    assert!(stage.model.asks_for_queen());
    assert_eq!(stage.key(KeyCode::Enter), []);
    assert_eq!(stage.type_keys("y"), [Effect::StartQueen]);
    assert_eq!(stage.type_keys("y"), [], "not twice at a time");
    stage.send(Message::StartEnded(Err("no such program".to_owned())));
    assert_eq!(stage.type_keys("s"), [Effect::StartQueen]);
    assert_eq!(stage.send(Message::StartEnded(Ok(()))), [Effect::Retry]);
}

#[test]
fn a_large_screen_follows_the_answers_it_shows() {
    let mut stage = Stage::new((160, 45));
    stage.news(FeedNews::Connected);
    let effects = stage.feed(FeedEvent::Snapshot(Box::new(busy_fleet())));
    assert_eq!(effects, [Effect::Follow { job: id("job-00007f3c"), after: 0 }]);
    let effects = stage.send(Message::Resize { width: 80, height: 24 });
    assert_eq!(effects, [Effect::Unfollow(id("job-00007f3c"))]);
}

#[test]
fn a_silent_machine_leaves_a_gap_in_the_graph_of_its_devices() {
    let mut stage = Stage::busy(SIZE);
    stage.feed(FeedEvent::Hive(Change::from(hive("gpu-1", HiveState::Late, 12, None))));
    stage.pass(Duration::from_secs(5));
    let key = (id("gpu-1"), protocol::DeviceId::gpu(0));
    let history = stage.model.histories.get(&key).unwrap();
    assert_eq!(history.seconds(stage.now.monotonic, 2), [None, None]);
}
