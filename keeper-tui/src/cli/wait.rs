//! `wait`: until something is so, told by the feed and never by asking again
//! and again.

use client::{Daemon, FeedItem, FeedOptions};
use protocol::{
    ErrorCode, HiveId, ModelRef, WorkerId,
    fleet::{Change, FeedEvent, Fleet, HiveState, WorkerState},
    job::{JobRecord, JobState},
    model::{ModelRecord, ModelState},
    operation::{HiveOperation, ModelGet, Operation},
};
use serde::Deserialize as _;
use serde_json::json;

use super::{
    Cx, Wanted,
    args::{Condition, Target, WaitArgs},
    exit::{Exit, Failure, Outcome},
    follow,
    output::Report,
    watch::Reading,
};

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// It is so; this is its state.
    Met(String),
    /// It may yet come; this is its state.
    NotYet(String),
    /// It will not come; this is why.
    Never(String),
}

/// `wait`
pub async fn wait(cx: &mut Cx, args: &WaitArgs) -> Outcome {
    let target = &args.target;
    let condition = checked(target, args.condition)?;
    let queen = cx.queen(Wanted::Running).await?;
    // A place in the feed is taken first, so that nothing is missed in between.
    let mut feed = Reading::new(cx.feed(&queen, FeedOptions::default()), cx.deadline);
    let mut waiting = Waiting { queen, hive: &args.hive, target, condition, said: None };
    let mut fleet = Fleet::default();
    loop {
        let event = match feed.next().await? {
            FeedItem::Event(event) => event,
            FeedItem::Disconnected { error, .. } => {
                cx.out.say(&format!("the queen is lost: {}; still waiting", error.one_line()))?;
                continue;
            }
            FeedItem::Connected => {
                waiting.queen = feed.queen().with_deadline(cx.deadline);
                continue;
            }
            FeedItem::Undecodable { .. } => continue,
        };
        fleet.apply(&event);
        if !concerns(&event, target) {
            continue;
        }
        match waiting.look(&fleet).await? {
            Verdict::Met(state) => {
                let name = target.to_string();
                let document =
                    json!({"target": name, "condition": condition_name(condition), "state": state});
                let line = format!("{name} is {state}");
                cx.out.report(None, &Report::line(document, vec![name], line))?;
                return Ok(Exit::Done);
            }
            Verdict::NotYet(state) => waiting.say(cx, state)?,
            Verdict::Never(why) => {
                let wanted = condition_name(condition);
                let message = format!("{target} will not be {wanted}: {why}");
                return Err(Failure::new(Exit::NotFound, "never", message).into());
            }
        }
    }
}

fn condition_name(condition: Condition) -> &'static str {
    match condition {
        Condition::Ready => "ready",
        Condition::Gone => "gone",
        Condition::Done => "done",
    }
}

/// The condition, if the target can ever meet it.
fn checked(target: &Target, condition: Option<Condition>) -> Result<Condition, Failure> {
    let is_job = matches!(target, Target::Job(_));
    let condition = condition.unwrap_or(if is_job { Condition::Done } else { Condition::Ready });
    if is_job != (condition == Condition::Done) {
        let message = format!("--for={}: {target} is never that", condition_name(condition));
        let possible = if is_job { "done" } else { "ready or gone" };
        return Err(Failure::usage(message).with_hint(format!("possible: --for={possible}")));
    }
    Ok(condition)
}

/// Whether the target may stand otherwise after `event`.
fn concerns(event: &FeedEvent, target: &Target) -> bool {
    let is = |gone: &str, id: &str| gone == id;
    match (event, target) {
        (FeedEvent::Snapshot(_), _) => true,
        (FeedEvent::Hive(Change::Now(it)), Target::Hive(id)) => it.id == *id,
        (FeedEvent::Hive(Change::Gone(it)), Target::Hive(id)) => is(&it.id, id.as_str()),
        (FeedEvent::Worker(Change::Now(it)), Target::Worker(id)) => it.id == *id,
        (FeedEvent::Worker(Change::Gone(it)), Target::Worker(id)) => is(&it.id, id.as_str()),
        (FeedEvent::Job(Change::Now(it)), Target::Job(id)) => it.id == *id,
        (FeedEvent::Job(Change::Gone(it)), Target::Job(id)) => is(&it.id, id.as_str()),
        // Files come and go by jobs.
        (FeedEvent::Job(Change::Now(it)), Target::Model(id)) => {
            moves(it, id) && it.state.is_ended()
        }
        _ => false,
    }
}

/// Whether a job brings or removes the files of a model.
fn moves(job: &JobRecord, model: &ModelRef) -> bool {
    let moves =
        matches!(job.operation.as_str(), "model_download" | "model_delete" | "worker_spawn");
    moves && job.model.as_ref() == Some(model)
}

struct Waiting<'a> {
    queen: Daemon,
    hive: &'a HiveId,
    target: &'a Target,
    condition: Condition,
    /// The state that was told last.
    said: Option<String>,
}

impl Waiting<'_> {
    async fn look(&self, fleet: &Fleet) -> Outcome<Verdict> {
        Ok(match self.target {
            Target::Hive(id) => hive(fleet, id, self.condition),
            Target::Worker(id) => worker(fleet, id, self.condition),
            Target::Job(id) => match fleet.jobs.get(id) {
                Some(record) => job(record),
                // The feed carries only the newest.
                None => job(&self.queen.job(id).await?.record),
            },
            Target::Model(id) => {
                let record = self.model(id).await?;
                let is_coming = fleet.jobs.values().any(|it| moves(it, id) && !it.state.is_ended());
                model(record.as_ref(), self.condition, is_coming)
            }
        })
    }

    /// The hive knows its disk; `None` when the model is not on it.
    async fn model(&self, id: &ModelRef) -> Outcome<Option<ModelRecord>> {
        let get = ModelGet { hive_id: self.hive.clone(), id: id.clone(), hub: false };
        let operation = Operation::from(HiveOperation::from(get));
        match follow::result(&self.queen, &operation).await {
            Ok(result) => Ok(ModelRecord::deserialize(&result["model"]).ok()),
            Err(failure) if failure.code == ErrorCode::ModelNotFound.as_str() => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    fn say(&mut self, cx: &mut Cx, state: String) -> Outcome<()> {
        if self.said.as_ref() == Some(&state) {
            return Ok(());
        }
        let line = format!(
            "{} is {state}; waiting until it is {}",
            self.target,
            condition_name(self.condition)
        );
        self.said = Some(state);
        cx.out.say(&line)
    }
}

fn hive(fleet: &Fleet, id: &HiveId, condition: Condition) -> Verdict {
    let Some(hive) = fleet.hives.get(id) else {
        return absent(condition, "the queen knows no such hive");
    };
    let state = hive.state.as_str().to_owned();
    let is_met = match condition {
        Condition::Ready => hive.state == HiveState::Ready,
        Condition::Gone | Condition::Done => hive.state == HiveState::Offline,
    };
    if is_met { Verdict::Met(state) } else { Verdict::NotYet(state) }
}

fn worker(fleet: &Fleet, id: &WorkerId, condition: Condition) -> Verdict {
    let Some(worker) = fleet.workers.get(id) else {
        return absent(condition, "there is no such worker");
    };
    let state = worker.state;
    let name = state.as_str().to_owned();
    match condition {
        Condition::Ready if state.is_serving() => Verdict::Met(name),
        Condition::Ready if state.is_coming() => Verdict::NotYet(name),
        Condition::Ready => {
            let exit = worker.last_exit.as_ref().filter(|_| state == WorkerState::Failed);
            let reason = exit.map(|exit| format!(": {}", exit.reason)).unwrap_or_default();
            Verdict::Never(format!("it is {name}{reason}"))
        }
        Condition::Gone | Condition::Done if state.is_ended() => Verdict::Met(name),
        Condition::Gone | Condition::Done => Verdict::NotYet(name),
    }
}

fn job(job: &JobRecord) -> Verdict {
    let state = job.state.to_string();
    match job.state {
        JobState::Done => Verdict::Met(state),
        JobState::Queued | JobState::Running => Verdict::NotYet(state),
        JobState::Failed | JobState::Cancelled => {
            let reason = job.error.as_ref().map(|error| format!(": {}", error.message));
            Verdict::Never(format!("it is {state}{}", reason.unwrap_or_default()))
        }
    }
}

fn model(record: Option<&ModelRecord>, condition: Condition, is_coming: bool) -> Verdict {
    let Some(model) = record else {
        return match condition {
            Condition::Ready if is_coming => Verdict::NotYet("downloading".to_owned()),
            condition => absent(condition, "it is not on this machine and nothing fetches it"),
        };
    };
    let state = model.state.as_str().to_owned();
    let is_there = model.state != ModelState::Available;
    match (condition, model.state) {
        (Condition::Ready, ModelState::Ready) => Verdict::Met(state),
        (Condition::Ready, ModelState::Downloading) => Verdict::NotYet(state),
        (Condition::Ready, _) if is_coming => Verdict::NotYet(state),
        (Condition::Ready, _) => Verdict::Never(format!("it is {state} and nothing fetches it")),
        (Condition::Gone | Condition::Done, _) if is_there => Verdict::NotYet(state),
        (Condition::Gone | Condition::Done, _) => Verdict::Met("gone".to_owned()),
    }
}

fn absent(condition: Condition, why: &str) -> Verdict {
    match condition {
        Condition::Ready => Verdict::Never(why.to_owned()),
        Condition::Gone | Condition::Done => Verdict::Met("gone".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use protocol::Timestamp;

    use super::*;

    fn fleet_with_worker(state: &str) -> Fleet {
        let worker = serde_json::from_value(json!({
            "id": "wk-1", "hive_id": "attic", "model": "demo", "device": "CPU-0", "state": state,
            "url": null, "pid": null, "incarnation": 1, "started_at": null, "progress": null,
            "slots_total": 1, "slots_busy": 0, "threads": null, "context_length": null,
            "memory_bytes": null, "tokens_per_second": null, "last_heartbeat_at": null,
            "last_exit": null, "log_file": null,
        }));
        let mut fleet = Fleet::default();
        fleet.apply(&FeedEvent::Worker(Change::Now(Box::new(worker.unwrap()))));
        fleet
    }

    fn job_record(operation: &str, state: JobState) -> JobRecord {
        JobRecord {
            id: "job-1".parse().unwrap(),
            operation: operation.to_owned(),
            state,
            created_at: Timestamp::UNIX_EPOCH,
            started_at: None,
            ended_at: None,
            hive_id: None,
            worker_id: None,
            model: Some(ModelRef::demo()),
            progress: None,
            last_message: None,
            last_event: 0,
            error: None,
        }
    }

    fn word(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Met(_) => "met",
            Verdict::NotYet(_) => "not yet",
            Verdict::Never(_) => "never",
        }
    }

    #[test]
    fn a_target_is_a_kind_and_a_name() {
        for text in
            ["worker/wk-1", "hive/attic", "job/job-1", "model/org/repo:Q4_K_M", "model/demo"]
        {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for text in ["wk-1", "gpu/0", "worker/", "hive/-x"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_job_is_done_and_nothing_else_is() {
        let of = |target: &str, condition| checked(&target.parse().unwrap(), condition);
        assert_eq!(of("job/job-1", None), Ok(Condition::Done));
        assert_eq!(of("worker/wk-1", None), Ok(Condition::Ready));
        assert_eq!(of("job/job-1", Some(Condition::Ready)).unwrap_err().exit, Exit::Usage);
        assert_eq!(of("hive/attic", Some(Condition::Done)).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn a_worker_is_waited_for_as_long_as_it_can_still_come() {
        for (state, ready, gone) in [
            ("starting", "not yet", "not yet"),
            ("loading", "not yet", "not yet"),
            ("ready", "met", "not yet"),
            ("busy", "met", "not yet"),
            ("backing_off", "not yet", "not yet"),
            ("draining", "never", "not yet"),
            ("stopped", "never", "met"),
            ("failed", "never", "met"),
        ] {
            let fleet = fleet_with_worker(state);
            let id = "wk-1".parse().unwrap();
            assert_eq!(word(&worker(&fleet, &id, Condition::Ready)), ready, "{state}");
            assert_eq!(word(&worker(&fleet, &id, Condition::Gone)), gone, "{state}");
        }
        let nobody = "wk-2".parse().unwrap();
        assert_eq!(word(&worker(&Fleet::default(), &nobody, Condition::Ready)), "never");
        assert_eq!(word(&worker(&Fleet::default(), &nobody, Condition::Gone)), "met");
    }

    #[test]
    fn a_job_that_failed_will_not_be_done() {
        for (state, verdict) in [
            (JobState::Queued, "not yet"),
            (JobState::Running, "not yet"),
            (JobState::Done, "met"),
            (JobState::Failed, "never"),
            (JobState::Cancelled, "never"),
        ] {
            assert_eq!(word(&job(&job_record("infer", state))), verdict);
        }
    }

    #[test]
    fn a_model_that_is_not_there_is_waited_for_only_while_something_fetches_it() {
        assert_eq!(word(&model(None, Condition::Ready, true)), "not yet");
        assert_eq!(word(&model(None, Condition::Ready, false)), "never");
        assert_eq!(word(&model(None, Condition::Gone, false)), "met");
    }

    #[test]
    fn looking_at_a_model_is_no_reason_to_look_again() {
        let target = "model/demo".parse().unwrap();
        let ended = |operation| {
            let record = job_record(operation, JobState::Done);
            concerns(&FeedEvent::Job(Change::Now(Box::new(record))), &target)
        };
        assert!(ended("model_download") && ended("model_delete"));
        assert!(!ended("model_get") && !ended("infer"));
    }
}
