//! The task that keeps a machine's connection up and follows the hive there.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use daemon::server::HttpServer;
use lifecycle::ssh::{Connection, Pulse, SshError, SshFault, argv::Forward};
use protocol::fleet::{HiveRecord, HiveState, LinkRecord, LinkState};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Ask, Shared, Told, Tunnel,
    retry::{jitter, retry_in},
};
use crate::machines::{
    facts::{HiveThere, is_plain_path},
    heartbeats,
    link::TunnelledHive,
    scripts::{self, BRIEF, QUEEN_SOCKET},
    ssh_error,
};

const BEAT_EVERY: Duration = Duration::from_secs(5);
/// No echo for this long, and the connection is given up.
const BEAT_PATIENCE: Duration = Duration::from_secs(10);
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

/// Keeps the connection.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    asked: mpsc::Receiver<Ask>,
    told: Told,
    heartbeats: Option<HttpServer>,
    /// Where the hive was found last.
    hive_port: Option<u16>,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, asked: mpsc::Receiver<Ask>, told: Told) -> Self {
        Self { shared, asked, told, heartbeats: None, hive_port: None }
    }

    pub(super) async fn keep(mut self, stop: CancellationToken) {
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
