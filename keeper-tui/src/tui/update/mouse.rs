//! What the mouse does, once it is asked for.

use ratatui::layout::Position;

use super::{dialogs, drill, lists, reading, toast};
use crate::tui::{
    effect::Effect,
    keymap::Action,
    message::Mouse,
    state::{
        Model, Now, Pane, View,
        lists::{ListName, read_list, with_list},
        spots::Spot,
    },
    theme::Tone,
};

/// Rows that one notch of the wheel goes.
const NOTCH: i64 = 3;

/// The mouse is the dashboard's, or the terminal's again.
pub(super) fn toggle(model: &mut Model, now: Now, effects: &mut Vec<Effect>) {
    model.ui.mouse = !model.ui.mouse;
    effects.push(Effect::Mouse(model.ui.mouse));
    let key = model.keymap.label(Action::ToggleMouse);
    let text = match model.ui.mouse {
        true => format!("Mouse on: to select text hold Shift, or {key} turns it off"),
        false => "Mouse off: the terminal selects text again".to_owned(),
    };
    toast(model, text, Tone::Quiet, now);
}

/// Takes in what the mouse did.
pub(super) fn mouse(model: &mut Model, mouse: Mouse, at: Position, now: Now) {
    match mouse {
        Mouse::WheelUp => wheel(model, -NOTCH, at, now),
        Mouse::WheelDown => wheel(model, NOTCH, at, now),
        Mouse::Click => click(model, at, now),
    }
}

fn wheel(model: &mut Model, by: i64, at: Position, now: Now) {
    if dialogs::step(model, by) {
        return;
    }
    if model.ui.help.is_some() {
        return super::keys::step(model, by, now);
    }
    if !model.is_known {
        return;
    }
    if let Some(Spot::Text(text)) = model.ui.spots.at(at) {
        reading::step(model, text, by);
    } else if let Some((name, _)) = table_at(model, at) {
        with_list!(model, name, |list, records| list.step(records, by));
        lists::hold(model, now);
    }
}

fn click(model: &mut Model, at: Position, now: Now) {
    let ui = &model.ui;
    let is_answering = ui.dialog.is_some() || ui.help.is_some() || ui.ask.is_some();
    // What is asked is answered by keys; a click beside it must not hit what is behind.
    if is_answering || model.infer.typed.is_some() {
        return;
    }
    match ui.spots.at(at) {
        Some(Spot::View(view)) if ui.view != view => drill::jump(model, view, now),
        _ if !model.is_known => {}
        Some(Spot::Tab(tab)) => {
            if let View::Hive(hive, _) = &model.ui.view {
                let view = View::Hive(hive.clone(), tab);
                drill::beside(model, view, now);
            }
        }
        Some(Spot::Text(text)) => {
            let panes = model.ui.view.panes().iter();
            let pane = panes.copied().find(|pane| model.reading_in(*pane) == Some(text));
            model.ui.focus = pane.unwrap_or(model.ui.focus);
        }
        Some(Spot::Pane(pane)) => model.ui.focus = pane,
        Some(Spot::View(_)) | None => {
            if let Some((name, place)) = table_at(model, at) {
                model.ui.focus = Pane::List;
                match place {
                    Place::Heading(title) => sort(model, name, title, now),
                    Place::Row(index) => {
                        with_list!(model, name, |list, records| {
                            let found = list.shown(records).nth(index).map(|(id, _)| id.clone());
                            found.into_iter().for_each(|id| list.select(id));
                        });
                        lists::hold(model, now);
                    }
                    Place::Beside => {}
                }
            }
        }
    }
}

/// A part of a table.
enum Place {
    Heading(&'static str),
    Row(usize),
    Beside,
}

/// Which part of the table on the screen is there.
fn table_at(model: &Model, at: Position) -> Option<(ListName, Place)> {
    let name = model.list_on_screen()?;
    let place = read_list!(model, name, |list, _records| {
        let area = list.area.get();
        area.contains(at).then(|| match at.y.checked_sub(area.y + 1) {
            Some(row) => Place::Row(list.offset.get() + usize::from(row)),
            None => {
                let headings = list.headings.borrow();
                let hit = headings.iter().find(|(columns, _)| columns.contains(&at.x));
                hit.map_or(Place::Beside, |(_, title)| Place::Heading(title))
            }
        })
    });
    place.map(|place| (name, place))
}

fn sort(model: &mut Model, name: ListName, title: &str, now: Now) {
    let columns = lists::columns(model, name);
    match columns.iter().position(|(_, column, _)| column.eq_ignore_ascii_case(title)) {
        Some(column) => lists::sort_by(model, name, column),
        None => {
            let key = model.keymap.label(Action::SortMenu);
            let text = format!("Not sorted by {title}; {key} shows what can be sorted by");
            toast(model, text, Tone::Quiet, now);
        }
    }
}
