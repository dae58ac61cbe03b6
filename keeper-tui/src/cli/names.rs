//! The names a shell offers while a command line is typed.
//!
//! The shell asks this program at each Tab, so that the names are those of the
//! fleet as it is now. A queen who is slow or not there is no reason to keep a
//! person waiting: then there are no names.

use std::{collections::BTreeSet, env, time::Duration};

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use config::{BaseUrl, Config, Paths};
use protocol::{fleet::Snapshot, job::JobRecord};

use crate::local;

/// A person has pressed Tab and waits.
const PATIENCE: Duration = Duration::from_millis(200);
/// More names than this nobody reads.
const NAMES_MAX: usize = 200;

/// Machines.
pub fn hives() -> ArgValueCandidates {
    live(|fleet| {
        let state =
            |it: &protocol::fleet::HiveRecord| (it.id.to_string(), it.state.as_str().to_owned());
        fleet.hives.iter().map(state).collect()
    })
}

/// Workers.
pub fn workers() -> ArgValueCandidates {
    live(|fleet| {
        let workers = fleet.workers.iter();
        workers
            .map(|it| (it.id.to_string(), format!("{} {}", it.state.as_str(), it.model)))
            .collect()
    })
}

/// Devices.
pub fn devices() -> ArgValueCandidates {
    live(|fleet| {
        let devices = fleet.devices.iter();
        devices.map(|it| (it.id.to_string(), format!("{} of {}", it.name, it.hive_id))).collect()
    })
}

/// The newest jobs.
pub fn jobs() -> ArgValueCandidates {
    live(|fleet| jobs_that(fleet, |_| true))
}

/// Jobs that have not ended.
pub fn open_jobs() -> ArgValueCandidates {
    live(|fleet| jobs_that(fleet, |it| !it.state.is_ended()))
}

/// Jobs that have ended.
pub fn ended_jobs() -> ArgValueCandidates {
    live(|fleet| jobs_that(fleet, |it| it.state.is_ended()))
}

fn jobs_that(fleet: &Snapshot, are: impl Fn(&JobRecord) -> bool) -> Vec<Named> {
    let jobs = fleet.jobs.iter().filter(|it| are(it));
    jobs.map(|it| (it.id.to_string(), format!("{} {}", it.operation, it.state))).collect()
}

/// Models that run, that are on a disk, or that jobs were about.
pub fn models() -> ArgValueCandidates {
    live(|fleet| {
        let running = fleet.workers.iter().map(|it| (it.model.to_string(), "runs".to_owned()));
        let asked = fleet
            .jobs
            .iter()
            .filter_map(|it| Some((it.model.as_ref()?.to_string(), String::new())));
        let here = fleet.models.iter().map(|it| (it.id.to_string(), it.state.as_str().to_owned()));
        running
            .chain(here)
            .chain(asked)
            .chain([("demo".to_owned(), "comes with rbee".to_owned())])
            .collect()
    })
}

/// Whatever can be waited for, with its kind.
pub fn targets() -> ArgValueCandidates {
    live(|fleet| {
        let hives = fleet.hives.iter().map(|it| (format!("hive/{}", it.id), it.state.as_str()));
        let workers =
            fleet.workers.iter().map(|it| (format!("worker/{}", it.id), it.state.as_str()));
        let jobs = fleet.jobs.iter().filter(|it| !it.state.is_ended());
        let jobs = jobs.map(|it| (format!("job/{}", it.id), it.state.as_str()));
        hives.chain(workers).chain(jobs).map(|(name, state)| (name, state.to_owned())).collect()
    })
}

/// A name and what there is to say about it.
type Named = (String, String);

fn live(names: impl Fn(&Snapshot) -> Vec<Named> + Send + Sync + 'static) -> ArgValueCandidates {
    ArgValueCandidates::new(move || {
        let names = snapshot().map(|fleet| names(&fleet)).unwrap_or_default();
        candidates(names)
    })
}

fn candidates(names: Vec<Named>) -> Vec<CompletionCandidate> {
    let mut seen = BTreeSet::new();
    let new = names.into_iter().filter(|(name, _)| seen.insert(name.clone())).take(NAMES_MAX);
    new.map(|(name, about)| {
        let about = crate::text::one_line(&about).into_owned();
        CompletionCandidate::new(name).help(Some(about.into()))
    })
    .collect()
}

/// The fleet, if the queen says so at once.
fn snapshot() -> Option<Snapshot> {
    let paths = Paths::from_env().ok()?;
    let config = Config::load(&paths).ok()?;
    let given: Option<BaseUrl> = env::var("RBEE_QUEEN_URL").ok().and_then(|url| url.parse().ok());
    let address = local::queen_address(given.as_ref(), &paths, &config).ok()?;
    let queen = local::daemon(&address, &config).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let asked = runtime.block_on(async { tokio::time::timeout(PATIENCE, queen.status()).await });
    // Whatever it still waits for must not keep the shell waiting.
    runtime.shutdown_background();
    asked.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_offered_once_and_a_great_fleet_is_cut() {
        let names = |count: usize| (0..count).map(|it| (format!("wk-{it}"), "ready".to_owned()));
        assert_eq!(candidates(names(3).chain(names(3)).collect()).len(), 3);
        assert_eq!(candidates(names(NAMES_MAX + 1).collect()).len(), NAMES_MAX);
    }
}
