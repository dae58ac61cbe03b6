//! `job …`: what was asked of the fleet.

use client::{Daemon, JobItem};
use protocol::{JobId, Timestamp, job::JobRecord, operation::is_destructive};
use serde_json::{Value, json};

use super::{
    Cx, Wanted,
    args::Job,
    exit::{Exit, Failure, Outcome},
    follow::{self, Ended},
    infer,
    output::{Block, Format, Report},
    question::{Answered, Usually},
    render,
    table::{Cell, Table},
};

/// `job …`
pub async fn job(cx: &mut Cx, command: Job) -> Outcome {
    let queen = cx.queen(Wanted::Running).await?;
    match command {
        Job::List { state, limit } => {
            let jobs = queen.jobs(state, limit).await?;
            list(cx, &jobs)
        }
        Job::Logs { id } => logs(cx, &queen, &id).await,
        Job::Attach { id } => attach(cx, &queen, id).await,
        Job::Retry { id } => retry(cx, &queen, id).await,
        Job::Cancel { ids } => cancel(cx, &queen, &ids).await,
    }
}

fn list(cx: &mut Cx, jobs: &[JobRecord]) -> Outcome {
    let report = Report {
        document: json!({ "jobs": jobs }),
        names: jobs.iter().map(|job| job.id.to_string()).collect(),
        blocks: vec![Block::Table(render::jobs(jobs, Timestamp::now()))],
        exit: Exit::Done,
    };
    cx.out.report(None, &report)?;
    Ok(report.exit)
}

/// What a job has said up to now. It is not waited for, and how it ended does
/// not matter to the exit code: the log was there to be read.
async fn logs(cx: &mut Cx, queen: &Daemon, id: &JobId) -> Outcome {
    cx.job = Some(id.clone());
    let record = queen.job(id).await?.record;
    let mut stream = queen.follow(id, 0);
    let mut events = Vec::new();
    let mut last = 0;
    while last < record.last_event {
        match stream.next_item().await {
            Some(Ok(JobItem::Event { number, event })) => {
                last = number;
                cx.out.log(id, &event)?;
                if cx.out.format() == Format::Json {
                    let mut event = serde_json::to_value(event).unwrap_or_default();
                    event["number"] = number.into();
                    events.push(event);
                }
            }
            Some(Ok(JobItem::End(_))) | None => break,
            Some(Err(error)) => return Err(error.into()),
        }
    }
    cx.out.end_line()?;
    let blocks =
        record.error.iter().map(|error| Block::Line(format!("error: {}", error.one_line())));
    let report = Report {
        blocks: blocks.collect(),
        names: vec![id.to_string()],
        document: logs_document(&record, events, cx.out.format()),
        exit: Exit::Done,
    };
    cx.out.report(Some(id), &report)?;
    Ok(report.exit)
}

/// With `ndjson` every event has been a line of its own already.
fn logs_document(record: &JobRecord, events: Vec<Value>, format: Format) -> Value {
    match format {
        Format::Json => json!({"job": record, "events": events}),
        _ => json!({ "job": record }),
    }
}

async fn attach(cx: &mut Cx, queen: &Daemon, id: JobId) -> Outcome {
    cx.job = Some(id.clone());
    let operation = queen.job(&id).await?.record.operation;
    let ended = follow::follow(cx, queen, id).await?;
    finish(cx, &operation, ended)?;
    // How the thing is that the job looked at is not how the job went.
    Ok(Exit::Done)
}

/// Asks for the same as `id` once more. The answer is that of a new job, which
/// is named before it begins.
async fn retry(cx: &mut Cx, queen: &Daemon, id: JobId) -> Outcome {
    let operation = queen.job(&id).await?.again()?;
    let name = operation.name();
    if is_destructive(name) {
        let question = format!("{id} was `{name}`, which takes something away. Do it once more?");
        match cx.ask(&question, Usually::No).await? {
            Answered::Yes => {}
            Answered::No => return Err(Failure::usage("not confirmed").into()),
            Answered::Nobody => {
                let message = format!("`{name}` once more needs a confirmation");
                return Err(Failure::usage(message).with_hint("add --yes").into());
            }
        }
    }
    let told = |job: &JobId| Some(format!("{id} once more, as {job}"));
    match follow::run_telling(cx, queen, &operation, told).await? {
        Some(ended) => finish(cx, name, ended),
        None => Ok(Exit::Done),
    }
}

/// The answer of a job that has ended.
fn finish(cx: &mut Cx, operation: &str, ended: Ended) -> Outcome {
    if operation == "infer" {
        return infer::finish(cx, ended);
    }
    let report = render::report(operation, &ended.answer, Timestamp::now());
    cx.out.report(Some(&ended.job), &report)?;
    Ok(report.exit)
}

async fn cancel(cx: &mut Cx, queen: &Daemon, ids: &[JobId]) -> Outcome {
    let mut failures = Vec::new();
    let mut table = Table::new(["JOB", "OUTCOME"]);
    let mut outcomes = Vec::new();
    for id in ids {
        let outcome = match queen.cancel(id).await {
            Ok(()) => "cancelling".to_owned(),
            Err(error) => {
                let failure = Failure::from(error);
                let message = failure.message.clone();
                failures.push(failure);
                message
            }
        };
        table.row([Cell::new(id), Cell::new(&outcome)]);
        outcomes.push(json!({"job_id": id, "outcome": outcome}));
    }
    let exit = match (failures.len(), ids.len()) {
        (0, _) => Exit::Done,
        // With one job, or with none cancelled, there is nothing to report but
        // the reason.
        (failed, all) if failed == all => match failures.into_iter().next() {
            Some(first) => return Err(first.into()),
            None => Exit::Failed,
        },
        _ => Exit::Partly,
    };
    let report = Report {
        document: json!({ "jobs": outcomes }),
        names: ids.iter().map(ToString::to_string).collect(),
        blocks: vec![Block::Table(table)],
        exit,
    };
    cx.out.report(None, &report)?;
    Ok(report.exit)
}
