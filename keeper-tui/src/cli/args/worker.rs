//! `worker …`

use clap::{Args, Subcommand, ValueEnum};
use protocol::{
    HiveId, ModelRef, WorkerId,
    logs::{LINES_DEFAULT, LINES_MAX},
    operation::{DeviceSelector, EngineKind, WorkerSpawn},
};

use super::values::parse_device_selector;
use crate::cli::names;

/// `worker …`
#[derive(Debug, Subcommand)]
pub enum Worker {
    /// Start a worker with a model
    Spawn(Box<SpawnArgs>),
    /// All workers
    List {
        /// Only this machine's
        #[arg(long, value_name = "ALIAS", add = names::hives())]
        hive: Option<HiveId>,
    },
    /// What is known of a worker
    Get {
        /// The worker
        #[arg(value_name = "ID", add = names::workers())]
        id: WorkerId,
    },
    /// What a worker has written
    Logs {
        /// The worker
        #[arg(value_name = "ID", add = names::workers())]
        id: WorkerId,
        /// Go on as it writes more, until Ctrl-C
        #[arg(short, long)]
        follow: bool,
        /// How many of the newest lines
        #[arg(short = 'n', long, value_name = "N", default_value_t = LINES_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=i64::from(LINES_MAX)))]
        lines: u32,
    },
    /// Stop a worker and forget it
    Delete {
        /// The worker
        #[arg(value_name = "ID", add = names::workers())]
        id: WorkerId,
        /// The worker's id once more, which answers the question
        #[arg(long, value_name = "ID", add = names::workers())]
        confirm: Option<WorkerId>,
    },
}

/// `worker spawn`
#[derive(Debug, Args)]
pub struct SpawnArgs {
    /// What to run: `demo`, `org/repo`, `org/repo:Q4_K_M`, or a GGUF file on the hive
    #[arg(long, short, value_name = "MODEL", add = names::models())]
    pub model: ModelRef,
    /// On which machine
    #[arg(long, value_name = "ALIAS", default_value = "localhost", add = names::hives())]
    pub hive: HiveId,
    /// On which device: `GPU-0`, `CPU-0`, or an index [default: the best that fits]
    #[arg(long, value_name = "DEVICE", value_parser = parse_device_selector, add = names::devices())]
    pub device: Option<DeviceSelector>,
    /// With which engine [default: the device's]
    #[arg(long = "worker", value_name = "ENGINE", value_enum)]
    pub engine: Option<Engine>,
    /// How many requests at once
    #[arg(long, value_name = "N")]
    pub slots: Option<u32>,
    /// How many tokens its context holds [default: what the model was made for]
    #[arg(long, value_name = "N")]
    pub context_length: Option<u32>,
    /// How many threads on a processor [default: three quarters of the free cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<u32>,
}

/// `--worker`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Processors
    Cpu,
    /// NVIDIA GPUs
    Cuda,
    /// Apple GPUs
    Metal,
}

impl From<&SpawnArgs> for WorkerSpawn {
    fn from(args: &SpawnArgs) -> Self {
        Self {
            hive_id: args.hive.clone(),
            model: args.model.clone(),
            device: args.device.clone(),
            worker: args.engine.map(|engine| match engine {
                Engine::Cpu => EngineKind::Cpu,
                Engine::Cuda => EngineKind::Cuda,
                Engine::Metal => EngineKind::Metal,
            }),
            slots: args.slots,
            context_length: args.context_length,
            threads: args.threads,
        }
    }
}
