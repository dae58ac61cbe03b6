//! What a handler holds of its job.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
};

use futures::FutureExt;
use protocol::{
    ApiError, ErrorCode, JobId,
    deadline::Deadline,
    fleet::{FeedEvent, FeedToken, Narration},
    job::{End, JobEvent, JobRecord, JobState, Level},
    operation::Target,
};
use serde_json::Value;
use tokio::{sync::OwnedMutexGuard, task::JoinError};

use super::{
    CANCEL_GRACE, EVENTS_MAX, Failure, Held, Live, Shared, Submission, deadline_at, ended,
    left_behind, log::Entry, store::Checkpoint,
};
use crate::{
    lock,
    metrics::{JOB_DURATION, JOBS},
    now,
};

/// Why a running job is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interruption {
    Cancelled,
    Deadline,
    Shutdown,
}

type Outcome = Result<Result<(), Failure>, Box<dyn std::any::Any + Send>>;

/// A job's handler writes to its job through this and through nothing else.
#[derive(Clone)]
pub struct JobHandle {
    id: JobId,
    live: Arc<Live>,
    shared: Arc<Shared>,
    deadline: Option<Deadline>,
    request_id: Option<Arc<str>>,
    /// Who speaks through this handle.
    actor: &'static str,
    /// Where the result goes instead of into the log.
    result: Option<Arc<Mutex<Option<JobEvent>>>>,
}

impl JobHandle {
    pub(super) fn new(id: JobId, live: Arc<Live>, shared: Arc<Shared>, from: Submission) -> Self {
        Self {
            id,
            live,
            actor: shared.actor,
            shared,
            deadline: from.deadline,
            request_id: from.request_id.map(Arc::from),
            result: None,
        }
    }

    /// The job.
    pub fn id(&self) -> &JobId {
        &self.id
    }

    /// When the whole call must be over.
    pub fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }

    /// Leaves word of how far this job has come, in place of what was left
    /// before: what the next life of this daemon goes on from, should this one
    /// end now. A disk that is full costs the resumption and not the job.
    pub async fn checkpoint(&self, state: Value) {
        let turn = self.turn().await;
        let checkpoint = Checkpoint { deadline_at: deadline_at(self.deadline), state };
        let job = self.clone();
        whole(turn, async move {
            let result = job.shared.store.checkpoint(job.id.clone(), checkpoint).await;
            let _ = job.shared.written(result);
        })
        .await;
    }

    /// The index of the last token that was shown.
    pub fn last_token(&self) -> Option<u32> {
        self.live.log.newest(|entry| {
            let event: JobEvent = serde_json::from_str(&entry.json).ok()?;
            event.token_index()
        })
    }

    /// The error of a job that its former life left and that cannot go on.
    pub fn left_behind(&self) -> ApiError {
        left_behind(self.shared.actor)
    }

    /// Lets somebody else do a part of this job: what they say is said under
    /// their name, and their result is handed over instead of published.
    pub fn part(&self, actor: &'static str) -> Part {
        let result = Arc::default();
        let job = Self { actor, result: Some(Arc::clone(&result)), ..self.clone() };
        Part { job, result }
    }

    /// The caller's id of the request, passed on to whoever is asked next.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Resolves when the handler should clean up and return
    /// [`Failure::Cancelled`].
    pub async fn cancelled(&self) {
        self.live.cancel.cancelled().await;
    }

    /// Runs `work` unless the job is cancelled first; `work` is dropped then.
    pub async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            done = work => Ok(done),
            () = self.cancelled() => Err(Failure::Cancelled),
        }
    }

    /// Says one line.
    pub async fn narrate(&self, event: &str, message: impl Into<String>) {
        self.emit(JobEvent::new(event, message)).await;
    }

    /// Says one line that a person should look at.
    pub async fn warn(&self, event: &str, message: impl Into<String>) {
        self.emit(JobEvent::new(event, message).level(Level::Warn)).await;
    }

    /// Gives the structured result, with a line that sums it up. It is shown
    /// together with what comes next, which is the end if nothing else does.
    pub async fn result(&self, summary: impl Into<String>, result: Value) {
        self.emit(JobEvent::result(summary, result)).await;
    }

    /// Publishes one event.
    pub async fn emit(&self, event: JobEvent) {
        self.emit_all(vec![event]).await;
    }

    /// Publishes events in one commit. What another daemon said keeps its
    /// actor and its time.
    pub async fn emit_all(&self, mut events: Vec<JobEvent>) {
        if let Some(result) = &self.result {
            let handed_over = events.extract_if(.., |event| event.as_result().is_some()).last();
            if handed_over.is_some() {
                *lock(result) = handed_over;
            }
        }
        if events.is_empty() {
            return;
        }
        let mut turn = self.turn().await;
        events.iter_mut().for_each(|event| self.complete(event));
        events.splice(0..0, turn.take());
        *turn = events.pop_if(|event| event.as_result().is_some());
        if events.is_empty() {
            return;
        }
        let job = self.clone();
        whole(turn, async move { job.publish(events).await }).await;
    }

    /// The turn to write. Taken by the caller itself, so that the end of the
    /// job comes after everything that was begun before it.
    async fn turn(&self) -> OwnedMutexGuard<Held> {
        Arc::clone(&self.live.publishing).lock_owned().await
    }

    async fn publish(&self, mut events: Vec<JobEvent>) {
        let log = &self.live.log;
        let first = log.last_event() + 1;
        if first + events.len() as u64 > EVENTS_MAX {
            if first >= EVENTS_MAX {
                return;
            }
            let text = format!("more than {EVENTS_MAX} events; the rest is not kept");
            let mut full = JobEvent::new("log_full", text).level(Level::Warn);
            self.complete(&mut full);
            events = vec![full];
        }
        let record = after(log.record(), &events);
        let entries: Vec<Entry> = events.iter().map(Entry::new).collect();
        let result = self.shared.store.append(record.clone(), first, entries.clone()).await;
        // A disk that is full must not stop what runs: the event is shown. New
        // jobs are refused, because they cannot be committed either.
        let _ = self.shared.written(result);
        log.append(entries, record.clone());
        self.feed(events, record);
    }

    fn complete(&self, event: &mut JobEvent) {
        if event.is_token() {
            return;
        }
        event.actor.get_or_insert_with(|| self.actor.to_owned());
        event.level.get_or_insert_default();
        event.at.get_or_insert_with(now);
    }

    fn feed(&self, events: Vec<JobEvent>, record: JobRecord) {
        let feed = &self.shared.feed;
        let only_tokens = events.iter().all(JobEvent::is_token);
        for event in events {
            let job_id = self.id.clone();
            if event.is_token() {
                let index = event.token_index().unwrap_or_default();
                feed.publish(FeedEvent::Token(FeedToken { job_id, text: event.message, index }));
            } else {
                feed.publish(FeedEvent::Narration(Narration { job_id, event }));
            }
        }
        if !only_tokens {
            feed.publish(FeedEvent::Job(record.into()));
        }
    }

    /// The job waits for its turn.
    pub async fn queued(&self) {
        self.set_state(JobState::Queued).await;
    }

    /// The job is at work.
    pub async fn running(&self) {
        self.set_state(JobState::Running).await;
    }

    async fn set_state(&self, state: JobState) {
        let turn = self.turn().await;
        let mut record = self.live.log.record();
        if record.state == state {
            return;
        }
        record.state = state;
        record.started_at = (state == JobState::Running).then(now);
        self.show(turn, record).await;
    }

    /// The job turns out to concern this worker.
    pub async fn concerns(&self, target: Target) {
        let turn = self.turn().await;
        let mut record = self.live.log.record();
        record.hive_id = target.hive_id.or(record.hive_id);
        record.worker_id = target.worker_id.or(record.worker_id);
        record.model = target.model.or(record.model);
        self.show(turn, record).await;
    }

    /// Commits and shows a record that changed without an event.
    async fn show(&self, turn: OwnedMutexGuard<Held>, record: JobRecord) {
        let job = self.clone();
        whole(turn, async move {
            let result = job.shared.store.update(record.clone()).await;
            let _ = job.shared.written(result);
            job.live.log.append([], record.clone());
            job.shared.feed.publish(FeedEvent::Job(record.into()));
        })
        .await;
    }

    /// Does the work and gives the job its end.
    pub(super) async fn drive(self, work: impl Future<Output = Result<(), Failure>> + Send) {
        let outcome = {
            let work = AssertUnwindSafe(work).catch_unwind();
            tokio::pin!(work);
            let interrupted = tokio::select! {
                biased;
                outcome = work.as_mut() => Ok(outcome),
                why = self.interrupted() => Err(why),
            };
            match interrupted {
                Ok(outcome) => outcome,
                Err(why) => {
                    self.live.cancel.cancel();
                    let outcome = tokio::time::timeout(CANCEL_GRACE, work).await;
                    self.after(why, outcome.unwrap_or(Ok(Err(Failure::Cancelled))))
                }
            }
        };
        let end = match outcome {
            Ok(Ok(())) => End::Done,
            Ok(Err(Failure::Cancelled)) => End::Cancelled,
            Ok(Err(Failure::Error(error))) => End::Error { error },
            Err(_panic) => End::Error {
                error: ApiError::new(ErrorCode::Internal, "the operation hit a bug")
                    .with_hint(format!("the {}'s log has the details", self.shared.actor)),
            },
        };
        self.end(end).await;
    }

    async fn interrupted(&self) -> Interruption {
        let deadline = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.instant().into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.live.cancel.cancelled() => Interruption::Cancelled,
            () = self.shared.shutdown.cancelled() => Interruption::Shutdown,
            () = deadline => Interruption::Deadline,
        }
    }

    /// What a handler's outcome means once it was told to stop: work that was
    /// finished all the same counts as finished.
    fn after(&self, why: Interruption, outcome: Outcome) -> Outcome {
        let error = match (&outcome, why) {
            (Ok(Err(Failure::Cancelled)), Interruption::Deadline) => {
                self.deadline.map(|deadline| deadline.exceeded())
            }
            (Ok(Err(Failure::Cancelled)), Interruption::Shutdown) => Some(
                ApiError::new(
                    ErrorCode::Unavailable,
                    format!("the {} was shut down while this job ran", self.shared.actor),
                )
                .with_hint("run it again"),
            ),
            _ => None,
        };
        match error {
            Some(error) => Ok(Err(Failure::Error(error))),
            None => outcome,
        }
    }

    async fn end(&self, end: End) {
        let mut turn = self.turn().await;
        let record = self.live.log.record();
        let last = turn.take().filter(|_| record.last_event < EVENTS_MAX);
        let record = ended(after(record, last.as_slice()), &end);
        let entry = last.as_ref().map(Entry::new);
        let result = self.shared.store.end(record.clone(), end.clone(), entry.clone()).await;
        let _ = self.shared.written(result);
        self.live.log.end(entry, end, record.clone());
        if let Some(event) = last {
            let job_id = self.id.clone();
            self.shared.feed.publish(FeedEvent::Narration(Narration { job_id, event }));
        }
        self.shared.change_live(|running| running.remove(&self.id));
        let metrics = self.shared.feed.metrics();
        let operation = ("operation", record.operation.as_str());
        metrics.count(&JOBS, &[operation, ("state", record.state.as_str())]);
        metrics.observe(&JOB_DURATION, &[operation], self.live.accepted_at.elapsed().as_secs_f64());
        self.shared.feed.publish(FeedEvent::Job(record.into()));
    }
}

/// The record that these events lead to.
fn after(mut record: JobRecord, events: &[JobEvent]) -> JobRecord {
    for event in events.iter().filter(|event| !event.is_token()) {
        record.last_message = Some(event.message.clone());
        record.progress = event.progress().or(record.progress);
    }
    record.last_event += events.len() as u64;
    record
}

/// Writes in a task of its own: a handler that is dropped at any await must
/// not leave behind an event that is in the log and was never shown.
async fn whole(turn: OwnedMutexGuard<Held>, write: impl Future<Output = ()> + Send + 'static) {
    let written = tokio::spawn(async move {
        write.await;
        drop(turn);
    });
    if let Err(Ok(panic)) = written.await.map_err(JoinError::try_into_panic) {
        std::panic::resume_unwind(panic);
    }
}

/// A part of a job that somebody else does.
pub struct Part {
    /// What they publish through.
    pub job: JobHandle,
    result: Arc<Mutex<Option<JobEvent>>>,
}

impl Part {
    /// Their result, if they gave one.
    pub fn into_result(self) -> Option<JobEvent> {
        lock(&self.result).take()
    }
}
