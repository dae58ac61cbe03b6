//! `worker …`: models in processes.

use std::time::{Duration, Instant};

use protocol::{
    ErrorCode, WorkerId,
    logs::{LogPage, LogQuery},
    operation::{HiveOperation, Operation, WorkerDelete, WorkerGet, WorkerList, WorkerSpawn},
};

use super::{
    Cx, Wanted,
    args::Worker,
    exit::{Exit, Failure, Outcome},
    operate,
    output::{Block, Format, Report},
};

/// `worker …`
pub async fn worker(cx: &mut Cx, command: Worker) -> Outcome {
    let (operation, wanted): (HiveOperation, _) = match command {
        Worker::Spawn(args) => (WorkerSpawn::from(&*args).into(), Wanted::Started),
        Worker::List { hive } => (WorkerList { hive_id: hive }.into(), Wanted::Running),
        Worker::Get { id } => (WorkerGet { hive_id: None, worker_id: id }.into(), Wanted::Running),
        Worker::Logs { id, follow, lines } => return logs(cx, &id, follow, lines).await,
        Worker::Delete { id, confirm } => {
            // What a worker is doing is lost with it.
            let question = format!("Stop worker {id} and forget it?");
            cx.confirm_delete(&question, &id, confirm.as_ref()).await?;
            (WorkerDelete { hive_id: None, worker_id: id }.into(), Wanted::Running)
        }
    };
    operate(cx, Operation::from(operation), wanted).await
}

/// How long somebody who follows a log waits for a hive or a queen that went
/// away: as long as a worker waits for its hive.
const AWAY_MAX: Duration = Duration::from_secs(60);
const AWAY_PAUSE: Duration = Duration::from_millis(500);

/// What a worker has written, and with `follow` what it writes until Ctrl-C or
/// until it is deleted.
async fn logs(cx: &mut Cx, id: &WorkerId, follow: bool, lines: u32) -> Outcome {
    let queen = cx.queen(Wanted::Running).await?;
    let mut page = queen.worker_logs(id, &LogQuery { lines, ..LogQuery::default() }).await?;
    let human = matches!(cx.out.format(), Format::Human | Format::Wide);
    if human {
        cx.out.say(&format!("the output of {id} is in {}", page.log_file))?;
    }
    loop {
        let lines = page.lines.iter().map(|line| Block::Line(line.text.clone()));
        let report = Report {
            document: serde_json::to_value(&page).unwrap_or_default(),
            names: vec![id.to_string()],
            blocks: lines.collect(),
            exit: Exit::Done,
        };
        if human || !page.lines.is_empty() || !follow {
            cx.out.report(None, &report)?;
        }
        if !follow {
            return Ok(report.exit);
        }
        match next_page(cx, id, page.next).await? {
            Some(next) => page = next,
            None => {
                cx.out.say(&format!("{id} is gone, and its log with it"))?;
                return Ok(Exit::Done);
            }
        }
    }
}

/// What comes after `position`; `None` once the worker is gone. A hive or a
/// queen that is away is waited for: the log goes on where it was.
async fn next_page(cx: &mut Cx, id: &WorkerId, position: String) -> Outcome<Option<LogPage>> {
    let query = LogQuery { after: Some(position), follow: true, ..LogQuery::default() };
    let mut away_since = None;
    loop {
        // Each time anew: a queen who comes back may listen elsewhere.
        let queen = cx.queen(Wanted::Running).await?;
        let failure = match queen.worker_logs(id, &query).await {
            Ok(page) => return Ok(Some(page)),
            Err(error) => Failure::from(error),
        };
        let is_first = away_since.is_none();
        let since = *away_since.get_or_insert_with(Instant::now);
        match judge(&failure, since.elapsed()) {
            Setback::Gone => return Ok(None),
            Setback::Away if is_first => {
                let seconds = AWAY_MAX.as_secs();
                cx.out.say(&format!("{}; waiting up to {seconds} s", failure.message))?;
            }
            Setback::Away => {}
            Setback::Final => return Err(failure.into()),
        }
        tokio::time::sleep(AWAY_PAUSE).await;
    }
}

/// What a failure means for somebody who follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setback {
    /// The worker was deleted.
    Gone,
    /// Somebody on the way may come back.
    Away,
    /// Another try does not help.
    Final,
}

fn judge(failure: &Failure, away_for: Duration) -> Setback {
    let is_leaving = failure.code == ErrorCode::Unavailable.as_str();
    match failure.exit {
        Exit::NotFound => Setback::Gone,
        Exit::QueenUnreachable | Exit::FleetUnreachable if away_for < AWAY_MAX => Setback::Away,
        Exit::Failed if is_leaving && away_for < AWAY_MAX => Setback::Away,
        _ => Setback::Final,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_follows_waits_for_a_hive_that_is_away_and_not_for_a_worker_that_is_gone() {
        let failure = |exit, code| Failure::new(exit, code, "");
        let soon = Duration::from_secs(1);
        for (failure, away_for, expected) in [
            (failure(Exit::NotFound, "worker_not_found"), soon, Setback::Gone),
            (failure(Exit::FleetUnreachable, "hive_unreachable"), soon, Setback::Away),
            (failure(Exit::FleetUnreachable, "hive_unreachable"), AWAY_MAX, Setback::Final),
            (failure(Exit::QueenUnreachable, "queen_unreachable"), soon, Setback::Away),
            (failure(Exit::Failed, "unavailable"), soon, Setback::Away),
            (failure(Exit::Failed, "bad_cursor"), soon, Setback::Final),
            (failure(Exit::Timeout, "deadline_exceeded"), soon, Setback::Final),
        ] {
            assert_eq!(judge(&failure, away_for), expected, "{failure:?}");
        }
    }
}
