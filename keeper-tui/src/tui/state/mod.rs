//! Everything the dashboard knows. Only [`update`](super::update) writes it;
//! drawing reads it and notes no more than how large things came out.

pub(crate) mod connection;
pub(crate) mod history;
pub(crate) mod infer;
pub(crate) mod log;
pub(crate) mod selection;
pub(crate) mod streams;
pub(crate) mod wrap;

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::{SignedDuration, tz::TimeZone};
use protocol::{
    DeviceId, HiveId, JobId, Timestamp, WorkerId,
    fleet::{Fleet, HiveState},
};

use self::{
    connection::Connection,
    history::History,
    infer::Infer,
    log::LogWindow,
    selection::Selection,
    streams::{Said, Streams},
};
use super::theme::{Theme, Tone};

/// What time it is, for deciding and for showing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Now {
    /// Since the dashboard began; never goes back.
    pub(crate) monotonic: Duration,
    /// The time of day.
    pub(crate) wall: Timestamp,
}

/// A view of the whole screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum View {
    /// Machines, and what needs attention. The root.
    Fleet,
    /// Workers.
    Workers,
    /// GPUs and processors.
    Devices,
    /// Jobs.
    Jobs,
    /// One job.
    Job(JobId),
    /// The prompt and its answer.
    Infer,
}

impl View {
    /// Where going back leads; nowhere from the root.
    pub(crate) fn parent(&self) -> Option<Self> {
        match self {
            Self::Fleet => None,
            Self::Job(_) => Some(Self::Jobs),
            Self::Workers | Self::Devices | Self::Jobs | Self::Infer => Some(Self::Fleet),
        }
    }

    /// What keys may be aimed at, in the order of Tab. The first has the focus
    /// when the view comes up.
    pub(crate) fn panes(&self) -> &'static [Pane] {
        match self {
            Self::Fleet => &[Pane::List, Pane::Narration],
            Self::Workers | Self::Devices | Self::Jobs => &[Pane::List],
            Self::Job(_) => &[Pane::Text, Pane::Narration],
            Self::Infer => &[Pane::Prompt, Pane::Text, Pane::Narration],
        }
    }
}

/// A part of a view that keys are aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pane {
    /// The table.
    List,
    /// Generated text.
    Text,
    /// What jobs say.
    Narration,
    /// Where a prompt is typed.
    Prompt,
}

/// A question in front of everything else. Its target was taken when it opened
/// and does not change, whatever moves underneath.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dialog {
    /// Shall this job be cancelled?
    CancelJob(JobId),
}

/// One line that goes away by itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Toast {
    /// What it says.
    pub(crate) text: String,
    /// How it looks.
    pub(crate) tone: Tone,
    /// When it goes away.
    pub(crate) until: Duration,
}

/// A queen being launched, or one that could not be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Launch {
    /// What was said about it.
    pub(crate) lines: Vec<String>,
    /// When it began.
    pub(crate) since: Duration,
    /// Why it failed, once it has.
    pub(crate) failed: Option<String>,
}

/// What is on the screen and where.
#[derive(Debug, Clone)]
pub(crate) struct Ui {
    /// The view.
    pub(crate) view: View,
    /// Since when; a key typed ahead must not hit a view it was not meant for.
    pub(crate) view_since: Duration,
    /// Which of its panes keys are aimed at.
    pub(crate) focus: Pane,
    /// The help, by the first line that is shown.
    pub(crate) help: Option<u16>,
    /// How far the help can be scrolled, as it was last drawn.
    pub(crate) help_max: Cell<u16>,
    /// The question in front.
    pub(crate) dialog: Option<Dialog>,
    /// The line that goes away.
    pub(crate) toast: Option<Toast>,
    /// A `g` was typed, the second is awaited.
    pub(crate) g_typed: bool,
    /// Selected machine.
    pub(crate) hives: Selection<HiveId>,
    /// Selected worker.
    pub(crate) workers: Selection<WorkerId>,
    /// Selected device.
    pub(crate) devices: Selection<(HiveId, DeviceId)>,
    /// Selected job.
    pub(crate) jobs: Selection<JobId>,
    /// Narration of the fleet.
    pub(crate) fleet_narration: LogWindow,
    /// Narration of the one job on the screen.
    pub(crate) job_narration: LogWindow,
    /// Text of the one job on the screen.
    pub(crate) job_text: LogWindow,
    /// Failed jobs that were looked at and need no attention any more.
    pub(crate) read: BTreeSet<JobId>,
}

impl Default for Ui {
    fn default() -> Self {
        Self {
            view: View::Fleet,
            view_since: Duration::ZERO,
            focus: Pane::List,
            help: None,
            help_max: Cell::new(0),
            dialog: None,
            toast: None,
            g_typed: false,
            hives: Selection::default(),
            workers: Selection::default(),
            devices: Selection::default(),
            jobs: Selection::default(),
            fleet_narration: LogWindow::default(),
            job_narration: LogWindow::default(),
            job_text: LogWindow::default(),
            read: BTreeSet::new(),
        }
    }
}

/// Whether it is the queen herself who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Source {
    /// She herself.
    #[default]
    Queen,
    /// A recording of her.
    Recording {
        /// Its last line was not written to its end.
        is_cut_off: bool,
    },
    /// A recording that has been played to its end.
    Over,
}

/// The dashboard.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// Where the queen is looked for.
    pub(crate) address: String,
    /// Who speaks.
    pub(crate) source: Source,
    /// Nothing may be changed from here.
    pub(crate) is_read_only: bool,
    /// What the terminal can show.
    pub(crate) theme: Theme,
    /// Times are shown in this zone.
    pub(crate) zone: TimeZone,
    /// Columns and rows of the terminal.
    pub(crate) size: (u16, u16),
    /// Where the connection stands.
    pub(crate) connection: Connection,
    /// A queen being launched.
    pub(crate) launch: Option<Launch>,
    /// Whether she has said what the fleet is, now or before.
    pub(crate) is_known: bool,
    /// How far the queen's clock is ahead of ours.
    pub(crate) skew: SignedDuration,
    /// What she said the fleet is.
    pub(crate) fleet: Fleet,
    /// How busy each device was lately.
    pub(crate) histories: BTreeMap<(HiveId, DeviceId), History>,
    /// What jobs say and generate.
    pub(crate) streams: Streams,
    /// Jobs whose streams are being read.
    pub(crate) following: BTreeSet<JobId>,
    /// The prompt and its answer.
    pub(crate) infer: Infer,
    /// What is on the screen.
    pub(crate) ui: Ui,
}

impl Model {
    /// A dashboard that knows nothing yet.
    pub(crate) fn new(address: String, theme: Theme, zone: TimeZone, size: (u16, u16)) -> Self {
        Self {
            address,
            source: Source::default(),
            is_read_only: false,
            theme,
            zone,
            size,
            connection: Connection::Connecting,
            launch: None,
            is_known: false,
            skew: SignedDuration::ZERO,
            fleet: Fleet::default(),
            histories: BTreeMap::new(),
            streams: Streams::default(),
            following: BTreeSet::new(),
            infer: Infer::default(),
            ui: Ui::default(),
        }
    }

    /// The queen's time of day.
    pub(crate) fn queen_time(&self, now: Now) -> Timestamp {
        now.wall.checked_add(self.skew).unwrap_or(now.wall)
    }

    /// Whether what is known about a machine is what is.
    pub(crate) fn is_current(&self, hive: &HiveId) -> bool {
        self.connection.is_live()
            && self.fleet.hives.get(hive).is_some_and(|it| it.state == HiveState::Ready)
    }

    /// Whether the offer to launch a queen is on the screen.
    pub(crate) fn asks_for_queen(&self) -> bool {
        let away = matches!(self.connection, Connection::Unreached(_) | Connection::Lost(..));
        away && self.launch.as_ref().is_none_or(|launch| launch.failed.is_some())
    }

    /// Whether a line belongs to the narration of the selected machine: what
    /// concerns no machine is the queen's, and belongs to each.
    pub(crate) fn concerns_selection(&self, said: &Said) -> bool {
        said.hive.is_none()
            || self.ui.hives.id().is_none()
            || said.hive.as_ref() == self.ui.hives.id()
    }

    /// The job that `x` is about.
    pub(crate) fn job_in_view(&self) -> Option<&JobId> {
        match &self.ui.view {
            View::Jobs => self.ui.jobs.id(),
            View::Job(job) => Some(job),
            View::Infer => self.infer.job(),
            View::Fleet | View::Workers | View::Devices => None,
        }
    }

    /// Whether a job is over, by the fleet's record or by its own stream.
    pub(crate) fn is_ended(&self, job: &JobId) -> bool {
        self.streams.job(job).is_some_and(|stream| stream.end.is_some())
            || self.fleet.jobs.get(job).is_some_and(|record| record.state.is_ended())
    }
}
