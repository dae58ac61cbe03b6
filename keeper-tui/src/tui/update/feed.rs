//! What the queen's feed changes.

use std::time::Duration;

use protocol::{
    HiveId,
    fleet::{Change, FeedEvent, QueenRecord},
};

use super::{super::message::FeedNews, drill, lists, note, session, toast};
use crate::{
    text::one_line,
    tui::{
        state::{
            Model, Now, Toast,
            connection::{Connection, Outage, Wait},
            lists::ListName,
            totals::Totals,
        },
        theme::Tone,
    },
};

/// How long a queen who answers may stay silent before her silence means that
/// nothing changed.
const SYNC: Duration = Duration::from_secs(1);

/// Takes one piece of news in.
pub(super) fn news(model: &mut Model, news: FeedNews, now: Now) {
    match news {
        FeedNews::Connected => {
            let outage = outage(model);
            model.queen.connections += 1;
            model.queen.measure_at = Some(now.monotonic);
            model.queen.build = None;
            model.connection = Connection::Syncing { until: now.monotonic + SYNC, outage };
        }
        FeedNews::Event(event) => {
            apply(model, &event, now);
        }
        FeedNews::Disconnected { cause, attempt, retry_in } => {
            model.queen.failures += 1;
            note(model, "link", &cause, now);
            let wait = Wait {
                cause: one_line(&cause).into_owned(),
                attempt,
                retry_at: now.monotonic + retry_in,
            };
            model.connection = match (outage(model), &model.connection) {
                (Some(outage), _) => Connection::Lost(outage, wait),
                (None, Connection::Live) => {
                    Connection::Lost(Outage { since: now.monotonic, at: now.wall }, wait)
                }
                (None, _) => Connection::Unreached(wait),
            };
            record_everything(model, now);
        }
        FeedNews::Undecodable { name, error } => {
            note(model, "feed", &format!("`{name}` is not understood: {error}"), now);
            let text = format!("The queen sent a `{name}` that is not understood: {error}");
            toast(model, text, Tone::Warn, now);
        }
    }
}

fn outage(model: &Model) -> Option<Outage> {
    match &model.connection {
        Connection::Lost(outage, _) => Some(*outage),
        Connection::Syncing { outage, .. } => *outage,
        Connection::Connecting | Connection::Unreached(_) | Connection::Live => None,
    }
}

fn apply(model: &mut Model, event: &FeedEvent, now: Now) {
    match event {
        FeedEvent::Narration(narration) => {
            let hive = model.fleet.jobs.get(&narration.job_id).and_then(|it| it.hive_id.clone());
            model.streams.heard(&narration.job_id, hive, &narration.event);
        }
        // Tokens on the screen come from their job's own stream.
        FeedEvent::Token(_) => {}
        FeedEvent::Lagged => {
            toast(model, "Too slow for the feed: some narration was missed", Tone::Warn, now);
        }
        _ => {
            worker_changes(model, event);
            model.fleet.apply(event);
            model.models.heard(&model.fleet, event, now.monotonic);
            worker_changed(model, event, now);
            match event {
                FeedEvent::Snapshot(snapshot) => {
                    let is_first = !std::mem::replace(&mut model.is_known, true);
                    if is_first {
                        session::arrive(model);
                    }
                    model.totals = Totals::of(model.fleet.workers.values());
                    set_clock(model, snapshot.queen.as_ref(), now);
                    became_live(model, now);
                    record_everything(model, now);
                }
                FeedEvent::Queen(queen) => set_clock(model, Some(queen), now),
                FeedEvent::Hive(Change::Now(hive)) => {
                    record_hive(model, &hive.id, now);
                }
                FeedEvent::Device(Change::Now(device)) => {
                    let key = (device.hive_id.clone(), device.id.clone());
                    let value =
                        device.utilisation_percent.filter(|_| model.is_current(&device.hive_id));
                    model.histories.entry(key).or_default().record(now.monotonic, value);
                }
                _ => {}
            }
            settle(model, tables_of(event), now);
        }
    }
}

/// The tables whose rows an event is about.
fn tables_of(event: &FeedEvent) -> &'static [ListName] {
    match event {
        FeedEvent::Snapshot(_) => &ListName::ALL,
        FeedEvent::Hive(_) => &[ListName::Hives],
        FeedEvent::Worker(_) => &[ListName::Workers],
        FeedEvent::Device(_) => &[ListName::Devices],
        FeedEvent::Model(_) => &[ListName::Models],
        // A download is a job that makes a model.
        FeedEvent::Job(_) => &[ListName::Jobs, ListName::Models],
        FeedEvent::Queen(_) | FeedEvent::Narration(_) | FeedEvent::Token(_) | FeedEvent::Lagged => {
            &[]
        }
    }
}

/// Takes what is about to change out of the totals.
fn worker_changes(model: &mut Model, event: &FeedEvent) {
    let id = match event {
        FeedEvent::Worker(Change::Now(worker)) => Some(worker.id.clone()),
        FeedEvent::Worker(Change::Gone(gone)) => gone.id.parse().ok(),
        _ => None,
    };
    if let Some(before) = id.and_then(|id| model.fleet.workers.get(&id)) {
        model.totals.remove(before);
    }
}

/// Puts what has changed into the totals.
fn worker_changed(model: &mut Model, event: &FeedEvent, now: Now) {
    if let FeedEvent::Worker(Change::Now(worker)) = event {
        model.totals.add(worker);
        record_speed(model, &worker.hive_id, now);
    }
}

fn record_speed(model: &mut Model, hive: &HiveId, now: Now) {
    let speed = model.totals.crew(hive).speed().filter(|_| model.is_current(hive));
    model.speeds.entry(hive.clone()).or_default().record(now.monotonic, speed);
}

fn set_clock(model: &mut Model, queen: Option<&QueenRecord>, now: Now) {
    if let Some(queen) = queen {
        model.skew = queen.now.duration_since(now.wall);
    }
}

/// What is shown is what is.
pub(super) fn became_live(model: &mut Model, now: Now) {
    if let Some(outage) = outage(model) {
        let away = now.monotonic.saturating_sub(outage.since).as_secs();
        let text = format!("The queen is back after {away} s");
        toast(model, text, Tone::Good, now);
    } else if !model.connection.is_live() && model.ui.toast.is_none() {
        let text = "Connected".to_owned();
        let until = now.monotonic + Duration::from_secs(2);
        model.ui.toast = Some(Toast { text, tone: Tone::Good, until });
    }
    model.connection = Connection::Live;
    model.launch = None;
    if model.worker_log.as_ref().is_some_and(|it| it.broken.is_some()) {
        model.worker_log = None;
    }
    model.streams.mend();
    record_everything(model, now);
}

/// Notes how busy each device is, or that nobody knows.
fn record_everything(model: &mut Model, now: Now) {
    let hives: Vec<HiveId> = model.fleet.hives.keys().cloned().collect();
    for hive in hives {
        record_hive(model, &hive, now);
    }
    model.histories.retain(|key, _| model.fleet.devices.contains_key(key));
    model.speeds.retain(|hive, _| model.fleet.hives.contains_key(hive));
}

fn record_hive(model: &mut Model, hive: &HiveId, now: Now) {
    record_speed(model, hive, now);
    let current = model.is_current(hive);
    for (key, device) in &model.fleet.devices {
        if key.0 == *hive {
            let value = device.utilisation_percent.filter(|_| current);
            model.histories.entry(key.clone()).or_default().record(now.monotonic, value);
        }
    }
}

/// Keeps what is selected and marked on something that exists.
fn settle(model: &mut Model, tables: &[ListName], now: Now) {
    lists::changed(model, tables);
    match drill::settle(model, tables) {
        0 => {}
        1 => toast(model, "What was marked is no more; its mark is gone", Tone::Warn, now),
        n => {
            let text = format!("{n} marks were on what is no more, and are gone");
            toast(model, text, Tone::Warn, now);
        }
    }
}
