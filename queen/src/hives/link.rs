//! What the queen needs of a hive, however it is reached. An operation's code
//! has one of these and does not know which.

use client::Daemon;
use daemon::jobs::{Failure, JobHandle};
use futures::{future::BoxFuture, stream::BoxStream};
use protocol::{
    ApiError, HiveId, WorkerId,
    fleet::{Capabilities, FeedEvent},
    job::JobEvent,
    logs::{LogPage, LogQuery},
    operation::HiveOperation,
};
use secrecy::SecretString;
use serde_json::Value;

/// What comes from a hive's feed.
#[derive(Debug)]
pub enum News {
    /// It said something.
    Said(FeedEvent),
    /// It cannot be heard, and why.
    Unreachable(String),
}

/// The way to one hive.
pub trait HiveLink: Send + Sync {
    /// Which hive.
    fn id(&self) -> &HiveId;

    /// Where it listens.
    fn url(&self) -> &str;

    /// What it says from now on, the snapshot first. It never ends.
    fn news(&self) -> BoxStream<'static, News>;

    /// What the machine has.
    fn capabilities(&self) -> BoxFuture<'_, Result<Capabilities, ApiError>>;

    /// A page of the log of one of its workers.
    fn worker_logs<'a>(
        &'a self,
        worker: &'a WorkerId,
        query: &'a LogQuery,
    ) -> BoxFuture<'a, Result<LogPage, ApiError>>;

    /// What it wants to see of its callers, and so do its workers.
    fn token(&self) -> Option<&SecretString>;

    /// The way to one of its workers, where that leads through the hive.
    fn relay(&self, _worker: &WorkerId) -> Option<Daemon> {
        None
    }

    /// Runs an operation there as a part of `job`: everything but the result
    /// is published in it, a cancel travels on, and the result is returned.
    fn run<'a>(
        &'a self,
        operation: HiveOperation,
        job: &'a JobHandle,
    ) -> BoxFuture<'a, Result<Option<JobEvent>, Failure>>;
}

/// As [`HiveLink::run`], for operations whose result is a list under `key`.
pub async fn list(
    hive: &dyn HiveLink,
    operation: HiveOperation,
    key: &str,
    job: &JobHandle,
) -> Result<Vec<Value>, Failure> {
    let event = hive.run(operation, job).await?;
    let list = event.as_ref().and_then(JobEvent::as_result).and_then(|result| result.get(key));
    Ok(list.and_then(Value::as_array).cloned().unwrap_or_default())
}
