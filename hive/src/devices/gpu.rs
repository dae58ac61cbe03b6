//! What a GPU is and how it is, asked value by value.
//!
//! Every value is asked for on its own and is unknown when the driver does not
//! say: virtual GPUs and old drivers each leave out others. A GPU in MIG mode
//! cannot be used as a whole; what can be used are its instances, each with
//! memory and processes of its own, while temperature and power stay the
//! card's. Nothing here judges or rounds numbers.

/// One GPU as a driver describes it. `None` is what the driver does not say.
pub(crate) trait Gpu: Sized {
    fn name(&self) -> Option<String>;
    /// What the driver and CUDA both call it.
    fn uuid(&self) -> Option<String>;
    fn memory(&self) -> Option<Memory>;
    fn utilisation_percent(&self) -> Option<f64>;
    fn temperature_celsius(&self) -> Option<f64>;
    fn power_watts(&self) -> Option<f64>;
    fn compute_capability(&self) -> Option<String>;
    fn processes(&self) -> Option<Vec<GpuProcess>>;
    /// Whether it is divided into instances now.
    fn is_in_mig_mode(&self) -> Option<bool>;
    /// Its instances with their numbers, which may have gaps.
    fn instances(&self) -> Vec<(u32, Self)>;
}

/// Memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) total: u64,
    pub(crate) used: u64,
}

/// One GPU, or one instance of one, as it was read.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct GpuSample {
    pub(crate) name: Option<String>,
    pub(crate) uuid: Option<String>,
    pub(crate) memory_total_bytes: Option<u64>,
    pub(crate) memory_used_bytes: Option<u64>,
    pub(crate) utilisation_percent: Option<f64>,
    pub(crate) temperature_celsius: Option<f64>,
    pub(crate) power_watts: Option<f64>,
    pub(crate) compute_capability: Option<String>,
    pub(crate) processes: Option<Vec<GpuProcess>>,
    /// Why it cannot be used.
    pub(crate) fault: Option<String>,
    /// Its instances with their numbers, while it is divided.
    pub(crate) instances: Vec<(u32, GpuSample)>,
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

/// Asks a GPU, and its instances if it is divided, for everything.
pub(crate) fn sample(gpu: &impl Gpu) -> GpuSample {
    let whole = read(gpu);
    if gpu.is_in_mig_mode() != Some(true) {
        return whole;
    }
    let instances: Vec<_> = gpu
        .instances()
        .into_iter()
        .map(|(number, instance)| {
            let own = read(&instance);
            let card = whole.clone();
            let sample = GpuSample {
                name: own.name.or(card.name),
                temperature_celsius: card.temperature_celsius,
                power_watts: card.power_watts,
                compute_capability: own.compute_capability.or(card.compute_capability),
                ..own
            };
            (number, sample)
        })
        .collect();
    let fault = match instances.len() {
        0 => "it is in MIG mode and has no instances (make some with `nvidia-smi mig`, or turn \
              the mode off)"
            .to_owned(),
        _ => "it is in MIG mode, where only its instances can be used".to_owned(),
    };
    GpuSample {
        // They are the instances' to say.
        memory_used_bytes: None,
        utilisation_percent: None,
        processes: None,
        fault: Some(fault),
        instances,
        ..whole
    }
}

fn read(gpu: &impl Gpu) -> GpuSample {
    let memory = gpu.memory();
    GpuSample {
        name: gpu.name(),
        uuid: gpu.uuid(),
        memory_total_bytes: memory.map(|memory| memory.total),
        memory_used_bytes: memory.map(|memory| memory.used),
        utilisation_percent: gpu.utilisation_percent(),
        temperature_celsius: gpu.temperature_celsius(),
        power_watts: gpu.power_watts(),
        compute_capability: gpu.compute_capability(),
        processes: gpu.processes(),
        fault: None,
        instances: vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A card of a driver that says what is written here.
    #[derive(Clone, Default)]
    struct Card {
        uuid: &'static str,
        used: u64,
        is_divided: Option<bool>,
        is_instance: bool,
        instances: Vec<(u32, Card)>,
    }

    impl Gpu for Card {
        fn name(&self) -> Option<String> {
            Some("NVIDIA A100".to_owned())
        }
        fn uuid(&self) -> Option<String> {
            Some(self.uuid.to_owned())
        }
        fn memory(&self) -> Option<Memory> {
            Some(Memory { total: 40, used: self.used })
        }
        fn utilisation_percent(&self) -> Option<f64> {
            (self.is_divided != Some(true) && !self.is_instance).then_some(7.0)
        }
        fn temperature_celsius(&self) -> Option<f64> {
            (!self.is_instance).then_some(50.0)
        }
        fn power_watts(&self) -> Option<f64> {
            (!self.is_instance).then_some(90.0)
        }
        fn compute_capability(&self) -> Option<String> {
            (!self.is_instance).then(|| "8.0".to_owned())
        }
        fn processes(&self) -> Option<Vec<GpuProcess>> {
            Some(vec![])
        }
        fn is_in_mig_mode(&self) -> Option<bool> {
            self.is_divided
        }
        fn instances(&self) -> Vec<(u32, Self)> {
            self.instances.clone()
        }
    }

    #[test]
    fn a_card_without_mig_or_that_does_not_know_it_is_one_device() {
        for is_divided in [None, Some(false)] {
            let sample = sample(&Card { used: 3, is_divided, ..Card::default() });
            assert_eq!((sample.memory_used_bytes, sample.fault), (Some(3), None));
            assert_eq!((sample.utilisation_percent, sample.instances.len()), (Some(7.0), 0));
        }
    }

    #[test]
    fn a_divided_card_is_its_instances_and_not_itself() {
        let instance = |uuid, used| Card { uuid, used, is_instance: true, ..Card::default() };
        let instances = vec![(0, instance("MIG-a", 1)), (3, instance("MIG-b", 2))];
        let card = Card { used: 9, is_divided: Some(true), instances, ..Card::default() };
        let whole = sample(&card);
        assert!(whole.fault.unwrap().contains("only its instances"));
        assert_eq!((whole.memory_total_bytes, whole.memory_used_bytes), (Some(40), None));
        let [(0, first), (3, second)] = &whole.instances[..] else {
            panic!("{:?}", whole.instances)
        };
        assert_eq!((first.memory_used_bytes, second.memory_used_bytes), (Some(1), Some(2)));
        assert_eq!((second.uuid.as_deref(), &second.fault), (Some("MIG-b"), &None));
        assert_eq!((second.temperature_celsius, second.utilisation_percent), (Some(50.0), None));
        assert_eq!(second.compute_capability.as_deref(), Some("8.0"));
    }

    #[test]
    fn a_divided_card_without_instances_says_what_to_do() {
        let sample = sample(&Card { is_divided: Some(true), ..Card::default() });
        assert!(sample.fault.unwrap().contains("nvidia-smi mig"));
    }
}
