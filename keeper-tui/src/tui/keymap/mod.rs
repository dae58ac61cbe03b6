//! One table of what keys do ([`KEYMAP`]). It makes the bindings, the footer and the help,
//! so none of them can say something else than another.
//!
//! Keys that terminals, multiplexers and shells keep for themselves are never
//! bound; a test holds the list. Every action that changes something names the
//! command that does the same without a dashboard.

mod table;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

pub(crate) use self::table::KEYMAP;
use super::{
    actions::Slot,
    state::{HiveTab, Model, Pane, View, dialog::Dialog},
};

/// Where a binding holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Context {
    /// Whatever is on the screen, also while typing.
    Always,
    /// A question is in front.
    Dialog,
    /// A question that is answered by typing a name.
    Name,
    /// A menu is in front; its letters are keys too.
    Menu,
    /// A form is being filled in.
    Form,
    /// A filter is being typed.
    Filter,
    /// A command is being typed.
    Palette,
    /// A list to read is in front.
    Pager,
    /// The help is in front.
    Help,
    /// A prompt is being typed.
    Prompt,
    /// A word is being typed.
    Word,
    /// Text is read.
    Reading,
    /// One machine.
    Hive,
    /// A list whose rows can be opened.
    Rows,
    /// What everybody says.
    Events,
    /// How an answer is to be made.
    Settings,
    /// The queen is away and could be started.
    Offer,
    /// Things can be moved through.
    Move,
    /// The view `fleet`.
    Fleet,
    /// The view `jobs`.
    Jobs,
    /// One job is open.
    Job,
    /// The view `infer`, outside the prompt.
    Infer,
    /// Something is there that actions are aimed at.
    Target,
    /// A table.
    List,
    /// A view of several panes.
    Panes,
    /// Any view.
    Anywhere,
}

impl Context {
    /// The heading in the help.
    fn heading(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::Dialog => "In a question",
            Self::Name => "Typing a name to delete it",
            Self::Menu => "In a menu",
            Self::Form => "In a form",
            Self::Filter => "Typing a filter",
            Self::Palette => "Typing a command",
            Self::Pager => "In alerts and commands",
            Self::Help => "In this help",
            Self::Prompt => "Typing a prompt",
            Self::Word => "Typing a word",
            Self::Reading => "Reading",
            Self::Hive => "One machine",
            Self::Rows => "In a list",
            Self::Events => "events",
            Self::Settings => "Settings of an answer",
            Self::Offer => "No queen",
            Self::Move => "Moving",
            Self::Fleet => "fleet",
            Self::Jobs => "jobs",
            Self::Job => "One job",
            Self::Infer => "infer",
            Self::Target => "The selection, or all that is marked",
            Self::List => "Tables",
            Self::Panes => "Panes",
            Self::Anywhere => "Everywhere",
        }
    }
}

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Up by one.
    Up,
    /// Down by one.
    Down,
    /// Up by half a page.
    HalfUp,
    /// Down by half a page.
    HalfDown,
    /// Up by a page.
    PageUp,
    /// Down by a page.
    PageDown,
    /// To the first.
    Top,
    /// To the last, and on with it.
    Bottom,
    /// Deeper into what is selected.
    Open,
    /// Clears marks, then the filter, then goes one step back.
    Escape,
    /// One step back; stays at the root.
    Back,
    /// One step back; leaves at the root.
    BackOrQuit,
    /// The machines.
    ShowFleet,
    /// The workers.
    ShowWorkers,
    /// The devices.
    ShowDevices,
    /// The models.
    ShowModels,
    /// The jobs.
    ShowJobs,
    /// The prompt.
    ShowInfer,
    /// What everybody says.
    ShowEvents,
    /// The queen.
    ShowQueen,
    /// What is said about the selected machine.
    OpenLog,
    /// The next part of one machine.
    NextTab,
    /// The part before.
    PreviousTab,
    /// Look for a word.
    Find,
    /// Only the lines with a word.
    Only,
    /// To the next line with the word.
    NextMatch,
    /// To the line with the word before.
    PreviousMatch,
    /// The word is typed.
    TakeWord,
    /// It is not wanted after all.
    DropWord,
    /// Long lines go on in the next row, or not.
    ToggleWrap,
    /// The time before each line, or not.
    ToggleTimes,
    /// Stand still, or go on.
    Pause,
    /// On with the newest line.
    Follow,
    /// To the left in long lines; for a setting, less.
    Left,
    /// To the right in long lines; for a setting, more.
    Right,
    /// Only lines that matter as much.
    Level,
    /// The pane on the whole screen, or as it was.
    Full,
    /// The text in a pager.
    Page,
    /// Type the setting.
    TypeSetting,
    /// Compare with another answer, or not.
    Compare,
    /// The next pane.
    NextPane,
    /// The pane before.
    PreviousPane,
    /// This table.
    ToggleHelp,
    /// What this key means for what is selected.
    Do(Slot),
    /// The menu of everything that can be done with it.
    ActionMenu,
    /// The menu of what can be copied.
    CopyMenu,
    /// The palette.
    Palette,
    /// Type a filter.
    Filter,
    /// Choose what to sort by.
    SortMenu,
    /// Turn the order around.
    ReverseSort,
    /// Undo the last filter, order or marks.
    Undo,
    /// Mark, or unmark.
    Mark,
    /// Begin or end a range of marks.
    MarkRange,
    /// Mark everything that is shown, or nothing.
    MarkAll,
    /// What went wrong, and what ended.
    Alerts,
    /// The command lines of what was done.
    Commands,
    /// The view before this one.
    LastView,
    /// This answer to the question.
    Choose(char),
    /// As it is typed or chosen.
    Accept,
    /// Complete what is typed.
    Complete,
    /// The next field.
    NextField,
    /// The field before.
    PreviousField,
    /// Away with what is in front.
    Dismiss,
    /// Send the prompt.
    Send,
    /// A new line in the prompt.
    NewLine,
    /// Out of the prompt.
    LeavePrompt,
    /// Ask another model.
    NextModel,
    /// Launch a queen on this machine.
    StartQueen,
    /// Try to reach the queen now.
    Retry,
    /// Draw everything again.
    Redraw,
    /// Back to the shell until `fg`.
    Suspend,
    /// Leave.
    Quit,
}

impl Action {
    /// The command that does the same; `None` for what concerns only the
    /// screen. Words in capitals stand for what is selected.
    pub(crate) fn twin(self) -> Option<&'static str> {
        match self {
            Self::ShowFleet | Self::ShowDevices | Self::Retry => Some("rbee-keeper status"),
            Self::ShowWorkers => Some("rbee-keeper worker list"),
            Self::ShowJobs => Some("rbee-keeper job list"),
            Self::ShowModels => Some("rbee-keeper model list"),
            Self::ShowQueen => Some("rbee-keeper queen status"),
            Self::ShowInfer
            | Self::Compare
            | Self::Send
            | Self::NextModel
            | Self::Do(Slot::Ask) => Some("rbee-keeper infer --model MODEL PROMPT"),
            Self::Do(Slot::New) => Some("rbee-keeper worker spawn --model MODEL"),
            Self::Do(Slot::Again) => Some("rbee-keeper worker delete ID && … spawn"),
            Self::Do(Slot::Stop) => Some("rbee-keeper job cancel, worker delete"),
            Self::Do(Slot::Kill) => Some("rbee-keeper job cancel, worker delete"),
            Self::Do(Slot::Delete) => Some("rbee-keeper worker delete ID"),
            Self::StartQueen => Some("rbee-keeper queen start"),
            _ => None,
        }
    }

    /// Its name in the palette; `None` for what needs a key: moving, marking,
    /// typing, answering.
    pub(crate) fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::ShowFleet => "fleet",
            Self::ShowWorkers => "workers",
            Self::ShowDevices => "gpus",
            Self::ShowModels => "models",
            Self::ShowJobs => "jobs",
            Self::ShowInfer => "infer",
            Self::ShowEvents => "events",
            Self::ShowQueen => "queen",
            Self::Find => "find",
            Self::Only => "only",
            Self::ToggleWrap => "wrap",
            Self::ToggleTimes => "times",
            Self::Pause => "pause",
            Self::Follow => "follow",
            Self::Full => "full screen",
            Self::Page => "pager",
            Self::Compare => "compare",
            Self::ToggleHelp => "help",
            Self::ActionMenu => "actions",
            Self::CopyMenu => "copy",
            Self::Filter => "filter",
            Self::SortMenu => "sort",
            Self::ReverseSort => "sort reverse",
            Self::Undo => "undo",
            Self::MarkAll => "mark all",
            Self::Alerts => "alerts",
            Self::Commands => "commands",
            Self::LastView => "last view",
            Self::Retry => "reconnect",
            Self::Redraw => "redraw",
            Self::Suspend => "suspend",
            Self::Quit => "quit",
            _ => return None,
        })
    }
}

/// A key as it is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    code: KeyCode,
    ctrl: bool,
    twice: bool,
}

impl Key {
    const fn char(c: char) -> Self {
        Self { code: KeyCode::Char(c), ctrl: false, twice: false }
    }

    const fn ctrl(c: char) -> Self {
        Self { code: KeyCode::Char(c), ctrl: true, twice: false }
    }

    const fn twice(c: char) -> Self {
        Self { code: KeyCode::Char(c), ctrl: false, twice: true }
    }

    const fn code(code: KeyCode) -> Self {
        Self { code, ctrl: false, twice: false }
    }

    fn label(self) -> String {
        match self.code {
            KeyCode::Char(c) if self.ctrl => format!("^{c}"),
            KeyCode::Char(c) if self.twice => format!("{c}{c}"),
            KeyCode::Char(' ') => "Space".to_owned(),
            KeyCode::Char(c) => c.to_string(),
            KeyCode::Enter => "Enter".to_owned(),
            KeyCode::Esc => "Esc".to_owned(),
            KeyCode::Tab => "Tab".to_owned(),
            KeyCode::BackTab => "S-Tab".to_owned(),
            KeyCode::Up => "↑".to_owned(),
            KeyCode::Down => "↓".to_owned(),
            KeyCode::Left => "Left".to_owned(),
            KeyCode::Right => "Right".to_owned(),
            KeyCode::PageUp => "PgUp".to_owned(),
            KeyCode::PageDown => "PgDn".to_owned(),
            KeyCode::Home => "Home".to_owned(),
            KeyCode::End => "End".to_owned(),
            other => format!("{other}"),
        }
    }
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Binding {
    /// Where it holds.
    pub(crate) context: Context,
    /// Any of these.
    pub(crate) keys: &'static [Key],
    /// What it does.
    pub(crate) action: Action,
    /// One word for the footer; empty keeps it out of there.
    pub(crate) hint: &'static str,
    /// What it does, for the help.
    pub(crate) what: &'static str,
}

impl Binding {
    /// Its keys as the help shows them.
    pub(crate) fn keys_label(&self) -> String {
        self.keys.iter().map(|key| key.label()).collect::<Vec<_>>().join(" ")
    }

    /// Its first key as the footer shows it.
    pub(crate) fn key_label(&self) -> String {
        self.keys.first().map(|key| key.label()).unwrap_or_default()
    }

    /// The heading it stands under in the help.
    pub(crate) fn heading(&self) -> &'static str {
        self.context.heading()
    }
}

const fn bind(
    context: Context,
    keys: &'static [Key],
    action: Action,
    hint: &'static str,
    what: &'static str,
) -> Binding {
    Binding { context, keys, action, hint, what }
}

/// Where one is, the nearest first.
pub(crate) fn contexts(model: &Model) -> Vec<Context> {
    if let Some(dialog) = &model.ui.dialog {
        return vec![in_front(dialog), Context::Always];
    }
    if model.ui.help.is_some() {
        return vec![Context::Help, Context::Move, Context::Always];
    }
    if !model.is_known {
        // Nothing is there yet that could be moved through or typed into.
        let offer = model.asks_for_queen().then_some(Context::Offer);
        return offer.into_iter().chain([Context::Anywhere, Context::Always]).collect();
    }
    if model.ui.ask.is_some() || model.infer.typed.is_some() {
        return vec![Context::Word, Context::Always];
    }
    if model.ui.focus == Pane::Prompt {
        return vec![Context::Prompt, Context::Always];
    }
    let mut contexts = Vec::new();
    if model.asks_for_queen() {
        contexts.push(Context::Offer);
    }
    if model.ui.focus == Pane::Settings {
        contexts.push(Context::Settings);
    }
    match &model.ui.view {
        View::Fleet if model.ui.focus == Pane::List => contexts.push(Context::Fleet),
        View::Fleet => {}
        View::Hive(_, HiveTab::Overview | HiveTab::Log) => contexts.push(Context::Hive),
        View::Hive(..) => contexts.extend([Context::Hive, Context::Rows]),
        View::Workers | View::Devices | View::Device(..) | View::Models => {
            contexts.push(Context::Rows);
        }
        View::Jobs => contexts.extend([Context::Rows, Context::Jobs]),
        View::Job(_) => contexts.push(Context::Job),
        View::Infer => contexts.push(Context::Infer),
        View::Events => contexts.push(Context::Events),
        View::Worker(_) | View::Queen => {}
    }
    if model.reading().is_some() {
        contexts.push(Context::Reading);
    }
    if !model.targets().is_empty() {
        contexts.push(Context::Target);
    }
    if model.list_in_view().is_some() {
        contexts.push(Context::List);
    }
    contexts.extend([Context::Move, Context::Anywhere]);
    if model.ui.view.panes().len() > 1 {
        contexts.push(Context::Panes);
    }
    contexts.push(Context::Always);
    contexts
}

fn in_front(dialog: &Dialog) -> Context {
    match dialog {
        Dialog::Confirm(confirm) if confirm.name.is_some() => Context::Name,
        Dialog::Confirm(_) => Context::Dialog,
        Dialog::Actions(_) | Dialog::Copy(_) | Dialog::Sort(..) => Context::Menu,
        Dialog::Form(_) => Context::Form,
        Dialog::Filter(..) => Context::Filter,
        Dialog::Palette(_) => Context::Palette,
        Dialog::Alerts(_) | Dialog::Commands(_) => Context::Pager,
    }
}

/// The bindings that hold now, the nearest context first.
pub(crate) fn bindings(model: &Model) -> impl Iterator<Item = &'static Binding> {
    contexts(model)
        .into_iter()
        .flat_map(|context| KEYMAP.iter().filter(move |it| it.context == context))
}

/// What a key does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// This.
    Does(Action),
    /// It is the first half of a key typed twice.
    Half,
    /// Nothing.
    Nothing,
}

/// Finds out; `g_typed` says that a first `g` is waiting for its second.
pub(crate) fn lookup(model: &Model, event: &KeyEvent, g_typed: bool) -> Lookup {
    let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
    if event.modifiers.intersects(!(KeyModifiers::CONTROL | KeyModifiers::SHIFT)) {
        return Lookup::Nothing;
    }
    let mut half = false;
    for binding in bindings(model) {
        for key in binding.keys {
            if key.code == event.code && key.ctrl == ctrl {
                if key.twice == g_typed {
                    return Lookup::Does(binding.action);
                }
                half |= key.twice;
            }
        }
    }
    if half { Lookup::Half } else { Lookup::Nothing }
}

#[cfg(test)]
mod tests;
