//! A hive behind a tunnel: what it is asked goes through the socket of its
//! port. Its workers have sockets of their own ([`Tunnel::worker`]).

use client::Daemon;
use daemon::jobs::{Failure, JobHandle};
use futures::{future::BoxFuture, stream::BoxStream};
use protocol::{
    ApiError, ErrorCode, HiveId, WorkerId,
    fleet::Capabilities,
    job::JobEvent,
    logs::{LogPage, LogQuery},
    operation::HiveOperation,
};

use secrecy::SecretString;

use super::tunnel::Tunnel;
use crate::hives::{HiveLink, News, RemoteHive};

/// See the module.
pub(super) struct TunnelledHive {
    url: String,
    hive: RemoteHive,
}

impl TunnelledHive {
    /// The hive that listens on `port` of the tunnel's machine.
    pub(super) fn new(tunnel: &Tunnel, port: u16) -> Result<Self, ApiError> {
        let daemon = Daemon::new(&format!("http://127.0.0.1:{port}"))
            .map_err(|error| ApiError::new(ErrorCode::HiveUnreachable, error.one_line()))?;
        let daemon = daemon.through_socket(tunnel.socket_of(port));
        let hive = RemoteHive::over(tunnel.id().clone(), daemon, Some(tunnel.token().clone()));
        Ok(Self { url: tunnel.target().to_string(), hive })
    }
}

impl HiveLink for TunnelledHive {
    fn id(&self) -> &HiveId {
        self.hive.id()
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn news(&self) -> BoxStream<'static, News> {
        self.hive.news()
    }

    fn capabilities(&self) -> BoxFuture<'_, Result<Capabilities, ApiError>> {
        self.hive.capabilities()
    }

    fn worker_logs<'a>(
        &'a self,
        worker: &'a WorkerId,
        query: &'a LogQuery,
    ) -> BoxFuture<'a, Result<LogPage, ApiError>> {
        self.hive.worker_logs(worker, query)
    }

    fn token(&self) -> Option<&SecretString> {
        self.hive.token()
    }

    fn run<'a>(
        &'a self,
        operation: HiveOperation,
        job: &'a JobHandle,
    ) -> BoxFuture<'a, Result<Option<JobEvent>, Failure>> {
        self.hive.run(operation, job)
    }
}
