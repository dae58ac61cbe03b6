//! What keys change.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind};

use super::{
    copy, deeds, dialogs, drill, infer, lists, machines, mouse, palette, reading, settings, toast,
    typing::edit,
};
use crate::tui::{
    actions::Slot,
    effect::Effect,
    keymap::{self, Action, Context, Lookup},
    state::{Model, Now, Pane, View, connection::Connection, dialog::Dialog, lists::read_list},
    theme::Tone,
};

/// A key that was typed for the view before must not cancel or leave in this
/// one.
const TYPED_AHEAD: Duration = Duration::from_millis(150);
/// The longest prompt that can be typed or pasted; the queen takes no body
/// over 1 MiB.
pub(super) const PROMPT_MAX: usize = 512 * 1024;

/// Takes one key in.
pub(super) fn key(model: &mut Model, key: KeyEvent, now: Now, effects: &mut Vec<Effect>) {
    if key.kind == KeyEventKind::Release {
        return;
    }
    let half = model.ui.half.take();
    let found = match keymap::lookup(model, &key, half) {
        Lookup::Nothing | Lookup::Half(_) if half.is_some() => keymap::lookup(model, &key, None),
        found => found,
    };
    match found {
        Lookup::Does(action) => act(model, action, now, effects),
        Lookup::Half(letter) => model.ui.half = Some(letter),
        Lookup::Nothing if model.ui.dialog.is_some() => {
            dialogs::type_key(model, key, now, effects);
        }
        Lookup::Nothing => {
            let contexts = keymap::contexts(model);
            if contexts.contains(&Context::Word) {
                match &mut model.infer.typed {
                    Some(typed) => reading::edit(typed, key),
                    None => reading::type_key(model, key),
                }
            } else if contexts.contains(&Context::Prompt) {
                type_key(model, key);
            }
        }
    }
}

/// Does what a key or a name in the palette stands for.
pub(super) fn act(model: &mut Model, action: Action, now: Now, effects: &mut Vec<Effect>) {
    let typed_ahead = now.monotonic.saturating_sub(model.ui.view_since) < TYPED_AHEAD;
    match action {
        Action::Up => step(model, -1, now),
        Action::Down => step(model, 1, now),
        Action::HalfUp => step(model, -(page(model) / 2).max(1), now),
        Action::HalfDown => step(model, (page(model) / 2).max(1), now),
        Action::PageUp => step(model, -page(model), now),
        Action::PageDown => step(model, page(model), now),
        Action::Top => step(model, -END, now),
        Action::Bottom => step(model, END, now),
        Action::Open => drill::open(model, now),
        Action::OpenLog => drill::open_log(model, now),
        Action::NextTab => drill::turn_tab(model, 1, now),
        Action::PreviousTab => drill::turn_tab(model, -1, now),
        Action::LastView => drill::last(model, now),
        Action::Escape => {
            if !reading::back_out(model) && !lists::clear_one(model) {
                drill::back(model, now);
            }
        }
        Action::Back => drop(drill::back(model, now)),
        Action::BackOrQuit if typed_ahead => {}
        Action::BackOrQuit => {
            if !drill::back(model, now) {
                effects.push(Effect::Quit);
            }
        }
        Action::ShowFleet => drill::jump(model, View::Fleet, now),
        Action::ShowWorkers => drill::jump(model, View::Workers, now),
        Action::ShowDevices => drill::jump(model, View::Devices, now),
        Action::ShowModels => drill::jump(model, View::Models, now),
        Action::ShowJobs => drill::jump(model, View::Jobs, now),
        Action::ShowInfer => drill::jump(model, View::Infer, now),
        Action::ShowEvents => drill::jump(model, View::Events, now),
        Action::ShowQueen => drill::jump(model, View::Queen, now),
        Action::TakeWord if model.infer.typed.is_some() => infer::accept(model, now),
        Action::TakeWord => reading::accept(model, now),
        Action::DropWord if model.infer.typed.is_some() => model.infer.typed = None,
        Action::DropWord => reading::abandon(model),
        Action::Left if model.ui.focus == Pane::Settings => {
            model.nudge(model.infer.setting, -1);
        }
        Action::Right if model.ui.focus == Pane::Settings => model.nudge(model.infer.setting, 1),
        Action::Find
        | Action::Only
        | Action::NextMatch
        | Action::PreviousMatch
        | Action::ToggleWrap
        | Action::ToggleTimes
        | Action::Pause
        | Action::Follow
        | Action::Left
        | Action::Right
        | Action::Level
        | Action::Full
        | Action::Page => reading::act(model, action, now, effects),
        Action::TypeSetting => model.infer.typed = Some(String::new()),
        Action::Compare => infer::compare(model),
        Action::NextPane => turn(model, 1),
        Action::PreviousPane => turn(model, -1),
        Action::ToggleHelp => {
            model.ui.help = if model.ui.help.is_some() { None } else { Some(0) };
        }
        Action::Do(Slot::Stop | Slot::Kill | Slot::Delete) if typed_ahead => {}
        Action::Do(slot) => dialogs::slot(model, slot, now, effects),
        Action::ShowActions => dialogs::action_menu(model),
        Action::CopyMenu => copy::menu(model),
        Action::Palette => palette::open(model),
        Action::Filter => lists::type_filter(model),
        Action::SortMenu => {
            model.ui.dialog = model.list_in_view().map(|name| Dialog::Sort(name, 0));
        }
        Action::ReverseSort => lists::reverse(model, now),
        Action::Undo => lists::undo(model, now),
        Action::Mark => lists::mark(model),
        Action::MarkRange => lists::mark_range(model, now),
        Action::MarkAll => lists::mark_all(model),
        Action::Alerts => model.ui.dialog = Some(Dialog::Alerts(0)),
        Action::Commands => model.ui.dialog = Some(Dialog::Commands(0)),
        Action::Choose(key) => dialogs::choose(model, key, now, effects),
        Action::Accept => dialogs::accept(model, now, effects),
        Action::Complete => dialogs::complete(model),
        Action::NextField => dialogs::turn_field(model, 1),
        Action::PreviousField => dialogs::turn_field(model, -1),
        Action::Dismiss => dialogs::dismiss(model),
        Action::Send => infer::send(model, now, effects),
        Action::NewLine => model.infer.prompt.insert_newline(),
        Action::LeavePrompt => model.ui.focus = Pane::Text,
        Action::NextModel => infer::next_model(model),
        Action::Attach => attach(model, now),
        Action::StartHere => machines::start_here(model, now),
        Action::AddMachine => machines::pick(model, now),
        Action::AddByUrl => model.ui.dialog = Some(Dialog::ByUrl),
        Action::StartQueen => deeds::launch(model, now, effects),
        Action::Retry => retry(model, now, effects),
        Action::EditConfig => settings::edit(model, now, effects),
        Action::ToggleMouse => mouse::toggle(model, now, effects),
        Action::Redraw => effects.push(Effect::Redraw),
        Action::Suspend => effects.push(Effect::Suspend),
        Action::Quit => effects.push(Effect::Quit),
    }
}

/// Further than any list is long.
const END: i64 = i64::MAX;

pub(super) fn step(model: &mut Model, by: i64, now: Now) {
    if dialogs::step(model, by) {
        return;
    }
    let ui = &mut model.ui;
    if let Some(first) = ui.help {
        let first = (i64::from(first).saturating_add(by)).clamp(0, i64::from(ui.help_max.get()));
        ui.help = Some(u16::try_from(first).unwrap_or(u16::MAX));
    } else if ui.focus == Pane::Settings {
        model.infer.setting = model.infer.setting.moved(by);
    } else if let Some(reading) = model.reading() {
        reading::step(model, reading, by);
    } else {
        drill::step(model, by);
        lists::hold(model, now);
    }
}

fn page(model: &Model) -> i64 {
    let ui = &model.ui;
    if ui.help.is_some() {
        return i64::from(model.size.1.max(6)) - 5;
    }
    if let Some(reading) = model.reading() {
        return ui.windows.on(reading).page();
    }
    match model.list_in_view() {
        Some(name) => read_list!(model, name, |list, _records| list.page()),
        None => ui.jobs.page(),
    }
}

fn turn(model: &mut Model, by: isize) {
    let panes: Vec<Pane> = model.ui.view.panes().to_vec();
    let panes: Vec<Pane> = panes
        .into_iter()
        .filter(|it| *it != Pane::Second || model.infer.second.is_some())
        .collect();
    let at = panes.iter().position(|pane| *pane == model.ui.focus).unwrap_or(0);
    let next = at.wrapping_add_signed(by).wrapping_add(panes.len()) % panes.len();
    if let Some(pane) = panes.get(next) {
        model.ui.focus = *pane;
    }
}

/// Listens again to the job on the screen.
fn attach(model: &mut Model, now: Now) {
    match model.detached_job().cloned() {
        Some(job) => model.streams.mend_one(&job),
        None => toast(model, "No job here has stopped being listened to", Tone::Quiet, now),
    }
}

fn retry(model: &mut Model, now: Now, effects: &mut Vec<Effect>) {
    match &mut model.connection {
        Connection::Unreached(wait) | Connection::Lost(_, wait) => {
            wait.retry_at = now.monotonic;
            effects.push(Effect::Retry);
        }
        Connection::Connecting | Connection::Syncing { .. } | Connection::Live => {
            // What no feed carries is asked for again.
            model.queen.measure_at = Some(now.monotonic);
            toast(model, "The queen is connected", Tone::Quiet, now);
        }
    }
}

/// What the prompt understands besides its bound keys: what was asked before,
/// and what every text field does.
fn type_key(model: &mut Model, key: KeyEvent) {
    if matches!(key.code, KeyCode::Up | KeyCode::Down) && model.infer.is_recalled() {
        model.infer.recall(key.code == KeyCode::Up);
        return;
    }
    edit(&mut model.infer.prompt, key, PROMPT_MAX);
}
