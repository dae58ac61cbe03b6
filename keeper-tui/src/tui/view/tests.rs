use ratatui::{Terminal, backend::TestBackend};

use super::*;
use crate::tui::{
    fixture::{Stage, empty_fleet},
    message::Message,
    screen::Screen,
    state::Pane,
    theme::{Palette, Theme},
};

use super::gallery::{frame, shown, text_and_style};

const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (160, 45);

/// When the picture changes by itself.
fn next_change(stage: &Stage) -> Option<Duration> {
    let mut terminal =
        Terminal::new(TestBackend::new(stage.model.size.0, stage.model.size.1)).unwrap();
    let mut next = None;
    terminal.draw(|frame| next = view(&stage.model, frame, stage.now)).unwrap();
    next
}

#[test]
fn the_help_is_the_keymap() {
    let stage = Stage::busy(SMALL);
    let help: Vec<String> =
        help::text(&stage.model.keymap, 100).iter().map(ToString::to_string).collect();
    for binding in keymap::KEYMAP {
        let row = help
            .iter()
            .find(|row| row.contains(binding.what) && row.contains(&binding.keys_label()));
        assert!(row.is_some(), "{binding:?} is not in the help");
    }
}

#[test]
fn a_fleet_without_trouble_and_without_work_needs_no_wake_up() {
    let mut stage = Stage::new(SMALL);
    stage.connect(empty_fleet());
    assert_eq!(next_change(&stage), None);
    let mut stage = Stage::new(LARGE);
    let mut fleet = crate::tui::fixture::busy_fleet();
    fleet.hives.retain(|hive| hive.state == protocol::fleet::HiveState::Ready);
    fleet.jobs.clear();
    stage.connect(fleet);
    stage.pass(Duration::from_secs(90));
    assert_eq!(next_change(&stage), None, "a graph that does not move is not drawn again");
}

#[test]
fn while_the_queen_is_away_the_picture_changes_once_a_second() {
    let mut stage = Stage::busy(SMALL);
    stage.disconnect();
    let next = next_change(&stage).unwrap();
    assert!(next <= stage.now.monotonic + Duration::from_secs(1));
}

#[test]
fn nothing_the_fleet_says_reaches_the_terminal_as_a_command() {
    let mut stage = Stage::busy(LARGE);
    stage.type_keys("5jl");
    stage.stream("job-00007f3c", &["\u{1b}[2J\u{1b}]52;c;eA==\u{07}", "\u{202e}evil\r\u{9b}31m"]);
    for keys in ["", "1", "2", "3"] {
        stage.type_keys(keys);
        let text = shown(&stage);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        assert!(!text.contains('\u{202e}'));
    }
}

fn bytes(screen: &mut Screen, stage: &Stage) -> Option<usize> {
    let draw = |frame: &mut Frame<'_>| {
        view(&stage.model, frame, stage.now);
    };
    screen.draw(draw).unwrap().map(|bytes| bytes.len())
}

#[test]
fn bytes_are_written_only_for_what_changes_on_the_screen() {
    let mut stage = Stage::busy(SMALL);
    let mut screen = Screen::new(SMALL).unwrap();
    let first = bytes(&mut screen, &stage).unwrap();
    assert!(first <= 6_000, "a whole frame took {first} bytes");
    assert_eq!(bytes(&mut screen, &stage), None, "nothing changed");
    let queen = protocol::fleet::QueenRecord {
        now: stage.now.wall,
        heartbeats_ignored: 9,
        ..crate::tui::fixture::queen()
    };
    stage.feed(protocol::fleet::FeedEvent::Queen(Box::new(queen)));
    bytes(&mut screen, &stage);
    stage.feed(protocol::fleet::FeedEvent::Worker(protocol::fleet::Change::from(
        crate::tui::fixture::worker("wk-02", "gpu-1", protocol::fleet::WorkerState::Ready),
    )));
    assert_eq!(bytes(&mut screen, &stage), None, "what changed is not on the screen");
    stage.send(Message::Key(crossterm::event::KeyEvent::from(crossterm::event::KeyCode::Down)));
    let moved = bytes(&mut screen, &stage).unwrap();
    assert!(moved <= 2_500, "a new selection with its narration took {moved} bytes");

    // In a list without a detail only the bar moves.
    stage.type_keys("5");
    bytes(&mut screen, &stage);
    stage.send(Message::Key(crossterm::event::KeyEvent::from(crossterm::event::KeyCode::Down)));
    let moved = bytes(&mut screen, &stage).unwrap();
    assert!(moved <= 400, "a cursor that moved took {moved} bytes");
}

#[test]
fn tokens_cost_few_bytes_when_the_pane_is_full() {
    let mut stage = Stage::busy(SMALL);
    stage.type_keys("5jl");
    let words: Vec<String> = (0..400).map(|n| format!("word{n} ")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    stage.stream("job-00007f3c", &words);
    let mut screen = Screen::new(SMALL).unwrap();
    bytes(&mut screen, &stage);
    let mut total = 0;
    for n in 0..100_u32 {
        let event = protocol::job::JobEvent::token("token ", n);
        let number = 403 + u64::from(n);
        let job = "job-00007f3c".parse().unwrap();
        let news = vec![crate::tui::message::JobNews::Event { number, event: Box::new(event) }];
        stage.send(Message::Job { job, news });
        total += bytes(&mut screen, &stage).unwrap_or(0);
    }
    assert!(total <= 15_000, "100 tokens took {total} bytes");
}

#[test]
fn the_focus_is_seen_without_colours() {
    let mut stage = Stage::with_theme(SMALL, Theme { palette: Palette::Mono, ascii: false });
    stage.fill();
    let before = text_and_style(&frame(&stage));
    stage.key(crossterm::event::KeyCode::Tab);
    assert_eq!(stage.model.ui.focus, Pane::Narration);
    assert_ne!(text_and_style(&frame(&stage)), before);
}
