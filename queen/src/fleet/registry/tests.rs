use protocol::fleet::{DiskRecord, Fleet, HealthStatus, LinkState};

use super::*;

fn worker(id: &str, state: WorkerState, incarnation: u64) -> WorkerRecord {
    WorkerRecord {
        id: id.parse().unwrap(),
        hive_id: HiveId::localhost(),
        model: ModelRef::demo(),
        device: DeviceId::cpu(),
        state,
        url: Some("http://127.0.0.1:9300".to_owned()),
        pid: Some(1),
        incarnation,
        started_at: None,
        progress: None,
        slots_total: Some(1),
        slots_busy: Some(0),
        slots_desired: None,
        threads: Some(1),
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
    }
}

fn model(id: &str, state: &str) -> ModelRecord {
    serde_json::from_value(serde_json::json!({
        "id": id, "hive_id": "what-it-calls-itself", "source": "hub", "files": [], "bytes": 4,
        "state": state, "used_by": [],
    }))
    .unwrap()
}

fn heartbeat(id: &str, incarnation: u64, number: u64, busy: u32) -> Heartbeat {
    Heartbeat {
        worker_id: id.parse().unwrap(),
        timestamp: Timestamp::UNIX_EPOCH,
        health_status: HealthStatus::Healthy,
        details: HeartbeatDetails {
            slots_busy: Some(busy),
            incarnation: Some(incarnation),
            heartbeat: Some(number),
            ..HeartbeatDetails::default()
        },
    }
}

struct Story {
    registry: Registry,
    now: Instant,
    /// What whoever reads the feed knows.
    fleet: Fleet,
}

impl Story {
    /// A queen that hears of localhost for the first time.
    fn new() -> Self {
        let mut registry = Registry::default();
        registry.hive_at(&HiveId::localhost(), "http://127.0.0.1:9000");
        Self { registry, now: Instant::now(), fleet: Fleet::default() }
    }

    fn says(&mut self, event: impl Into<FeedEvent>) -> Vec<FeedEvent> {
        let hive = HiveId::localhost();
        let changes =
            self.registry.hive_says(&hive, &event.into(), self.now, Timestamp::UNIX_EPOCH);
        changes.iter().for_each(|change| self.fleet.apply(change));
        changes
    }

    fn says_models(&mut self, models: Vec<ModelRecord>) {
        self.says(FeedEvent::Snapshot(Box::new(Snapshot { models, ..Snapshot::default() })));
    }

    /// The models that are known, and how they are.
    fn models(&self) -> Vec<String> {
        let models = self.fleet.models.iter();
        models.map(|((hive, id), it)| format!("{hive} {id} {}", it.state.as_str())).collect()
    }

    fn says_workers(&mut self, workers: Vec<WorkerRecord>) -> Vec<FeedEvent> {
        self.says(FeedEvent::Snapshot(Box::new(Snapshot { workers, ..Snapshot::default() })))
    }

    fn beats(&mut self, heartbeat: &Heartbeat) -> Result<(), ApiError> {
        self.registry.heartbeat(heartbeat, self.now, Timestamp::UNIX_EPOCH).1
    }

    fn after(&mut self, seconds: u64) -> Vec<FeedEvent> {
        self.now += Duration::from_secs(seconds);
        self.registry.judge(self.now)
    }

    fn hive(&self) -> &HiveRecord {
        self.registry.hive(&HiveId::localhost()).unwrap()
    }

    fn busy(&self, id: &str) -> Option<u32> {
        self.registry.worker(&id.parse().unwrap()).unwrap().slots_busy
    }

    fn serving(&self) -> Vec<String> {
        let workers = self.registry.workers(self.now).filter(|(_, serving)| *serving);
        workers.map(|(record, _)| record.id.to_string()).collect()
    }
}

#[test]
fn a_silent_hive_is_late_then_stale_then_lost_and_one_word_brings_it_back() {
    let mut story = Story::new();
    story.says_workers(vec![]);
    assert_eq!(story.hive().state, HiveState::Ready);
    for (seconds, state) in [(10, HiveState::Late), (5, HiveState::Stale), (35, HiveState::Lost)] {
        story.after(seconds);
        assert_eq!(story.hive().state, state);
        assert!(story.hive().reason.as_deref().unwrap().contains("silent"), "{:?}", story.hive());
    }
    story.says_workers(vec![]);
    assert_eq!(story.hive().state, HiveState::Ready);
    assert_eq!(story.hive().reason, None);
}

#[test]
fn a_refused_connection_is_a_fact_and_needs_no_waiting() {
    let mut story = Story::new();
    story.says_workers(vec![worker("wk-1", WorkerState::Ready, 1)]);
    story.registry.hive_unreachable(&HiveId::localhost(), "connection refused");
    assert_eq!(story.hive().state, HiveState::Lost);
    assert!(story.serving().is_empty(), "nobody is sent to a hive that is lost");
}

#[test]
fn the_queens_own_stall_is_nobodys_silence() {
    let mut story = Story::new();
    story.says_workers(vec![]);
    story.now += Duration::from_secs(600);
    story.registry.forgive(Duration::from_secs(600));
    assert!(story.after(1).is_empty());
    assert_eq!(story.hive().state, HiveState::Ready);
}

#[test]
fn a_worker_that_its_hive_no_longer_names_is_gone() {
    let mut story = Story::new();
    story.says_workers(vec![
        worker("wk-1", WorkerState::Ready, 1),
        worker("wk-2", WorkerState::Ready, 1),
    ]);
    let changes = story.says_workers(vec![worker("wk-2", WorkerState::Ready, 1)]);
    let gone = FeedEvent::Worker(Change::Gone(Gone::new("wk-1")));
    assert!(changes.contains(&gone), "{changes:?}");
    assert_eq!(story.serving(), ["wk-2"]);
}

#[test]
fn a_heartbeat_that_comes_twice_or_late_changes_nothing() {
    let mut story = Story::new();
    story.says_workers(vec![worker("wk-1", WorkerState::Ready, 1)]);
    story.beats(&heartbeat("wk-1", 1, 2, 1)).unwrap();
    for number in [2, 1] {
        story.beats(&heartbeat("wk-1", 1, number, 0)).unwrap();
        assert_eq!(story.busy("wk-1"), Some(1));
    }
    assert_eq!(story.registry.heartbeats_ignored(), 2);
    story.beats(&heartbeat("wk-1", 1, 3, 0)).unwrap();
    assert_eq!(story.busy("wk-1"), Some(0));
}

#[test]
fn what_a_worker_measures_is_kept_as_it_was_last_told_by_it_or_else_by_its_hive() {
    let mut story = Story::new();
    let seen = WorkerRecord {
        slots_desired: Some(4),
        kv_cache_tokens: Some(10),
        kv_cache_capacity_tokens: Some(256),
        version: Some("0.2.0".to_owned()),
        ..worker("wk-1", WorkerState::Ready, 1)
    };
    story.says_workers(vec![seen]);
    let mut beat = heartbeat("wk-1", 1, 1, 1);
    beat.details.time_to_first_token_ms = Some(180.5);
    beat.details.kv_cache_tokens = Some(12);
    story.beats(&beat).unwrap();
    let record = || story.registry.worker(&"wk-1".parse().unwrap()).unwrap();
    assert_eq!(record().time_to_first_token_ms, Some(180.5));
    assert_eq!(
        (record().kv_cache_tokens, record().kv_cache_capacity_tokens),
        (Some(12), Some(256))
    );
    assert_eq!((record().slots_desired, record().version.as_deref()), (Some(4), Some("0.2.0")));
    story.now += Duration::from_secs(90);
    assert!(story.serving().is_empty());
    let record = story.registry.worker(&"wk-1".parse().unwrap()).unwrap();
    assert_eq!(record.kv_cache_tokens, Some(12), "old, and not unknown");
}

#[test]
fn a_former_life_of_a_worker_is_told_to_leave() {
    let mut story = Story::new();
    story.says_workers(vec![worker("wk-1", WorkerState::Ready, 2)]);
    let error = story.beats(&heartbeat("wk-1", 1, 9, 1)).unwrap_err();
    assert_eq!(error.code, ErrorCode::StaleIncarnation);
    assert_eq!(story.busy("wk-1"), Some(0));
}

#[test]
fn a_worker_without_heartbeats_for_ninety_seconds_gets_no_work() {
    let mut story = Story::new();
    story.says_workers(vec![worker("wk-1", WorkerState::Ready, 1)]);
    story.beats(&heartbeat("wk-1", 1, 1, 0)).unwrap();
    assert_eq!(story.serving(), ["wk-1"]);
    story.now += Duration::from_secs(90);
    story.says(FeedEvent::Lagged);
    assert!(story.serving().is_empty());
    story.beats(&heartbeat("wk-1", 1, 2, 0)).unwrap();
    assert_eq!(story.serving(), ["wk-1"]);
}

#[test]
fn a_dead_process_stays_dead_whatever_its_last_heartbeat_said() {
    let mut story = Story::new();
    story.says_workers(vec![worker("wk-1", WorkerState::Ready, 1)]);
    let mut alive = heartbeat("wk-1", 1, 1, 1);
    alive.details.state = Some(WorkerState::Busy);
    story.beats(&alive).unwrap();
    story.says(FeedEvent::Worker(worker("wk-1", WorkerState::Failed, 1).into()));
    let record = story.registry.worker(&"wk-1".parse().unwrap()).unwrap();
    assert_eq!(record.state, WorkerState::Failed);
}

#[test]
fn a_worker_between_two_lives_gets_no_work_and_shows_nothing_of_the_former_one() {
    let mut story = Story::new();
    story.says_workers(vec![worker("wk-1", WorkerState::Ready, 1)]);
    story.beats(&heartbeat("wk-1", 1, 1, 1)).unwrap();
    let fallen = WorkerRecord { slots_busy: None, ..worker("wk-1", WorkerState::BackingOff, 1) };
    story.says(FeedEvent::Worker(fallen.into()));
    assert!(story.serving().is_empty());
    assert_eq!(story.busy("wk-1"), None);
    let record = story.registry.worker(&"wk-1".parse().unwrap()).unwrap();
    assert_eq!(record.state, WorkerState::BackingOff);

    story.says(FeedEvent::Worker(worker("wk-1", WorkerState::Ready, 2).into()));
    assert_eq!(story.serving(), ["wk-1"]);
    assert_eq!(story.busy("wk-1"), Some(0), "and not what the former life said last");
}

#[test]
fn the_documented_heartbeat_of_a_stranger_is_answered_and_makes_nothing() {
    let mut story = Story::new();
    assert!(story.beats(&heartbeat("wk-9", 1, 1, 0)).is_ok());
    assert!(story.registry.worker(&"wk-9".parse().unwrap()).is_none());
}

#[test]
fn a_hive_that_was_stopped_takes_its_workers_and_devices_off_the_list() {
    let mut story = Story::new();
    story.says_workers(vec![worker("wk-1", WorkerState::Ready, 1)]);
    story.registry.hive_stopped(&HiveId::localhost());
    assert_eq!(story.hive().state, HiveState::Offline);
    assert!(story.registry.worker(&"wk-1".parse().unwrap()).is_none());
}

#[test]
fn the_models_of_a_hive_are_known_as_it_tells_of_them() {
    let mut story = Story::new();
    story.says_models(vec![model("demo", "ready"), model("o/r", "partial")]);
    assert_eq!(story.models(), ["localhost demo ready", "localhost o/r partial"]);
    story.says(FeedEvent::Model(model("o/r", "downloading").into()));
    story.says(FeedEvent::Model(model("o/x", "ready").into()));
    assert_eq!(
        story.models(),
        ["localhost demo ready", "localhost o/r downloading", "localhost o/x ready"]
    );
    story.says(FeedEvent::Model(Change::Gone(Gone::new("demo"))));
    // Its next life tells of everything it has, and has not told of `o/x`.
    story.says_models(vec![model("o/r", "ready")]);
    assert_eq!(story.models(), ["localhost o/r ready"]);
}

#[test]
fn the_models_of_a_lost_hive_stay_and_those_of_a_stopped_one_do_not() {
    let mut story = Story::new();
    let id = HiveId::localhost();
    story.says_models(vec![model("demo", "ready")]);
    let disk = Some(DiskRecord { free_bytes: 1, total_bytes: 2 });
    let own = HiveRecord { disk, ..story.hive().clone() };
    story.says(FeedEvent::Hive(own.into()));
    let mut changes = story.after(60);
    changes.extend(story.registry.hive_unreachable(&id, "connection refused"));
    changes.iter().for_each(|change| story.fleet.apply(change));
    assert_eq!(story.hive().state, HiveState::Lost);
    assert_eq!(story.models(), ["localhost demo ready"], "as they were when it was heard last");
    assert_eq!(story.hive().disk, disk);

    let changes = story.registry.hive_stopped(&id);
    changes.iter().for_each(|change| story.fleet.apply(change));
    assert!(story.models().is_empty());
    assert_eq!(story.hive().disk, None);
}

#[test]
fn a_link_that_stays_as_it_is_keeps_the_time_since_when() {
    let mut story = Story::new();
    let id = HiveId::localhost();
    let at = |second| Timestamp::from_second(second).unwrap();
    let link = |state, since, round_trip_ms| LinkRecord {
        state,
        since: at(since),
        round_trip_ms,
        reason: None,
        retry_at: None,
    };
    story.registry.hive_link(&id, Some(link(LinkState::Up, 1, Some(3.0))));
    story.registry.hive_link(&id, Some(link(LinkState::Up, 9, Some(5.0))));
    let shown = story.hive().link.clone().unwrap();
    assert_eq!((shown.since, shown.round_trip_ms), (at(1), Some(5.0)));
    story.registry.hive_link(&id, Some(link(LinkState::Down, 12, None)));
    assert_eq!(story.hive().link.clone().unwrap().since, at(12));

    story.says_workers(vec![worker("wk-1", WorkerState::Ready, 1)]);
    let gone = story.registry.hive_gone(&id);
    assert!(gone.iter().any(|it| matches!(it, FeedEvent::Hive(Change::Gone(_)))), "{gone:?}");
    assert!(story.registry.hive(&id).is_none() && story.serving().is_empty());
}
