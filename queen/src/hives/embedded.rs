//! The hive in the queen's own process: the same operations and the same
//! feed, called directly.

use daemon::jobs::{Failure, JobHandle};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream, stream::BoxStream};
use hive::Direct;
use protocol::{
    ApiError, HiveId, WorkerId,
    fleet::Capabilities,
    job::JobEvent,
    logs::{LogPage, LogQuery},
    operation::HiveOperation,
};
use secrecy::SecretString;

use super::link::{HiveLink, News};

/// See the module.
pub(super) struct EmbeddedHive {
    id: HiveId,
    url: String,
    hive: Direct,
    token: Option<SecretString>,
}

impl EmbeddedHive {
    pub(super) fn new(id: HiveId, url: String, hive: Direct, token: Option<SecretString>) -> Self {
        Self { id, url, hive, token }
    }
}

impl HiveLink for EmbeddedHive {
    fn id(&self) -> &HiveId {
        &self.id
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn news(&self) -> BoxStream<'static, News> {
        stream::unfold(self.hive.feed().follow(), |mut feed| async {
            let event = feed.next().await;
            Some((News::Said(event), feed))
        })
        .boxed()
    }

    fn capabilities(&self) -> BoxFuture<'_, Result<Capabilities, ApiError>> {
        std::future::ready(Ok(self.hive.capabilities())).boxed()
    }

    fn worker_logs<'a>(
        &'a self,
        worker: &'a WorkerId,
        query: &'a LogQuery,
    ) -> BoxFuture<'a, Result<LogPage, ApiError>> {
        self.hive.worker_logs(worker, query).boxed()
    }

    fn token(&self) -> Option<&SecretString> {
        self.token.as_ref()
    }

    fn run<'a>(
        &'a self,
        operation: HiveOperation,
        job: &'a JobHandle,
    ) -> BoxFuture<'a, Result<Option<JobEvent>, Failure>> {
        async {
            let part = job.part("hive");
            self.hive.run(operation, part.job.clone()).await?;
            Ok(part.into_result())
        }
        .boxed()
    }
}
