//! What NVIDIA's driver says about the GPUs.
//!
//! The driver's library is opened at run time, so the same binary runs where
//! there is none. Every value is asked for on its own and is unknown when the
//! driver does not say: cards in MIG mode, virtual GPUs and old drivers each
//! leave out others. Nothing here judges or rounds.

use std::{ffi::OsStr, path::Path};

use nvml_wrapper::{
    Device, Nvml,
    enum_wrappers::device::TemperatureSensor,
    enums::device::UsedGpuMemory,
    error::NvmlError,
    struct_wrappers::device::{MemoryInfo, ProcessInfo},
};

/// The name that a machine with the driver always has; the one without the
/// number comes with development packages only.
const LIBRARY: &str = "libnvidia-ml.so.1";
/// A longer name of a process is cut by the driver.
const PROCESS_NAME_BYTES_MAX: usize = 256;

/// One GPU as the driver describes it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct GpuSample {
    pub(crate) name: Option<String>,
    pub(crate) memory_total_bytes: Option<u64>,
    pub(crate) memory_used_bytes: Option<u64>,
    pub(crate) utilisation_percent: Option<f64>,
    pub(crate) temperature_celsius: Option<f64>,
    pub(crate) power_watts: Option<f64>,
    pub(crate) compute_capability: Option<String>,
    pub(crate) processes: Option<Vec<GpuProcess>>,
    /// Why it cannot be used.
    pub(crate) fault: Option<String>,
}

/// A process that holds memory of a GPU.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GpuProcess {
    pub(crate) pid: u32,
    pub(crate) name: Option<String>,
    pub(crate) memory_bytes: Option<u64>,
}

/// All GPUs by their index, or why there are none to see.
pub(crate) type GpuReading = Result<Vec<GpuSample>, String>;

/// The driver, once it could be opened.
#[derive(Default)]
pub(crate) struct Driver {
    nvml: Option<Nvml>,
}

impl Driver {
    /// Asks the driver for everything.
    ///
    /// A driver that is not there is tried again the next time, because a
    /// machine that boots may start this program before it has loaded it.
    pub(crate) fn read(&mut self) -> GpuReading {
        let nvml = match self.nvml.take() {
            Some(nvml) => nvml,
            None => Nvml::builder().lib_path(OsStr::new(LIBRARY)).init().map_err(|e| reason(&e))?,
        };
        // Put back only when it answers: what a driver that was reloaded says
        // through an old handle stays wrong for ever.
        let count = nvml.device_count().map_err(|error| reason(&error))?;
        let samples = (0..count).map(|index| read_gpu(&nvml, index)).collect();
        self.nvml = Some(nvml);
        Ok(samples)
    }
}

fn reason(error: &NvmlError) -> String {
    match error {
        NvmlError::LibloadingError(_) => {
            format!("no NVIDIA driver library ({LIBRARY}) found")
        }
        NvmlError::DriverNotLoaded => "the NVIDIA driver is not loaded".to_owned(),
        NvmlError::NoPermission => {
            "this user may not talk to the NVIDIA driver (see the groups of /dev/nvidia*)"
                .to_owned()
        }
        error => format!("the NVIDIA driver says: {error}"),
    }
}

fn read_gpu(nvml: &Nvml, index: u32) -> GpuSample {
    let device = match nvml.device_by_index(index) {
        Ok(device) => device,
        Err(error) => {
            return GpuSample { fault: Some(reason(&error)), ..GpuSample::default() };
        }
    };
    let memory = known(device.memory_info());
    GpuSample {
        name: known(device.name()),
        memory_total_bytes: memory.as_ref().map(|memory: &MemoryInfo| memory.total),
        memory_used_bytes: memory.as_ref().map(|memory| memory.used),
        utilisation_percent: known(device.utilization_rates()).map(|rates| rates.gpu.into()),
        temperature_celsius: known(device.temperature(TemperatureSensor::Gpu)).map(Into::into),
        power_watts: known(device.power_usage()).map(|milliwatts| f64::from(milliwatts) / 1e3),
        compute_capability: known(device.cuda_compute_capability())
            .map(|capability| format!("{}.{}", capability.major, capability.minor)),
        processes: read_processes(nvml, &device),
        fault: None,
    }
}

fn read_processes(nvml: &Nvml, device: &Device<'_>) -> Option<Vec<GpuProcess>> {
    let mut processes = known(device.running_compute_processes())?;
    // A desktop's programs hold memory as well; a card without a display
    // output may not know the question.
    processes.extend(known(device.running_graphics_processes()).unwrap_or_default());
    processes.sort_by_key(|process| process.pid);
    processes.dedup_by_key(|process| process.pid);
    Some(processes.into_iter().map(|process| describe(nvml, &process)).collect())
}

fn describe(nvml: &Nvml, process: &ProcessInfo) -> GpuProcess {
    let path = known(nvml.sys_process_name(process.pid, PROCESS_NAME_BYTES_MAX));
    GpuProcess {
        pid: process.pid,
        name: path.map(|path| program_of(&path)),
        memory_bytes: match process.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        },
    }
}

/// The program's file name: its arguments are nobody's business.
fn program_of(command: &str) -> String {
    let program = command.split_whitespace().next().unwrap_or_default();
    let name = Path::new(program).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn known<T>(answer: Result<T, NvmlError>) -> Option<T> {
    answer.inspect_err(|error| tracing::trace!(%error, "the driver does not say")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_by_its_program_without_folders_and_arguments() {
        assert_eq!(program_of("/usr/bin/python3 train.py --token x"), "python3");
        assert_eq!(program_of("Xorg"), "Xorg");
        assert_eq!(program_of(""), "");
    }

    #[test]
    fn a_machine_without_the_library_is_told_which_one_is_missing() {
        let missing = Nvml::builder().lib_path(OsStr::new("/nonexistent/lib.so")).init();
        let error = missing.map(drop).unwrap_err();
        assert_eq!(reason(&error), "no NVIDIA driver library (libnvidia-ml.so.1) found");
    }
}
