//! `queen …`: the daemon that decides.

mod build;
mod process;

use client::ClientError;
use protocol::{
    ErrorCode,
    fleet::{FirstTokenRecord, HiveState, Snapshot},
};
use serde_json::json;

pub(super) use self::build::LOCAL_HIVE;
use super::{
    Cx,
    args::Queen,
    exit::{Exit, Failure, Outcome},
    output::{Block, Report},
    render,
    table::{Cell, Table, age},
    terminal::Tone,
};
use crate::local::{self, LocalError, QueenAddress};

/// `queen …`
pub async fn queen(cx: &mut Cx, command: Queen) -> Outcome {
    let report = match command {
        Queen::Start => process::start(cx).await?,
        Queen::Stop { keep_hives } => process::stop(cx, keep_hives).await?,
        Queen::Status => status(cx).await?,
        Queen::Info => build::info(cx).await?,
        Queen::Rebuild(args) => build::rebuild(cx, args).await?,
    };
    cx.out.report(None, &report)?;
    Ok(report.exit)
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
