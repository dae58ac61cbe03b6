//! `llm-worker-rbee`: one model, one process.

use std::{
    io::Write as _,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Parser;
use config::{Nonce, Paths};
use protocol::{DeviceId, HiveId, ModelRef, WorkerId};
use worker::{
    Server, ServerConfig,
    engine::threads,
    inspect,
    load::{ComputeDevice, LoadOptions, load},
    phase::Identity,
    server::KIND,
};

/// Runs one model and answers inference requests over HTTP.
///
/// A hive starts workers by itself; started by hand this serves one GGUF file
/// on loopback.
#[derive(Debug, Parser)]
#[command(name = "llm-worker-rbee", version)]
struct Args {
    /// The model: a GGUF file.
    #[arg(long, value_name = "FILE")]
    model_file: PathBuf,
    /// What the model is called.
    #[arg(long, value_name = "MODEL")]
    model: Option<ModelRef>,
    /// Who this worker is.
    #[arg(long, value_name = "ID")]
    worker_id: Option<WorkerId>,
    /// The machine it belongs to.
    #[arg(long, value_name = "HIVE", default_value = "localhost")]
    hive_id: HiveId,
    /// What to compute on: CPU-0, or GPU-<n> with a GPU build.
    #[arg(long, value_name = "DEVICE", default_value = "CPU-0")]
    device: DeviceId,
    /// How many requests at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    slots: u16,
    /// Processor threads; by default what suits the model's size.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Tokens a request may hold; by default what the model was made for.
    #[arg(long, value_name = "TOKENS")]
    context_length: Option<usize>,
    /// Which life of the worker this is.
    #[arg(long, value_name = "N", default_value_t = 1)]
    incarnation: u64,
    /// Whom to send heartbeats.
    #[arg(long, value_name = "URL")]
    queen_url: Option<String>,
    /// Where the worker's record, lock and log are.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The first port to try.
    #[arg(long, value_name = "PORT", default_value_t = protocol::routes::WORKER_PORT_FIRST)]
    port_first: u16,
}

/// Prints what the header of a GGUF file says, as JSON, once stdin has ended.
#[derive(Debug, Parser)]
#[command(name = "llm-worker-rbee inspect")]
struct InspectArgs {
    /// The model: a GGUF file.
    file: PathBuf,
}

fn main() -> ExitCode {
    // Not clap's subcommand: beside it no flag of a worker could be required.
    let is_inspect = std::env::args_os().nth(1).is_some_and(|first| first == "inspect");
    if is_inspect {
        return inspect(&InspectArgs::parse_from(std::env::args_os().skip(1)));
    }
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{KIND}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn inspect(args: &InspectArgs) -> ExitCode {
    let told = inspect::wait_for_leave().and_then(|()| match inspect::inspect(&args.file) {
        Ok(info) => {
            writeln!(std::io::stdout(), "{}", serde_json::to_string(&info)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            say(&error.to_string());
            Ok(ExitCode::from(inspect::REFUSED))
        }
    });
    told.unwrap_or(ExitCode::FAILURE)
}

fn run(args: Args) -> anyhow::Result<()> {
    let model_bytes = std::fs::metadata(&args.model_file).ok().map(|it| it.len());
    // Before any thread exists: the engine's pools read it when they wake.
    threads::ensure(args.threads.unwrap_or_else(|| suitable_threads(model_bytes)))?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve(args, model_bytes))
}

fn suitable_threads(model_bytes: Option<u64>) -> NonZeroUsize {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    threads::recommended(model_bytes.unwrap_or_default(), cores)
}

async fn serve(args: Args, model_bytes: Option<u64>) -> anyhow::Result<()> {
    let worker_id = args.worker_id.unwrap_or_else(WorkerId::generate);
    let data_dir = match args.data_dir {
        Some(dir) => dir,
        None => Paths::from_env()?.worker_dir(&worker_id),
    };
    let log_dir = data_dir.join("log");
    config::paths::create_private_dir(&log_dir)
        .with_context(|| format!("cannot make {}", log_dir.display()))?;
    let _log = daemon::logging::to_files(&log_dir, KIND)?;
    let model = match args.model {
        Some(model) => model,
        None => model_of(&args.model_file)?,
    };
    let options = LoadOptions {
        path: args.model_file,
        device: compute_device(&args.device),
        slots: usize::from(args.slots),
        context_length: args.context_length,
    };
    let server = Server::start(ServerConfig {
        identity: Identity { worker_id: worker_id.clone(), incarnation: args.incarnation },
        hive_id: args.hive_id,
        model,
        device: args.device,
        data_dir,
        port_first: args.port_first,
        queen_url: args.queen_url,
        nonce: Nonce::from_env(),
        model_bytes,
        load: Box::new(move |progress| load(&options, progress).map_err(|error| error.to_string())),
    })
    .await?;
    say(&format!("{KIND} {worker_id} on http://{}", server.local_addr()));
    let failure = tokio::select! {
        asked = server.shutdown().asked_or_signalled() => { asked?; None }
        reason = server.failed() => Some(reason),
    };
    server.close().await;
    match failure {
        Some(reason) => anyhow::bail!("{reason}"),
        None => Ok(()),
    }
}

/// A worker started by hand is called after its file.
fn model_of(file: &Path) -> anyhow::Result<ModelRef> {
    let path = std::path::absolute(file)?;
    path.to_string_lossy()
        .parse()
        .with_context(|| format!("{} cannot be named; pass --model", file.display()))
}

/// The build decides between NVIDIA and Apple; the hive's name does not.
fn compute_device(device: &DeviceId) -> ComputeDevice {
    let index = device.index();
    if device.is_cpu() {
        ComputeDevice::Cpu
    } else if cfg!(feature = "metal") {
        ComputeDevice::Metal(index)
    } else {
        ComputeDevice::Cuda(index)
    }
}

#[expect(clippy::print_stderr, reason = "its hive keeps a worker's last words")]
fn say(line: &str) {
    eprintln!("{line}");
}
