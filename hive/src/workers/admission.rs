//! Whether a new worker may start, and with how many threads.
//!
//! Decided where all workers are known, one after the other, so that two who
//! ask at the same time cannot both be given the same memory or cores.

use protocol::{
    ApiError,
    fleet::{DeviceKind, DeviceRecord, WorkerRecord},
};

use super::{Spec, cores};
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
    /// What the operator should know about it.
    pub(crate) remarks: Vec<String>,
}

/// Checks the memory and hands out threads.
pub(crate) fn admit(
    spec: Spec,
    device: &DeviceRecord,
    neighbours: &[Neighbour<'_>],
) -> Result<Admitted, ApiError> {
    let there: Vec<_> = neighbours.iter().filter(|it| it.spec.device == device.id).collect();
    let residents: Vec<_> =
        there.iter().map(|it| Resident { record: it.record, promised: it.promised() }).collect();
    let mut remarks = vec![];
    if memory::check(&spec.model, needs(&spec), device, &residents)? == Room::Unknown {
        let id = &device.id;
        remarks.push(format!("{id} does not say how much memory it has free; trying it"));
    }
    let threads = (device.kind == DeviceKind::Cpu).then(|| {
        let cores = device.cores.unwrap_or(1);
        let handed_out = there.iter().filter_map(|it| it.spec.threads).sum();
        let budget = cores::budget(spec.model_bytes, cores, handed_out);
        if budget.is_oversold {
            remarks.push(format!(
                "all {cores} cores are handed out already: the workers on {} slow each other down",
                device.id
            ));
        }
        budget.threads
    });
    Ok(Admitted { spec: Spec { threads, ..spec }, remarks })
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

    #[test]
    fn threads_come_from_what_the_neighbours_left_and_come_back_when_they_go() {
        let device = cpu();
        let first = admit(large("wk-1"), &device, &[]).unwrap().spec;
        assert_eq!(first.threads, Some(8));
        let shown = record(&first);
        let neighbour = Neighbour { spec: &first, record: &shown, is_settled: true };
        assert_eq!(admit(large("wk-2"), &device, &[neighbour]).unwrap().spec.threads, Some(4));
        assert_eq!(admit(large("wk-3"), &device, &[]).unwrap().spec.threads, Some(8));
    }

    #[test]
    fn a_worker_too_many_is_told_about() {
        let device = DeviceRecord { cores: Some(1), ..cpu() };
        let first = Spec { threads: Some(1), ..large("wk-1") };
        let shown = record(&first);
        let neighbour = Neighbour { spec: &first, record: &shown, is_settled: true };
        let admitted = admit(large("wk-2"), &device, &[neighbour]).unwrap();
        assert_eq!(admitted.spec.threads, Some(1));
        assert!(admitted.remarks.iter().any(|it| it.contains("all 1 cores")), "{admitted:?}");
    }

    #[test]
    fn a_worker_on_a_gpu_has_no_threads_and_counts_its_promise_until_it_is_settled() {
        let device = gpu(0, 129);
        let on_gpu = |id: &str| Spec { device: device.id.clone(), ..large(id) };
        let first = admit(on_gpu("wk-1"), &device, &[]).unwrap();
        assert_eq!((first.spec.threads, first.remarks.len()), (None, 0));
        let mut shown = record(&first.spec);
        shown.state = WorkerState::Loading;
        let beside = |is_settled| {
            let neighbour = Neighbour { spec: &first.spec, record: &shown, is_settled };
            admit(on_gpu("wk-2"), &device, &[neighbour])
        };
        assert!(beside(false).unwrap_err().message.contains("promised"));
        assert!(beside(true).is_ok());
    }
}
