//! What an action asks of the queen, one thing after the other.
//!
//! There is no operation for restarting or killing a worker. A restart is a
//! deletion, which lets the worker finish, and a spawn of the same; a kill is
//! the cancellation of what runs there, and a deletion that has nothing left to
//! wait for.

use protocol::{
    JobId, WorkerId,
    operation::{
        DeviceSelector, HiveInstall, HiveOperation, HiveRefreshCapabilities, HiveStart, HiveStop,
        HiveUpdate, ModelDelete, ModelDownload, Operation, QueenOperation, WorkerDelete,
        WorkerSpawn,
    },
};

use super::{Reason, Target, Verb};
use crate::tui::state::Model;

/// One thing to ask for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// A new job; done when the job is.
    Submit(Operation),
    /// The cancellation of a job; done when the job is over.
    Cancel(JobId),
    /// A new job that does what this one was asked for; done when the new one
    /// is.
    Again(JobId),
}

/// The jobs that a worker has to do, oldest first.
pub(crate) fn jobs_on<'a>(
    model: &'a Model,
    worker: &'a WorkerId,
) -> impl Iterator<Item = &'a JobId> {
    let jobs = model.fleet.jobs.values();
    jobs.filter(move |job| {
        job.operation == "infer" && job.worker_id.as_ref() == Some(worker) && !job.state.is_ended()
    })
    .map(|job| &job.id)
}

/// What `verb` comes to for `target`. Empty for what is done on the screen or
/// needs to be told more first.
pub(crate) fn steps(model: &Model, verb: Verb, target: &Target) -> Result<Vec<Step>, Reason> {
    let queen = |operation: QueenOperation| vec![Step::Submit(operation.into())];
    let hive = |operation: HiveOperation| vec![Step::Submit(operation.into())];
    Ok(match (verb, target) {
        (Verb::Restart | Verb::Stop | Verb::Kill | Verb::DeleteWorker, Target::Worker(id)) => {
            let Some(worker) = model.fleet.workers.get(id) else {
                return Err(Reason::Gone(id.to_string()));
            };
            let delete = WorkerDelete { hive_id: None, worker_id: id.clone() };
            let mut steps = hive(delete.into());
            if verb == Verb::Kill {
                steps.splice(0..0, jobs_on(model, id).cloned().map(Step::Cancel));
            }
            if verb == Verb::Restart {
                let spawn = WorkerSpawn {
                    device: Some(DeviceSelector::Id(worker.device.clone())),
                    slots: worker.slots_total,
                    context_length: worker.context_length,
                    ..WorkerSpawn::new(worker.hive_id.clone(), worker.model.clone())
                };
                steps.extend(hive(spawn.into()));
            }
            steps
        }
        (Verb::StartHive, Target::Hive(id)) => queen(HiveStart { alias: id.clone() }.into()),
        (Verb::StopHive, Target::Hive(id)) => queen(HiveStop { alias: id.clone() }.into()),
        (Verb::RefreshHive, Target::Hive(id)) => {
            queen(HiveRefreshCapabilities { alias: id.clone() }.into())
        }
        (Verb::InstallHive, Target::Hive(id)) => {
            let alias = id.clone();
            queen(HiveInstall { alias, binary_path: None, ssh: None, host_key: None }.into())
        }
        (Verb::UpdateHive, Target::Hive(id)) => {
            let alias = id.clone();
            queen(HiveUpdate { alias, binary_path: None, allow_downgrade: false }.into())
        }
        (Verb::Download, Target::Model(on, id)) => {
            hive(ModelDownload { hive_id: on.clone(), model: id.clone(), revision: None }.into())
        }
        (Verb::DeleteModel, Target::Model(on, id)) => {
            hive(ModelDelete { hive_id: on.clone(), id: id.clone() }.into())
        }
        (Verb::Cancel, Target::Job(id)) => vec![Step::Cancel(id.clone())],
        (Verb::Retry, Target::Job(id)) => vec![Step::Again(id.clone())],
        _ => Vec::new(),
    })
}
