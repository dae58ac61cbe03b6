//! The task beside one worker: holds its process and asks how it is.
//!
//! Reports every fact as an [`Event`] and carries out the newest [`Order`].
//! Judges nothing: that is `lifecycle`'s.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    time::Duration,
};

use client::{Daemon, Limits};
use config::{Found, Nonce, Record, instance};
use lifecycle::{Exit, Launched, Process, StopError};
use protocol::{WorkerId, fleet::ExitRecord};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::{
    Launcher, Spec,
    launcher::{LOG_BYTES, LOG_LINES},
    lifecycle::Event,
};

/// After it was asked to drain and did not end by itself.
const TERMINATE_GRACE: Duration = Duration::from_secs(2);
/// A worker on loopback that does not answer within this is busy or stopped.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// A model that loads in milliseconds is ready in milliseconds.
const LOADING_PAUSE_FIRST: Duration = Duration::from_millis(10);
const LOADING_PAUSE_MAX: Duration = Duration::from_millis(250);
/// How often a worker that serves is asked.
const SERVING_PAUSE: Duration = Duration::from_secs(2);

/// What the supervisor wants of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Nothing.
    Run,
    /// Let it finish, then end it.
    Drain,
    /// End it; the number tells an order from the one before.
    Kill(u32),
}

impl Order {
    /// An order to kill that differs from the one before.
    pub(crate) fn kill_again(self) -> Self {
        match self {
            Self::Kill(times) => Self::Kill(times.wrapping_add(1)),
            Self::Run | Self::Drain => Self::Kill(0),
        }
    }
}

/// What the task is to hold on to.
#[derive(Debug)]
pub(crate) enum Begin {
    /// A process that does not exist yet.
    Launch,
    /// The process that wrote this record.
    Adopt(Record),
}

/// Where its reports go.
pub(crate) type Reports = mpsc::Sender<(WorkerId, Event)>;

/// Everything the task needs.
pub(crate) struct Attendant {
    pub(crate) spec: Spec,
    pub(crate) launcher: Launcher,
    pub(crate) orders: watch::Receiver<Order>,
    pub(crate) drain: Duration,
    pub(crate) reports: Reports,
}

/// The process, however it came to be ours to look after.
enum Held {
    Launched(Launched),
    Adopted { process: Process, record: Record },
}

impl Held {
    fn pid(&self) -> u32 {
        match self {
            Self::Launched(launched) => launched.pid,
            Self::Adopted { process, .. } => process.pid(),
        }
    }

    /// Returns when it has ended. Only the hive that started it learns how.
    async fn exited(&mut self) -> Exit {
        match self {
            Self::Launched(launched) => launched.exited().await,
            Self::Adopted { process, .. } => {
                if let Err(error) = process.exited().await {
                    tracing::error!(%error, pid = process.pid(), "cannot watch a process");
                }
                Exit { code: None, signal: None }
            }
        }
    }

    async fn stop(&self, grace: Duration) -> Result<(), StopError> {
        match self {
            Self::Launched(launched) => launched.stop(grace).await.map(drop),
            Self::Adopted { record, .. } => lifecycle::stop(record, grace).await.map(drop),
        }
    }
}

impl Attendant {
    /// Looks after the worker until its process is gone.
    pub(crate) async fn run(mut self, begin: Begin) {
        let mut held = match self.take(begin) {
            Ok(held) => held,
            Err(event) => return self.report(event).await,
        };
        self.report(Event::Launched { pid: held.pid() }).await;
        let followed = Followed {
            id: self.spec.id.clone(),
            nonce: self.spec.nonce,
            dir: self.launcher.dir(&self.spec.id),
            reports: self.reports.clone(),
        };
        let exit = tokio::select! {
            // An end is told before what the worker last said.
            biased;
            exit = self.attend(&mut held) => exit,
            never = followed.follow() => match never {},
        };
        let mut record = self.exit_record(exit);
        if let Held::Launched(launched) = &held {
            // Without the lines of the lives before.
            record.log_tail = launched.log_tail(LOG_LINES, LOG_BYTES);
        }
        self.report(Event::Exited(record)).await;
        // What it started and left behind goes with it.
        if let Err(error) = held.stop(Duration::ZERO).await {
            tracing::warn!(id = %self.spec.id, %error, "something of a worker may still run");
        }
    }

    fn take(&self, begin: Begin) -> Result<Held, Event> {
        match begin {
            Begin::Launch => self.launcher.start(&self.spec).map(Held::Launched).map_err(|error| {
                Event::LaunchFailed { at: daemon::now(), reason: error.to_string() }
            }),
            Begin::Adopt(record) => match Process::open(&record) {
                Ok(Some(process)) => Ok(Held::Adopted { process, record }),
                // It ended between being found and being held.
                Ok(None) => Err(Event::Exited(self.exit_record(Exit { code: None, signal: None }))),
                Err(error) => Err(Event::Exited(ExitRecord {
                    reason: format!("cannot be watched: {error}"),
                    ..self.exit_record(Exit { code: None, signal: None })
                })),
            },
        }
    }

    /// Carries out orders until the process has ended.
    async fn attend(&mut self, held: &mut Held) -> Exit {
        loop {
            let order = *self.orders.borrow_and_update();
            let stopped = match order {
                Order::Run => tokio::select! {
                    exit = held.exited() => return exit,
                    changed = self.orders.changed() => {
                        if changed.is_err() {
                            return held.exited().await;
                        }
                        continue;
                    }
                },
                Order::Drain => {
                    let mut newer = self.orders.clone();
                    tokio::select! {
                        exit = self.drain(held) => match exit {
                            Some(exit) => return exit,
                            None => held.stop(TERMINATE_GRACE).await,
                        },
                        // Somebody has lost patience.
                        Ok(()) = newer.changed() => continue,
                    }
                }
                Order::Kill(_) => held.stop(Duration::ZERO).await,
            };
            match stopped {
                Ok(()) => return held.exited().await,
                Err(error) => {
                    let reason = error.to_string();
                    self.report(Event::StopFailed { at: daemon::now(), reason }).await;
                    // It may end yet, and somebody may order it again.
                    tokio::select! {
                        exit = held.exited() => return exit,
                        Ok(()) = self.orders.changed() => {}
                    }
                }
            }
        }
    }

    /// `None` when it did not end in its time.
    async fn drain(&self, held: &mut Held) -> Option<Exit> {
        let dir = self.launcher.dir(&self.spec.id);
        let asked = match listening(&dir, self.spec.nonce).map(|url| daemon_at(&url)) {
            Some(Ok(worker)) => worker.shutdown(&[]).await.is_ok(),
            _ => false,
        };
        // One that does not listen has nothing to finish.
        let grace = if asked { self.drain } else { Duration::ZERO };
        timeout(grace, held.exited()).await.ok()
    }

    fn exit_record(&self, exit: Exit) -> ExitRecord {
        ExitRecord {
            at: daemon::now(),
            code: exit.code,
            signal: exit.signal,
            reason: exit.to_string(),
            log_tail: lifecycle::log_tail(
                &self.launcher.log_file(&self.spec.id),
                LOG_LINES,
                LOG_BYTES,
            ),
        }
    }

    async fn report(&self, event: Event) {
        // Nobody listens once the hive is closing.
        let _ = self.reports.send((self.spec.id.clone(), event)).await;
    }
}

/// What it takes to ask a worker how it is.
struct Followed {
    id: WorkerId,
    nonce: Nonce,
    dir: PathBuf,
    reports: Reports,
}

impl Followed {
    async fn follow(self) -> Infallible {
        let mut pause = LOADING_PAUSE_FIRST;
        let worker = loop {
            if let Some(url) = listening(&self.dir, self.nonce) {
                match daemon_at(&url) {
                    Ok(worker) => {
                        self.report(Event::Listening { url }).await;
                        break worker;
                    }
                    Err(error) => tracing::warn!(id = %self.id, %error, "cannot call it"),
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LOADING_PAUSE_MAX);
        };
        pause = LOADING_PAUSE_FIRST;
        loop {
            let (event, is_serving) = match worker.health().await {
                Ok(health) => {
                    let is_serving = health.status != LOADING;
                    (Event::Answered(Box::new(health)), is_serving)
                }
                Err(error) => {
                    tracing::debug!(id = %self.id, %error, "no answer");
                    (Event::Unanswered, false)
                }
            };
            self.report(event).await;
            sleep(if is_serving { SERVING_PAUSE } else { pause }).await;
            pause = (pause * 2).min(LOADING_PAUSE_MAX);
        }
    }

    async fn report(&self, event: Event) {
        let _ = self.reports.send((self.id.clone(), event)).await;
    }
}

/// The `status` in the health of a worker that reads its model.
const LOADING: &str = "loading";

/// Where the process of this very launch listens, once it has said so.
fn listening(dir: &Path, nonce: Nonce) -> Option<String> {
    match instance::find(dir) {
        Ok(Found::Running(record)) if record.nonce == nonce => {
            record.address.map(|address| format!("http://{address}"))
        }
        _ => None,
    }
}

fn daemon_at(url: &str) -> Result<Daemon, client::ClientError> {
    let limits = Limits { connect: ANSWER_MAX, call: ANSWER_MAX, ..Limits::default() };
    Ok(Daemon::new(url)?.named("worker").with_limits(limits))
}
