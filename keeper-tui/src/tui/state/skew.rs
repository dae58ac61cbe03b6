//! Programs of different versions that work together, and what to do about it.

use std::{cmp::Ordering, collections::BTreeMap};

use protocol::{
    HiveId,
    fleet::{HiveRecord, HiveState, WorkerRecord},
};

use super::{Model, Source};

/// How a version stands to the queen's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skew {
    /// It is older, or cannot be told.
    Older,
    /// It is newer.
    Newer,
}

/// One thing that is not of the queen's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// What it is, and of which version.
    pub(crate) what: String,
    /// The way out.
    pub(crate) remedy: String,
}

/// Tells `theirs` from the queen's; `None` when it is the same.
fn skew(theirs: &str, queens: &str) -> Option<Skew> {
    if theirs == queens {
        return None;
    }
    match numbers(theirs).cmp(&numbers(queens)) {
        Ordering::Greater => Some(Skew::Newer),
        Ordering::Less | Ordering::Equal => Some(Skew::Older),
    }
}

/// What is no number counts as 0.
fn numbers(version: &str) -> Vec<u64> {
    let release = version.split(['-', '+']).next().unwrap_or_default();
    release.split('.').map(|number| number.parse().unwrap_or(0)).collect()
}

impl Model {
    fn queen_version(&self) -> Option<&str> {
        self.fleet.queen.as_ref().map(|queen| queen.version.as_str())
    }

    /// How a machine's version stands to the queen's.
    pub(crate) fn hive_skew(&self, hive: &HiveRecord) -> Option<Skew> {
        // What is started there next may be of another version.
        if hive.state == HiveState::Offline {
            return None;
        }
        skew(hive.version.as_deref()?, self.queen_version()?)
    }

    /// How a worker's version stands to the queen's.
    pub(crate) fn worker_skew(&self, worker: &WorkerRecord) -> Option<Skew> {
        if worker.state.is_down() {
            return None;
        }
        skew(worker.version.as_deref()?, self.queen_version()?)
    }

    /// How the keeper's version stands to the queen's. A recording was made by
    /// whichever keeper there was.
    pub(crate) fn keeper_skew(&self) -> Option<Skew> {
        if self.source != Source::Queen {
            return None;
        }
        skew(&self.version, self.queen_version()?)
    }

    /// What to do about a machine of another version.
    pub(crate) fn hive_remedy(&self, hive: &HiveRecord, skew: Skew) -> String {
        let program = &self.program;
        match skew {
            Skew::Newer => "the queen is the older one: start her from the newer build".to_owned(),
            Skew::Older if hive.link.is_some() => format!("{program} hive update {}", hive.id),
            Skew::Older if hive.id.is_localhost() => {
                format!("{program} hive stop, then {program} hive start")
            }
            Skew::Older => "replace its programs there: it is not reached over ssh".to_owned(),
        }
    }

    /// Everything that is not of the queen's version: the keeper, machines,
    /// and workers whose machine is.
    pub(crate) fn mismatches(&self) -> Vec<Mismatch> {
        let Some(queens) = self.queen_version() else { return Vec::new() };
        let mut found = Vec::new();
        if let Some(skew) = self.keeper_skew() {
            let remedy = match skew {
                Skew::Older => format!("use a keeper of version {queens}"),
                Skew::Newer if self.is_queen_here() => {
                    "restart her (rbee-keeper queen stop, start)".to_owned()
                }
                Skew::Newer => "start the queen from the newer build".to_owned(),
            };
            let what = format!("keeper {}, queen {queens}", self.version);
            found.push(Mismatch { what, remedy });
        }
        for hive in self.fleet.hives.values() {
            if let (Some(skew), Some(version)) = (self.hive_skew(hive), &hive.version) {
                let what = format!("{} is {version}, the queen {queens}", hive.id);
                found.push(Mismatch { what, remedy: self.hive_remedy(hive, skew) });
            }
        }
        let mut left: BTreeMap<(&HiveId, &str), usize> = BTreeMap::new();
        for worker in self.fleet.workers.values() {
            // Looked at first: of ten thousand workers hardly any has one.
            let (Some(_), Some(version)) = (self.worker_skew(worker), &worker.version) else {
                continue;
            };
            let hive = self.fleet.hives.get(&worker.hive_id);
            if hive.is_some_and(|hive| self.hive_skew(hive).is_none()) {
                *left.entry((&worker.hive_id, version)).or_default() += 1;
            }
        }
        for ((hive, version), count) in left {
            let (workers, remedy) = match count {
                1 => ("1 worker".to_owned(), "restart it"),
                n => (format!("{n} workers"), "restart them"),
            };
            let what = format!("{workers} of {hive} from version {version}, the queen {queens}");
            found.push(Mismatch { what, remedy: remedy.to_owned() });
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use protocol::fleet::{Snapshot, WorkerState};

    use super::*;
    use crate::tui::fixture::{Stage, busy_fleet, empty_fleet, hive, link, worker};

    fn of(version: &str, hive: HiveRecord) -> HiveRecord {
        HiveRecord { version: Some(version.to_owned()), ..hive }
    }

    fn lines(stage: &Stage) -> Vec<String> {
        let found = stage.model.mismatches();
        found.iter().map(|it| format!("{}: {}", it.what, it.remedy)).collect()
    }

    #[test]
    fn a_fleet_of_one_version_has_nothing_to_say_and_what_is_unknown_differs_from_nothing() {
        let mut stage = Stage::new((80, 24));
        let mut fleet = busy_fleet();
        fleet.hives[0].version = None;
        fleet.workers[0].version = None;
        stage.connect(fleet);
        assert_eq!(lines(&stage), [""; 0]);
    }

    #[test]
    fn each_machine_of_another_version_is_told_with_the_way_out_that_it_has() {
        let mut stage = Stage::new((80, 24));
        let ready = |name: &str| hive(name, HiveState::Ready, 1, None);
        let hives = vec![
            of("0.0.9", HiveRecord { link: Some(link()), ..ready("gpu-1") }),
            of("0.0.9", ready("localhost")),
            of("0.0.9", ready("by-url")),
            of("0.10.0", HiveRecord { link: Some(link()), ..ready("gpu-2") }),
        ];
        stage.connect(Snapshot { hives, ..empty_fleet() });
        assert_eq!(
            lines(&stage),
            [
                "by-url is 0.0.9, the queen 0.1.0: replace its programs there: it is not reached \
                 over ssh",
                "gpu-1 is 0.0.9, the queen 0.1.0: rbee-keeper hive update gpu-1",
                "gpu-2 is 0.10.0, the queen 0.1.0: the queen is the older one: start her from the \
                 newer build",
                "localhost is 0.0.9, the queen 0.1.0: rbee-keeper hive stop, then rbee-keeper hive \
                 start",
            ]
        );
    }

    #[test]
    fn a_machine_that_was_stopped_needs_no_attention_for_the_version_it_had() {
        let mut stage = Stage::new((80, 24));
        let hives = vec![of("0.0.9", hive("localhost", HiveState::Offline, 1, None))];
        stage.connect(Snapshot { hives, ..empty_fleet() });
        assert_eq!(lines(&stage), [""; 0]);
    }

    #[test]
    fn workers_that_a_new_hive_has_taken_over_are_told_together() {
        let mut stage = Stage::new((80, 24));
        let old = |name: &str, state| WorkerRecord {
            version: Some("0.0.9".to_owned()),
            ..worker(name, "gpu-1", state)
        };
        let hives = vec![hive("gpu-1", HiveState::Ready, 1, None)];
        let workers = vec![
            old("wk-1", WorkerState::Ready),
            old("wk-2", WorkerState::Busy),
            old("wk-3", WorkerState::Failed),
        ];
        stage.connect(Snapshot { hives, workers, ..empty_fleet() });
        let told = ["2 workers of gpu-1 from version 0.0.9, the queen 0.1.0: restart them"];
        assert_eq!(lines(&stage), told);
    }

    #[test]
    fn a_keeper_of_another_version_is_told_but_not_in_a_recording() {
        let mut stage = Stage::new((80, 24));
        stage.connect(empty_fleet());
        stage.model.version = "0.2.0".to_owned();
        assert_eq!(
            lines(&stage),
            ["keeper 0.2.0, queen 0.1.0: restart her (rbee-keeper queen stop, start)"]
        );
        stage.model.source = Source::Recording { is_cut_off: false };
        assert_eq!(lines(&stage), [""; 0]);
    }
}
