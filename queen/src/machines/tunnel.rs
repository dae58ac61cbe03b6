//! The connection to one machine, kept up: one ssh process with a socket here
//! for each port there that is asked for, and one there for the heartbeats.
//!
//! ```text
//! connecting ─▶ up ── echo every 5 s ──▶ (no echo, or ssh ended) ─▶ down ─▶ waits, longer each time
//!                └─▶ the hive there: its port, its link                 ▲        │
//!                                                                      └────────┘ or at once, when asked
//! ```
//!
//! The sockets keep their paths from one connection to the next, so whoever
//! holds one finds the same worker behind it again.

mod keeper;
mod retry;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use client::Daemon;
use config::SshTarget;
use lifecycle::ssh::{Connection, argv::Forward};
use protocol::{ApiError, ErrorCode, HiveId};
use secrecy::SecretString;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use self::keeper::Keeper;
use super::{facts::HiveThere, ssh_error};
use crate::{fleet::FleetHandle, hives::Hives};

/// How long an operation waits for a connection that is being made.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(30);
/// Ports of one machine that are reached; its workers have two hundred.
const PORTS_MAX: usize = 512;

/// A machine's tunnel. Cheap to clone; the connection stays until it is
/// closed.
#[derive(Clone)]
pub(super) struct Tunnel {
    shared: Arc<Shared>,
}

struct Shared {
    id: HiveId,
    target: SshTarget,
    token: SecretString,
    /// Whether a hive was installed there from here.
    is_managed: bool,
    sockets: tempfile::TempDir,
    ports: Mutex<BTreeSet<u16>>,
    connection: watch::Sender<Option<Connection>>,
    asks: mpsc::Sender<Ask>,
    stop: CancellationToken,
}

/// What the task that keeps the connection is asked for.
enum Ask {
    /// Connect now, if it waits.
    Now,
    /// Look for the hive there again.
    Look(oneshot::Sender<Result<HiveThere, ApiError>>),
}

/// What a tunnel tells of.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) fleet: FleetHandle,
    pub(super) hives: Hives,
}

impl Tunnel {
    /// Connects, and stays connected until it is closed.
    pub(super) fn start(
        id: HiveId,
        target: SshTarget,
        token: SecretString,
        is_managed: bool,
        told: Told,
    ) -> Result<Self, ApiError> {
        let sockets = sockets()?;
        let stop = CancellationToken::new();
        let (asks, asked) = mpsc::channel(8);
        let shared = Arc::new(Shared {
            id,
            target,
            token,
            is_managed,
            sockets,
            ports: Mutex::default(),
            connection: watch::Sender::new(None),
            asks,
            stop: stop.clone(),
        });
        let keeper = Keeper::new(Arc::clone(&shared), asked, told);
        tokio::spawn(keeper.keep(stop));
        Ok(Self { shared })
    }

    pub(super) fn id(&self) -> &HiveId {
        &self.shared.id
    }

    pub(super) fn target(&self) -> &SshTarget {
        &self.shared.target
    }

    /// The folder of its sockets.
    pub(super) fn sockets(&self) -> &std::path::Path {
        self.shared.sockets.path()
    }

    pub(super) fn token(&self) -> &SecretString {
        &self.shared.token
    }

    /// Where the port's socket is, whether or not it leads anywhere now.
    pub(super) fn socket_of(&self, port: u16) -> PathBuf {
        self.shared.socket_of(port)
    }

    /// Connects now, if it waits.
    pub(super) fn hurry(&self) {
        // A full queue has enough to hurry for.
        let _ = self.shared.asks.try_send(Ask::Now);
    }

    /// The connection, once it stands.
    pub(super) async fn connection(&self) -> Result<Connection, ApiError> {
        let mut connection = self.shared.connection.subscribe();
        self.hurry();
        let stands = connection.wait_for(Option::is_some);
        match timeout(CONNECTION_PATIENCE, stands).await {
            Ok(Ok(connection)) if connection.is_some() => Ok(connection.clone()),
            _ => Ok(None),
        }
        .and_then(|connection| connection.ok_or_else(|| self.shared.is_down()))
    }

    /// The way to the worker that calls itself `url` there.
    pub(super) async fn worker(&self, url: &str) -> Result<Daemon, ApiError> {
        let lost = |message: String| ApiError::new(ErrorCode::WorkerLost, message);
        let port = loopback_port(url)
            .ok_or_else(|| lost("it names no port of its own machine".to_owned()))?;
        let socket = self.reach(port).await?;
        let daemon = Daemon::new(url).map_err(|error| lost(error.one_line()))?;
        Ok(daemon.named("worker").through_socket(socket).with_token(self.token().clone()))
    }

    /// The socket that leads to `port` there.
    async fn reach(&self, port: u16) -> Result<PathBuf, ApiError> {
        let is_known = self.shared.note(port)?;
        let socket = self.shared.socket_of(port);
        // A connection that is down opens it when it is back.
        let connection = self.shared.connection.borrow().clone();
        if let (false, Some(connection)) = (is_known, connection) {
            let forward = Forward::ToPort { socket: socket.clone(), port };
            if let Err(error) = connection.forward(&forward).await {
                self.shared.forget(port);
                return Err(ssh_error(&self.shared.id, error));
            }
        }
        Ok(socket)
    }

    /// Looks for the hive there again, after it was started or stopped.
    pub(super) async fn look(&self) -> Result<HiveThere, ApiError> {
        self.connection().await?;
        let (answer, answered) = oneshot::channel();
        let is_asked = self.shared.asks.send(Ask::Look(answer)).await.is_ok();
        match is_asked.then_some(answered) {
            Some(answered) => answered.await.unwrap_or_else(|_| Err(self.shared.is_down())),
            None => Err(self.shared.is_down()),
        }
    }

    /// Ends the connection.
    pub(super) fn close(&self) {
        self.shared.stop.cancel();
    }
}

impl Shared {
    fn socket_of(&self, port: u16) -> PathBuf {
        self.sockets.path().join(port.to_string())
    }

    fn ports(&self) -> std::sync::MutexGuard<'_, BTreeSet<u16>> {
        // Numbers are put in and taken out whole.
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the port was known before.
    fn note(&self, port: u16) -> Result<bool, ApiError> {
        let mut ports = self.ports();
        if ports.len() >= PORTS_MAX && !ports.contains(&port) {
            let message = format!("hive '{}' names more than {PORTS_MAX} ports", self.id);
            return Err(ApiError::new(ErrorCode::HiveUnreachable, message));
        }
        Ok(!ports.insert(port))
    }

    fn forget(&self, port: u16) {
        self.ports().remove(&port);
    }

    fn is_down(&self) -> ApiError {
        let message = format!("there is no ssh connection to '{}' ({})", self.id, self.target);
        ApiError::new(ErrorCode::HiveUnreachable, message)
            .with_hint(format!("why: rbee-keeper hive doctor {}", self.id))
    }
}

/// The port of `http://127.0.0.1:9300`. A machine speaks for its own loopback
/// and for no other address.
fn loopback_port(url: &str) -> Option<u16> {
    let address: std::net::SocketAddr = url.strip_prefix("http://")?.parse().ok()?;
    address.ip().is_loopback().then_some(address.port())
}

/// A folder for sockets whose paths are short enough for them.
pub(super) fn sockets() -> Result<tempfile::TempDir, ApiError> {
    lifecycle::ssh::connection::socket_dir()
        .and_then(|dir| tempfile::Builder::new().prefix("rbee-").tempdir_in(dir))
        .map_err(|error| {
            ApiError::new(ErrorCode::Internal, format!("no folder for sockets: {error}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_on_the_loopback_of_its_machine() {
        assert_eq!(loopback_port("http://127.0.0.1:9300"), Some(9300));
        for url in ["http://10.0.0.7:22", "http://box:9300", "https://127.0.0.1:1", "x", ""] {
            assert_eq!(loopback_port(url), None, "{url}");
        }
    }
}
