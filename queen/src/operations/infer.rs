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

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use client::{ClientError, Daemon, InferenceItem, InferenceStream};
use daemon::jobs::{Failure, JobHandle};
use futures::{FutureExt, future::BoxFuture};
use protocol::{
    ApiError, ErrorCode, HiveId, ModelRef, RequestId, WorkerId,
    fleet::{Fleet, HiveState, WorkerRecord},
    inference::{InferenceEvent, InferenceRequest, InferenceStats},
    job::{EndMarker, JobEvent},
    operation::{HiveOperation, Infer, Target, WorkerSpawn},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Operations;
use crate::scheduler::{Place, Slot, Turn, Wait, Want};

/// How long a broken connection is tried again before the worker counts as
/// lost: a little less than a worker keeps a request that nobody reads.
const RESUME_FOR: Duration = Duration::from_secs(55);
const RESUME_EVERY: Duration = Duration::from_millis(100);
/// How long a queen who was started again waits for the workers to be known to
/// her before she tells a request that waits that nobody is there.
const FLEET_WAIT: Duration = Duration::from_secs(30);
/// How long the hive's word on a worker's death is waited for. It makes the
/// error better, not later than a person would notice.
const EXIT_REPORT_WAIT: Duration = Duration::from_millis(600);
/// How long the worker may take to confirm a cancel or an acknowledgement.
const DELETE_TIMEOUT: Duration = Duration::from_secs(5);
/// Tokens that are ready at once share one commit.
const BATCH_MAX: usize = 64;

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

/// One request on one worker.
struct Relay<'a> {
    operations: &'a Operations,
    job: &'a JobHandle,
    underway: Underway,
    daemon: Daemon,
    /// The text so far, for a caller that wants it in one piece.
    text: String,
    tokens: u32,
    stats: Option<InferenceStats>,
    /// When it was accepted, while its first token is awaited.
    accepted_at: Option<Instant>,
}

impl<'a> Relay<'a> {
    /// Of a request whose first `tokens` tokens have been passed on.
    async fn new(
        operations: &'a Operations,
        underway: Underway,
        job: &'a JobHandle,
        tokens: u32,
        accepted_at: Option<Instant>,
    ) -> Result<Self, ApiError> {
        let daemon = operations.worker_at(&underway).await?;
        let mut daemon = daemon.with_deadline(job.deadline());
        if let Some(id) = job.request_id() {
            daemon = daemon.with_request_id(id);
        }
        let text = String::new();
        Ok(Self { operations, job, underway, daemon, text, tokens, stats: None, accepted_at })
    }

    /// Makes the request, or reads on in one that was made before.
    async fn run(mut self, request: Option<InferenceRequest>) -> Result<(), Failure> {
        let job = self.job;
        let outcome = job.unless_cancelled(self.relay(request)).await.and_then(|outcome| outcome);
        // Ends it there when it still runs, and lets the worker forget its
        // tokens when it does not.
        let delete = self.daemon.with_deadline(None);
        let delete = delete.delete_inference(&self.underway.request_id);
        match tokio::time::timeout(DELETE_TIMEOUT, delete).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(worker = %self.underway.worker_id, error = %error.one_line(), "no acknowledgement");
            }
            Err(_) => {
                tracing::warn!(worker = %self.underway.worker_id, "a cancel was not confirmed in time")
            }
        }
        outcome?;
        self.report().await;
        Ok(())
    }

    /// Reads the answer to its end, across broken connections.
    async fn relay(&mut self, request: Option<InferenceRequest>) -> Result<(), Failure> {
        let is_new = request.is_some();
        let first = match request {
            Some(request) => self.daemon.infer(&request).await,
            None => self.daemon.resume_inference(&self.underway.request_id, self.tokens).await,
        };
        let mut stream = match (first, is_new) {
            (Ok(stream), _) => stream,
            (Err(ClientError::Api(error)), true) => return Err(error.into()),
            (Err(error), _) => self.resume(error).await?,
        };
        loop {
            match self.read(&mut stream).await {
                Ok(EndMarker::Done) => return Ok(()),
                Ok(EndMarker::Cancelled) => return Err(Failure::Cancelled),
                Ok(EndMarker::Error(line)) => {
                    let message = format!("worker {}: {line}", self.underway.worker_id);
                    return Err(ApiError::new(ErrorCode::WorkerLost, message).into());
                }
                Err(error) => stream = self.resume(error).await?,
            }
        }
    }

    async fn read(&mut self, stream: &mut InferenceStream) -> Result<EndMarker, ClientError> {
        loop {
            let mut item = stream.next_item().await;
            let mut batch = Vec::new();
            // Whatever has arrived meanwhile goes out in the same commit.
            let end = loop {
                match item {
                    Some(Ok(InferenceItem::Event(event))) => batch.extend(self.take(event)),
                    Some(Ok(InferenceItem::End(end))) => break Some(Ok(end)),
                    Some(Err(error)) => break Some(Err(error)),
                    None => {
                        break Some(Ok(EndMarker::Error("it stopped without an end".to_owned())));
                    }
                }
                if batch.len() >= BATCH_MAX {
                    break None;
                }
                match stream.next_item().now_or_never() {
                    Some(next) => item = next,
                    None => break None,
                }
            };
            self.job.emit_all(batch).await;
            if let Some(end) = end {
                return end;
            }
        }
    }

    fn take(&mut self, event: InferenceEvent) -> Option<JobEvent> {
        match event {
            InferenceEvent::Token { message, index, .. } => {
                self.tokens = index + 1;
                if let Some(accepted_at) = self.accepted_at.take() {
                    self.operations.first_tokens.note(accepted_at.elapsed());
                }
                if self.underway.stream_tokens {
                    // A token whose bytes are held back has no text of its own.
                    return (!message.is_empty()).then(|| JobEvent::token(message, index));
                }
                self.text.push_str(&message);
                None
            }
            InferenceEvent::Stats { fields } => {
                self.stats = Some(fields);
                None
            }
        }
    }

    /// After a broken connection: the same request again, from the next token
    /// on, unless the worker is dead.
    async fn resume(&self, broken: ClientError) -> Result<InferenceStream, Failure> {
        let began = Instant::now();
        let mut last = broken;
        loop {
            if let ClientError::Deadline(error) = last {
                return Err(error.into());
            }
            // Whoever answers there does not know this request: the worker is
            // another one, or the request never arrived.
            if last.is_refused() || last.api().is_some() || self.is_known_gone() {
                return Err(self.lost(&last).await.into());
            }
            match self.daemon.resume_inference(&self.underway.request_id, self.tokens).await {
                Ok(stream) => {
                    let message =
                        format!("the connection to {} broke and is back", self.underway.worker_id);
                    self.job.warn("resume", message).await;
                    return Ok(stream);
                }
                Err(error) if began.elapsed() >= RESUME_FOR => {
                    return Err(self.lost(&error).await.into());
                }
                Err(error) => last = error,
            }
            tokio::time::sleep(RESUME_EVERY).await;
        }
    }

    /// Whether its hive has said that this life of the worker is over. Behind a
    /// tunnel nobody else says so: there a refusal comes from the tunnel.
    fn is_known_gone(&self) -> bool {
        let Underway { worker_id, hive_id, incarnation, .. } = &self.underway;
        self.operations.fleet.look(|registry| match registry.worker(worker_id) {
            Some(record) => record.state.is_down() || record.incarnation != *incarnation,
            None => registry.hive(hive_id).is_some_and(|hive| hive.state == HiveState::Ready),
        })
    }

    fn end_told(&self, fleet: &Fleet) -> Option<String> {
        match fleet.workers.get(&self.underway.worker_id) {
            // Another life of it does not have this request.
            Some(record)
                if record.state.is_down() || record.incarnation != self.underway.incarnation =>
            {
                let exit = record.last_exit.as_ref();
                Some(exit.map_or("was started anew", |exit| &exit.reason).to_owned())
            }
            Some(_) => None,
            None => Some("was removed".to_owned()),
        }
    }

    /// The one error of a request whose worker is gone: what its hive saw, or
    /// at least what the connection said.
    async fn lost(&self, cause: &ClientError) -> ApiError {
        let ended = self.operations.feed().wait_for(|fleet| self.end_told(fleet));
        let reason = match tokio::time::timeout(EXIT_REPORT_WAIT, ended).await {
            Ok(reason) => reason,
            Err(_) => format!("cannot be reached any more: {}", cause.one_line()),
        };
        let message =
            format!("worker {} {reason} after {} tokens", self.underway.worker_id, self.tokens);
        ApiError::new(ErrorCode::WorkerLost, message)
            .with_hint(format!("see why: rbee-keeper worker get {}", self.underway.worker_id))
    }

    async fn report(self) {
        let mut result = json!({
            "model": self.underway.model,
            "worker_id": self.underway.worker_id,
            "hive_id": self.underway.hive_id,
        });
        let mut summary = format!("{} tokens", self.tokens);
        if let Some(stats) = &self.stats {
            result["stats"] = json!(stats);
            summary = format!("{} tokens", stats.generated_tokens);
            if let Some(rate) = stats.tokens_per_second {
                summary.push_str(&format!(", {rate:.1} tokens/s"));
            }
            if let Some(ttft) = stats.time_to_first_token_ms {
                summary.push_str(&format!(", first after {ttft:.0} ms"));
            }
        }
        if !self.underway.stream_tokens {
            result["text"] = json!(self.text);
        }
        self.job.result(summary, result).await;
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
