//! Who gets which slot.
//!
//! ```text
//!            a slot is free                        slot given back
//! submit ───────────────────────▶ granted ───────────────────────▶ (next)
//!    │ all busy, room in the queue                        ▲
//!    ├──────────────▶ waiting (place 2 of 5) ─────────────┤
//!    │ nobody serves yet                │                 │
//!    ├──────────────▶ waiting (for a worker that starts) ─┘
//!    │ queue full                       │ nobody left who could
//!    └──▶ refused: queue_full           └──▶ refused: no_worker
//! ```
//!
//! `Scheduler` decides and is pure: every method returns the effects on
//! tickets. [`SchedulerHandle`] holds its lock and delivers them. A slot is a
//! guard, so no path can leak one. Among the workers that fit, the least busy
//! one is taken; among the waiting, the first who fits a free slot, so one
//! model's queue never blocks another's.

mod placement;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use daemon::shutdown::Shutdown;
use protocol::{ApiError, ErrorCode, WorkerId, fleet::WorkerRecord};
use tokio::sync::watch;

pub use self::placement::Want;
use crate::fleet::FleetHandle;

/// One request that waits for a slot or holds one.
type Ticket = u64;

/// What a ticket's holder sees.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    Waiting(Wait),
    Granted(WorkerId),
    Refused(ApiError),
}

/// What a request waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// Every slot that fits is taken.
    Slot(Place),
    /// Nobody who fits serves yet; this worker is on its way to it.
    Worker(WorkerId),
}

/// A place in the queue for one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// 1 is the next.
    pub place: usize,
    /// How many wait for the same model.
    pub of: usize,
}

#[derive(Debug)]
struct Waiting {
    want: Want,
    told: Option<Wait>,
}

/// A worker as the scheduler sees it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The worker.
    pub record: WorkerRecord,
    /// Whether it may be given work now.
    pub serving: bool,
}

/// See the module.
#[derive(Debug)]
struct Scheduler {
    /// By ticket, which is the order of arrival.
    waiting: BTreeMap<Ticket, Waiting>,
    reserved: HashMap<WorkerId, u32>,
    next: Ticket,
    waiting_max: usize,
}

impl Scheduler {
    fn new(waiting_max: usize) -> Self {
        Self { waiting: BTreeMap::new(), reserved: HashMap::new(), next: 0, waiting_max }
    }

    /// A new request: a slot, a place, or a refusal.
    fn submit(&mut self, want: Want, fleet: &[Candidate]) -> (Ticket, Vec<(Ticket, Standing)>) {
        let ticket = self.next;
        self.next += 1;
        if !want.could_be_served(fleet) {
            return (ticket, vec![(ticket, Standing::Refused(want.nobody(fleet)))]);
        }
        if let Err(error) = self.room(&want, fleet) {
            return (ticket, vec![(ticket, Standing::Refused(error))]);
        }
        self.waiting.insert(ticket, Waiting { want, told: None });
        (ticket, self.settle(fleet))
    }

    /// Whether a request that has to wait finds a place to do so.
    fn room(&self, want: &Want, fleet: &[Candidate]) -> Result<(), ApiError> {
        let must_wait = placement::choose(want, fleet, &self.reserved).is_none();
        let ahead = self.waiting.values().filter(|other| other.want.model == want.model).count();
        if !must_wait || ahead < self.waiting_max {
            return Ok(());
        }
        let error = ApiError::new(
            ErrorCode::QueueFull,
            format!("{ahead} requests wait for {} already", want.model),
        );
        Err(error.with_hint(format!(
            "try again later, or add a worker: rbee-keeper worker spawn --model {}",
            want.model
        )))
    }

    /// Its holder has gone away while it waited.
    fn withdraw(&mut self, ticket: Ticket, fleet: &[Candidate]) -> Vec<(Ticket, Standing)> {
        self.waiting.remove(&ticket);
        self.settle(fleet)
    }

    /// A slot is taken, whoever else waits.
    fn reserve(&mut self, worker: &WorkerId) {
        *self.reserved.entry(worker.clone()).or_default() += 1;
    }

    /// A slot is free again.
    fn give_back(&mut self, worker: &WorkerId, fleet: &[Candidate]) -> Vec<(Ticket, Standing)> {
        if let Some(reserved) = self.reserved.get_mut(worker) {
            *reserved = reserved.saturating_sub(1);
            if *reserved == 0 {
                self.reserved.remove(worker);
            }
        }
        self.settle(fleet)
    }

    /// Grants what can be granted, refuses what can no longer be, and tells
    /// the rest what they wait for if that changed.
    fn settle(&mut self, fleet: &[Candidate]) -> Vec<(Ticket, Standing)> {
        let mut effects = Vec::new();
        let mut left = BTreeMap::new();
        for (ticket, waiting) in std::mem::take(&mut self.waiting) {
            if let Some(worker) = placement::choose(&waiting.want, fleet, &self.reserved) {
                self.reserve(&worker);
                effects.push((ticket, Standing::Granted(worker)));
            } else if waiting.want.could_be_served(fleet) {
                left.insert(ticket, waiting);
            } else {
                effects.push((ticket, Standing::Refused(waiting.want.nobody(fleet))));
            }
        }
        self.waiting = left;
        effects.extend(self.changed_waits(fleet));
        effects
    }

    fn changed_waits(&mut self, fleet: &[Candidate]) -> Vec<(Ticket, Standing)> {
        let mut of = HashMap::new();
        for waiting in self.waiting.values() {
            *of.entry(waiting.want.model.clone()).or_insert(0) += 1;
        }
        let mut passed: HashMap<_, usize> = HashMap::new();
        let mut effects = Vec::new();
        for (ticket, waiting) in &mut self.waiting {
            let passed = passed.entry(waiting.want.model.clone()).or_default();
            *passed += 1;
            let wait = match placement::coming(&waiting.want, fleet) {
                Some(worker) => Wait::Worker(worker),
                None => Wait::Slot(Place { place: *passed, of: of[&waiting.want.model] }),
            };
            if waiting.told.as_ref() != Some(&wait) {
                waiting.told = Some(wait.clone());
                effects.push((*ticket, Standing::Waiting(wait)));
            }
        }
        effects
    }
}

/// The scheduler as requests use it. Cheap to clone.
#[derive(Clone)]
pub struct SchedulerHandle {
    shared: Arc<Shared>,
}

struct Shared {
    scheduler: Mutex<Inner>,
    fleet: FleetHandle,
    waiting: watch::Sender<u32>,
}

struct Inner {
    scheduler: Scheduler,
    holders: HashMap<Ticket, watch::Sender<Option<Standing>>>,
}

impl SchedulerHandle {
    /// At most `waiting_max` requests wait for one model.
    pub fn new(fleet: FleetHandle, waiting_max: usize) -> Self {
        let inner = Inner { scheduler: Scheduler::new(waiting_max), holders: HashMap::new() };
        let shared = Shared { scheduler: Mutex::new(inner), fleet, waiting: watch::Sender::new(0) };
        Self { shared: Arc::new(shared) }
    }

    /// How many requests wait; moves with every change.
    pub fn waiting(&self) -> watch::Receiver<u32> {
        self.shared.waiting.subscribe()
    }

    /// Whether a request finds a place to wait, for an answer before it is a
    /// job; the claim itself decides.
    pub fn room(&self, want: &Want) -> Result<(), ApiError> {
        self.shared.lock().scheduler.room(want, &self.shared.candidates())
    }

    /// Whether somebody who fits serves, or is on the way to it.
    pub fn could_be_served(&self, want: &Want) -> bool {
        want.could_be_served(&self.shared.candidates())
    }

    /// Resolves when [`SchedulerHandle::could_be_served`] holds. It looks at
    /// the registry between the feed's messages and never while it holds the
    /// feed: the registry publishes under its own lock, and the two would wait
    /// for each other.
    pub async fn servable(&self, want: &Want) {
        let mut changed = self.shared.fleet.feed().subscribe();
        loop {
            changed.borrow_and_update();
            if self.could_be_served(want) {
                return;
            }
            // The sender lives as long as the fleet that this holds.
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Asks for a slot; [`Claim::next`] tells how it goes.
    pub fn claim(&self, want: Want) -> Claim {
        let (holder, standing) = watch::channel(None);
        let mut inner = self.shared.lock();
        let fleet = self.shared.candidates();
        let (ticket, effects) = inner.scheduler.submit(want, &fleet);
        inner.holders.insert(ticket, holder);
        self.shared.deliver(&mut inner, effects);
        Claim { ticket, standing, told: None, taken: false, shared: Arc::clone(&self.shared) }
    }

    /// A slot that a request has already: one that the queen before gave it.
    pub fn hold(&self, worker_id: WorkerId) -> Slot {
        self.shared.lock().scheduler.reserve(&worker_id);
        Slot { worker_id, shared: Arc::clone(&self.shared) }
    }

    /// Looks again whenever the fleet changes, until shutdown.
    pub async fn follow_fleet(self, shutdown: Shutdown) {
        let mut changed = self.shared.fleet.feed().subscribe();
        loop {
            tokio::select! {
                () = shutdown.asked() => return,
                moved = changed.changed() => if moved.is_err() { return },
            }
            let mut inner = self.shared.lock();
            if inner.scheduler.waiting.is_empty() {
                continue;
            }
            let fleet = self.shared.candidates();
            let effects = inner.scheduler.settle(&fleet);
            self.shared.deliver(&mut inner, effects);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every step of the scheduler leaves it consistent.
        self.scheduler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn candidates(&self) -> Vec<Candidate> {
        let now = Instant::now();
        self.fleet.look(|registry| {
            registry.workers(now).map(|(record, serving)| Candidate { record, serving }).collect()
        })
    }

    fn deliver(&self, inner: &mut Inner, effects: Vec<(Ticket, Standing)>) {
        for (ticket, standing) in effects {
            let waits_on = matches!(standing, Standing::Waiting(_));
            if let Some(holder) = inner.holders.get(&ticket) {
                holder.send_replace(Some(standing));
            }
            if !waits_on {
                inner.holders.remove(&ticket);
            }
        }
        let waiting = u32::try_from(inner.scheduler.waiting.len()).unwrap_or(u32::MAX);
        self.waiting.send_if_modified(|n| std::mem::replace(n, waiting) != waiting);
    }
}

/// How a claim stands.
pub enum Turn {
    /// It waits for this.
    Waits(Wait),
    /// It has its slot.
    Has(Slot),
}

/// A request on its way to a slot; dropped before it took one, it withdraws.
pub struct Claim {
    ticket: Ticket,
    standing: watch::Receiver<Option<Standing>>,
    told: Option<Wait>,
    taken: bool,
    shared: Arc<Shared>,
}

impl Claim {
    /// The slot, or what is waited for now, or the refusal.
    pub async fn next(&mut self) -> Result<Turn, ApiError> {
        loop {
            // Cloned out, because the guard must not live across an await.
            let now = self.standing.borrow_and_update().clone();
            match now {
                Some(Standing::Waiting(wait)) if self.told.as_ref() != Some(&wait) => {
                    self.told = Some(wait.clone());
                    return Ok(Turn::Waits(wait));
                }
                Some(Standing::Granted(worker_id)) => {
                    self.taken = true;
                    return Ok(Turn::Has(Slot { worker_id, shared: Arc::clone(&self.shared) }));
                }
                Some(Standing::Refused(error)) => return Err(error),
                Some(Standing::Waiting(_)) | None => {}
            }
            if self.standing.changed().await.is_err() {
                return Err(ApiError::new(ErrorCode::Internal, "the scheduler lost a request"));
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        let mut inner = self.shared.lock();
        inner.holders.remove(&self.ticket);
        let fleet = self.shared.candidates();
        // Standings are delivered under the same lock, so a grant is either
        // seen here and handed on, or never made.
        let effects = match &*self.standing.borrow() {
            Some(Standing::Granted(worker)) => inner.scheduler.give_back(worker, &fleet),
            _ => inner.scheduler.withdraw(self.ticket, &fleet),
        };
        self.shared.deliver(&mut inner, effects);
    }
}

/// A worker's slot; dropping it gives it to whoever waits.
pub struct Slot {
    /// Whose slot it is.
    pub worker_id: WorkerId,
    shared: Arc<Shared>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        let fleet = self.shared.candidates();
        let effects = inner.scheduler.give_back(&self.worker_id, &fleet);
        self.shared.deliver(&mut inner, effects);
    }
}

#[cfg(test)]
mod tests;
