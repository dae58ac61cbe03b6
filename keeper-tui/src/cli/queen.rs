//! `queen …`: the daemon that decides.

use std::time::Duration;

use client::{ClientError, Daemon};
use config::Record;
use lifecycle::Stopped;
use protocol::{
    ErrorCode,
    fleet::{FirstTokenRecord, HiveState, Snapshot},
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    Cx,
    args::Queen,
    build,
    exit::{Exit, Failure, Outcome},
    output::{Block, Report},
    render,
    table::{Cell, Table, age},
    terminal::Tone,
};
use crate::local::{self, LocalError, QueenAddress};

/// How long a queen may take to end beyond the time her work has to finish.
const STOP_MARGIN: Duration = Duration::from_secs(15);
/// Between two looks at whether she has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// `queen …`
pub async fn queen(cx: &mut Cx, command: Queen) -> Outcome {
    let report = match command {
        Queen::Start => start(cx).await?,
        Queen::Stop { keep_hives } => stop(cx, keep_hives).await?,
        Queen::Status => status(cx).await?,
        Queen::Info => build::info(cx).await?,
        Queen::Rebuild(args) => build::rebuild(cx, args).await?,
    };
    cx.out.report(None, &report)?;
    Ok(report.exit)
}

/// Refuses what can be done only to the queen of this machine.
pub(super) fn only_here(cx: &mut Cx) -> Outcome<()> {
    let address = cx.address()?;
    if address.is_here {
        return Ok(());
    }
    let message = format!("{} is not where a queen of this machine listens", address.url);
    let hint = "do it on her own machine, or leave out --queen";
    Err(Failure::usage(message).with_hint(hint).into())
}

pub(super) async fn start(cx: &mut Cx) -> Outcome<Report> {
    only_here(cx)?;
    let running = cx.start_queen().await?;
    let (record, url) = (&running.record, running.daemon.base_url());
    let document = json!({
        "state": "running", "url": url, "pid": record.pid, "version": record.version,
        "started_at": record.started_at, "is_new": running.is_new,
    });
    let verb = if running.is_new { "running" } else { "already running" };
    let line = format!("queen {verb} at {url} (pid {})", record.pid);
    Ok(Report::line(document, vec![url.to_owned()], line))
}

pub(super) async fn stop(cx: &mut Cx, keep_hives: bool) -> Outcome<Report> {
    let (address, daemon) = cx.daemon()?;
    let record = if address.is_here { local::running_record(&cx.paths)? } else { None };
    let query: &[(&str, &str)] = if keep_hives { &[("keep_hives", "true")] } else { &[] };
    let url = address.url.as_str();
    let absent = |url| {
        let document = json!({"state": "absent", "url": url});
        Report::line(document, Vec::new(), format!("no queen is running at {url}"))
    };
    match (daemon.shutdown(query).await, &record) {
        (Ok(()), _) => cx.out.say("asked the queen to stop; she lets running work finish first")?,
        (Err(error), None) if error.is_refused() => return Ok(absent(url)),
        // She may have ended between the two looks.
        (Err(error), Some(_)) if error.is_refused() => {
            if local::running_record(&cx.paths)?.is_none() {
                return Ok(absent(url));
            }
            end_process(cx, &record, &error.one_line()).await?;
        }
        // A queen that is stuck has to go as well. One that refuses does not.
        (Err(error), Some(_)) if error.api().is_none() => {
            end_process(cx, &record, &error.one_line()).await?;
        }
        (Err(error), _) => return Err(error.into()),
    }
    let patience = cx.config.queen.drain + STOP_MARGIN;
    let begun = Instant::now();
    while is_running(cx, &daemon, record.as_ref()).await? {
        if begun.elapsed() > patience {
            if record.is_none() {
                let message = format!("{url} was asked to stop and still answers");
                return Err(Failure::new(Exit::Timeout, "still_running", message).into());
            }
            let waited = format!("she has not ended in {} s", patience.as_secs());
            end_process(cx, &record, &waited).await?;
            break;
        }
        sleep(LOOK_EVERY).await;
    }
    let document = json!({"state": "stopped", "url": url});
    Ok(Report::line(document, vec![url.to_owned()], format!("stopped the queen at {url}")))
}

/// Ends the process of a queen who does not do it herself.
async fn end_process(cx: &mut Cx, record: &Option<Record>, why: &str) -> Outcome<()> {
    let Some(record) = record else { return Ok(()) };
    cx.out.say(&format!("{why}; ending her process {}", record.pid))?;
    let stopped = lifecycle::stop(record, cx.config.queen.drain).await;
    match stopped.map_err(|error| Failure::local("stop_failed", &error))? {
        Stopped::Killed => cx.out.say("she did not end when asked, and was killed"),
        Stopped::Asked | Stopped::AlreadyGone => Ok(()),
    }
}

async fn is_running(cx: &Cx, daemon: &Daemon, record: Option<&Record>) -> Outcome<bool> {
    match record {
        Some(record) => {
            let found = local::running_record(&cx.paths)?;
            Ok(found.is_some_and(|found| found.nonce == record.nonce))
        }
        // From afar a closed port is all there is to see.
        None => Ok(!matches!(daemon.health().await, Err(error) if error.is_connect())),
    }
}

async fn status(cx: &mut Cx) -> Outcome<Report> {
    let (address, daemon) = cx.daemon()?;
    let missing = |state: &str, tone, exit, reason: String| {
        let mut table = Table::new(["FIELD", "VALUE"]);
        table.row([Cell::new("state"), Cell::toned(state, tone)]);
        table.row([Cell::new("address"), Cell::new(&address.url)]);
        table.row([Cell::new("reason"), Cell::new(&reason)]);
        Report {
            document: json!({"state": state, "url": address.url.as_str(), "reason": reason}),
            names: Vec::new(),
            blocks: vec![Block::Table(table)],
            exit,
        }
    };
    match daemon.status().await {
        Ok(snapshot) => Ok(present(&address, &snapshot)),
        Err(ClientError::Deadline(error)) => Err(error.into()),
        Err(error) if error.is_connect() => {
            let starting = address.is_here && local::running_record(&cx.paths)?.is_some();
            Ok(if starting {
                missing("degraded", Tone::Warn, Exit::Degraded, error.one_line())
            } else {
                missing("absent", Tone::Faint, Exit::NotFound, error.one_line())
            })
        }
        Err(error) => {
            let is_unavailable =
                error.api().is_some_and(|error| error.code == ErrorCode::Unavailable);
            if is_unavailable || error.is_timeout() {
                Ok(missing("degraded", Tone::Warn, Exit::Degraded, error.one_line()))
            } else {
                Err(error.into())
            }
        }
    }
}

fn present(address: &QueenAddress, snapshot: &Snapshot) -> Report {
    let exit = render::fleet_health(snapshot);
    let (state, tone) = match exit {
        Exit::Done => ("running", Tone::Good),
        _ => ("degraded", Tone::Warn),
    };
    let ready = snapshot.hives.iter().filter(|hive| hive.state == HiveState::Ready).count();
    let serving = snapshot.workers.iter().filter(|worker| worker.state.is_serving()).count();
    let running = snapshot.jobs.iter().filter(|job| !job.state.is_ended()).count();
    let queen = snapshot.queen.as_ref();
    let of = |some: usize, all: usize, word: &str| Cell::new(format!("{some} {word} of {all}"));
    let waits = queen.and_then(|queen| queen.time_to_first_token);
    let wait = |of: fn(FirstTokenRecord) -> f64| {
        Cell::from(waits.map(|waits| format!("{:.0} ms", of(waits))))
    };
    let mut table = Table::new(["FIELD", "VALUE"]);
    for (field, value) in [
        ("state", Cell::toned(state, tone)),
        ("address", Cell::new(&address.url)),
        ("version", Cell::from(queen.map(|queen| &queen.version))),
        ("up", Cell::from(queen.map(|queen| age(queen.started_at, queen.now)))),
        ("hives", of(ready, snapshot.hives.len(), "ready")),
        ("workers", of(serving, snapshot.workers.len(), "serving")),
        ("jobs", of(running, snapshot.jobs.len(), "running")),
        ("waiting", Cell::from(queen.map(|queen| queen.queued))),
        ("ttft p50", wait(|it| it.p50_ms)),
        ("ttft p95", wait(|it| it.p95_ms)),
    ] {
        table.row([Cell::new(field), value]);
    }
    let document = json!({
        "state": state,
        "url": address.url.as_str(),
        "version": queen.map(|queen| &queen.version),
        "started_at": queen.map(|queen| queen.started_at),
        "hives": {"total": snapshot.hives.len(), "ready": ready},
        "workers": {"total": snapshot.workers.len(), "serving": serving},
        "jobs": {"total": snapshot.jobs.len(), "running": running},
        "waiting": queen.map(|queen| queen.queued),
        "time_to_first_token": waits,
    });
    let names = vec![address.url.to_string()];
    Report { document, names, blocks: vec![Block::Table(table)], exit }
}

impl From<LocalError> for Failure {
    fn from(error: LocalError) -> Self {
        match error {
            LocalError::Client(error) => error.into(),
            LocalError::Instance(error) => error.into(),
            LocalError::Token(error) => {
                Self { exit: Exit::NotAllowed, ..Self::local("token_unreadable", &error) }
            }
            error @ (LocalError::NotFound(_)
            | LocalError::Launch(_)
            | LocalError::Ready(_)
            | LocalError::Silent { .. }) => {
                Self { exit: Exit::QueenUnreachable, ..Self::local("queen_not_started", &error) }
            }
        }
    }
}

impl From<config::InstanceError> for Failure {
    fn from(error: config::InstanceError) -> Self {
        Self::local("data_directory", &error)
    }
}
