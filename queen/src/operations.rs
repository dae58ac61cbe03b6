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
    ApiError,
    fleet::{HiveRecord, Snapshot},
    operation::{Operation, QueenOperation, Target},
};
use serde_json::{Value, json};

use crate::{
    first_tokens::FirstTokens,
    fleet::FleetHandle,
    hives::{Hives, Refreshed},
    machines::Machines,
    scheduler::SchedulerHandle,
};

/// Carries out operations.
pub struct Operations {
    fleet: FleetHandle,
    hives: Hives,
    machines: Machines,
    scheduler: SchedulerHandle,
    first_tokens: FirstTokens,
    /// Held while the demo model's worker is being made, so that it is made
    /// once.
    provisioning: tokio::sync::Mutex<()>,
}

impl Operations {
    /// With everything an operation may need.
    pub fn new(
        fleet: FleetHandle,
        hives: Hives,
        machines: Machines,
        scheduler: SchedulerHandle,
        first_tokens: FirstTokens,
    ) -> Self {
        let provisioning = tokio::sync::Mutex::default();
        Self { fleet, hives, machines, scheduler, first_tokens, provisioning }
    }

    fn feed(&self) -> &Feed {
        self.fleet.feed()
    }
}

impl Execute for Operations {
    type Operation = Operation;

    fn parse(&self, body: &[u8]) -> Result<Operation, ApiError> {
        let operation = Operation::parse(body)?;
        match &operation {
            Operation::Queen(QueenOperation::Infer(infer)) => {
                self.scheduler.room(&infer::want(infer))?;
            }
            Operation::Queen(QueenOperation::SshTest(it)) => self.machines.check_test(it)?,
            Operation::Queen(QueenOperation::HiveInstall(it)) => self.machines.check_install(it)?,
            Operation::Queen(QueenOperation::HiveUpdate(it)) => self.machines.check_update(it)?,
            Operation::Queen(QueenOperation::HiveUninstall(it)) => {
                self.machines.check_uninstall(it)?;
            }
            _ => {}
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
            QueenOperation::HiveStop(it) => self.hive_stop(&it.alias, job).await,
            QueenOperation::SshTest(it) => self.machines.test(it, job).await,
            QueenOperation::HiveInstall(it) => self.machines.install(it, job).await,
            QueenOperation::HiveUpdate(it) => self.machines.update(it, job).await,
            QueenOperation::HiveUninstall(it) => self.machines.uninstall(it, job).await,
            QueenOperation::HiveRefreshCapabilities(it) => {
                self.hive_refresh_capabilities(&it.alias, job).await
            }
            QueenOperation::Infer(infer) => self.infer(*infer, job).await,
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
        let is_ours = id.is_localhost() || self.machines.is_installed(id);
        let is_silent = workers.iter().any(|worker| worker.state.is_serving())
            && workers.iter().all(|worker| worker.last_heartbeat_at.is_none());
        if is_silent && !is_ours {
            let message = format!(
                "its workers' heartbeats do not come here, because it was not installed from \
                 here (rbee-keeper hive install {id}); what its feed says of them counts"
            );
            job.narrate("hive_get", message).await;
        }
        job.result(line, json!({ "hive": hive, "workers": workers, "devices": devices })).await;
        Ok(())
    }

    async fn hive_start(&self, id: &protocol::HiveId, job: &JobHandle) -> Result<(), Failure> {
        let hive = self.start_hive(id, job).await?;
        job.result(format!("hive '{id}' is ready"), json!({ "hive": hive })).await;
        Ok(())
    }

    /// Starts a hive wherever it is, if it does not run.
    async fn start_hive(
        &self,
        id: &protocol::HiveId,
        job: &JobHandle,
    ) -> Result<HiveRecord, Failure> {
        match self.machines.has(id) {
            true => self.machines.start(id, job).await,
            false => self.hives.start(id, job).await,
        }
    }

    async fn hive_stop(&self, id: &protocol::HiveId, job: &JobHandle) -> Result<(), Failure> {
        match self.machines.has(id) {
            true => self.machines.stop(id, job).await,
            false => self.hives.stop(id, job).await,
        }
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
