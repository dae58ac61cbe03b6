//! One table of what keys do. It makes the bindings, the footer and the help,
//! so none of them can say something else than another.
//!
//! Keys that terminals, multiplexers and shells keep for themselves are never
//! bound; a test holds the list. Every action that changes something names the
//! command that does the same without a dashboard.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::state::{HiveTab, Model, Pane, View};

/// Where a binding holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Context {
    /// Whatever is on the screen, also while typing.
    Always,
    /// A question is in front.
    Dialog,
    /// The help is in front.
    Help,
    /// A prompt is being typed.
    Prompt,
    /// A word is being typed.
    Word,
    /// Text is read.
    Reading,
    /// A list whose rows can be opened.
    List,
    /// One machine.
    Hive,
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
            Self::Help => "In this help",
            Self::Prompt => "Typing a prompt",
            Self::Word => "Typing a word",
            Self::Reading => "Reading",
            Self::List => "In a list",
            Self::Hive => "One machine",
            Self::Events => "events",
            Self::Settings => "Settings of an answer",
            Self::Offer => "No queen",
            Self::Move => "Moving",
            Self::Fleet => "fleet",
            Self::Jobs => "jobs",
            Self::Job => "One job",
            Self::Infer => "infer",
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
    /// The view before this one.
    ShowLast,
    /// What is said about the selected machine.
    OpenLog,
    /// The next part of one machine.
    NextTab,
    /// The part before.
    PreviousTab,
    /// The next pane.
    NextPane,
    /// The pane before.
    PreviousPane,
    /// Look for a word.
    Find,
    /// Only the lines with a word.
    Only,
    /// To the next line with the word.
    NextMatch,
    /// To the line with the word before.
    PreviousMatch,
    /// The word is typed.
    Accept,
    /// It is not wanted after all.
    Abandon,
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
    /// This table.
    ToggleHelp,
    /// Cancel the job; asks first.
    CancelJob,
    /// Yes to the question.
    Confirm,
    /// No to the question.
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
            Self::ShowInfer | Self::Send | Self::NextModel | Self::Compare => {
                Some("rbee-keeper infer --model MODEL PROMPT")
            }
            Self::CancelJob | Self::Confirm => Some("rbee-keeper job cancel JOB"),
            Self::StartQueen => Some("rbee-keeper queen start"),
            Self::Up
            | Self::Down
            | Self::HalfUp
            | Self::HalfDown
            | Self::PageUp
            | Self::PageDown
            | Self::Top
            | Self::Bottom
            | Self::Open
            | Self::Back
            | Self::BackOrQuit
            | Self::NextPane
            | Self::PreviousPane
            | Self::ShowEvents
            | Self::ShowLast
            | Self::OpenLog
            | Self::NextTab
            | Self::PreviousTab
            | Self::Find
            | Self::Only
            | Self::NextMatch
            | Self::PreviousMatch
            | Self::Accept
            | Self::Abandon
            | Self::ToggleWrap
            | Self::ToggleTimes
            | Self::Pause
            | Self::Follow
            | Self::Left
            | Self::Right
            | Self::Level
            | Self::Full
            | Self::Page
            | Self::TypeSetting
            | Self::ToggleHelp
            | Self::Dismiss
            | Self::NewLine
            | Self::LeavePrompt
            | Self::Redraw
            | Self::Suspend
            | Self::Quit => None,
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

const ESC: Key = Key::code(KeyCode::Esc);
const ENTER: Key = Key::code(KeyCode::Enter);
const DEEPER: &[Key] = &[ENTER, Key::char('l'), Key::code(KeyCode::Right)];
const OPEN: &[Key] = &[ENTER, Key::code(KeyCode::Right)];
const TAB: &[Key] = &[Key::code(KeyCode::Tab)];
const BACK_TAB: &[Key] = &[Key::code(KeyCode::BackTab)];

/// The table, in the order of the help.
pub(crate) static KEYMAP: &[Binding] = &[
    bind(Context::Move, &[Key::char('j'), Key::code(KeyCode::Down)], Action::Down, "", "down"),
    bind(Context::Move, &[Key::char('k'), Key::code(KeyCode::Up)], Action::Up, "", "up"),
    bind(
        Context::Move,
        &[Key::twice('g'), Key::code(KeyCode::Home)],
        Action::Top,
        "",
        "to the first",
    ),
    bind(
        Context::Move,
        &[Key::char('G'), Key::code(KeyCode::End)],
        Action::Bottom,
        "",
        "to the last, and follow what is new",
    ),
    bind(Context::Move, &[Key::ctrl('d')], Action::HalfDown, "", "half a page down"),
    bind(Context::Move, &[Key::ctrl('u')], Action::HalfUp, "", "half a page up"),
    bind(Context::Move, &[Key::code(KeyCode::PageDown)], Action::PageDown, "", "a page down"),
    bind(Context::Move, &[Key::code(KeyCode::PageUp)], Action::PageUp, "", "a page up"),
    bind(Context::Anywhere, &[Key::char('1')], Action::ShowFleet, "", "fleet: the machines"),
    bind(Context::Anywhere, &[Key::char('2')], Action::ShowWorkers, "", "workers"),
    bind(Context::Anywhere, &[Key::char('3')], Action::ShowDevices, "", "gpus: the devices"),
    bind(Context::Anywhere, &[Key::char('4')], Action::ShowModels, "", "models on disk"),
    bind(Context::Anywhere, &[Key::char('5')], Action::ShowJobs, "", "jobs"),
    bind(
        Context::Anywhere,
        &[Key::char('6'), Key::char('i')],
        Action::ShowInfer,
        "",
        "infer: ask a model",
    ),
    bind(
        Context::Anywhere,
        &[Key::char('7')],
        Action::ShowEvents,
        "",
        "events: what everybody says",
    ),
    bind(Context::Anywhere, &[Key::char('8')], Action::ShowQueen, "", "the queen"),
    bind(Context::Anywhere, &[Key::char('-')], Action::ShowLast, "", "the view before this one"),
    bind(Context::Panes, TAB, Action::NextPane, "pane", "next pane"),
    bind(Context::Panes, BACK_TAB, Action::PreviousPane, "", "pane before"),
    bind(Context::Anywhere, &[Key::char('?')], Action::ToggleHelp, "help", "this help"),
    bind(
        Context::Anywhere,
        &[ESC, Key::char('h'), Key::code(KeyCode::Left)],
        Action::Back,
        "",
        "back",
    ),
    bind(
        Context::Anywhere,
        &[Key::char('q')],
        Action::BackOrQuit,
        "back",
        "back; at the fleet: quit. Jobs go on",
    ),
    bind(Context::Always, &[Key::ctrl('r')], Action::Retry, "", "reach the queen now"),
    bind(Context::Always, &[Key::ctrl('l')], Action::Redraw, "", "draw the screen again"),
    bind(Context::Always, &[Key::ctrl('z')], Action::Suspend, "", "to the shell, until `fg`"),
    bind(Context::Always, &[Key::ctrl('c')], Action::Quit, "", "quit. Jobs go on"),
    bind(Context::Dialog, &[Key::char('y')], Action::Confirm, "yes", "yes, do it"),
    bind(
        Context::Dialog,
        &[ESC, Key::char('n'), Key::char('q')],
        Action::Dismiss,
        "no",
        "no, leave everything as it is",
    ),
    bind(
        Context::Help,
        &[ESC, Key::char('q'), Key::char('?'), Key::char('h'), Key::code(KeyCode::Left)],
        Action::ToggleHelp,
        "close",
        "close the help",
    ),
    bind(Context::Prompt, &[ENTER], Action::Send, "send", "send the prompt"),
    bind(Context::Prompt, &[Key::ctrl('j')], Action::NewLine, "new line", "begin a new line"),
    bind(Context::Prompt, &[ESC], Action::LeavePrompt, "leave the prompt", "leave the prompt"),
    bind(Context::Prompt, TAB, Action::NextPane, "", "next pane"),
    bind(Context::Prompt, BACK_TAB, Action::PreviousPane, "", "pane before"),
    bind(
        Context::Offer,
        &[Key::char('y'), Key::char('s')],
        Action::StartQueen,
        "start a queen here",
        "start a queen on this machine",
    ),
    bind(Context::Fleet, OPEN, Action::Open, "open", "the selected machine"),
    bind(Context::Fleet, &[Key::char('l')], Action::OpenLog, "log", "what is said about it"),
    bind(Context::Hive, &[Key::char(']')], Action::NextTab, "tab", "the next part"),
    bind(Context::Hive, &[Key::char('[')], Action::PreviousTab, "", "the part before"),
    bind(Context::List, DEEPER, Action::Open, "open", "deeper into what is selected"),
    bind(Context::Events, DEEPER, Action::Open, "job", "the job that says the marked line"),
    bind(
        Context::Events,
        &[Key::char('L')],
        Action::Level,
        "level",
        "only warnings, only errors, everything",
    ),
    bind(Context::Reading, &[Key::char('/')], Action::Find, "find", "look for a word"),
    bind(Context::Reading, &[Key::char('n')], Action::NextMatch, "", "the next line with it"),
    bind(Context::Reading, &[Key::char('N')], Action::PreviousMatch, "", "the one before"),
    bind(Context::Reading, &[Key::char('&')], Action::Only, "filter", "only lines with a word"),
    bind(Context::Reading, &[Key::char('p')], Action::Pause, "pause", "stand still, or go on"),
    bind(Context::Reading, &[Key::char('F')], Action::Follow, "", "follow what is new"),
    bind(Context::Reading, &[Key::char('f')], Action::Full, "full", "the whole screen, or not"),
    bind(
        Context::Reading,
        &[Key::char('w')],
        Action::ToggleWrap,
        "wrap",
        "wrap long lines, or not",
    ),
    bind(Context::Reading, &[Key::char('<')], Action::Left, "", "left in long lines"),
    bind(Context::Reading, &[Key::char('>')], Action::Right, "", "right in long lines"),
    bind(Context::Reading, &[Key::char('t')], Action::ToggleTimes, "time", "times, or not"),
    bind(Context::Reading, &[Key::char('e')], Action::Page, "pager", "the text in $PAGER"),
    bind(Context::Word, &[ENTER], Action::Accept, "take it", "take it"),
    bind(Context::Word, &[ESC], Action::Abandon, "never mind", "leave it as it was"),
    bind(
        Context::Settings,
        &[Key::code(KeyCode::Left), Key::char('<')],
        Action::Left,
        "less",
        "the value before, or less",
    ),
    bind(
        Context::Settings,
        &[Key::code(KeyCode::Right), Key::char('>')],
        Action::Right,
        "more",
        "the next value, or more",
    ),
    bind(Context::Settings, &[ENTER], Action::TypeSetting, "type", "type the value"),
    bind(Context::Jobs, &[Key::char('x')], Action::CancelJob, "cancel", "cancel the selected job"),
    bind(Context::Job, &[Key::char('x')], Action::CancelJob, "cancel", "cancel this job"),
    bind(Context::Infer, &[Key::char('x')], Action::CancelJob, "cancel", "cancel the answer"),
    bind(
        Context::Infer,
        &[Key::char('c')],
        Action::Compare,
        "compare",
        "ask two at once, beside each other",
    ),
    bind(Context::Infer, &[Key::char('m')], Action::NextModel, "model", "ask the next model"),
];

/// Where one is, the nearest first.
pub(crate) fn contexts(model: &Model) -> Vec<Context> {
    if model.ui.dialog.is_some() {
        return vec![Context::Dialog, Context::Always];
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
        View::Fleet => contexts.push(Context::Fleet),
        View::Hive(_, HiveTab::Overview | HiveTab::Log) => contexts.push(Context::Hive),
        View::Hive(..) => contexts.extend([Context::Hive, Context::List]),
        View::Workers | View::Devices | View::Device(..) | View::Models => {
            contexts.push(Context::List);
        }
        View::Jobs => contexts.extend([Context::List, Context::Jobs]),
        View::Job(_) => contexts.push(Context::Job),
        View::Infer => contexts.push(Context::Infer),
        View::Events => contexts.push(Context::Events),
        View::Worker(_) | View::Queen => {}
    }
    if model.reading().is_some() {
        contexts.push(Context::Reading);
    }
    if model.ui.view.panes().len() > 1 {
        contexts.push(Context::Panes);
    }
    contexts.extend([Context::Move, Context::Anywhere, Context::Always]);
    contexts
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
mod tests {
    use super::*;

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
                assert!(!binding.keys.contains(&ENTER));
            }
        }
    }

    #[test]
    fn every_action_that_changes_something_has_its_command_line() {
        for binding in KEYMAP {
            let changes = matches!(
                binding.action,
                Action::CancelJob | Action::Confirm | Action::Send | Action::StartQueen
            );
            match binding.action.twin() {
                Some(twin) => assert!(twin.starts_with("rbee-keeper "), "{twin}"),
                None => assert!(!changes, "{:?} has no command line", binding.action),
            }
        }
    }
}
