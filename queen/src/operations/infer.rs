//! `infer`: find a slot, relay the worker's tokens, and tell the truth about
//! how it ended.
//!
//! ```text
//! (demo only: make a worker) ─▶ wait for a slot ─▶ relay ──▶ stats, result
//!                                                   │ connection broken
//!                                                   ├─▶ resume after the last token
//!                                                   └─▶ worker dead: one error, and why
//! ```
//!
//! The queen gives every request an id, so on the worker it outlives its
//! connection: a broken one is resumed after the last token that was passed
//! on, and nothing is generated twice. Where a request stands is the job's
//! checkpoint, so it outlives the queen as well: the next one reads on where
//! this one stopped.

mod relay;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use client::Daemon;
use daemon::jobs::{Failure, JobHandle};
use futures::{FutureExt, future::BoxFuture};
use protocol::{
    ApiError, ErrorCode, HiveId, ModelRef, RequestId, WorkerId,
    fleet::{HiveState, WorkerRecord},
    inference::InferenceRequest,
    job::JobEvent,
    operation::{HiveOperation, Infer, Target, WorkerSpawn},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::relay::Relay;
use super::Operations;
use crate::scheduler::{Place, Slot, Turn, Wait, Want};

/// How long a queen who was started again waits for the workers to be known to
/// her before she tells a request that waits that nobody is there.
const FLEET_WAIT: Duration = Duration::from_secs(30);
/// How long the hive's word on a worker's death is waited for. It makes the
/// error better, not later than a person would notice.
const EXIT_REPORT_WAIT: Duration = Duration::from_millis(600);

/// How far a request has come.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Checkpoint {
    /// No worker has it.
    Waiting(Box<Infer>),
    /// This worker has it, or is about to.
    Underway(Underway),
}

/// The checkpoint of a request that was accepted.
pub(super) fn waiting(infer: &Infer) -> Value {
    json!(Checkpoint::Waiting(Box::new(infer.clone())))
}

/// A request on its worker: all that it takes to read its answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Underway {
    worker_id: WorkerId,
    incarnation: u64,
    hive_id: HiveId,
    model: ModelRef,
    url: String,
    request_id: RequestId,
    /// Whether tokens are events of the job, or one text at its end.
    stream_tokens: bool,
}

impl Underway {
    fn new(worker: WorkerRecord, stream_tokens: bool) -> Result<Self, ApiError> {
        let url = worker.url.ok_or_else(|| {
            let message = format!("worker {}: it has no address yet", worker.id);
            ApiError::new(ErrorCode::WorkerLost, message)
        })?;
        Ok(Self {
            worker_id: worker.id,
            incarnation: worker.incarnation,
            hive_id: worker.hive_id,
            model: worker.model,
            url,
            request_id: RequestId::generate(),
            stream_tokens,
        })
    }
}

impl Operations {
    /// Goes on with a request that the queen before left at `checkpoint`.
    pub(super) fn resume_infer(
        self: Arc<Self>,
        checkpoint: Value,
        job: JobHandle,
    ) -> BoxFuture<'static, Result<(), Failure>> {
        match serde_json::from_value(checkpoint) {
            Ok(Checkpoint::Waiting(infer)) => {
                async move { self.wait_again(*infer, &job).await }.boxed()
            }
            Ok(Checkpoint::Underway(underway)) => {
                let slot = self.scheduler.hold(underway.worker_id.clone());
                async move { self.read_on(underway, slot, &job).await }.boxed()
            }
            Err(error) => {
                tracing::warn!(%error, job = %job.id(), "a checkpoint cannot be read");
                async move { Err(job.left_behind().into()) }.boxed()
            }
        }
    }

    async fn wait_again(&self, infer: Infer, job: &JobHandle) -> Result<(), Failure> {
        job.queued().await;
        job.narrate("resume", "the queen was started again and takes this up").await;
        // The workers are known to her as soon as their hives are.
        let want = want(&infer);
        let known = tokio::time::timeout(FLEET_WAIT, self.scheduler.servable(&want));
        if job.unless_cancelled(known).await?.is_err() {
            tracing::warn!(job = %job.id(), "no worker for it is known yet");
        }
        // When it was accepted, the queen before knew.
        self.serve(infer, None, job).await
    }

    async fn read_on(
        &self,
        underway: Underway,
        _slot: Slot,
        job: &JobHandle,
    ) -> Result<(), Failure> {
        let tokens = job.last_token().map_or(0, |index| index + 1);
        let id = &underway.worker_id;
        let message = format!("the queen was started again and reads on from {id}");
        job.warn("resume", format!("{message}, after {tokens} tokens")).await;
        Relay::new(self, underway, job, tokens, None).await?.run(None).await
    }

    pub(super) async fn infer(&self, infer: Infer, job: &JobHandle) -> Result<(), Failure> {
        self.serve(infer, Some(Instant::now()), job).await
    }

    async fn serve(
        &self,
        infer: Infer,
        accepted_at: Option<Instant>,
        job: &JobHandle,
    ) -> Result<(), Failure> {
        if let Some(id) = &infer.hive_id {
            self.hives.record(id)?;
        }
        if infer.model.is_demo() && infer.worker_id.is_none() {
            self.provision_demo(&infer, job).await?;
        }
        let slot = self.wait_for_slot(&infer, job).await?;
        job.running().await;
        let worker = self.worker(&slot.worker_id)?;
        job.concerns(Target {
            hive_id: Some(worker.hive_id.clone()),
            worker_id: Some(worker.id.clone()),
            model: None,
        })
        .await;
        let message =
            format!("{} on {} of hive '{}' takes it", worker.id, worker.device, worker.hive_id);
        job.narrate("route", message).await;
        let underway = Underway::new(worker, infer.stream)?;
        job.checkpoint(json!(Checkpoint::Underway(underway.clone()))).await;
        let request = request(infer, &underway.request_id, job);
        // The slot is given back when the relay is over, however it ends.
        Relay::new(self, underway, job, 0, accepted_at).await?.run(Some(request)).await
    }

    async fn wait_for_slot(&self, infer: &Infer, job: &JobHandle) -> Result<Slot, Failure> {
        let mut claim = self.scheduler.claim(want(infer));
        loop {
            match job.unless_cancelled(claim.next()).await?? {
                Turn::Has(slot) => return Ok(slot),
                Turn::Waits(wait) => {
                    job.queued().await;
                    job.emit(waits(&wait)).await;
                }
            }
        }
    }

    /// The way to the worker that has the request.
    async fn worker_at(&self, underway: &Underway) -> Result<Daemon, ApiError> {
        let (hive_id, url) = (&underway.hive_id, underway.url.as_str());
        match self.machines.worker(hive_id, url).await {
            Some(daemon) => daemon,
            None => self.hives.worker(hive_id, &underway.worker_id, url),
        }
        .map_err(|error| ApiError {
            message: format!("worker {}: {error}", underway.worker_id),
            ..error
        })
    }

    fn worker(&self, id: &WorkerId) -> Result<WorkerRecord, ApiError> {
        self.fleet.look(|registry| registry.worker(id)).ok_or_else(|| {
            ApiError::new(ErrorCode::WorkerLost, format!("worker {id} went away before it began"))
                .with_hint("run it again")
        })
    }

    /// The bundled model is the one that the queen starts by herself: it needs
    /// no download and a few megabytes, and a newcomer's first question is
    /// answered instead of met with an error.
    async fn provision_demo(&self, infer: &Infer, job: &JobHandle) -> Result<(), Failure> {
        let _once = job.unless_cancelled(self.provisioning.lock()).await?;
        let want = want(infer);
        let hive_id = infer.hive_id.clone().unwrap_or_else(HiveId::localhost);
        if self.scheduler.could_be_served(&want) {
            return Ok(());
        }
        let is_ready = self.hives.record(&hive_id)?.state == HiveState::Ready;
        if !is_ready || hive_id.is_localhost() {
            self.start_hive(&hive_id, job).await?;
        }
        // The hive may have had a worker all along.
        if self.scheduler.could_be_served(&want) {
            return Ok(());
        }
        let mut spawn = WorkerSpawn::new(hive_id.clone(), infer.model.clone());
        spawn.device = infer.device.clone().map(protocol::operation::DeviceSelector::Id);
        self.hives.link(&hive_id)?.run(HiveOperation::WorkerSpawn(spawn), job).await?;
        // The hive's feed may be a moment behind the end of its job.
        let known = tokio::time::timeout(EXIT_REPORT_WAIT, self.scheduler.servable(&want));
        if job.unless_cancelled(known).await?.is_err() {
            tracing::warn!("the new worker is not on the hive's feed yet");
        }
        Ok(())
    }
}

/// What a request that waits says.
fn waits(wait: &Wait) -> JobEvent {
    match wait {
        Wait::Slot(Place { place, of }) => {
            let message = format!("no slot is free: place {place} of {of}");
            JobEvent::new("queue", message).field("place", *place).field("of", *of)
        }
        Wait::Worker(id) => {
            let message = format!("waiting for {id} to report that it is ready");
            JobEvent::new("queue", message).field("worker_id", id.as_str())
        }
    }
}

/// What a request needs of the worker that takes it.
pub(super) fn want(infer: &Infer) -> Want {
    Want {
        model: infer.model.clone(),
        hive_id: infer.hive_id.clone(),
        worker_id: infer.worker_id.clone(),
        device: infer.device.clone(),
    }
}

fn request(infer: Infer, id: &RequestId, job: &JobHandle) -> InferenceRequest {
    InferenceRequest {
        request_id: Some(id.clone()),
        prompt: infer.prompt,
        messages: infer.messages,
        prompt_tokens: None,
        max_tokens: infer.max_tokens,
        temperature: infer.temperature,
        top_p: infer.top_p,
        top_k: infer.top_k,
        min_p: infer.min_p,
        repetition_penalty: infer.repetition_penalty,
        seed: infer.seed,
        stop: infer.stop,
        deadline_ms: job.deadline().map(|deadline| deadline.remaining_ms(Instant::now())),
    }
}
