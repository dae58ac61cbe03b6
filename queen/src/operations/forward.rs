//! Operations that hives carry out: to the one they name, to the one that has
//! the worker, or to all.

use daemon::jobs::{Failure, JobHandle};
use protocol::{
    ApiError, ErrorCode, HiveId, WorkerId,
    logs::{LogPage, LogQuery},
    operation::HiveOperation,
    suggest::nearest,
};
use serde_json::{Map, Value};

use super::{Operations, count};
use crate::hives;

/// Why a list of everything is empty.
const NO_HIVE: &str = "no hive is known to run, so none was asked; start the one of this machine: \
                       rbee-keeper hive start, or another: rbee-keeper hive install ALIAS";

/// Whether who asks for this on this machine has asked for its hive as well:
/// it brings something there, or asks what would have to be brought.
fn needs_a_hive(operation: &HiveOperation) -> bool {
    match operation {
        HiveOperation::WorkerSpawn(_) | HiveOperation::ModelDownload(_) => true,
        HiveOperation::ModelGet(it) => it.hub,
        HiveOperation::WorkerList(_)
        | HiveOperation::WorkerGet(_)
        | HiveOperation::WorkerDelete(_)
        | HiveOperation::ModelList(_)
        | HiveOperation::ModelDelete(_) => false,
    }
}

impl Operations {
    pub(super) async fn forward(
        &self,
        operation: HiveOperation,
        job: &JobHandle,
    ) -> Result<(), Failure> {
        let hive_id = match &operation {
            HiveOperation::WorkerList(it) if it.hive_id.is_none() => {
                return self.list_everywhere(operation, "workers", "worker", job).await;
            }
            HiveOperation::ModelList(it) if it.hive_id.is_none() => {
                return self.list_everywhere(operation, "models", "model", job).await;
            }
            HiveOperation::WorkerGet(it) => self.hive_of(it.hive_id.as_ref(), &it.worker_id)?,
            HiveOperation::WorkerDelete(it) => self.hive_of(it.hive_id.as_ref(), &it.worker_id)?,
            other => other.hive_id().cloned().unwrap_or_default(),
        };
        if needs_a_hive(&operation) && hive_id.is_localhost() && self.hives.link(&hive_id).is_err()
        {
            self.hives.start(&hive_id, job).await?;
        }
        let hive = self.hives.link(&hive_id)?;
        if let Some(result) = hive.run(operation, job).await? {
            job.emit(result).await;
        }
        Ok(())
    }

    /// A page of a worker's log, from the hive that has it.
    pub async fn worker_logs(
        &self,
        worker: &WorkerId,
        query: &LogQuery,
    ) -> Result<LogPage, ApiError> {
        let hive = self.hives.link(&self.hive_of(None, worker)?)?;
        hive.worker_logs(worker, query).await
    }

    /// Where a worker is, if the operation does not say.
    fn hive_of(&self, named: Option<&HiveId>, worker: &WorkerId) -> Result<HiveId, ApiError> {
        if let Some(hive) = named {
            return Ok(hive.clone());
        }
        self.feed().look(|fleet| match fleet.workers.get(worker) {
            Some(record) => Ok(record.hive_id.clone()),
            None => {
                let ids: Vec<&str> = fleet.workers.keys().map(WorkerId::as_str).collect();
                let error = ApiError::new(ErrorCode::WorkerNotFound, format!("no worker {worker}"));
                Err(match nearest(worker.as_str(), ids.iter().copied()) {
                    Some(near) => error.with_hint(format!("did you mean `{near}`?")),
                    None if ids.is_empty() => error.with_hint("there are no workers"),
                    None => error.with_hint(format!("workers: {}", ids.join(", "))),
                })
            }
        })
    }

    /// Asks every hive and merges. A hive that does not answer is said aloud
    /// and does not hide the others.
    async fn list_everywhere(
        &self,
        operation: HiveOperation,
        key: &str,
        noun: &str,
        job: &JobHandle,
    ) -> Result<(), Failure> {
        let mut merged = Vec::new();
        let hives = self.hives.all();
        if hives.is_empty() {
            job.warn(operation.name(), NO_HIVE).await;
        }
        for hive in hives {
            match hives::list(&*hive, operation.clone(), key, job).await {
                Ok(list) => merged.extend(list),
                Err(Failure::Cancelled) => return Err(Failure::Cancelled),
                Err(Failure::Error(error)) => {
                    job.warn("hive_unreachable", error.one_line()).await;
                }
            }
        }
        let summary = count(merged.len(), noun);
        let result = Map::from_iter([(key.to_owned(), Value::Array(merged))]);
        job.result(summary, Value::Object(result)).await;
        Ok(())
    }
}
