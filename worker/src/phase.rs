//! Where a worker stands, as everybody who asks is told.
//!
//! ```text
//! loading (with progress) ─▶ serving ─▶ draining ─▶ (the process ends)
//!      └──────────────────────┴─▶ failed: the process ends with the reason
//! ```

use std::sync::Arc;

use protocol::{
    ApiError, ErrorCode, WorkerId,
    fleet::{Health, WorkerHealth, WorkerState},
    job::Progress,
};
use tokio::sync::watch;

use crate::{
    generation::{self, Generator},
    load::LoadProgress,
};

/// Who this worker is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its id.
    pub worker_id: WorkerId,
    /// Which life of it.
    pub incarnation: u64,
}

/// A stage of a worker's life, with what exists in it.
#[derive(Clone)]
pub enum Phase {
    /// The model is read.
    Loading(LoadProgress),
    /// Requests are answered; draining is the generator's to tell.
    Serving(Generator),
    /// The model could not be loaded, or the engine broke.
    Failed(Arc<str>),
}

/// The phase, shared. Cheap to clone.
#[derive(Clone)]
pub struct Phases {
    identity: Identity,
    model_bytes: Option<u64>,
    phase: watch::Sender<Phase>,
}

impl Phases {
    /// A worker that begins to load; `model_bytes` gives its progress a size.
    pub fn new(identity: Identity, model_bytes: Option<u64>) -> Self {
        let phase = watch::Sender::new(Phase::Loading(LoadProgress::Checking));
        Self { identity, model_bytes, phase }
    }

    /// Who this is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Moves on.
    pub fn set(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Follows the phases.
    pub fn subscribe(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Where it stands.
    pub fn now(&self) -> Phase {
        self.phase.borrow().clone()
    }

    /// The generator, once there is one.
    pub fn generator(&self) -> Result<Generator, ApiError> {
        match self.now() {
            Phase::Serving(generator) => Ok(generator),
            Phase::Loading(_) => {
                Err(ApiError::new(ErrorCode::Unavailable, "the worker still loads its model")
                    .with_hint("GET /health tells how far it is"))
            }
            Phase::Failed(reason) => Err(ApiError::new(ErrorCode::Unavailable, &*reason)),
        }
    }

    /// The state as the fleet names it.
    pub fn state(&self) -> WorkerState {
        match self.now() {
            Phase::Loading(_) => WorkerState::Loading,
            Phase::Failed(_) => WorkerState::Failed,
            Phase::Serving(generator) => {
                let status = generator.status();
                match status.health {
                    generation::Health::Draining => WorkerState::Draining,
                    generation::Health::Broken { .. } => WorkerState::Failed,
                    generation::Health::Ready if status.slots_busy >= status.slots_total => {
                        WorkerState::Busy
                    }
                    generation::Health::Ready => WorkerState::Ready,
                }
            }
        }
    }

    /// The answer to `GET /health`.
    pub fn health(&self) -> Health {
        let (status, progress) = match self.now() {
            Phase::Loading(progress) => ("loading", self.progress(progress)),
            Phase::Failed(_) => ("failed", None),
            Phase::Serving(generator) => match generator.status().health {
                generation::Health::Ready => ("ready", None),
                generation::Health::Draining => ("draining", None),
                generation::Health::Broken { .. } => ("failed", None),
            },
        };
        Health { status: status.to_owned(), progress, worker: Some(self.worker_health()) }
    }

    fn worker_health(&self) -> WorkerHealth {
        let generator = self.generator().ok();
        let status = generator.as_ref().map(Generator::status);
        WorkerHealth {
            worker_id: self.identity.worker_id.clone(),
            incarnation: self.identity.incarnation,
            slots_total: status.as_ref().map(|status| whole(status.slots_total)),
            slots_busy: status.as_ref().map(|status| whole(status.slots_busy)),
            context_length: generator.as_ref().map(|it| whole(it.info().context_length)),
            memory_bytes: config::procfs::memory_bytes(std::process::id()),
            tokens_per_second: status
                .as_ref()
                .and_then(|status| status.tokens_per_second)
                .map(|rate| (rate * 10.0).round() / 10.0),
            time_to_first_token_ms: status
                .as_ref()
                .and_then(|status| status.time_to_first_token)
                .map(daemon::newest::milliseconds),
            kv_cache_tokens: status.as_ref().map(|status| status.tokens_held as u64),
            kv_cache_capacity_tokens: status.as_ref().map(|status| status.tokens_capacity as u64),
            version: Some(daemon::build::VERSION.to_owned()),
        }
    }

    fn progress(&self, progress: LoadProgress) -> Option<Progress> {
        let fraction = match progress {
            LoadProgress::Checking | LoadProgress::Tokenizer => 0.0,
            LoadProgress::Weights { fraction } => fraction,
            LoadProgress::WarmingUp => 1.0,
        };
        let total = self.model_bytes?;
        Some(Progress {
            done: (total as f64 * fraction) as u64,
            total: Some(total),
            unit: "bytes".to_owned(),
            rate: None,
            eta_s: None,
        })
    }
}

/// A count on the wire.
pub(crate) fn whole(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
