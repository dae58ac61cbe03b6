//! What a worker's answers, and their absence, say about it.

use std::time::{Duration, Instant};

use protocol::fleet::{Health, WorkerHealth, WorkerState};

use super::{Effect, Stage, WorkerEntry};
use crate::size::to_mib;

/// Numbers of a worker that has not answered for this long are not known.
const SILENCE_MAX: Duration = Duration::from_secs(10);

impl WorkerEntry {
    pub(super) fn answered(&mut self, health: Health, now: Instant) -> Vec<Effect> {
        if !self.has_process() || !self.is_ours(health.worker.as_ref()) {
            return self.unanswered(now);
        }
        let had_served = self.has_served;
        match health.status.as_str() {
            "loading" => self.loads(&health, now),
            "ready" | "ok" => self.serves(health.worker.as_ref(), now),
            "draining" => self.drains(now),
            _ => return self.unanswered(now),
        }
        if let Some(details) = health.worker {
            self.take(details);
        }
        // From now on it is started again, by the next hive as well.
        if self.has_served == had_served { vec![] } else { vec![Effect::Remember] }
    }

    /// Another program, or another life of this one, may have the port.
    fn is_ours(&self, details: Option<&WorkerHealth>) -> bool {
        details.is_none_or(|it| {
            it.worker_id == self.record.id && it.incarnation == self.record.incarnation
        })
    }

    fn loads(&mut self, health: &Health, now: Instant) {
        let done_now = health.progress.as_ref().map_or(0, |progress| progress.done);
        match &mut self.stage {
            Stage::Starting { .. } => {
                let until = now + self.load_patience;
                self.stage = Stage::Loading { until, done: done_now };
                self.record.state = WorkerState::Loading;
            }
            Stage::Loading { until, done } if done_now > *done => {
                *done = done_now;
                *until = now + self.load_patience;
            }
            Stage::Loading { .. } => {}
            // A model that is loaded stays so, and one that leaves leaves.
            _ => return,
        }
        self.record.progress = health.progress.clone();
    }

    fn serves(&mut self, details: Option<&WorkerHealth>, now: Instant) {
        if !self.is_up(now) {
            return;
        }
        if self.record.state == WorkerState::Draining {
            return;
        }
        let slots = details.and_then(|it| Some((it.slots_busy?, it.slots_total?)));
        let is_full = slots.is_some_and(|(busy, total)| total > 0 && busy >= total);
        self.record.state = if is_full { WorkerState::Busy } else { WorkerState::Ready };
    }

    fn drains(&mut self, now: Instant) {
        if self.is_up(now) {
            self.record.state = WorkerState::Draining;
        }
    }

    /// Notes that it answers as one that has its model; `false` when it is
    /// not to be one any more.
    fn is_up(&mut self, now: Instant) -> bool {
        let since = match self.stage {
            Stage::Starting { .. } | Stage::Loading { .. } => now,
            Stage::Serving { since, .. } => since,
            _ => return false,
        };
        self.record.progress = None;
        self.has_served = true;
        self.stage = Stage::Serving { since, answered_at: now };
        true
    }

    fn take(&mut self, details: WorkerHealth) {
        let record = &mut self.record;
        record.slots_total = details.slots_total.or(record.slots_total);
        record.slots_busy = details.slots_busy;
        record.context_length = details.context_length.or(record.context_length);
        record.memory_bytes = details.memory_bytes.map(to_mib);
        record.tokens_per_second =
            details.tokens_per_second.map(|rate| (rate * 10.0).round() / 10.0);
        record.time_to_first_token_ms = details.time_to_first_token_ms;
        record.kv_cache_tokens = details.kv_cache_tokens;
        record.kv_cache_capacity_tokens = details.kv_cache_capacity_tokens;
        record.version = details.version;
    }

    pub(super) fn unanswered(&mut self, now: Instant) -> Vec<Effect> {
        if let Stage::Serving { answered_at, .. } = self.stage
            && now.saturating_duration_since(answered_at) >= SILENCE_MAX
        {
            // It may be stopped by a debugger or wait for a driver; whether it
            // still gets work is the queen's to judge.
            self.forget_numbers();
        }
        vec![]
    }
}
