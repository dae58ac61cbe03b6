use proptest::prelude::*;
use protocol::{fleet::WorkerHealth, job::Progress};

use super::*;
use crate::{
    size::MIB,
    workers::launcher::tests::{launcher, spec},
};

pub(in crate::workers) const POLICY: RestartPolicy =
    RestartPolicy { delay_first: Duration::from_secs(1), tries_max: 5 };

/// A worker, the clock it lives by, and what was asked for on the way.
pub(super) struct Life {
    pub(super) entry: WorkerEntry,
    pub(super) now: Instant,
    pub(super) effects: Vec<Effect>,
    /// Why there is no room for its next life, while there is none.
    pub(super) no_room: Option<&'static str>,
}

impl Life {
    pub(super) fn new() -> Self {
        let record = launcher(std::path::Path::new("/r")).record(&spec());
        let (entry, effects) = WorkerEntry::new(record, 100_000_000, POLICY);
        Self { entry, now: Instant::now(), effects, no_room: None }
    }

    pub(super) fn with(mut self, events: impl IntoIterator<Item = Event>) -> Self {
        for event in events {
            self.take(event);
        }
        self
    }

    pub(super) fn take(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = self.entry.handle(self.of_this_life(event), self.now, 0.5);
        if effects == [Effect::AskForRoom] {
            let answer = match self.no_room {
                None => Event::Admitted { at: AT },
                Some(reason) => Event::NoRoom { at: AT, reason: reason.to_owned() },
            };
            effects = self.entry.handle(answer, self.now, 0.5);
        }
        self.effects.extend(&effects);
        effects
    }

    /// What answers with no incarnation answers as the process of this life.
    fn of_this_life(&self, mut event: Event) -> Event {
        if let Event::Answered(health) = &mut event
            && let Some(worker) = &mut health.worker
            && worker.incarnation == 0
        {
            worker.incarnation = self.entry.record().incarnation;
        }
        event
    }

    pub(super) fn after(mut self, seconds: u64) -> Self {
        self.now += Duration::from_secs(seconds);
        self
    }

    pub(super) fn state(&self) -> WorkerState {
        self.entry.record().state
    }

    pub(super) fn asked_for(&self, effect: Effect) -> usize {
        self.effects.iter().filter(|it| **it == effect).count()
    }
}

pub(super) const AT: Timestamp = Timestamp::UNIX_EPOCH;

pub(super) fn tick() -> Event {
    Event::Tick
}

pub(super) fn launched() -> Event {
    Event::Launched { pid: 4711 }
}

fn launch_failed() -> Event {
    Event::LaunchFailed { at: AT, reason: "cannot start it".to_owned() }
}

pub(super) fn exited(code: Option<i32>, signal: Option<i32>) -> Event {
    let reason = "was seen to end".to_owned();
    Event::Exited(ExitRecord { at: AT, code, signal, reason, log_tail: vec![] })
}

pub(super) fn leave() -> Event {
    Event::Leave { may_drain: true }
}

fn leave_at_once() -> Event {
    Event::Leave { may_drain: false }
}

fn stop_failed() -> Event {
    Event::StopFailed { at: AT, reason: "it hangs".to_owned() }
}

fn health(status: &str, done: Option<u64>, busy: u32) -> Event {
    let progress = done.map(|done| Progress {
        done,
        total: Some(100),
        unit: "bytes".to_owned(),
        rate: None,
        eta_s: None,
    });
    let worker = WorkerHealth {
        worker_id: "wk-1".parse().unwrap(),
        incarnation: 0,
        slots_total: Some(2),
        slots_busy: Some(busy),
        context_length: Some(256),
        memory_bytes: Some(40 * MIB + 17),
        tokens_per_second: Some(12.34),
        time_to_first_token_ms: Some(180.5),
        kv_cache_tokens: Some(17),
        kv_cache_capacity_tokens: Some(512),
        version: Some("0.3.0".to_owned()),
    };
    Event::Answered(Box::new(Health { status: status.to_owned(), progress, worker: Some(worker) }))
}

fn loading(done: u64) -> Event {
    health("loading", Some(done), 0)
}

pub(super) fn ready(busy: u32) -> Event {
    health("ready", None, busy)
}

fn draining() -> Event {
    health("draining", None, 1)
}

#[test]
fn a_worker_comes_up_serves_and_is_deleted() {
    let life = Life::new();
    assert_eq!(life.effects, [Effect::Publish, Effect::Launch]);
    let life = life.with([launched()]);
    assert_eq!((life.state(), life.entry.record().pid), (WorkerState::Starting, Some(4711)));
    let life = life.with([Event::Listening { url: "http://x".to_owned() }, loading(40)]);
    assert_eq!(life.state(), WorkerState::Loading);
    assert_eq!(life.entry.record().progress.as_ref().map(|it| it.done), Some(40));
    let life = life.with([ready(1)]);
    let record = life.entry.record();
    assert_eq!((record.state, &record.progress), (WorkerState::Ready, &None));
    assert_eq!((record.slots_total, record.slots_busy), (Some(2), Some(1)));
    assert_eq!(record.time_to_first_token_ms, Some(180.5));
    assert_eq!((record.kv_cache_tokens, record.kv_cache_capacity_tokens), (Some(17), Some(512)));
    assert_eq!(record.version.as_deref(), Some("0.3.0"));
    assert_eq!((record.memory_bytes, record.tokens_per_second), (Some(40 * MIB), Some(12.3)));
    let life = life.with([ready(2)]);
    assert_eq!(life.state(), WorkerState::Busy);
    let mut life = life.with([leave()]);
    assert_eq!((life.state(), life.asked_for(Effect::Drain)), (WorkerState::Draining, 1));
    let last = life.take(exited(Some(0), None));
    assert_eq!(last, [Effect::Publish, Effect::Forget]);
    assert_eq!(life.state(), WorkerState::Stopped);
    assert_eq!(life.asked_for(Effect::Launch), 1);
}

#[test]
fn how_a_process_ended_decides_what_the_record_says() {
    use WorkerState::{Failed, Stopped};
    let up = || vec![launched(), ready(0)];
    for (events, state, is_forgotten) in [
        (vec![launch_failed()], Failed, false),
        (vec![launched(), exited(Some(1), None)], Failed, false),
        (vec![launched(), loading(1), exited(None, Some(9))], Failed, false),
        // A SIGTERM by hand, seen afterwards …
        ([up(), vec![exited(Some(0), None)]].concat(), Stopped, false),
        // … and before.
        ([up(), vec![draining(), exited(Some(0), None)]].concat(), Stopped, false),
        ([up(), vec![draining(), exited(Some(3), None)]].concat(), Failed, false),
        // Asked is stopped, however it took it.
        ([up(), vec![leave(), exited(None, Some(9))]].concat(), Stopped, true),
        (vec![leave(), launch_failed()], Stopped, true),
        (vec![leave(), launched(), exited(None, Some(9))], Stopped, true),
        // Deleted after it had failed, or before it came back.
        (vec![launched(), exited(Some(1), None), leave()], Failed, true),
        ([up(), vec![exited(Some(1), None), leave()]].concat(), Stopped, true),
    ] {
        let life = Life::new().with(events.clone());
        let record = life.entry.record();
        assert_eq!(record.state, state, "{events:?}");
        assert_eq!((record.pid, record.slots_busy), (None, None), "{events:?}");
        assert!(record.last_exit.is_some(), "{events:?}");
        assert!(life.entry.is_ended(), "{events:?}");
        assert_eq!(life.asked_for(Effect::Forget), usize::from(is_forgotten), "{events:?}");
    }
}

#[test]
fn a_worker_that_does_not_come_up_is_ended_and_says_why() {
    for (life, said) in [
        (Life::new().with([launched()]).after(30), "did not answer"),
        (Life::new().with([launched(), loading(1), loading(1)]).after(62), "no progress"),
    ] {
        let mut life = life;
        assert_eq!(life.take(tick()), [Effect::Kill]);
        assert_eq!(life.take(tick()), [], "asked once");
        let _ = life.take(exited(None, Some(9)));
        assert_eq!(life.state(), WorkerState::Failed);
        let exit = life.entry.record().last_exit.clone().unwrap();
        assert!(exit.reason.contains(said), "{exit:?}");
        assert_eq!(exit.signal, Some(9));
    }
}

#[test]
fn progress_extends_the_time_to_load() {
    let life = Life::new().with([launched(), loading(1)]).after(50).with([loading(2)]).after(50);
    let life = life.with([tick()]);
    assert_eq!((life.state(), life.asked_for(Effect::Kill)), (WorkerState::Loading, 0));
}

#[test]
fn an_answer_of_another_program_or_another_life_is_none() {
    let Event::Answered(health) = ready(0) else { unreachable!() };
    let details = health.worker.clone().unwrap();
    let of = |worker: Option<WorkerHealth>, status: &str| {
        Event::Answered(Box::new(Health { status: status.to_owned(), progress: None, worker }))
    };
    for stranger in [
        of(Some(WorkerHealth { worker_id: "wk-2".parse().unwrap(), ..details.clone() }), "ready"),
        of(Some(WorkerHealth { incarnation: 2, ..details }), "ready"),
        of(None, "alive"),
    ] {
        let life = Life::new().with([launched(), stranger.clone()]);
        assert_eq!(life.state(), WorkerState::Starting, "{stranger:?}");
    }
}

#[test]
fn the_numbers_of_a_worker_that_falls_silent_become_unknown_and_it_is_left_alone() {
    let life = Life::new().with([launched(), ready(1)]).after(9).with([Event::Unanswered]);
    assert_eq!(life.entry.record().slots_busy, Some(1));
    let life = life.after(1).with([Event::Unanswered, tick()]);
    let record = life.entry.record();
    assert_eq!((record.slots_busy, record.memory_bytes), (None, None));
    assert_eq!((record.time_to_first_token_ms, record.kv_cache_tokens), (None, None));
    assert_eq!((record.state, record.slots_total), (WorkerState::Ready, Some(2)));
    assert_eq!(life.asked_for(Effect::Kill), 0);
}

#[test]
fn impatience_turns_a_drain_into_a_kill_once() {
    let mut life = Life::new().with([launched(), ready(1), leave()]);
    assert_eq!(life.take(leave()), []);
    assert_eq!(life.take(leave_at_once()), [Effect::Kill]);
    assert_eq!(life.take(leave_at_once()), []);
}

#[test]
fn a_process_that_does_not_end_is_shown_and_killed_again_when_asked() {
    let mut life = Life::new().with([launched(), ready(0), leave()]);
    let _ = life.take(stop_failed());
    let record = life.entry.record();
    assert_eq!((record.state, record.pid), (WorkerState::Failed, Some(4711)));
    assert!(!life.entry.is_ended());
    assert_eq!(life.take(leave()), [Effect::Kill]);
    assert_eq!(life.take(exited(None, Some(9))), [Effect::Publish, Effect::Forget]);
}

#[test]
fn a_worker_that_served_and_was_killed_comes_back_as_another_life() {
    let mut life = Life::new().with([launched(), ready(1)]);
    assert_eq!(life.take(exited(None, Some(9))), [Effect::Publish, Effect::Remember]);
    let record = life.entry.record();
    assert_eq!((record.state, record.incarnation), (WorkerState::BackingOff, 1));
    assert_eq!((record.pid, &record.url, record.slots_busy), (None, &None, None));
    assert_eq!(record.retry_at, Some(AT + Duration::from_secs(1)));
    assert_eq!(record.last_exit.as_ref().unwrap().signal, Some(9));

    assert_eq!(life.take(tick()), [], "not yet");
    let mut life = life.after(1);
    assert_eq!(life.take(tick()), [Effect::Publish, Effect::Launch]);
    let life = life.with([launched(), loading(1), ready(0)]);
    let record = life.entry.record();
    assert_eq!((record.state, record.incarnation), (WorkerState::Ready, 2));
    assert_eq!((record.restarts, record.retry_at), (Some(1), None));
    assert!(record.last_exit.is_some(), "how the life before ended stays known");
}

#[test]
fn a_worker_that_keeps_falling_is_given_up_and_says_how_it_ended() {
    let mut life = Life::new().with([launched(), ready(0)]);
    for _ in 0..5 {
        let _ = life.take(exited(None, Some(11)));
        assert_eq!(life.state(), WorkerState::BackingOff);
        life = life.after(16).with([tick(), launched(), ready(0)]);
    }
    let _ = life.take(exited(None, Some(11)));
    let record = life.entry.record();
    assert_eq!((record.state, record.restarts), (WorkerState::Failed, Some(5)));
    assert_eq!(record.last_exit.as_ref().unwrap().signal, Some(11));
    assert_eq!(life.after(3600).take(tick()), []);
}

#[test]
fn a_restart_that_cannot_load_is_tried_again_and_a_first_start_is_not() {
    let first = Life::new().with([launched(), loading(1), exited(Some(1), None)]);
    assert_eq!(first.state(), WorkerState::Failed);
    let again = Life::new().with([launched(), ready(0), exited(None, Some(9))]).after(1);
    let again = again.with([tick(), launched(), loading(1), exited(Some(1), None)]);
    assert_eq!(again.state(), WorkerState::BackingOff);
}

#[test]
fn a_worker_that_waits_to_be_started_is_forgotten_at_once_when_it_is_deleted() {
    let mut life = Life::new().with([launched(), ready(0), exited(None, Some(9))]);
    assert_eq!(life.take(leave()), [Effect::Publish, Effect::Forget]);
    assert_eq!(life.state(), WorkerState::Stopped);
    assert_eq!(life.after(60).take(tick()), []);
}

#[test]
fn a_worker_without_room_waits_on_and_says_why_until_it_is_given_up() {
    let mut life = Life::new().with([launched(), ready(0), exited(None, Some(9))]);
    life.no_room = Some("demo needs 3 GiB, 1 GiB free on CPU-0");
    life = life.after(1).with([tick()]);
    let record = life.entry.record().clone();
    assert_eq!((record.state, record.incarnation), (WorkerState::BackingOff, 1));
    assert_eq!(record.retry_at, Some(AT + Duration::from_secs(2)));
    let exit = record.last_exit.unwrap();
    let said = "was seen to end; not started again: demo needs 3 GiB, 1 GiB free on CPU-0";
    assert_eq!((exit.reason.as_str(), exit.signal), (said, Some(9)));

    let (entry, now) = (life.entry.clone(), life.now);
    let mut back = Life { entry, now, effects: vec![], no_room: None }.after(2);
    assert_eq!(back.take(tick()), [Effect::Publish, Effect::Launch]);
    assert_eq!(back.entry.record().last_exit.as_ref().unwrap().reason, "was seen to end");

    for _ in 0..4 {
        life = life.after(60).with([tick()]);
    }
    assert_eq!((life.state(), life.asked_for(Effect::Launch)), (WorkerState::Failed, 1));
    assert_eq!(life.entry.record().last_exit.as_ref().unwrap().reason, said);
    assert_eq!(life.after(60).take(tick()), []);
}

#[test]
fn room_that_is_granted_too_early_or_too_late_starts_nothing() {
    let admitted = || Event::Admitted { at: AT };
    let mut life = Life::new().with([admitted(), launched(), admitted(), ready(0), admitted()]);
    let _ = life.take(exited(None, Some(9)));
    assert_eq!(life.take(admitted()), [], "its wait is not over");
    assert_eq!(life.take(leave()), [Effect::Publish, Effect::Forget]);
    assert_eq!(life.after(60).take(admitted()), []);
}

#[test]
fn what_says_nothing_new_is_not_published() {
    let mut life = Life::new().with([launched(), ready(0)]);
    assert_eq!(life.take(ready(0)), []);
    assert_eq!(life.take(ready(1)), [Effect::Publish]);
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(launched()),
        Just(launch_failed()),
        Just(Event::Listening { url: "http://x".to_owned() }),
        (0..9_u64).prop_map(loading),
        (0..3_u32).prop_map(ready),
        Just(draining()),
        Just(Event::Unanswered),
        Just(exited(Some(0), None)),
        Just(exited(None, Some(9))),
        Just(stop_failed()),
        Just(Event::Admitted { at: AT }),
        Just(Event::NoRoom { at: AT, reason: "no room".to_owned() }),
        Just(leave()),
        Just(leave_at_once()),
        Just(tick()),
    ]
}

fn may_follow(before: WorkerState, after: WorkerState) -> bool {
    use WorkerState::{BackingOff, Busy, Draining, Failed, Loading, Ready, Starting, Stopped};
    match (before, after) {
        (before, after) if before == after => true,
        (Starting, after) => after != Stopped,
        (Loading, after) => !matches!(after, Starting | Stopped),
        (Ready | Busy, after) => !matches!(after, Starting | Loading),
        (Draining, after) => matches!(after, Stopped | Failed),
        (BackingOff, after) => matches!(after, Starting | Stopped | Failed),
        // A worker that was given up is still on its way out when it is
        // asked to leave; what has ended stays ended.
        (Stopped | Failed, _) => false,
    }
}

/// What a real process could do: it exists from its launch to its exit.
struct Machine {
    is_launching: bool,
    has_process: bool,
}

impl Machine {
    fn can_do(&self, event: &Event) -> bool {
        match event {
            Event::Launched { .. } | Event::LaunchFailed { .. } => self.is_launching,
            Event::Exited(_)
            | Event::Listening { .. }
            | Event::Answered(_)
            | Event::Unanswered
            | Event::StopFailed { .. } => self.has_process,
            Event::Admitted { .. } | Event::NoRoom { .. } | Event::Leave { .. } | Event::Tick => {
                true
            }
        }
    }

    fn does(&mut self, event: &Event) {
        match event {
            Event::Launched { .. } => (self.is_launching, self.has_process) = (false, true),
            Event::LaunchFailed { .. } => self.is_launching = false,
            Event::Exited(_) => self.has_process = false,
            _ => {}
        }
    }

    fn has_any(&self) -> bool {
        self.is_launching || self.has_process
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_states_follow_each_other_and_there_is_one_process_at_most(
        events in prop::collection::vec((any_event(), 0..40_u64), 0..120)
    ) {
        let mut life = Life::new();
        let mut machine = Machine { is_launching: true, has_process: false };
        let mut is_asked = false;
        for (event, seconds) in events {
            if !machine.can_do(&event) {
                continue;
            }
            machine.does(&event);
            is_asked |= matches!(event, Event::Leave { .. });
            life.now += Duration::from_secs(seconds);
            let before = life.entry.record().clone();
            let effects = life.take(event.clone());
            let after = life.entry.record();
            prop_assert!(
                may_follow(before.state, after.state),
                "{:?} -> {:?} by {event:?}", before.state, after.state
            );
            if effects.contains(&Effect::Launch) {
                prop_assert!(!machine.has_any(), "launched twice by {event:?}");
                prop_assert!(!is_asked, "launched after it was asked to leave");
                prop_assert_eq!(after.incarnation, before.incarnation + 1);
                machine.is_launching = true;
            }
            prop_assert_eq!(after.pid.is_some(), machine.has_process);
            let is_waiting = after.state == WorkerState::BackingOff;
            prop_assert_eq!(after.retry_at.is_some(), is_waiting);
            prop_assert_eq!(life.entry.is_ended(), !machine.has_any() && !is_waiting);
            if effects.contains(&Effect::Forget) {
                prop_assert!(!machine.has_any(), "forgotten alive by {event:?}");
                break;
            }
        }
    }

    #[test]
    fn even_impossible_events_launch_no_process_of_the_same_life_twice(
        events in prop::collection::vec((any_event(), 0..40_u64), 0..60)
    ) {
        let mut life = Life::new();
        for (event, seconds) in events {
            life.now += Duration::from_secs(seconds);
            let _ = life.take(event);
        }
        let lives = life.entry.record().incarnation;
        prop_assert_eq!(life.asked_for(Effect::Launch) as u64, lives);
    }
}
