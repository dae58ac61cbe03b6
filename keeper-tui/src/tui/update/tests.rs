use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use proptest::prelude::*;
use protocol::{
    fleet::{Change, FeedEvent, Gone, HiveState, WorkerState},
    job::{EndMarker, JobEvent, JobState},
    logs::{LogLine, LogSource},
    operation::{Operation, QueenOperation},
};
use ratatui::{Terminal, backend::TestBackend};

use super::*;
use crate::tui::{
    actions::Target,
    fixture::{Stage, busy_fleet, catalogue, empty_fleet, gpu, hive, id, job, stranger, worker},
    message::FeedNews,
    state::dialog::Dialog,
    view::view,
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

fn message() -> impl Strategy<Value = Message> {
    let codes = prop_oneof![
        prop::sample::select(
            "12345678ihjklgGFxynsmdDAIu?q yYaX+r:/*voOz!@-wtc&npfe<>[]LN"
                .chars()
                .collect::<Vec<_>>()
        )
        .prop_map(KeyCode::Char),
        prop::sample::select(vec![
            KeyCode::Esc,
            KeyCode::Enter,
            KeyCode::Tab,
            KeyCode::BackTab,
            KeyCode::Up,
            KeyCode::Down,
            KeyCode::Left,
            KeyCode::Right,
            KeyCode::PageUp,
            KeyCode::PageDown,
            KeyCode::Home,
            KeyCode::End,
            KeyCode::Backspace,
        ]),
    ];
    let key = codes.prop_map(|code| Message::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    let ctrl = prop::sample::select("durlj".chars().collect::<Vec<_>>())
        .prop_map(|c| Message::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL)));
    let hives = ["attic", "edge-7", "gpu-1", "gpu-9"];
    let jobs = ["job-00005aaa", "job-00007f3c", "job-0000a9f0", "job-0000ffff"];
    let event =
        prop_oneof![
            Just(FeedEvent::Snapshot(Box::new(busy_fleet()))),
            Just(FeedEvent::Snapshot(Box::new(empty_fleet()))),
            Just(FeedEvent::Lagged),
            prop::sample::select(hives.to_vec())
                .prop_map(|it| FeedEvent::Hive(Change::Gone(Gone::new(it)))),
            prop::sample::select(hives.to_vec())
                .prop_map(|it| FeedEvent::Hive(Change::from(hive(it, HiveState::Stale, 20, None)))),
            prop::sample::select(hives.to_vec())
                .prop_map(|it| FeedEvent::Device(Change::from(gpu(it, 0, Some(50.0), None)))),
            prop::sample::select(hives.to_vec()).prop_map(|it| {
                FeedEvent::Worker(Change::from(worker("wk-99", it, WorkerState::Busy)))
            }),
            Just(FeedEvent::Worker(Change::Gone(Gone::new("wk-02")))),
            prop::sample::select(catalogue())
                .prop_map(|it| FeedEvent::Model(Change::Gone(Gone::on(&it.hive_id, &it.id)))),
            prop::sample::select(catalogue()).prop_map(|it| FeedEvent::Model(Change::from(it))),
            prop::sample::select(jobs.to_vec())
                .prop_map(|it| FeedEvent::Job(Change::Gone(Gone::new(it)))),
            prop::sample::select(jobs.to_vec()).prop_map(|it| FeedEvent::Job(Change::from(job(
                it,
                "infer",
                JobState::Running,
                1
            )))),
            (prop::sample::select(jobs.to_vec()), any::<String>()).prop_map(|(it, text)| {
                let narration =
                    protocol::fleet::Narration { job_id: id(it), event: JobEvent::new("x", text) };
                FeedEvent::Narration(narration)
            }),
        ];
    let feed = prop_oneof![
        6 => event.prop_map(|event| FeedNews::Event(Box::new(event))),
        1 => Just(FeedNews::Connected),
        1 => Just(FeedNews::Disconnected {
            cause: "refused".to_owned(),
            attempt: 1,
            retry_in: Duration::from_millis(500),
        }),
        1 => Just(FeedNews::Undecodable { name: "x".to_owned(), error: "y".to_owned() }),
    ];
    let token = (prop::sample::select(jobs.to_vec()), 1_u64..2_000, any::<String>()).prop_map(
        |(job, number, text)| Message::Job {
            job: id(job),
            news: vec![JobNews::Event { number, event: Box::new(JobEvent::token(text, 0)) }],
        },
    );
    let ended = prop::sample::select(jobs.to_vec()).prop_map(|job| Message::Job {
        job: id(job),
        news: vec![JobNews::End(EndMarker::Error("broke".to_owned()))],
    });
    prop_oneof![
        8 => key,
        1 => ctrl,
        6 => feed.prop_map(Message::Feed),
        4 => token,
        1 => ended,
        1 => any::<String>().prop_map(Message::Paste),
        1 => (1_u16..300, 1_u16..100).prop_map(|(width, height)| Message::Resize { width, height }),
        1 => (0_u64..3).prop_map(|ticket| Message::Submitted { ticket, result: Ok(stranger()) }),
        1 => (0_u64..3).prop_map(|ticket| Message::Acted { ticket, result: Ok(stranger()) }),
        1 => (0_u64..3).prop_map(|ticket| Message::Acted { ticket, result: Err("no".to_owned()) }),
        1 => prop::sample::select(jobs.to_vec())
            .prop_map(|it| Message::Cancelled { job: id(it), result: Ok(()) }),
        1 => prop::collection::vec("[a-z@ *]{0,6}", 0..20).prop_map(|it| Message::Hosts(Ok(it))),
        1 => "[a-z]{1,6}".prop_map(|alias| {
            let install = super::machines::install(id(&alias), None);
            Message::Request(Ok(QueenOperation::from(install).into()))
        }),
        1 => any::<String>().prop_map(|text| Message::WorkerLog {
            worker: id("wk-02"),
            result: Ok(vec![LogLine { source: LogSource::Log, text }]),
        }),
        1 => any::<String>().prop_map(Message::StartLine),
        1 => Just(Message::StartEnded(Err("no".to_owned()))),
        1 => Just(Message::Tick),
    ]
}

fn assert_sound(model: &Model) {
    let (fleet, ui) = (&model.fleet, &model.ui);
    assert!(ui.hives.id().is_none_or(|id| fleet.hives.contains_key(id)));
    assert!(ui.workers.id().is_none_or(|id| fleet.workers.contains_key(id)));
    assert!(ui.devices.id().is_none_or(|id| fleet.devices.contains_key(id)));
    assert!(ui.jobs.id().is_none_or(|id| fleet.jobs.contains_key(id)));
    let models = model.models.listed();
    assert!(ui.models.id().is_none_or(|id| models.contains_key(id)));
    assert!(ui.view.panes().contains(&ui.focus));
    assert!(ui.hives.marks.iter().all(|id| fleet.hives.contains_key(id)));
    assert!(ui.workers.marks.iter().all(|id| fleet.workers.contains_key(id)));
    assert!(ui.devices.marks.iter().all(|id| fleet.devices.contains_key(id)));
    assert!(ui.jobs.marks.iter().all(|id| fleet.jobs.contains_key(id)));
}

fn draw(model: &Model, (width, height): (u16, u16), now: Now) {
    let mut model = model.clone();
    model.size = (width, height);
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let draw = |frame: &mut ratatui::Frame<'_>| {
        view(&model, frame, now);
    };
    terminal.draw(draw).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_selection_exists_and_escape_leads_to_the_root(
        messages in prop::collection::vec((message(), 0_u64..3_000), 1..120),
        size in (1_u16..=300, 1_u16..=100),
    ) {
        let mut stage = Stage::busy(SIZE);
        for (message, millis) in messages {
            stage.send(message);
            stage.pass(Duration::from_millis(millis));
            assert_sound(&stage.model);
        }
        for size in [size, stage.model.size, SIZE, (160, 45), (1, 1)] {
            draw(&stage.model, size, stage.now);
        }
        for _ in 0..24 {
            stage.key(KeyCode::Esc);
        }
        let ui = &stage.model.ui;
        prop_assert_eq!(&ui.view, &View::Fleet);
        prop_assert!(ui.dialog.is_none() && ui.help.is_none());
    }
}
