//! The tables as what they have in common: a selection, marks, a filter, an
//! order, and the records they show.

use std::collections::BTreeSet;

use protocol::{DeviceId, HiveId, JobId, ModelRef, WorkerId};
use serde::{Deserialize, Serialize};

use super::{HiveTab, Model, Pane, View, selection::Sort};
use crate::tui::actions::Target;

/// One of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ListName {
    /// Machines.
    Hives,
    /// Workers.
    Workers,
    /// Devices.
    Devices,
    /// Models on disk.
    Models,
    /// Jobs.
    Jobs,
}

impl ListName {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Hives, Self::Workers, Self::Devices, Self::Models, Self::Jobs];
}

/// Does the same with whichever table it is: its selection, and its records.
macro_rules! with_list {
    ($model:expr, $name:expr, |$selection:ident, $records:ident| $body:expr) => {
        match $name {
            $crate::tui::state::lists::ListName::Hives => {
                let ($selection, $records) = (&mut $model.ui.hives, &$model.fleet.hives);
                $body
            }
            $crate::tui::state::lists::ListName::Workers => {
                let ($selection, $records) = (&mut $model.ui.workers, &$model.fleet.workers);
                $body
            }
            $crate::tui::state::lists::ListName::Devices => {
                let ($selection, $records) = (&mut $model.ui.devices, &$model.fleet.devices);
                $body
            }
            $crate::tui::state::lists::ListName::Models => {
                let ($selection, $records) = (&mut $model.ui.models, $model.models.listed());
                $body
            }
            $crate::tui::state::lists::ListName::Jobs => {
                let ($selection, $records) = (&mut $model.ui.jobs, &$model.fleet.jobs);
                $body
            }
        }
    };
}
/// The same without changing anything.
macro_rules! read_list {
    ($model:expr, $name:expr, |$selection:ident, $records:ident| $body:expr) => {
        match $name {
            $crate::tui::state::lists::ListName::Hives => {
                let ($selection, $records) = (&$model.ui.hives, &$model.fleet.hives);
                $body
            }
            $crate::tui::state::lists::ListName::Workers => {
                let ($selection, $records) = (&$model.ui.workers, &$model.fleet.workers);
                $body
            }
            $crate::tui::state::lists::ListName::Devices => {
                let ($selection, $records) = (&$model.ui.devices, &$model.fleet.devices);
                $body
            }
            $crate::tui::state::lists::ListName::Models => {
                let ($selection, $records) = (&$model.ui.models, $model.models.listed());
                $body
            }
            $crate::tui::state::lists::ListName::Jobs => {
                let ($selection, $records) = (&$model.ui.jobs, &$model.fleet.jobs);
                $body
            }
        }
    };
}
pub(crate) use {read_list, with_list};

/// A target from the id of a row.
pub(crate) trait ToTarget {
    /// The target.
    fn to_target(&self) -> Target;
}

impl ToTarget for HiveId {
    fn to_target(&self) -> Target {
        Target::Hive(self.clone())
    }
}

impl ToTarget for WorkerId {
    fn to_target(&self) -> Target {
        Target::Worker(self.clone())
    }
}

impl ToTarget for (HiveId, DeviceId) {
    fn to_target(&self) -> Target {
        Target::Device(self.0.clone(), self.1.clone())
    }
}

impl ToTarget for (ModelRef, HiveId) {
    fn to_target(&self) -> Target {
        Target::Model(self.1.clone(), self.0.clone())
    }
}

impl ToTarget for JobId {
    fn to_target(&self) -> Target {
        Target::Job(self.clone())
    }
}

/// What `z` brings back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Undo {
    /// A filter.
    Filter(ListName, String),
    /// An order.
    Sort(ListName, Option<Sort>),
    /// Marks on machines.
    Hives(BTreeSet<HiveId>),
    /// Marks on workers.
    Workers(BTreeSet<WorkerId>),
    /// Marks on devices.
    Devices(BTreeSet<(HiveId, DeviceId)>),
    /// Marks on models.
    Models(BTreeSet<(ModelRef, HiveId)>),
    /// Marks on jobs.
    Jobs(BTreeSet<JobId>),
}

impl Model {
    /// The table that keys are aimed at.
    pub(crate) fn list_in_view(&self) -> Option<ListName> {
        let is_aimed = self.is_known && self.ui.focus == Pane::List;
        if is_aimed { self.list_on_screen() } else { None }
    }

    /// The table on the screen.
    pub(crate) fn list_on_screen(&self) -> Option<ListName> {
        match &self.ui.view {
            // The screen says how to come by a fleet, and what is not seen is not aimed at.
            View::Fleet if self.is_first_run() => None,
            View::Fleet => Some(ListName::Hives),
            View::Workers | View::Hive(_, HiveTab::Workers) => Some(ListName::Workers),
            View::Devices | View::Hive(_, HiveTab::Devices) => Some(ListName::Devices),
            View::Models | View::Hive(_, HiveTab::Models) => Some(ListName::Models),
            View::Jobs | View::Hive(_, HiveTab::Jobs) => Some(ListName::Jobs),
            View::Hive(_, HiveTab::Overview | HiveTab::Log)
            | View::Worker(_)
            | View::Device(..)
            | View::Job(_)
            | View::Infer
            | View::Events
            | View::Queen => None,
        }
    }

    /// What actions are aimed at: what is marked, or else what is selected, or
    /// what is open.
    pub(crate) fn targets(&self) -> Vec<Target> {
        if !self.is_known {
            return Vec::new();
        }
        if let Some(name) = self.list_on_screen() {
            return read_list!(self, name, |list, records| {
                // In the order they are shown; marks that a filter hides stay aimed at.
                if list.marks.is_empty() {
                    list.id().map(ToTarget::to_target).into_iter().collect()
                } else {
                    let seen = list.shown(records).map(|(id, _)| id);
                    let mut ids: Vec<_> = seen.filter(|id| list.marks.contains(*id)).collect();
                    let shown: BTreeSet<_> = ids.iter().copied().collect();
                    ids.extend(list.marks.iter().filter(|id| !shown.contains(id)));
                    ids.into_iter().map(ToTarget::to_target).collect()
                }
            });
        }
        let one = match &self.ui.view {
            View::Hive(hive, _) => Some(Target::Hive(hive.clone())),
            View::Worker(worker) => Some(Target::Worker(worker.clone())),
            View::Device(hive, device) => Some(Target::Device(hive.clone(), device.clone())),
            View::Queen => Some(Target::Queen),
            _ => self.job_in_view().cloned().map(Target::Job),
        };
        one.into_iter().collect()
    }
}
