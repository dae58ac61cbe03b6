//! One download, however many ask for it.
//!
//! ```text
//! checking ─▶ room? ─▶ fetching ⇄ waiting to try again ─▶ comparing ─▶ ready
//!                          └─▶ partial (cut, cancelled), failed (no room, wrong bytes)
//! ```
//!
//! The flight is a task; whoever asked follows it. When the last follower has
//! left, it is cancelled, and what is here stays for the next one.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use config::BaseUrl;
use protocol::{ApiError, ErrorCode, job::Progress, model::Revision};
use secrecy::SecretString;
use tokio::{sync::watch, task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    config::Silence,
    fetch::{Fetch, Outcome, disk_full, fetch},
    gate::{Problem, Wanted},
    meter::Meter,
    verify::{self, Verdict},
};
use crate::{models::cache::HubCache, size::MIB};

/// How often followers are told how far it is.
const TICK: Duration = Duration::from_millis(500);
/// Attempts in a row that brought nothing, and the pauses between them.
const ATTEMPTS_MAX: u32 = 6;
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(16);
/// How long another process that fetches the same file is waited for.
const LOCKED_PATIENCE: Duration = Duration::from_secs(6 * 60 * 60);
/// Lines a flight says; followers read them all.
const LINES_MAX: usize = 200;

/// What followers see.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) progress: Option<Progress>,
    pub(crate) stalled: Option<Duration>,
    /// Said so far.
    pub(crate) lines: Vec<String>,
    pub(crate) ended: Option<Result<(), ApiError>>,
}

/// A download that is under way.
pub(crate) struct Flight {
    pub(crate) seen: watch::Sender<Seen>,
    pub(crate) stop: CancellationToken,
    followers: AtomicUsize,
}

/// Somebody who wants the download.
pub(crate) struct Follower {
    pub(crate) flight: Arc<Flight>,
    pub(crate) seen: watch::Receiver<Seen>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        if self.flight.followers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.flight.stop.cancel();
        }
    }
}

impl Flight {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            seen: watch::Sender::default(),
            stop: CancellationToken::new(),
            followers: AtomicUsize::new(0),
        })
    }

    pub(crate) fn follow(self: &Arc<Self>) -> Follower {
        self.followers.fetch_add(1, Ordering::AcqRel);
        Follower { flight: Arc::clone(self), seen: self.seen.subscribe() }
    }

    fn say(&self, line: String) {
        self.seen.send_modify(|seen| {
            if seen.lines.len() < LINES_MAX {
                seen.lines.push(line);
            }
        });
    }
}

/// What is to be fetched, and how.
pub(crate) struct Order {
    pub(crate) endpoint: BaseUrl,
    pub(crate) token: Option<SecretString>,
    pub(crate) cache: HubCache,
    pub(crate) revision: Revision,
    pub(crate) chunk_bytes: usize,
    pub(crate) silence: Silence,
    pub(crate) wanted: Vec<Wanted>,
}

/// Why a flight ended without the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stopped {
    Cancelled,
    /// What is here is kept.
    Cut(ApiError),
    /// It is of no use until something is done about it.
    Failed(ApiError),
}

/// Fetches everything of the order, one file after the other.
pub(crate) async fn fly(order: &Order, flight: &Flight) -> Result<(), Stopped> {
    let total: u64 = order.wanted.iter().map(|it| it.bytes).sum();
    let mut before = 0;
    for wanted in &order.wanted {
        let mut one = One { order, flight, wanted, before, total };
        one.run().await?;
        before += wanted.bytes;
    }
    Ok(())
}

/// One file of it.
struct One<'a> {
    order: &'a Order,
    flight: &'a Flight,
    wanted: &'a Wanted,
    /// Bytes of the files before it.
    before: u64,
    total: u64,
}

impl One<'_> {
    async fn run(&mut self) -> Result<(), Stopped> {
        let name = &self.wanted.name;
        if self.blob().exists() {
            self.flight.say(format!("{name} is here; comparing it with the hub's listing"));
            match self.verify().await? {
                Verdict::Same => return self.point().await,
                Verdict::Cancelled => return Err(Stopped::Cancelled),
                Verdict::Different => {
                    self.quarantine().await;
                    self.flight.say(format!("{name} was damaged; fetching it anew"));
                }
            }
        }
        self.check_room()?;
        self.transfer().await?;
        match self.verify().await? {
            Verdict::Same => self.point().await,
            Verdict::Cancelled => Err(Stopped::Cancelled),
            Verdict::Different => {
                self.quarantine().await;
                Err(Stopped::Failed(
                    ApiError::new(
                        ErrorCode::WrongBytes,
                        format!("what came for {name} is not what the hub's listing says (sha256)"),
                    )
                    .with_hint("it was removed; download it again, and suspect a proxy in between"),
                ))
            }
        }
    }

    fn blob(&self) -> PathBuf {
        self.order.cache.blob(&self.wanted.repo, &self.wanted.sha256)
    }

    fn committed(&self) -> u64 {
        let Wanted { repo, sha256, bytes, .. } = self.wanted;
        self.order.cache.committed(repo, sha256, *bytes)
    }

    fn check_room(&self) -> Result<(), Stopped> {
        let Wanted { name, bytes, .. } = self.wanted;
        let needed = room_needed(*bytes, self.committed());
        match verify::free_bytes(self.order.cache.root()) {
            Some(free) if free < needed => {
                let (needed, free) = (needed.div_ceil(MIB), free / MIB);
                let folder = self.order.cache.root().display();
                let message =
                    format!("{name} needs {needed} MiB of disk; {folder} has {free} MiB free");
                Err(Stopped::Failed(ApiError { message, ..disk_full(name) }))
            }
            _ => Ok(()),
        }
    }

    async fn transfer(&self) -> Result<(), Stopped> {
        let name = &self.wanted.name;
        let (mut idle_attempts, mut pause) = (0, PAUSE_FIRST);
        let began = Instant::now();
        let mut is_waiting = false;
        loop {
            let here = self.committed();
            if here > 0 {
                let percent = here as f64 * 100.0 / self.wanted.bytes as f64;
                self.flight.say(format!("resumed {name} at {percent:.0} %"));
            }
            match self.attempt(here).await {
                Outcome::Fetched => return Ok(()),
                Outcome::Cancelled => return Err(Stopped::Cancelled),
                Outcome::Locked => {
                    if began.elapsed() >= LOCKED_PATIENCE {
                        return Err(Stopped::Cut(locked(name)));
                    }
                    if !std::mem::replace(&mut is_waiting, true) {
                        self.flight.say(format!("another process fetches {name}; waiting for it"));
                    }
                    if self.blob().exists() {
                        return Ok(());
                    }
                }
                Outcome::Failed(Problem { error, may_pass: false }) => return Err(of_kind(error)),
                Outcome::Failed(Problem { error, may_pass: true }) => {
                    if self.committed() > here {
                        (idle_attempts, pause) = (0, PAUSE_FIRST);
                    }
                    idle_attempts += 1;
                    if idle_attempts >= ATTEMPTS_MAX {
                        return Err(Stopped::Cut(error));
                    }
                    let seconds = pause.as_secs();
                    self.flight.say(format!("{}; trying again in {seconds} s", error.message));
                    tokio::select! {
                        () = sleep(pause) => {}
                        () = self.flight.stop.cancelled() => return Err(Stopped::Cancelled),
                    }
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    async fn attempt(&self, here: u64) -> Outcome {
        let done = Arc::new(AtomicU64::new(here));
        let attempt = fetch(
            Fetch {
                endpoint: self.order.endpoint.clone(),
                token: self.order.token.clone(),
                cache_dir: self.order.cache.root().to_owned(),
                revision: self.order.revision.clone(),
                chunk_bytes: self.order.chunk_bytes,
                silence_max: self.order.silence.cut_after,
                wanted: self.wanted.clone(),
                done: Arc::clone(&done),
            },
            self.flight.stop.clone(),
        );
        tokio::pin!(attempt);
        let mut meter = Meter::new(
            self.before + here,
            self.total,
            self.order.silence.told_after,
            Instant::now(),
        );
        self.show(&meter);
        loop {
            tokio::select! {
                outcome = &mut attempt => {
                    meter.at(self.before + done.load(Ordering::Relaxed), Instant::now());
                    self.show(&meter);
                    return outcome;
                }
                () = sleep(TICK) => {
                    // hf-hub starts from nothing before it has looked.
                    let now_here = done.load(Ordering::Relaxed).max(here);
                    meter.at(self.before + now_here, Instant::now());
                    self.show(&meter);
                }
            }
        }
    }

    fn show(&self, meter: &Meter) {
        let now = Instant::now();
        self.flight.seen.send_modify(|seen| {
            seen.progress = Some(meter.progress(now));
            seen.stalled = meter.stalled(now);
        });
    }

    async fn verify(&self) -> Result<Verdict, Stopped> {
        let (blob, wanted, stop) = (self.blob(), self.wanted.clone(), self.flight.stop.clone());
        let looked = spawn_blocking(move || verify::verify(&blob, &wanted, &stop)).await;
        looked.map_err(std::io::Error::other).flatten().map_err(|error| self.disk(&error))
    }

    async fn point(&self) -> Result<(), Stopped> {
        let (cache, wanted) = (self.order.cache.clone(), self.wanted.clone());
        let revision = self.order.revision.clone();
        let pointed = spawn_blocking(move || verify::point(&cache, &wanted, &revision)).await;
        pointed.map_err(std::io::Error::other).flatten().map_err(|error| self.disk(&error))
    }

    async fn quarantine(&self) {
        let (cache, wanted) = (self.order.cache.clone(), self.wanted.clone());
        // It has no answer, and the next look at the file says the same again.
        let _ = spawn_blocking(move || verify::quarantine(&cache, &wanted)).await;
    }

    fn disk(&self, error: &std::io::Error) -> Stopped {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return Stopped::Failed(disk_full(&self.wanted.name));
        }
        let message = format!("cannot look after {}: {error}", self.blob().display());
        Stopped::Cut(ApiError::new(ErrorCode::Internal, message))
    }
}

/// What has to be free for a file of `bytes` bytes of which some are here: the
/// rest of it, and a twentieth of it for everybody else.
fn room_needed(bytes: u64, here: u64) -> u64 {
    bytes.saturating_sub(here).saturating_add(bytes / 20)
}

/// A full disk is written down as the model's fault until somebody tries
/// again; the rest only leaves it unfinished.
fn of_kind(error: ApiError) -> Stopped {
    match error.code {
        ErrorCode::DiskFull | ErrorCode::HubDishonest => Stopped::Failed(error),
        _ => Stopped::Cut(error),
    }
}

fn locked(name: &str) -> ApiError {
    ApiError::new(ErrorCode::Conflict, format!("another process still fetches {name}"))
        .with_hint("download it again once that has ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_file_and_a_twentieth_must_be_free() {
        assert_eq!(room_needed(1000, 0), 1050);
        assert_eq!(room_needed(1000, 400), 650);
        assert_eq!(room_needed(1000, 1000), 50, "others need room as well");
        assert_eq!(room_needed(u64::MAX, 0), u64::MAX);
    }
}
