//! A hive reached over HTTP: its operations run as jobs there, and their
//! events become events of the queen's job.

use client::{ClientError, Daemon, FeedItem, FeedOptions, JobItem};
use config::{BaseUrl, Origin};
use daemon::jobs::{Failure, JobHandle};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};
use protocol::{
    ApiError, ErrorCode, HiveId, WorkerId,
    fleet::Capabilities,
    job::{EndMarker, JobEvent},
    logs::{LogPage, LogQuery},
    operation::{HiveOperation, Operation},
    routes,
};
use secrecy::SecretString;

use super::link::{HiveLink, News};

/// One hive's address. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct RemoteHive {
    id: HiveId,
    daemon: Daemon,
    token: Option<SecretString>,
    /// Of a hive that the operator's files name: where they do.
    origin: Option<Origin>,
    /// Whether it is on another machine, whose workers listen on loopback.
    is_elsewhere: bool,
}

impl RemoteHive {
    /// A hive at this address.
    pub(super) fn new(
        id: HiveId,
        url: &str,
        token: Option<SecretString>,
    ) -> Result<Self, ApiError> {
        let daemon = Daemon::new(url).map_err(|error| {
            ApiError::new(ErrorCode::HiveUnreachable, format!("hive '{id}': {}", error.one_line()))
        })?;
        Ok(Self::over(id, daemon, token))
    }

    /// The same, of which these authorities and no others tell the truth; or
    /// what is wrong with them.
    pub(super) fn vouched_for(
        id: HiveId,
        url: &str,
        token: Option<SecretString>,
        pem: &[u8],
    ) -> Result<Self, String> {
        let daemon = Daemon::new(url).map_err(|error| error.one_line())?;
        Ok(Self::over(id, daemon.trusting_only(pem)?, token))
    }

    /// It is named in a file, at this address.
    pub(super) fn configured_by(self, origin: Origin, url: &BaseUrl) -> Self {
        Self { origin: Some(origin), is_elsewhere: !url.is_here(), ..self }
    }

    /// A hive behind this connection.
    pub(crate) fn over(id: HiveId, daemon: Daemon, token: Option<SecretString>) -> Self {
        let daemon = daemon.named("hive");
        let daemon = match &token {
            Some(token) => daemon.with_token(token.clone()),
            None => daemon,
        };
        Self { id, daemon, token, origin: None, is_elsewhere: false }
    }

    /// The connection to it.
    pub(super) fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    async fn run_job(
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
                    let job = self.daemon.job(&created.job_id).await.ok();
                    let error = job.and_then(|job| job.record.error);
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

    /// What is to be done about it, where a file says how it is reached.
    fn remedy(&self, error: &ClientError) -> Option<String> {
        let origin = self.origin.as_ref()?;
        if error.api().is_some_and(|api| api.code == ErrorCode::Unauthorized) {
            let needed = "TokenFile there must name a copy of the hive's own token_file";
            return Some(format!("{origin}: {needed}"));
        }
        let needed = "CaFile there can name the authority that vouches for it";
        error.is_untrusted().then(|| format!("{origin}: {needed}"))
    }

    fn item(&self, item: FeedItem) -> Option<News> {
        match item {
            FeedItem::Event(event) => Some(News::Said(event)),
            FeedItem::Disconnected { error, .. } => Some(News::Unreachable({
                let remedy = self.remedy(&error);
                remedy.map_or_else(|| error.one_line(), |remedy| format!("{error} ({remedy})"))
            })),
            FeedItem::Undecodable { name, error } => {
                tracing::warn!(hive = %self.id, name, error, "a hive's message cannot be read");
                None
            }
            FeedItem::Connected => None,
        }
    }

    fn unreachable(&self, error: &ClientError) -> ApiError {
        if let Some(remedy) = self.remedy(error) {
            return ApiError::new(ErrorCode::HiveUnreachable, error.to_string()).with_hint(remedy);
        }
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

impl HiveLink for RemoteHive {
    fn id(&self) -> &HiveId {
        &self.id
    }

    fn url(&self) -> &str {
        self.daemon.base_url()
    }

    fn news(&self) -> BoxStream<'static, News> {
        let hive = self.clone();
        let feed = self.daemon.feed(FeedOptions::default());
        feed.filter_map(move |item| std::future::ready(hive.item(item))).boxed()
    }

    fn capabilities(&self) -> BoxFuture<'_, Result<Capabilities, ApiError>> {
        async { self.daemon.capabilities().await.map_err(|error| self.unreachable(&error)) }.boxed()
    }

    fn worker_logs<'a>(
        &'a self,
        worker: &'a WorkerId,
        query: &'a LogQuery,
    ) -> BoxFuture<'a, Result<LogPage, ApiError>> {
        async {
            let page = self.daemon.worker_logs(worker, query).await;
            page.map_err(|error| self.unreachable(&error))
        }
        .boxed()
    }

    fn token(&self) -> Option<&SecretString> {
        self.token.as_ref()
    }

    fn relay(&self, worker: &WorkerId) -> Option<Daemon> {
        self.is_elsewhere.then(|| self.daemon.relaying(&routes::worker_relay(worker)))
    }

    fn run<'a>(
        &'a self,
        operation: HiveOperation,
        job: &'a JobHandle,
    ) -> BoxFuture<'a, Result<Option<JobEvent>, Failure>> {
        self.run_job(operation, job).boxed()
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
