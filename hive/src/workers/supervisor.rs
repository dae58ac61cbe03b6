//! The task that owns all workers of this machine.
//!
//! It takes commands and the attendants' reports in one order, lets
//! `lifecycle` decide, and carries the decisions out. Everybody else holds a
//! [`super::Workers`] and sees the workers through the feed.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use config::Nonce;
use daemon::feed::Feed;
use protocol::{
    ApiError, ErrorCode, WorkerId,
    fleet::{Change, DeviceRecord, FeedEvent, Gone},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    Launcher, Spec,
    admission::{Admitted, Neighbour, admit},
    attendant::{Attendant, Begin, Order},
    launcher::Survivor,
    lifecycle::{Effect, Event, WorkerEntry},
};

/// Workers of one hive, those included that have failed and are kept to be
/// looked at.
pub(crate) const WORKERS_MAX: usize = 64;
const COMMANDS_WAITING_MAX: usize = 64;
const REPORTS_WAITING_MAX: usize = 256;
/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(250);
/// The devices are read once a second; after this their numbers contain what a
/// worker has loaded.
const SETTLE: Duration = Duration::from_secs(3);
/// What everybody else may ask for.
pub(super) enum Command {
    Spawn {
        spec: Box<Spec>,
        device: Box<DeviceRecord>,
        answer: oneshot::Sender<Result<Admitted, ApiError>>,
    },
    Leave {
        id: WorkerId,
        may_drain: bool,
        answer: oneshot::Sender<bool>,
    },
}

/// Adopts what a former hive left behind, then takes commands until `stop`.
/// The workers outlive it.
pub(super) async fn start(
    launcher: Launcher,
    drain: Duration,
    feed: Feed,
    stop: CancellationToken,
) -> mpsc::Sender<Command> {
    let (commands, waiting) = mpsc::channel(COMMANDS_WAITING_MAX);
    let (reports, reported) = mpsc::channel(REPORTS_WAITING_MAX);
    let mut supervisor = Supervisor {
        launcher,
        drain,
        feed,
        workers: BTreeMap::new(),
        attendants: JoinSet::new(),
        reports,
    };
    supervisor.adopt().await;
    tokio::spawn(async move {
        tokio::select! {
            () = supervisor.run(waiting, reported) => {}
            () = stop.cancelled() => {}
        }
    });
    commands
}

struct Supervisor {
    launcher: Launcher,
    drain: Duration,
    feed: Feed,
    workers: BTreeMap<WorkerId, Worker>,
    /// Dropping them lets go of the processes, which live on.
    attendants: JoinSet<()>,
    reports: mpsc::Sender<(WorkerId, Event)>,
}

struct Worker {
    entry: WorkerEntry,
    spec: Spec,
    /// Taken by its attendant, so that there is never a second one.
    begin: Option<Begin>,
    order: watch::Sender<Order>,
    /// Since when its model is in memory.
    loaded_at: Option<Instant>,
}

impl Worker {
    fn as_neighbour(&self) -> Neighbour<'_> {
        let is_settled = self.loaded_at.is_some_and(|at| at.elapsed() >= SETTLE);
        Neighbour { spec: &self.spec, record: self.entry.record(), is_settled }
    }

    /// Makes it ready to be launched as its record says it lives now.
    fn next_life(&mut self) {
        let record = self.entry.record();
        self.spec = Spec {
            incarnation: record.incarnation,
            nonce: Nonce::fresh(),
            started_at: record.started_at.unwrap_or(self.spec.started_at),
            restarts: record.restarts.unwrap_or_default(),
            is_waiting: false,
            ..self.spec.clone()
        };
        self.begin = Some(Begin::Launch);
        // What was ordered of the former process is not for this one.
        self.order = watch::Sender::new(Order::Run);
    }
}

impl Supervisor {
    async fn run(
        &mut self,
        mut commands: mpsc::Receiver<Command>,
        mut reports: mpsc::Receiver<(WorkerId, Event)>,
    ) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(command) = commands.recv() => self.take(command),
                Some((id, event)) = reports.recv() => self.handle(&id, event),
                Some(_) = self.attendants.join_next() => {}
                _ = tick.tick() => self.tick(),
            }
        }
    }

    async fn adopt(&mut self) {
        for survivor in self.launcher.survivors().await {
            let now = Instant::now();
            match survivor {
                Survivor::Running(spec, process) => {
                    tracing::info!(id = %spec.id, pid = process.pid, "adopting a worker");
                    let record = self.launcher.record(&spec);
                    let (entry, effects) =
                        WorkerEntry::adopted(record, spec.model_bytes, process.pid, now);
                    self.add(entry, spec, Begin::Adopt(process), effects);
                }
                Survivor::Waiting(spec) => {
                    tracing::info!(id = %spec.id, "starting a former hive's worker again");
                    let record = self.launcher.record(&spec);
                    let (entry, effects) = WorkerEntry::resumed(record, spec.model_bytes, now);
                    self.add(entry, spec, Begin::Launch, effects);
                }
            }
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Spawn { spec, device, answer } => {
                // Who asked may have gone; the worker is in the feed.
                let _ = answer.send(self.spawn(*spec, &device));
            }
            Command::Leave { id, may_drain, answer } => {
                let is_known = self.workers.contains_key(&id);
                self.handle(&id, Event::Leave { may_drain });
                let _ = answer.send(is_known);
            }
        }
    }

    fn spawn(&mut self, spec: Spec, device: &DeviceRecord) -> Result<Admitted, ApiError> {
        if self.workers.contains_key(&spec.id) {
            let message = format!("there is a worker {} already", spec.id);
            return Err(ApiError::new(ErrorCode::Conflict, message));
        }
        let admitted = admit(spec, device, &self.neighbours())?;
        self.make_room()?;
        let spec = admitted.spec.clone();
        let (entry, effects) = WorkerEntry::new(self.launcher.record(&spec), spec.model_bytes);
        self.add(entry, spec, Begin::Launch, effects);
        Ok(admitted)
    }

    fn neighbours(&self) -> Vec<Neighbour<'_>> {
        let living = self.workers.values().filter(|it| !it.entry.is_ended());
        living.map(Worker::as_neighbour).collect()
    }

    /// Forgets the oldest of those that have ended, when there are too many.
    fn make_room(&mut self) -> Result<(), ApiError> {
        if self.workers.len() < WORKERS_MAX {
            return Ok(());
        }
        let ended = self.workers.values().filter(|worker| worker.entry.is_ended());
        let oldest = ended.min_by_key(|worker| worker.spec.started_at);
        match oldest.map(|worker| worker.spec.id.clone()) {
            Some(id) => self.carry_out(&id, Effect::Forget),
            None => {
                let message = format!("this hive has {WORKERS_MAX} workers already");
                return Err(ApiError::new(ErrorCode::QueueFull, message)
                    .with_hint("delete one with worker_delete"));
            }
        }
        Ok(())
    }

    fn add(&mut self, entry: WorkerEntry, spec: Spec, begin: Begin, effects: Vec<Effect>) {
        let id = spec.id.clone();
        let order = watch::Sender::new(Order::Run);
        let worker = Worker { entry, spec, begin: Some(begin), order, loaded_at: None };
        self.workers.insert(id.clone(), worker);
        for effect in effects {
            self.carry_out(&id, effect);
        }
    }

    fn tick(&mut self) {
        let ids: Vec<WorkerId> = self.workers.keys().cloned().collect();
        for id in ids {
            self.handle(&id, Event::Tick { at: daemon::now() });
        }
    }

    fn handle(&mut self, id: &WorkerId, event: Event) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        if !matches!(event, Event::Tick { .. }) {
            tracing::debug!(%id, ?event, "worker");
        }
        let now = Instant::now();
        let effects = worker.entry.handle(event, now, rand::random());
        worker.loaded_at =
            if worker.entry.is_loaded() { worker.loaded_at.or(Some(now)) } else { None };
        for effect in effects {
            self.carry_out(id, effect);
        }
    }

    fn carry_out(&mut self, id: &WorkerId, effect: Effect) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        match effect {
            Effect::Launch | Effect::Adopt => {
                let record = worker.entry.record();
                if worker.spec.incarnation != record.incarnation {
                    worker.next_life();
                }
                let Some(begin) = worker.begin.take() else { return };
                let attendant = Attendant {
                    spec: worker.spec.clone(),
                    launcher: self.launcher.clone(),
                    orders: worker.order.subscribe(),
                    drain: self.drain,
                    reports: self.reports.clone(),
                };
                self.attendants.spawn(attendant.run(begin));
            }
            Effect::Drain => {
                worker.order.send_replace(Order::Drain);
            }
            Effect::Kill => {
                worker.order.send_modify(|order| *order = order.kill_again());
            }
            Effect::Remember => {
                worker.spec.is_waiting = true;
                if let Err(error) = self.launcher.write_down(&worker.spec) {
                    tracing::warn!(%id, %error, "the next hive will not start it again");
                }
            }
            Effect::Publish => {
                let record = worker.entry.record().clone();
                if let Some(exit) = record.last_exit.as_ref().filter(|_| record.state.is_down()) {
                    tracing::info!(%id, state = record.state.as_str(), exit.reason, "worker ended");
                }
                self.feed.publish(FeedEvent::Worker(record.into()));
            }
            Effect::Forget => self.forget(id),
        }
    }

    fn forget(&mut self, id: &WorkerId) {
        self.workers.remove(id);
        if let Err(error) = self.launcher.forget(id) {
            tracing::warn!(%id, %error, "cannot remove the folder of a worker");
        }
        self.feed.publish(FeedEvent::Worker(Change::Gone(Gone::new(id))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        devices::choice::tests::cpu,
        workers::launcher::tests::{launcher, spec},
    };

    /// A supervisor that starts nothing: its workers' launches are not
    /// carried out.
    fn supervisor(dir: &std::path::Path, workers: usize) -> Supervisor {
        let mut supervisor = Supervisor {
            launcher: launcher(dir),
            drain: Duration::ZERO,
            feed: Feed::new(),
            workers: BTreeMap::new(),
            attendants: JoinSet::new(),
            reports: mpsc::channel(1).0,
        };
        for n in 0..workers {
            let spec = Spec { id: format!("wk-{n}").parse().unwrap(), ..spec() };
            let (entry, _) = WorkerEntry::new(supervisor.launcher.record(&spec), 0);
            supervisor.add(entry, spec, Begin::Launch, vec![Effect::Publish]);
        }
        supervisor
    }

    #[test]
    fn a_hive_that_is_full_says_so_and_makes_room_only_among_those_that_have_ended() {
        let dir = tempfile::tempdir().unwrap();
        let mut supervisor = supervisor(dir.path(), WORKERS_MAX);
        let error = supervisor.make_room().unwrap_err();
        assert_eq!(error.code, ErrorCode::QueueFull);
        assert_eq!(error.message, "this hive has 64 workers already");

        let failed = "wk-7".parse().unwrap();
        let reason = "cannot start it".to_owned();
        supervisor.handle(&failed, Event::LaunchFailed { at: daemon::now(), reason });
        supervisor.make_room().unwrap();
        assert!(!supervisor.workers.contains_key(&failed));
        assert_eq!(supervisor.feed.fleet().workers.len(), WORKERS_MAX - 1);
    }

    #[test]
    fn an_id_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut supervisor = supervisor(dir.path(), 2);
        let error = supervisor.spawn(spec(), &cpu()).unwrap_err();
        assert_eq!(error.code, ErrorCode::Conflict);
        assert_eq!(supervisor.workers.len(), 2);
    }
}
