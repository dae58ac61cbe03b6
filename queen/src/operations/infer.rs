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
//! on, and nothing is generated twice.

use std::time::{Duration, Instant};

use client::{ClientError, Daemon, InferenceItem, InferenceStream};
use daemon::jobs::{Failure, JobHandle};
use futures::FutureExt;
use protocol::{
    ApiError, ErrorCode, HiveId, RequestId, WorkerId,
    fleet::WorkerRecord,
    inference::{InferenceEvent, InferenceRequest, InferenceStats},
    job::{EndMarker, JobEvent},
    operation::{HiveOperation, Infer, Target, WorkerSpawn},
};
use serde_json::json;

use super::Operations;
use crate::scheduler::{Place, Slot, Turn, Want};

/// How long a broken connection is tried again before the worker counts as
/// lost.
const RESUME_FOR: Duration = Duration::from_secs(30);
const RESUME_EVERY: Duration = Duration::from_millis(100);
/// How long the hive's word on a worker's death is waited for. It makes the
/// error better, not later than a person would notice.
const EXIT_REPORT_WAIT: Duration = Duration::from_millis(600);
/// How long the worker may take to confirm a cancel or an acknowledgement.
const DELETE_TIMEOUT: Duration = Duration::from_secs(5);
/// Tokens that are ready at once share one commit.
const BATCH_MAX: usize = 64;

impl Operations {
    pub(super) async fn infer(&self, infer: Infer, job: &JobHandle) -> Result<(), Failure> {
        if let Some(id) = &infer.hive_id {
            self.hives.record(id)?;
        }
        if infer.model.is_demo() && infer.worker_id.is_none() {
            self.provision_demo(&infer, job).await?;
        }
        let want = want(&infer);
        let slot = self.wait_for_slot(want, job).await?;
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
        // The slot is given back when the relay is over, however it ends.
        Relay::new(self, &worker, infer, job)?.run().await
    }

    async fn wait_for_slot(&self, want: Want, job: &JobHandle) -> Result<Slot, Failure> {
        let mut claim = self.scheduler.claim(want);
        loop {
            match job.unless_cancelled(claim.next()).await?? {
                Turn::Has(slot) => return Ok(slot),
                Turn::Waits(Place { place, of }) => {
                    job.queued().await;
                    let message = format!("no slot is free: place {place} of {of}");
                    let event = JobEvent::new("queue", message);
                    job.emit(event.field("place", place).field("of", of)).await;
                }
            }
        }
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
        self.hives.start(&hive_id, job).await?;
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
    worker: &'a WorkerRecord,
    daemon: Daemon,
    request: InferenceRequest,
    request_id: RequestId,
    stream_tokens: bool,
    /// The text so far, for a caller that wants it in one piece.
    text: String,
    tokens: u32,
    stats: Option<InferenceStats>,
}

impl<'a> Relay<'a> {
    fn new(
        operations: &'a Operations,
        worker: &'a WorkerRecord,
        infer: Infer,
        job: &'a JobHandle,
    ) -> Result<Self, ApiError> {
        let lost = |reason: String| {
            ApiError::new(ErrorCode::WorkerLost, format!("worker {}: {reason}", worker.id))
        };
        let url = worker.url.as_deref().ok_or_else(|| lost("it has no address yet".to_owned()))?;
        let mut daemon = Daemon::new(url)
            .map_err(|error| lost(error.one_line()))?
            .named("worker")
            .with_deadline(job.deadline());
        if let Some(id) = job.request_id() {
            daemon = daemon.with_request_id(id);
        }
        let request_id = RequestId::generate();
        let stream_tokens = infer.stream;
        Ok(Self {
            operations,
            job,
            worker,
            daemon,
            request: request(infer, &request_id, job),
            request_id,
            stream_tokens,
            text: String::new(),
            tokens: 0,
            stats: None,
        })
    }

    async fn run(mut self) -> Result<(), Failure> {
        let job = self.job;
        let outcome = job.unless_cancelled(self.relay()).await.and_then(|outcome| outcome);
        // Ends it there when it still runs, and lets the worker forget its
        // tokens when it does not.
        let delete = self.daemon.with_deadline(None);
        let delete = delete.delete_inference(&self.request_id);
        match tokio::time::timeout(DELETE_TIMEOUT, delete).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(worker = %self.worker.id, error = %error.one_line(), "no acknowledgement");
            }
            Err(_) => {
                tracing::warn!(worker = %self.worker.id, "a cancel was not confirmed in time")
            }
        }
        outcome?;
        self.report().await;
        Ok(())
    }

    /// Reads the answer to its end, across broken connections.
    async fn relay(&mut self) -> Result<(), Failure> {
        let mut stream = match self.daemon.infer(&self.request).await {
            Ok(stream) => stream,
            Err(error) => self.resume(error).await?,
        };
        loop {
            match self.read(&mut stream).await {
                Ok(EndMarker::Done) => return Ok(()),
                Ok(EndMarker::Cancelled) => return Err(Failure::Cancelled),
                Ok(EndMarker::Error(line)) => {
                    let message = format!("worker {}: {line}", self.worker.id);
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
                if self.stream_tokens {
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
        if let Some(error) = broken.api() {
            return Err(error.clone().into());
        }
        let began = Instant::now();
        let mut last = broken;
        loop {
            if last.is_refused() {
                return Err(self.lost(&last).await.into());
            }
            match self.daemon.resume_inference(&self.request_id, self.tokens).await {
                Ok(stream) => {
                    let message = format!("the connection to {} broke and is back", self.worker.id);
                    self.job.warn("resume", message).await;
                    return Ok(stream);
                }
                Err(error)
                    if error.api().is_some_and(|api| api.code == ErrorCode::RequestNotFound) =>
                {
                    // The request never arrived, or the worker is another one.
                    return Err(self.lost(&last).await.into());
                }
                Err(error) if began.elapsed() >= RESUME_FOR => {
                    return Err(self.lost(&error).await.into());
                }
                Err(error) => last = error,
            }
            tokio::time::sleep(RESUME_EVERY).await;
        }
    }

    /// The one error of a request whose worker is gone: what its hive saw, or
    /// at least what the connection said.
    async fn lost(&self, cause: &ClientError) -> ApiError {
        let ended =
            self.operations.feed().wait_for(|fleet| match fleet.workers.get(&self.worker.id) {
                // Another life of it does not have this request.
                Some(record)
                    if record.state.is_down() || record.incarnation != self.worker.incarnation =>
                {
                    let exit = record.last_exit.as_ref();
                    Some(exit.map_or("was started anew", |exit| &exit.reason).to_owned())
                }
                Some(_) => None,
                None => Some("was removed".to_owned()),
            });
        let reason = match tokio::time::timeout(EXIT_REPORT_WAIT, ended).await {
            Ok(reason) => reason,
            Err(_) => format!("cannot be reached any more: {}", cause.one_line()),
        };
        let message = format!("worker {} {reason} after {} tokens", self.worker.id, self.tokens);
        ApiError::new(ErrorCode::WorkerLost, message)
            .with_hint(format!("see why: rbee-keeper worker get {}", self.worker.id))
    }

    async fn report(self) {
        let mut result = json!({
            "model": self.request_model(),
            "worker_id": self.worker.id,
            "hive_id": self.worker.hive_id,
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
        if !self.stream_tokens {
            result["text"] = json!(self.text);
        }
        self.job.result(summary, result).await;
    }

    fn request_model(&self) -> &protocol::ModelRef {
        &self.worker.model
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
