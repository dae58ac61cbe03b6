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

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use client::Daemon;
use config::SshTarget;
use daemon::server::HttpServer;
use lifecycle::ssh::{Connection, Pulse, SshError, SshFault, argv::Forward};
use protocol::{
    ApiError, ErrorCode, HiveId,
    fleet::{HiveRecord, HiveState, LinkRecord, LinkState},
};
use secrecy::SecretString;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    facts::{HiveThere, is_plain_path},
    heartbeats,
    link::TunnelledHive,
    retry::{jitter, retry_in},
    scripts::{self, BRIEF, QUEEN_SOCKET},
    ssh_error,
};
use crate::{fleet::FleetHandle, hives::Hives};

const BEAT_EVERY: Duration = Duration::from_secs(5);
/// No echo for this long, and the connection is given up.
const BEAT_PATIENCE: Duration = Duration::from_secs(10);
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

/// What a look for the hive is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// A new connection, whose socket there takes the place of the last one's.
    First,
    /// The same connection, and perhaps another hive.
    Again,
}

impl Look {
    fn as_str(self) -> &'static str {
        match self {
            Self::First => "open",
            Self::Again => "look",
        }
    }
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
        let keeper =
            Keeper { shared: Arc::clone(&shared), asked, told, heartbeats: None, hive_port: None };
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

/// Keeps the connection.
struct Keeper {
    shared: Arc<Shared>,
    asked: mpsc::Receiver<Ask>,
    told: Told,
    heartbeats: Option<HttpServer>,
    /// Where the hive was found last.
    hive_port: Option<u16>,
}

impl Keeper {
    async fn keep(mut self, stop: CancellationToken) {
        let shared = Arc::clone(&self.shared);
        let (mut failures, mut down_since) = (0, Instant::now());
        loop {
            self.tell(&shared, LinkState::Connecting, None, None, None);
            let ended = tokio::select! {
                () = stop.cancelled() => break,
                ended = self.live(&shared, &mut failures) => ended,
            };
            shared.connection.send_replace(None);
            if failures == 0 {
                down_since = Instant::now();
            }
            let wait = retry_in(failures, down_since.elapsed(), ended.fault, jitter());
            failures = failures.saturating_add(1);
            tracing::info!(machine = %shared.id, error = %ended, ?wait, "no connection");
            self.tell(&shared, LinkState::Down, None, Some(&ended.message), Some(wait));
            self.told.hives.unreachable(&shared.id, &ended.message);
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.wait(wait) => {}
            }
        }
        shared.connection.send_replace(None);
    }

    /// Waits, unless somebody wants the connection now.
    async fn wait(&mut self, wait: Duration) {
        let asked = async {
            loop {
                match self.asked.recv().await {
                    Some(Ask::Now) => return,
                    // Whoever asks this waits for a connection first.
                    Some(Ask::Look(_)) => {}
                    None => std::future::pending().await,
                }
            }
        };
        let _ = timeout(wait, asked).await;
    }

    /// One connection from its beginning to its end.
    async fn live(&mut self, shared: &Arc<Shared>, failures: &mut u32) -> SshError {
        let opened = Connection::open(&shared.target, shared.sockets.path()).await;
        let (connection, mut pulse) = match opened {
            Ok(opened) => opened,
            Err(error) => return error,
        };
        // First, so that a port which is asked for meanwhile is opened by one
        // or the other.
        shared.connection.send_replace(Some(connection.clone()));
        if let Err(error) = self.open(shared, &connection).await {
            return error;
        }
        *failures = 0;
        let mut told = None;
        loop {
            match beat(&mut pulse).await {
                Ok(took) => self.tell_round_trip(shared, took, &mut told),
                Err(error) => return error,
            }
            if let Err(error) = self.find_again(shared, &connection).await {
                // Whether the connection itself stands, the next beat tells.
                tracing::debug!(machine = %shared.id, %error, "the hive is not found again");
            }
            let next = sleep(BEAT_EVERY);
            tokio::pin!(next);
            loop {
                let ask = tokio::select! {
                    () = &mut next => break,
                    error = pulse.ended() => return error,
                    ask = self.asked.recv() => ask,
                };
                match ask {
                    Some(Ask::Look(answer)) => {
                        let looked = self.find_hive(shared, &connection, Look::Again).await;
                        let _ = answer.send(looked.map_err(|error| ssh_error(&shared.id, error)));
                    }
                    Some(Ask::Now) => {}
                    None => return SshError::new(SshFault::Gone, "closed"),
                }
            }
        }
    }

    /// Everything that is to stand before the connection counts.
    async fn open(
        &mut self,
        shared: &Arc<Shared>,
        connection: &Connection,
    ) -> Result<(), SshError> {
        let ports: Vec<u16> = shared.ports().iter().copied().collect();
        for port in ports {
            let forward = Forward::ToPort { socket: shared.socket_of(port), port };
            connection.forward(&forward).await?;
        }
        self.find_hive(shared, connection, Look::First).await.map(drop)
    }

    /// Where the hive is, and a link to it; its heartbeats' way back.
    async fn find_hive(
        &mut self,
        shared: &Arc<Shared>,
        connection: &Connection,
        look: Look,
    ) -> Result<HiveThere, SshError> {
        let there = if shared.is_managed {
            let reply = connection.run(scripts::OPEN, &[look.as_str()], BRIEF).await?;
            if look == Look::First {
                let home = reply.raw("home").filter(|home| is_plain_path(home));
                let home = home.ok_or_else(|| {
                    let message = "its home folder cannot carry the path of a socket";
                    SshError::new(SshFault::Other, message)
                })?;
                self.bring_back_heartbeats(shared, connection, home).await?;
            }
            HiveThere::read(&reply)
        } else {
            let port = shared.target.hive_port.map_or(protocol::routes::HIVE_PORT, |it| it.get());
            let address = Some(([127, 0, 0, 1], port).into());
            Some(HiveThere { running: true, address, version: None })
        };
        let there = there.unwrap_or(HiveThere { running: false, address: None, version: None });
        match there.port() {
            Some(port) => self.link(shared, connection, port).await?,
            None => self.told.hives.is_not_running(&shared.id),
        }
        Ok(there)
    }

    async fn link(
        &mut self,
        shared: &Arc<Shared>,
        connection: &Connection,
        port: u16,
    ) -> Result<(), SshError> {
        let is_known =
            shared.note(port).map_err(|error| SshError::new(SshFault::Other, error.message))?;
        if !is_known {
            let forward = Forward::ToPort { socket: shared.socket_of(port), port };
            connection.forward(&forward).await?;
        }
        let tunnel = Tunnel { shared: Arc::clone(shared) };
        match TunnelledHive::new(&tunnel, port) {
            Ok(hive) => self.told.hives.connect(Arc::new(hive)),
            Err(error) => tracing::warn!(%error, "no link"),
        }
        self.hive_port = Some(port);
        Ok(())
    }

    /// A hive that fell may have been started again, and at another port:
    /// systemd does that. One that is silent where it was is judged by its
    /// feed, and one that does not run may be about to.
    async fn find_again(
        &mut self,
        shared: &Arc<Shared>,
        connection: &Connection,
    ) -> Result<(), SshError> {
        let is_lost = |it: HiveRecord| matches!(it.state, HiveState::Stale | HiveState::Lost);
        if !shared.is_managed || !self.told.hives.record(&shared.id).is_ok_and(is_lost) {
            return Ok(());
        }
        let reply = connection.run(scripts::OPEN, &[Look::Again.as_str()], BRIEF).await?;
        match HiveThere::read(&reply).and_then(|there| there.port()) {
            Some(port) if self.hive_port != Some(port) => self.link(shared, connection, port).await,
            _ => Ok(()),
        }
    }

    async fn bring_back_heartbeats(
        &mut self,
        shared: &Shared,
        connection: &Connection,
        home: &str,
    ) -> Result<(), SshError> {
        let port = match &self.heartbeats {
            Some(server) => server.local_addr().port(),
            None => {
                let fleet = self.told.fleet.clone();
                let server = heartbeats::listen(shared.id.clone(), fleet, &shared.token)
                    .await
                    .map_err(|error| SshError::new(SshFault::Other, error.message))?;
                self.heartbeats.insert(server).local_addr().port()
            }
        };
        let there = format!("{home}/{QUEEN_SOCKET}");
        connection.forward(&Forward::FromSocket { there, port }).await
    }

    fn tell_round_trip(&self, shared: &Shared, took: Duration, told: &mut Option<f64>) {
        // A tenth of a millisecond is as fine as it means anything.
        let ms = (took.as_secs_f64() * 10_000.0).round() / 10.0;
        let is_news = told.is_none_or(|before| (ms - before).abs() > before * 0.2 + 0.2);
        if is_news {
            *told = Some(ms);
            self.tell(shared, LinkState::Up, Some(ms), None, None);
        }
    }

    fn tell(
        &self,
        shared: &Shared,
        state: LinkState,
        round_trip_ms: Option<f64>,
        reason: Option<&str>,
        retry_in: Option<Duration>,
    ) {
        let now = daemon::now();
        let link = LinkRecord {
            state,
            since: now,
            round_trip_ms,
            reason: reason.map(str::to_owned),
            retry_at: retry_in.and_then(|wait| now.checked_add(wait).ok()),
        };
        self.told.fleet.hive_link(&shared.id, Some(link));
    }
}

async fn beat(pulse: &mut Pulse) -> Result<Duration, SshError> {
    match timeout(BEAT_PATIENCE, pulse.beat()).await {
        Ok(beat) => beat,
        Err(_) => {
            let seconds = BEAT_PATIENCE.as_secs();
            Err(SshError::new(SshFault::Gone, format!("no echo for {seconds} s")))
        }
    }
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
