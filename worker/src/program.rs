//! The worker as a program: its arguments, and its life from them to its end.
//!
//! What loads the model is handed in, so that a test runs this very program
//! around an engine that it has written itself.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::Parser;
use config::{Config, Nonce, Paths};
use protocol::{DeviceId, HiveId, ModelRef, WorkerId};
use secrecy::SecretString;

use crate::{
    Server, ServerConfig,
    engine::threads,
    load::{ComputeDevice, LoadOptions, LoadProgress, Loaded},
    model_file,
    phase::Identity,
    server::KIND,
};

/// How a program makes its engine from what it was told.
pub type Loader = fn(&LoadOptions, &mut dyn FnMut(LoadProgress)) -> Result<Loaded, String>;

/// Runs one model and answers inference requests over HTTP.
///
/// A hive starts workers by itself; started by hand this serves one GGUF file
/// on loopback.
#[derive(Debug, Parser)]
#[command(name = "llm-worker-rbee", version)]
struct Args {
    /// The model: a GGUF file, or the first part of one that was split.
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
    /// What to compute on: CPU-0, or GPU-0 and so on with a GPU build.
    #[arg(long, value_name = "DEVICE", default_value = "CPU-0")]
    device: DeviceId,
    /// How many requests at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    slots: u16,
    /// Processor threads of a worker on CPU-0; by default what suits the model's size.
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
    /// Leave after so many seconds without a hive's question.
    #[arg(long, value_name = "SECONDS")]
    leave_without_hive: Option<u64>,
    /// The first port to try.
    #[arg(long, value_name = "PORT", default_value_t = protocol::routes::WORKER_PORT_FIRST)]
    port_first: u16,
}

/// The whole program.
pub fn main(loader: Loader) -> ExitCode {
    match run(Args::parse(), loader) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{KIND}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args, loader: Loader) -> anyhow::Result<()> {
    let model_bytes = model_file::bytes(&args.model_file);
    if args.device.is_cpu() {
        // Before any thread exists: the engine's pools read it when they wake.
        threads::ensure(args.threads.unwrap_or_else(|| suitable_threads(model_bytes)))?;
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(
        args,
        model_bytes,
        loader,
    ))
}

fn suitable_threads(model_bytes: Option<u64>) -> NonZeroUsize {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    threads::recommended(model_bytes.unwrap_or_default(), cores)
}

async fn serve(args: Args, model_bytes: Option<u64>, loader: Loader) -> anyhow::Result<()> {
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
        queen_token: queen_token(args.queen_url.is_some())?,
        queen_url: args.queen_url,
        nonce: Nonce::from_env(),
        leave_without_hive: args.leave_without_hive.map(Duration::from_secs),
        model_bytes,
        load: Box::new(move |progress| loader(&options, progress)),
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

/// The queen of this machine may ask her callers for a token; it comes from
/// the same file for all of them and never over the command line.
fn queen_token(has_queen: bool) -> anyhow::Result<Option<SecretString>> {
    if !has_queen {
        return Ok(None);
    }
    let config = Config::load(&Paths::from_env()?)?;
    Ok(config.queen.token_file.as_deref().map(config::read_token).transpose()?)
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
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let index = index_among(visible.as_deref(), device);
    if device.is_cpu() {
        ComputeDevice::Cpu
    } else if cfg!(feature = "metal") {
        ComputeDevice::Metal(index)
    } else {
        ComputeDevice::Cuda(index)
    }
}

/// CUDA counts only what it may see: of one GPU, that is the first.
fn index_among(visible: Option<&str>, device: &DeviceId) -> usize {
    let sees_one = visible.is_some_and(|list| !list.is_empty() && !list.contains(','));
    if sees_one { 0 } else { device.index() }
}

#[expect(clippy::print_stderr, reason = "its hive keeps a worker's last words")]
fn say(line: &str) {
    eprintln!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_may_see_one_gpu_uses_that_one_whatever_its_hive_calls_it() {
        let third = DeviceId::gpu(2);
        assert_eq!(index_among(None, &third), 2);
        assert_eq!(index_among(Some(""), &third), 2);
        assert_eq!(index_among(Some("0,1,2"), &third), 2);
        assert_eq!(index_among(Some("GPU-8dfd"), &third), 0);
        assert_eq!(index_among(Some("MIG-1"), &DeviceId::gpu_instance(2, 1)), 0);
    }
}
