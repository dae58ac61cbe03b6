//! Whether a new worker may start, and with how many threads.
//!
//! Decided where all workers are known, one after the other, so that two who
//! ask at the same time cannot both be given the same memory or cores.

use protocol::{
    ApiError, ErrorCode,
    fleet::{DeviceKind, DeviceRecord, WorkerRecord},
};

use super::{
    Spec,
    cores::{self, TooFew},
};
use crate::devices::memory::{self, Resident, Room};

/// A worker that has not ended, as the decision sees it.
pub(crate) struct Neighbour<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) record: &'a WorkerRecord,
    /// Whether the device's own numbers contain what it holds.
    pub(crate) is_settled: bool,
}

impl Neighbour<'_> {
    fn promised(&self) -> u64 {
        if self.is_settled {
            return 0;
        }
        let needs = needs(self.spec);
        // What it has read so far is shown already; on a GPU nobody says.
        let shown = self.record.memory_bytes.filter(|_| self.spec.device.is_cpu()).unwrap_or(0);
        needs.saturating_sub(shown)
    }
}

/// A worker that may start.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) spec: Spec,
    /// What it gets of the cores; `None` on a GPU.
    pub(crate) cores: Option<String>,
    /// What the operator should know about it.
    pub(crate) remarks: Vec<String>,
}

/// Checks that `spec` has room beside `neighbours`, in this life as in every
/// other: what was free when it was first admitted may be somebody else's now.
pub(crate) fn has_room(
    spec: &Spec,
    device: &DeviceRecord,
    neighbours: &[Neighbour<'_>],
) -> Result<Room, ApiError> {
    if let Some(reason) = &device.unavailable {
        let message = format!("{} cannot be used: {reason}", device.id);
        return Err(ApiError::new(ErrorCode::Unavailable, message));
    }
    let there = neighbours.iter().filter(|it| it.spec.device == device.id);
    let residents: Vec<_> =
        there.map(|it| Resident { record: it.record, promised: it.promised() }).collect();
    memory::check(&spec.model, needs(spec), device, &residents)
}

/// Checks the memory and hands out threads: `spec.threads` if it names a number,
/// else no more than `threads_max`.
pub(crate) fn admit(
    spec: Spec,
    device: &DeviceRecord,
    neighbours: &[Neighbour<'_>],
    threads_max: Option<u32>,
) -> Result<Admitted, ApiError> {
    let mut remarks = vec![];
    if has_room(&spec, device, neighbours)? == Room::Unknown {
        let id = &device.id;
        remarks.push(format!("{id} does not say how much memory it has free; trying it"));
    }
    if device.kind != DeviceKind::Cpu {
        return Ok(Admitted { spec, cores: None, remarks });
    }
    let there: Vec<_> = neighbours.iter().filter(|it| it.spec.device == device.id).collect();
    let cores = device.cores.unwrap_or(1);
    let handed_out = there.iter().filter_map(|it| it.spec.threads).sum();
    let (model_bytes, threads) = (spec.model_bytes, spec.threads);
    let wish = cores::Wish { model_bytes, threads, usual_max: threads_max };
    let budget = cores::budget(wish, cores, handed_out)
        .map_err(|TooFew { free }| too_few_cores(&spec, cores, free, &there))?;
    if budget.is_shared {
        let holders = holders(&there);
        remarks.push(format!(
            "{} handed out already ({holders}): this worker shares one by time",
            all_cores(cores)
        ));
    }
    let threads = Some(budget.threads);
    let cores = format!("{} of {cores} cores, {} left", budget.threads, budget.left);
    Ok(Admitted { spec: Spec { threads, ..spec }, cores: Some(cores), remarks })
}

fn too_few_cores(spec: &Spec, cores: u32, free: u32, there: &[&Neighbour<'_>]) -> ApiError {
    let holders = holders(there);
    let message = match (spec.threads, free) {
        (Some(threads), 1..) => {
            let taken = if there.is_empty() { String::new() } else { format!(" ({holders})") };
            format!("{threads} threads were asked for, {free} of {cores} cores are free{taken}")
        }
        _ => format!("{} handed out ({holders})", all_cores(cores)),
    };
    ApiError::new(ErrorCode::SpawnFailed, message).with_hint(
        "delete a worker; or take fewer `threads`: 1 shares a core by time; or set \
         `worker_threads` under [hive] in config.toml, so that each new worker leaves cores to \
         the next",
    )
}

fn all_cores(cores: u32) -> String {
    if cores == 1 { "the one core is".to_owned() } else { format!("all {cores} cores are") }
}

/// `wk-1 has 2, wk-2 has 1`
fn holders(there: &[&Neighbour<'_>]) -> String {
    let holding = there.iter().filter_map(|it| Some((&it.spec.id, it.spec.threads?)));
    let named: Vec<_> = holding.map(|(id, threads)| format!("{id} has {threads}")).collect();
    named.join(", ")
}

fn needs(spec: &Spec) -> u64 {
    memory::estimate(spec.model_bytes, spec.slots, spec.context_length)
}

#[cfg(test)]
mod tests {
    use protocol::fleet::WorkerState;

    use super::*;
    use crate::{
        devices::choice::tests::{cpu, gpu},
        workers::launcher::tests::{launcher, spec},
    };

    const LARGE: u64 = 5_000_000_000;

    fn large(id: &str) -> Spec {
        Spec { id: id.parse().unwrap(), model_bytes: LARGE, slots: 1, threads: None, ..spec() }
    }

    fn record(spec: &Spec) -> WorkerRecord {
        launcher(std::path::Path::new("/r")).record(spec)
    }

    /// One more beside those that were admitted already.
    fn beside(admitted: &[Spec], spec: Spec, device: &DeviceRecord) -> Result<Admitted, ApiError> {
        let records: Vec<_> = admitted.iter().map(record).collect();
        let neighbours = admitted.iter().zip(&records);
        let neighbours: Vec<_> =
            neighbours.map(|(spec, record)| Neighbour { spec, record, is_settled: true }).collect();
        admit(spec, device, &neighbours, None)
    }

    #[test]
    fn threads_come_from_what_the_neighbours_left_and_come_back_when_they_go() {
        let device = cpu();
        let first = beside(&[], large("wk-1"), &device).unwrap();
        assert_eq!(first.spec.threads, Some(12));
        assert_eq!(first.cores.as_deref(), Some("12 of 16 cores, 4 left"));
        let second = beside(&[first.spec], large("wk-2"), &device).unwrap();
        assert_eq!(second.spec.threads, Some(3));
        assert_eq!(beside(&[], large("wk-3"), &device).unwrap().spec.threads, Some(12));
    }

    #[test]
    fn a_machine_without_a_free_core_says_who_has_them_and_what_would_help() {
        let device = DeviceRecord { cores: Some(2), ..cpu() };
        let first = [Spec { threads: Some(2), ..large("wk-1") }];
        let error = beside(&first, large("wk-2"), &device).unwrap_err();
        assert_eq!(error.message, "all 2 cores are handed out (wk-1 has 2)");
        assert!(error.hint.unwrap().contains("1 shares a core"));

        let many = Spec { threads: Some(3), ..large("wk-2") };
        let error = beside(&[], many, &device).unwrap_err();
        assert_eq!(error.message, "3 threads were asked for, 2 of 2 cores are free");

        let shares = Spec { threads: Some(1), ..large("wk-2") };
        let admitted = beside(&first, shares, &device).unwrap();
        assert_eq!(admitted.spec.threads, Some(1));
        let said =
            "all 2 cores are handed out already (wk-1 has 2): this worker shares one by time";
        assert!(admitted.remarks.iter().any(|it| it == said), "{admitted:?}");
    }

    #[test]
    fn a_device_that_is_lost_has_no_room_for_anybody() {
        let device = DeviceRecord { unavailable: Some("it fell off".to_owned()), ..gpu(0, 0) };
        let error = has_room(&large("wk-1"), &device, &[]).unwrap_err();
        assert_eq!(error.message, "GPU-0 cannot be used: it fell off");
    }

    #[test]
    fn a_worker_on_a_gpu_has_no_threads_and_counts_its_promise_until_it_is_settled() {
        let device = gpu(0, 129);
        let on_gpu = |id: &str| Spec { device: device.id.clone(), ..large(id) };
        let first = admit(on_gpu("wk-1"), &device, &[], None).unwrap();
        assert_eq!((first.spec.threads, first.remarks.len()), (None, 0));
        let mut shown = record(&first.spec);
        shown.state = WorkerState::Loading;
        let beside = |is_settled| {
            let neighbour = Neighbour { spec: &first.spec, record: &shown, is_settled };
            admit(on_gpu("wk-2"), &device, &[neighbour], None)
        };
        assert!(beside(false).unwrap_err().message.contains("promised"));
        assert!(beside(true).is_ok());
    }
}
