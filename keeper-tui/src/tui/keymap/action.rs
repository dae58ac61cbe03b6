//! What keys do, and what each is called elsewhere.

use crate::tui::actions::Slot;

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
    /// The view before this one.
    LastView,
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
    /// This table.
    ToggleHelp,
    /// What this key means for what is selected.
    Do(Slot),
    /// The menu of everything that can be done with it.
    ShowActions,
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
    /// Listen again to a job whose stream broke off.
    Attach,
    /// Start the hive of the queen's machine.
    StartHere,
    /// Put a hive on a machine.
    AddMachine,
    /// How a hive that runs already is added.
    AddByUrl,
    /// Launch a queen on this machine.
    StartQueen,
    /// Try to reach the queen now.
    Retry,
    /// The configuration in the operator's editor.
    EditConfig,
    /// The mouse is the dashboard's, or the terminal's.
    ToggleMouse,
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
            | Self::Send
            | Self::NextModel
            | Self::Compare
            | Self::Do(Slot::Ask) => Some("rbee-keeper infer --model MODEL PROMPT"),
            Self::Do(Slot::New) => Some("rbee-keeper worker spawn --model MODEL"),
            Self::Do(Slot::Again) => Some("rbee-keeper worker delete ID && … spawn"),
            Self::Do(Slot::Stop) => Some("rbee-keeper job cancel, worker delete"),
            Self::Do(Slot::Kill) => Some("rbee-keeper job cancel, worker delete"),
            Self::Do(Slot::Delete) => Some("rbee-keeper worker delete ID"),
            Self::StartHere => Some("rbee-keeper hive start"),
            Self::AddMachine => Some("rbee-keeper hive install MACHINE"),
            Self::StartQueen => Some("rbee-keeper queen start"),
            Self::Attach => Some("rbee-keeper job attach ID"),
            _ => None,
        }
    }

    /// Its name in the configuration, one in its context.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::HalfUp => "half-up",
            Self::HalfDown => "half-down",
            Self::PageUp => "page-up",
            Self::PageDown => "page-down",
            Self::Top => "top",
            Self::Bottom => "bottom",
            Self::Open => "open",
            Self::Escape => "escape",
            Self::Back => "back",
            Self::BackOrQuit => "back-or-quit",
            Self::ShowFleet => "fleet",
            Self::ShowWorkers => "workers",
            Self::ShowDevices => "gpus",
            Self::ShowModels => "models",
            Self::ShowJobs => "jobs",
            Self::ShowInfer => "infer",
            Self::ShowEvents => "events",
            Self::ShowQueen => "queen",
            Self::LastView => "last-view",
            Self::OpenLog => "log",
            Self::NextTab => "next-tab",
            Self::PreviousTab => "previous-tab",
            Self::NextPane => "next-pane",
            Self::PreviousPane => "previous-pane",
            Self::Find => "find",
            Self::Only => "only",
            Self::NextMatch => "next-match",
            Self::PreviousMatch => "previous-match",
            Self::TakeWord | Self::Accept => "accept",
            Self::DropWord | Self::Dismiss => "dismiss",
            Self::ToggleWrap => "wrap",
            Self::ToggleTimes => "times",
            Self::Pause => "pause",
            Self::Follow => "follow",
            Self::Left => "left",
            Self::Right => "right",
            Self::Level => "level",
            Self::Full => "full-screen",
            Self::Page => "pager",
            Self::TypeSetting => "type",
            Self::Compare => "compare",
            Self::ToggleHelp => "help",
            Self::Do(Slot::Ask) => "ask",
            Self::Do(Slot::New) => "new",
            Self::Do(Slot::Again) => "again",
            Self::Do(Slot::Stop) => "stop",
            Self::Do(Slot::Kill) => "kill",
            Self::Do(Slot::Delete) => "delete",
            Self::ShowActions => "actions",
            Self::CopyMenu => "copy",
            Self::Palette => "palette",
            Self::Filter => "filter",
            Self::SortMenu => "sort",
            Self::ReverseSort => "sort-reverse",
            Self::Undo => "undo",
            Self::Mark => "mark",
            Self::MarkRange => "mark-range",
            Self::MarkAll => "mark-all",
            Self::Alerts => "alerts",
            Self::Commands => "commands",
            Self::Choose('y') => "yes",
            Self::Choose('d') => "drain",
            Self::Choose(_) => "now",
            Self::Complete => "complete",
            Self::NextField => "next-field",
            Self::PreviousField => "previous-field",
            Self::Send => "send",
            Self::NewLine => "new-line",
            Self::LeavePrompt => "leave",
            Self::NextModel => "next-model",
            Self::StartQueen => "start-queen",
            Self::Attach => "attach",
            Self::StartHere => "start-here",
            Self::AddMachine => "add-machine",
            Self::AddByUrl => "add-by-url",
            Self::Retry => "reconnect",
            Self::EditConfig => "edit-config",
            Self::ToggleMouse => "mouse",
            Self::Redraw => "redraw",
            Self::Suspend => "suspend",
            Self::Quit => "quit",
        }
    }

    /// Its name in the palette; `None` for what needs a key: moving, marking,
    /// typing, answering.
    pub(crate) fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::ShowFleet => "fleet",
            Self::ShowWorkers => "workers",
            Self::ShowDevices => "gpus",
            Self::ShowJobs => "jobs",
            Self::ShowInfer => "infer",
            Self::ShowModels => "models",
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
            Self::ShowActions => "actions",
            Self::CopyMenu => "copy",
            Self::Filter => "filter",
            Self::SortMenu => "sort",
            Self::ReverseSort => "sort reverse",
            Self::Undo => "undo",
            Self::MarkAll => "mark all",
            Self::Alerts => "alerts",
            Self::Commands => "commands",
            Self::LastView => "last view",
            Self::AddMachine => "add machine",
            Self::Retry => "reconnect",
            Self::Attach => "attach",
            Self::EditConfig => "edit config",
            Self::ToggleMouse => "mouse",
            Self::Redraw => "redraw",
            Self::Suspend => "suspend",
            Self::Quit => "quit",
            _ => return None,
        })
    }
}
