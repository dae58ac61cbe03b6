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
    Launcher, RestartPolicy, Spec,
    admission::{Admitted, Neighbour, admit, has_room},
    attendant::{Attendant, Begin, Order},
    launcher::Survivor,
    lifecycle::{Effect, Event, Fate, WorkerEntry},
};
use crate::devices::Devices;

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
    Spawn { spec: Box<Spec>, answer: oneshot::Sender<Result<Admitted, ApiError>> },
    Leave { id: WorkerId, may_drain: bool, answer: oneshot::Sender<bool> },
}

/// What a supervisor works with.
pub(crate) struct Means {
    /// How workers are started.
    pub(crate) launcher: Launcher,
    /// What they run on.
    pub(crate) devices: Devices,
    /// When they are started again.
    pub(crate) policy: RestartPolicy,
    /// The most threads of one that does not ask for a number.
    pub(crate) threads_max: Option<u32>,
    /// How long they may finish their work.
    pub(crate) drain: Duration,
    /// Where they are shown.
    pub(crate) feed: Feed,
}

/// Takes care of what a former hive left behind, then takes commands until
/// `stop`. The workers outlive it.
pub(super) async fn start(means: Means, stop: CancellationToken) -> mpsc::Sender<Command> {
    let (commands, waiting) = mpsc::channel(COMMANDS_WAITING_MAX);
    let (reports, reported) = mpsc::channel(REPORTS_WAITING_MAX);
    let mut supervisor =
        Supervisor { means, workers: BTreeMap::new(), attendants: JoinSet::new(), reports };
    supervisor.recall().await;
    tokio::spawn(async move {
        tokio::select! {
            () = supervisor.run(waiting, reported) => {}
            () = stop.cancelled() => {}
        }
    });
    commands
}

struct Supervisor {
    means: Means,
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
            history: self.entry.history(Instant::now(), daemon::now()),
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

    async fn recall(&mut self) {
        for Survivor { spec, process } in self.means.launcher.survivors().await {
            let at = daemon::now();
            let record = self.means.launcher.record(&spec);
            let (fate, begin) = match process {
                Some(process) => {
                    tracing::info!(id = %spec.id, pid = process.pid, "adopting a worker");
                    (Fate::Runs { pid: process.pid }, Begin::Adopt(process))
                }
                None => {
                    let (id, outlook) = (&spec.id, spec.history.outlook);
                    tracing::info!(%id, ?outlook, "a former hive's worker has no process");
                    let exit = self.means.launcher.unseen_exit(&spec.id, at);
                    (Fate::Gone(exit), Begin::Launch)
                }
            };
            let (entry, effects) = WorkerEntry::recalled(
                record,
                spec.model_bytes,
                self.means.policy,
                (&spec.history, fate),
                (Instant::now(), at),
                rand::random(),
            );
            self.add(entry, spec, begin, effects);
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Spawn { spec, answer } => {
                // Who asked may have gone; the worker is in the feed.
                let _ = answer.send(self.spawn(*spec));
            }
            Command::Leave { id, may_drain, answer } => {
                let is_known = self.workers.contains_key(&id);
                self.handle(&id, Event::Leave { may_drain });
                let _ = answer.send(is_known);
            }
        }
    }

    fn spawn(&mut self, spec: Spec) -> Result<Admitted, ApiError> {
        if self.workers.contains_key(&spec.id) {
            let message = format!("there is a worker {} already", spec.id);
            return Err(ApiError::new(ErrorCode::Conflict, message));
        }
        // As it is now: the model may have taken its time.
        let device = self.device(&spec)?;
        let admitted = admit(spec, &device, &self.neighbours(None), self.means.threads_max)?;
        self.make_room()?;
        let spec = admitted.spec.clone();
        let record = self.means.launcher.record(&spec);
        let (entry, effects) = WorkerEntry::new(record, spec.model_bytes, self.means.policy);
        self.add(entry, spec, Begin::Launch, effects);
        Ok(admitted)
    }

    fn device(&self, spec: &Spec) -> Result<DeviceRecord, ApiError> {
        self.means.devices.record(&spec.device).ok_or_else(|| {
            let message = format!("{} is not there any more", spec.device);
            ApiError::new(ErrorCode::DeviceNotFound, message)
        })
    }

    /// The others on this machine that have not ended.
    fn neighbours(&self, of: Option<&WorkerId>) -> Vec<Neighbour<'_>> {
        let others = self.workers.values().filter(|it| Some(&it.spec.id) != of);
        others.filter(|it| !it.entry.is_ended()).map(Worker::as_neighbour).collect()
    }

    /// Whether what a worker needs is still there for its next life.
    fn ask_for_room(&self, id: &WorkerId) -> Option<Event> {
        let spec = &self.workers.get(id)?.spec;
        let neighbours = self.neighbours(Some(id));
        let room = self.device(spec).and_then(|device| has_room(spec, &device, &neighbours));
        let at = daemon::now();
        Some(match room {
            Ok(_) => Event::Admitted { at },
            Err(error) => Event::NoRoom { at, reason: error.message },
        })
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
            self.handle(&id, Event::Tick);
        }
    }

    fn handle(&mut self, id: &WorkerId, event: Event) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        if !matches!(event, Event::Tick) {
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
                worker.spec.device_uuid = self.means.devices.uuid(&worker.spec.device);
                let attendant = Attendant {
                    spec: worker.spec.clone(),
                    launcher: self.means.launcher.clone(),
                    orders: worker.order.subscribe(),
                    drain: self.means.drain,
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
            Effect::AskForRoom => {
                if let Some(event) = self.ask_for_room(id) {
                    self.handle(id, event);
                }
            }
            Effect::Remember => {
                worker.spec.history = worker.entry.history(Instant::now(), daemon::now());
                if let Err(error) = self.means.launcher.write_down(&worker.spec) {
                    tracing::warn!(%id, %error, "the next hive will not know what became of it");
                }
            }
            Effect::Publish => {
                let record = worker.entry.record().clone();
                if let Some(exit) = record.last_exit.as_ref().filter(|_| record.state.is_down()) {
                    tracing::info!(%id, state = record.state.as_str(), exit.reason, "worker ended");
                }
                self.means.feed.publish(FeedEvent::Worker(record.into()));
            }
            Effect::Forget => self.forget(id),
        }
    }

    fn forget(&mut self, id: &WorkerId) {
        self.workers.remove(id);
        if let Err(error) = self.means.launcher.forget(id) {
            tracing::warn!(%id, %error, "cannot remove the folder of a worker");
        }
        self.means.feed.publish(FeedEvent::Worker(Change::Gone(Gone::new(id))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        devices::choice::tests::cpu,
        workers::{
            launcher::tests::{launcher, spec},
            lifecycle::tests::POLICY,
        },
    };

    /// A supervisor that starts nothing: its workers' launches are not
    /// carried out.
    fn supervisor(dir: &std::path::Path, workers: usize) -> Supervisor {
        let means = Means {
            launcher: launcher(dir),
            devices: Devices::fixed(vec![cpu()], None),
            policy: POLICY,
            threads_max: None,
            drain: Duration::ZERO,
            feed: Feed::new(),
        };
        let mut supervisor = Supervisor {
            means,
            workers: BTreeMap::new(),
            attendants: JoinSet::new(),
            reports: mpsc::channel(1).0,
        };
        for n in 0..workers {
            let spec = Spec { id: format!("wk-{n}").parse().unwrap(), ..spec() };
            let (entry, _) = WorkerEntry::new(supervisor.means.launcher.record(&spec), 0, POLICY);
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
        assert_eq!(supervisor.means.feed.fleet().workers.len(), WORKERS_MAX - 1);
    }

    #[test]
    fn an_id_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut supervisor = supervisor(dir.path(), 2);
        let error = supervisor.spawn(spec()).unwrap_err();
        assert_eq!(error.code, ErrorCode::Conflict);
        assert_eq!(supervisor.workers.len(), 2);
    }
}
