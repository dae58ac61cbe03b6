//! NVIDIA's driver.
//!
//! Its library is opened at run time, so the same binary runs where there is
//! none. Says what the driver says; what that means is [`super::gpu`]'s.

use std::{ffi::OsStr, path::Path};

use nvml_wrapper::{
    Device, Nvml,
    enum_wrappers::device::TemperatureSensor,
    enums::device::UsedGpuMemory,
    error::NvmlError,
    struct_wrappers::device::{MemoryInfo, ProcessInfo},
};

use super::gpu::{self, Gpu, GpuProcess, GpuReading, GpuSample, Memory};

/// The name that a machine with the driver always has; the one without the
/// number comes with development packages only.
const LIBRARY: &str = "libnvidia-ml.so.1";
/// `NVML_DEVICE_MIG_ENABLE`
const MIG_ENABLED: u32 = 1;
/// A longer name of a process is cut by the driver.
const PROCESS_NAME_BYTES_MAX: usize = 256;

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
    match nvml.device_by_index(index) {
        Ok(device) => gpu::sample(&NvidiaGpu { nvml, device }),
        Err(error) => GpuSample { fault: Some(reason(&error)), ..GpuSample::default() },
    }
}

/// A card or an instance of one.
struct NvidiaGpu<'a> {
    nvml: &'a Nvml,
    device: Device<'a>,
}

impl Gpu for NvidiaGpu<'_> {
    fn name(&self) -> Option<String> {
        known(self.device.name())
    }

    fn uuid(&self) -> Option<String> {
        known(self.device.uuid())
    }

    fn memory(&self) -> Option<Memory> {
        let MemoryInfo { total, used, .. } = known(self.device.memory_info())?;
        Some(Memory { total, used })
    }

    fn utilisation_percent(&self) -> Option<f64> {
        known(self.device.utilization_rates()).map(|rates| rates.gpu.into())
    }

    fn temperature_celsius(&self) -> Option<f64> {
        known(self.device.temperature(TemperatureSensor::Gpu)).map(Into::into)
    }

    fn power_watts(&self) -> Option<f64> {
        known(self.device.power_usage()).map(|milliwatts| f64::from(milliwatts) / 1e3)
    }

    fn compute_capability(&self) -> Option<String> {
        let capability = known(self.device.cuda_compute_capability())?;
        Some(format!("{}.{}", capability.major, capability.minor))
    }

    fn processes(&self) -> Option<Vec<GpuProcess>> {
        let mut processes = known(self.device.running_compute_processes())?;
        // A desktop's programs hold memory as well; a card without a display
        // output may not know the question.
        processes.extend(known(self.device.running_graphics_processes()).unwrap_or_default());
        processes.sort_by_key(|process| process.pid);
        processes.dedup_by_key(|process| process.pid);
        Some(processes.into_iter().map(|process| describe(self.nvml, &process)).collect())
    }

    fn is_in_mig_mode(&self) -> Option<bool> {
        known(self.device.mig_mode()).map(|mode| mode.current == MIG_ENABLED)
    }

    fn instances(&self) -> Vec<(u32, Self)> {
        // The most there can be; a number without an instance is an error.
        let numbers = 0..known(self.device.mig_device_count()).unwrap_or_default();
        let instance = |number| {
            let device = known(self.device.mig_device_by_index(number))?;
            Some((number, Self { nvml: self.nvml, device }))
        };
        numbers.filter_map(instance).collect()
    }
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
