//! A hive reached over HTTP: its operations run as jobs there, and their
//! events become events of the queen's job.

use client::{ClientError, Daemon, JobItem};
use daemon::jobs::{Failure, JobHandle};
use protocol::{
    ApiError, ErrorCode, HiveId, WorkerId,
    fleet::Capabilities,
    job::{EndMarker, JobEvent},
    logs::{LogPage, LogQuery},
    operation::{HiveOperation, Operation},
};
use secrecy::SecretString;
use serde_json::Value;

/// One hive's address. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RemoteHive {
    id: HiveId,
    daemon: Daemon,
}

impl RemoteHive {
    /// A hive at this address.
    pub fn new(id: HiveId, url: &str, token: Option<SecretString>) -> Result<Self, ApiError> {
        let daemon = Daemon::new(url).map_err(|error| {
            ApiError::new(ErrorCode::HiveUnreachable, format!("hive '{id}': {}", error.one_line()))
        })?;
        let daemon = daemon.named("hive");
        let daemon = match token {
            Some(token) => daemon.with_token(token),
            None => daemon,
        };
        Ok(Self { id, daemon })
    }

    /// Which hive.
    pub fn id(&self) -> &HiveId {
        &self.id
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        self.daemon.base_url()
    }

    /// The connection to it.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// What the hive has.
    pub async fn capabilities(&self) -> Result<Capabilities, ApiError> {
        self.daemon.capabilities().await.map_err(|error| self.unreachable(&error))
    }

    /// A page of the log of one of its workers.
    pub async fn worker_logs(
        &self,
        worker: &WorkerId,
        query: &LogQuery,
    ) -> Result<LogPage, ApiError> {
        let page = self.daemon.worker_logs(worker, query).await;
        page.map_err(|error| self.unreachable(&error))
    }

    /// Runs an operation there as part of `job`: every event but the result is
    /// passed on, a cancel travels on, and the result is returned.
    pub async fn run(
        &self,
        operation: HiveOperation,
        job: &JobHandle,
    ) -> Result<Option<JobEvent>, Failure> {
        let mut daemon = self.daemon.with_deadline(job.deadline());
        if let Some(id) = job.request_id() {
            daemon = daemon.with_request_id(id);
        }
        let operation = Operation::Hive(operation);
        let created = job
            .unless_cancelled(daemon.submit(&operation))
            .await?
            .map_err(|error| self.unreachable(&error))?;
        let mut stream = daemon.follow(&created.job_id, 0);
        let mut result = None;
        loop {
            let item = tokio::select! {
                item = stream.next_item() => item,
                () = job.cancelled() => {
                    // The hive's own end tells whether it was in time; nobody
                    // waits for it here longer than the job's grace.
                    if let Err(error) = self.daemon.cancel(&created.job_id).await {
                        tracing::warn!(hive = %self.id, error = %error.one_line(), "cancel did not arrive");
                    }
                    drain(&mut stream).await;
                    return Err(Failure::Cancelled);
                }
            };
            match item {
                Some(Ok(JobItem::Event { event, .. })) if event.as_result().is_some() => {
                    result = Some(event);
                }
                Some(Ok(JobItem::Event { event, .. })) => job.emit(event).await,
                Some(Ok(JobItem::End(EndMarker::Done))) => return Ok(result),
                Some(Ok(JobItem::End(EndMarker::Cancelled))) => return Err(Failure::Cancelled),
                Some(Ok(JobItem::End(EndMarker::Error(line)))) => {
                    // The record has the code and the hint that the line lost.
                    let record = self.daemon.job(&created.job_id).await.ok();
                    let error = record.and_then(|record| record.error);
                    return Err(error
                        .unwrap_or_else(|| ApiError::new(ErrorCode::Internal, line))
                        .into());
                }
                Some(Err(error)) => return Err(self.unreachable(&error).into()),
                None => {
                    let message = format!("hive '{}' ended a job without an end", self.id);
                    return Err(ApiError::new(ErrorCode::Internal, message).into());
                }
            }
        }
    }

    /// As [`RemoteHive::run`], for operations whose result is a list.
    pub async fn list(
        &self,
        operation: HiveOperation,
        key: &str,
        job: &JobHandle,
    ) -> Result<Vec<Value>, Failure> {
        let event = self.run(operation, job).await?;
        let list = event.as_ref().and_then(JobEvent::as_result).and_then(|result| result.get(key));
        Ok(list.and_then(Value::as_array).cloned().unwrap_or_default())
    }

    fn unreachable(&self, error: &ClientError) -> ApiError {
        match error.api() {
            Some(error) => error.clone(),
            None => ApiError::new(
                ErrorCode::HiveUnreachable,
                format!("hive '{}': {}", self.id, error.one_line()),
            )
            .with_hint(format!("rbee-keeper hive status {}", self.id)),
        }
    }
}

/// Reads a cancelled job to its end, so that what it started is gone when the
/// caller says so.
async fn drain(stream: &mut client::JobStream) {
    while let Some(Ok(item)) = stream.next_item().await {
        if matches!(item, JobItem::End(_)) {
            return;
        }
    }
}
