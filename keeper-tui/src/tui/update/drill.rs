//! Which view is on the screen, and how one came there.

use protocol::{HiveId, ModelRef, WorkerId};

use super::{lists, reading};
use crate::tui::state::{
    HiveTab, Model, Now, Pane, View,
    lists::{ListName, with_list},
    reading::Reading,
};

/// How far the way back is remembered.
const TRAIL: usize = 8;

/// Shows a view of its own; back leads to the root.
pub(super) fn jump(model: &mut Model, view: View, now: Now) {
    model.ui.trail.clear();
    show(model, view, now);
}

/// Shows a view from within another, which is where back leads.
pub(super) fn deeper(model: &mut Model, view: View, now: Now) {
    let from = model.ui.view.clone();
    if from == view {
        return;
    }
    model.ui.trail.push(from);
    if model.ui.trail.len() > TRAIL {
        model.ui.trail.remove(0);
    }
    show(model, view, now);
}

/// Puts a view on the screen, with the focus on its first pane.
fn show(model: &mut Model, view: View, now: Now) {
    if let View::Job(job) = &view {
        model.ui.read.insert(job.clone());
    }
    if model.ui.view != view {
        model.ui.windows.begin();
        model.ui.last_view = Some(std::mem::replace(&mut model.ui.view, view));
        model.ui.full = false;
    }
    model.ui.focus = model.ui.view.panes().first().copied().unwrap_or(Pane::List);
    model.ui.view_since = now.monotonic;
    lists::narrow(model);
    settle(model, &ListName::ALL);
}

/// To the view before this one.
pub(super) fn last(model: &mut Model, now: Now) {
    if let Some(view) = model.ui.last_view.clone() {
        jump(model, view, now);
    }
}

/// One step back; `false` at the root.
pub(super) fn back(model: &mut Model, now: Now) -> bool {
    if reading::back_out(model) {
        return true;
    }
    match model.ui.parent() {
        Some(parent) => {
            model.ui.trail.pop();
            show(model, parent, now);
            true
        }
        None => false,
    }
}

/// To the neighbouring tab of a machine.
pub(super) fn turn_tab(model: &mut Model, by: isize, now: Now) {
    if let View::Hive(hive, tab) = &model.ui.view {
        let view = View::Hive(hive.clone(), tab.turned(by));
        beside(model, view, now);
    }
}

/// Shows another part of the same thing.
pub(super) fn beside(model: &mut Model, view: View, now: Now) {
    let last = model.ui.last_view.clone();
    show(model, view, now);
    model.ui.last_view = last;
}

/// Deeper into what is selected.
pub(super) fn open(model: &mut Model, now: Now) {
    let ui = &model.ui;
    let view = match &ui.view {
        View::Fleet => ui.hives.id().map(|hive| View::Hive(hive.clone(), HiveTab::Overview)),
        View::Workers | View::Hive(_, HiveTab::Workers) => {
            ui.workers.id().map(|worker| View::Worker(worker.clone()))
        }
        View::Devices | View::Hive(_, HiveTab::Devices) => {
            ui.devices.id().map(|(hive, device)| View::Device(hive.clone(), device.clone()))
        }
        View::Jobs | View::Hive(_, HiveTab::Jobs) => ui.jobs.id().map(|job| View::Job(job.clone())),
        View::Models | View::Hive(_, HiveTab::Models) => {
            ui.models.id().and_then(|key| user_of(model, key)).map(View::Worker)
        }
        View::Events => marked_job(model),
        View::Device(hive, device) => {
            let device = model.fleet.devices.get(&(hive.clone(), device.clone()));
            let users = device.and_then(|it| it.processes.as_ref()).into_iter().flatten();
            users.filter_map(|it| it.worker_id.clone()).next().map(View::Worker)
        }
        View::Hive(..) | View::Worker(_) | View::Job(_) | View::Infer | View::Queen => None,
    };
    if let Some(view) = view {
        deeper(model, view, now);
    }
}

/// To what is said about the selected machine.
pub(super) fn open_log(model: &mut Model, now: Now) {
    if let Some(hive) = model.ui.hives.id().cloned() {
        deeper(model, View::Hive(hive, HiveTab::Log), now);
    }
}

/// The worker that runs a model on a machine.
fn user_of(model: &Model, (id, hive): &(ModelRef, HiveId)) -> Option<WorkerId> {
    let record = model.fleet.models.get(&(hive.clone(), id.clone()))?;
    record.used_by.iter().find(|it| model.fleet.workers.contains_key(*it)).cloned()
}

/// The job that says the marked line.
fn marked_job(model: &Model) -> Option<View> {
    let log = model.log(Reading::Events)?;
    let window = model.ui.windows.on(Reading::Events);
    let newest = window.cursor.unwrap_or(u64::MAX);
    let shown = |entry: &_| model.shows(Reading::Events, entry);
    let (_, entry) = log.back_from(newest).find(|(_, entry)| shown(entry))?;
    entry.said.job.clone().map(View::Job)
}

/// Keeps what is selected and marked in these tables on something that exists.
/// The answer is how many marks were taken away.
pub(super) fn settle(model: &mut Model, names: &[ListName]) -> usize {
    let dropped = lists::settle(model, names);
    if !names.contains(&ListName::Jobs) {
        return dropped;
    }
    let (fleet, ui) = (&model.fleet, &mut model.ui);
    ui.read.retain(|job| {
        fleet.jobs.contains_key(job) || matches!(&ui.view, View::Job(open) if open == job)
    });
    dropped
}

/// Moves the selection of the list on the screen.
pub(super) fn step(model: &mut Model, by: i64) {
    let Some(name) = model.list_in_view() else { return };
    let before = model.ui.hives.id().cloned();
    with_list!(model, name, |list, records| list.step(records, by));
    if before.as_ref() != model.ui.hives.id() {
        model.ui.windows.on_mut(Reading::Fleet).follow();
    }
}
