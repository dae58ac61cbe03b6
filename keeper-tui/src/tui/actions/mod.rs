//! What can be done with a thing: one table.
//!
//! It makes the keys, the menu of actions, the palette and the command lines,
//! so none of them can offer something another does not. Whether an action can
//! be taken now is a plain question with a plain answer ([`available()`]); what it
//! asks of the queen is a list of steps ([`steps()`]), and the command line that
//! does the same is written from those steps.

mod available;
mod command;
mod steps;

use std::fmt;

use protocol::{DeviceId, HiveId, JobId, ModelRef, WorkerId};

pub(crate) use self::{
    available::{Reason, available},
    command::{command_line, operation_line},
    steps::{Step, jobs_on, steps},
};

/// What something can be done with, by its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// A machine.
    Hive(HiveId),
    /// A worker.
    Worker(WorkerId),
    /// A device of a machine.
    Device(HiveId, DeviceId),
    /// A model on a machine's disk.
    Model(HiveId, ModelRef),
    /// A job.
    Job(JobId),
    /// The queen.
    Queen,
}

/// The kinds of target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A machine.
    Hive,
    /// A worker.
    Worker,
    /// A device of a machine.
    Device,
    /// A model on a machine's disk.
    Model,
    /// A job.
    Job,
    /// The queen.
    Queen,
}

impl Kind {
    /// One and several.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Hive => ("hive", "hives"),
            Self::Worker => ("worker", "workers"),
            Self::Device => ("device", "devices"),
            Self::Model => ("model", "models"),
            Self::Job => ("job", "jobs"),
            Self::Queen => ("queen", "queens"),
        }
    }
}

impl Target {
    /// Its kind.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Hive(_) => Kind::Hive,
            Self::Worker(_) => Kind::Worker,
            Self::Device(..) => Kind::Device,
            Self::Model(..) => Kind::Model,
            Self::Job(_) => Kind::Job,
            Self::Queen => Kind::Queen,
        }
    }

    /// Its whole id, which has to be typed to delete it.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Hive(id) => id.as_str(),
            Self::Worker(id) => id.as_str(),
            Self::Device(_, id) => id.as_str(),
            Self::Model(_, id) => id.as_str(),
            Self::Job(id) => id.as_str(),
            Self::Queen => "queen",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(hive, device) => write!(f, "{device} of {hive}"),
            Self::Model(hive, model) => write!(f, "{model} on {hive}"),
            Self::Job(job) => f.write_str(job.short()),
            Self::Queen => f.write_str("the queen"),
            it => f.write_str(it.id()),
        }
    }
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Ask a model something.
    Ask,
    /// Stop a worker and start the same again.
    Restart,
    /// A worker finishes its work and ends.
    Stop,
    /// A worker ends without finishing its work.
    Kill,
    /// A worker and its log go away.
    DeleteWorker,
    /// What a worker has written.
    Logs,
    /// Start a worker.
    Spawn,
    /// Fetch a model.
    Download,
    /// Remove a model from disk.
    DeleteModel,
    /// Start a machine's daemon.
    StartHive,
    /// Stop a machine's daemon.
    StopHive,
    /// Ask a machine again what it has.
    RefreshHive,
    /// Put a hive on a machine.
    InstallHive,
    /// Replace a machine's programs with the queen's.
    UpdateHive,
    /// Follow a job.
    Attach,
    /// Cancel a job.
    Cancel,
    /// Ask for the same as a job once more.
    Retry,
    /// Launch a queen here.
    StartQueen,
    /// Stop the queen.
    StopQueen,
}

/// A key that means the same kind of thing for every kind of target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// `i`
    Ask,
    /// `+`
    New,
    /// `r`
    Again,
    /// `x`
    Stop,
    /// `X`
    Kill,
    /// `D`
    Delete,
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Row {
    /// What is done.
    pub(crate) verb: Verb,
    /// With what.
    pub(crate) kind: Kind,
    /// Its letter in the menu.
    pub(crate) letter: char,
    /// Its key outside of the menu.
    pub(crate) slot: Option<Slot>,
    /// Its name in the palette, which begins as its command does.
    pub(crate) name: &'static str,
    /// What it does, for the menu.
    pub(crate) what: &'static str,
}

const fn row(
    kind: Kind,
    verb: Verb,
    letter: char,
    slot: Option<Slot>,
    name: &'static str,
    what: &'static str,
) -> Row {
    Row { verb, kind, letter, slot, name, what }
}

/// The table, in the order of the menu.
pub(crate) static ACTIONS: &[Row] = &[
    row(Kind::Worker, Verb::Ask, 'i', Some(Slot::Ask), "worker ask", "ask it something"),
    row(Kind::Worker, Verb::Logs, 'l', None, "worker logs", "what it has written"),
    row(
        Kind::Worker,
        Verb::Restart,
        'r',
        Some(Slot::Again),
        "worker restart",
        "let it finish, then start the same again",
    ),
    row(
        Kind::Worker,
        Verb::Stop,
        'x',
        Some(Slot::Stop),
        "worker stop",
        "let it finish its work, then stop it",
    ),
    row(
        Kind::Worker,
        Verb::Kill,
        'X',
        Some(Slot::Kill),
        "worker kill",
        "cancel its work and stop it now",
    ),
    row(
        Kind::Worker,
        Verb::DeleteWorker,
        'D',
        Some(Slot::Delete),
        "worker delete",
        "stop it and remove its log",
    ),
    row(Kind::Hive, Verb::Spawn, '+', Some(Slot::New), "worker spawn", "start a worker here"),
    row(Kind::Hive, Verb::Download, 'd', None, "model download", "fetch a model to its disk"),
    row(Kind::Hive, Verb::StartHive, 's', None, "hive start", "start its daemon"),
    row(
        Kind::Hive,
        Verb::StopHive,
        'x',
        Some(Slot::Stop),
        "hive stop",
        "stop its daemon and its workers",
    ),
    row(
        Kind::Hive,
        Verb::RefreshHive,
        'r',
        Some(Slot::Again),
        "hive refresh",
        "ask it again what it has",
    ),
    row(
        Kind::Hive,
        Verb::UpdateHive,
        'u',
        None,
        "hive update",
        "replace its programs; its workers go on",
    ),
    row(Kind::Hive, Verb::InstallHive, 'I', None, "hive install", "put the programs on it"),
    row(
        Kind::Device,
        Verb::Spawn,
        '+',
        Some(Slot::New),
        "worker spawn",
        "start a worker on this device",
    ),
    row(Kind::Model, Verb::Ask, 'i', Some(Slot::Ask), "model ask", "ask it something"),
    row(
        Kind::Model,
        Verb::Spawn,
        '+',
        Some(Slot::New),
        "worker spawn",
        "start a worker with this model",
    ),
    row(
        Kind::Model,
        Verb::Download,
        'd',
        None,
        "model download",
        "fetch it to its disk, or what is missing of it",
    ),
    row(
        Kind::Model,
        Verb::DeleteModel,
        'D',
        Some(Slot::Delete),
        "model delete",
        "remove its files from the disk",
    ),
    row(Kind::Job, Verb::Attach, 'l', None, "job attach", "what it says and generates"),
    row(Kind::Job, Verb::Cancel, 'x', Some(Slot::Stop), "job cancel", "cancel it"),
    row(Kind::Job, Verb::Retry, 'r', Some(Slot::Again), "job retry", "ask for the same once more"),
    row(Kind::Queen, Verb::StartQueen, 's', None, "queen start", "start a queen on this machine"),
    row(
        Kind::Queen,
        Verb::StopQueen,
        'x',
        Some(Slot::Stop),
        "queen stop",
        "stop her, and the hive she started",
    ),
];

/// What can be done with this kind.
pub(crate) fn rows(kind: Kind) -> impl Iterator<Item = &'static Row> {
    ACTIONS.iter().filter(move |row| row.kind == kind)
}

/// The row of a verb for this kind.
pub(crate) fn row_of(kind: Kind, verb: Verb) -> Option<&'static Row> {
    rows(kind).find(|row| row.verb == verb)
}

#[cfg(test)]
mod tests;
