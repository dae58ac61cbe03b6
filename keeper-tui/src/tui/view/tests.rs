use ratatui::{Terminal, backend::TestBackend, style::Color};

use super::*;
use crate::tui::{
    fixture::{Stage, empty_fleet},
    message::Message,
    screen::Screen,
    state::Pane,
    theme::{Palette, Theme},
};

const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (160, 45);

fn draw(stage: &Stage) -> (Buffer, Option<Duration>) {
    let mut terminal =
        Terminal::new(TestBackend::new(stage.model.size.0, stage.model.size.1)).unwrap();
    let mut next = None;
    terminal.draw(|frame| next = view(&stage.model, frame, stage.now)).unwrap();
    (terminal.backend().buffer().clone(), next)
}

/// The screen as text, one line per row.
pub(super) fn text(stage: &Stage) -> String {
    let (buffer, _) = draw(stage);
    let rows = buffer.content.chunks(usize::from(buffer.area.width).max(1));
    let rows = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    rows.map(|row| row.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Where the look of a row changes, and to what.
fn styles(stage: &Stage) -> String {
    let (buffer, _) = draw(stage);
    let mut lines = Vec::new();
    for (y, row) in buffer.content.chunks(usize::from(buffer.area.width)).enumerate() {
        let mut runs: Vec<(String, String)> = Vec::new();
        for cell in row {
            assert_eq!(cell.bg, Color::Reset, "no background is ever set");
            let look = format!("{:?} {:?}", cell.fg, cell.modifier);
            match runs.last_mut() {
                Some((last, text)) if *last == look => text.push_str(cell.symbol()),
                _ => runs.push((look, cell.symbol().to_owned())),
            }
        }
        for (look, text) in runs {
            let look = look.replace("Modifier(", "").replace(')', "");
            if look != "Reset 0x0" && look != "Reset NONE" && !text.trim().is_empty() {
                lines.push(format!("{y:>2} {look:<24} {}", text.trim_end()));
            }
        }
    }
    lines.join("\n")
}

const MIDDLING: (u16, u16) = (120, 30);
const LEAST: (u16, u16) = (60, 15);

fn views() -> [(&'static str, &'static str); 18] {
    [
        ("fleet", "1"),
        ("workers", "2"),
        ("devices", "3"),
        ("models", "4"),
        ("jobs", "5"),
        ("job", "5jl"),
        ("infer", "6"),
        ("events", "7"),
        ("queen", "8"),
        ("hive", "1jj\n"),
        ("hive_workers", "1jj\n]"),
        ("hive_devices", "1jj\n]]"),
        ("hive_models", "1jj\n]]]"),
        ("hive_jobs", "1jj\n]]]]"),
        ("hive_log", "1jjl"),
        ("worker", "2jj\n"),
        ("device", "3j\n"),
        ("hive_worker", "1jj\n]\n"),
    ]
}

#[test]
fn every_view_of_a_busy_fleet() {
    for size in [LEAST, SMALL, MIDDLING, LARGE] {
        for (name, keys) in views() {
            let mut stage = Stage::busy(size);
            stage.type_keys(keys);
            stage.models();
            stage.stream(
                "job-00007f3c",
                &[
                    "The three usual ",
                    "causes of a stalled decode ",
                    "are a full KV cache,\n",
                    "a worker that lost its GPU, and a client that stopped reading.",
                ],
            );
            let mut shown = text(&stage);
            if size == SMALL {
                shown = format!("{shown}\n\n{}", styles(&stage));
            }
            insta::assert_snapshot!(format!("busy_{name}_{}", size.0), shown);
        }
    }
}

#[test]
fn every_view_of_an_empty_fleet() {
    for size in [SMALL, LARGE] {
        for (name, keys) in views().into_iter().take(9) {
            let mut stage = Stage::new(size);
            stage.connect(empty_fleet());
            // Where one is already, 1 starts something.
            if name != "fleet" {
                stage.type_keys(keys);
            }
            insta::assert_snapshot!(format!("empty_{name}_{}", size.0), text(&stage));
        }
    }
}

#[test]
fn every_view_while_the_queen_is_away() {
    for size in [SMALL, LARGE] {
        for (name, keys) in views() {
            let mut stage = Stage::busy(size);
            stage.type_keys(keys);
            stage.models();
            stage.disconnect();
            insta::assert_snapshot!(format!("away_{name}_{}", size.0), text(&stage));
        }
    }
}

#[test]
fn the_first_contact() {
    let mut stage = Stage::new(SMALL);
    insta::assert_snapshot!("first_connecting", text(&stage));
    stage.disconnect();
    insta::assert_snapshot!("first_no_queen", text(&stage));
    stage.type_keys("y");
    stage.send(Message::StartLine("launching queen-rbee on 127.0.0.1:8500".to_owned()));
    stage.send(Message::StartLine("🐝 waiting until she answers".to_owned()));
    insta::assert_snapshot!("first_starting", text(&stage));
    stage.send(Message::StartEnded(Err("port 8500 is taken by another program".to_owned())));
    insta::assert_snapshot!("first_failed", text(&stage));
}

#[test]
fn an_answer_that_waits_streams_and_is_cancelled() {
    let mut stage = Stage::busy(SMALL);
    stage.type_keys("6Why?");
    stage.key(crossterm::event::KeyCode::Enter);
    let job = crate::tui::fixture::stranger();
    stage.send(Message::Submitted { ticket: 1, result: Ok(job) });
    stage.stream("job-00009999", &[]);
    insta::assert_snapshot!("infer_waiting", text(&stage));
    stage.stream("job-00009999", &["Because ", "it ", "is."]);
    stage.send(Message::Job {
        job: crate::tui::fixture::stranger(),
        news: vec![crate::tui::message::JobNews::Event {
            number: 3,
            event: Box::new(protocol::job::JobEvent::token("Because.", 0)),
        }],
    });
    stage.type_keys("x");
    insta::assert_snapshot!("infer_cancel", text(&stage));
}

#[test]
fn the_help_is_the_keymap() {
    let mut stage = Stage::busy(SMALL);
    stage.type_keys("?");
    insta::assert_snapshot!("help", text(&stage));
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
fn without_colours_and_beyond_ascii_every_state_can_still_be_told() {
    let theme = Theme { palette: Palette::Mono, ascii: true };
    let mut stage = Stage::with_theme(SMALL, theme);
    stage.fill();
    let text = text(&stage);
    assert!(text.is_ascii(), "{text}");
    insta::assert_snapshot!("mono_ascii", text);
    insta::assert_snapshot!("mono_ascii_styles", styles(&stage));
    insta::assert_snapshot!("colour_styles", styles(&Stage::busy(SMALL)));
}

#[test]
fn every_palette_tells_the_states_apart() {
    for palette in [Palette::Light, Palette::HighContrast, Palette::ColourBlind] {
        let mut stage = Stage::with_theme(SMALL, Theme { palette, ascii: false });
        stage.fill();
        insta::assert_snapshot!(format!("palette_{palette:?}"), styles(&stage));
    }
}

#[test]
fn a_text_that_is_searched_filtered_and_held() {
    let mut stage = Stage::busy(SMALL);
    stage.type_keys("7/me\n");
    insta::assert_snapshot!("reading_found", format!("{}\n\n{}", text(&stage), styles(&stage)));
    stage.key(crossterm::event::KeyCode::Esc);
    stage.type_keys("&worker\nwt/do");
    insta::assert_snapshot!("reading_asked", text(&stage));
    stage.key(crossterm::event::KeyCode::Esc);
    stage.type_keys("&xx\nf");
    insta::assert_snapshot!("reading_nothing", text(&stage));
}

#[test]
fn two_answers_beside_each_other_and_how_they_are_made() {
    let mut stage = Stage::busy(SMALL);
    stage.type_keys("6Why?");
    stage.key(crossterm::event::KeyCode::Esc);
    stage.type_keys("ci\n");
    for (ticket, job) in [(1, "job-00007f3c"), (2, "job-00009999")] {
        let result = Ok(job.parse().unwrap());
        stage.send(Message::Submitted { ticket, result });
        stage.stream(job, &["Because ", "it ", "is."]);
    }
    insta::assert_snapshot!("infer_compared", text(&stage));
    for _ in 0..3 {
        stage.key(crossterm::event::KeyCode::Tab);
    }
    stage.type_keys("G\n1234");
    insta::assert_snapshot!("infer_settings", text(&stage));
}

#[test]
fn a_download_says_how_fast_it_is_and_since_when_it_stands_still() {
    let mut stage = Stage::new(LARGE);
    stage.connect(crate::tui::fixture::busy_fleet());
    stage.type_keys("4");
    stage.models();
    insta::assert_snapshot!("download_fast", text(&stage).lines().nth(4).unwrap());
    stage.pass(Duration::from_secs(12));
    insta::assert_snapshot!("download_stalled", text(&stage).lines().nth(4).unwrap());
}

#[test]
fn a_small_terminal_gets_a_plain_list() {
    for (name, keys) in views() {
        let mut stage = Stage::busy((40, 10));
        stage.type_keys(keys);
        stage.models();
        insta::assert_snapshot!(format!("tiny_{name}"), text(&stage));
    }
}

#[test]
fn a_fleet_without_trouble_and_without_work_needs_no_wake_up() {
    let mut stage = Stage::new(SMALL);
    stage.connect(empty_fleet());
    assert_eq!(draw(&stage).1, None);
    let mut stage = Stage::new(LARGE);
    let mut fleet = crate::tui::fixture::busy_fleet();
    fleet.hives.retain(|hive| hive.state == protocol::fleet::HiveState::Ready);
    fleet.jobs.clear();
    stage.connect(fleet);
    stage.pass(Duration::from_secs(90));
    assert_eq!(draw(&stage).1, None, "a graph that does not move is not drawn again");
}

#[test]
fn while_the_queen_is_away_the_picture_changes_once_a_second() {
    let mut stage = Stage::busy(SMALL);
    stage.disconnect();
    let next = draw(&stage).1.unwrap();
    assert!(next <= stage.now.monotonic + Duration::from_secs(1));
}

#[test]
fn nothing_the_fleet_says_reaches_the_terminal_as_a_command() {
    let mut stage = Stage::busy(LARGE);
    stage.type_keys("5jl");
    stage.stream("job-00007f3c", &["\u{1b}[2J\u{1b}]52;c;eA==\u{07}", "\u{202e}evil\r\u{9b}31m"]);
    for keys in ["", "1", "2", "3"] {
        stage.type_keys(keys);
        let text = text(&stage);
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
    let before = styles(&stage);
    stage.key(crossterm::event::KeyCode::Tab);
    assert_eq!(stage.model.ui.focus, Pane::Narration);
    assert_ne!(styles(&stage), before);
}
