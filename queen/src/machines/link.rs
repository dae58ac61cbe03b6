//! A hive behind a tunnel: what it is asked goes through the socket of its
//! port, and so do its workers, each through the socket of its own.

use client::Daemon;
use daemon::jobs::{Failure, JobHandle};
use futures::{FutureExt, future::BoxFuture, stream::BoxStream};
use protocol::{
    ApiError, ErrorCode, HiveId, WorkerId,
    fleet::{Capabilities, WorkerRecord},
    job::JobEvent,
    logs::{LogPage, LogQuery},
    operation::HiveOperation,
};

use super::tunnel::Tunnel;
use crate::hives::{HiveLink, News, RemoteHive, worker_at};

/// See the module.
pub(super) struct TunnelledHive {
    url: String,
    hive: RemoteHive,
    tunnel: Tunnel,
}

impl TunnelledHive {
    /// The hive that listens on `port` of the tunnel's machine.
    pub(super) fn new(tunnel: Tunnel, port: u16) -> Result<Self, ApiError> {
        let daemon = Daemon::new(&format!("http://127.0.0.1:{port}"))
            .map_err(|error| ApiError::new(ErrorCode::HiveUnreachable, error.one_line()))?;
        let daemon = daemon.through_socket(tunnel.socket_of(port));
        let hive = RemoteHive::over(tunnel.id().clone(), daemon, Some(tunnel.token().clone()));
        Ok(Self { url: tunnel.target().to_string(), hive, tunnel })
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

    fn worker<'a>(&'a self, worker: &'a WorkerRecord) -> BoxFuture<'a, Result<Daemon, ApiError>> {
        async move {
            let port = loopback_port(worker.url.as_deref()).ok_or_else(|| {
                let message = format!("worker {} names no port of its machine", worker.id);
                ApiError::new(ErrorCode::WorkerLost, message)
            })?;
            let socket = self.tunnel.reach(port).await?;
            Ok(worker_at(worker)?.through_socket(socket).with_token(self.tunnel.token().clone()))
        }
        .boxed()
    }

    fn run<'a>(
        &'a self,
        operation: HiveOperation,
        job: &'a JobHandle,
    ) -> BoxFuture<'a, Result<Option<JobEvent>, Failure>> {
        self.hive.run(operation, job)
    }
}

/// The port of `http://127.0.0.1:9300`. A machine speaks for its own loopback
/// and for no other address.
fn loopback_port(url: Option<&str>) -> Option<u16> {
    let address: std::net::SocketAddr = url?.strip_prefix("http://")?.parse().ok()?;
    address.ip().is_loopback().then_some(address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_on_the_loopback_of_its_machine() {
        assert_eq!(loopback_port(Some("http://127.0.0.1:9300")), Some(9300));
        for url in ["http://10.0.0.7:22", "http://box:9300", "https://127.0.0.1:1", "x", ""] {
            assert_eq!(loopback_port(Some(url)), None, "{url}");
        }
        assert_eq!(loopback_port(None), None);
    }
}
