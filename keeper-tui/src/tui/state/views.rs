//! What can be on the screen, and which of its parts keys are aimed at.

use protocol::{DeviceId, HiveId, JobId, WorkerId};
use serde::{Deserialize, Serialize};

use crate::tui::keymap::Action;

/// A view of the whole screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum View {
    /// Machines, and what needs attention. The root.
    Fleet,
    /// One machine.
    Hive(HiveId, HiveTab),
    /// Workers.
    Workers,
    /// One worker.
    Worker(WorkerId),
    /// GPUs and processors.
    Devices,
    /// One device.
    Device(HiveId, DeviceId),
    /// Models on the disks of the fleet.
    Models,
    /// Jobs.
    Jobs,
    /// One job.
    Job(JobId),
    /// The prompt and its answers.
    Infer,
    /// What everybody says.
    Events,
    /// The queen and the way to her.
    Queen,
}

/// A part of one machine's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HiveTab {
    /// Everything in short.
    Overview,
    /// Its workers.
    Workers,
    /// Its devices.
    Devices,
    /// Its models.
    Models,
    /// Its jobs.
    Jobs,
    /// What is said about it.
    Log,
}

impl HiveTab {
    /// In their order.
    pub(crate) const ALL: [Self; 6] =
        [Self::Overview, Self::Workers, Self::Devices, Self::Models, Self::Jobs, Self::Log];

    /// What it is called.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Workers => "Workers",
            Self::Devices => "GPUs",
            Self::Models => "Models",
            Self::Jobs => "Jobs",
            Self::Log => "Log",
        }
    }

    /// The one after it, or before it; after the last comes the first.
    pub(crate) fn turned(self, by: isize) -> Self {
        let at = Self::ALL.iter().position(|it| *it == self).unwrap_or(0);
        let next = at.wrapping_add_signed(by).wrapping_add(Self::ALL.len()) % Self::ALL.len();
        Self::ALL.get(next).copied().unwrap_or(self)
    }
}

impl View {
    /// The views that have a key of their own, in its order.
    pub(crate) const ROOTS: [(Self, Action); 8] = [
        (Self::Fleet, Action::ShowFleet),
        (Self::Workers, Action::ShowWorkers),
        (Self::Devices, Action::ShowDevices),
        (Self::Models, Action::ShowModels),
        (Self::Jobs, Action::ShowJobs),
        (Self::Infer, Action::ShowInfer),
        (Self::Events, Action::ShowEvents),
        (Self::Queen, Action::ShowQueen),
    ];

    /// The one of them that this is a part of.
    pub(crate) fn root(&self) -> Self {
        match self {
            Self::Fleet | Self::Hive(..) => Self::Fleet,
            Self::Workers | Self::Worker(_) => Self::Workers,
            Self::Devices | Self::Device(..) => Self::Devices,
            Self::Jobs | Self::Job(_) => Self::Jobs,
            Self::Models => Self::Models,
            Self::Infer => Self::Infer,
            Self::Events => Self::Events,
            Self::Queen => Self::Queen,
        }
    }

    /// What keys may be aimed at, in the order of Tab. The first has the focus
    /// when the view comes up.
    pub(crate) fn panes(&self) -> &'static [Pane] {
        match self {
            Self::Fleet => &[Pane::List, Pane::Narration],
            Self::Hive(_, HiveTab::Overview | HiveTab::Log) | Self::Events | Self::Queen => {
                &[Pane::Narration]
            }
            Self::Hive(..)
            | Self::Workers
            | Self::Devices
            | Self::Device(..)
            | Self::Models
            | Self::Jobs => &[Pane::List],
            Self::Worker(_) | Self::Job(_) => &[Pane::Text, Pane::Narration],
            Self::Infer => {
                &[Pane::Prompt, Pane::Text, Pane::Second, Pane::Narration, Pane::Settings]
            }
        }
    }

    /// What it is called, for the way that leads back.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Fleet => "fleet".to_owned(),
            Self::Hive(hive, _) => hive.to_string(),
            Self::Workers => "workers".to_owned(),
            Self::Worker(worker) => worker.to_string(),
            Self::Devices => "gpus".to_owned(),
            Self::Device(hive, device) => format!("{device} of {hive}"),
            Self::Models => "models".to_owned(),
            Self::Jobs => "jobs".to_owned(),
            Self::Job(job) => format!("job {}", job.short()),
            Self::Infer => "infer".to_owned(),
            Self::Events => "events".to_owned(),
            Self::Queen => "queen".to_owned(),
        }
    }
}

/// A part of a view that keys are aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pane {
    /// The table.
    List,
    /// Generated text, or what a worker logs.
    Text,
    /// The text of the other answer.
    Second,
    /// What jobs say.
    Narration,
    /// Where a prompt is typed.
    Prompt,
    /// How the answer is to be made.
    Settings,
}
