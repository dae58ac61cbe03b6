//! What holds whatever happens.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use proptest::prelude::*;
use protocol::{
    fleet::{Change, FeedEvent, Gone, HiveState, WorkerState},
    job::{EndMarker, JobEvent, JobState},
    logs::{LogLine, LogSource},
    operation::QueenOperation,
};
use ratatui::{Terminal, backend::TestBackend, layout::Position};

use super::*;
use crate::tui::{
    fixture::{Stage, busy_fleet, catalogue, empty_fleet, gpu, hive, id, job, stranger, worker},
    message::{FeedNews, Mouse},
    state::lists::{ListName, read_list},
    view::view,
};

const SIZE: (u16, u16) = (80, 24);
/// More than there are things in front of, marks on and ways into anything.
const ESCAPES: usize = 24;

fn outcome(is_fine: bool) -> Result<(), String> {
    if is_fine { Ok(()) } else { Err("no".to_owned()) }
}

/// Whatever may come in.
fn message() -> impl Strategy<Value = Message> {
    let named = prop::sample::select(vec![
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
        KeyCode::Delete,
        KeyCode::F(5),
    ]);
    // Those that move and open come up more often than the rest of the keyboard.
    let ways = "12345678jkhlgG/?: \n".chars().collect::<Vec<_>>();
    let letter = prop_oneof![prop::sample::select(ways), prop::char::range(' ', '~')];
    let codes = prop_oneof![3 => letter.prop_map(KeyCode::Char), 2 => named];
    let held = prop_oneof![
        8 => Just(KeyModifiers::NONE),
        1 => Just(KeyModifiers::CONTROL),
        1 => Just(KeyModifiers::SHIFT),
        1 => Just(KeyModifiers::ALT),
    ];
    let key = (codes, held).prop_map(|(code, held)| Message::Key(KeyEvent::new(code, held)));
    let mouse = (
        prop::sample::select(vec![Mouse::Click, Mouse::WheelUp, Mouse::WheelDown]),
        (0_u16..300, 0_u16..100),
    );
    let mouse = mouse.prop_map(|(mouse, (x, y))| Message::Mouse { mouse, at: Position { x, y } });
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
        2 => mouse,
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
        1 => prop::sample::select(jobs.to_vec()).prop_map(|it| Message::Job {
            job: id(it),
            news: vec![JobNews::Broken("broke off".to_owned())],
        }),
        1 => any::<bool>().prop_map(|is_fine| Message::Paged(outcome(is_fine))),
        1 => any::<bool>().prop_map(|is_fine| Message::QueenStopping(outcome(is_fine))),
        1 => any::<String>().prop_map(|it| Message::CopiedToFile(Err(it))),
        1 => (0_u64..9).prop_map(|it| Message::Measured(Ok(Duration::from_millis(it)))),
        1 => any::<String>().prop_map(|it| Message::Noticed(vec![it])),
        1 => Just(Message::RecordingEnded),
        1 => any::<String>().prop_map(Message::StartLine),
        1 => Just(Message::StartEnded(Err("no".to_owned()))),
        1 => Just(Message::Tick),
    ]
}

/// Everything that is aimed at exists, and is aimed at where keys go.
fn assert_sound(model: &Model) {
    for name in ListName::ALL {
        read_list!(model, name, |list, records| {
            let exists = |id: &_| records.contains_key(id);
            assert!(list.id().is_none_or(exists), "the selection of {name:?}");
            assert!(list.marks.iter().all(exists), "the marks of {name:?}");
            assert!(list.range.as_ref().is_none_or(exists), "the range of {name:?}");
        });
    }
    assert!(model.ui.view.panes().contains(&model.ui.focus));
}

/// What is selected in the table on the screen is among the rows that are
/// drawn of it.
fn assert_in_sight(model: &Model) {
    let Some(name) = model.list_in_view() else { return };
    if model.size.0 < 60 || model.size.1 < 15 {
        return;
    }
    read_list!(model, name, |list, records| {
        let (offset, height) = (list.offset.get(), list.height.get());
        let total = list.shown(records).count();
        assert!(offset <= total.saturating_sub(height), "{name:?}: {offset} of {total}");
        let at = list.id().and_then(|id| list.shown(records).position(|(it, _)| it == id));
        let in_sight = |at| (offset..offset + height).contains(&at);
        assert!(height == 0 || at.is_none_or(in_sight), "{name:?}: {at:?} from {offset}");
    });
}

fn draw(model: &Model, now: Now) {
    let mut terminal = Terminal::new(TestBackend::new(model.size.0, model.size.1)).unwrap();
    let draw = |frame: &mut ratatui::Frame<'_>| {
        view(model, frame, now);
    };
    terminal.draw(draw).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_selection_exists_and_escape_leads_to_the_root(
        messages in prop::collection::vec((message(), 0_u64..3_000, 0_u8..6), 1..120),
        size in (1_u16..=300, 1_u16..=100),
    ) {
        let mut stage = Stage::busy(SIZE);
        for (message, millis, chance) in messages {
            stage.send(message);
            stage.pass(Duration::from_millis(millis));
            assert_sound(&stage.model);
            if chance == 0 {
                draw(&stage.model, stage.now);
                assert_in_sight(&stage.model);
            }
        }
        for size in [size, SIZE, (160, 45), (300, 100), (1, 1)] {
            stage.send(Message::Resize { width: size.0, height: size.1 });
            draw(&stage.model, stage.now);
            assert_in_sight(&stage.model);
        }
        for _ in 0..ESCAPES {
            stage.key(KeyCode::Esc);
        }
        let ui = &stage.model.ui;
        prop_assert_eq!(&ui.view, &View::Fleet);
        prop_assert!(ui.dialog.is_none() && ui.help.is_none());
    }
}
