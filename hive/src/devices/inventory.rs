//! Readings made into records: which devices there are and how they are.
//!
//! Plain values in, plain values out. A GPU that was seen once stays listed;
//! when the driver falls silent it is marked, and what is no longer known
//! about it becomes unknown. Values are rounded to what a person can use, so
//! that noise is not a message.

use std::{collections::BTreeMap, mem};

use protocol::{
    DeviceId, HiveId, WorkerId,
    fleet::{CapabilityDevice, DeviceKind, DeviceProcess, DeviceRecord},
};

use super::{
    cpu::CpuSample,
    gpu::{GpuProcess, GpuReading, GpuSample},
};
use crate::size::{GIB, to_mib};

/// Whose process is it?
pub(crate) type Owner<'a> = &'a dyn Fn(u32) -> Option<WorkerId>;

/// A card, or an instance of one.
type Place = (u32, Option<u32>);

/// The devices of this machine as last read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Inventory {
    hive_id: HiveId,
    /// By their ids' numbers, so that a card stands before its instances.
    gpus: BTreeMap<Place, DeviceRecord>,
    uuids: BTreeMap<DeviceId, String>,
    cpu: DeviceRecord,
    /// Why the GPUs cannot be seen, while they cannot.
    gpu_fault: Option<String>,
}

impl Inventory {
    pub(crate) fn new(hive_id: HiveId) -> Self {
        let cpu = unknown(DeviceId::cpu(), hive_id.clone(), DeviceKind::Cpu, "processor");
        let gpu_fault = Some("the NVIDIA driver has not answered yet".to_owned());
        Self { hive_id, gpus: BTreeMap::new(), uuids: BTreeMap::new(), cpu, gpu_fault }
    }

    pub(crate) fn cpu_read(&mut self, sample: CpuSample) {
        self.cpu = DeviceRecord {
            name: sample.name.unwrap_or_else(|| self.cpu.name.clone()),
            cores: sample.cores,
            memory_total_bytes: sample.memory_total_bytes,
            memory_used_bytes: sample.memory_used_bytes.map(to_mib),
            utilisation_percent: sample.utilisation_percent.map(to_percent),
            ..self.cpu.clone()
        };
    }

    pub(crate) fn gpus_read(&mut self, reading: GpuReading, owner: Owner<'_>) {
        match reading {
            Ok(samples) => {
                self.gpu_fault = None;
                let seen: BTreeMap<Place, GpuSample> =
                    (0..).zip(samples).flat_map(places).collect();
                // One that fell off the bus, or an instance that was undone.
                for (_, gpu) in self.gpus.iter_mut().filter(|(place, _)| !seen.contains_key(place))
                {
                    mark_unavailable(gpu, "the NVIDIA driver no longer lists it");
                }
                self.uuids.clear();
                for (place, sample) in seen {
                    self.uuids.extend(sample.uuid.clone().map(|uuid| (id_of(place), uuid)));
                    let record = self.gpu_record(place, sample, owner);
                    self.gpus.insert(place, record);
                }
            }
            Err(reason) => self.gpus_lost(reason),
        }
    }

    /// The driver does not answer, or not sensibly.
    pub(crate) fn gpus_lost(&mut self, reason: String) {
        for gpu in self.gpus.values_mut() {
            mark_unavailable(gpu, &reason);
        }
        self.gpu_fault = Some(reason);
    }

    fn gpu_record(&self, place: Place, sample: GpuSample, owner: Owner<'_>) -> DeviceRecord {
        let name = sample.name.as_deref().or_else(|| Some(&self.gpus.get(&place)?.name));
        let id = id_of(place);
        DeviceRecord {
            unavailable: sample.fault,
            memory_total_bytes: sample.memory_total_bytes,
            memory_used_bytes: sample.memory_used_bytes.map(to_mib),
            utilisation_percent: sample.utilisation_percent.map(to_percent),
            temperature_celsius: sample.temperature_celsius.map(f64::round),
            power_watts: sample.power_watts.map(f64::round),
            compute_capability: sample.compute_capability,
            processes: sample
                .processes
                .map(|all| all.into_iter().map(|process| to_record(process, owner)).collect()),
            ..unknown(id, self.hive_id.clone(), DeviceKind::Gpu, name.unwrap_or("NVIDIA GPU"))
        }
    }

    /// All devices, the GPUs first.
    pub(crate) fn records(&self) -> Vec<DeviceRecord> {
        self.gpus.values().chain([&self.cpu]).cloned().collect()
    }

    /// What the driver and CUDA call the GPUs.
    pub(crate) fn uuids(&self) -> &BTreeMap<DeviceId, String> {
        &self.uuids
    }

    /// Why there is no usable GPU, when there is none.
    pub(crate) fn note(&self) -> Option<String> {
        if self.gpus.values().any(|gpu| gpu.unavailable.is_none()) {
            return None;
        }
        let reason = self
            .gpu_fault
            .clone()
            .or_else(|| self.gpus.values().find_map(|gpu| gpu.unavailable.clone()))
            .unwrap_or_else(|| "the NVIDIA driver lists no GPU".to_owned());
        Some(format!("{reason}: CPU only"))
    }
}

/// A card and its instances.
fn places((card, mut sample): (u32, GpuSample)) -> Vec<(Place, GpuSample)> {
    let instances = mem::take(&mut sample.instances);
    let instances = instances.into_iter().map(|(number, it)| ((card, Some(number)), it));
    [((card, None), sample)].into_iter().chain(instances).collect()
}

fn id_of((card, instance): Place) -> DeviceId {
    match instance {
        None => DeviceId::gpu(card),
        Some(number) => DeviceId::gpu_instance(card, number),
    }
}

/// A device as `GET /capabilities` lists it; `None` while it cannot be used.
pub(crate) fn capability(device: DeviceRecord) -> Option<CapabilityDevice> {
    device.unavailable.is_none().then(|| CapabilityDevice {
        vram_gb: device
            .memory_total_bytes
            .filter(|_| device.kind == DeviceKind::Gpu)
            .map(|bytes| bytes / GIB),
        id: device.id,
        name: device.name,
        device_type: device.kind,
        compute_capability: device.compute_capability,
        memory_bytes: device.memory_total_bytes,
        cores: device.cores,
    })
}

fn unknown(id: DeviceId, hive_id: HiveId, kind: DeviceKind, name: &str) -> DeviceRecord {
    DeviceRecord {
        id,
        hive_id,
        kind,
        name: name.to_owned(),
        unavailable: None,
        memory_total_bytes: None,
        memory_used_bytes: None,
        utilisation_percent: None,
        temperature_celsius: None,
        power_watts: None,
        compute_capability: None,
        cores: None,
        processes: None,
    }
}

/// What the device is stays true; how it is, is no longer known.
fn mark_unavailable(device: &mut DeviceRecord, reason: &str) {
    device.unavailable = Some(reason.to_owned());
    device.memory_used_bytes = None;
    device.utilisation_percent = None;
    device.temperature_celsius = None;
    device.power_watts = None;
    device.processes = None;
}

fn to_record(process: GpuProcess, owner: Owner<'_>) -> DeviceProcess {
    DeviceProcess {
        pid: process.pid,
        name: process.name,
        memory_bytes: process.memory_bytes.map(to_mib),
        worker_id: owner(process.pid),
    }
}

fn to_percent(percent: f64) -> f64 {
    percent.clamp(0.0, 100.0).round()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::size::MIB;

    fn inventory() -> Inventory {
        Inventory::new(HiveId::localhost())
    }

    fn h200() -> GpuSample {
        GpuSample {
            name: Some("NVIDIA H200".to_owned()),
            uuid: Some("GPU-1234".to_owned()),
            memory_total_bytes: Some(150_754_820_096),
            memory_used_bytes: Some(3 * MIB + 700_000),
            utilisation_percent: Some(37.4),
            temperature_celsius: Some(41.0),
            power_watts: Some(119.6),
            compute_capability: Some("9.0".to_owned()),
            processes: Some(vec![
                GpuProcess { pid: 7, name: None, memory_bytes: Some(MIB) },
                GpuProcess { pid: 8, name: Some("python3".to_owned()), memory_bytes: None },
            ]),
            fault: None,
            instances: vec![],
        }
    }

    fn nobody(_: u32) -> Option<WorkerId> {
        None
    }

    #[test]
    fn noise_below_what_a_person_can_use_changes_no_record() {
        let mut one = inventory();
        one.gpus_read(Ok(vec![h200()]), &nobody);
        let mut other = one.clone();
        let noisy = GpuSample {
            memory_used_bytes: Some(3 * MIB + 800_000),
            utilisation_percent: Some(36.6),
            power_watts: Some(120.3),
            ..h200()
        };
        other.gpus_read(Ok(vec![noisy]), &nobody);
        assert_eq!(one, other);
        let gpu = &one.records()[0];
        assert_eq!(gpu.memory_used_bytes, Some(4 * MIB));
        assert_eq!((gpu.utilisation_percent, gpu.power_watts), (Some(37.0), Some(120.0)));
    }

    #[test]
    fn what_the_driver_does_not_say_is_unknown_and_not_zero() {
        let mut inventory = inventory();
        inventory.gpus_read(Ok(vec![GpuSample::default()]), &nobody);
        let gpu = &inventory.records()[0];
        let json = serde_json::to_value(gpu).unwrap();
        for field in ["memory_used_bytes", "utilisation_percent", "power_watts", "processes"] {
            assert!(json[field].is_null(), "{field}");
        }
        assert_eq!((gpu.name.as_str(), &gpu.unavailable), ("NVIDIA GPU", &None));
    }

    #[test]
    fn a_silent_driver_marks_its_gpus_and_its_next_answer_clears_the_mark() {
        let mut inventory = inventory();
        inventory.gpus_read(Ok(vec![h200()]), &nobody);
        assert_eq!(inventory.note(), None);
        inventory.gpus_lost("no answer".to_owned());
        let gpu = &inventory.records()[0];
        assert_eq!(gpu.unavailable.as_deref(), Some("no answer"));
        assert_eq!((gpu.utilisation_percent, gpu.processes.as_ref()), (None, None));
        assert_eq!(gpu.name, "NVIDIA H200");
        assert_eq!(inventory.note().as_deref(), Some("no answer: CPU only"));
        inventory.gpus_read(Ok(vec![h200()]), &nobody);
        assert_eq!((inventory.records()[0].unavailable.as_ref(), inventory.note()), (None, None));
    }

    #[test]
    fn a_gpu_that_is_no_longer_listed_is_marked_and_not_dropped() {
        let mut inventory = inventory();
        inventory.gpus_read(Ok(vec![h200(), h200()]), &nobody);
        inventory.gpus_read(Ok(vec![h200()]), &nobody);
        let records = inventory.records();
        assert_eq!(records.len(), 3);
        assert!(records[1].unavailable.is_some() && records[0].unavailable.is_none());
    }

    #[test]
    fn instances_are_devices_behind_their_card_and_are_known_by_their_own_name() {
        let mut inventory = inventory();
        let part = GpuSample { uuid: Some("MIG-1".to_owned()), ..h200() };
        let divided = GpuSample {
            fault: Some("is in MIG mode".to_owned()),
            instances: vec![(0, part.clone()), (2, part)],
            ..h200()
        };
        inventory.gpus_read(Ok(vec![divided, h200()]), &nobody);
        let ids = |inventory: &Inventory| {
            inventory.records().iter().map(|it| it.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&inventory), ["GPU-0", "GPU-0:0", "GPU-0:2", "GPU-1", "CPU-0"]);
        assert_eq!(inventory.uuids()[&DeviceId::gpu_instance(0, 2)], "MIG-1");
        let usable: Vec<_> = inventory.records().into_iter().filter_map(capability).collect();
        assert_eq!(usable.len(), 4, "not the divided card itself");

        inventory.gpus_read(Ok(vec![h200(), h200()]), &nobody);
        let records = inventory.records();
        assert!(records[0].unavailable.is_none() && records[2].unavailable.is_some());
        assert_eq!(inventory.uuids().len(), 2);
    }

    #[test]
    fn our_own_processes_are_named_by_their_worker() {
        let mut inventory = inventory();
        let worker: WorkerId = "wk-1".parse().unwrap();
        let owner = |pid| (pid == 7).then(|| worker.clone());
        inventory.gpus_read(Ok(vec![h200()]), &owner);
        let records = inventory.records();
        let owners: Vec<_> =
            records[0].processes.iter().flatten().map(|it| it.worker_id.clone()).collect();
        assert_eq!(owners, [Some(worker.clone()), None]);
    }

    #[test]
    fn capabilities_have_the_documented_shape_and_leave_out_what_cannot_be_used() {
        let mut inventory = inventory();
        let broken = GpuSample { fault: Some("lost".to_owned()), ..GpuSample::default() };
        inventory.gpus_read(Ok(vec![h200(), broken]), &nobody);
        inventory.cpu_read(CpuSample { cores: Some(16), ..CpuSample::default() });
        let devices: Vec<_> = inventory.records().into_iter().filter_map(capability).collect();
        let json = serde_json::to_value(devices).unwrap();
        assert_eq!(json[0]["id"], "GPU-0");
        assert_eq!(json[0]["device_type"], "gpu");
        assert_eq!(json[0]["vram_gb"], 140);
        assert_eq!(json[0]["memory_bytes"], 150_754_820_096_u64);
        assert_eq!((&json[1]["id"], &json[1]["cores"]), (&"CPU-0".into(), &16.into()));
        assert_eq!(json.as_array().unwrap().len(), 2);
    }
}
