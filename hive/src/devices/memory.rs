//! Whether a model fits into what a device has free.
//!
//! What is free is what the device says itself, so other people's processes
//! count. What is promised to workers that still load is not free any more,
//! although the device does not show it yet. Unknown stays unknown: a device
//! that does not say what it has is not a full one.

use protocol::{
    ApiError, ErrorCode, ModelRef, WorkerId,
    fleet::{DeviceKind, DeviceRecord, WorkerRecord},
};

use super::choice;
use crate::size::exact_size as size;

/// The engine holds no more in a slot, whatever the model was made for.
const CONTEXT_MAX: u32 = 4096;
/// Bytes per token and root of a byte; see [`estimate`].
const KV_FACTOR: u64 = 4;
/// More names do not help a person to choose.
const NAMED_MAX: usize = 4;

/// What a worker will hold, as far as the size of its model's file tells:
///
/// ```text
/// file × 1.2  +  slots × context × 4 × √file
/// ```
///
/// The fifth is for activations, the tokenizer and weights that are kept
/// in another form than in the file. The second term is the context's keys and
/// values: they grow with layers times width, which is close to the root of
/// the size. It gives 270 KB per token for an 8 B model of 4.7 GB (262 KB in
/// truth) and 800 KB for a 70 B one of 40 GB (655 KB).
pub(crate) fn estimate(model_bytes: u64, slots: u32, context_length: Option<u32>) -> u64 {
    let tokens =
        u64::from(slots) * u64::from(context_length.unwrap_or(CONTEXT_MAX).min(CONTEXT_MAX));
    let per_token = KV_FACTOR * model_bytes.isqrt();
    let weights = model_bytes.saturating_add(model_bytes / 5);
    weights.saturating_add(tokens.saturating_mul(per_token))
}

/// A worker on the device.
#[derive(Debug, Clone)]
pub(crate) struct Resident<'a> {
    pub(crate) record: &'a WorkerRecord,
    /// What it will hold and the device does not show yet.
    pub(crate) promised: u64,
}

/// What is known of the room for a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// There is enough.
    Enough { free: u64 },
    /// The device does not say what it has free.
    Unknown,
}

/// Checks that `needs` bytes fit beside the `residents` of `device`.
pub(crate) fn check(
    model: &ModelRef,
    needs: u64,
    device: &DeviceRecord,
    residents: &[Resident<'_>],
) -> Result<Room, ApiError> {
    let Some(shown) = choice::free_bytes(device) else { return Ok(Room::Unknown) };
    let promised: u64 = residents.iter().map(|it| it.promised).sum();
    let free = shown.saturating_sub(promised);
    if needs <= free {
        return Ok(Room::Enough { free });
    }
    let mut message =
        format!("{model} needs {}, {} free on {}", size(needs), size(free), device.id);
    if promised > 0 {
        let promised = size(promised);
        message.push_str(&format!(" ({promised} more are promised to workers that still load)"));
    }
    Err(ApiError::new(ErrorCode::SpawnFailed, message).with_hint(hint(device, residents)))
}

/// What could go to make room.
fn hint(device: &DeviceRecord, residents: &[Resident<'_>]) -> String {
    let ours = largest(residents.iter().map(|resident| {
        let held = held_on(device, &resident.record.id);
        let bytes = held.or(resident.record.memory_bytes);
        (bytes, resident.record.id.to_string())
    }));
    let processes = device.processes.iter().flatten();
    let others = largest(processes.filter(|it| it.worker_id.is_none()).map(|it| {
        let name = it.name.as_deref().unwrap_or("a process");
        (it.memory_bytes, format!("{name} (pid {})", it.pid))
    }));
    let mut ways = vec![];
    if !ours.is_empty() {
        ways.push(format!("delete a worker there: {}", ours.join(", ")));
    }
    if !others.is_empty() {
        ways.push(format!("end what is not rbee's: {}", others.join(", ")));
    }
    ways.push("take a smaller model, fewer slots or a shorter context".to_owned());
    ways.join("; or ")
}

/// What the driver says that a worker of ours holds on a GPU.
fn held_on(device: &DeviceRecord, id: &WorkerId) -> Option<u64> {
    if device.kind == DeviceKind::Cpu {
        return None;
    }
    let processes = device.processes.iter().flatten();
    processes.filter(|it| it.worker_id.as_ref() == Some(id)).find_map(|it| it.memory_bytes)
}

fn largest(named: impl Iterator<Item = (Option<u64>, String)>) -> Vec<String> {
    let mut named: Vec<_> = named.collect();
    named.sort_by(|a, b| b.cmp(a));
    let shown = named.into_iter().take(NAMED_MAX).map(|(bytes, name)| match bytes {
        Some(bytes) => format!("{name} {}", size(bytes)),
        None => name,
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::fleet::DeviceProcess;

    use super::*;
    use crate::size::{GIB, MIB};
    use crate::{
        devices::choice::tests::{cpu, gpu},
        workers::launcher::tests::{launcher, spec},
    };

    fn worker(id: &str, memory_bytes: Option<u64>) -> WorkerRecord {
        let record = launcher(std::path::Path::new("/r")).record(&spec());
        WorkerRecord { id: id.parse().unwrap(), memory_bytes, ..record }
    }

    fn model() -> ModelRef {
        "org/repo:Q4_K_M".parse().unwrap()
    }

    #[test]
    fn the_estimate_is_the_file_a_fifth_more_and_the_context() {
        let llama_8b = 4_700_000_000;
        assert_eq!(estimate(llama_8b, 0, None), 5_640_000_000);
        let per_token = estimate(llama_8b, 1, Some(1)) - estimate(llama_8b, 0, None);
        assert!((250_000..300_000).contains(&per_token), "{per_token}");
        assert!(estimate(3_000_000, 1, Some(256)) < 8 * MIB, "the demo model");
    }

    #[test]
    fn a_model_that_does_not_fit_is_refused_with_what_could_go() {
        let mut device = gpu(0, 134);
        let process = |pid, name: &str, gib: u64, worker_id: Option<&str>| DeviceProcess {
            pid,
            name: Some(name.to_owned()),
            memory_bytes: Some(gib * GIB),
            worker_id: worker_id.map(|id| id.parse().unwrap()),
        };
        device.processes = Some(vec![
            process(10, "llm-worker-rbee-cuda", 14, Some("wk-1")),
            process(20, "python3", 120, None),
        ]);
        let record = worker("wk-1", Some(GIB));
        let residents = [Resident { record: &record, promised: 0 }];
        let error = check(&model(), 9 * GIB + 100 * MIB, &device, &residents).unwrap_err();
        assert_eq!(error.code, ErrorCode::SpawnFailed);
        assert_eq!(error.message, "org/repo:Q4_K_M needs 9.1 GiB, 5.0 GiB free on GPU-0");
        assert_eq!(
            error.hint.unwrap(),
            "delete a worker there: wk-1 14.0 GiB; or end what is not rbee's: python3 (pid 20) \
             120.0 GiB; or take a smaller model, fewer slots or a shorter context"
        );
    }

    #[test]
    fn what_is_promised_to_a_worker_that_loads_is_not_free() {
        let device = gpu(0, 130);
        let record = worker("wk-1", None);
        let promised = |bytes| [Resident { record: &record, promised: bytes }];
        let room = check(&model(), 6 * GIB, &device, &promised(3 * GIB)).unwrap();
        assert_eq!(room, Room::Enough { free: 6 * GIB });
        let error = check(&model(), 6 * GIB, &device, &promised(4 * GIB)).unwrap_err();
        assert!(error.message.contains("(4.0 GiB more are promised"), "{error}");
    }

    #[test]
    fn a_device_that_does_not_say_what_it_has_is_tried() {
        assert_eq!(check(&model(), u64::MAX, &cpu(), &[]), Ok(Room::Unknown));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_admitted_never_sums_up_to_more_than_was_free(
            used_gib in 0..139_u64, sizes in prop::collection::vec(0..60 * GIB, 0..30)
        ) {
            let device = gpu(0, used_gib);
            let record = worker("wk-1", None);
            let mut admitted: Vec<u64> = vec![];
            for size in sizes {
                let residents: Vec<_> = admitted
                    .iter()
                    .map(|bytes| Resident { record: &record, promised: *bytes })
                    .collect();
                if check(&model(), size, &device, &residents).is_ok() {
                    admitted.push(size);
                }
            }
            prop_assert!(admitted.iter().sum::<u64>() <= (139 - used_gib) * GIB);
        }
    }
}
