//! Whether something can be done now, and if not, why.

use std::fmt;

use protocol::{
    HiveId, JobId, WorkerId,
    fleet::{HiveState, WorkerState},
};

use super::{Target, Verb};
use crate::tui::state::Model;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// This dashboard only looks.
    ReadOnly,
    /// Nobody could be asked.
    QueenAway,
    /// There is one already.
    QueenLive,
    /// One is being started already.
    QueenStarting,
    /// The machine is not in a state to do it.
    HiveIs(HiveId, HiveState),
    /// The worker is not in a state for it.
    WorkerIs(WorkerId, WorkerState),
    /// The job is over.
    JobEnded(JobId),
    /// The job goes on.
    JobRuns(JobId),
    /// The queen's own machine has what she has.
    Here,
    /// Its programs are not the queen's to replace.
    NotOverSsh(HiveId),
    /// It is no more.
    Gone(String),
    /// This kind of thing has no such action.
    NotFor(&'static str),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadOnly => f.write_str("this dashboard is read-only"),
            Self::QueenAway => f.write_str("the queen is away"),
            Self::QueenLive => f.write_str("the queen runs already"),
            Self::QueenStarting => f.write_str("a queen is being started"),
            Self::HiveIs(hive, state) => write!(f, "{hive} is {}", state.as_str()),
            Self::WorkerIs(worker, state) => {
                write!(f, "{worker} is {}", state.as_str().replace('_', " "))
            }
            Self::JobEnded(job) => write!(f, "{} is over already", job.short()),
            Self::JobRuns(job) => write!(f, "{} is not over", job.short()),
            Self::Here => f.write_str("the queen's machine has the programs already"),
            Self::NotOverSsh(hive) => write!(f, "{hive} is not reached over ssh"),
            Self::Gone(what) => write!(f, "{what} is no more"),
            Self::NotFor(kind) => write!(f, "not for a {kind}"),
        }
    }
}

/// Whether `verb` can be done with `target` now.
pub(crate) fn available(model: &Model, verb: Verb, target: &Target) -> Result<(), Reason> {
    if super::row_of(target.kind(), verb).is_none() {
        return Err(Reason::NotFor(target.kind().words().0));
    }
    match (verb, target) {
        // What was heard stays readable.
        (Verb::Attach, _) => return exists(model, target),
        _ if model.is_read_only && verb != Verb::Logs => return Err(Reason::ReadOnly),
        (Verb::StartQueen, _) => {
            return if model.connection.is_live() {
                Err(Reason::QueenLive)
            } else if model.launch.as_ref().is_some_and(|it| it.failed.is_none()) {
                Err(Reason::QueenStarting)
            } else {
                Ok(())
            };
        }
        _ if !model.connection.is_live() => return Err(Reason::QueenAway),
        // It is made one of the fleet by this.
        (Verb::InstallHive, _) => {}
        _ => exists(model, target)?,
    }
    match target {
        Target::Worker(id) => worker(model, verb, id),
        Target::Hive(id) | Target::Device(id, _) | Target::Model(id, _) => hive(model, verb, id),
        Target::Job(id) => job(model, verb, id),
        Target::Queen => Ok(()),
    }
}

fn exists(model: &Model, target: &Target) -> Result<(), Reason> {
    let fleet = &model.fleet;
    let is_there = match target {
        Target::Hive(id) => fleet.hives.contains_key(id),
        Target::Worker(id) => fleet.workers.contains_key(id),
        Target::Device(hive, id) => fleet.devices.contains_key(&(hive.clone(), id.clone())),
        // A job that was asked for this moment is not in the fleet yet.
        Target::Job(id) => fleet.jobs.contains_key(id) || model.streams.job(id).is_some(),
        Target::Model(hive, _) => fleet.hives.contains_key(hive),
        Target::Queen => true,
    };
    if is_there { Ok(()) } else { Err(Reason::Gone(target.to_string())) }
}

/// Whether the machine can be asked something.
fn reachable(model: &Model, id: &HiveId) -> Result<(), Reason> {
    match model.fleet.hives.get(id).map(|it| it.state) {
        None => Err(Reason::Gone(id.to_string())),
        Some(HiveState::Ready | HiveState::Late) => Ok(()),
        Some(state) => Err(Reason::HiveIs(id.clone(), state)),
    }
}

fn worker(model: &Model, verb: Verb, id: &WorkerId) -> Result<(), Reason> {
    let Some(worker) = model.fleet.workers.get(id) else {
        return Err(Reason::Gone(id.to_string()));
    };
    reachable(model, &worker.hive_id)?;
    let state = worker.state;
    let is_possible = match verb {
        Verb::Ask => state.is_serving() || state.is_coming(),
        Verb::Stop | Verb::Kill => !state.is_ended() && state != WorkerState::Draining,
        Verb::Restart | Verb::DeleteWorker => state != WorkerState::Draining,
        _ => true,
    };
    if is_possible { Ok(()) } else { Err(Reason::WorkerIs(id.clone(), state)) }
}

fn hive(model: &Model, verb: Verb, id: &HiveId) -> Result<(), Reason> {
    let known = model.fleet.hives.get(id);
    let state = known.map(|it| it.state);
    match (verb, state) {
        (Verb::InstallHive | Verb::UpdateHive, _) if id.is_localhost() => Err(Reason::Here),
        (Verb::InstallHive, None | Some(HiveState::Offline | HiveState::Lost)) => Ok(()),
        (Verb::InstallHive, Some(state)) => Err(Reason::HiveIs(id.clone(), state)),
        (_, None) => Err(Reason::Gone(id.to_string())),
        (Verb::UpdateHive, _) if known.is_some_and(|it| it.link.is_none()) => {
            Err(Reason::NotOverSsh(id.clone()))
        }
        (Verb::UpdateHive, _) => Ok(()),
        // Asking is the queen's; she finds or makes a worker.
        (Verb::Ask, _) => Ok(()),
        (Verb::StartHive, Some(state @ (HiveState::Ready | HiveState::Starting))) => {
            Err(Reason::HiveIs(id.clone(), state))
        }
        (Verb::StartHive, _) => Ok(()),
        (Verb::StopHive, Some(state @ HiveState::Offline)) => {
            Err(Reason::HiveIs(id.clone(), state))
        }
        (Verb::StopHive, _) => Ok(()),
        // The queen starts the machine's daemon first.
        (Verb::Spawn | Verb::Download, Some(HiveState::Offline | HiveState::Starting)) => Ok(()),
        _ => reachable(model, id),
    }
}

fn job(model: &Model, verb: Verb, id: &JobId) -> Result<(), Reason> {
    match (verb, model.is_ended(id)) {
        (Verb::Cancel, true) => Err(Reason::JobEnded(id.clone())),
        (Verb::Retry, false) => Err(Reason::JobRuns(id.clone())),
        _ => Ok(()),
    }
}
