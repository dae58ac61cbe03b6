//! What happens to a worker, decided: `(entry, event, now) -> effects`.
//!
//! Waits for nothing and does nothing. Three promises, tested with random
//! events: a launch is asked for only when no process of this worker can be
//! there, a worker that was asked to leave is never launched again, and the
//! record's states follow each other as documented in
//! `protocol::fleet::WorkerState`.

mod answers;
mod recall;

use std::{
    mem,
    time::{Duration, Instant},
};

use protocol::{
    Timestamp,
    fleet::{ExitRecord, Health, WorkerRecord, WorkerState},
};

pub(crate) use self::recall::Fate;
use super::{
    restart::{Ended, RestartPolicy, Restarts, left_until},
    spec::{History, Outlook},
};

/// A process that was started says something within this.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// A model that is being read makes progress within this, and …
const LOAD_PATIENCE: Duration = Duration::from_secs(60);
/// … within what its file takes from a slow disk.
const SLOW_DISK_BYTES_PER_SECOND: u64 = 50_000_000;
/// One worker as the supervisor keeps it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WorkerEntry {
    record: WorkerRecord,
    stage: Stage,
    load_patience: Duration,
    /// Whether a life of it ever served: one that never did has somebody who
    /// waits for it and is told at once.
    has_served: bool,
    policy: RestartPolicy,
    restarts: Restarts,
    /// How its last process ended, without what came of it.
    last_exit: Option<ExitRecord>,
}

/// Where it stands; see the diagram in [`super`].
#[derive(Debug, Clone, PartialEq)]
enum Stage {
    Launching,
    Starting { until: Instant },
    Loading { until: Instant, done: u64 },
    Serving { since: Instant, answered_at: Instant },
    BackingOff { until: Instant, retry_at: Timestamp },
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
    /// There is room for its next life; it is `at` by the wall clock.
    Admitted { at: Timestamp },
    /// There is none, for this reason.
    NoRoom { at: Timestamp, reason: String },
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
    /// Find out whether there is room for its next life.
    AskForRoom,
    /// Write down what the next hive must know of it.
    Remember,
    /// Show its record.
    Publish,
    /// Remove every trace of it.
    Forget,
}

impl WorkerEntry {
    /// A new worker, as `record` describes it.
    pub(crate) fn new(
        record: WorkerRecord,
        model_bytes: u64,
        policy: RestartPolicy,
    ) -> (Self, Vec<Effect>) {
        let entry = Self {
            record,
            stage: Stage::Launching,
            load_patience: patience(model_bytes),
            has_served: false,
            policy,
            restarts: Restarts::default(),
            last_exit: None,
        };
        (entry, vec![Effect::Publish, Effect::Launch])
    }

    /// What the next hive must know of it; it is `at` by the wall clock.
    pub(crate) fn history(&self, now: Instant, at: Timestamp) -> History {
        let outlook = match self.stage {
            Stage::BackingOff { retry_at, .. } => Outlook::Waits(retry_at),
            Stage::Leaving { why: Why::Asked { .. } | Why::Stuck { is_asked: true }, .. } => {
                Outlook::Leaves
            }
            Stage::Ended => Outlook::Ended(self.record.state),
            _ => Outlook::Lives,
        };
        History {
            outlook,
            has_served: self.has_served,
            restarts: self.record.restarts.unwrap_or_default(),
            tries: self.restarts.written(now, at),
            last_exit: self.last_exit.clone(),
        }
    }

    /// How it is shown.
    pub(crate) fn record(&self) -> &WorkerRecord {
        &self.record
    }

    /// Whether it has no process and will have none.
    pub(crate) fn is_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Whether its model is in memory already, and not only on its way there.
    pub(crate) fn is_loaded(&self) -> bool {
        matches!(self.stage, Stage::Serving { .. })
    }

    /// Takes an event in. `jitter` is a random number in 0..1.
    #[must_use]
    pub(crate) fn handle(&mut self, event: Event, now: Instant, jitter: f64) -> Vec<Effect> {
        let before = self.record.clone();
        let mut effects = self.decide(event, now, jitter);
        if self.record != before {
            effects.insert(0, Effect::Publish);
        }
        effects
    }

    fn decide(&mut self, event: Event, now: Instant, jitter: f64) -> Vec<Effect> {
        match event {
            Event::Launched { pid } => self.launched(pid, now),
            Event::LaunchFailed { at, reason } => {
                let exit = ExitRecord { at, code: None, signal: None, reason, log_tail: vec![] };
                self.launch_failed(exit, now, jitter)
            }
            Event::Exited(exit) => self.exited(exit, now, jitter),
            Event::Admitted { at } => self.admitted(at, now),
            Event::NoRoom { at, reason } => self.found_no_room(at, reason, now, jitter),
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

    fn launch_failed(&mut self, exit: ExitRecord, now: Instant, jitter: f64) -> Vec<Effect> {
        match self.stage {
            Stage::Launching => self.fell(exit, Ended::Coming, now, jitter),
            Stage::Leaving { has_process: false, .. } => {
                self.end(WorkerState::Stopped, exit);
                vec![Effect::Forget]
            }
            _ => vec![],
        }
    }

    fn exited(&mut self, exit: ExitRecord, now: Instant, jitter: f64) -> Vec<Effect> {
        match mem::replace(&mut self.stage, Stage::Ended) {
            // Told by somebody else, most likely with a SIGTERM.
            Stage::Starting { .. } | Stage::Loading { .. } | Stage::Serving { .. }
                if self.record.state == WorkerState::Draining =>
            {
                let is_clean = exit.code == Some(0);
                let state = if is_clean { WorkerState::Stopped } else { WorkerState::Failed };
                self.end(state, exit);
                vec![Effect::Remember]
            }
            // A worker leaves with 0 only when it was told to; it was done
            // before it was asked how it is.
            Stage::Serving { .. } if exit.code == Some(0) => {
                self.end(WorkerState::Stopped, exit);
                vec![Effect::Remember]
            }
            Stage::Serving { since, .. } => self.fell(exit, Ended::Serving { since }, now, jitter),
            Stage::Starting { .. } | Stage::Loading { .. } => {
                let is_own_word = exit.code.is_some();
                let ended = if is_own_word { Ended::Refused } else { Ended::Coming };
                self.fell(exit, ended, now, jitter)
            }
            Stage::Leaving { why, has_process: true } => match why {
                Why::Asked { .. } => {
                    self.end(WorkerState::Stopped, exit);
                    vec![Effect::Forget]
                }
                Why::GaveUp { reason } => {
                    self.fell(ExitRecord { reason, ..exit }, Ended::Coming, now, jitter)
                }
                Why::Stuck { is_asked } => {
                    // Shown as failed already; now it is known how it ended.
                    self.end(WorkerState::Failed, exit);
                    vec![if is_asked { Effect::Forget } else { Effect::Remember }]
                }
            },
            // Nothing that has no process can exit.
            stage @ (Stage::Launching
            | Stage::BackingOff { .. }
            | Stage::Leaving { .. }
            | Stage::Ended) => {
                self.stage = stage;
                vec![]
            }
        }
    }

    /// It ended and nobody had asked it to.
    fn fell(&mut self, exit: ExitRecord, ended: Ended, now: Instant, jitter: f64) -> Vec<Effect> {
        let at = exit.at;
        self.end(WorkerState::Failed, exit);
        if self.has_served {
            self.back_off(ended, at, now, jitter);
        }
        vec![Effect::Remember]
    }

    /// Waits for its next life, unless it had enough of them.
    fn back_off(&mut self, ended: Ended, at: Timestamp, now: Instant, jitter: f64) {
        match self.restarts.next(self.policy, ended, now, jitter) {
            Some(wait) => {
                let retry_at = at + wait;
                self.stage = Stage::BackingOff { until: now + wait, retry_at };
                self.record.state = WorkerState::BackingOff;
                self.record.retry_at = Some(retry_at);
            }
            None => {
                self.stage = Stage::Ended;
                self.record.state = WorkerState::Failed;
                self.record.retry_at = None;
            }
        }
    }

    fn admitted(&mut self, at: Timestamp, now: Instant) -> Vec<Effect> {
        if self.is_due(now) { self.start_again(at) } else { vec![] }
    }

    fn found_no_room(
        &mut self,
        at: Timestamp,
        reason: String,
        now: Instant,
        jitter: f64,
    ) -> Vec<Effect> {
        if !self.is_due(now) {
            return vec![];
        }
        let last = self.last_exit.clone().unwrap_or_else(|| ExitRecord {
            at,
            code: None,
            signal: None,
            reason: "ended".to_owned(),
            log_tail: vec![],
        });
        let reason = format!("{}; not started again: {reason}", last.reason);
        self.record.last_exit = Some(ExitRecord { reason, ..last });
        self.back_off(Ended::Refused, at, now, jitter);
        if self.stage == Stage::Ended {
            self.last_exit = self.record.last_exit.clone();
        }
        vec![Effect::Remember]
    }

    fn is_due(&self, now: Instant) -> bool {
        matches!(self.stage, Stage::BackingOff { until, .. } if now >= until)
    }

    fn start_again(&mut self, at: Timestamp) -> Vec<Effect> {
        self.stage = Stage::Launching;
        let record = &mut self.record;
        record.state = WorkerState::Starting;
        record.incarnation += 1;
        record.restarts = Some(record.restarts.unwrap_or(0).saturating_add(1));
        record.retry_at = None;
        record.last_exit = self.last_exit.clone();
        record.started_at = Some(at);
        vec![Effect::Launch]
    }

    fn leave(&mut self, may_drain: bool) -> Vec<Effect> {
        let order = if may_drain { Effect::Drain } else { Effect::Kill };
        match &mut self.stage {
            Stage::Launching => {
                self.stage = Stage::Leaving { why: Why::Asked { may_drain }, has_process: false };
                self.record.state = WorkerState::Draining;
                vec![Effect::Remember]
            }
            Stage::Starting { .. } | Stage::Loading { .. } | Stage::Serving { .. } => {
                self.stage = Stage::Leaving { why: Why::Asked { may_drain }, has_process: true };
                self.record.state = WorkerState::Draining;
                self.record.progress = None;
                vec![Effect::Remember, order]
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
                    vec![Effect::Remember]
                }
                Why::Stuck { is_asked } => {
                    *is_asked = true;
                    vec![Effect::Kill]
                }
            },
            Stage::BackingOff { .. } => {
                self.stage = Stage::Ended;
                self.record.state = WorkerState::Stopped;
                self.record.retry_at = None;
                vec![Effect::Forget]
            }
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

    fn tick(&mut self, now: Instant) -> Vec<Effect> {
        let reason = match self.stage {
            Stage::BackingOff { until, .. } if now >= until => return vec![Effect::AskForRoom],
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
            Stage::Launching | Stage::BackingOff { .. } | Stage::Ended => false,
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
        self.record.retry_at = None;
        self.record.last_exit = Some(exit.clone());
        self.last_exit = Some(exit);
        self.forget_numbers();
    }

    fn forget_numbers(&mut self) {
        self.record.slots_busy = None;
        self.record.memory_bytes = None;
        self.record.tokens_per_second = None;
        self.record.time_to_first_token_ms = None;
        self.record.kv_cache_tokens = None;
    }
}

fn patience(model_bytes: u64) -> Duration {
    LOAD_PATIENCE + Duration::from_secs(model_bytes / SLOW_DISK_BYTES_PER_SECOND)
}

#[cfg(test)]
pub(super) mod tests;
