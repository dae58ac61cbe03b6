//! Which requests there are, who waits, and who may come in.
//!
//! A plain value: the driver and the handle share it under one lock and take
//! every decision here, with the time handed in.
//!
//! ```text
//!   admit ──▶ waiting ──next──▶ in a slot ──release──▶ kept ──expire──▶ gone
//! ```
//!
//! Every number in it has a limit: slots, waiting places, ended requests kept,
//! and how long they are kept.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use protocol::{ApiError, ErrorCode, RequestId, deadline::Deadline};

use super::{
    Activity, Health, Limits,
    log::{End, RequestLog},
    sequence::Sequence,
};

/// A request that has been let in.
pub(super) struct Admitted {
    pub(super) log: Arc<RequestLog>,
    pub(super) sequence: Sequence,
    pub(super) deadline: Option<Deadline>,
}

impl Admitted {
    /// Ends the request if its deadline has passed.
    pub(super) fn enforce_deadline(&self, now: Instant) {
        if let Some(deadline) = self.deadline
            && deadline.remaining(now).is_zero()
        {
            self.log.finish(End::Error(deadline.exceeded()), now);
        }
    }
}

/// All requests of one generator.
pub(super) struct Registry {
    slots: usize,
    limits: Limits,
    health: Health,
    requests: HashMap<RequestId, Arc<RequestLog>>,
    waiting: VecDeque<Admitted>,
    in_slots: usize,
}

impl Registry {
    pub(super) fn new(slots: usize, limits: Limits) -> Self {
        Self {
            slots,
            limits,
            health: Health::Ready,
            requests: HashMap::new(),
            waiting: VecDeque::new(),
            in_slots: 0,
        }
    }

    pub(super) fn find(&self, id: &RequestId) -> Option<Arc<RequestLog>> {
        self.requests.get(id).cloned()
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// Drains or breaks; what is broken stays so.
    pub(super) fn set_health(&mut self, health: Health) {
        if !matches!(self.health, Health::Broken { .. }) {
            self.health = health;
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn in_slots(&self) -> usize {
        self.in_slots
    }

    pub(super) fn activity(&self) -> Activity {
        Activity { in_slots: self.in_slots, waiting: self.waiting.len() }
    }

    /// Whether one more request may come in, and why not.
    pub(super) fn room(&self) -> Result<(), ApiError> {
        match &self.health {
            Health::Ready => {}
            Health::Draining => {
                let error = ApiError::new(ErrorCode::Unavailable, "the worker is shutting down");
                return Err(error.with_hint("ask another worker"));
            }
            Health::Broken { reason } => {
                let what = format!("the worker's engine is broken: {reason}");
                let error = ApiError::new(ErrorCode::Unavailable, what);
                return Err(error.with_hint("restart the worker"));
            }
        }
        // A request that has ended holds its slot only until the current step
        // is over; its place is free already.
        let live = self.requests.values().filter(|log| log.end().is_none()).count();
        if live < self.slots + self.limits.queue {
            return Ok(());
        }
        let what = format!(
            "all {} slots are busy and the queue of {} is full",
            self.slots, self.limits.queue
        );
        Err(ApiError::new(ErrorCode::QueueFull, what).with_hint("try again, or ask another worker"))
    }

    pub(super) fn admit(&mut self, admitted: Admitted) {
        self.requests.insert(admitted.log.id().clone(), Arc::clone(&admitted.log));
        self.waiting.push_back(admitted);
    }

    /// The next request for a free slot.
    pub(super) fn next(&mut self, now: Instant) -> Option<Admitted> {
        self.sweep(now);
        let next = self.waiting.pop_front()?;
        self.in_slots += 1;
        Some(next)
    }

    /// A slot is free again.
    pub(super) fn release(&mut self) {
        self.in_slots = self.in_slots.saturating_sub(1);
    }

    /// Drops what has ended from the queue, and enforces deadlines there.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.waiting.iter().for_each(|waiting| waiting.enforce_deadline(now));
        self.waiting.retain(|waiting| waiting.log.end().is_none());
    }

    /// Ends everything that has not ended.
    pub(super) fn end_all(&mut self, error: &ApiError, now: Instant) {
        for log in self.requests.values() {
            log.finish(End::Error(error.clone()), now);
        }
        self.waiting.clear();
    }

    /// Forgets a request that has ended.
    pub(super) fn acknowledge(&mut self, id: &RequestId) -> Result<(), ApiError> {
        let log = self.requests.get(id).ok_or_else(|| not_found(id))?;
        if log.end().is_none() {
            let what = format!("request {id} is still running");
            let error = ApiError::new(ErrorCode::Conflict, what);
            return Err(error.with_hint("cancel it, or wait for its end"));
        }
        self.requests.remove(id);
        Ok(())
    }

    /// Forgets what ended long ago, and the oldest where too many are kept.
    pub(super) fn expire(&mut self, now: Instant) {
        let kept_for = self.limits.kept_for;
        let mut ended: Vec<(Instant, RequestId)> = Vec::new();
        self.requests.retain(|id, log| {
            let Some(at) = log.ended_at() else { return true };
            let keep = now.saturating_duration_since(at) < kept_for;
            if keep {
                ended.push((at, id.clone()));
            }
            keep
        });
        if ended.len() > self.limits.kept_requests {
            ended.sort();
            let surplus = ended.len() - self.limits.kept_requests;
            for (_, id) in &ended[..surplus] {
                self.requests.remove(id);
            }
        }
    }

    /// How long nothing here will change by time alone.
    pub(super) fn idle_for(&self, now: Instant) -> Option<Duration> {
        let ended = self.requests.values().filter_map(|log| log.ended_at());
        let expiries = ended.map(|at| (at + self.limits.kept_for).saturating_duration_since(now));
        let waiting = self.waiting.iter().filter_map(|waiting| waiting.deadline);
        expiries.chain(waiting.map(|deadline| deadline.remaining(now))).min()
    }
}

pub(super) fn not_found(id: &RequestId) -> ApiError {
    let what = format!("there is no request {id}");
    let error = ApiError::new(ErrorCode::RequestNotFound, what);
    error.with_hint("requests are forgotten some time after their end")
}

#[cfg(test)]
mod tests {
    use protocol::inference::Sampling;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn registry(slots: usize, queue: usize) -> Registry {
        Registry::new(slots, Limits { queue, kept_requests: 2, kept_for: MINUTE })
    }

    fn admit(registry: &mut Registry, id: &str, deadline: Option<Deadline>) -> Arc<RequestLog> {
        let log = RequestLog::new(id.parse().unwrap());
        let sequence = Sequence::new(vec![1], &Sampling::default(), 0, 10, Instant::now());
        registry.admit(Admitted { log: Arc::clone(&log), sequence, deadline });
        log
    }

    fn code(result: Result<(), ApiError>) -> ErrorCode {
        result.unwrap_err().code
    }

    #[test]
    fn slots_and_queue_fill_and_an_end_makes_room_at_once() {
        let mut registry = registry(1, 1);
        let first = admit(&mut registry, "a", None);
        registry.room().unwrap();
        admit(&mut registry, "b", None);
        assert_eq!(code(registry.room()), ErrorCode::QueueFull);
        first.finish(End::Cancelled, Instant::now());
        registry.room().unwrap();
    }

    #[test]
    fn the_queue_is_served_in_order_and_skips_what_has_ended() {
        let mut registry = registry(1, 5);
        let now = Instant::now();
        let soon = Deadline::after(Duration::from_millis(5), now);
        admit(&mut registry, "cancelled", None).finish(End::Cancelled, now);
        let late = admit(&mut registry, "late", Some(soon));
        admit(&mut registry, "third", None);
        let next = registry.next(now + Duration::from_millis(5)).unwrap();
        assert_eq!(next.log.id().as_str(), "third");
        let Some(End::Error(error)) = late.end() else { panic!("{:?}", late.end()) };
        assert_eq!(error.code, ErrorCode::DeadlineExceeded);
        assert_eq!((registry.in_slots(), registry.waiting()), (1, 0));
        registry.release();
        assert!(registry.activity().is_idle());
    }

    #[test]
    fn draining_and_broken_workers_take_nothing_in_and_broken_stays() {
        let mut registry = registry(1, 1);
        registry.set_health(Health::Draining);
        assert_eq!(code(registry.room()), ErrorCode::Unavailable);
        registry.set_health(Health::Broken { reason: "test".to_owned() });
        registry.set_health(Health::Ready);
        let error = registry.room().unwrap_err();
        assert!(error.message.contains("broken: test"), "{error}");
    }

    #[test]
    fn ended_requests_are_kept_for_a_while_and_not_too_many() {
        let mut registry = registry(9, 9);
        let start = Instant::now();
        for (second, id) in (0..).zip(["a", "b", "c"]) {
            let log = admit(&mut registry, id, None);
            log.finish(End::Done, start + Duration::from_secs(second));
        }
        let running = admit(&mut registry, "running", None);
        registry.sweep(start);
        registry.expire(start + Duration::from_secs(3));
        let kept = |registry: &Registry| {
            ["a", "b", "c"].map(|id| registry.find(&id.parse().unwrap()).is_some())
        };
        assert_eq!(kept(&registry), [false, true, true], "the oldest goes first");
        assert_eq!(registry.idle_for(start + MINUTE), Some(Duration::from_secs(1)));
        registry.expire(start + MINUTE + Duration::from_secs(1));
        assert_eq!(kept(&registry), [false, false, true]);
        registry.expire(start + MINUTE * 60);
        assert_eq!(kept(&registry), [false; 3]);
        assert!(registry.find(running.id()).is_some(), "what runs is never forgotten");
    }

    #[test]
    fn only_what_has_ended_can_be_acknowledged() {
        let mut registry = registry(1, 1);
        let log = admit(&mut registry, "a", None);
        assert_eq!(code(registry.acknowledge(log.id())), ErrorCode::Conflict);
        log.finish(End::Done, Instant::now());
        registry.acknowledge(log.id()).unwrap();
        assert_eq!(code(registry.acknowledge(log.id())), ErrorCode::RequestNotFound);
    }
}
