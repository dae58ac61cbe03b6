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
//! the store before a reader can see it, and a result together with the end.
//! The end is a compare-and-set in the store, so that a cancel that races with
//! completion leaves one end.
//!
//! A handler may leave a checkpoint. When the daemon dies, the next life goes
//! on with the job from there; a job without one is ended with an error.

mod handle;
mod http;
mod log;
mod store;

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use protocol::{
    ApiError, ErrorCode, JobId, Timestamp,
    deadline::Deadline,
    fleet::{FeedEvent, Gone},
    job::{End, JobDetails, JobEvent, JobRecord, JobState},
    operation::Target,
};
use serde::Serialize;
use serde_json::Value;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::handle::{JobHandle, Part};
use self::{
    log::JobLog,
    store::{Checkpoint, Store, Unended},
};
use crate::{feed::Feed, lock, metrics::JOBS_RUNNING, now};

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
    /// A checked operation. Its canonical form is kept with the job and shown
    /// to whoever asks for that one job.
    type Operation: Serialize + Send + 'static;

    /// Reads and checks a body.
    fn parse(&self, body: &[u8]) -> Result<Self::Operation, ApiError>;

    /// The operation's name and what it concerns.
    fn describe(operation: &Self::Operation) -> (&'static str, Target);

    /// Where a job stands that was accepted and not begun; none for work that
    /// another life could not simply begin.
    fn checkpoint(operation: &Self::Operation) -> Option<Value> {
        let _ = operation;
        None
    }

    /// Does it. Returning is what ends the job.
    fn run(
        self: Arc<Self>,
        operation: Self::Operation,
        job: JobHandle,
    ) -> BoxFuture<'static, Result<(), Failure>>;

    /// Goes on with a job that a former life of this daemon left at
    /// `checkpoint`; what the job holds is taken before this returns, and so
    /// before any new job can take it. The future's end is what ends the job.
    fn resume(
        self: Arc<Self>,
        checkpoint: Value,
        job: JobHandle,
    ) -> BoxFuture<'static, Result<(), Failure>> {
        let _ = checkpoint;
        async move { Err(job.left_behind().into()) }.boxed()
    }
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
    publishing: Arc<tokio::sync::Mutex<Held>>,
    accepted_at: Instant,
}

/// A result that was given and is not committed yet. The end nearly always
/// comes right after it, and both in one commit cost half as much; whatever
/// else comes takes it along.
type Held = Option<JobEvent>;

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
    /// without an end and without a checkpoint are ended with an error that
    /// says so; the others wait for [`Jobs::resume`].
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
        for Unended { record, checkpoint } in self.shared.store.unended().await? {
            if checkpoint.is_none() {
                let end = End::Error { error: left_behind(self.shared.actor) };
                self.shared.store.end(ended(record, &end), end, None).await?;
            }
        }
        Ok(())
    }

    /// Goes on with the jobs that a former life of this daemon left at a
    /// checkpoint. To be called once, before new jobs are taken.
    pub async fn resume<E: Execute>(&self, execute: &Arc<E>) -> Result<(), StoreError> {
        for Unended { record, checkpoint } in self.shared.store.unended().await? {
            let Some(Checkpoint { deadline_at, state }) = checkpoint else { continue };
            let Some(log) = self.shared.store.load(record.id.clone()).await? else { continue };
            let deadline = deadline_at.map(|at| {
                let left = Duration::try_from(at.duration_since(now())).unwrap_or(Duration::ZERO);
                Deadline::after(left, Instant::now())
            });
            let job = self.begin(log, Submission { deadline, ..Submission::default() });
            let work = Arc::clone(execute).resume(state, job.clone());
            self.shared.tasks.spawn(job.drive(work));
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
        let checkpoint = E::checkpoint(&operation)
            .map(|state| Checkpoint { deadline_at: deadline_at(submission.deadline), state });
        let key = submission.idempotency_key.clone();
        let request = serde_json::to_string(&operation).map_err(|error| {
            ApiError::new(ErrorCode::Internal, format!("`{name}` cannot be kept: {error}"))
        })?;
        let known = self.shared.store.create(record.clone(), key, request, checkpoint).await;
        if let Some(known) = self.written(known)? {
            return Ok(known);
        }
        let job = self.begin(JobLog::new(record.clone()), submission);
        self.shared.feed.publish(FeedEvent::Job(record.into()));
        let handle = job.clone();
        let work = async move { execute.run(operation, handle).await };
        self.shared.tasks.spawn(job.drive(work));
        Ok(id)
    }

    fn begin(&self, log: JobLog, submission: Submission) -> JobHandle {
        let id = log.record().id;
        let live = Arc::new(Live {
            log: Arc::new(log),
            cancel: CancellationToken::new(),
            publishing: Arc::default(),
            accepted_at: Instant::now(),
        });
        self.shared.change_live(|running| running.insert(id.clone(), Arc::clone(&live)));
        JobHandle::new(id, live, Arc::clone(&self.shared), submission)
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

    /// A job's record and what was asked of it.
    pub async fn details(&self, id: &JobId) -> Result<JobDetails, ApiError> {
        let record = self.get(id).await?;
        let request = self.shared.store.request(id.clone()).await.map_err(unreadable)?;
        Ok(JobDetails { record, request })
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

/// The deadline by the wall clock, which the next life has as well.
fn deadline_at(deadline: Option<Deadline>) -> Option<Timestamp> {
    let left = deadline?.remaining(Instant::now());
    // Far inside what a timestamp holds: a deadline is a day at most.
    now().checked_add(left).ok()
}

/// The end of a job that nobody can go on with.
fn left_behind(actor: &str) -> ApiError {
    ApiError::new(ErrorCode::Unavailable, format!("the {actor} stopped while this job ran"))
        .with_hint("run it again")
}

/// Of a job that is at work from the start; one that waits says so itself.
fn new_record(operation: &str, target: Target) -> JobRecord {
    let now = now();
    JobRecord {
        id: JobId::generate(),
        operation: operation.to_owned(),
        state: JobState::Running,
        created_at: now,
        started_at: Some(now),
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

#[cfg(test)]
mod tests;
