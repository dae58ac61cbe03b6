//! Everything the dashboard knows. Only [`update`](super::update) writes it;
//! drawing reads it and notes no more than how large things came out.

pub(crate) mod connection;
pub(crate) mod deeds;
pub(crate) mod dialog;
pub(crate) mod filter;
pub(crate) mod history;
pub(crate) mod infer;
pub(crate) mod line;
pub(crate) mod lists;
pub(crate) mod log;
pub(crate) mod machines;
pub(crate) mod models;
pub(crate) mod needle;
pub(crate) mod queen;
pub(crate) mod reading;
pub(crate) mod rows;
pub(crate) mod sampling;
pub(crate) mod selection;
pub(crate) mod skew;
pub(crate) mod spots;
pub(crate) mod streams;
pub(crate) mod totals;
pub(crate) mod views;
pub(crate) mod window;
pub(crate) mod worker_log;
pub(crate) mod wrap;

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::{SignedDuration, tz::TimeZone};
use protocol::{
    DeviceId, HiveId, JobId, ModelRef, Timestamp, WorkerId,
    fleet::{Fleet, HiveState},
};
use ratatui::layout::Rect;

pub(crate) use self::views::{HiveTab, Pane, View};
use self::{
    connection::Connection,
    deeds::Deeds,
    dialog::Dialog,
    history::History,
    infer::Infer,
    lists::Undo,
    machines::Hosts,
    models::Models,
    queen::Queen,
    reading::{Ask, Windows},
    selection::Selection,
    spots::Spots,
    streams::Streams,
    totals::Totals,
    worker_log::WorkerLog,
};
use super::{
    keymap::{Action, Keymap},
    theme::{Theme, Tone},
};

/// What time it is, for deciding and for showing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Now {
    /// Since the dashboard began; never goes back.
    pub(crate) monotonic: Duration,
    /// The time of day.
    pub(crate) wall: Timestamp,
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
    /// Until then rows stay in their places.
    pub(crate) held_until: Duration,
    /// What `z` brings back, the newest last.
    pub(crate) undo: Vec<Undo>,
    /// What was run in the palette, the newest last.
    pub(crate) palette_history: Vec<String>,
    /// What is in front.
    pub(crate) dialog: Option<Dialog>,
    /// The line that goes away.
    pub(crate) toast: Option<Toast>,
    /// The mouse is the dashboard's.
    pub(crate) mouse: bool,
    /// What the last frame shows where.
    pub(crate) spots: Spots,
    /// The first half of a letter typed twice; the second is awaited.
    pub(crate) half: Option<char>,
    /// Selected machine.
    pub(crate) hives: Selection<HiveId>,
    /// Selected worker.
    pub(crate) workers: Selection<WorkerId>,
    /// Selected device.
    pub(crate) devices: Selection<(HiveId, DeviceId)>,
    /// Selected job.
    pub(crate) jobs: Selection<JobId>,
    /// Selected model, and the machine it is on.
    pub(crate) models: Selection<(ModelRef, HiveId)>,
    /// Windows on everything that is read.
    pub(crate) windows: Windows,
    /// A word that is being typed in the status line.
    pub(crate) ask: Option<Ask>,
    /// The focused pane has the whole screen.
    pub(crate) full: bool,
    /// The views one came through, the nearest last.
    pub(crate) trail: Vec<View>,
    /// The view before this one.
    pub(crate) last_view: Option<View>,
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
            held_until: Duration::ZERO,
            undo: Vec::new(),
            palette_history: Vec::new(),
            dialog: None,
            toast: None,
            mouse: false,
            spots: Spots::default(),
            half: None,
            hives: Selection::default(),
            workers: Selection::default(),
            devices: Selection::default(),
            jobs: Selection::newest_first(),
            models: Selection::default(),
            windows: Windows::default(),
            ask: None,
            full: false,
            trail: Vec::new(),
            last_view: None,
            read: BTreeSet::new(),
        }
    }
}

impl Ui {
    /// A frame begins: no table is drawn yet.
    pub(crate) fn forget_areas(&self) {
        let areas = [
            &self.hives.area,
            &self.workers.area,
            &self.devices.area,
            &self.jobs.area,
            &self.models.area,
        ];
        areas.into_iter().for_each(|area| area.set(Rect::default()));
    }

    /// Where going back leads; nowhere from the root.
    pub(crate) fn parent(&self) -> Option<View> {
        match self.trail.last() {
            Some(view) => Some(view.clone()),
            None => (self.view != View::Fleet).then_some(View::Fleet),
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
    /// The version of this program.
    pub(crate) version: String,
    /// Where the queen is looked for.
    pub(crate) address: String,
    /// Who speaks.
    pub(crate) source: Source,
    /// What the terminal can show.
    pub(crate) theme: Theme,
    /// What keys do.
    pub(crate) keymap: Keymap,
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
    /// What its workers come to, machine by machine.
    pub(crate) totals: Totals,
    /// How busy each device was lately.
    pub(crate) histories: BTreeMap<(HiveId, DeviceId), History>,
    /// How fast each machine generated lately.
    pub(crate) speeds: BTreeMap<HiveId, History>,
    /// Models on the disks of the fleet.
    pub(crate) models: Models,
    /// Machines that could be added to it.
    pub(crate) hosts: Hosts,
    /// What is known about the queen and the way to her.
    pub(crate) queen: Queen,
    /// The log of the one worker on the screen.
    pub(crate) worker_log: Option<WorkerLog>,
    /// What jobs say and generate.
    pub(crate) streams: Streams,
    /// Jobs whose streams are being read.
    pub(crate) following: BTreeSet<JobId>,
    /// What was done from here.
    pub(crate) deeds: Deeds,
    /// How command lines begin that reach the same queen.
    pub(crate) program: String,
    /// Nothing is done from here, only looked at.
    pub(crate) is_read_only: bool,
    /// The terminal is believed to put text into the clipboard.
    pub(crate) can_copy: bool,
    /// The prompt and its answer.
    pub(crate) infer: Infer,
    /// What is on the screen.
    pub(crate) ui: Ui,
}

impl Model {
    /// A dashboard that knows nothing yet.
    pub(crate) fn new(address: String, theme: Theme, zone: TimeZone, size: (u16, u16)) -> Self {
        let mut model = Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            address,
            source: Source::default(),
            theme,
            keymap: Keymap::default(),
            zone,
            size,
            connection: Connection::Connecting,
            launch: None,
            is_known: false,
            skew: SignedDuration::ZERO,
            fleet: Fleet::default(),
            totals: Totals::default(),
            histories: BTreeMap::new(),
            speeds: BTreeMap::new(),
            models: Models::default(),
            hosts: Hosts::default(),
            queen: Queen::default(),
            worker_log: None,
            streams: Streams::default(),
            following: BTreeSet::new(),
            deeds: Deeds::default(),
            program: "rbee-keeper".to_owned(),
            is_read_only: false,
            can_copy: true,
            infer: Infer::default(),
            ui: Ui::default(),
        };
        model.set_keymap(Keymap::default());
        model
    }

    /// Keys mean this from now on.
    pub(crate) fn set_keymap(&mut self, keymap: Keymap) {
        let clears = keymap.label(Action::Escape);
        let ui = &mut self.ui;
        ui.hives.clears.clone_from(&clears);
        ui.workers.clears.clone_from(&clears);
        ui.devices.clears.clone_from(&clears);
        ui.models.clears.clone_from(&clears);
        ui.jobs.clears = clears;
        self.keymap = keymap;
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

    /// The job that `x` is about.
    pub(crate) fn job_in_view(&self) -> Option<&JobId> {
        match &self.ui.view {
            View::Jobs => self.ui.jobs.id(),
            View::Job(job) => Some(job),
            View::Infer if self.ui.focus == Pane::Second => self.infer.second_job(),
            View::Infer => self.infer.job(),
            View::Hive(_, HiveTab::Jobs) => self.ui.jobs.id(),
            View::Fleet
            | View::Hive(..)
            | View::Workers
            | View::Worker(_)
            | View::Devices
            | View::Device(..)
            | View::Models
            | View::Events
            | View::Queen => None,
        }
    }

    /// The job on the screen, if its stream broke off.
    pub(crate) fn detached_job(&self) -> Option<&JobId> {
        let is_open = matches!(self.ui.view, View::Job(_) | View::Infer);
        let job = self.job_in_view().filter(|_| is_open)?;
        self.streams.job(job)?.broken.as_ref().map(|_| job)
    }

    /// Whether a job is over, by the fleet's record or by its own stream.
    pub(crate) fn is_ended(&self, job: &JobId) -> bool {
        self.streams.job(job).is_some_and(|stream| stream.end.is_some())
            || self.fleet.jobs.get(job).is_some_and(|record| record.state.is_ended())
    }
}
