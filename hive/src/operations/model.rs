//! `model_…`: what is on this machine's disk, and getting it there.

use std::time::{Duration, Instant};

use daemon::jobs::{Failure, JobHandle};
use protocol::{
    ApiError, ErrorCode, ModelRef,
    job::JobEvent,
    model::{ModelRecord, ModelState},
    operation::{ModelDelete, ModelDownload, ModelGet},
};
use serde_json::json;

use super::Hive;
use crate::{
    models::{Follower, Started},
    size::size,
};

const EVENT: &str = "model_download";
/// A person reads no faster, and every line is written to the job's log.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

impl Hive {
    pub(super) async fn model_list(&self, job: &JobHandle) -> Result<(), Failure> {
        let workers = self.workers.list();
        let list = self.models.list(&workers);
        let models = job.unless_cancelled(list).await??;
        let summary = match models.len() {
            1 => "1 model".to_owned(),
            n => format!("{n} models"),
        };
        job.result(summary, json!({ "models": models })).await;
        Ok(())
    }

    pub(super) async fn model_get(
        &self,
        operation: ModelGet,
        job: &JobHandle,
    ) -> Result<(), Failure> {
        let workers = self.workers.list();
        let get = self.models.get(&operation.id, &workers);
        let model = match job.unless_cancelled(get).await? {
            Err(error) if operation.hub && error.code == ErrorCode::ModelNotFound => {
                job.unless_cancelled(self.models.ask_hub(&operation.id)).await??
            }
            got => got?,
        };
        job.result(summary(&model), json!({ "model": model })).await;
        Ok(())
    }

    /// Cancelled, it leaves; whoever else wants the model keeps it coming.
    pub(super) async fn model_download(
        &self,
        operation: ModelDownload,
        job: &JobHandle,
    ) -> Result<(), Failure> {
        let ModelDownload { model, revision, .. } = operation;
        if !model.is_demo() {
            let revision = revision.unwrap_or_default();
            let asked = self.models.download(&model, &revision);
            let (started, warning) = job.unless_cancelled(asked).await??;
            if let Some(warning) = warning {
                job.warn(EVENT, warning).await;
            }
            match started {
                Started::Flying(follower) => {
                    job.unless_cancelled(follow(&model, follower, job)).await??;
                }
                Started::Here { why } => {
                    let line = format!("{}; taking the {model} that is here", why.message);
                    job.warn(EVENT, line).await;
                }
            }
        }
        let model = self.models.get(&model, &self.workers.list()).await?;
        job.result(summary(&model), json!({ "model": model })).await;
        Ok(())
    }

    pub(super) async fn model_delete(
        &self,
        operation: ModelDelete,
        job: &JobHandle,
    ) -> Result<(), Failure> {
        // Not to be stopped half way: it is over in a moment.
        let workers = self.workers.clone();
        let model = self.models.delete(&operation.id, move || workers.list()).await?;
        let summary = format!("model {} is deleted, {} freed", model.id, size(model.bytes));
        job.result(summary, json!({ "id": model.id })).await;
        Ok(())
    }
}

/// Tells a download as it goes, to its end.
async fn follow(model: &ModelRef, mut follower: Follower, job: &JobHandle) -> Result<(), ApiError> {
    let (mut lines_told, mut told_at) = (0, None::<Instant>);
    loop {
        let seen = follower.seen.borrow_and_update().clone();
        for line in seen.lines.iter().skip(lines_told) {
            job.narrate(EVENT, line.clone()).await;
        }
        lines_told = seen.lines.len();
        if let Some(progress) = &seen.progress {
            let message = match seen.stalled {
                Some(silence) => format!("{model} stalled {} s", silence.as_secs()),
                None => format!("downloading {model}"),
            };
            // The last one is told whenever it comes.
            let is_due =
                seen.ended.is_some() || told_at.is_none_or(|at| at.elapsed() >= PROGRESS_INTERVAL);
            if is_due {
                let event = JobEvent::new(JobEvent::PROGRESS, message);
                let value = serde_json::to_value(progress).unwrap_or_default();
                job.emit(event.field("progress", value)).await;
                told_at = Some(Instant::now());
            }
        }
        if let Some(ended) = seen.ended {
            return ended;
        }
        if follower.seen.changed().await.is_err() {
            let message = format!("the download of {model} was given up");
            return Err(ApiError::new(ErrorCode::Internal, message));
        }
    }
}

/// A model in one line.
pub(super) fn summary(model: &ModelRecord) -> String {
    let bytes = size(model.bytes);
    match (model.state, &model.error) {
        (ModelState::Available, _) => format!("{} is on the hub, {bytes}, and not here", model.id),
        (_, Some(error)) => format!("{} has failed: {}", model.id, error.message),
        (state, None) => format!("{} is {}, {bytes}", model.id, state.as_str()),
    }
}
