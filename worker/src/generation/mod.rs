//! Requests in, logs of tokens out.
//!
//! ```text
//!   submit ──▶ registry (who may come in) ──▶ driver (one thread, owns the engine)
//!                                                │ per slot: sequence
//!   cursor ◀── log (append-only, one end)  ◀─────┘
//! ```
//!
//! A [`Generator`] is a cheap handle to one operating-system thread that owns
//! the engine and all slots. Everybody else talks to it through this handle
//! and reads [`RequestLog`]s; nothing here is sent through a queue without a
//! limit, and no reader can slow the thread down.
//!
//! It refuses to know HTTP, and it keeps no prompt longer than its request
//! needs it.

mod driver;
mod log;
mod prompt;
mod rate;
mod registry;
mod sequence;
#[cfg(test)]
mod tests;

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use daemon::newest::Newest;
use protocol::{ApiError, ErrorCode, RequestId, deadline::Deadline, inference::Sampling};
use tokio::sync::watch;

pub(crate) use self::rate::WINDOW as RATE_WINDOW;
use self::{
    driver::Driver,
    rate::TokenRate,
    registry::{Admitted, Registry, not_found},
    sequence::Sequence,
};
pub use self::{
    log::{Cursor, End, Entry, RequestLog},
    prompt::Prompt,
};
use crate::{engine::ModelInfo, load::Loaded, template::ChatTemplate, tokenizer::Tokenizer};

/// Requests whose first tokens make up the median that is told. Few enough to
/// show soon that something has changed.
const FIRST_TOKENS: usize = 16;

/// How much a generator takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many requests may wait for a slot. A scheduler above that knows
    /// all workers queues better, so there are none by default.
    pub queue: usize,
    /// How many ended requests are kept for readers that come back.
    pub kept_requests: usize,
    /// How long each of them is kept.
    pub kept_for: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { queue: 0, kept_requests: 256, kept_for: Duration::from_secs(60) }
    }
}

/// Whether a generator takes requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Ready,
    /// It only finishes what it has.
    Draining,
    /// It never will again; the process should be replaced.
    Broken {
        /// What happened.
        reason: String,
    },
}

/// The requests that have not ended, by where they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activity {
    /// Being computed.
    pub in_slots: usize,
    /// Waiting for a slot.
    pub waiting: usize,
}

impl Activity {
    /// Whether there is nothing to do.
    pub fn is_idle(&self) -> bool {
        *self == Self::default()
    }
}

/// What a generator is doing.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Whether it takes requests.
    pub health: Health,
    /// How many sequences at a time.
    pub slots_total: usize,
    /// How many of them there are now.
    pub slots_busy: usize,
    /// How many requests wait for a slot.
    pub waiting: usize,
    /// Tokens per second over the last two seconds, all slots together; none
    /// when there were none.
    pub tokens_per_second: Option<f64>,
    /// Tokens since the start.
    pub tokens_generated: u64,
    /// The median time to the first token of the newest requests; none before
    /// there was one.
    pub time_to_first_token: Option<Duration>,
    /// Tokens that the slots hold, all together.
    pub tokens_held: usize,
    /// Tokens that they can hold.
    pub tokens_capacity: usize,
    /// How long the current step has been running; an engine that hangs shows
    /// here and nowhere else.
    pub step_running_for: Option<Duration>,
}

/// A handle to the thread that generates.
///
/// The thread ends with the last clone of it.
#[derive(Clone)]
pub struct Generator {
    shared: Arc<Shared>,
    tokenizer: Arc<dyn Tokenizer>,
    template: Arc<ChatTemplate>,
    info: Arc<ModelInfo>,
    slots: usize,
    _owner: Arc<Owner>,
}

impl Generator {
    /// Starts the thread around a loaded model.
    pub fn start(loaded: Loaded, limits: Limits) -> io::Result<Self> {
        let Loaded { engine, tokenizer, template } = loaded;
        let slots = engine.slots();
        let info = Arc::new(engine.info().clone());
        let shared = Arc::new(Shared::new(slots, limits));
        let driver = Driver::new(Arc::clone(&shared), engine, Arc::clone(&tokenizer));
        std::thread::Builder::new().name("generation".to_owned()).spawn(move || driver.run())?;
        let owner = Arc::new(Owner(Arc::clone(&shared)));
        Ok(Self { shared, tokenizer, template, info, slots, _owner: owner })
    }

    /// What is loaded.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Lets a request in, or says why not. The same id again is the same
    /// request, whatever else is passed.
    ///
    /// Tokenizes on the calling thread: microseconds for a chat, a good part
    /// of a second for megabytes.
    pub fn submit(
        &self,
        id: RequestId,
        prompt: &Prompt,
        sampling: &Sampling,
        deadline: Option<Deadline>,
    ) -> Result<Arc<RequestLog>, ApiError> {
        let accepted_at = Instant::now();
        if let Some(log) = self.find_or_room(&id)? {
            return Ok(log);
        }
        let sizes = (self.info.vocabulary, self.info.context_length);
        let tokens = prompt::tokens(prompt, &*self.tokenizer, &self.template, sizes)?;
        let context = self.info.context_length;
        let sequence = Sequence::new(tokens, sampling, rand::random(), context, accepted_at);

        let mut state = self.shared.state();
        // Somebody may have been faster while this prompt was tokenized.
        if let Some(log) = state.registry.find(&id) {
            return Ok(log);
        }
        state.registry.room()?;
        let log = RequestLog::new(id);
        state.registry.admit(Admitted { log: Arc::clone(&log), sequence, deadline });
        self.shared.publish(&state);
        self.shared.wake.notify_all();
        Ok(log)
    }

    fn find_or_room(&self, id: &RequestId) -> Result<Option<Arc<RequestLog>>, ApiError> {
        let mut state = self.shared.state();
        state.registry.expire(Instant::now());
        match state.registry.find(id) {
            Some(log) => Ok(Some(log)),
            None => state.registry.room().map(|()| None),
        }
    }

    /// The log of a request that runs, waits or is kept.
    pub fn find(&self, id: &RequestId) -> Option<Arc<RequestLog>> {
        self.shared.state().registry.find(id)
    }

    /// Ends a request. For its readers it is over at once, and its slot is
    /// free before another token is computed. One that has ended stays as it
    /// is.
    pub fn cancel(&self, id: &RequestId) -> Result<(), ApiError> {
        let log = self.find(id).ok_or_else(|| not_found(id))?;
        log.finish(End::Cancelled, Instant::now());
        self.shared.wake.notify_all();
        Ok(())
    }

    /// Forgets a request whose end has been seen.
    pub fn acknowledge(&self, id: &RequestId) -> Result<(), ApiError> {
        self.shared.state().registry.acknowledge(id)
    }

    /// What it is doing now.
    pub fn status(&self) -> Status {
        let now = Instant::now();
        let state = self.shared.state();
        Status {
            health: state.registry.health().clone(),
            slots_total: self.slots,
            slots_busy: state.registry.in_slots(),
            waiting: state.registry.waiting(),
            tokens_per_second: state.rate.per_second(now),
            tokens_generated: state.rate.total(),
            time_to_first_token: state.first_tokens.quantile(0.5),
            tokens_held: state.tokens_held,
            tokens_capacity: self.slots.saturating_mul(self.info.context_length),
            step_running_for: state.step_started.map(|at| now.saturating_duration_since(at)),
        }
    }

    /// Follows the health, for a process that should leave when it breaks.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    /// Moves whenever a request comes, gets its slot or ends.
    pub fn activity(&self) -> watch::Receiver<Activity> {
        self.shared.activity.subscribe()
    }

    /// Takes no more requests and waits until the last one has ended.
    pub async fn drain(&self) {
        {
            let mut state = self.shared.state();
            state.registry.set_health(Health::Draining);
            self.shared.publish(&state);
        }
        let mut activity = self.activity();
        // The sender lives as long as this handle.
        let _ = activity.wait_for(Activity::is_idle).await;
    }
}

/// Closes the thread when the last handle goes.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.wake.notify_all();
    }
}

/// What the handles and the thread share.
struct Shared {
    state: Mutex<State>,
    /// Something has changed that the thread may be waiting for.
    wake: Condvar,
    activity: watch::Sender<Activity>,
    health: watch::Sender<Health>,
}

struct State {
    registry: Registry,
    rate: TokenRate,
    first_tokens: Newest,
    tokens_held: usize,
    step_started: Option<Instant>,
    closed: bool,
}

impl Shared {
    fn new(slots: usize, limits: Limits) -> Self {
        let registry = Registry::new(slots, limits);
        let state = State {
            registry,
            rate: TokenRate::default(),
            first_tokens: Newest::new(FIRST_TOKENS),
            tokens_held: 0,
            step_started: None,
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            wake: Condvar::new(),
            activity: watch::Sender::default(),
            health: watch::Sender::new(Health::Ready),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, or until time alone makes one.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, now: Instant) -> MutexGuard<'a, State> {
        match state.registry.idle_for(now) {
            Some(idle) => {
                let woken = self.wake.wait_timeout(state, idle);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Tells those who follow, if there is anything new.
    fn publish(&self, state: &State) {
        let activity = state.registry.activity();
        self.activity.send_if_modified(|known| std::mem::replace(known, activity) != activity);
        let health = state.registry.health();
        self.health.send_if_modified(|known| {
            let news = known != health;
            known.clone_from(health);
            news
        });
    }

    /// Ends all requests and takes no more, for good.
    fn break_down(&self, reason: &str, now: Instant) {
        let mut state = self.state();
        let what = format!("the worker's engine broke: {reason}");
        let error = ApiError::new(ErrorCode::Internal, what);
        state.registry.end_all(&error, now);
        state.registry.set_health(Health::Broken { reason: reason.to_owned() });
        self.publish(&state);
    }
}
