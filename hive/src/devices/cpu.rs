//! What the machine says about its processors and its memory.

use std::{num::NonZero, thread};

use sysinfo::{CpuRefreshKind, System};

/// The processors and the memory, taken together as one device.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct CpuSample {
    pub(crate) name: Option<String>,
    pub(crate) cores: Option<u32>,
    pub(crate) memory_total_bytes: Option<u64>,
    pub(crate) memory_used_bytes: Option<u64>,
    pub(crate) utilisation_percent: Option<f64>,
}

/// Reads them again and again: utilisation is a difference of two readings.
pub(crate) struct Machine {
    /// `None` when the system does not let itself be asked.
    system: Option<System>,
    has_baseline: bool,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let system = System::new().ok().map(|mut system| {
            system.refresh_cpu_list(CpuRefreshKind::nothing());
            system
        });
        if system.is_none() {
            tracing::warn!("this system does not say what processors and memory it has");
        }
        Self { system, has_baseline: false }
    }

    pub(crate) fn read(&mut self) -> CpuSample {
        let cores = cores();
        let Some(system) = &mut self.system else {
            return CpuSample { cores, ..CpuSample::default() };
        };
        system.refresh_memory();
        system.refresh_cpu_usage();
        let brand = system.cpus().first().map(|cpu| cpu.brand().trim());
        let total = Some(system.total_memory()).filter(|bytes| *bytes > 0);
        let sample = CpuSample {
            name: brand.filter(|brand| !brand.is_empty()).map(str::to_owned),
            cores,
            memory_total_bytes: total,
            // What could be had at once is not in use, even if a cache has it.
            memory_used_bytes: total.map(|it| it.saturating_sub(system.available_memory())),
            // Since boot is not now: the first reading says nothing.
            utilisation_percent: self.has_baseline.then(|| system.global_cpu_usage().into()),
        };
        self.has_baseline = true;
        sample
    }
}

/// The cores that a worker of ours could use, which is fewer than the machine
/// has when we are in a container or pinned to some of them.
fn cores() -> Option<u32> {
    thread::available_parallelism().ok().map(NonZero::get).and_then(|n| u32::try_from(n).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reading_does_not_know_the_utilisation_and_the_next_does() {
        let mut machine = Machine::new();
        let first = machine.read();
        assert_eq!(first.utilisation_percent, None);
        assert!(first.cores >= Some(1) && first.memory_total_bytes > first.memory_used_bytes);
        assert!(machine.read().utilisation_percent.is_some());
    }
}
