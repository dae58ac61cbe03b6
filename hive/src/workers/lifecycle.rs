//! What happens to a worker, decided: `(entry, event, now) -> effects`.
//!
//! Waits for nothing and does nothing. Two promises, both tested with random
//! events: a launch is asked for only when no process of this worker can be
//! there, and the record's states follow each other as documented in
//! `protocol::fleet::WorkerState`.

use std::{
    mem,
    time::{Duration, Instant},
};

use protocol::{
    Timestamp,
    fleet::{ExitRecord, Health, WorkerHealth, WorkerRecord, WorkerState},
};

/// A process that was started says something within this.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// A model that is being read makes progress within this, and …
const LOAD_PATIENCE: Duration = Duration::from_secs(60);
/// … within what its file takes from a slow disk.
const SLOW_DISK_BYTES_PER_SECOND: u64 = 50_000_000;
/// Numbers of a worker that has not answered for this long are not known.
const SILENCE_MAX: Duration = Duration::from_secs(10);

const MIB: u64 = 1024 * 1024;

/// One worker as the supervisor keeps it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WorkerEntry {
    record: WorkerRecord,
    stage: Stage,
    load_patience: Duration,
}

/// Where it stands; see the diagram in [`super`].
#[derive(Debug, Clone, PartialEq)]
enum Stage {
    Launching,
    Starting { until: Instant },
    Loading { until: Instant, done: u64 },
    Serving { answered_at: Instant },
    Leaving { why: Why, has_process: bool },
    Ended,
}

/// Why it leaves.
#[derive(Debug, Clone, PartialEq)]
enum Why {
    /// Somebody asked; it is forgotten afterwards.
    Asked { may_drain: bool },
    /// It did not come up.
    GaveUp { reason: String },
    /// It was killed and did not end.
    Stuck { is_asked: bool },
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// Its process is there.
    Launched { pid: u32 },
    /// Its process could not be made.
    LaunchFailed { at: Timestamp, reason: String },
    /// It said where it listens.
    Listening { url: String },
    /// It answered.
    Answered(Box<Health>),
    /// It was asked and did not answer.
    Unanswered,
    /// Its process is gone.
    Exited(ExitRecord),
    /// Its process cannot be ended.
    StopFailed { at: Timestamp, reason: String },
    /// Somebody wants it gone; `may_drain` lets it finish its work first.
    Leave { may_drain: bool },
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Start its process.
    Launch,
    /// Hold on to a process that a former hive started.
    Adopt,
    /// Let it finish its work, then end it.
    Drain,
    /// End it now.
    Kill,
    /// Show its record.
    Publish,
    /// Remove every trace of it.
    Forget,
}

impl WorkerEntry {
    /// A new worker, as `record` describes it.
    pub(crate) fn new(record: WorkerRecord, model_bytes: u64) -> (Self, Vec<Effect>) {
        let entry = Self { record, stage: Stage::Launching, load_patience: patience(model_bytes) };
        (entry, vec![Effect::Publish, Effect::Launch])
    }

    /// A worker whose process `pid` a former hive started.
    pub(crate) fn adopted(
        record: WorkerRecord,
        model_bytes: u64,
        pid: u32,
        now: Instant,
    ) -> (Self, Vec<Effect>) {
        let load_patience = patience(model_bytes);
        let stage = Stage::Starting { until: now + load_patience };
        let entry =
            Self { record: WorkerRecord { pid: Some(pid), ..record }, stage, load_patience };
        (entry, vec![Effect::Publish, Effect::Adopt])
    }

    /// How it is shown.
    pub(crate) fn record(&self) -> &WorkerRecord {
        &self.record
    }

    /// Whether it has no process and will have none.
    pub(crate) fn is_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Takes an event in.
    #[must_use]
    pub(crate) fn handle(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let before = self.record.clone();
        let mut effects = self.decide(event, now);
        if self.record != before {
            effects.insert(0, Effect::Publish);
        }
        effects
    }

    fn decide(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        match event {
            Event::Launched { pid } => self.launched(pid, now),
            Event::LaunchFailed { at, reason } => self.launch_failed(at, reason),
            Event::Exited(exit) => self.exited(exit),
            Event::Leave { may_drain } => self.leave(may_drain),
            Event::StopFailed { at, reason } => self.stop_failed(at, reason),
            Event::Listening { url } => {
                if self.has_process() {
                    self.record.url = Some(url);
                }
                vec![]
            }
            Event::Answered(health) => self.answered(*health, now),
            Event::Unanswered => self.unanswered(now),
            Event::Tick => self.tick(now),
        }
    }

    fn launched(&mut self, pid: u32, now: Instant) -> Vec<Effect> {
        match &mut self.stage {
            Stage::Launching => {
                self.record.pid = Some(pid);
                self.stage = Stage::Starting { until: now + START_PATIENCE };
                vec![]
            }
            // It was asked to leave before it was there.
            Stage::Leaving { has_process, .. } if !*has_process => {
                *has_process = true;
                self.record.pid = Some(pid);
                vec![Effect::Kill]
            }
            _ => vec![],
        }
    }

    fn launch_failed(&mut self, at: Timestamp, reason: String) -> Vec<Effect> {
        let exit = ExitRecord { at, code: None, signal: None, reason, log_tail: vec![] };
        match self.stage {
            Stage::Launching => {
                self.end(WorkerState::Failed, exit);
                vec![]
            }
            Stage::Leaving { has_process: false, .. } => {
                self.end(WorkerState::Stopped, exit);
                vec![Effect::Forget]
            }
            _ => vec![],
        }
    }

    fn exited(&mut self, exit: ExitRecord) -> Vec<Effect> {
        match mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Starting { .. } | Stage::Loading { .. } | Stage::Serving { .. } => {
                // Told by somebody else, most likely with a SIGTERM.
                let was_told = self.record.state == WorkerState::Draining && exit.code == Some(0);
                let state = if was_told { WorkerState::Stopped } else { WorkerState::Failed };
                self.end(state, exit);
                vec![]
            }
            Stage::Leaving { why, has_process: true } => match why {
                Why::Asked { .. } => {
                    self.end(WorkerState::Stopped, exit);
                    vec![Effect::Forget]
                }
                Why::GaveUp { reason } => {
                    self.end(WorkerState::Failed, ExitRecord { reason, ..exit });
                    vec![]
                }
                Why::Stuck { is_asked } => {
                    // Shown as failed already; now it is known how it ended.
                    self.end(WorkerState::Failed, exit);
                    if is_asked { vec![Effect::Forget] } else { vec![] }
                }
            },
            // Nothing that has no process can exit.
            stage @ (Stage::Launching | Stage::Leaving { .. } | Stage::Ended) => {
                self.stage = stage;
                vec![]
            }
        }
    }

    fn leave(&mut self, may_drain: bool) -> Vec<Effect> {
        let order = if may_drain { Effect::Drain } else { Effect::Kill };
        match &mut self.stage {
            Stage::Launching => {
                self.stage = Stage::Leaving { why: Why::Asked { may_drain }, has_process: false };
                self.record.state = WorkerState::Draining;
                vec![]
            }
            Stage::Starting { .. } | Stage::Loading { .. } | Stage::Serving { .. } => {
                self.stage = Stage::Leaving { why: Why::Asked { may_drain }, has_process: true };
                self.record.state = WorkerState::Draining;
                self.record.progress = None;
                vec![order]
            }
            Stage::Leaving { why, has_process } => match why {
                // Asked again, and less patiently.
                Why::Asked { may_drain: patient @ true } if !may_drain => {
                    *patient = false;
                    if *has_process { vec![Effect::Kill] } else { vec![] }
                }
                Why::Asked { .. } => vec![],
                Why::GaveUp { .. } => {
                    *why = Why::Asked { may_drain: false };
                    self.record.state = WorkerState::Draining;
                    vec![]
                }
                Why::Stuck { is_asked } => {
                    *is_asked = true;
                    vec![Effect::Kill]
                }
            },
            Stage::Ended => vec![Effect::Forget],
        }
    }

    fn stop_failed(&mut self, at: Timestamp, reason: String) -> Vec<Effect> {
        let Stage::Leaving { why, .. } = &mut self.stage else { return vec![] };
        let is_asked = !matches!(why, Why::GaveUp { .. } | Why::Stuck { is_asked: false });
        *why = Why::Stuck { is_asked };
        self.record.state = WorkerState::Failed;
        self.record.last_exit =
            Some(ExitRecord { at, code: None, signal: None, reason, log_tail: vec![] });
        vec![]
    }

    fn answered(&mut self, health: Health, now: Instant) -> Vec<Effect> {
        if !self.has_process() || !self.is_ours(health.worker.as_ref()) {
            return self.unanswered(now);
        }
        match health.status.as_str() {
            "loading" => self.loads(&health, now),
            "ready" | "ok" => self.serves(health.worker.as_ref(), now),
            "draining" => self.drains(now),
            _ => return self.unanswered(now),
        }
        if let Some(details) = health.worker {
            self.take(details);
        }
        vec![]
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
        match self.stage {
            Stage::Starting { .. } | Stage::Loading { .. } => {
                self.record.progress = None;
            }
            Stage::Serving { .. } => {}
            _ => return,
        }
        self.stage = Stage::Serving { answered_at: now };
        if self.record.state == WorkerState::Draining {
            return;
        }
        let slots = details.and_then(|it| Some((it.slots_busy?, it.slots_total?)));
        let is_full = slots.is_some_and(|(busy, total)| total > 0 && busy >= total);
        self.record.state = if is_full { WorkerState::Busy } else { WorkerState::Ready };
    }

    fn drains(&mut self, now: Instant) {
        if matches!(
            self.stage,
            Stage::Starting { .. } | Stage::Loading { .. } | Stage::Serving { .. }
        ) {
            self.stage = Stage::Serving { answered_at: now };
            self.record.state = WorkerState::Draining;
            self.record.progress = None;
        }
    }

    fn take(&mut self, details: WorkerHealth) {
        let record = &mut self.record;
        record.slots_total = details.slots_total.or(record.slots_total);
        record.slots_busy = details.slots_busy;
        record.context_length = details.context_length.or(record.context_length);
        // Rounded, so that noise is not a message.
        record.memory_bytes = details.memory_bytes.map(|bytes| (bytes + MIB / 2) / MIB * MIB);
        record.tokens_per_second =
            details.tokens_per_second.map(|rate| (rate * 10.0).round() / 10.0);
    }

    fn unanswered(&mut self, now: Instant) -> Vec<Effect> {
        if let Stage::Serving { answered_at } = self.stage
            && now.saturating_duration_since(answered_at) >= SILENCE_MAX
        {
            // It may be stopped by a debugger or wait for a driver; whether it
            // still gets work is the queen's to judge.
            self.forget_numbers();
        }
        vec![]
    }

    fn tick(&mut self, now: Instant) -> Vec<Effect> {
        let reason = match self.stage {
            Stage::Starting { until } if now >= until => {
                "was started and did not answer".to_owned()
            }
            Stage::Loading { until, .. } if now >= until => {
                let waited = self.load_patience.as_secs();
                format!("made no progress with its model for {waited} s")
            }
            _ => return vec![],
        };
        self.stage = Stage::Leaving { why: Why::GaveUp { reason }, has_process: true };
        vec![Effect::Kill]
    }

    fn has_process(&self) -> bool {
        match self.stage {
            Stage::Launching | Stage::Ended => false,
            Stage::Starting { .. } | Stage::Loading { .. } | Stage::Serving { .. } => true,
            Stage::Leaving { has_process, .. } => has_process,
        }
    }

    fn end(&mut self, state: WorkerState, exit: ExitRecord) {
        self.stage = Stage::Ended;
        self.record.state = state;
        self.record.pid = None;
        self.record.url = None;
        self.record.progress = None;
        self.record.last_exit = Some(exit);
        self.forget_numbers();
    }

    fn forget_numbers(&mut self) {
        self.record.slots_busy = None;
        self.record.memory_bytes = None;
        self.record.tokens_per_second = None;
    }
}

fn patience(model_bytes: u64) -> Duration {
    LOAD_PATIENCE + Duration::from_secs(model_bytes / SLOW_DISK_BYTES_PER_SECOND)
}

#[cfg(test)]
mod tests;
