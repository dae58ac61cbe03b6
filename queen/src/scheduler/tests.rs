use protocol::{
    DeviceId, HiveId,
    fleet::{WorkerRecord, WorkerState},
};

use super::*;

fn worker(id: &str, model: &str, slots: u32, state: WorkerState) -> Candidate {
    let record = WorkerRecord {
        id: id.parse().unwrap(),
        hive_id: HiveId::localhost(),
        model: model.parse().unwrap(),
        device: DeviceId::cpu(),
        state,
        url: None,
        pid: None,
        incarnation: 1,
        started_at: None,
        progress: None,
        slots_total: Some(slots),
        slots_busy: None,
        slots_desired: None,
        threads: None,
        context_length: None,
        memory_bytes: None,
        tokens_per_second: None,
        time_to_first_token_ms: None,
        kv_cache_tokens: None,
        kv_cache_capacity_tokens: None,
        version: None,
        last_heartbeat_at: None,
        last_exit: None,
        restarts: None,
        retry_at: None,
        log_file: None,
    };
    Candidate { serving: state.is_serving(), record }
}

fn ready(id: &str, model: &str, slots: u32) -> Candidate {
    worker(id, model, slots, WorkerState::Ready)
}

fn want(model: &str) -> Want {
    Want { model: model.parse().unwrap(), hive_id: None, worker_id: None, device: None }
}

fn granted(effects: &[(Ticket, Standing)], ticket: Ticket) -> Option<&str> {
    effects.iter().find_map(|effect| match effect {
        (of, Standing::Granted(worker)) if *of == ticket => Some(worker.as_str()),
        _ => None,
    })
}

fn place(effects: &[(Ticket, Standing)], ticket: Ticket) -> Option<(usize, usize)> {
    effects.iter().find_map(|effect| match effect {
        (of, Standing::Waiting(Wait::Slot(place))) if *of == ticket => {
            Some((place.place, place.of))
        }
        _ => None,
    })
}

fn awaited(effects: &[(Ticket, Standing)], ticket: Ticket) -> Option<&str> {
    effects.iter().find_map(|effect| match effect {
        (of, Standing::Waiting(Wait::Worker(id))) if *of == ticket => Some(id.as_str()),
        _ => None,
    })
}

fn refused(effects: &[(Ticket, Standing)], ticket: Ticket) -> Option<&ApiError> {
    effects.iter().find_map(|effect| match effect {
        (of, Standing::Refused(error)) if *of == ticket => Some(error),
        _ => None,
    })
}

#[test]
fn the_least_busy_worker_that_has_the_model_is_taken() {
    let fleet = [ready("wk-a", "demo", 4), ready("wk-b", "demo", 2), ready("wk-c", "o/other", 9)];
    let mut scheduler = Scheduler::new(8);
    let mut order = Vec::new();
    for _ in 0..6 {
        let (ticket, effects) = scheduler.submit(want("demo"), &fleet);
        order.push(granted(&effects, ticket).unwrap().to_owned());
    }
    assert_eq!(order, ["wk-a", "wk-b", "wk-a", "wk-a", "wk-b", "wk-a"]);
}

#[test]
fn when_all_are_busy_the_next_waits_and_hears_its_place_and_gets_the_next_slot() {
    let fleet = [ready("wk-a", "demo", 1)];
    let mut scheduler = Scheduler::new(8);
    scheduler.submit(want("demo"), &fleet);
    let (second, effects) = scheduler.submit(want("demo"), &fleet);
    assert_eq!(place(&effects, second), Some((1, 1)));
    let (third, effects) = scheduler.submit(want("demo"), &fleet);
    assert_eq!(place(&effects, third), Some((2, 2)));

    let effects = scheduler.give_back(&"wk-a".parse().unwrap(), &fleet);
    assert_eq!(granted(&effects, second), Some("wk-a"));
    assert_eq!(place(&effects, third), Some((1, 1)));
}

#[test]
fn one_models_queue_does_not_hold_up_anothers() {
    let fleet = [ready("wk-a", "demo", 1), ready("wk-b", "o/other", 1)];
    let mut scheduler = Scheduler::new(8);
    scheduler.submit(want("demo"), &fleet);
    scheduler.submit(want("demo"), &fleet);
    let (ticket, effects) = scheduler.submit(want("o/other"), &fleet);
    assert_eq!(granted(&effects, ticket), Some("wk-b"));
}

#[test]
fn a_full_queue_refuses_and_says_what_would_help() {
    let fleet = [ready("wk-a", "demo", 1)];
    let mut scheduler = Scheduler::new(1);
    scheduler.submit(want("demo"), &fleet);
    scheduler.submit(want("demo"), &fleet);
    let (ticket, effects) = scheduler.submit(want("demo"), &fleet);
    let error = refused(&effects, ticket).unwrap();
    assert_eq!(error.code, ErrorCode::QueueFull);
    assert!(error.hint.as_deref().unwrap().contains("worker spawn"), "{error:?}");
}

#[test]
fn no_worker_is_an_error_whose_hint_is_the_command_that_makes_one() {
    let mut scheduler = Scheduler::new(8);
    let (ticket, effects) = scheduler.submit(want("org/repo:Q4_K_M"), &[]);
    let error = refused(&effects, ticket).unwrap();
    assert_eq!(error.code, ErrorCode::NoWorker);
    let hint = error.hint.as_deref().unwrap();
    assert_eq!(hint, "rbee-keeper worker spawn --model org/repo:Q4_K_M");
}

#[test]
fn a_worker_that_loads_or_is_started_again_is_worth_waiting_for_by_its_name() {
    for state in [WorkerState::Starting, WorkerState::Loading, WorkerState::BackingOff] {
        let mut scheduler = Scheduler::new(8);
        let (ticket, effects) = scheduler.submit(want("demo"), &[worker("wk-a", "demo", 1, state)]);
        assert_eq!(awaited(&effects, ticket), Some("wk-a"), "{state:?}");
        let effects = scheduler.settle(&[ready("wk-a", "demo", 1)]);
        assert_eq!(granted(&effects, ticket), Some("wk-a"), "{state:?}");
    }
}

#[test]
fn a_place_in_the_queue_is_told_only_where_every_slot_is_taken() {
    let mut scheduler = Scheduler::new(8);
    let loading = [worker("wk-a", "demo", 1, WorkerState::Loading)];
    let (first, effects) = scheduler.submit(want("demo"), &loading);
    assert_eq!((awaited(&effects, first), place(&effects, first)), (Some("wk-a"), None));
    let (second, effects) = scheduler.submit(want("demo"), &loading);
    assert_eq!((awaited(&effects, second), place(&effects, second)), (Some("wk-a"), None));
    assert_eq!(scheduler.settle(&loading), [], "nobody is told the same twice");

    let both = [ready("wk-a", "demo", 1), worker("wk-b", "demo", 1, WorkerState::Starting)];
    let effects = scheduler.settle(&both);
    assert_eq!(granted(&effects, first), Some("wk-a"));
    assert_eq!(place(&effects, second), Some((1, 1)));
}

#[test]
fn who_waits_is_refused_when_the_last_worker_dies() {
    let mut scheduler = Scheduler::new(8);
    let fleet = [ready("wk-a", "demo", 1)];
    scheduler.submit(want("demo"), &fleet);
    let (ticket, _) = scheduler.submit(want("demo"), &fleet);
    let effects = scheduler.settle(&[worker("wk-a", "demo", 1, WorkerState::Failed)]);
    assert_eq!(refused(&effects, ticket).unwrap().code, ErrorCode::NoWorker);
}

#[test]
fn who_withdraws_moves_the_rest_up() {
    let fleet = [ready("wk-a", "demo", 1)];
    let mut scheduler = Scheduler::new(8);
    scheduler.submit(want("demo"), &fleet);
    let (second, _) = scheduler.submit(want("demo"), &fleet);
    let (third, _) = scheduler.submit(want("demo"), &fleet);
    let effects = scheduler.withdraw(second, &fleet);
    assert_eq!(place(&effects, third), Some((1, 1)));
}

#[test]
fn a_named_worker_that_does_not_exist_is_answered_with_the_nearest_one() {
    let fleet = [ready("wk-3f9a", "demo", 1)];
    let mut scheduler = Scheduler::new(8);
    let want = Want { worker_id: Some("wk-3f9b".parse().unwrap()), ..want("demo") };
    let (ticket, effects) = scheduler.submit(want, &fleet);
    let error = refused(&effects, ticket).unwrap();
    assert_eq!(error.code, ErrorCode::WorkerNotFound);
    assert!(error.hint.as_deref().unwrap().contains("wk-3f9a"), "{error:?}");
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Submit(bool),
        GiveBack(usize),
        Withdraw(usize),
        Resize(u32, bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<bool>().prop_map(Step::Submit),
            (0..8usize).prop_map(Step::GiveBack),
            (0..8usize).prop_map(Step::Withdraw),
            (0..4u32, any::<bool>()).prop_map(|(slots, up)| Step::Resize(slots, up)),
        ]
    }

    proptest! {
        /// Whatever happens: no worker is given more than its slots, nobody
        /// who could be served waits, and every ticket is in one place.
        #[test]
        fn slots_are_never_oversold_and_never_idle(steps in prop::collection::vec(step(), 1..60)) {
            let models = ["demo", "o/other"];
            let mut fleet = [ready("wk-a", "demo", 2), ready("wk-b", "o/other", 1)];
            let mut scheduler = Scheduler::new(4);
            let mut held: Vec<WorkerId> = Vec::new();
            let mut waiting: Vec<Ticket> = Vec::new();
            for step in steps {
                let effects = match step {
                    Step::Submit(which) => {
                        let (ticket, effects) =
                            scheduler.submit(want(models[usize::from(which)]), &fleet);
                        waiting.push(ticket);
                        effects
                    }
                    Step::GiveBack(nth) if nth < held.len() => {
                        let worker = held.remove(nth);
                        scheduler.give_back(&worker, &fleet)
                    }
                    Step::Withdraw(nth) if nth < waiting.len() => {
                        let ticket = waiting.remove(nth);
                        scheduler.withdraw(ticket, &fleet)
                    }
                    Step::Resize(slots, up) => {
                        let state = if up { WorkerState::Ready } else { WorkerState::Failed };
                        fleet[0] = worker("wk-a", "demo", slots.max(1), state);
                        scheduler.settle(&fleet)
                    }
                    _ => continue,
                };
                let before = held.clone();
                for (ticket, standing) in effects {
                    match standing {
                        Standing::Granted(worker) => {
                            let candidate = fleet.iter().find(|it| it.record.id == worker).unwrap();
                            prop_assert!(candidate.serving);
                            held.push(worker);
                            waiting.retain(|other| *other != ticket);
                        }
                        Standing::Refused(_) => waiting.retain(|other| *other != ticket),
                        Standing::Waiting(_) => prop_assert!(waiting.contains(&ticket)),
                    }
                }
                for candidate in &fleet {
                    let id = &candidate.record.id;
                    let count = |list: &[WorkerId]| list.iter().filter(|it| *it == id).count();
                    let slots = candidate.record.slots_total.unwrap() as usize;
                    prop_assert!(count(&held) <= slots.max(count(&before)), "{id} is oversold");
                    let waits = scheduler.waiting.values().any(|it| it.want.model == candidate.record.model);
                    prop_assert!(!waits || !candidate.serving || count(&held) >= slots, "{id} idles");
                }
                let known: Vec<Ticket> = scheduler.waiting.keys().copied().collect();
                let mut mine = waiting.clone();
                mine.sort_unstable();
                prop_assert_eq!(known, mine);
            }
        }
    }
}
