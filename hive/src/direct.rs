//! The hive as the queen in the same process calls it: the same operations and
//! the same feed as over HTTP, without the way there.

use std::sync::Arc;

use daemon::{
    feed::Feed,
    jobs::{Execute, Failure, JobHandle},
};
use protocol::{
    ApiError, WorkerId,
    fleet::Capabilities,
    logs::{LogPage, LogQuery},
    operation::HiveOperation,
};

use crate::operations::Hive;

/// A hive in this process. Cheap to clone; the [`crate::Server`] it came from
/// must live as long as it is used.
#[derive(Clone)]
pub struct Direct {
    pub(crate) hive: Arc<Hive>,
    pub(crate) feed: Feed,
}

impl Direct {
    /// Its feed.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// What the machine has.
    pub fn capabilities(&self) -> Capabilities {
        self.hive.devices.capabilities()
    }

    /// A page of a worker's log.
    pub async fn worker_logs(
        &self,
        worker: &WorkerId,
        query: &LogQuery,
    ) -> Result<LogPage, ApiError> {
        self.hive.worker_logs(worker, query).await
    }

    /// Carries out an operation as a part of `job`; what is wrong with it at
    /// once is refused as at the POST.
    pub async fn run(&self, operation: HiveOperation, job: JobHandle) -> Result<(), Failure> {
        self.hive.check(&operation)?;
        Arc::clone(&self.hive).run(operation, job).await
    }
}
