//! A device's record, and a machine's devices as `GET /capabilities` gives them.

use serde::{Deserialize, Serialize};

use crate::{DeviceId, HiveId, WorkerId};

/// What a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// A graphics processor.
    Gpu,
    /// The processors of the machine, taken together.
    Cpu,
}

/// A process that holds memory of a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceProcess {
    /// Its process id.
    pub pid: u32,
    /// Its program's name.
    pub name: Option<String>,
    /// What it holds.
    pub memory_bytes: Option<u64>,
    /// The worker it is, when it is one of ours.
    pub worker_id: Option<WorkerId>,
}

/// One device of one hive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// The device.
    pub id: DeviceId,
    /// Its machine.
    pub hive_id: HiveId,
    /// What it is.
    pub kind: DeviceKind,
    /// What its maker calls it.
    pub name: String,
    /// Why it cannot be used; `null` when it can.
    pub unavailable: Option<String>,
    /// Memory it has; for the CPU the machine's.
    pub memory_total_bytes: Option<u64>,
    /// Memory in use by anybody.
    pub memory_used_bytes: Option<u64>,
    /// 0 to 100.
    pub utilisation_percent: Option<f64>,
    /// Of the chip.
    pub temperature_celsius: Option<f64>,
    /// Drawn now.
    pub power_watts: Option<f64>,
    /// NVIDIA's compute capability, such as `8.6`.
    pub compute_capability: Option<String>,
    /// Logical cores, for a CPU.
    pub cores: Option<u32>,
    /// Who holds its memory; `null` when the driver does not say.
    pub processes: Option<Vec<DeviceProcess>>,
}

/// One device as `GET /capabilities` documents it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapabilityDevice {
    /// `GPU-0`, `CPU-0`.
    pub id: DeviceId,
    /// What its maker calls it.
    pub name: String,
    /// `gpu` or `cpu`.
    pub device_type: DeviceKind,
    /// Whole gibibytes, for a GPU.
    pub vram_gb: Option<u64>,
    /// NVIDIA's compute capability.
    pub compute_capability: Option<String>,
    /// The exact size.
    pub memory_bytes: Option<u64>,
    /// Logical cores, for a CPU.
    pub cores: Option<u32>,
}

/// `GET /capabilities`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Capabilities {
    /// The machine's devices.
    pub devices: Vec<CapabilityDevice>,
    /// Why there is no GPU among them, when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
