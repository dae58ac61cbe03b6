//! Jobs: accepted at the POST, run whether or not anybody reads, ended exactly
//! once.
//!
//! ```text
//! POST ─▶ parse ─▶ commit ─▶ run ──▶ commit end ─▶ forget (the store has it)
//!                              │ events: commit, then show
//!                              └─ DELETE / deadline / shutdown: the token, then 10 s of grace
//! ```
//!
//! A handler publishes only through the [`JobHandle`] it was given, so an
//! event without its job cannot be written down. Every event is committed to
//! the store before a reader can see it. The end is a compare-and-set in the
//! store, so that a cancel that races with completion leaves one end.

mod http;
mod log;
mod store;

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use protocol::{
    ApiError, ErrorCode, JobId,
    deadline::Deadline,
    fleet::{FeedEvent, FeedToken, Gone, Narration},
    job::{End, JobEvent, JobRecord, JobState, Level},
    operation::Target,
};
use serde_json::Value;
use tokio::{sync::OwnedMutexGuard, task::JoinError};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    log::{Entry, JobLog},
    store::Store,
};
use crate::{
    feed::Feed,
    lock,
    metrics::{JOB_DURATION, JOBS, JOBS_RUNNING},
    now,
};

pub use self::store::{Retention, StoreError};

/// Jobs at work at the same time; the next POST is answered 429.
const RUNNING_MAX: usize = 1_024;
/// Events one job may have. A job that says more than a person can read in a
/// week is broken; it goes on, and says so once.
const EVENTS_MAX: u64 = 1_000_000;
/// A cancelled handler cleans up in this time or is dropped where it stands.
const CANCEL_GRACE: Duration = Duration::from_secs(10);

/// What a daemon does with an operation.
pub trait Execute: Send + Sync + 'static {
    /// A checked operation.
    type Operation: Send + 'static;

    /// Reads and checks a body.
    fn parse(&self, body: &[u8]) -> Result<Self::Operation, ApiError>;

    /// The operation's name and what it concerns.
    fn describe(operation: &Self::Operation) -> (&'static str, Target);

    /// Does it. Returning is what ends the job.
    fn run(
        self: Arc<Self>,
        operation: Self::Operation,
        job: JobHandle,
    ) -> BoxFuture<'static, Result<(), Failure>>;
}

/// Why a handler gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It failed.
    Error(ApiError),
    /// It was cancelled and has cleaned up.
    Cancelled,
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

/// Why a running job is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interruption {
    Cancelled,
    Deadline,
    Shutdown,
}

/// The jobs of one daemon. Cheap to clone.
#[derive(Clone)]
pub struct Jobs {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    feed: Feed,
    /// `queen` or `hive`.
    actor: &'static str,
    live: Mutex<HashMap<JobId, Arc<Live>>>,
    tasks: TaskTracker,
    /// No new jobs.
    draining: AtomicBool,
    /// Running jobs are told to end.
    shutdown: CancellationToken,
}

/// A job that has not ended.
struct Live {
    log: Arc<JobLog>,
    cancel: CancellationToken,
    /// One publisher at a time: numbers are given and committed in order.
    publishing: Arc<tokio::sync::Mutex<()>>,
    accepted_at: Instant,
}

/// What a new job is made from besides its operation.
#[derive(Debug, Clone, Default)]
pub struct Submission {
    /// The same key twice is the same job.
    pub idempotency_key: Option<String>,
    /// When the whole call must be over.
    pub deadline: Option<Deadline>,
    /// The caller's id of the request, for the logs.
    pub request_id: Option<String>,
}

impl Jobs {
    /// Opens the log at `file`. Jobs that a former life of this daemon left
    /// without an end are ended with an error that says so.
    pub async fn open(
        file: &Path,
        actor: &'static str,
        retention: Retention,
        feed: Feed,
    ) -> Result<Self, StoreError> {
        let shared = Shared {
            store: Store::open(file)?,
            feed,
            actor,
            live: Mutex::default(),
            tasks: TaskTracker::new(),
            draining: AtomicBool::new(false),
            shutdown: CancellationToken::new(),
        };
        let jobs = Self { shared: Arc::new(shared) };
        jobs.shared.change_live(|_| {});
        jobs.end_orphans().await?;
        jobs.prune(retention).await?;
        let newest = jobs.shared.store.list(None, retention.jobs_max).await?;
        for record in newest {
            jobs.shared.feed.publish(FeedEvent::Job(record.into()));
        }
        Ok(jobs)
    }

    async fn end_orphans(&self) -> Result<(), StoreError> {
        for record in self.shared.store.unended().await? {
            let error = ApiError::new(
                ErrorCode::Unavailable,
                format!("the {} stopped while this job ran", self.shared.actor),
            )
            .with_hint("run it again");
            let end = End::Error { error };
            self.shared.store.end(ended(record, &end), end).await?;
        }
        Ok(())
    }

    /// Forgets ended jobs beyond the retention.
    pub async fn prune(&self, retention: Retention) -> Result<(), StoreError> {
        for id in self.shared.store.prune(retention, now()).await? {
            self.shared.feed.publish(FeedEvent::Job(protocol::fleet::Change::Gone(Gone::new(id))));
        }
        Ok(())
    }

    /// Accepts an operation and starts it.
    pub async fn submit<E: Execute>(
        &self,
        execute: Arc<E>,
        operation: E::Operation,
        submission: Submission,
    ) -> Result<JobId, ApiError> {
        self.admit()?;
        let (name, target) = E::describe(&operation);
        let record = new_record(name, target);
        let id = record.id.clone();
        let known = self.shared.store.create(record.clone(), submission.idempotency_key).await;
        if let Some(known) = self.written(known)? {
            return Ok(known);
        }
        let live = Arc::new(Live {
            log: Arc::new(JobLog::new(record.clone())),
            cancel: CancellationToken::new(),
            publishing: Arc::default(),
            accepted_at: Instant::now(),
        });
        self.shared.change_live(|running| running.insert(id.clone(), Arc::clone(&live)));
        self.shared.feed.publish(FeedEvent::Job(record.into()));
        let job = JobHandle {
            id: id.clone(),
            live,
            shared: Arc::clone(&self.shared),
            deadline: submission.deadline,
            request_id: submission.request_id.map(Arc::from),
            actor: self.shared.actor,
            result: None,
        };
        self.shared.tasks.spawn(run(execute, operation, job));
        Ok(id)
    }

    fn admit(&self) -> Result<(), ApiError> {
        if self.shared.draining.load(Ordering::Relaxed) {
            let message = format!("the {} is shutting down", self.shared.actor);
            return Err(ApiError::new(ErrorCode::Unavailable, message));
        }
        if lock(&self.shared.live).len() >= RUNNING_MAX {
            let message = format!("{RUNNING_MAX} jobs are running already");
            return Err(ApiError::new(ErrorCode::QueueFull, message)
                .with_hint("wait for one to end, or cancel one"));
        }
        Ok(())
    }

    /// Logs a failed write and turns its error into the caller's.
    fn written<T>(&self, result: Result<T, StoreError>) -> Result<T, ApiError> {
        self.shared.written(result)
    }

    /// Asks a job to stop; its own end says whether it did.
    pub async fn cancel(&self, id: &JobId) -> Result<(), ApiError> {
        if let Some(live) = self.live(id) {
            live.cancel.cancel();
            return Ok(());
        }
        let record = self.get(id).await?;
        Err(ApiError::new(ErrorCode::Conflict, format!("job {id} is {} already", record.state)))
    }

    /// A job's record.
    pub async fn get(&self, id: &JobId) -> Result<JobRecord, ApiError> {
        Ok(self.log(id).await?.record())
    }

    /// The newest jobs, newest first.
    pub async fn list(
        &self,
        state: Option<JobState>,
        limit: u32,
    ) -> Result<Vec<JobRecord>, ApiError> {
        self.shared.store.list(state, limit).await.map_err(unreadable)
    }

    /// How many jobs have not ended.
    pub fn running(&self) -> usize {
        lock(&self.shared.live).len()
    }

    async fn log(&self, id: &JobId) -> Result<Arc<JobLog>, ApiError> {
        if let Some(live) = self.live(id) {
            return Ok(Arc::clone(&live.log));
        }
        match self.shared.store.load(id.clone()).await.map_err(unreadable)? {
            Some(log) => Ok(Arc::new(log)),
            None => Err(ApiError::new(ErrorCode::JobNotFound, format!("no job {id} here"))
                .with_hint("GET /v1/jobs lists the jobs that are kept")),
        }
    }

    fn live(&self, id: &JobId) -> Option<Arc<Live>> {
        lock(&self.shared.live).get(id).cloned()
    }

    /// Takes no more jobs, lets the running ones finish for `grace`, then ends
    /// them. When this returns, every job has its end.
    pub async fn drain(&self, grace: Duration) {
        self.shared.draining.store(true, Ordering::Relaxed);
        self.shared.tasks.close();
        if tokio::time::timeout(grace, self.shared.tasks.wait()).await.is_err() {
            self.shared.shutdown.cancel();
            self.shared.tasks.wait().await;
        }
    }
}

fn unreadable(error: StoreError) -> ApiError {
    ApiError::new(ErrorCode::Unavailable, error.to_string())
}

impl Shared {
    fn change_live<T>(&self, change: impl FnOnce(&mut HashMap<JobId, Arc<Live>>) -> T) {
        let mut live = lock(&self.live);
        change(&mut live);
        // Under the lock, so that the newest number is the last one set.
        self.feed.metrics().set(&JOBS_RUNNING, &[], live.len() as f64);
    }

    fn written<T>(&self, result: Result<T, StoreError>) -> Result<T, ApiError> {
        result.map_err(|error| {
            tracing::error!(%error, "cannot write the job log");
            unreadable(error)
        })
    }
}

fn new_record(operation: &str, target: Target) -> JobRecord {
    JobRecord {
        id: JobId::generate(),
        operation: operation.to_owned(),
        state: JobState::Queued,
        created_at: now(),
        started_at: None,
        ended_at: None,
        hive_id: target.hive_id,
        worker_id: target.worker_id,
        model: target.model,
        progress: None,
        last_message: None,
        last_event: 0,
        error: None,
    }
}

fn ended(mut record: JobRecord, end: &End) -> JobRecord {
    record.state = end.state();
    record.ended_at = Some(now());
    record.progress = None;
    if let End::Error { error } = end {
        record.error = Some(error.clone());
    }
    record
}

async fn run<E: Execute>(execute: Arc<E>, operation: E::Operation, job: JobHandle) {
    job.running().await;
    let outcome = {
        let work = AssertUnwindSafe(execute.run(operation, job.clone())).catch_unwind();
        tokio::pin!(work);
        let interrupted = tokio::select! {
            biased;
            outcome = work.as_mut() => Ok(outcome),
            why = job.interrupted() => Err(why),
        };
        match interrupted {
            Ok(outcome) => outcome,
            Err(why) => {
                job.live.cancel.cancel();
                let outcome = tokio::time::timeout(CANCEL_GRACE, work).await;
                job.after(why, outcome.unwrap_or(Ok(Err(Failure::Cancelled))))
            }
        }
    };
    let end = match outcome {
        Ok(Ok(())) => End::Done,
        Ok(Err(Failure::Cancelled)) => End::Cancelled,
        Ok(Err(Failure::Error(error))) => End::Error { error },
        Err(_panic) => End::Error {
            error: ApiError::new(ErrorCode::Internal, "the operation hit a bug")
                .with_hint(format!("the {}'s log has the details", job.shared.actor)),
        },
    };
    job.end(end).await;
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
    /// The job.
    pub fn id(&self) -> &JobId {
        &self.id
    }

    /// When the whole call must be over.
    pub fn deadline(&self) -> Option<Deadline> {
        self.deadline
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

    /// Gives the structured result, with a line that sums it up.
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
        let turn = self.turn().await;
        let job = self.clone();
        whole(turn, async move { job.publish(events).await }).await;
    }

    /// The turn to write. Taken by the caller itself, so that the end of the
    /// job comes after everything that was begun before it.
    async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.live.publishing).lock_owned().await
    }

    async fn publish(&self, mut events: Vec<JobEvent>) {
        let log = &self.live.log;
        let first = log.last_event() + 1;
        if first + events.len() as u64 > EVENTS_MAX {
            if first >= EVENTS_MAX {
                return;
            }
            events = vec![
                JobEvent::new(
                    "log_full",
                    format!("more than {EVENTS_MAX} events; the rest is not kept"),
                )
                .level(Level::Warn),
            ];
        }
        let mut record = log.record();
        for event in &mut events {
            self.complete(event);
            if !event.is_token() {
                record.last_message = Some(event.message.clone());
                record.progress = event.progress().or(record.progress);
            }
        }
        record.last_event = first + events.len() as u64 - 1;
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
                let index = event.fields.get("index").and_then(Value::as_u64).unwrap_or_default();
                let index = u32::try_from(index).unwrap_or(u32::MAX);
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
        if state == JobState::Running && record.started_at.is_none() {
            record.started_at = Some(now());
        }
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
    async fn show(&self, turn: OwnedMutexGuard<()>, record: JobRecord) {
        let job = self.clone();
        whole(turn, async move {
            let result = job.shared.store.update(record.clone()).await;
            let _ = job.shared.written(result);
            job.live.log.append([], record.clone());
            job.shared.feed.publish(FeedEvent::Job(record.into()));
        })
        .await;
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
        let _turn = self.turn().await;
        let record = ended(self.live.log.record(), &end);
        let result = self.shared.store.end(record.clone(), end.clone()).await;
        let _ = self.shared.written(result);
        self.live.log.end(end, record.clone());
        self.shared.change_live(|running| running.remove(&self.id));
        let metrics = self.shared.feed.metrics();
        let operation = ("operation", record.operation.as_str());
        metrics.count(&JOBS, &[operation, ("state", record.state.as_str())]);
        metrics.observe(&JOB_DURATION, &[operation], self.live.accepted_at.elapsed().as_secs_f64());
        self.shared.feed.publish(FeedEvent::Job(record.into()));
    }
}

/// Writes in a task of its own: a handler that is dropped at any await must
/// not leave behind an event that is in the log and was never shown.
async fn whole(turn: OwnedMutexGuard<()>, write: impl Future<Output = ()> + Send + 'static) {
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

#[cfg(test)]
mod tests;
