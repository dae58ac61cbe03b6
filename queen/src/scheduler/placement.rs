//! Which worker fits a request, and which of those is taken.

use std::collections::HashMap;

use protocol::{ApiError, DeviceId, ErrorCode, HiveId, ModelRef, WorkerId, suggest::nearest};

use super::Candidate;

/// What a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// This model.
    pub model: ModelRef,
    /// Only on this machine.
    pub hive_id: Option<HiveId>,
    /// Only by this worker.
    pub worker_id: Option<WorkerId>,
    /// Only on this device.
    pub device: Option<DeviceId>,
}

impl Want {
    fn fits(&self, candidate: &Candidate) -> bool {
        let record = &candidate.record;
        record.model == self.model
            && self.hive_id.as_ref().is_none_or(|id| *id == record.hive_id)
            && self.worker_id.as_ref().is_none_or(|id| *id == record.id)
            && self.device.as_ref().is_none_or(|id| *id == record.device)
    }

    /// Whether waiting makes sense: somebody who fits serves, or is on the
    /// way to it.
    pub fn could_be_served(&self, fleet: &[Candidate]) -> bool {
        fleet.iter().any(|candidate| {
            let coming = candidate.record.state.is_coming();
            self.fits(candidate) && (candidate.serving || coming)
        })
    }

    /// The error when nobody could: what is wrong with the request, and the
    /// command that makes a worker.
    pub(super) fn nobody(&self, fleet: &[Candidate]) -> ApiError {
        if let Some(id) = &self.worker_id {
            return self.not_this_worker(id, fleet);
        }
        let spawn = self.spawn_command();
        let running: Vec<&str> = fleet
            .iter()
            .filter(|candidate| candidate.serving)
            .map(|candidate| candidate.record.model.as_str())
            .collect();
        let place = match (&self.hive_id, &self.device) {
            (Some(hive), Some(device)) => format!(" on {device} of hive '{hive}'"),
            (Some(hive), None) => format!(" on hive '{hive}'"),
            (None, Some(device)) => format!(" on {device}"),
            (None, None) => String::new(),
        };
        let hint = match nearest(self.model.as_str(), running.iter().copied()) {
            Some(near) if near != self.model.as_str() => {
                format!("did you mean `{near}`? Otherwise: {spawn}")
            }
            _ => spawn,
        };
        let message = format!("no worker runs {}{place}", self.model);
        ApiError::new(ErrorCode::NoWorker, message).with_hint(hint)
    }

    fn not_this_worker(&self, id: &WorkerId, fleet: &[Candidate]) -> ApiError {
        match fleet.iter().find(|candidate| candidate.record.id == *id) {
            None => {
                let ids: Vec<&str> =
                    fleet.iter().map(|candidate| candidate.record.id.as_str()).collect();
                let hint = match nearest(id.as_str(), ids.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if ids.is_empty() => self.spawn_command(),
                    None => format!("workers: {}", ids.join(", ")),
                };
                ApiError::new(ErrorCode::WorkerNotFound, format!("no worker {id}")).with_hint(hint)
            }
            Some(candidate) => {
                let record = &candidate.record;
                let message = format!(
                    "worker {id} cannot take this: it runs {} on {} of hive '{}' and is {}",
                    record.model,
                    record.device,
                    record.hive_id,
                    record.state.as_str(),
                );
                ApiError::new(ErrorCode::NoWorker, message).with_hint(self.spawn_command())
            }
        }
    }

    fn spawn_command(&self) -> String {
        let mut command = format!("rbee-keeper worker spawn --model {}", self.model);
        if let Some(hive) = &self.hive_id {
            command.push_str(&format!(" --hive {hive}"));
        }
        if let Some(device) = &self.device {
            command.push_str(&format!(" --device {device}"));
        }
        command
    }
}

/// The worker that is waited for as long as nobody who fits serves: the first
/// by its id of those that are on the way to it.
pub(super) fn coming(want: &Want, fleet: &[Candidate]) -> Option<WorkerId> {
    let fitting = fleet.iter().filter(|candidate| want.fits(candidate));
    if fitting.clone().any(|candidate| candidate.serving) {
        return None;
    }
    let coming = fitting.filter(|candidate| candidate.record.state.is_coming());
    coming.map(|candidate| candidate.record.id.clone()).min()
}

/// The least busy worker with a free slot, if there is one. Equally busy ones
/// are taken in the order of their ids, so that the same fleet always gives
/// the same answer.
pub(super) fn choose(
    want: &Want,
    fleet: &[Candidate],
    reserved: &HashMap<WorkerId, u32>,
) -> Option<WorkerId> {
    fleet
        .iter()
        .filter(|candidate| candidate.serving && want.fits(candidate))
        .filter_map(|candidate| {
            let record = &candidate.record;
            let total = record.slots_total.unwrap_or(1).max(1);
            let taken = reserved.get(&record.id).copied().unwrap_or(0);
            // Compared as fractions without dividing.
            (taken < total).then_some((taken, total, &record.id))
        })
        .min_by(|a, b| {
            let (left, right) = (u64::from(a.0) * u64::from(b.1), u64::from(b.0) * u64::from(a.1));
            left.cmp(&right).then_with(|| a.2.cmp(b.2))
        })
        .map(|(_, _, id)| id.clone())
}
