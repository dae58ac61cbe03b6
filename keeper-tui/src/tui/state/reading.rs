//! What is being read: which log the focused pane shows, and which of its
//! lines.

use protocol::{HiveId, JobId};

use super::{
    HiveTab, Model, Pane, View,
    log::{Entry, Log},
    needle::Needle,
    window::LogWindow,
};

/// A text that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Narration of the machine that is selected in the fleet.
    Fleet,
    /// Narration of the one machine on the screen.
    Hive,
    /// Narration of the one worker on the screen.
    Worker,
    /// What that worker logs.
    WorkerLog,
    /// Narration of the one job on the screen.
    Job,
    /// What that job generates.
    JobText,
    /// What the other of two answers says.
    SecondText,
    /// What everybody says.
    Events,
    /// What went wrong, and what was asked for.
    Diary,
}

/// A window on each of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Windows {
    fleet: LogWindow,
    hive: LogWindow,
    worker: LogWindow,
    worker_log: LogWindow,
    job: LogWindow,
    job_text: LogWindow,
    second_text: LogWindow,
    events: LogWindow,
    diary: LogWindow,
}

impl Windows {
    /// The window on this text.
    pub(crate) fn on(&self, reading: Reading) -> &LogWindow {
        match reading {
            Reading::Fleet => &self.fleet,
            Reading::Hive => &self.hive,
            Reading::Worker => &self.worker,
            Reading::WorkerLog => &self.worker_log,
            Reading::Job => &self.job,
            Reading::JobText => &self.job_text,
            Reading::SecondText => &self.second_text,
            Reading::Events => &self.events,
            Reading::Diary => &self.diary,
        }
    }

    /// The same, to move it.
    pub(crate) fn on_mut(&mut self, reading: Reading) -> &mut LogWindow {
        match reading {
            Reading::Fleet => &mut self.fleet,
            Reading::Hive => &mut self.hive,
            Reading::Worker => &mut self.worker,
            Reading::WorkerLog => &mut self.worker_log,
            Reading::Job => &mut self.job,
            Reading::JobText => &mut self.job_text,
            Reading::SecondText => &mut self.second_text,
            Reading::Events => &mut self.events,
            Reading::Diary => &mut self.diary,
        }
    }

    /// Another object is on the screen: what is read of it is read from its
    /// newest line on, and as before.
    pub(crate) fn begin(&mut self) {
        for window in [
            &mut self.hive,
            &mut self.worker,
            &mut self.worker_log,
            &mut self.job,
            &mut self.job_text,
            &mut self.second_text,
        ] {
            window.follow();
            window.only = None;
            window.find = None;
            window.column = 0;
        }
    }
}

/// What a typed word is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To be found.
    Find,
    /// To be in every line that is shown.
    Only,
}

/// A word that is being typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    /// What it is for.
    pub(crate) asked: Asked,
    /// In which text.
    pub(crate) reading: Reading,
    /// What is typed so far.
    pub(crate) text: String,
}

impl Model {
    /// The text that keys are aimed at.
    pub(crate) fn reading(&self) -> Option<Reading> {
        self.reading_in(self.ui.focus)
    }

    /// The text in a pane.
    pub(crate) fn reading_in(&self, pane: Pane) -> Option<Reading> {
        match (&self.ui.view, pane) {
            (View::Fleet, Pane::Narration) => Some(Reading::Fleet),
            (View::Hive(_, HiveTab::Overview | HiveTab::Log), _) => Some(Reading::Hive),
            (View::Worker(_), Pane::Narration) => Some(Reading::Worker),
            (View::Worker(_), _) => Some(Reading::WorkerLog),
            (View::Job(_) | View::Infer, Pane::Narration) => Some(Reading::Job),
            (View::Job(job), _) if !self.generates(job) => Some(Reading::Job),
            (View::Job(_) | View::Infer, Pane::Text) => Some(Reading::JobText),
            (View::Infer, Pane::Second) => Some(Reading::SecondText),
            (View::Events, _) => Some(Reading::Events),
            (View::Queen, _) => Some(Reading::Diary),
            _ => None,
        }
    }

    /// Whether a job generates text.
    pub(crate) fn generates(&self, job: &JobId) -> bool {
        self.streams.job(job).is_some_and(|stream| !stream.text.is_empty())
            || self.fleet.jobs.get(job).is_some_and(|record| record.operation == "infer")
    }

    /// Its lines, if there are any yet.
    pub(crate) fn log(&self, reading: Reading) -> Option<&Log> {
        let job = match &self.ui.view {
            View::Job(job) => Some(job),
            View::Infer => self.infer.job(),
            _ => None,
        };
        match reading {
            Reading::Fleet | Reading::Hive | Reading::Worker | Reading::Events => {
                Some(&self.streams.all)
            }
            Reading::WorkerLog => self.worker_log.as_ref().map(|it| &it.lines),
            Reading::Job => self.streams.job(job?).map(|it| &it.narration),
            Reading::JobText => self.streams.job(job?).map(|it| &it.text),
            Reading::SecondText => self.streams.job(self.infer.second_job()?).map(|it| &it.text),
            Reading::Diary => Some(&self.queen.diary),
        }
    }

    /// Whether a line belongs to a text and is among those asked for.
    pub(crate) fn shows(&self, reading: Reading, entry: &Entry) -> bool {
        let of_hive = |hive: Option<&HiveId>| {
            // What concerns no machine is the queen's, and belongs to each.
            entry.said.hive.is_none() || hive.is_none() || entry.said.hive.as_ref() == hive
        };
        let belongs = match (reading, &self.ui.view) {
            (Reading::Fleet, _) => of_hive(self.ui.hives.id()),
            (Reading::Hive, View::Hive(hive, _)) => of_hive(Some(hive)),
            (Reading::Worker, View::Worker(worker)) => {
                let job = entry.said.job.as_ref().and_then(|job| self.fleet.jobs.get(job));
                job.is_some_and(|job| job.worker_id.as_ref() == Some(worker))
            }
            _ => true,
        };
        belongs && self.ui.windows.on(reading).lets_through(entry)
    }

    /// What is found in a text that is being searched.
    pub(crate) fn sought(&self, reading: Reading) -> Option<&Needle> {
        self.ui.windows.on(reading).find.as_ref().map(|find| &find.needle)
    }
}
