//! Which device a new worker runs on. Decides; asks and starts nothing.

use protocol::{
    ApiError, DeviceId, ErrorCode, HiveId,
    fleet::{DeviceKind, DeviceRecord},
    operation::{DeviceSelector, EngineKind},
};

use crate::size::size;

/// What the spawn asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    pub(crate) device: Option<DeviceSelector>,
    pub(crate) engine: Option<EngineKind>,
    /// What the model takes on a GPU, as far as its file tells.
    pub(crate) memory_bytes: u64,
}

/// What it gets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Choice {
    pub(crate) device: DeviceRecord,
    /// Why this one, for a person.
    pub(crate) why: String,
}

/// Chooses among `devices` of the hive `hive_id`; `has_cuda_worker` says
/// whether this installation can run a model on a GPU at all.
pub(crate) fn choose(
    devices: &[DeviceRecord],
    hive_id: &HiveId,
    has_cuda_worker: bool,
    wish: &Wish,
) -> Result<Choice, ApiError> {
    let kind = wish.engine.map(kind_of).transpose()?;
    match &wish.device {
        Some(DeviceSelector::Id(id)) => {
            let device = find(devices, hive_id, |it| it.id == *id, id.as_str())?;
            if kind.is_some_and(|kind| kind != device.kind) {
                let engine = engine_name(device.kind);
                return Err(ApiError::new(
                    ErrorCode::InvalidField,
                    format!("field `worker`: {id} needs the engine `{engine}`"),
                )
                .with_hint("leave `worker` out, or name a device of its kind"));
            }
            usable(device, has_cuda_worker)?;
            Ok(Choice { device: device.clone(), why: "as asked".to_owned() })
        }
        Some(DeviceSelector::Index(index)) => {
            let kind = kind.unwrap_or_else(|| {
                if best_gpu(devices, has_cuda_worker, 0).is_some() {
                    DeviceKind::Gpu
                } else {
                    DeviceKind::Cpu
                }
            });
            let id = match kind {
                DeviceKind::Gpu => DeviceId::gpu(*index),
                DeviceKind::Cpu => return nth_cpu(devices, hive_id, *index),
            };
            let device = find(devices, hive_id, |it| it.id == id, id.as_str())?;
            usable(device, has_cuda_worker)?;
            Ok(Choice { device: device.clone(), why: format!("index {index} as asked") })
        }
        None => choose_best(devices, hive_id, has_cuda_worker, kind, wish.memory_bytes),
    }
}

/// Whether `selector` can mean a device here; what a request is refused for
/// before anything is done.
pub(crate) fn check(
    devices: &[DeviceRecord],
    hive_id: &HiveId,
    selector: &DeviceSelector,
) -> Result<(), ApiError> {
    match selector {
        DeviceSelector::Id(id) => {
            find(devices, hive_id, |it| it.id == *id, id.as_str()).map(|_| ())
        }
        DeviceSelector::Index(_) => Ok(()),
    }
}

fn nth_cpu(devices: &[DeviceRecord], hive_id: &HiveId, index: u32) -> Result<Choice, ApiError> {
    let id = format!("CPU-{index}");
    let device = find(devices, hive_id, |it| it.id.as_str() == id, &id)?;
    Ok(Choice { device: device.clone(), why: format!("index {index} as asked") })
}

fn choose_best(
    devices: &[DeviceRecord],
    hive_id: &HiveId,
    has_cuda_worker: bool,
    kind: Option<DeviceKind>,
    memory_bytes: u64,
) -> Result<Choice, ApiError> {
    let has_gpu = devices.iter().any(|it| it.kind == DeviceKind::Gpu);
    if kind != Some(DeviceKind::Cpu)
        && let Some(gpu) = best_gpu(devices, has_cuda_worker, memory_bytes)
    {
        let why = match free_bytes(gpu) {
            Some(free) => format!("the GPU with the most free memory, {}", size(free)),
            None => "the only kind of GPU there is".to_owned(),
        };
        return Ok(Choice { device: gpu.clone(), why });
    }
    if kind == Some(DeviceKind::Gpu) {
        let first = find(devices, hive_id, |it| it.kind == DeviceKind::Gpu, "a GPU")?;
        usable(first, has_cuda_worker)?;
        return Err(ApiError::new(
            ErrorCode::SpawnFailed,
            format!("no GPU has {} free for this model", size(memory_bytes)),
        )
        .with_hint("delete a worker, or name the device to try it all the same"));
    }
    let cpu = find(devices, hive_id, |it| it.kind == DeviceKind::Cpu, "CPU-0")?;
    let why = match (kind, has_gpu, has_cuda_worker) {
        (Some(_), _, _) => "the engine `cpu` as asked".to_owned(),
        (None, false, _) => "there is no GPU".to_owned(),
        (None, true, false) => format!("there is no {CUDA_WORKER} to use the GPU with"),
        (None, true, true) => format!("no usable GPU has {} free", size(memory_bytes)),
    };
    Ok(Choice { device: cpu.clone(), why })
}

/// The program that runs a model on a processor.
pub(crate) const CPU_WORKER: &str = "llm-worker-rbee";
/// The program that runs a model on a GPU. It is a program of its own because
/// it cannot be started where the driver's libraries are not.
pub(crate) const CUDA_WORKER: &str = "llm-worker-rbee-cuda";

/// The usable GPU with the most free memory, among those where the model
/// fits. One that does not say how much it has is taken last.
fn best_gpu(
    devices: &[DeviceRecord],
    has_cuda_worker: bool,
    memory_bytes: u64,
) -> Option<&DeviceRecord> {
    let gpus = devices.iter().filter(|it| it.kind == DeviceKind::Gpu);
    gpus.filter(|gpu| usable(gpu, has_cuda_worker).is_ok())
        .filter(|gpu| free_bytes(gpu).is_none_or(|free| free >= memory_bytes))
        // The first of equals.
        .rev()
        .max_by_key(|gpu| free_bytes(gpu))
}

fn usable(device: &DeviceRecord, has_cuda_worker: bool) -> Result<(), ApiError> {
    if let Some(reason) = &device.unavailable {
        let message = format!("{} cannot be used: {reason}", device.id);
        return Err(ApiError::new(ErrorCode::Unavailable, message)
            .with_hint("use CPU-0, or look at the driver with nvidia-smi"));
    }
    if device.kind == DeviceKind::Gpu && !has_cuda_worker {
        let message = format!("{} cannot be used: there is no {CUDA_WORKER} here", device.id);
        return Err(ApiError::new(ErrorCode::SpawnFailed, message)
            .with_hint("put it beside rbee-hive, or use CPU-0"));
    }
    Ok(())
}

fn find<'a>(
    devices: &'a [DeviceRecord],
    hive_id: &HiveId,
    wanted: impl Fn(&DeviceRecord) -> bool,
    name: &str,
) -> Result<&'a DeviceRecord, ApiError> {
    devices.iter().find(|device| wanted(device)).ok_or_else(|| {
        let known: Vec<String> = devices.iter().map(describe).collect();
        let message = format!("{name} not found on hive '{hive_id}'");
        ApiError::new(ErrorCode::DeviceNotFound, message)
            .with_hint(format!("available: {}", known.join(", ")))
    })
}

/// `GPU-0 (NVIDIA H200, 139 GiB)`, `CPU-0 (16 cores)`
pub(crate) fn describe(device: &DeviceRecord) -> String {
    let mut facts = Vec::new();
    match device.kind {
        DeviceKind::Gpu => {
            facts.push(device.name.clone());
            facts.extend(device.memory_total_bytes.map(size));
        }
        DeviceKind::Cpu => match device.cores {
            Some(cores) => facts.push(format!("{cores} cores")),
            None => facts.push(device.name.clone()),
        },
    }
    facts.extend(device.unavailable.as_ref().map(|_| "unavailable".to_owned()));
    format!("{} ({})", device.id, facts.join(", "))
}

/// What it has free; `None` when it does not say.
pub(crate) fn free_bytes(device: &DeviceRecord) -> Option<u64> {
    Some(device.memory_total_bytes?.saturating_sub(device.memory_used_bytes?))
}

fn kind_of(engine: EngineKind) -> Result<DeviceKind, ApiError> {
    match engine {
        EngineKind::Cpu => Ok(DeviceKind::Cpu),
        EngineKind::Cuda => Ok(DeviceKind::Gpu),
        EngineKind::Metal => Err(ApiError::new(
            ErrorCode::InvalidField,
            "field `worker`: the engine `metal` does not run on this machine",
        )
        .with_hint("use `cpu` or `cuda`")),
    }
}

fn engine_name(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Cpu => "cpu",
        DeviceKind::Gpu => "cuda",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::size::GIB;

    pub(crate) fn gpu(index: u32, used_gib: u64) -> DeviceRecord {
        let json = serde_json::json!({
            "id": format!("GPU-{index}"), "hive_id": "localhost", "kind": "gpu",
            "name": "NVIDIA H200", "memory_total_bytes": 139 * GIB,
            "memory_used_bytes": used_gib * GIB,
        });
        serde_json::from_value(json).unwrap()
    }

    pub(crate) fn cpu() -> DeviceRecord {
        let json = serde_json::json!({
            "id": "CPU-0", "hive_id": "localhost", "kind": "cpu", "name": "EPYC", "cores": 16,
        });
        serde_json::from_value(json).unwrap()
    }

    fn wish(device: Option<&str>, engine: Option<EngineKind>) -> Wish {
        let device = device.map(|it| match it.parse() {
            Ok(index) => DeviceSelector::Index(index),
            Err(_) => DeviceSelector::Id(it.parse().unwrap()),
        });
        Wish { device, engine, memory_bytes: 2 * GIB }
    }

    fn chosen(
        devices: &[DeviceRecord],
        has_cuda_worker: bool,
        device: Option<&str>,
        engine: Option<EngineKind>,
    ) -> Result<String, ApiError> {
        let wish = wish(device, engine);
        choose(devices, &HiveId::localhost(), has_cuda_worker, &wish)
            .map(|choice| choice.device.id.to_string())
    }

    #[test]
    fn the_best_device_is_a_gpu_with_room_and_a_worker_that_can_use_it_or_else_the_cpu() {
        let broken = DeviceRecord { unavailable: Some("lost".to_owned()), ..gpu(0, 0) };
        for (devices, has_cuda_worker, expected) in [
            (vec![cpu()], true, "CPU-0"),
            (vec![gpu(0, 10), gpu(1, 5), gpu(2, 5), cpu()], true, "GPU-1"),
            (vec![gpu(0, 10), cpu()], false, "CPU-0"),
            (vec![gpu(0, 138), cpu()], true, "CPU-0"),
            (vec![broken.clone(), cpu()], true, "CPU-0"),
            (vec![broken, gpu(1, 100), cpu()], true, "GPU-1"),
        ] {
            let id = chosen(&devices, has_cuda_worker, None, None).unwrap();
            assert_eq!(id, expected, "{devices:?}");
        }
    }

    #[test]
    fn an_index_counts_the_devices_of_the_engines_kind() {
        let devices = [gpu(0, 0), gpu(1, 9), cpu()];
        for (index, engine, has_cuda_worker, expected) in [
            ("1", None, true, "GPU-1"),
            ("0", None, false, "CPU-0"),
            ("0", Some(EngineKind::Cpu), true, "CPU-0"),
            ("1", Some(EngineKind::Cuda), true, "GPU-1"),
        ] {
            let id = chosen(&devices, has_cuda_worker, Some(index), engine).unwrap();
            assert_eq!(id, expected, "{index} {engine:?}");
        }
    }

    #[test]
    fn an_unknown_device_is_answered_with_the_known_ones() {
        for device in ["GPU-7", "7"] {
            let error = chosen(&[gpu(0, 0), cpu()], true, Some(device), None).unwrap_err();
            assert_eq!(error.code, ErrorCode::DeviceNotFound);
            assert_eq!(error.message, "GPU-7 not found on hive 'localhost'");
            assert_eq!(
                error.hint.as_deref(),
                Some("available: GPU-0 (NVIDIA H200, 139 GiB), CPU-0 (16 cores)")
            );
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_reason() {
        let devices = [gpu(0, 138), cpu()];
        for (device, engine, has_cuda_worker, code, said) in [
            (Some("GPU-0"), Some(EngineKind::Cpu), true, ErrorCode::InvalidField, "`cuda`"),
            (None, Some(EngineKind::Metal), true, ErrorCode::InvalidField, "`metal`"),
            (Some("GPU-0"), None, false, ErrorCode::SpawnFailed, "llm-worker-rbee-cuda"),
            (None, Some(EngineKind::Cuda), true, ErrorCode::SpawnFailed, "2 GiB"),
        ] {
            let error = chosen(&devices, has_cuda_worker, device, engine).unwrap_err();
            assert_eq!(error.code, code, "{error}");
            assert!(error.message.contains(said), "{error}");
        }
    }

    #[test]
    fn a_gpu_named_by_the_operator_is_taken_even_if_it_looks_full() {
        let devices = [gpu(0, 138), cpu()];
        assert_eq!(chosen(&devices, true, Some("GPU-0"), None).unwrap(), "GPU-0");
    }
}
