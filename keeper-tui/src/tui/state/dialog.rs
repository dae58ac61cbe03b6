//! What is in front of the view: menus, questions, forms, the palette.
//!
//! What a dialog is about was taken when it opened, by id, and does not change
//! whatever moves underneath.

use protocol::{HiveId, ModelRef, operation::Operation};

use super::{line::Line, lists::ListName, machines::Pick};
use crate::tui::actions::{Target, Verb};

/// One of them.
#[derive(Debug, Clone)]
pub(crate) enum Dialog {
    /// What can be done with these.
    Actions(Menu),
    /// Shall it be done?
    Confirm(Confirm),
    /// What else has to be known first.
    Form(Form),
    /// What can be copied of these, and the row that Enter takes.
    Copy(Menu),
    /// What to sort by, and the row that Enter takes.
    Sort(ListName, usize),
    /// A filter is being typed; what was there before.
    Filter(ListName, Line, String),
    /// A command is being typed.
    Palette(Palette),
    /// Which machine shall be added?
    Machine(Pick),
    /// How a machine is added whose hive runs already.
    ByUrl,
    /// What went wrong and what ended, by the first line shown.
    Alerts(usize),
    /// The command lines of what was done, by the first line shown.
    Commands(usize),
}

/// A menu.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Menu {
    /// With what; all of one kind.
    pub(crate) targets: Vec<Target>,
    /// The row that Enter takes.
    pub(crate) at: usize,
}

/// A question before something is done.
#[derive(Debug, Clone)]
pub(crate) struct Confirm {
    /// What is asked about.
    pub(crate) verb: Verb,
    /// To what.
    pub(crate) targets: Vec<Target>,
    /// What must be typed before Enter does it, and what is typed.
    pub(crate) name: Option<(String, Line)>,
    /// What is asked of the queen, when more was told than what is done to
    /// what.
    pub(crate) operation: Option<Operation>,
}

/// A form of a few lines.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    /// What it is for.
    pub(crate) verb: Verb,
    /// On which machine.
    pub(crate) hive: HiveId,
    /// Its fields.
    pub(crate) fields: Vec<Field>,
    /// The field that is being typed into.
    pub(crate) at: usize,
    /// What is wrong with what was typed.
    pub(crate) problem: Option<String>,
}

/// One field of a form.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// The name of its flag.
    pub(crate) name: &'static str,
    /// What an empty one means.
    pub(crate) default: &'static str,
    /// What is typed.
    pub(crate) line: Line,
    /// What is known that could be meant.
    pub(crate) choices: Vec<String>,
}

impl Field {
    /// The first known value that begins with what is typed and goes on.
    pub(crate) fn completion(&self) -> Option<&str> {
        let typed = self.line.text();
        let mut fitting = self.choices.iter().filter(|it| it.starts_with(typed));
        fitting.find(|it| it.len() > typed.len()).map(String::as_str)
    }
}

impl Form {
    /// What is typed into a field.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.fields.iter().find(|it| it.name == name).map_or("", |it| it.line.text().trim())
    }

    /// The model that is typed, when it is one.
    pub(crate) fn model(&self) -> Option<ModelRef> {
        self.value("model").parse().ok()
    }
}

/// The palette.
#[derive(Debug, Clone, Default)]
pub(crate) struct Palette {
    /// What is typed.
    pub(crate) line: Line,
    /// What could be meant, the best first.
    pub(crate) found: Vec<Candidate>,
    /// The row that was moved to.
    pub(crate) at: Option<usize>,
    /// What is wrong with what was typed.
    pub(crate) problem: Option<String>,
}

/// One row of the palette.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    /// What it would put into the line.
    pub(crate) text: String,
    /// What it does.
    pub(crate) what: String,
    /// Why it cannot be done.
    pub(crate) off: Option<String>,
}
