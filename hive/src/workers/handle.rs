//! The workers of this machine, for everybody but their supervisor: commands
//! go to it, and what becomes of them is seen in the feed.

use std::time::Duration;

use daemon::feed::Feed;
use protocol::{
    ApiError, ErrorCode, WorkerId,
    fleet::{ExitRecord, Fleet, WorkerRecord, WorkerState},
    suggest::nearest,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    Admitted, Spec,
    supervisor::{self, Command, Means},
};

/// What ending a process takes beyond its drain: TERM, KILL and the kernel.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// The workers, for everybody else. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Workers {
    commands: mpsc::Sender<Command>,
    feed: Feed,
    drain: Duration,
}

/// How a delete ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Departure {
    /// It is gone; this is the last that was seen of it.
    Gone(Box<WorkerRecord>),
    /// Its process does not end.
    Stuck(ExitRecord),
}

impl Workers {
    /// Takes care of what a former hive left behind, then takes commands until
    /// `stop`. Workers outlive it.
    pub(crate) async fn start(means: Means, stop: CancellationToken) -> Self {
        let (feed, drain) = (means.feed.clone(), means.drain);
        let commands = supervisor::start(means, stop).await;
        Self { commands, feed, drain }
    }

    /// Starts a worker if there is room for it; what becomes of it shows in the
    /// feed.
    pub(crate) async fn spawn(&self, spec: Spec) -> Result<Admitted, ApiError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Spawn { spec: Box::new(spec), answer }).await?;
        answered.await.map_err(|_| closing())?
    }

    /// Tells a worker to leave. Returns as soon as it was told.
    pub(crate) async fn tell_to_leave(
        &self,
        id: &WorkerId,
        may_drain: bool,
    ) -> Result<(), ApiError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Leave { id: id.clone(), may_drain, answer }).await?;
        if answered.await.map_err(|_| closing())? { Ok(()) } else { Err(self.not_found(id)) }
    }

    /// Waits until a worker that was told to leave has left.
    pub(crate) async fn departure(&self, last: WorkerRecord) -> Departure {
        let mut last = Box::new(last);
        loop {
            let now = self.changed(&last.id.clone(), Some(&last)).await;
            match now {
                None => return Departure::Gone(last),
                Some(record) => match (record.state, &record.last_exit) {
                    (WorkerState::Failed, Some(exit)) if record.pid.is_some() => {
                        return Departure::Stuck(exit.clone());
                    }
                    _ => last = Box::new(record),
                },
            }
        }
    }

    /// Waits until a worker's record is another than `seen`; `None` once the
    /// worker is gone.
    pub(crate) async fn changed(
        &self,
        id: &WorkerId,
        seen: Option<&WorkerRecord>,
    ) -> Option<WorkerRecord> {
        let look = |fleet: &Fleet| {
            let record = fleet.workers.get(id);
            (record != seen).then(|| record.cloned())
        };
        self.feed.wait_for(look).await
    }

    /// Ends every worker and forgets it.
    pub(crate) async fn stop_all(&self) {
        for worker in self.list() {
            // One that has gone meanwhile needs not be told.
            let _ = self.tell_to_leave(&worker.id, true).await;
        }
        let all_gone = self.feed.wait_for(|fleet| fleet.workers.is_empty().then_some(()));
        if timeout(self.drain + STOP_PATIENCE, all_gone).await.is_err() {
            tracing::error!(left = self.list().len(), "some workers do not end");
        }
    }

    /// All workers.
    pub(crate) fn list(&self) -> Vec<WorkerRecord> {
        self.feed.look(|fleet| fleet.workers.values().cloned().collect())
    }

    /// One worker.
    pub(crate) fn get(&self, id: &WorkerId) -> Result<WorkerRecord, ApiError> {
        self.feed.look(|fleet| fleet.workers.get(id).cloned()).ok_or_else(|| self.not_found(id))
    }

    fn not_found(&self, id: &WorkerId) -> ApiError {
        let known: Vec<String> = self.list().iter().map(|it| it.id.to_string()).collect();
        let hint = match nearest(id.as_str(), known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "there are no workers here".to_owned(),
            None => format!("workers here: {}", known.join(", ")),
        };
        ApiError::new(ErrorCode::WorkerNotFound, format!("no worker {id} on this hive"))
            .with_hint(hint)
    }

    async fn send(&self, command: Command) -> Result<(), ApiError> {
        self.commands.send(command).await.map_err(|_| closing())
    }
}

fn closing() -> ApiError {
    ApiError::new(ErrorCode::Unavailable, "the hive is shutting down")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workers::launcher::tests::{launcher, spec};

    #[tokio::test]
    async fn a_worker_that_is_asked_for_by_a_wrong_name_is_answered_with_the_right_one() {
        let feed = Feed::new();
        for n in 0..3 {
            let spec = Spec { id: format!("wk-{n}").parse().unwrap(), ..spec() };
            let record = launcher(std::path::Path::new("/r")).record(&spec);
            feed.publish(protocol::fleet::FeedEvent::Worker(record.into()));
        }
        let (commands, _waiting) = mpsc::channel(1);
        let workers = Workers { commands, feed, drain: Duration::ZERO };
        let hint = |id: &str| workers.get(&id.parse().unwrap()).unwrap_err().hint.unwrap();
        assert_eq!(hint("wk-11"), "did you mean `wk-1`?");
        assert_eq!(hint("gpu"), "workers here: wk-0, wk-1, wk-2");
    }
}
