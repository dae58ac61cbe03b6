//! One table of what keys do ([`KEYMAP`]). It makes the bindings, the footer and the help,
//! so none of them can say something else than another.
//!
//! Keys that terminals, multiplexers and shells keep for themselves are never
//! bound by it; a test holds the list. Every action that changes something
//! names the command that does the same without a dashboard. [`Keymap`] is the
//! table with the operator's keys in it.

mod action;
mod key;
mod remap;
mod table;

use std::borrow::Cow;

use crossterm::event::{KeyEvent, KeyModifiers};

pub use self::remap::Keymap;
pub(crate) use self::{action::Action, key::Key, table::KEYMAP};
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
    /// Its name in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Dialog => "question",
            Self::Name => "name",
            Self::Menu => "menu",
            Self::Form => "form",
            Self::Filter => "filter",
            Self::Palette => "palette",
            Self::Pager => "history",
            Self::Help => "help",
            Self::Prompt => "prompt",
            Self::Word => "word",
            Self::Reading => "reading",
            Self::Rows => "rows",
            Self::Hive => "hive",
            Self::Events => "events",
            Self::Settings => "settings",
            Self::Offer => "no-queen",
            Self::Machine => "machine",
            Self::Welcome => "no-hive",
            Self::Detached => "detached-job",
            Self::Move => "moving",
            Self::Fleet => "fleet",
            Self::Infer => "infer",
            Self::Target => "selection",
            Self::List => "tables",
            Self::Panes => "panes",
            Self::Anywhere => "everywhere",
        }
    }

    /// Whether text is typed there, so that a letter is a letter.
    fn is_typing(self) -> bool {
        matches!(
            self,
            Self::Always
                | Self::Name
                | Self::Form
                | Self::Filter
                | Self::Palette
                | Self::Machine
                | Self::Prompt
                | Self::Word
        )
    }

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

/// One row of the table.
#[derive(Debug, Clone)]
pub(crate) struct Binding {
    /// Where it holds.
    pub(crate) context: Context,
    /// Any of these.
    pub(crate) keys: Cow<'static, [Key]>,
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
        let keys: Vec<_> = self.keys.iter().map(|key| key.label()).collect();
        if keys.is_empty() { "no key".to_owned() } else { keys.join(" ") }
    }

    /// Its first key as the footer shows it.
    pub(crate) fn key_label(&self) -> Option<String> {
        self.keys.first().map(|key| key.label())
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
    Binding { context, keys: Cow::Borrowed(keys), action, hint, what }
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
pub(crate) fn bindings(model: &Model) -> impl Iterator<Item = &Binding> {
    let all = model.keymap.bindings();
    contexts(model)
        .into_iter()
        .flat_map(move |context| all.iter().filter(move |it| it.context == context))
}

/// What a key does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// This.
    Does(Action),
    /// It is the first half of this letter typed twice.
    Half(char),
    /// Nothing.
    Nothing,
}

/// Finds out; `typed` is the letter that is waiting for its second half.
pub(crate) fn lookup(model: &Model, event: &KeyEvent, typed: Option<char>) -> Lookup {
    let known = KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT;
    if event.modifiers.intersects(!known) {
        return Lookup::Nothing;
    }
    let mut half = None;
    for binding in bindings(model) {
        for key in binding.keys.iter().filter(|key| key.is_pressed(event)) {
            if key.half() == typed {
                return Lookup::Does(binding.action);
            }
            half = half.or(key.half());
        }
    }
    half.map_or(Lookup::Nothing, Lookup::Half)
}

#[cfg(test)]
mod tests;
