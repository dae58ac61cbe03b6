//! The feed in words: one line for each change that a person would tell
//! another about. Heartbeats, meters and progress are not among them.

use std::collections::BTreeMap;

use protocol::{
    DeviceId, HiveId, ModelRef, Timestamp,
    fleet::{
        Change, DeviceRecord, FeedEvent, Fleet, HiveRecord, HiveState, QueenRecord, WorkerRecord,
        WorkerState,
    },
    job::{JobRecord, JobState, Level},
    model::{ModelRecord, ModelState},
};

use super::{
    table::{age, bytes, duration},
    terminal::Tone,
};
use crate::news::FeedNews;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// On the queen's clock, as far as that is known.
    pub at: Timestamp,
    /// How much it matters.
    pub tone: Tone,
    /// What it says.
    pub text: String,
}

/// What was said so far, to tell a change from a repetition.
#[derive(Debug, Default)]
pub struct Changes {
    fleet: Fleet,
    is_known: bool,
    lost_at: Option<Timestamp>,
}

impl Changes {
    /// Everything is told from the first snapshot on.
    pub fn from_nothing() -> Self {
        Self { is_known: true, ..Self::default() }
    }

    /// The lines of one piece of news that came at `at`.
    pub fn hear(&mut self, news: &FeedNews, at: Timestamp) -> Vec<Line> {
        let line = |tone, text| vec![Line { at, tone, text }];
        match news {
            FeedNews::Connected => match self.lost_at.take() {
                Some(lost) => {
                    line(Tone::Good, format!("the queen is back after {}", age(lost, at)))
                }
                None => Vec::new(),
            },
            FeedNews::Disconnected { cause, attempt, retry_in } => {
                self.lost_at.get_or_insert(at);
                let wait = match retry_in.as_secs() {
                    0 => "at once".to_owned(),
                    _ => format!("in {}", duration(*retry_in)),
                };
                let text = format!("the queen is lost: {cause}; attempt {} {wait}", attempt + 1);
                line(Tone::Bad, text)
            }
            FeedNews::Undecodable { name, error } => line(
                Tone::Warn,
                format!("the queen sent a `{name}` that is not understood: {error}"),
            ),
            FeedNews::Event(event) => self.event(event, at),
        }
    }

    fn event(&mut self, event: &FeedEvent, at: Timestamp) -> Vec<Line> {
        match event {
            FeedEvent::Token(_) => Vec::new(),
            FeedEvent::Lagged => {
                let text = "too slow for the feed: some narration was missed".to_owned();
                vec![Line { at, tone: Tone::Warn, text }]
            }
            FeedEvent::Narration(said) => {
                let event = &said.event;
                if event.progress().is_some() || event.as_result().is_some() {
                    return Vec::new();
                }
                let tone = match event.level.unwrap_or_default() {
                    Level::Debug => return Vec::new(),
                    Level::Info => Tone::Faint,
                    Level::Warn => Tone::Warn,
                    Level::Error => Tone::Bad,
                };
                let actor = event.actor.as_deref().unwrap_or("queen");
                let text = format!("{actor} for {}: {}", said.job_id, event.message);
                vec![Line { at: event.at.unwrap_or(at), tone, text }]
            }
            event => {
                let said = self.said(event);
                self.fleet.apply(event);
                // What there is when one begins to look is no change.
                if !std::mem::replace(&mut self.is_known, true) {
                    return Vec::new();
                }
                said.into_iter().map(|(tone, text)| Line { at, tone, text }).collect()
            }
        }
    }

    /// What `event` changes, before it does.
    fn said(&self, event: &FeedEvent) -> Vec<Said> {
        let was = &self.fleet;
        let one = match event {
            FeedEvent::Snapshot(snapshot) => return between(was, &(**snapshot).clone().into()),
            FeedEvent::Queen(it) => queen(was.queen.as_ref(), it),
            FeedEvent::Hive(Change::Now(it)) => hive(was.hives.get(&it.id), it),
            FeedEvent::Worker(Change::Now(it)) => worker(was.workers.get(&it.id), it),
            FeedEvent::Device(Change::Now(it)) => {
                device(was.devices.get(&(it.hive_id.clone(), it.id.clone())), it)
            }
            FeedEvent::Job(Change::Now(it)) => job(was.jobs.get(&it.id), it),
            FeedEvent::Model(Change::Now(it)) => {
                model(was.models.get(&(it.hive_id.clone(), it.id.clone())), it)
            }
            FeedEvent::Hive(Change::Gone(gone)) => Some(is_gone(format!("hive {}", gone.id))),
            FeedEvent::Worker(Change::Gone(gone)) => Some(is_gone(format!("worker {}", gone.id))),
            FeedEvent::Device(Change::Gone(gone)) => {
                let hive = gone.hive_id.as_ref().map(|hive| format!(" of hive {hive}"));
                let hive = hive.unwrap_or_default();
                Some(is_gone(format!("device {}{hive}", gone.id)))
            }
            FeedEvent::Model(Change::Gone(gone)) => {
                let hive = gone.hive_id.as_ref().map(|hive| format!(" on hive {hive}"));
                let hive = hive.unwrap_or_default();
                Some(is_gone(format!("model {}{hive}", gone.id)))
            }
            // An ended job that is forgotten is no news.
            FeedEvent::Job(Change::Gone(_))
            | FeedEvent::Narration(_)
            | FeedEvent::Token(_)
            | FeedEvent::Lagged => None,
        };
        one.into_iter().collect()
    }
}

type Said = (Tone, String);

/// What one has to be told who knew `was`.
fn between(was: &Fleet, now: &Fleet) -> Vec<Said> {
    let mut said = Vec::new();
    said.extend(now.queen.as_ref().and_then(|it| queen(was.queen.as_ref(), it)));
    each(&was.hives, &now.hives, |id| format!("hive {id}"), hive, &mut said);
    each(&was.devices, &now.devices, device_name, device, &mut said);
    each(&was.models, &now.models, model_name, model, &mut said);
    each(&was.workers, &now.workers, |id| format!("worker {id}"), worker, &mut said);
    for (id, it) in &now.jobs {
        let before = was.jobs.get(id);
        // What had ended before one began to look is no news.
        if before.is_some() || !it.state.is_ended() || !was.jobs.is_empty() {
            said.extend(job(before, it));
        }
    }
    said
}

fn each<K: Ord, T>(
    was: &BTreeMap<K, T>,
    now: &BTreeMap<K, T>,
    name: impl Fn(&K) -> String,
    tell: impl Fn(Option<&T>, &T) -> Option<Said>,
    said: &mut Vec<Said>,
) {
    for key in was.keys().filter(|key| !now.contains_key(key)) {
        said.push(is_gone(name(key)));
    }
    said.extend(now.iter().filter_map(|(key, it)| tell(was.get(key), it)));
}

fn is_gone(name: String) -> Said {
    (Tone::Warn, format!("{name} is gone"))
}

fn queen(was: Option<&QueenRecord>, it: &QueenRecord) -> Option<Said> {
    let is_new = was.is_none_or(|was| was.started_at != it.started_at);
    is_new.then(|| (Tone::Plain, format!("queen {} is up", it.version)))
}

/// ` (was …)`, if it was something.
fn formerly(was: Option<&str>) -> String {
    was.map(|was| format!(" (was {was})")).unwrap_or_default()
}

fn because(reason: Option<&str>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

fn hive(was: Option<&HiveRecord>, it: &HiveRecord) -> Option<Said> {
    if was.is_some_and(|was| was.state == it.state) {
        return None;
    }
    let tone = match it.state {
        HiveState::Ready => Tone::Good,
        HiveState::Offline | HiveState::Starting => Tone::Plain,
        HiveState::Late | HiveState::Stale => Tone::Warn,
        HiveState::Lost => Tone::Bad,
    };
    let state = it.state.as_str();
    let was = formerly(was.map(|was| was.state.as_str()));
    let reason = because(it.reason.as_deref());
    Some((tone, format!("hive {} is {state}{was}{reason}", it.id)))
}

fn device_name((hive, device): &(HiveId, DeviceId)) -> String {
    format!("device {device} of hive {hive}")
}

fn device(was: Option<&DeviceRecord>, it: &DeviceRecord) -> Option<Said> {
    if was.is_some_and(|was| was.unavailable == it.unavailable) {
        return None;
    }
    let name = device_name(&(it.hive_id.clone(), it.id.clone()));
    Some(match &it.unavailable {
        Some(why) => (Tone::Bad, format!("{name} cannot be used: {why}")),
        None => {
            let memory = it.memory_total_bytes.map(|total| format!(", {}", bytes(total)));
            let memory = memory.unwrap_or_default();
            (Tone::Plain, format!("{name} can be used: {}{memory}", it.name))
        }
    })
}

fn model_name((hive, model): &(HiveId, ModelRef)) -> String {
    format!("model {model} on hive {hive}")
}

fn model(was: Option<&ModelRecord>, it: &ModelRecord) -> Option<Said> {
    if was.is_some_and(|was| was.state == it.state) {
        return None;
    }
    let tone = match it.state {
        ModelState::Ready => Tone::Good,
        ModelState::Available | ModelState::Downloading => Tone::Plain,
        ModelState::Partial => Tone::Warn,
        ModelState::Failed => Tone::Bad,
    };
    let name = model_name(&(it.hive_id.clone(), it.id.clone()));
    let was = formerly(was.map(|was| was.state.as_str()));
    let reason = because(it.error.as_ref().map(|error| error.message.as_str()));
    Some((tone, format!("{name} is {}{was}, {}{reason}", it.state.as_str(), bytes(it.bytes))))
}

fn worker(was: Option<&WorkerRecord>, it: &WorkerRecord) -> Option<Said> {
    if was.is_some_and(|was| was.state == it.state && was.incarnation == it.incarnation) {
        return None;
    }
    let tone = match it.state {
        WorkerState::Ready | WorkerState::Busy => Tone::Good,
        WorkerState::Starting | WorkerState::Loading | WorkerState::Draining => Tone::Plain,
        WorkerState::Stopped => Tone::Faint,
        WorkerState::BackingOff => Tone::Warn,
        WorkerState::Failed => Tone::Bad,
    };
    let state = it.state.as_str().replace('_', " ");
    let was = formerly(was.map(|was| was.state.as_str()));
    let place = format!("with {} on {} of hive {}", it.model, it.device, it.hive_id);
    let exit = it.last_exit.as_ref().filter(|_| it.state.is_down());
    let reason = because(exit.map(|exit| exit.reason.as_str()));
    Some((tone, format!("worker {} is {state}{was} {place}{reason}", it.id)))
}

fn job(was: Option<&JobRecord>, it: &JobRecord) -> Option<Said> {
    if was.is_some_and(|was| was.state == it.state) {
        return None;
    }
    let tone = match it.state {
        JobState::Done => Tone::Good,
        JobState::Failed => Tone::Bad,
        JobState::Queued | JobState::Running => Tone::Plain,
        JobState::Cancelled => Tone::Warn,
    };
    let reason = because(it.error.as_ref().map(|error| error.message.as_str()));
    Some((tone, format!("job {} ({}) is {}{reason}", it.id, it.operation, it.state)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protocol::{
        ApiError, ErrorCode,
        fleet::{Gone, Narration, Snapshot},
        job::JobEvent,
    };
    use serde_json::json;

    use super::*;

    fn hive(state: HiveState, reason: Option<&str>) -> HiveRecord {
        HiveRecord {
            id: "attic".parse().unwrap(),
            url: "http://attic:9000".to_owned(),
            state,
            version: None,
            last_seen_at: None,
            reason: reason.map(str::to_owned),
            link: None,
            disk: None,
        }
    }

    fn worker(state: &str) -> WorkerRecord {
        serde_json::from_value(json!({
            "id": "wk-1", "hive_id": "attic", "model": "demo", "device": "CPU-0", "state": state,
            "url": null, "pid": null, "incarnation": 1, "started_at": null, "progress": null,
            "slots_total": 1, "slots_busy": 0, "threads": null, "context_length": null,
            "memory_bytes": null, "tokens_per_second": null, "last_heartbeat_at": null,
            "last_exit": null, "log_file": null,
        }))
        .unwrap()
    }

    fn model(state: &str, done: u64) -> ModelRecord {
        serde_json::from_value(json!({
            "id": "org/repo", "hive_id": "attic", "source": "hub", "files": [],
            "bytes": 4_u64 << 30, "state": state, "used_by": [],
            "progress": {"done": done, "total": 4, "unit": "GiB"},
        }))
        .unwrap()
    }

    fn job(state: JobState) -> JobRecord {
        JobRecord {
            id: "job-1".parse().unwrap(),
            operation: "infer".to_owned(),
            state,
            created_at: Timestamp::UNIX_EPOCH,
            started_at: None,
            ended_at: None,
            hive_id: None,
            worker_id: None,
            model: None,
            progress: None,
            last_message: None,
            last_event: 0,
            error: (state == JobState::Failed)
                .then(|| ApiError::new(ErrorCode::NoWorker, "nobody runs it")),
        }
    }

    fn event(event: FeedEvent) -> FeedNews {
        FeedNews::Event(Box::new(event))
    }

    fn told(changes: &mut Changes, news: &FeedNews) -> Vec<String> {
        let lines = changes.hear(news, Timestamp::UNIX_EPOCH);
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn a_change_is_a_line_and_a_repetition_is_none() {
        let mut changes = Changes::default();
        let attic = "attic".parse().unwrap();
        let snapshot =
            Snapshot { hives: vec![hive(HiveState::Ready, None)], ..Snapshot::default() };
        assert!(told(&mut changes, &event(FeedEvent::Snapshot(Box::new(snapshot)))).is_empty());
        for (news, lines) in [
            (FeedEvent::Hive(hive(HiveState::Ready, None).into()), vec![]),
            (
                FeedEvent::Hive(hive(HiveState::Lost, Some("connection refused")).into()),
                vec!["hive attic is lost (was ready): connection refused"],
            ),
            (
                FeedEvent::Worker(worker("loading").into()),
                vec!["worker wk-1 is loading with demo on CPU-0 of hive attic"],
            ),
            (FeedEvent::Worker(worker("loading").into()), vec![]),
            (
                FeedEvent::Worker(worker("ready").into()),
                vec!["worker wk-1 is ready (was loading) with demo on CPU-0 of hive attic"],
            ),
            (FeedEvent::Worker(Change::Gone(Gone::new("wk-1"))), vec!["worker wk-1 is gone"]),
            (FeedEvent::Job(job(JobState::Running).into()), vec!["job job-1 (infer) is running"]),
            (
                FeedEvent::Job(job(JobState::Failed).into()),
                vec!["job job-1 (infer) is failed: nobody runs it"],
            ),
            (FeedEvent::Job(Change::Gone(Gone::new("job-1"))), vec![]),
            (
                FeedEvent::Model(model("downloading", 1).into()),
                vec!["model org/repo on hive attic is downloading, 4.0 GiB"],
            ),
            (FeedEvent::Model(model("downloading", 2).into()), vec![]),
            (
                FeedEvent::Model(model("ready", 4).into()),
                vec!["model org/repo on hive attic is ready (was downloading), 4.0 GiB"],
            ),
            (
                FeedEvent::Model(Change::Gone(Gone::on(&attic, "org/repo"))),
                vec!["model org/repo on hive attic is gone"],
            ),
        ] {
            assert_eq!(told(&mut changes, &event(news)), lines);
        }
    }

    #[test]
    fn with_nothing_known_the_first_snapshot_is_told_as_well() {
        let snapshot = Snapshot { workers: vec![worker("ready")], ..Snapshot::default() };
        let news = event(FeedEvent::Snapshot(Box::new(snapshot)));
        let lines = told(&mut Changes::from_nothing(), &news);
        assert_eq!(lines, ["worker wk-1 is ready with demo on CPU-0 of hive attic"]);
    }

    #[test]
    fn what_changed_during_an_outage_is_told_when_the_queen_is_back() {
        let mut changes = Changes::default();
        let snapshot = |state| {
            let workers = vec![worker(state)];
            event(FeedEvent::Snapshot(Box::new(Snapshot { workers, ..Snapshot::default() })))
        };
        told(&mut changes, &snapshot("ready"));
        let lost = FeedNews::Disconnected {
            cause: "connection refused".to_owned(),
            attempt: 1,
            retry_in: Duration::from_secs(2),
        };
        let expected = ["the queen is lost: connection refused; attempt 2 in 2s"];
        assert_eq!(told(&mut changes, &lost), expected);
        assert_eq!(told(&mut changes, &FeedNews::Connected), ["the queen is back after 0s"]);
        let expected = ["worker wk-1 is failed (was ready) with demo on CPU-0 of hive attic"];
        assert_eq!(told(&mut changes, &snapshot("failed")), expected);
    }

    #[test]
    fn progress_and_tokens_are_no_news_and_a_warning_is_one() {
        let mut changes = Changes::default();
        let narration =
            |event| FeedEvent::Narration(Narration { job_id: "job-1".parse().unwrap(), event });
        let progress = JobEvent::new(JobEvent::PROGRESS, "10 %")
            .field("progress", json!({"done": 1, "total": 10, "unit": "bytes"}));
        let lines = told(&mut changes, &event(narration(progress.clone())));
        assert!(progress.progress().is_none() || lines.is_empty(), "{lines:?}");
        let warning = JobEvent::new("x", "slow").level(Level::Warn);
        let expected = ["queen for job-1: slow"];
        assert_eq!(told(&mut changes, &event(narration(warning))), expected);
    }
}
