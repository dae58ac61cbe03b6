//! The answer of one request, read from its worker to its end, across broken
//! connections.

use std::time::{Duration, Instant};

use client::{ClientError, Daemon, InferenceItem, InferenceStream};
use daemon::jobs::{Failure, JobHandle};
use futures::FutureExt;
use protocol::{
    ApiError, ErrorCode,
    fleet::{Fleet, HiveState},
    inference::{InferenceEvent, InferenceRequest, InferenceStats},
    job::{EndMarker, JobEvent},
};
use serde_json::json;

use super::{EXIT_REPORT_WAIT, Operations, Underway};

/// How long a broken connection is tried again before the worker counts as
/// lost: a little less than a worker keeps a request that nobody reads.
const RESUME_FOR: Duration = Duration::from_secs(55);
const RESUME_EVERY: Duration = Duration::from_millis(100);
/// How long the worker may take to confirm a cancel or an acknowledgement.
const DELETE_TIMEOUT: Duration = Duration::from_secs(5);
/// Tokens that are ready at once share one commit.
const BATCH_MAX: usize = 64;

/// One request on one worker.
pub(super) struct Relay<'a> {
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
    pub(super) async fn new(
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
    pub(super) async fn run(mut self, request: Option<InferenceRequest>) -> Result<(), Failure> {
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
