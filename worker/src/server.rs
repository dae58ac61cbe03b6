//! A worker as a value: started, asked where it listens, closed.
//!
//! ```text
//! hold the data directory ─▶ bind ─▶ serve /health ─▶ publish the address ─▶ load ─▶ serve requests
//! asked to stop ─▶ drain ─▶ close ─▶ let go of the directory
//! ```

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use client::Daemon;
use config::{Instance, InstanceError, Nonce};
use daemon::{
    door::Door,
    metrics::Metrics,
    server::{BindError, HttpServer},
    shutdown::Shutdown,
};
use protocol::{DeviceId, HiveId, ModelRef};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::{
    generation::{self, Generator, Limits},
    heartbeat::{self, About},
    http,
    load::{LoadProgress, Loaded},
    orphan::{self, Contact},
    phase::{Identity, Phase, Phases},
};

/// The worker's name in records and messages.
pub const KIND: &str = "llm-worker-rbee";
/// Ports that are tried from the first one on.
const PORTS_TRIED: u16 = 200;
/// Running requests may take this long to end when the worker is told to stop.
const DRAIN: Duration = Duration::from_secs(30);
/// After every request has its end, streams have this long to be read to it.
const STREAMS_GRACE: Duration = Duration::from_secs(2);

/// Loads the model on a thread of its own, telling how far it is.
pub type Load = Box<dyn FnOnce(&mut dyn FnMut(LoadProgress)) -> Result<Loaded, String> + Send>;

/// What a worker is started with.
pub struct ServerConfig {
    /// Who it is.
    pub identity: Identity,
    /// Its machine.
    pub hive_id: HiveId,
    /// What it runs, as a person names it.
    pub model: ModelRef,
    /// What it runs on, as its hive names it.
    pub device: DeviceId,
    /// Where its record and its lock are.
    pub data_dir: PathBuf,
    /// The first port to try; 0 takes any.
    pub port_first: u16,
    /// Whom to tell that it lives; nobody, when a person runs it by hand.
    pub queen_url: Option<String>,
    /// The near end of the tunnel to her, where there is one.
    pub queen_socket: Option<PathBuf>,
    /// What the queen asks of her callers.
    pub queen_token: Option<SecretString>,
    /// What callers must show.
    pub token: Option<SecretString>,
    /// Who launched it.
    pub nonce: Nonce,
    /// How long it does without a hive; for ever, when a person runs it by
    /// hand.
    pub leave_without_hive: Option<Duration>,
    /// The size of the model's file.
    pub model_bytes: Option<u64>,
    /// How the model is loaded.
    pub load: Load,
}

/// Why a worker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Somebody else has its slot.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// It cannot listen.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The queen's address is none.
    #[error("--queen-url: {0}")]
    Queen(String),
    /// The address cannot be learnt.
    #[error("cannot serve: {0}")]
    Serve(#[from] io::Error),
}

/// A running worker.
pub struct Server {
    http: HttpServer,
    phases: Phases,
    shutdown: Shutdown,
    tasks: TaskTracker,
    /// Let go last: whoever finds the slot free finds the process done.
    instance: Instance,
}

impl Server {
    /// Starts a worker. When this returns it answers `/health`, and loads.
    pub async fn start(config: ServerConfig) -> Result<Self, StartError> {
        let mut instance = Instance::acquire(&config.data_dir, KIND, config.nonce)?;
        let queen = config.queen_url.as_deref().map(Daemon::new).transpose();
        let queen = queen.map_err(|error| StartError::Queen(error.one_line()))?;
        let listener = bind_first_free(config.port_first).await?;
        let local_addr = listener.local_addr()?;

        let phases = Phases::new(config.identity, config.model_bytes);
        let shutdown = Shutdown::new();
        let contact = Contact::default();
        let numbers = Metrics::new();
        let router = http::router(phases.clone(), shutdown.clone(), contact.clone(), &numbers);
        let router = numbers.watch(Door::new(config.token.as_ref()).guard(router));
        let http = HttpServer::serve(listener, router)?;
        instance.publish(local_addr)?;

        let tasks = TaskTracker::new();
        if let Some(queen) = queen {
            let about = About {
                hive_id: config.hive_id,
                model: config.model,
                device: config.device,
                url: format!("http://{local_addr}"),
            };
            let mut queen = queen.named("queen");
            if let Some(token) = config.queen_token {
                queen = queen.with_token(token);
            }
            if let Some(socket) = config.queen_socket {
                queen = queen.through_socket(socket);
            }
            tasks.spawn(heartbeat::beat(queen, about, phases.clone(), shutdown.clone()));
        }
        if let Some(limit) = config.leave_without_hive {
            let phases = phases.clone();
            let idle = move || idle(phases.clone());
            tasks.spawn(orphan::leave_when_forgotten(contact, limit, idle, shutdown.clone()));
        }
        tasks.spawn(load(config.load, phases.clone()));
        tasks.close();
        Ok(Self { http, phases, shutdown, tasks, instance })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.http.local_addr()
    }

    /// What asks it to stop, from inside and outside.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Resolves with the reason when the worker can never answer again.
    pub async fn failed(&self) -> Arc<str> {
        let mut phase = self.phases.subscribe();
        loop {
            let now = phase.borrow_and_update().clone();
            match now {
                Phase::Failed(reason) => return reason,
                Phase::Serving(generator) => return broken(&generator).await,
                Phase::Loading(_) => {}
            }
            if phase.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Stops: running requests end by themselves within the drain time, and
    /// new ones are refused.
    pub async fn close(self) {
        self.shutdown.ask();
        if let Ok(generator) = self.phases.generator()
            && tokio::time::timeout(DRAIN, generator.drain()).await.is_err()
        {
            tracing::warn!("requests still run after the drain time: cutting them");
        }
        self.http.close(STREAMS_GRACE).await;
        // A model that is still being loaded is not waited for.
        let _ = tokio::time::timeout(STREAMS_GRACE, self.tasks.wait()).await;
        drop(self.instance);
    }
}

/// Resolves when nothing is generated.
async fn idle(phases: Phases) {
    if let Ok(generator) = phases.generator() {
        let mut activity = generator.activity();
        // A generator that is gone works on nothing.
        let _ = activity.wait_for(generation::Activity::is_idle).await;
    }
}

/// Resolves when the engine breaks.
async fn broken(generator: &Generator) -> Arc<str> {
    let mut health = generator.health();
    let broken = health.wait_for(|it| matches!(it, generation::Health::Broken { .. })).await;
    match broken.as_deref() {
        Ok(generation::Health::Broken { reason }) => reason.as_str().into(),
        _ => "the engine is gone".into(),
    }
}

/// The first free port: binding is the only way to know that one is free.
async fn bind_first_free(first: u16) -> Result<TcpListener, StartError> {
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if first == 0 {
        return Ok(daemon::server::bind(address(0)).await?);
    }
    for port in first..=first.saturating_add(PORTS_TRIED - 1) {
        if let Ok(listener) = TcpListener::bind(address(port)).await {
            return Ok(listener);
        }
    }
    // Bound once more for its error, which names the port.
    Ok(daemon::server::bind(address(first)).await?)
}

async fn load(load: Load, phases: Phases) {
    let progress = phases.clone();
    let loaded =
        tokio::task::spawn_blocking(move || load(&mut |step| progress.set(Phase::Loading(step))));
    let loaded = loaded.await.unwrap_or_else(|_| Err("loading the model crashed".to_owned()));
    let started = loaded.and_then(|loaded| {
        Generator::start(loaded, Limits::default())
            .map_err(|error| format!("no thread for the engine: {error}"))
    });
    match started {
        Ok(generator) => {
            tracing::info!(model = %generator.info().name, "ready");
            phases.set(Phase::Serving(generator));
        }
        Err(reason) => phases.set(Phase::Failed(reason.into())),
    }
}
