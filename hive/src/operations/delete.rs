//! `worker_delete`: a worker finishes its work, ends and is forgotten.

use std::time::Instant;

use daemon::jobs::{Failure, JobHandle};
use protocol::{
    ApiError, ErrorCode,
    fleet::{WorkerRecord, WorkerState},
    operation::WorkerDelete,
};
use serde_json::json;

use super::Hive;
use crate::workers::handle::Departure;

const EVENT: &str = "worker_delete";

impl Hive {
    pub(super) async fn worker_delete(
        &self,
        operation: WorkerDelete,
        job: &JobHandle,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        let worker = self.workers.get(&operation.worker_id)?;
        let id = worker.id.clone();
        self.workers.tell_to_leave(&id, true).await?;
        job.narrate(EVENT, leaving(&worker)).await;
        // Cancelled, the job ends and the worker leaves all the same: it may
        // have refused work already.
        let gone = match job.unless_cancelled(self.workers.departure(worker)).await? {
            Departure::Gone(last) => *last,
            Departure::Stuck(exit) => {
                let message = format!("worker {id} does not end: {}", exit.reason);
                return Err(ApiError::new(ErrorCode::Internal, message)
                    .with_hint("try again once the device or disk it hangs on answers")
                    .into());
            }
        };
        let summary = format!(
            "worker {id} is gone after {} ms, its log with it",
            began.elapsed().as_millis()
        );
        let state = if gone.state.is_ended() { gone.state } else { WorkerState::Stopped };
        let last = WorkerRecord { state, pid: None, url: None, ..gone };
        job.result(summary, json!({ "worker": last })).await;
        Ok(())
    }
}

fn leaving(worker: &WorkerRecord) -> String {
    let id = &worker.id;
    match (worker.state, worker.slots_busy) {
        (state, _) if state.is_ended() => format!("{id} has ended already; removing its log"),
        (WorkerState::BackingOff, _) => format!("{id} has ended and is not started again"),
        (_, Some(busy @ 1..)) => format!("{id} takes nothing new and finishes {busy} requests"),
        _ => format!("{id} takes nothing new and ends"),
    }
}
