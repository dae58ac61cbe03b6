//! One table of what keys do ([`KEYMAP`]). It makes the bindings, the footer and the help,
//! so none of them can say something else than another.
//!
//! Keys that terminals, multiplexers and shells keep for themselves are never
//! bound; a test holds the list. Every action that changes something names the
//! command that does the same without a dashboard.

mod action;
mod table;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

pub(crate) use self::{action::Action, table::KEYMAP};
use super::state::{HiveTab, Model, Pane, View, dialog::Dialog};

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
    /// A machine is being chosen.
    Machine,
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
    /// A list whose rows can be opened.
    Rows,
    /// One machine.
    Hive,
    /// What everybody says.
    Events,
    /// How an answer is to be made.
    Settings,
    /// The queen is away and could be started.
    Offer,
    /// A job is on the screen whose stream broke off.
    Detached,
    /// Things can be moved through.
    Move,
    /// The view `fleet` before there is any.
    Welcome,
    /// The view `fleet`.
    Fleet,
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
            Self::Machine => "Choosing a machine",
            Self::Pager => "In alerts and commands",
            Self::Help => "In this help",
            Self::Prompt => "Typing a prompt",
            Self::Word => "Typing a word",
            Self::Reading => "Reading",
            Self::Rows => "In a list",
            Self::Hive => "One machine",
            Self::Events => "events",
            Self::Settings => "Settings of an answer",
            Self::Offer => "No queen",
            Self::Detached => "A job that broke off",
            Self::Move => "Moving",
            Self::Welcome => "fleet, while there is no hive",
            Self::Fleet => "fleet",
            Self::Infer => "infer",
            Self::Target => "The selection, or all that is marked",
            Self::List => "Tables",
            Self::Panes => "Panes",
            Self::Anywhere => "Everywhere",
        }
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
    if model.ui.view == View::Fleet && model.is_first_run() {
        // There is no list on the screen that could be moved in or acted on.
        return vec![Context::Welcome, Context::Anywhere, Context::Always];
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
        View::Workers | View::Devices | View::Device(..) | View::Models | View::Jobs => {
            contexts.push(Context::Rows);
        }
        View::Infer => contexts.push(Context::Infer),
        View::Events => contexts.push(Context::Events),
        View::Worker(_) | View::Job(_) | View::Queen => {}
    }
    if model.detached_job().is_some() {
        contexts.push(Context::Detached);
    }
    if !model.targets().is_empty() {
        contexts.push(Context::Target);
    }
    if model.reading().is_some() {
        contexts.push(Context::Reading);
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
        Dialog::Machine(_) => Context::Machine,
        Dialog::Alerts(_) | Dialog::Commands(_) | Dialog::ByUrl => Context::Pager,
    }
}

/// The bindings that hold now, the nearest context first.
pub(crate) fn bindings(model: &Model) -> impl Iterator<Item = &'static Binding> {
    contexts(model)
        .into_iter()
        .flat_map(|context| KEYMAP.iter().filter(move |it| it.context == context))
}

/// The first key that does this.
pub(crate) fn key_of(action: Action) -> String {
    let binding = KEYMAP.iter().find(|binding| binding.action == action);
    binding.map(Binding::key_label).unwrap_or_default()
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
