//! `worker …`: models in processes.

use protocol::{
    WorkerId,
    logs::LogQuery,
    operation::{HiveOperation, Operation, WorkerDelete, WorkerGet, WorkerList, WorkerSpawn},
};

use super::{
    Cx, Wanted,
    args::Worker,
    exit::{Exit, Outcome},
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
        let query = LogQuery { after: Some(page.next), follow, ..LogQuery::default() };
        page = queen.worker_logs(id, &query).await?;
    }
}
