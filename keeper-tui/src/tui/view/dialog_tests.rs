//! What stands in front of the views.

use crossterm::event::KeyCode;

use super::tests::text;
use crate::tui::fixture::Stage;

const SMALL: (u16, u16) = (80, 24);

fn shown(name: &str, size: (u16, u16), act: impl Fn(&mut Stage)) {
    let mut stage = Stage::busy(size);
    act(&mut stage);
    insta::assert_snapshot!(format!("front_{name}_{}", size.0), text(&stage));
}

#[test]
fn a_menu_shows_everything_with_the_reason_why_not() {
    for size in [SMALL, (160, 45), (40, 10)] {
        shown("menu", size, |stage| {
            stage.type_keys("2a");
        });
    }
    shown("menu_off", SMALL, |stage| {
        stage.type_keys("2jjja");
    });
}

#[test]
fn a_question_names_what_will_be_cut() {
    for size in [SMALL, (160, 45), (40, 10)] {
        shown("stop", size, |stage| {
            stage.type_keys("2*x");
        });
    }
    shown("kill", SMALL, |stage| {
        stage.type_keys("2X");
    });
    shown("delete", SMALL, |stage| {
        stage.type_keys("2Dwk");
    });
    shown("delete_wrong", SMALL, |stage| {
        stage.type_keys("2Dwk-9");
    });
    shown("stop_hive", SMALL, |stage| {
        stage.type_keys("jjx");
    });
}

#[test]
fn a_form_shows_what_is_free_and_what_it_equals() {
    for size in [SMALL, (160, 45)] {
        shown("spawn", size, |stage| {
            stage.type_keys("jj+meta");
            stage.key(KeyCode::Tab);
        });
    }
    shown("spawn_wrong", SMALL, |stage| {
        stage.type_keys("jj+tinyllama");
        stage.key(KeyCode::Enter);
    });
}

#[test]
fn the_palette_shows_what_could_be_meant() {
    for size in [SMALL, (160, 45), (40, 10)] {
        shown("palette", size, |stage| {
            stage.type_keys("2:worker");
        });
    }
    shown("palette_wrong", SMALL, |stage| {
        stage.type_keys(":wrkrs list");
        stage.key(KeyCode::Enter);
    });
}

#[test]
fn a_filter_marks_and_an_order_are_told_in_the_title() {
    shown("filter", SMALL, |stage| {
        stage.type_keys("2 ot/gpu-1");
    });
    shown("filter_kept", SMALL, |stage| {
        stage.type_keys("2 ot/gpu-1");
        stage.key(KeyCode::Enter);
    });
    shown("filter_nothing", SMALL, |stage| {
        stage.type_keys("2/gpu-11");
    });
    shown("filter_wrong", SMALL, |stage| {
        stage.type_keys("2/vram>20");
    });
}

#[test]
fn the_other_menus_and_the_histories() {
    shown("copy", SMALL, |stage| {
        stage.type_keys("2y");
    });
    shown("sort", SMALL, |stage| {
        stage.type_keys("2oto");
    });
    shown("commands", SMALL, |stage| {
        stage.type_keys("2xd:worker spawn --model demo");
        stage.key(KeyCode::Enter);
        stage.type_keys("@");
    });
    shown("alerts", SMALL, |stage| {
        stage.type_keys("2jjjx!");
    });
}
