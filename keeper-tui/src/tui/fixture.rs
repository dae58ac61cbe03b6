//! Fleets to draw and to decide on. Every message comes in through `update`,
//! as it would from a queen.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::tz::TimeZone;
use protocol::{
    ApiError, DeviceId, ErrorCode, JobId, Timestamp,
    fleet::{
        Change, DeviceKind, DeviceProcess, DeviceRecord, DiskRecord, ExitRecord, FeedEvent,
        FirstTokenRecord, HiveRecord, HiveState, LinkRecord, LinkState, Narration, QueenRecord,
        Snapshot, WorkerRecord, WorkerState,
    },
    job::{JobEvent, JobRecord, JobState, Level, Progress},
    model::{ModelFile, ModelRecord, ModelSource, ModelState},
};

use super::{
    effect::Effect,
    message::{FeedNews, JobNews, Message},
    state::{Model, Now},
    theme::Theme,
    update::{lists, update},
};

const GIB: u64 = 1 << 30;

/// A dashboard with a clock that stands still until it is told to go on.
pub(crate) struct Stage {
    pub(crate) model: Model,
    pub(crate) now: Now,
}

/// The afternoon of the mock-ups.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_269_731 + seconds).unwrap()
}

impl Stage {
    pub(crate) fn new(size: (u16, u16)) -> Self {
        Self::with_theme(size, Theme::default())
    }

    pub(crate) fn with_theme(size: (u16, u16), theme: Theme) -> Self {
        let model = Model::new("127.0.0.1:8500".to_owned(), theme, TimeZone::UTC, size);
        Self { model, now: Now { monotonic: Duration::from_secs(100), wall: at(0) } }
    }

    /// A queen with a fleet that has plenty to do.
    pub(crate) fn busy(size: (u16, u16)) -> Self {
        let mut stage = Self::new(size);
        stage.fill();
        stage
    }

    pub(crate) fn fill(&mut self) {
        self.connect(busy_fleet());
        for (seconds, job, actor, level, text) in [
            (-4, "job-00007f3c", "queen", Level::Info, "🚀 routed to wk-02 (2 of 4 slots busy)"),
            (-3, "job-00007f3c", "worker", Level::Info, "prompt of 38 tokens read in 61 ms"),
            (-2, "job-00006b20", "hive", Level::Error, "out of memory: needs 9.1G, 4.6G free"),
            (-1, "job-0000a9f0", "hive", Level::Warn, "download slower than usual"),
        ] {
            let event = JobEvent {
                actor: Some(actor.to_owned()),
                at: Some(at(seconds)),
                ..JobEvent::new("x", text)
            };
            let narration = Narration { job_id: id(job), event: event.level(level) };
            self.feed(FeedEvent::Narration(narration));
        }
        for (seconds, percent) in [(2, 40.0), (2, 80.0), (3, 98.0)] {
            self.pass(Duration::from_secs(seconds));
            let device = gpu("gpu-1", 0, Some(percent), Some(79 * GIB));
            self.feed(FeedEvent::Device(Change::from(device)));
        }
    }

    pub(crate) fn connect(&mut self, snapshot: Snapshot) -> Vec<Effect> {
        self.news(FeedNews::Connected);
        let effects = self.feed(FeedEvent::Snapshot(Box::new(snapshot)));
        self.pass(Duration::from_secs(3));
        effects
    }

    pub(crate) fn disconnect(&mut self) {
        self.news(FeedNews::Disconnected {
            cause: "connection refused".to_owned(),
            attempt: 5,
            retry_in: Duration::from_secs(42),
        });
        self.pass(Duration::from_secs(38));
    }

    pub(crate) fn send(&mut self, message: Message) -> Vec<Effect> {
        let effects = update(&mut self.model, message, self.now);
        // As before every frame.
        lists::arrange(&mut self.model, self.now);
        effects
    }

    pub(crate) fn news(&mut self, news: FeedNews) -> Vec<Effect> {
        self.send(Message::Feed(news))
    }

    pub(crate) fn feed(&mut self, event: FeedEvent) -> Vec<Effect> {
        self.news(FeedNews::Event(Box::new(event)))
    }

    /// Time goes by.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now.monotonic += time;
        self.now.wall = self.now.wall.checked_add(time).unwrap();
        self.send(Message::Tick);
    }

    pub(crate) fn key(&mut self, code: KeyCode) -> Vec<Effect> {
        self.pass(Duration::from_millis(200));
        self.send(Message::Key(KeyEvent::new(code, KeyModifiers::NONE)))
    }

    /// One key per letter; a line feed is Enter.
    pub(crate) fn type_keys(&mut self, keys: &str) -> Vec<Effect> {
        let code = |c| match c {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            c => KeyCode::Char(c),
        };
        keys.chars().flat_map(|c| self.key(code(c))).collect()
    }

    /// The machines say which models they have.
    pub(crate) fn models(&mut self) {
        for model in catalogue() {
            self.feed(FeedEvent::Model(Change::from(model)));
        }
    }

    /// An answer that is being generated.
    pub(crate) fn stream(&mut self, job: &str, tokens: &[&str]) {
        let narration = |text: &str| JobEvent {
            actor: Some("queen".to_owned()),
            at: Some(self.now.wall),
            ..JobEvent::new("queue", text)
        };
        let mut events = vec![narration("queued, 2nd of 3"), narration("routed to wk-02")];
        for (index, token) in (0_u32..).zip(tokens) {
            let wall =
                self.now.wall.checked_add(Duration::from_millis(180 + 25 * u64::from(index)));
            events.push(JobEvent { at: wall.ok(), ..JobEvent::token(*token, index) });
        }
        let number = |(index, event): (usize, JobEvent)| JobNews::Event {
            number: index as u64 + 1,
            event: Box::new(event),
        };
        let news = events.into_iter().enumerate().map(number).collect();
        self.send(Message::Job { job: id(job), news });
    }
}

pub(crate) fn id<T: std::str::FromStr<Err = protocol::ids::InvalidId>>(text: &str) -> T {
    text.parse().unwrap()
}

pub(crate) fn queen() -> QueenRecord {
    QueenRecord {
        version: "0.1.0".to_owned(),
        features: vec!["local-hive".to_owned()],
        started_at: at(-4000),
        now: at(0),
        queued: 3,
        heartbeats_ignored: 0,
        time_to_first_token: Some(FirstTokenRecord { requests: 128, p50_ms: 190.4, p95_ms: 612.0 }),
    }
}

pub(crate) fn empty_fleet() -> Snapshot {
    Snapshot { queen: Some(queen()), ..Snapshot::default() }
}

pub(crate) fn hive(name: &str, state: HiveState, seen: i64, reason: Option<&str>) -> HiveRecord {
    HiveRecord {
        id: id(name),
        url: format!("http://{name}:9000"),
        state,
        version: Some("0.1.0".to_owned()),
        last_seen_at: Some(at(-seen)),
        reason: reason.map(str::to_owned),
        link: None,
        disk: (name != "edge-7")
            .then_some(DiskRecord { free_bytes: 212 * GIB, total_bytes: 1863 * GIB }),
    }
}

/// An ssh connection that stands.
pub(crate) fn link() -> LinkRecord {
    LinkRecord {
        state: LinkState::Up,
        since: at(-600),
        round_trip_ms: Some(3.2),
        reason: None,
        retry_at: None,
    }
}

pub(crate) fn gpu(hive: &str, index: u32, percent: Option<f64>, used: Option<u64>) -> DeviceRecord {
    DeviceRecord {
        id: DeviceId::gpu(index),
        hive_id: id(hive),
        kind: DeviceKind::Gpu,
        name: "NVIDIA H100 80GB".to_owned(),
        unavailable: None,
        memory_total_bytes: Some(80 * GIB),
        memory_used_bytes: used,
        utilisation_percent: percent,
        temperature_celsius: percent.map(|percent| 40.0 + percent / 3.0),
        power_watts: percent.map(|percent| 100.0 + percent * 5.0),
        compute_capability: Some("9.0".to_owned()),
        cores: None,
        processes: Some(vec![
            DeviceProcess {
                pid: 4242,
                name: Some("llm-worker-rbee".to_owned()),
                memory_bytes: Some(41 * GIB),
                worker_id: Some(id("wk-02")),
            },
            DeviceProcess {
                pid: 777,
                name: Some("Xorg\u{1b}[31m".to_owned()),
                memory_bytes: None,
                worker_id: None,
            },
        ]),
    }
}

fn cpu(hive: &str) -> DeviceRecord {
    DeviceRecord {
        id: DeviceId::cpu(),
        kind: DeviceKind::Cpu,
        name: "AMD EPYC 9654".to_owned(),
        utilisation_percent: Some(7.0),
        memory_used_bytes: Some(12 * GIB),
        memory_total_bytes: Some(128 * GIB),
        temperature_celsius: None,
        power_watts: None,
        compute_capability: None,
        cores: Some(16),
        processes: None,
        ..gpu(hive, 0, None, None)
    }
}

pub(crate) fn worker(name: &str, hive: &str, state: WorkerState) -> WorkerRecord {
    let serves = state.is_serving();
    WorkerRecord {
        id: id(name),
        hive_id: id(hive),
        model: id("meta-llama/Llama-3.1-8B-GGUF:Q4_K_M"),
        device: DeviceId::gpu(0),
        state,
        url: Some(format!("http://{hive}:9301")),
        pid: Some(4242),
        incarnation: 3,
        started_at: Some(at(-1200)),
        progress: (state == WorkerState::Loading).then(|| Progress {
            done: 61,
            total: Some(100),
            unit: "bytes".to_owned(),
            rate: None,
            eta_s: Some(42.0),
        }),
        slots_total: serves.then_some(4),
        slots_busy: serves.then_some(2),
        slots_desired: Some(4),
        threads: None,
        context_length: Some(8192),
        memory_bytes: Some(41 * GIB),
        tokens_per_second: serves.then_some(41.3),
        time_to_first_token_ms: serves.then_some(180.4),
        kv_cache_tokens: serves.then_some(1_966),
        kv_cache_capacity_tokens: serves.then_some(32_768),
        version: Some("0.1.0".to_owned()),
        last_heartbeat_at: Some(at(-2)),
        restarts: None,
        retry_at: None,
        last_exit: (state == WorkerState::Failed).then(|| ExitRecord {
            at: at(-30),
            code: None,
            signal: Some(9),
            reason: "killed by the kernel: out of memory".to_owned(),
            log_tail: vec!["loading shard 4 of 7".to_owned(), "Killed".to_owned()],
        }),
        log_file: Some("/home/op/.local/share/rbee/logs/wk-02.log".to_owned()),
    }
}

pub(crate) fn job(name: &str, operation: &str, state: JobState, created: i64) -> JobRecord {
    JobRecord {
        id: id(name),
        operation: operation.to_owned(),
        state,
        created_at: at(-created),
        started_at: Some(at(1 - created)),
        ended_at: state.is_ended().then(|| at(9 - created)),
        hive_id: Some(id("gpu-1")),
        worker_id: Some(id("wk-02")),
        model: Some(id("meta-llama/Llama-3.1-8B-GGUF:Q4_K_M")),
        progress: None,
        last_message: Some("🚀 routed to wk-02".to_owned()),
        last_event: 4,
        error: (state == JobState::Failed).then(|| {
            ApiError::new(ErrorCode::SpawnFailed, "out of memory: needs 9.1G, 4.6G free on GPU-0")
                .with_hint("stop another worker first")
        }),
    }
}

pub(crate) fn busy_fleet() -> Snapshot {
    let mut download = job("job-0000a9f0", "model_download", JobState::Running, 104);
    download.progress = Some(Progress {
        done: 18 * GIB,
        total: Some(30 * GIB),
        unit: "bytes".to_owned(),
        rate: Some(112e6),
        eta_s: Some(104.0),
    });
    Snapshot {
        queen: Some(queen()),
        hives: vec![
            hive("gpu-1", HiveState::Ready, 1, None),
            hive("gpu-2", HiveState::Ready, 2, None),
            hive("edge-7", HiveState::Late, 12, Some("silent for longer than 10 s")),
            hive("attic", HiveState::Lost, 250, Some("connection refused")),
        ],
        workers: vec![
            worker("wk-02", "gpu-1", WorkerState::Ready),
            worker("wk-03", "gpu-1", WorkerState::Loading),
            worker("wk-07", "gpu-2", WorkerState::Failed),
            worker("wk-11", "attic", WorkerState::Ready),
        ],
        devices: vec![
            gpu("gpu-1", 0, Some(74.0), Some(41 * GIB)),
            cpu("gpu-1"),
            gpu("gpu-2", 0, Some(22.0), Some(9 * GIB)),
            DeviceRecord {
                unavailable: Some("the driver does not answer".to_owned()),
                ..gpu("gpu-2", 1, None, None)
            },
            gpu("edge-7", 0, Some(38.0), Some(7 * GIB)),
            gpu("attic", 0, None, None),
        ],
        jobs: vec![
            download,
            job("job-00007f3c", "infer", JobState::Running, 7),
            job("job-00006b20", "worker_spawn", JobState::Failed, 249),
            job("job-00005aaa", "infer", JobState::Done, 400),
        ],
        models: Vec::new(),
    }
}

pub(crate) fn model(name: &str, hive: &str, state: ModelState) -> ModelRecord {
    ModelRecord {
        id: id(name),
        hive_id: id(hive),
        source: ModelSource::Hub,
        repo: Some(name.split(':').next().unwrap_or_default().to_owned()),
        revision: Some("main".to_owned()),
        files: vec![ModelFile { path: "model.gguf".to_owned(), bytes: 5 * GIB, sha256: None }],
        bytes: 5 * GIB,
        state,
        progress: None,
        architecture: Some("llama".to_owned()),
        parameters: Some(8_030_000_000),
        quantisation: Some("Q4_K_M".to_owned()),
        context_length: Some(131_072),
        context_length_max: None,
        kv_bytes_per_token: None,
        memory_bytes_estimate: Some(7 * GIB),
        used_by: Vec::new(),
        error: (state == ModelState::Failed)
            .then(|| ApiError::new(ErrorCode::SpawnFailed, "the file is cut off")),
    }
}

pub(crate) fn catalogue() -> Vec<ModelRecord> {
    let coming = model("meta-llama/Llama-3.1-8B-GGUF:Q4_K_M", "gpu-1", ModelState::Downloading);
    vec![
        ModelRecord { used_by: vec![id("wk-02"), id("wk-03")], ..coming },
        model("meta-llama/Llama-3.1-8B-GGUF:Q4_K_M", "gpu-2", ModelState::Ready),
        model("org/phi-4-GGUF:Q8_0", "attic", ModelState::Ready),
        model("org/phi-4-GGUF:Q8_0", "gpu-2", ModelState::Failed),
        model("org/qwen-GGUF:Q8_0", "gpu-1", ModelState::Partial),
    ]
}

/// A job that no fleet knows.
pub(crate) fn stranger() -> JobId {
    id("job-00009999")
}
