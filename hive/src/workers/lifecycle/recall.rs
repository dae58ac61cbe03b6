//! How a worker of a former hive goes on: what was written down about it, and
//! what has become of its process since.

use std::time::Instant;

use protocol::{
    Timestamp,
    fleet::{ExitRecord, WorkerRecord},
};

use super::{Effect, Ended, Outlook, RestartPolicy, Restarts, Stage, WorkerEntry, left_until};
use crate::workers::spec::History;

/// What the new hive found of a worker.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fate {
    /// Its process.
    Runs { pid: u32 },
    /// No process; if the former hive left it with one, it ended like this.
    Gone(ExitRecord),
}

impl WorkerEntry {
    /// A worker of a former hive. It is `at` by the wall clock; `jitter` is a
    /// random number in 0..1.
    pub(crate) fn recalled(
        record: WorkerRecord,
        model_bytes: u64,
        policy: RestartPolicy,
        (history, fate): (&History, Fate),
        (now, at): (Instant, Timestamp),
        jitter: f64,
    ) -> (Self, Vec<Effect>) {
        let (mut entry, _) = Self::new(record, model_bytes, policy);
        entry.has_served = history.has_served;
        entry.restarts = Restarts::read(&history.tries, now, at);
        entry.record.restarts = Some(history.restarts);
        entry.last_exit = history.last_exit.clone();
        entry.record.last_exit = history.last_exit.clone();
        let mut effects = vec![Effect::Publish];
        match (fate, history.outlook) {
            (Fate::Runs { pid }, outlook) => {
                entry.record.pid = Some(pid);
                entry.stage = Stage::Starting { until: now + entry.load_patience };
                effects.push(Effect::Adopt);
                if outlook == Outlook::Leaves {
                    effects.extend(entry.leave(true));
                }
            }
            (Fate::Gone(_), Outlook::Waits(retry_at)) => entry.wait(retry_at, now, at),
            (Fate::Gone(exit), Outlook::Lives) => {
                // How long it had served is not known; it is given no credit.
                effects.extend(entry.fell(exit, Ended::Serving { since: now }, now, jitter));
            }
            (Fate::Gone(_), Outlook::Ended(state)) => {
                entry.stage = Stage::Ended;
                entry.record.state = state;
            }
            (Fate::Gone(_), Outlook::Leaves) => {
                entry.stage = Stage::Ended;
                effects = vec![Effect::Forget];
            }
        }
        (entry, effects)
    }

    fn wait(&mut self, retry_at: Timestamp, now: Instant, at: Timestamp) {
        let left = left_until(retry_at, at);
        // What is shown is what will happen, also after a clock was set.
        let retry_at = retry_at.min(at + left);
        self.stage = Stage::BackingOff { until: now + left, retry_at };
        self.record.state = super::WorkerState::BackingOff;
        self.record.retry_at = Some(retry_at);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protocol::fleet::WorkerState;

    use super::{
        super::{
            Event,
            tests::{AT, Life, POLICY, exited, launched, leave, ready, tick},
        },
        *,
    };
    use crate::workers::{
        Spec,
        launcher::tests::{launcher, spec},
    };

    const SECONDS: fn(u64) -> Duration = Duration::from_secs;

    fn unseen() -> Fate {
        Fate::Gone(ExitRecord {
            at: AT,
            code: None,
            signal: None,
            reason: "ended while no hive was watching".to_owned(),
            log_tail: vec![],
        })
    }

    /// The same worker under the next hive, which comes so many seconds later.
    fn next_hive(life: &Life, fate: Fate, seconds: u64) -> Life {
        let history = life.entry.history(life.now, AT);
        let written = serde_json::to_string(&history).unwrap();
        let history: History = serde_json::from_str(&written).unwrap();
        let incarnation = life.entry.record().incarnation;
        let spec = Spec { incarnation, history: history.clone(), ..spec() };
        let record = launcher(std::path::Path::new("/r")).record(&spec);
        let (now, at) = (Instant::now(), AT + SECONDS(seconds));
        let (entry, effects) =
            WorkerEntry::recalled(record, 0, POLICY, (&history, fate), (now, at), 0.5);
        Life { entry, now, effects, no_room: None }
    }

    #[test]
    fn a_running_worker_is_held_and_never_launched() {
        let life = Life::new().with([launched(), ready(0)]);
        let life = next_hive(&life, Fate::Runs { pid: 42 }, 5);
        assert_eq!(life.effects, [Effect::Publish, Effect::Adopt]);
        assert_eq!((life.state(), life.entry.record().pid), (WorkerState::Starting, Some(42)));
        let life = life.with([Event::Launched { pid: 42 }, ready(0)]);
        assert_eq!((life.state(), life.asked_for(Effect::Launch)), (WorkerState::Ready, 0));
    }

    #[test]
    fn a_worker_that_died_unseen_is_told_as_such_and_started_again() {
        let life = Life::new().with([launched(), ready(0)]);
        let mut life = next_hive(&life, unseen(), 5);
        let record = life.entry.record();
        assert_eq!((record.state, record.pid), (WorkerState::BackingOff, None));
        assert!(record.last_exit.as_ref().unwrap().reason.contains("no hive was watching"));
        life = life.after(1);
        assert_eq!(life.take(tick()), [Effect::Publish, Effect::Launch]);
        assert_eq!(life.entry.record().incarnation, 2);
    }

    #[test]
    fn one_that_never_served_is_not_started_again_by_the_next_hive_either() {
        let life = next_hive(&Life::new().with([launched()]), unseen(), 5);
        assert_eq!((life.state(), life.entry.is_ended()), (WorkerState::Failed, true));
    }

    #[test]
    fn a_wait_goes_on_with_what_is_left_of_it() {
        let mut life = Life::new().with([launched(), ready(0)]);
        for _ in 0..3 {
            life = life.with([exited(None, Some(9))]).after(9).with([tick(), launched(), ready(0)]);
        }
        let life = life.with([exited(None, Some(9))]);
        let before = life.entry.record().clone();
        let mut next = next_hive(&life, unseen(), 3);
        let record = next.entry.record();
        assert_eq!((record.state, record.retry_at), (before.state, before.retry_at));
        assert_eq!((record.restarts, &record.last_exit), (Some(3), &before.last_exit));
        next = next.after(4);
        assert_eq!(next.take(tick()), [], "eight seconds are not over");
        next = next.after(1);
        assert_eq!(next.take(tick()), [Effect::Publish, Effect::Launch]);
        assert_eq!(next.entry.record().restarts, Some(4));
    }

    #[test]
    fn a_worker_that_keeps_falling_is_given_up_however_many_hives_come() {
        let mut life = Life::new().with([launched(), ready(0)]);
        let mut lives = 1;
        for _ in 0..20 {
            life = next_hive(&life, unseen(), 1).after(60).with([tick()]);
            if life.asked_for(Effect::Launch) > 0 {
                lives += 1;
                life = life.with([launched(), ready(0)]);
            }
        }
        assert_eq!(lives, 1 + POLICY.tries_max);
        let last = next_hive(&life, unseen(), 60);
        let record = last.entry.record();
        assert_eq!((record.state, record.restarts), (WorkerState::Failed, Some(5)));
        assert!(record.last_exit.is_some() && last.entry.is_ended());
    }

    #[test]
    fn one_that_was_asked_to_leave_leaves_under_the_next_hive() {
        let life = Life::new().with([launched(), ready(1), leave()]);
        let still_there = next_hive(&life, Fate::Runs { pid: 42 }, 5);
        assert_eq!(still_there.state(), WorkerState::Draining);
        assert_eq!(still_there.asked_for(Effect::Drain), 1);
        let gone = next_hive(&life, unseen(), 5);
        assert_eq!(gone.effects, [Effect::Forget]);
    }
}
