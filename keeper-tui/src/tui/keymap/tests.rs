use std::path::Path;

use config::Config;
use crossterm::event::KeyCode;
use proptest::prelude::*;

use super::{remap::Problem, *};
use crate::tui::{
    actions::{ACTIONS, Slot},
    fixture::Stage,
    state::dialog::Dialog,
};

#[track_caller]
fn no_key_means_two_things(bindings: &[Binding]) {
    let mut seen: Vec<(Context, Key)> = Vec::new();
    for binding in bindings {
        for key in binding.keys.iter() {
            let clash = seen.iter().any(|(at, it)| *at == binding.context && it.collides(*key));
            assert!(!clash, "{key:?} is bound twice in {:?}", binding.context);
            seen.push((binding.context, *key));
        }
    }
}

#[test]
fn no_key_means_two_things_in_one_context() {
    no_key_means_two_things(KEYMAP);
}

#[test]
fn every_action_has_one_name_in_its_context_as_the_palette_spells_it() {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for binding in KEYMAP {
        let pair = (binding.context.name(), binding.action.id());
        assert!(!seen.contains(&pair), "{pair:?} twice");
        seen.push(pair);
        if let Some(name) = binding.action.name() {
            assert_eq!(binding.action.id(), name.replace(' ', "-"));
        }
    }
}

#[test]
fn keys_of_terminals_and_multiplexers_are_never_bound() {
    for key in KEYMAP.iter().flat_map(|binding| binding.keys.iter()) {
        assert_eq!(key.kept_by(), None, "{key:?}");
    }
}

#[test]
fn enter_says_neither_yes_to_a_question_nor_to_the_offer_of_a_queen() {
    for binding in KEYMAP {
        if matches!(binding.context, Context::Dialog | Context::Offer) {
            assert!(!binding.keys.contains(&Key::code(KeyCode::Enter)));
        }
    }
}

#[test]
fn every_action_that_changes_something_has_its_command_line() {
    for binding in KEYMAP {
        let changes = matches!(binding.action, Action::Do(_) | Action::Send | Action::StartQueen);
        match binding.action.twin() {
            Some(twin) => assert!(twin.starts_with("rbee-keeper "), "{twin}"),
            None => assert!(!changes, "{:?} has no command line", binding.action),
        }
    }
}

#[test]
fn what_holds_everywhere_and_in_tables_has_a_name_in_the_palette() {
    let keys_only = |action| {
        matches!(
            action,
            Action::Palette
                | Action::Escape
                | Action::Back
                | Action::BackOrQuit
                | Action::Mark
                | Action::MarkRange
        )
    };
    let contexts = [Context::Anywhere, Context::Always, Context::List];
    for binding in KEYMAP.iter().filter(|it| contexts.contains(&it.context)) {
        let action = binding.action;
        assert!(keys_only(action) || action.name().is_some(), "{action:?}");
    }
    for (index, binding) in KEYMAP.iter().enumerate() {
        let Some(name) = binding.action.name() else { continue };
        for other in KEYMAP.iter().skip(index + 1).filter(|it| it.action != binding.action) {
            assert_ne!(other.action.name(), Some(name), "two things have one name");
        }
    }
}

#[test]
fn every_slot_has_a_key_and_every_key_of_a_slot_an_action() {
    for row in ACTIONS {
        if let Some(slot) = row.slot {
            let bound = |it: &&Binding| it.action == Action::Do(slot);
            assert_eq!(KEYMAP.iter().filter(bound).count(), 1, "{slot:?}");
        }
    }
    for slot in [Slot::Ask, Slot::New, Slot::Again, Slot::Stop, Slot::Kill, Slot::Delete] {
        assert!(ACTIONS.iter().any(|row| row.slot == Some(slot)), "{slot:?} does nothing");
    }
}

fn remapped(text: &str) -> (Keymap, Vec<Problem>) {
    let config = Config::parse(Path::new("/c/config.toml"), text).unwrap();
    Keymap::read(&config.keys)
}

fn keys_of(keymap: &Keymap, context: &str, action: &str) -> Vec<String> {
    let found = keymap.listed().into_iter().find(|it| (it.context, it.action) == (context, action));
    found.unwrap().keys
}

/// What was said, without the file.
fn told(problems: &[Problem]) -> Vec<String> {
    let short = |it: &Problem| it.to_string().trim_start_matches("/c/config.toml:").to_owned();
    problems.iter().map(short).collect()
}

#[test]
fn an_action_has_the_keys_that_are_wanted_and_no_other() {
    let (keymap, problems) = remapped(
        "[keys.tables]\nsort = [\"s\", \"Ctrl-x\"]\n[keys.everywhere]\nundo = []\n\
         [keys.moving]\ntop = \"tt\"\n",
    );
    assert_eq!(told(&problems), [""; 0]);
    assert_eq!(keys_of(&keymap, "tables", "sort"), ["s", "Ctrl-x"]);
    assert_eq!(keys_of(&keymap, "everywhere", "undo"), [""; 0]);
    let mut stage = Stage::busy((80, 24));
    stage.model.set_keymap(keymap);
    stage.type_keys("2o");
    assert!(stage.model.ui.dialog.is_none(), "the usual key is no key any more");
    stage.type_keys("s");
    assert!(matches!(stage.model.ui.dialog, Some(Dialog::Sort(..))));
    stage.key(KeyCode::Esc);
    stage.type_keys("G");
    let last = stage.model.ui.workers.id().cloned();
    stage.type_keys("gg");
    assert_eq!(stage.model.ui.workers.id().cloned(), last);
    stage.type_keys("tgtt");
    assert_ne!(stage.model.ui.workers.id().cloned(), last);
}

#[test]
fn a_key_that_is_taken_is_no_longer_anothers() {
    let (keymap, problems) = remapped("[keys.tables]\nsort = \"v\"\n");
    assert_eq!(keys_of(&keymap, "tables", "sort"), ["v"]);
    assert_eq!(keys_of(&keymap, "tables", "mark-range"), [""; 0]);
    let said = told(&problems);
    assert!(said[0].starts_with("2:8: \"v\" is `sort` now, which leaves `mark-range`"), "{said:?}");
    assert!(said[0].contains("mark-range = []") && problems[0].is_granted, "{said:?}");
    // Whoever gives the other a key of its own hears nothing.
    let (_, problems) = remapped("[keys.tables]\nsort = \"v\"\nmark-range = \"V\"\n");
    assert_eq!(problems, []);
}

#[test]
fn each_mistake_is_told_with_its_place_and_keeps_the_default() {
    for (text, place, hint) in [
        ("[keys.tabels]\nsort = \"s\"", "1:7", "did you mean [keys.tables]?"),
        ("[keys.tables]\nsrot = \"s\"", "2:1", "did you mean `sort`?"),
        ("[keys.tables]\npager = \"s\"", "2:1", "it is one of [keys.reading]"),
        ("[keys.tables]\nsort = \"Entr\"", "2:8", "did you mean \"Enter\"?"),
        ("[keys.prompt]\nsend = \"s\"", "2:8", "could not be typed any more"),
        ("[keys.always]\nquit = \"q\"", "2:8", "could not be typed any more"),
        ("[keys.question]\nyes = \"Enter\"", "2:7", "answers no question"),
        ("[keys.menu]\ndown = \"x\"", "2:8", "chooses a row in some menu"),
        ("[keys.help]\nhelp = []", "2:1", "is the way out of there"),
        ("[keys.tables]\nsort = \"s\"\nundo = 3", "3:8", "must be a key such as"),
        ("[keys]\nsort = \"s\"", "2:1", "section such as [keys.tables]"),
    ] {
        let (keymap, problems) = remapped(text);
        let said = told(&problems).join("\n");
        assert!(said.contains(&format!("{place}: ")) && said.contains(hint), "{text}: {said}");
        assert!(problems.iter().all(|it| !it.is_granted), "{text}");
        let changed: Vec<_> = keymap
            .listed()
            .into_iter()
            .filter(|it| it.keys != it.usual)
            .map(|it| it.action)
            .collect();
        assert!(changed.is_empty() || changed == ["sort"], "{text}: {changed:?}");
    }
}

#[test]
fn of_two_that_want_one_key_the_first_gets_it() {
    let (keymap, problems) =
        remapped("[keys.tables]\nsort = \"s\"\nmark = [\"m\", \"s\"]\nfilter = \"ss\"\n");
    let said = told(&problems);
    assert!(said[0].starts_with("3:14: \"s\" is bound twice in [keys.tables]: line 2"), "{said:?}");
    assert!(said.iter().any(|it| it.starts_with("4:10: \"ss\" is bound twice")), "{said:?}");
    assert_eq!(keys_of(&keymap, "tables", "mark"), ["m"]);
    assert_eq!(keys_of(&keymap, "tables", "filter"), ["/"]);
}

#[test]
fn a_key_that_others_keep_is_bound_all_the_same() {
    let (keymap, problems) = remapped("[keys.tables]\nsort = [\"Ctrl-b\", \"Alt-s\", \"F5\"]\n");
    assert_eq!(keys_of(&keymap, "tables", "sort"), ["Ctrl-b", "Alt-s", "F5"]);
    assert_eq!(problems.len(), 3);
    assert!(problems.iter().all(|it| it.is_granted && it.text.contains("may never arrive")));
}

#[test]
fn nobody_is_locked_in() {
    let (keymap, problems) = remapped("[keys.prompt]\nsend = \"Esc\"\n");
    assert_eq!(keys_of(&keymap, "prompt", "leave"), ["Esc"]);
    assert_eq!(keys_of(&keymap, "prompt", "send"), ["Enter"]);
    assert!(told(&problems)[0].contains("is the way out in [keys.prompt]"), "{problems:?}");
}

#[test]
fn a_menu_shows_the_key_that_an_action_has_outside_unless_it_is_anothers_there() {
    let (keymap, _) = remapped("[keys.selection]\nstop = \"S\"\nkill = \"r\"\nagain = \"R\"\n");
    let letters: Vec<char> = crate::tui::actions::rows(crate::tui::actions::Kind::Worker)
        .map(|row| keymap.letter(row))
        .collect();
    assert_eq!(letters, ['i', 'l', 'R', 'S', 'X', 'D']);
}

fn any_wishes() -> impl Strategy<Value = String> {
    let keys = prop::sample::select(vec![
        "a", "j", "k", "q", "y", "n", "g", "gg", "Esc", "Enter", "Tab", "Up", "Down", "Ctrl-c",
        "Ctrl-x", "Ctrl-j", "?", "/", "F2", "Alt-x", "nonsense",
    ]);
    let wish = (0..KEYMAP.len(), prop::collection::vec(keys, 0..4));
    prop::collection::btree_map(0..KEYMAP.len(), wish, 0..25).prop_map(|wishes| {
        let mut text = String::new();
        for (at, (_, keys)) in wishes {
            let (context, action) = (KEYMAP[at].context.name(), KEYMAP[at].action.id());
            text.push_str(&format!("keys.{context}.{action} = {keys:?}\n"));
        }
        text
    })
}

proptest! {
    #[test]
    fn whatever_is_wanted_no_key_means_two_things_and_there_is_a_way_out(text in any_wishes()) {
        let (keymap, _) = remapped(&text);
        no_key_means_two_things(keymap.bindings());
        for binding in keymap.bindings().iter().filter(|it| remap::is_way_out(it)) {
            prop_assert!(!binding.keys.is_empty(), "{:?}", binding.context);
        }
        // And all of it is in the help.
        let help = crate::tui::view::help_text(&keymap).join("\n");
        for binding in keymap.bindings() {
            prop_assert!(help.contains(&binding.keys_label()), "{}", binding.keys_label());
        }
    }
}
