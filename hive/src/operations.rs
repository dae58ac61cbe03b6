//! What a hive does with an operation: one match, one line per operation.
//!
//! Everything that can be decided at once is refused at the POST; what takes
//! time is told in the job, step by step.

mod delete;
mod logs;
mod model;
mod spawn;

use std::sync::Arc;

use daemon::jobs::{Execute, Failure, JobHandle};
use futures::{FutureExt, future::BoxFuture};
use protocol::{
    ApiError, ErrorCode, HiveId,
    fleet::WorkerRecord,
    operation::{HiveOperation, Target, WorkerGet},
};
use serde_json::json;

use crate::{
    devices::{Devices, choice},
    models::Models,
    workers::{Launcher, Workers},
};

/// The hive as its operations see it.
pub(crate) struct Hive {
    pub(crate) id: HiveId,
    pub(crate) devices: Devices,
    pub(crate) workers: Workers,
    pub(crate) launcher: Launcher,
    pub(crate) models: Models,
}

impl Execute for Hive {
    type Operation = HiveOperation;

    fn parse(&self, body: &[u8]) -> Result<HiveOperation, ApiError> {
        let operation = HiveOperation::parse(body)?;
        self.check(&operation)?;
        Ok(operation)
    }

    fn describe(operation: &HiveOperation) -> (&'static str, Target) {
        (operation.name(), operation.target())
    }

    fn run(
        self: Arc<Self>,
        operation: HiveOperation,
        job: JobHandle,
    ) -> BoxFuture<'static, Result<(), Failure>> {
        async move {
            match operation {
                HiveOperation::WorkerSpawn(it) => self.worker_spawn(it, &job).await,
                HiveOperation::WorkerList(_) => self.worker_list(&job).await,
                HiveOperation::WorkerGet(it) => self.worker_get(it, &job).await,
                HiveOperation::WorkerDelete(it) => self.worker_delete(it, &job).await,
                HiveOperation::ModelDownload(it) => self.model_download(it, &job).await,
                HiveOperation::ModelList(_) => self.model_list(&job).await,
                HiveOperation::ModelGet(it) => self.model_get(it, &job).await,
                HiveOperation::ModelDelete(it) => self.model_delete(it, &job).await,
            }
        }
        .boxed()
    }
}

impl Hive {
    /// What is wrong with an operation before anything is done.
    pub(crate) fn check(&self, operation: &HiveOperation) -> Result<(), ApiError> {
        if let Some(id) = operation.hive_id() {
            self.check_is_me(id)?;
        }
        match operation {
            HiveOperation::WorkerSpawn(it) => {
                self.models.check(&it.model)?;
                match &it.device {
                    Some(device) => choice::check(&self.devices.records(), &self.id, device),
                    None => Ok(()),
                }
            }
            HiveOperation::WorkerList(_) => Ok(()),
            HiveOperation::WorkerGet(it) => self.workers.get(&it.worker_id).map(drop),
            HiveOperation::WorkerDelete(it) => self.workers.get(&it.worker_id).map(drop),
            HiveOperation::ModelDownload(_)
            | HiveOperation::ModelList(_)
            | HiveOperation::ModelGet(_)
            | HiveOperation::ModelDelete(_) => Ok(()),
        }
    }

    /// `localhost` is also what an operation says that names no hive.
    fn check_is_me(&self, id: &HiveId) -> Result<(), ApiError> {
        if *id == self.id || id.is_localhost() {
            return Ok(());
        }
        let message = format!("this is the hive '{}', not '{id}'", self.id);
        Err(ApiError::new(ErrorCode::HiveNotFound, message).with_hint("ask the queen for it"))
    }

    async fn worker_list(&self, job: &JobHandle) -> Result<(), Failure> {
        let workers = self.workers.list();
        job.result(count(&workers), json!({ "workers": workers })).await;
        Ok(())
    }

    async fn worker_get(&self, operation: WorkerGet, job: &JobHandle) -> Result<(), Failure> {
        let worker = self.workers.get(&operation.worker_id)?;
        let summary = format!("{} is {} on {}", worker.id, worker.state.as_str(), worker.device);
        job.result(summary, json!({ "worker": worker })).await;
        Ok(())
    }
}

/// `no workers`, `1 worker`, `2 workers`
fn count(workers: &[WorkerRecord]) -> String {
    match workers.len() {
        0 => "no workers".to_owned(),
        1 => "1 worker".to_owned(),
        n => format!("{n} workers"),
    }
}
