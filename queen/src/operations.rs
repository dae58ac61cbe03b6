//! What the queen does with each operation: one match, one line each.

mod forward;
mod infer;

use std::sync::Arc;

use daemon::{
    feed::Feed,
    jobs::{Execute, Failure, JobHandle},
};
use futures::future::BoxFuture;
use protocol::{
    ApiError, ErrorCode,
    fleet::Snapshot,
    operation::{Operation, QueenOperation, Target},
};
use serde_json::{Value, json};

use crate::{
    fleet::FleetHandle,
    hives::{Hives, Refreshed},
    scheduler::SchedulerHandle,
};

/// Carries out operations.
pub struct Operations {
    fleet: FleetHandle,
    hives: Hives,
    scheduler: SchedulerHandle,
    /// Held while the demo model's worker is being made, so that it is made
    /// once.
    provisioning: tokio::sync::Mutex<()>,
}

impl Operations {
    /// With everything an operation may need.
    pub fn new(fleet: FleetHandle, hives: Hives, scheduler: SchedulerHandle) -> Self {
        Self { fleet, hives, scheduler, provisioning: tokio::sync::Mutex::default() }
    }

    fn feed(&self) -> &Feed {
        self.fleet.feed()
    }
}

impl Execute for Operations {
    type Operation = Operation;

    fn parse(&self, body: &[u8]) -> Result<Operation, ApiError> {
        let operation = Operation::parse(body)?;
        refuse_unsupported(&operation)?;
        if let Operation::Queen(QueenOperation::Infer(infer)) = &operation {
            self.scheduler.room(&infer::want(infer))?;
        }
        Ok(operation)
    }

    fn describe(operation: &Operation) -> (&'static str, Target) {
        (operation.name(), operation.target())
    }

    fn checkpoint(operation: &Operation) -> Option<Value> {
        match operation {
            Operation::Queen(QueenOperation::Infer(infer)) => Some(infer::waiting(infer)),
            _ => None,
        }
    }

    fn run(
        self: Arc<Self>,
        operation: Operation,
        job: JobHandle,
    ) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move { self.carry_out(operation, &job).await })
    }

    fn resume(
        self: Arc<Self>,
        checkpoint: Value,
        job: JobHandle,
    ) -> BoxFuture<'static, Result<(), Failure>> {
        self.resume_infer(checkpoint, job)
    }
}

/// Refused at the POST, never a line later in the stream.
fn refuse_unsupported(operation: &Operation) -> Result<(), ApiError> {
    use QueenOperation::{HiveInstall, HiveUninstall, HiveUpdate, SshTest};
    match operation {
        Operation::Queen(SshTest(_) | HiveInstall(_) | HiveUninstall(_) | HiveUpdate(_)) => {
            Err(ApiError::new(
                ErrorCode::UnsupportedOperation,
                format!(
                    "this version cannot do `{}`: it manages its own machine only",
                    operation.name()
                ),
            )
            .with_hint("install rbee there by hand, and name its hive in hives.conf by a Url"))
        }
        _ => Ok(()),
    }
}

impl Operations {
    async fn carry_out(&self, operation: Operation, job: &JobHandle) -> Result<(), Failure> {
        let operation = match operation {
            Operation::Hive(operation) => return self.forward(operation, job).await,
            Operation::Queen(operation) => operation,
        };
        match operation {
            QueenOperation::Status(_) => self.status(job).await,
            QueenOperation::HiveList(_) => self.hive_list(job).await,
            QueenOperation::HiveGet(it) => self.hive_get(&it.alias, job).await,
            QueenOperation::HiveStatus(it) => self.hive_get(&it.alias, job).await,
            QueenOperation::HiveStart(it) => self.hive_start(&it.alias, job).await,
            QueenOperation::HiveStop(it) => self.hives.stop(&it.alias, job).await,
            QueenOperation::HiveRefreshCapabilities(it) => {
                self.hive_refresh_capabilities(&it.alias, job).await
            }
            QueenOperation::Infer(infer) => self.infer(*infer, job).await,
            // Refused at the POST.
            other => Err(ApiError::new(
                ErrorCode::UnsupportedOperation,
                format!("this version cannot do `{}`", other.name()),
            )
            .into()),
        }
    }

    async fn status(&self, job: &JobHandle) -> Result<(), Failure> {
        let snapshot = self.feed().snapshot();
        job.result(summary(&snapshot), json!(snapshot)).await;
        Ok(())
    }

    async fn hive_list(&self, job: &JobHandle) -> Result<(), Failure> {
        let fleet = self.fleet.snapshot();
        let hives: Vec<_> = fleet.hives.values().collect();
        job.result(count(hives.len(), "hive"), json!({ "hives": hives })).await;
        Ok(())
    }

    async fn hive_get(&self, id: &protocol::HiveId, job: &JobHandle) -> Result<(), Failure> {
        let hive = self.hives.record(id)?;
        let fleet = self.fleet.snapshot();
        let workers: Vec<_> = fleet.workers.values().filter(|it| it.hive_id == *id).collect();
        let devices: Vec<_> = fleet.devices.values().filter(|it| it.hive_id == *id).collect();
        let line = match &hive.reason {
            Some(reason) => format!("hive '{id}' is {}: {reason}", hive.state.as_str()),
            None => format!("hive '{id}' is {} at {}", hive.state.as_str(), hive.url),
        };
        job.result(line, json!({ "hive": hive, "workers": workers, "devices": devices })).await;
        Ok(())
    }

    async fn hive_start(&self, id: &protocol::HiveId, job: &JobHandle) -> Result<(), Failure> {
        let hive = self.hives.start(id, job).await?;
        job.result(format!("hive '{id}' is ready"), json!({ "hive": hive })).await;
        Ok(())
    }

    async fn hive_refresh_capabilities(
        &self,
        id: &protocol::HiveId,
        job: &JobHandle,
    ) -> Result<(), Failure> {
        let refreshed = job.unless_cancelled(self.hives.refresh_capabilities(id)).await??;
        let Refreshed { capabilities, unwritten } = refreshed;
        if let Some(problem) = unwritten {
            job.warn("hive_refresh_capabilities", problem).await;
        }
        let line = count(capabilities.devices.len(), "device");
        job.result(line, json!(capabilities)).await;
        Ok(())
    }
}

/// "1 worker", "2 workers".
fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

fn summary(fleet: &Snapshot) -> String {
    let busy: u32 = fleet.workers.iter().filter_map(|worker| worker.slots_busy).sum();
    format!(
        "{}, {}, {}, {} busy",
        count(fleet.hives.len(), "hive"),
        count(fleet.workers.len(), "worker"),
        count(fleet.devices.len(), "device"),
        count(busy as usize, "slot"),
    )
}
