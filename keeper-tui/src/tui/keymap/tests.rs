use super::*;
use crate::tui::actions::{ACTIONS, Slot};

#[test]
fn no_key_means_two_things_in_one_context() {
    let mut seen: Vec<(Context, Key)> = Vec::new();
    for binding in KEYMAP {
        for key in binding.keys {
            let pair = (binding.context, *key);
            assert!(!seen.contains(&pair), "{key:?} is bound twice in {:?}", binding.context);
            seen.push(pair);
        }
    }
}

#[test]
fn keys_of_terminals_and_multiplexers_are_never_bound() {
    for key in KEYMAP.iter().flat_map(|binding| binding.keys) {
        assert!(!matches!(key.code, KeyCode::F(_)), "{key:?}");
        if key.ctrl {
            let KeyCode::Char(c) = key.code else { panic!("{key:?}") };
            assert!(!"abghnopqst \\".contains(c), "Ctrl-{c} belongs to others");
        }
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
