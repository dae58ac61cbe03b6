//! `queen start` and `queen stop`: her process.

use std::time::Duration;

use client::Daemon;
use config::Record;
use lifecycle::Stopped;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    cli::{
        Cx,
        exit::{Exit, Failure, Outcome},
        output::Report,
    },
    local,
};

/// How long a queen may take to end beyond the time her work has to finish.
const STOP_MARGIN: Duration = Duration::from_secs(15);
/// Between two looks at whether she has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

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
        // She takes her record away a moment before her process ends.
        Some(record) if record.is_live() => Ok(true),
        Some(record) => {
            let found = local::running_record(&cx.paths)?;
            Ok(found.is_some_and(|found| found.nonce == record.nonce))
        }
        // From afar a closed port is all there is to see.
        None => Ok(!matches!(daemon.health().await, Err(error) if error.is_connect())),
    }
}
