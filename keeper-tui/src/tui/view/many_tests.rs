//! A fleet of more than fits: what is followed, and what can wait.

use protocol::{
    fleet::{Change, FeedEvent, Gone, HiveState, Snapshot, WorkerState},
    job::JobState,
    model::ModelState,
};
use ratatui::Frame;

use super::{gallery::shown, *};
use crate::tui::{
    effect::Effect,
    fixture::{Stage, gpu, hive, id, job, model, queen, worker},
    message::{FeedNews, JobNews, Message},
    screen::Screen,
    update::is_seen,
};

const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (160, 45);
/// So high that there is room for every answer.
const HIGH: (u16, u16) = (160, 200);

/// A hundred machines with a device and a worker each.
fn fleet() -> Snapshot {
    let names = || (0..100).map(|n| format!("hive-{n:02}"));
    Snapshot {
        queen: Some(queen()),
        hives: names().map(|it| hive(&it, HiveState::Ready, 1, None)).collect(),
        devices: names().map(|it| gpu(&it, 0, Some(50.0), Some(1 << 30))).collect(),
        workers: (0..100)
            .map(|n| {
                worker(&format!("wk-{n:02}"), &format!("hive-{:02}", 99 - n), WorkerState::Ready)
            })
            .collect(),
        jobs: Vec::new(),
        models: names().map(|it| model("org/repo:Q4_K_M", &it, ModelState::Ready)).collect(),
    }
}

fn stage(size: (u16, u16)) -> Stage {
    let mut stage = Stage::new(size);
    stage.connect(fleet());
    stage
}

fn beat(number: usize) -> FeedEvent {
    let name = format!("wk-{number:02}");
    let beaten = worker(&name, &format!("hive-{:02}", 99 - number), WorkerState::Busy);
    FeedEvent::Worker(Change::from(beaten))
}

/// Whether this is shown at once on the screen as it is.
fn seen(stage: &Stage, event: FeedEvent) -> bool {
    drop(shown(stage));
    is_seen(&stage.model, &Message::Feed(FeedNews::Event(Box::new(event))))
}

#[test]
fn only_what_is_on_the_screen_is_drawn_at_once() {
    for size in [SMALL, LARGE] {
        let mut stage = stage(size);
        assert!(seen(&stage, beat(99)), "its machine is the first");
        assert!(!seen(&stage, beat(0)), "its machine is the last");
        assert!(!seen(&stage, FeedEvent::Device(Change::from(gpu("hive-99", 0, None, None)))));
        let lost =
            |name: &str| FeedEvent::Hive(Change::from(hive(name, HiveState::Lost, 60, None)));
        assert!(seen(&stage, lost("hive-00")));
        assert!(!seen(&stage, lost("hive-99")));
        stage.type_keys("G");
        assert!(seen(&stage, beat(0)), "it was scrolled to");
        assert!(!seen(&stage, beat(99)));

        stage.type_keys("2");
        assert!(seen(&stage, beat(0)));
        let gone = |name: &str| FeedEvent::Worker(Change::Gone(Gone::new(name)));
        assert!(seen(&stage, gone("wk-01")));
        assert!(!seen(&stage, gone("wk-99")));

        let failed = |name: &str, hive: &str| {
            FeedEvent::Model(Change::from(model(name, hive, ModelState::Failed)))
        };
        stage.type_keys("4");
        assert!(seen(&stage, failed("org/repo:Q4_K_M", "hive-00")));
        assert!(seen(&stage, failed("org/repo:Q4_K_M", "hive-99")), "it has the selected one");
        assert!(!seen(&stage, failed("org/other", "hive-99")));
        assert!(!seen(&stage, beat(0)), "no worker stands there");

        stage.type_keys("8");
        assert!(!seen(&stage, beat(0)), "no worker stands there");
        assert!(!seen(&stage, failed("org/repo:Q4_K_M", "hive-00")));
        assert!(seen(&stage, FeedEvent::Queen(Box::new(queen()))));
    }
}

#[test]
fn what_is_not_on_the_screen_is_still_known_and_has_no_bytes() {
    let mut stage = stage(SMALL);
    let mut screen = Screen::new(SMALL).unwrap();
    let mut bytes = |stage: &Stage| {
        let draw = |frame: &mut Frame<'_>| {
            view(&stage.model, frame, stage.now);
        };
        screen.draw(draw).unwrap().map_or(0, |bytes| bytes.len())
    };
    bytes(&stage);
    let mut same = fleet().workers.remove(0);
    same.slots_busy = Some(1);
    stage.feed(FeedEvent::Worker(Change::from(same)));
    assert_eq!(bytes(&stage), 0);
    stage.type_keys("2");
    assert!(shown(&stage).contains("1/4"), "{}", shown(&stage));
    bytes(&stage);
    for _ in 0..40 {
        stage.type_keys("j");
        let scrolled = bytes(&stage);
        assert!(scrolled <= 2_500, "a row that scrolled took {scrolled} bytes");
    }
}

#[test]
fn as_many_answers_are_followed_as_there_is_room_for() {
    let answers = |size| {
        let mut stage = stage(size);
        let mut effects = Vec::new();
        for n in 0..20 {
            let answer = job(&format!("job-000000{n:02}"), "infer", JobState::Running, 1);
            effects.extend(stage.feed(FeedEvent::Job(Change::from(answer))));
        }
        let following = stage.model.following.clone();
        (stage, following, effects)
    };
    let (stage, following, effects) = answers(LARGE);
    assert_eq!(
        following.iter().map(|it| it.as_str()).collect::<Vec<_>>(),
        ["job-00000016", "job-00000017", "job-00000018", "job-00000019"]
    );
    assert!(shown(&stage).contains("+ 16 more streams not shown"), "{}", shown(&stage));
    assert!(effects.contains(&Effect::Unfollow(id("job-00000015"))), "it has left the screen");

    let (stage, following, _) = answers(HIGH);
    assert_eq!(following.len(), 16, "there is room for more, and that is the limit");
    assert!(shown(&stage).contains("+ 4 more streams not shown"));

    let (mut stage, following, _) = answers(SMALL);
    assert!(following.is_empty());
    let effects = stage.type_keys("5Gl");
    let opened = Effect::Follow { job: id("job-00000000"), after: 0 };
    assert!(effects.contains(&opened), "what is opened is read from its beginning: {effects:?}");
}

#[test]
fn an_answer_in_a_narrow_place_is_never_blank() {
    let mut stage = stage(LARGE);
    for n in 0..4 {
        let answer = job(&format!("job-0000000{n}"), "infer", JobState::Running, 1);
        stage.feed(FeedEvent::Job(Change::from(answer)));
    }
    for number in 1..=12_u32 {
        let token = protocol::job::JobEvent::token(format!("\nnewest {number}"), number);
        let event = JobNews::Event { number: u64::from(number), event: Box::new(token) };
        stage.send(Message::Job { job: id("job-00000003"), news: vec![event] });
        assert!(shown(&stage).contains(&format!("newest {number}")), "{}", shown(&stage));
    }
}
