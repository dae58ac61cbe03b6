//! Whether news changes what is on the screen, or only what counts into its
//! sums: in a fleet of thousands nearly all of it is about rows that nobody
//! sees, and a frame for each would be a frame for nothing.

use protocol::fleet::{Change, FeedEvent, Gone};

use crate::tui::{
    message::{FeedNews, Message},
    sizes::is_tiny,
    state::{Model, View},
};

/// Whether it is shown at once. What is not certain is taken for seen.
pub(crate) fn is_seen(model: &Model, message: &Message) -> bool {
    let Message::Feed(FeedNews::Event(event)) = message else { return true };
    // There the rows are not noted as they are drawn.
    if is_tiny(model.size) {
        return true;
    }
    let ui = &model.ui;
    match &**event {
        FeedEvent::Hive(change) => {
            let id = match change {
                Change::Now(hive) => Some(hive.id.clone()),
                Change::Gone(gone) => gone.id.parse().ok(),
            };
            id.is_none_or(|id| match &ui.view {
                View::Hive(open, _) => *open == id,
                View::Fleet => ui.hives.is_seen(&id),
                _ => true,
            })
        }
        FeedEvent::Worker(change) => {
            let id = match change {
                Change::Now(worker) => Some(worker.id.clone()),
                Change::Gone(gone) => gone.id.parse().ok(),
            };
            let hive = match change {
                Change::Now(worker) => Some(&worker.hive_id),
                Change::Gone(_) => {
                    let known = id.as_ref().and_then(|id| model.fleet.workers.get(id));
                    known.map(|worker| &worker.hive_id)
                }
            };
            let Some((id, hive)) = id.zip(hive) else { return true };
            match &ui.view {
                View::Fleet => ui.hives.is_seen(hive),
                View::Hive(open, _) | View::Device(open, _) => open == hive,
                View::Workers => ui.workers.is_seen(&id),
                View::Worker(open) => *open == id,
                View::Devices => ui.devices.seen_any(|(on, _)| on == hive),
                View::Models | View::Jobs | View::Job(_) | View::Events | View::Queen => false,
                View::Infer => true,
            }
        }
        FeedEvent::Device(change) => {
            let key = match change {
                Change::Now(device) => Some((device.hive_id.clone(), device.id.clone())),
                Change::Gone(Gone { id, hive_id, .. }) => hive_id.clone().zip(id.parse().ok()),
            };
            key.is_none_or(|key| match &ui.view {
                View::Fleet => ui.hives.is_seen(&key.0),
                View::Hive(open, _) => *open == key.0,
                View::Devices => ui.devices.is_seen(&key),
                View::Device(hive, device) => (hive, device) == (&key.0, &key.1),
                View::Workers | View::Worker(_) | View::Jobs | View::Job(_) => false,
                View::Models | View::Events | View::Queen => false,
                View::Infer => true,
            })
        }
        FeedEvent::Model(change) => {
            let key = match change {
                Change::Now(it) => Some((it.id.clone(), it.hive_id.clone())),
                Change::Gone(Gone { id, hive_id, .. }) => id.parse().ok().zip(hive_id.clone()),
            };
            key.is_none_or(|key| match &ui.view {
                View::Fleet => ui.hives.is_seen(&key.1),
                View::Hive(open, _) => *open == key.1,
                // Beside the list is every machine that has the selected one.
                View::Models => {
                    ui.models.is_seen(&key) || ui.models.id().is_some_and(|it| it.0 == key.0)
                }
                View::Infer => true,
                _ => false,
            })
        }
        _ => true,
    }
}
