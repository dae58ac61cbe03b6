//! `model_…`: what is on this machine's disk, and getting it there.

use daemon::jobs::{Failure, JobHandle};
use protocol::{
    model::{ModelRecord, ModelState},
    operation::{ModelDelete, ModelGet},
};
use serde_json::json;

use super::Hive;
use crate::devices::choice::size;

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
        let model = job.unless_cancelled(get).await??;
        job.result(summary(&model), json!({ "model": model })).await;
        Ok(())
    }

    pub(super) async fn model_delete(
        &self,
        operation: ModelDelete,
        job: &JobHandle,
    ) -> Result<(), Failure> {
        // Not to be stopped half way: it is over in a moment.
        let model = self.models.delete(&operation.id, &self.workers.list()).await?;
        let summary = format!("model {} is deleted, {} freed", model.id, size(model.bytes));
        job.result(summary, json!({ "id": model.id })).await;
        Ok(())
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
