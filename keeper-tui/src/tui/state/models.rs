//! Models on the disks of the fleet: asked for, because no feed carries them.

use std::{collections::BTreeMap, time::Duration};

use protocol::{
    HiveId, JobId, ModelRef,
    fleet::Fleet,
    job::{JobRecord, Progress},
    model::{ModelRecord, ModelState},
};

/// Attempts to read them before the operator is left to ask for more.
const ATTEMPTS: u32 = 4;
/// Between the first two; then twice as long each time.
const RETRY: Duration = Duration::from_secs(2);

/// A download that came no further for this long is said to be stalled.
pub(crate) const STALLED: Duration = Duration::from_secs(10);

/// Where reading them stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reading {
    /// They are to be read when somebody looks.
    Due,
    /// On its way.
    Asked,
    /// What is known is what is.
    Known,
    /// It did not work.
    Failed {
        /// One sentence.
        cause: String,
        /// When it is tried again; never, after too many attempts.
        retry_at: Option<Duration>,
    },
}

/// The catalogues of all machines.
#[derive(Debug, Clone)]
pub(crate) struct Models {
    /// As they were last read.
    pub(crate) records: BTreeMap<(ModelRef, HiveId), ModelRecord>,
    /// Machines that could not be asked, each in one sentence.
    pub(crate) missing: Vec<String>,
    /// Where reading them stands.
    pub(crate) reading: Reading,
    attempts: u32,
    /// How far each download was, and since when.
    downloads: BTreeMap<JobId, (u64, Duration)>,
}

impl Default for Models {
    fn default() -> Self {
        Self {
            records: BTreeMap::new(),
            missing: Vec::new(),
            reading: Reading::Due,
            attempts: 0,
            downloads: BTreeMap::new(),
        }
    }
}

impl Models {
    /// Whether they are to be asked for now.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        match &self.reading {
            Reading::Due => true,
            Reading::Failed { retry_at: Some(at), .. } => *at <= now,
            Reading::Failed { retry_at: None, .. } | Reading::Asked | Reading::Known => false,
        }
    }

    /// They were asked for.
    pub(crate) fn asked(&mut self) {
        self.attempts += 1;
        self.reading = Reading::Asked;
    }

    /// What is known may not be what is any more.
    pub(crate) fn outdated(&mut self) {
        // The answer that is on its way may be older than the change.
        self.reading = Reading::Due;
        self.attempts = 0;
    }

    /// The answer.
    pub(crate) fn read(
        &mut self,
        result: Result<(Vec<ModelRecord>, Vec<String>), String>,
        now: Duration,
    ) {
        if self.reading != Reading::Asked {
            return;
        }
        match result {
            Ok((records, missing)) => {
                let key = |it: &ModelRecord| (it.id.clone(), it.hive_id.clone());
                self.records = records.into_iter().map(|it| (key(&it), it)).collect();
                self.missing = missing;
                self.reading = Reading::Known;
                self.attempts = 0;
            }
            Err(cause) => {
                let wait = RETRY * 2_u32.pow(self.attempts.saturating_sub(1).min(5));
                let retry_at = (self.attempts < ATTEMPTS).then(|| now + wait);
                self.reading = Reading::Failed { cause, retry_at };
            }
        }
    }

    /// What a job says about its download.
    pub(crate) fn heard(&mut self, job: &JobRecord, now: Duration) {
        if !is_download(job) {
            self.downloads.remove(&job.id);
        } else if let Some(progress) = &job.progress {
            let known = self.downloads.entry(job.id.clone()).or_insert((progress.done, now));
            if known.0 != progress.done {
                *known = (progress.done, now);
            }
        }
    }

    /// What all jobs say, and there are no others.
    pub(crate) fn heard_all(&mut self, jobs: &[JobRecord], now: Duration) {
        self.downloads.retain(|id, _| jobs.iter().any(|job| job.id == *id));
        jobs.iter().for_each(|job| self.heard(job, now));
    }

    /// Since when a download has not come any further.
    pub(crate) fn progressed(&self, job: &JobId) -> Option<Duration> {
        self.downloads.get(job).map(|(_, since)| *since)
    }

    /// The models with what their downloads say by now, in their order.
    pub(crate) fn rows<'a>(&'a self, fleet: &'a Fleet) -> BTreeMap<(ModelRef, HiveId), Row<'a>> {
        let records = self.records.iter();
        let mut rows: BTreeMap<_, _> = records
            .map(|(key, record)| (key.clone(), Row { record: Some(record), download: None }))
            .collect();
        for job in fleet.jobs.values().filter(|it| is_download(it)) {
            if let (Some(model), Some(hive)) = (&job.model, &job.hive_id) {
                let row = rows.entry((model.clone(), hive.clone()));
                row.or_insert(Row { record: None, download: None }).download = Some(job);
            }
        }
        rows
    }

    /// The same as records of their own, for filtering and sorting.
    pub(crate) fn listed(&self, fleet: &Fleet) -> BTreeMap<(ModelRef, HiveId), Listed> {
        let list = |((model, hive), row): ((ModelRef, HiveId), Row<'_>)| {
            let record = row.record;
            let listed = Listed {
                model: model.clone(),
                hive: hive.clone(),
                state: row.state(),
                bytes: record.map(|it| it.bytes),
                quantisation: record.and_then(|it| it.quantisation.clone()),
                context_length: record
                    .and_then(|it| it.context_length)
                    .and_then(|tokens| u32::try_from(tokens).ok()),
            };
            ((model, hive), listed)
        };
        self.rows(fleet).into_iter().map(list).collect()
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
}

/// Whether a job fetches a model at this moment.
pub(crate) fn is_download(job: &JobRecord) -> bool {
    job.operation == "model_download" && !job.state.is_ended()
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
    /// Where it stands.
    pub(crate) fn state(&self) -> ModelState {
        match (self.download, self.record) {
            (Some(_), _) | (None, None) => ModelState::Downloading,
            (None, Some(record)) => record.state,
        }
    }

    /// How much of it is there, while it is not all.
    pub(crate) fn progress(&self) -> Option<&Progress> {
        let told = self.download.and_then(|job| job.progress.as_ref());
        told.or_else(|| self.record.and_then(|it| it.progress.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_queen_who_cannot_say_is_asked_again_and_not_for_ever() {
        let mut models = Models::default();
        let mut now = at(0);
        let mut asked = 0;
        while models.is_due(now) {
            models.asked();
            asked += 1;
            models.read(Err("no".to_owned()), now);
            if let Reading::Failed { retry_at: Some(at), .. } = models.reading {
                assert!(!models.is_due(now), "not at once");
                now = at;
            }
        }
        assert_eq!(asked, ATTEMPTS);
        models.outdated();
        assert!(models.is_due(now), "news makes it worth another attempt");
    }

    #[test]
    fn an_answer_that_a_change_has_overtaken_is_not_taken() {
        let mut models = Models::default();
        models.asked();
        models.outdated();
        models.read(Ok((Vec::new(), vec!["attic".to_owned()])), at(1));
        assert!(models.is_due(at(1)) && models.missing.is_empty());
    }
}
