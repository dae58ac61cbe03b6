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
/// Headings that are shorter than the name of what they show.
const SHORT: [(&str, &str); 4] =
    [("CTX", "context"), ("MEMORY", "vram"), ("UP", "started"), ("WHEN", "created")];

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
    let named = |name: &str| columns.iter().position(|it| it.1.eq_ignore_ascii_case(name));
    let long = SHORT.iter().find(|(short, _)| *short == title).map(|it| it.1);
    match named(title).or_else(|| long.and_then(named)) {
        Some(column) => lists::sort_by(model, name, column),
        None => {
            let key = model.keymap.label(Action::SortMenu);
            let text = format!("Not sorted by {title}; {key} shows what can be sorted by");
            toast(model, text, Tone::Quiet, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;
    use crate::tui::{
        fixture::{Stage, id},
        message::Message,
        state::{HiveTab, reading::Reading},
        view::view,
    };

    /// Points at the first place where the screen says this.
    fn point(stage: &mut Stage, mouse: Mouse, at: &str) {
        let (width, height) = stage.model.size;
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let draw = |frame: &mut ratatui::Frame<'_>| {
            let _next = view(&stage.model, frame, stage.now);
        };
        terminal.draw(draw).unwrap();
        let screen = terminal.backend().to_string();
        // The backend sets each row in quotation marks.
        let found = screen.lines().enumerate().find_map(|(y, row)| {
            let row: String = row.chars().skip(1).collect();
            let (before, _) = row.split_once(at)?;
            let x = unicode_width::UnicodeWidthStr::width(before);
            Some(Position::new(u16::try_from(x).unwrap(), u16::try_from(y).unwrap()))
        });
        let at = found.unwrap_or_else(|| panic!("no {at:?} in\n{screen}"));
        stage.send(Message::Mouse { mouse, at });
    }

    #[test]
    fn it_is_asked_for_and_given_back() {
        let mut stage = Stage::busy((80, 24));
        assert_eq!(stage.type_keys("M"), [Effect::Mouse(true)]);
        let toast = stage.model.ui.toast.clone().unwrap();
        assert!(toast.text.contains("hold Shift, or M turns it off"), "{}", toast.text);
        assert_eq!(stage.type_keys("M"), [Effect::Mouse(false)]);
        assert!(!stage.model.ui.mouse);
    }

    #[test]
    fn a_click_goes_where_it_points() {
        let mut stage = Stage::busy((120, 30));
        point(&mut stage, Mouse::Click, "edge-7");
        assert_eq!(stage.model.ui.hives.id(), Some(&id("edge-7")));
        point(&mut stage, Mouse::Click, "edge-7 · narration");
        assert_eq!(stage.model.ui.focus, Pane::Narration);
        point(&mut stage, Mouse::Click, "2 workers");
        assert_eq!(stage.model.ui.view, View::Workers);
        point(&mut stage, Mouse::Click, "wk-07");
        assert_eq!(stage.model.ui.workers.id(), Some(&id("wk-07")));
        point(&mut stage, Mouse::Click, "STATE");
        let sort = stage.model.ui.workers.sort.unwrap();
        assert!(!sort.descending);
        point(&mut stage, Mouse::Click, "STATE");
        assert!(stage.model.ui.workers.sort.unwrap().descending, "again turns it around");
        assert_eq!(stage.model.ui.workers.id(), Some(&id("wk-07")), "the selection stays");
        stage.type_keys("1\n");
        point(&mut stage, Mouse::Click, "GPUs  Models");
        assert_eq!(stage.model.ui.view, View::Hive(id("edge-7"), HiveTab::Devices));
    }

    #[test]
    fn the_wheel_moves_what_it_points_at_and_not_what_has_the_focus() {
        let mut stage = Stage::busy((120, 30));
        stage.type_keys("jj");
        let first = stage.model.ui.hives.id().cloned();
        let many: Vec<String> = (0..40).map(|n| format!("line {n}")).collect();
        for line in &many {
            let event = protocol::job::JobEvent::new("x", line.as_str());
            let narration = protocol::fleet::Narration { job_id: id("job-00007f3c"), event };
            stage.feed(protocol::fleet::FeedEvent::Narration(narration));
        }
        point(&mut stage, Mouse::WheelUp, "line 39");
        let window = stage.model.ui.windows.on(Reading::Fleet);
        assert_ne!(window.place, Default::default(), "it no longer follows");
        assert_eq!(stage.model.ui.focus, Pane::List);
        assert_eq!(stage.model.ui.hives.id().cloned(), first);
        point(&mut stage, Mouse::WheelUp, "edge-7");
        assert_ne!(stage.model.ui.hives.id().cloned(), first);
    }

    #[test]
    fn what_is_in_front_is_not_clicked_through() {
        let mut stage = Stage::busy((80, 24));
        stage.type_keys("2x");
        assert!(stage.model.ui.dialog.is_some());
        point(&mut stage, Mouse::Click, "5 jobs");
        assert_eq!(stage.model.ui.view, View::Workers);
        assert!(stage.model.ui.dialog.is_some());
    }
}
