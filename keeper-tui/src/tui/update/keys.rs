//! What keys change.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use protocol::{
    ModelRef,
    operation::{Infer, Operation, QueenOperation},
};
use ratatui_textarea::{CursorMove, Input, TextArea};

use super::{copy, dialogs, lists, palette, show, toast};
use crate::tui::{
    actions::{Slot, operation_line},
    effect::Effect,
    keymap::{self, Action, Context, Lookup},
    state::{
        Launch, Model, Now, Pane, View,
        connection::Connection,
        dialog::Dialog,
        infer::Turn,
        lists::with_list,
        log::{Log, LogWindow},
    },
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
    let g_typed = std::mem::take(&mut model.ui.g_typed);
    let found = match keymap::lookup(model, &key, g_typed) {
        Lookup::Nothing | Lookup::Half if g_typed => keymap::lookup(model, &key, false),
        found => found,
    };
    match found {
        Lookup::Does(action) => act(model, action, now, effects),
        Lookup::Half => model.ui.g_typed = true,
        Lookup::Nothing if model.ui.dialog.is_some() => {
            dialogs::type_key(model, key, now, effects);
        }
        Lookup::Nothing => {
            if keymap::contexts(model).contains(&Context::Prompt) {
                edit(&mut model.infer.prompt, key, PROMPT_MAX);
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
        Action::Open => open(model, now),
        Action::Escape => {
            if !lists::clear_one(model) {
                back(model, now);
            }
        }
        Action::Back => back(model, now),
        Action::BackOrQuit if typed_ahead => {}
        Action::BackOrQuit => {
            if model.ui.view.parent().is_none() {
                effects.push(Effect::Quit);
            } else {
                back(model, now);
            }
        }
        Action::ShowFleet => show(model, View::Fleet, now),
        Action::ShowWorkers => show(model, View::Workers, now),
        Action::ShowDevices => show(model, View::Devices, now),
        Action::ShowJobs => show(model, View::Jobs, now),
        Action::ShowInfer => show_infer(model, now),
        Action::NextPane => turn(model, 1),
        Action::PreviousPane => turn(model, -1),
        Action::ToggleHelp => {
            model.ui.help = if model.ui.help.is_some() { None } else { Some(0) };
        }
        Action::Do(Slot::Stop | Slot::Kill | Slot::Delete) if typed_ahead => {}
        Action::Do(slot) => dialogs::slot(model, slot, now, effects),
        Action::ActionMenu => dialogs::action_menu(model),
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
        Action::LastView => {
            if let Some(view) = model.ui.last_view.take() {
                show(model, view, now);
            }
        }
        Action::Choose(key) => dialogs::choose(model, key, now, effects),
        Action::Accept => dialogs::accept(model, now, effects),
        Action::Complete => dialogs::complete(model),
        Action::NextField => dialogs::turn_field(model, 1),
        Action::PreviousField => dialogs::turn_field(model, -1),
        Action::Dismiss => dialogs::dismiss(model),
        Action::Send => send(model, now, effects),
        Action::NewLine => model.infer.prompt.insert_newline(),
        Action::LeavePrompt => model.ui.focus = Pane::Text,
        Action::NextModel => next_model(model),
        Action::StartQueen => launch(model, now, effects),
        Action::Retry => retry(model, now, effects),
        Action::Redraw => effects.push(Effect::Redraw),
        Action::Suspend => effects.push(Effect::Suspend),
        Action::Quit => effects.push(Effect::Quit),
    }
}

/// Further than any list is long.
const END: i64 = i64::MAX;

fn step(model: &mut Model, by: i64, now: Now) {
    if dialogs::step(model, by) {
        return;
    }
    if (model.ui.focus, &model.ui.view) == (Pane::Narration, &View::Fleet)
        && model.ui.help.is_none()
    {
        let mut window = std::mem::take(&mut model.ui.fleet_narration);
        scroll(&mut window, &model.streams.all, by, |said| model.concerns_selection(said));
        model.ui.fleet_narration = window;
        return;
    }
    let ui = &mut model.ui;
    if let Some(first) = ui.help {
        let first = (i64::from(first).saturating_add(by)).clamp(0, i64::from(ui.help_max.get()));
        ui.help = Some(u16::try_from(first).unwrap_or(u16::MAX));
        return;
    }
    let job = match &ui.view {
        View::Job(job) => Some(job),
        View::Infer => model.infer.job(),
        _ => None,
    };
    let stream = job.and_then(|job| model.streams.job(job));
    match (ui.focus, &ui.view) {
        (Pane::Narration, _) => {
            if let Some(stream) = stream {
                scroll(&mut ui.job_narration, &stream.narration, by, |_| true);
            }
        }
        (Pane::Text, _) => {
            if let Some(stream) = stream {
                scroll(&mut ui.job_text, &stream.text, by, |()| true);
            }
        }
        (Pane::List, _) => {
            let before = ui.hives.id().cloned();
            if let Some(name) = model.list_in_view() {
                with_list!(model, name, |list, records| list.step(records, by));
                lists::hold(model, now);
            }
            if before.as_ref() != model.ui.hives.id() {
                model.ui.fleet_narration.follow();
            }
        }
        (Pane::Prompt, _) => {}
    }
}

fn scroll<T>(window: &mut LogWindow, log: &Log<T>, by: i64, shown: impl Fn(&T) -> bool) {
    if by == END { window.follow() } else { window.scroll(log, by, shown) }
}

fn page(model: &Model) -> i64 {
    let ui = &model.ui;
    if ui.help.is_some() {
        return i64::from(model.size.1.max(6)) - 5;
    }
    match (ui.focus, &ui.view) {
        (Pane::Narration, View::Fleet) => ui.fleet_narration.page(),
        (Pane::Narration, _) => ui.job_narration.page(),
        (Pane::Text, _) => ui.job_text.page(),
        (_, View::Fleet) => ui.hives.page(),
        (_, View::Workers) => ui.workers.page(),
        (_, View::Devices) => ui.devices.page(),
        (_, View::Jobs | View::Job(_) | View::Infer) => ui.jobs.page(),
    }
}

fn open(model: &mut Model, now: Now) {
    match &model.ui.view {
        View::Fleet => {
            let hive = model.ui.hives.id();
            let first = model.fleet.workers.values().find(|it| Some(&it.hive_id) == hive);
            if let Some(worker) = first {
                model.ui.workers.select(worker.id.clone());
            }
            show(model, View::Workers, now);
        }
        View::Jobs => {
            if let Some(job) = model.ui.jobs.id().cloned() {
                show(model, View::Job(job), now);
            }
        }
        View::Workers | View::Devices | View::Job(_) | View::Infer => {}
    }
}

fn back(model: &mut Model, now: Now) {
    if let Some(parent) = model.ui.view.parent() {
        show(model, parent, now);
    }
}

fn turn(model: &mut Model, by: isize) {
    let panes = model.ui.view.panes();
    let at = panes.iter().position(|pane| *pane == model.ui.focus).unwrap_or(0);
    let next = at.wrapping_add_signed(by).wrapping_add(panes.len()) % panes.len();
    if let Some(pane) = panes.get(next) {
        model.ui.focus = *pane;
    }
}

/// Opens the view with the prompt in front.
pub(super) fn show_infer(model: &mut Model, now: Now) {
    show(model, View::Infer, now);
}

/// Launches a queen on this machine.
pub(super) fn launch(model: &mut Model, now: Now, effects: &mut Vec<Effect>) {
    let launch = Launch { lines: Vec::new(), since: now.monotonic, failed: None };
    model.launch = Some(launch);
    model.deeds.command(model.queen_time(now), "rbee-keeper queen start".to_owned());
    effects.push(Effect::StartQueen);
}

fn send(model: &mut Model, now: Now, effects: &mut Vec<Effect>) {
    let prompt = model.infer.text();
    let busy = match &model.infer.turn {
        Turn::Sending { .. } => true,
        Turn::Accepted { job, .. } => !model.is_ended(job),
        Turn::Unasked | Turn::Refused { .. } => false,
    };
    if prompt.trim().is_empty() {
        toast(model, "Type something first", Tone::Quiet, now);
    } else if !model.connection.is_live() {
        toast(model, "The queen is away; what you typed stays here", Tone::Warn, now);
    } else if busy {
        toast(model, "The last answer is not over; Esc x cancels it", Tone::Warn, now);
    } else {
        model.infer.tickets += 1;
        let ticket = model.infer.tickets;
        let infer = Infer::new(prompt.clone(), model.infer.model.clone());
        let operation = Operation::from(QueenOperation::from(infer));
        let line = operation_line(&model.program, &operation);
        model.deeds.command(model.queen_time(now), line);
        // To where `x` cancels; what is typed ahead of that must not.
        model.ui.focus = Pane::Text;
        model.ui.view_since = now.monotonic;
        model.infer.turn = Turn::Sending { ticket, prompt, since: now.monotonic };
        effects.push(Effect::Submit { ticket, operation });
    }
}

/// The next of the models that somebody runs, and the one every hive carries.
fn next_model(model: &mut Model) {
    let serving = model.fleet.workers.values().filter(|worker| !worker.state.is_ended());
    let mut models: Vec<ModelRef> = serving.map(|worker| worker.model.clone()).collect();
    models.push(ModelRef::demo());
    models.sort();
    models.dedup();
    let at = models.iter().position(|it| *it == model.infer.model);
    let next = at.map_or(0, |at| (at + 1) % models.len());
    if let Some(next) = models.into_iter().nth(next) {
        model.infer.model = next;
    }
}

fn retry(model: &mut Model, now: Now, effects: &mut Vec<Effect>) {
    match &mut model.connection {
        Connection::Unreached(wait) | Connection::Lost(_, wait) => {
            wait.retry_at = now.monotonic;
            effects.push(Effect::Retry);
        }
        Connection::Connecting | Connection::Syncing { .. } | Connection::Live => {
            toast(model, "The queen is connected", Tone::Quiet, now);
        }
    }
}

/// What a text field understands besides its bound keys: text and moving in
/// it, and none of the control keys that multiplexers keep for themselves. The
/// answer is whether the text may be another.
pub(super) fn edit(input: &mut TextArea<'static>, key: KeyEvent, limit: usize) -> bool {
    let held = key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    match key.code {
        KeyCode::Up => input.move_cursor(CursorMove::Up),
        KeyCode::Down => input.move_cursor(CursorMove::Down),
        KeyCode::Left => input.move_cursor(CursorMove::Back),
        KeyCode::Right => input.move_cursor(CursorMove::Forward),
        KeyCode::Home => input.move_cursor(CursorMove::Head),
        KeyCode::End => input.move_cursor(CursorMove::End),
        KeyCode::Char('w') if held => return input.delete_word(),
        KeyCode::Char('u') if held => return input.delete_line_by_head(),
        KeyCode::Char(_) if held => {}
        KeyCode::Char(_) if input.lines().iter().map(String::len).sum::<usize>() >= limit => {}
        KeyCode::Char(_) | KeyCode::Backspace | KeyCode::Delete => {
            return input.input_without_shortcuts(Input::from(key));
        }
        _ => {}
    }
    false
}
