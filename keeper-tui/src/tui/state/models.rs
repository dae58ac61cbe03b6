//! Models on the disks of the fleet, as the feed tells of them, together with
//! the jobs that fetch them.

use std::{collections::BTreeMap, time::Duration};

use protocol::{
    HiveId, JobId, ModelRef,
    fleet::{Change, FeedEvent, Fleet},
    job::{JobRecord, Progress},
    model::{ModelRecord, ModelState},
};

/// A download that came no further for this long is said to be stalled.
pub(crate) const STALLED: Duration = Duration::from_secs(10);

/// What a model on a machine is listed by: by name first, so that the machines
/// that have the same stand together.
pub(crate) type Key = (ModelRef, HiveId);

/// The rows of the table, kept up to date with the fleet: with ten thousand
/// models nobody makes them anew for every message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Models {
    listed: BTreeMap<Key, Listed>,
    downloads: BTreeMap<JobId, Download>,
    /// How many models each machine has told of.
    told: BTreeMap<HiveId, usize>,
}

/// A job that fetches a model.
#[derive(Debug, Clone)]
struct Download {
    key: Key,
    /// How far it was, and since when.
    done: Option<(u64, Duration)>,
}

impl Models {
    /// Takes in what `event` has made of `fleet`.
    pub(crate) fn heard(&mut self, fleet: &Fleet, event: &FeedEvent, now: Duration) {
        match event {
            FeedEvent::Snapshot(_) => self.list_all(fleet, now),
            FeedEvent::Model(Change::Now(it)) => {
                self.list(fleet, (it.id.clone(), it.hive_id.clone()));
            }
            FeedEvent::Model(Change::Gone(gone)) => {
                if let (Ok(model), Some(hive)) = (gone.id.parse(), &gone.hive_id) {
                    self.list(fleet, (model, hive.clone()));
                }
            }
            FeedEvent::Job(Change::Now(job)) => {
                for key in self.heard_job(job, now) {
                    self.list(fleet, key);
                }
            }
            FeedEvent::Job(Change::Gone(gone)) => {
                let job = gone.id.parse().ok();
                if let Some(gone) = job.and_then(|job: JobId| self.downloads.remove(&job)) {
                    self.list(fleet, gone.key);
                }
            }
            _ => {}
        }
    }

    /// What a job says of its download; the rows that it begins or ends.
    fn heard_job(&mut self, job: &JobRecord, now: Duration) -> Vec<Key> {
        let key = job.model.clone().zip(job.hive_id.clone());
        let Some(key) = key.filter(|_| is_download(job)) else {
            return self.downloads.remove(&job.id).map(|it| it.key).into_iter().collect();
        };
        let mut changed = Vec::new();
        let download = self.downloads.entry(job.id.clone()).or_insert_with(|| {
            changed.push(key.clone());
            Download { key: key.clone(), done: None }
        });
        let done = job.progress.as_ref().map(|it| it.done);
        if download.done.map(|it| it.0) != done {
            download.done = done.map(|done| (done, now));
        }
        changed
    }

    fn list_all(&mut self, fleet: &Fleet, now: Duration) {
        self.downloads.retain(|id, _| fleet.jobs.contains_key(id));
        for job in fleet.jobs.values() {
            self.heard_job(job, now);
        }
        self.listed.clear();
        self.told.clear();
        let downloads = self.downloads.values().map(|it| it.key.clone());
        let records = fleet.models.keys().map(|(hive, model)| (model.clone(), hive.clone()));
        let keys: Vec<Key> = records.chain(downloads).collect();
        keys.into_iter().for_each(|key| self.list(fleet, key));
    }

    fn list(&mut self, fleet: &Fleet, key: Key) {
        let (model, hive) = &key;
        let record = fleet.models.get(&(hive.clone(), model.clone()));
        let download = self.downloads.iter().find(|(_, it)| it.key == key).map(|it| it.0.clone());
        let was_told = self.listed.get(&key).is_some_and(|it| it.is_told);
        let told = self.told.entry(hive.clone()).or_default();
        *told = (*told + usize::from(record.is_some())).saturating_sub(usize::from(was_told));
        if record.is_none() && download.is_none() {
            self.listed.remove(&key);
            return;
        }
        let listed = Listed {
            model: model.clone(),
            hive: hive.clone(),
            state: match (&download, record) {
                (None, Some(record)) => record.state,
                _ => ModelState::Downloading,
            },
            bytes: record.map(|it| it.bytes),
            quantisation: record.and_then(|it| it.quantisation.clone()),
            context_length: record
                .and_then(|it| it.context_length)
                .and_then(|tokens| u32::try_from(tokens).ok()),
            download,
            is_told: record.is_some(),
        };
        self.listed.insert(key, listed);
    }

    /// The models, and those on their way.
    pub(crate) fn listed(&self) -> &BTreeMap<Key, Listed> {
        &self.listed
    }

    /// How many models a machine has told of; one that has told of any has told
    /// of the demo model, which it carries.
    pub(crate) fn told(&self, hive: &HiveId) -> usize {
        self.told.get(hive).copied().unwrap_or_default()
    }

    /// Since when a download has not come any further.
    pub(crate) fn progressed(&self, job: &JobId) -> Option<Duration> {
        self.downloads.get(job)?.done.map(|(_, since)| since)
    }
}

/// What a model can be filtered and sorted by.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    /// What it is called.
    pub(crate) model: ModelRef,
    /// The machine.
    pub(crate) hive: HiveId,
    /// Where it stands.
    pub(crate) state: ModelState,
    /// Its size.
    pub(crate) bytes: Option<u64>,
    /// How its weights are stored.
    pub(crate) quantisation: Option<String>,
    /// Tokens it was made to hold.
    pub(crate) context_length: Option<u32>,
    /// The job that fetches it.
    download: Option<JobId>,
    /// Whether the machine has told of it.
    is_told: bool,
}

/// Whether a job fetches a model at this moment.
pub(crate) fn is_download(job: &JobRecord) -> bool {
    job.operation == "model_download" && !job.state.is_ended()
}

impl Listed {
    /// All there is to say about it.
    pub(crate) fn row<'a>(&'a self, fleet: &'a Fleet) -> Row<'a> {
        Row {
            record: fleet.models.get(&(self.hive.clone(), self.model.clone())),
            download: self.download.as_ref().and_then(|job| fleet.jobs.get(job)),
        }
    }
}

/// A model on a machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    /// As the machine knows it; nothing before its download has begun.
    pub(crate) record: Option<&'a ModelRecord>,
    /// The job that fetches it.
    pub(crate) download: Option<&'a JobRecord>,
}

impl Row<'_> {
    /// How much of it is there, while it is not all.
    pub(crate) fn progress(&self) -> Option<&Progress> {
        let told = self.download.and_then(|job| job.progress.as_ref());
        told.or_else(|| self.record.and_then(|it| it.progress.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use protocol::{
        fleet::{Gone, Snapshot},
        job::JobState,
    };

    use super::*;
    use crate::tui::fixture::{catalogue, job};

    #[derive(Default)]
    struct Bench {
        fleet: Fleet,
        models: Models,
    }

    impl Bench {
        fn hears(&mut self, event: impl Into<FeedEvent>) {
            let event = event.into();
            self.fleet.apply(&event);
            self.models.heard(&self.fleet, &event, Duration::ZERO);
            // What was kept up to date is what would be made anew.
            let mut anew = Models::default();
            anew.list_all(&self.fleet, Duration::ZERO);
            assert_eq!(format!("{:?}", self.models.listed), format!("{:?}", anew.listed));
            assert_eq!(self.told(&self.models), self.told(&anew));
        }

        fn told(&self, models: &Models) -> usize {
            let hives = self.fleet.models.keys().map(|(hive, _)| hive);
            hives.chain([&crate::tui::fixture::id("gpu-2")]).map(|it| models.told(it)).sum()
        }

        fn states(&self) -> Vec<&'static str> {
            self.models.listed.values().map(|it| it.state.as_str()).collect()
        }
    }

    #[test]
    fn a_row_is_there_while_the_machine_has_the_model_or_a_job_fetches_it() {
        let mut bench = Bench::default();
        let record = ModelRecord { state: ModelState::Ready, ..catalogue().remove(1) };
        let fetch = |state| {
            let mut job = job("job-1", "model_download", state, 1);
            (job.model, job.hive_id) = (Some(record.id.clone()), Some(record.hive_id.clone()));
            FeedEvent::Job(Change::from(job))
        };
        bench.hears(fetch(JobState::Running));
        assert_eq!(bench.states(), ["downloading"], "before the machine says so");
        bench.hears(FeedEvent::Model(Change::from(record.clone())));
        assert_eq!(bench.states(), ["downloading"]);
        bench.hears(fetch(JobState::Done));
        assert_eq!(bench.states(), ["ready"]);
        let gone = Gone::on(&record.hive_id, &record.id);
        bench.hears(FeedEvent::Model(Change::Gone(gone)));
        assert!(bench.states().is_empty());

        bench.hears(fetch(JobState::Running));
        bench.hears(FeedEvent::Job(Change::Gone(Gone::new("job-1"))));
        assert!(bench.states().is_empty());
        let models = vec![record.clone()];
        let snapshot = Snapshot { models, ..Snapshot::default() };
        bench.hears(FeedEvent::Snapshot(Box::new(snapshot)));
        assert_eq!(bench.states(), ["ready"]);
    }
}
