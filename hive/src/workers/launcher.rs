//! Command lines and files of workers: how one is started, what is written
//! down about it, and which of a former hive's are still there.
//!
//! Decides nothing about a worker's life and keeps no state.

use std::{
    fs, io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use config::{BaseUrl, Found, Nonce, Paths, Record, instance, procfs, threads::environment};
use lifecycle::{Launch, LaunchError, Launched};
use protocol::{
    DeviceId, HiveId, Timestamp, WorkerId,
    fleet::{ExitRecord, WorkerRecord, WorkerState},
};
use secrecy::SecretString;
use tokio::time::{Instant, sleep};

use super::{Spec, logs::LogFiles};
use crate::devices::choice::{CPU_WORKER, CUDA_WORKER};

/// A process that was started by a hive that was killed the next moment says
/// who it is within this.
const IDENTIFY_PATIENCE: Duration = Duration::from_secs(3);
/// How long a worker goes on when no hive asks how it is any more.
const LEAVE_WITHOUT_HIVE: Duration = Duration::from_secs(60);
/// How much of its log explains an end.
pub(super) const LOG_LINES: usize = 20;
pub(super) const LOG_BYTES: u64 = 16 * 1024;
const IDENTIFY_INTERVAL: Duration = Duration::from_millis(20);

/// A worker of a former hive.
#[derive(Debug, PartialEq)]
pub(crate) struct Survivor {
    pub(crate) spec: Spec,
    /// Its process, if it is there.
    pub(crate) process: Option<Record>,
}

/// Starts workers for one hive.
#[derive(Debug, Clone)]
pub(crate) struct Launcher {
    pub(crate) hive_id: HiveId,
    pub(crate) paths: Paths,
    pub(crate) queen_url: BaseUrl,
    pub(crate) queen_socket: Option<PathBuf>,
    /// What a worker's callers must show, and where it reads that.
    pub(crate) token: Option<SecretString>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) ports_first: u16,
}

/// Why a worker could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    NotInstalled(#[from] lifecycle::NotFound),
    #[error("cannot write to {}: {source}", path.display())]
    Spec { path: PathBuf, source: io::Error },
    #[error("{error}{}", cause(error))]
    Launch { error: LaunchError },
}

fn cause(error: &dyn std::error::Error) -> String {
    error.source().map(|source| format!(": {source}")).unwrap_or_default()
}

impl Launcher {
    pub(crate) fn dir(&self, id: &WorkerId) -> PathBuf {
        self.paths.worker_dir(id)
    }

    pub(crate) fn log_file(&self, id: &WorkerId) -> PathBuf {
        self.dir(id).join("worker.log")
    }

    /// Everything that a worker writes.
    pub(crate) fn log_files(&self, id: &WorkerId) -> LogFiles {
        LogFiles { output: self.log_file(id), folder: self.dir(id).join("log") }
    }

    /// The record of a worker of which nothing but its spec is known.
    pub(crate) fn record(&self, spec: &Spec) -> WorkerRecord {
        WorkerRecord {
            id: spec.id.clone(),
            hive_id: self.hive_id.clone(),
            model: spec.model.clone(),
            device: spec.device.clone(),
            state: WorkerState::Starting,
            url: None,
            pid: None,
            incarnation: spec.incarnation,
            started_at: Some(spec.started_at),
            progress: None,
            slots_total: Some(spec.slots),
            slots_busy: None,
            slots_desired: Some(spec.slots),
            threads: spec.threads,
            context_length: spec.context_length,
            memory_bytes: None,
            tokens_per_second: None,
            time_to_first_token_ms: None,
            kv_cache_tokens: None,
            kv_cache_capacity_tokens: None,
            version: None,
            last_heartbeat_at: None,
            last_exit: spec.history.last_exit.clone(),
            restarts: Some(spec.history.restarts),
            retry_at: None,
            log_file: Some(self.log_file(&spec.id).display().to_string()),
        }
    }

    /// Writes the spec down, then starts the process. Needs a tokio runtime.
    pub(crate) fn start(&self, spec: &Spec) -> Result<Launched, StartError> {
        let program = lifecycle::locate(program(&spec.device))?;
        self.write_down(spec)?;
        self.launch(program, spec).start().map_err(|error| StartError::Launch { error })
    }

    fn launch(&self, program: PathBuf, spec: &Spec) -> Launch {
        let mut launch = Launch::new(program, self.log_file(&spec.id))
            .args(self.args(spec))
            // candle takes a new buffer for every operation. glibc would get
            // and return each to the kernel, and zeroing the pages again was
            // measured to cost 65 % of the time a prompt takes.
            .env("MALLOC_MMAP_THRESHOLD_", "4294967296")
            .env("MALLOC_TRIM_THRESHOLD_", "4294967296")
            .env("MALLOC_ARENA_MAX", "1");
        let threads = spec.threads.and_then(|it| usize::try_from(it).ok());
        for (name, value) in threads.and_then(NonZeroUsize::new).into_iter().flat_map(environment) {
            launch = launch.env(name, value);
        }
        // The only one it sees: CUDA counts in another order than the driver, and
        // an instance of a GPU has no number at all.
        if let Some(uuid) = &spec.device_uuid {
            launch = launch.env("CUDA_VISIBLE_DEVICES", uuid);
        }
        Launch { nonce: spec.nonce, ..launch }
    }

    /// Writes the spec down, for the next hive.
    pub(crate) fn write_down(&self, spec: &Spec) -> Result<(), StartError> {
        let dir = self.dir(&spec.id);
        spec.write(&dir).map_err(|source| StartError::Spec { path: dir, source })
    }

    fn args(&self, spec: &Spec) -> Vec<String> {
        let mut args = vec![];
        let mut arg = |name: &str, value: String| args.extend([format!("--{name}"), value]);
        arg("worker-id", spec.id.to_string());
        arg("hive-id", self.hive_id.to_string());
        arg("model", spec.model.to_string());
        arg("model-file", spec.model_file.display().to_string());
        arg("device", spec.device.to_string());
        arg("slots", spec.slots.to_string());
        if let Some(threads) = spec.threads {
            arg("threads", threads.to_string());
        }
        if let Some(tokens) = spec.context_length {
            arg("context-length", tokens.to_string());
        }
        arg("incarnation", spec.incarnation.to_string());
        arg("queen-url", self.queen_url.to_string());
        if let Some(socket) = &self.queen_socket {
            arg("queen-socket", socket.display().to_string());
        }
        if let Some(file) = &self.token_file {
            arg("token-file", file.display().to_string());
        }
        arg("data-dir", self.dir(&spec.id).display().to_string());
        arg("port-first", self.ports_first.to_string());
        arg("leave-without-hive", LEAVE_WITHOUT_HIVE.as_secs().to_string());
        args
    }

    /// The end of a process that nobody saw.
    pub(crate) fn unseen_exit(&self, id: &WorkerId, at: Timestamp) -> ExitRecord {
        ExitRecord {
            at,
            code: None,
            signal: None,
            reason: "ended while no hive was watching".to_owned(),
            log_tail: lifecycle::log_tail(&self.log_file(id), LOG_LINES, LOG_BYTES),
        }
    }

    /// Removes every trace of a worker that has no process.
    pub(crate) fn forget(&self, id: &WorkerId) -> io::Result<()> {
        match fs::remove_dir_all(self.dir(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The workers of a former hive, whether or not their processes are there.
    /// A folder that tells of none is cleared away.
    pub(crate) async fn survivors(&self) -> Vec<Survivor> {
        let mut survivors = vec![];
        for id in known_ids(&self.paths) {
            match self.survivor(&id).await {
                Some(survivor) => survivors.push(survivor),
                None => {
                    tracing::warn!(%id, "nothing is known of this worker; removing its folder");
                    if let Err(error) = self.forget(&id) {
                        tracing::warn!(%id, %error, "cannot remove its folder");
                    }
                }
            }
        }
        survivors
    }

    async fn survivor(&self, id: &WorkerId) -> Option<Survivor> {
        let dir = self.dir(id);
        let spec = Spec::read(&dir);
        if let Some(spec) = &spec {
            wait_until_identified(&dir, spec.nonce).await;
        }
        let (record, is_running) = match instance::find(&dir) {
            Ok(Found::Running(record)) => (record, true),
            // Whoever has its number now does not hold its folder, so it is
            // none of ours; what the dead one left behind carries its nonce.
            Ok(Found::Stale(record)) => (record_of_nobody(record.nonce), false),
            Ok(Found::Absent) | Err(_) => match &spec {
                Some(spec) => (record_of_nobody(spec.nonce), false),
                None => return None,
            },
        };
        match spec {
            Some(spec) if is_running && spec.nonce == record.nonce => {
                Some(Survivor { spec, process: Some(record) })
            }
            // Nobody knows what it runs, or only what it left behind runs.
            spec => {
                if let Err(error) = lifecycle::stop(&record, Duration::from_secs(1)).await {
                    tracing::warn!(%id, %error, "cannot end what is left of a worker");
                }
                spec.map(|spec| Survivor { spec, process: None })
            }
        }
    }
}

/// Whether a former hive ended without its workers: there is something for the
/// next one to adopt, or to clear away.
pub fn has_left_workers(paths: &Paths) -> bool {
    !known_ids(paths).is_empty()
}

fn known_ids(paths: &Paths) -> Vec<WorkerId> {
    let dir = paths.hive_dir().join("workers");
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The program that runs workers on `device`.
pub(crate) fn program(device: &DeviceId) -> &'static str {
    if device.is_cpu() { CPU_WORKER } else { CUDA_WORKER }
}

/// A process that was just started has not taken its folder yet.
async fn wait_until_identified(dir: &Path, nonce: Nonce) {
    let mark = format!("{}={nonce}", Nonce::ENV);
    let is_there = || {
        let pids = procfs::pids().unwrap_or_default();
        pids.into_iter().any(|pid| procfs::was_started_with(pid, &mark))
    };
    let until = Instant::now() + IDENTIFY_PATIENCE;
    while !matches!(instance::find(dir), Ok(Found::Running(_)))
        && is_there()
        && Instant::now() < until
    {
        sleep(IDENTIFY_INTERVAL).await;
    }
}

/// What is left of a launch is found by its nonce, also when it never wrote a
/// record; this one names no process besides.
fn record_of_nobody(nonce: Nonce) -> Record {
    Record {
        kind: CPU_WORKER.to_owned(),
        pid: 0,
        start_time: 0,
        boot_id: String::new(),
        nonce,
        address: None,
        version: String::new(),
        started_at: Timestamp::UNIX_EPOCH,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::ffi::OsStr;

    use protocol::ModelRef;

    use super::*;
    use crate::workers::spec::{History, Outlook};

    pub(crate) fn spec() -> Spec {
        Spec {
            id: "wk-1".parse().unwrap(),
            model: ModelRef::demo(),
            model_file: "/models/a b.gguf".into(),
            model_bytes: 3_000_000,
            device: DeviceId::cpu(),
            device_uuid: None,
            slots: 2,
            threads: Some(1),
            context_length: None,
            incarnation: 1,
            nonce: Nonce::fresh(),
            started_at: Timestamp::UNIX_EPOCH,
            history: History::default(),
        }
    }

    pub(crate) fn launcher(dir: &Path) -> Launcher {
        Launcher {
            hive_id: HiveId::localhost(),
            paths: Paths {
                config_dir: dir.join("config"),
                data_dir: dir.join("data"),
                cache_dir: dir.join("cache"),
            },
            queen_url: "http://127.0.0.1:8500".parse().unwrap(),
            queen_socket: None,
            token: None,
            token_file: None,
            ports_first: 9300,
        }
    }

    #[test]
    fn the_command_line_is_the_one_that_the_worker_program_takes() {
        let launcher = launcher(Path::new("/r"));
        let expected = "--worker-id wk-1 --hive-id localhost --model demo --model-file /models/a b.gguf \
            --device CPU-0 --slots 2 --threads 1 --incarnation 1 --queen-url http://127.0.0.1:8500 \
            --data-dir /r/data/hive/workers/wk-1 --port-first 9300 \
            --leave-without-hive 60";
        assert_eq!(launcher.args(&spec()).join(" "), expected);
        let far = Launcher {
            queen_socket: Some("/r/queen.sock".into()),
            token_file: Some("/r/token".into()),
            ..launcher.clone()
        };
        let args = far.args(&spec()).join(" ");
        assert!(args.contains("--queen-socket /r/queen.sock --token-file /r/token "), "{args}");
        let spec = Spec { context_length: Some(512), ..spec() };
        let args = launcher.args(&spec);
        let at = args.iter().position(|arg| arg == "--context-length").unwrap();
        assert_eq!(args[at + 1], "512");
        let spec = Spec { device: DeviceId::gpu(0), threads: None, ..spec };
        assert!(!launcher.args(&spec).contains(&"--threads".to_owned()));
    }

    #[test]
    fn a_worker_is_told_its_threads_where_its_pools_read_them() {
        let launcher = launcher(Path::new("/r"));
        let told = |spec: &Spec| {
            let launch = launcher.launch("/w".into(), spec);
            let is_threads = |name: &OsStr| name.to_string_lossy().ends_with("_NUM_THREADS");
            launch.env.into_iter().filter(|(name, _)| is_threads(name)).collect::<Vec<_>>()
        };
        let pair = |name: &str| (name.into(), "3".into());
        assert_eq!(
            told(&Spec { threads: Some(3), ..spec() }),
            [pair("CANDLE_NUM_THREADS"), pair("RAYON_NUM_THREADS")]
        );
        assert_eq!(told(&Spec { threads: None, ..spec() }), []);
    }

    #[test]
    fn a_worker_on_a_gpu_sees_no_other() {
        let launcher = launcher(Path::new("/r"));
        let device = DeviceId::gpu_instance(0, 1);
        let spec = Spec { device, device_uuid: Some("MIG-1".to_owned()), ..spec() };
        let env = launcher.launch("/w".into(), &spec).env;
        assert!(env.contains(&("CUDA_VISIBLE_DEVICES".into(), "MIG-1".into())), "{env:?}");
    }

    #[test]
    fn a_gpu_is_used_by_a_program_of_its_own() {
        assert_eq!(program(&DeviceId::cpu()), "llm-worker-rbee");
        assert_eq!(program(&DeviceId::gpu(3)), "llm-worker-rbee-cuda");
    }

    #[tokio::test]
    async fn a_worker_survives_with_what_was_written_down_and_a_damaged_folder_is_cleared_away() {
        let temp = tempfile::tempdir().unwrap();
        let launcher = launcher(temp.path());
        let last_exit = ExitRecord {
            at: Timestamp::UNIX_EPOCH,
            code: None,
            signal: Some(9),
            reason: "was killed".to_owned(),
            log_tail: vec!["last words".to_owned()],
        };
        let history = History {
            outlook: Outlook::Waits(Timestamp::UNIX_EPOCH),
            has_served: true,
            restarts: 3,
            last_exit: Some(last_exit),
            ..History::default()
        };
        let spec = Spec { history, ..spec() };
        launcher.write_down(&spec).unwrap();
        let damaged = launcher.dir(&"wk-2".parse().unwrap());
        fs::create_dir_all(&damaged).unwrap();
        fs::write(damaged.join("worker.json"), "{").unwrap();

        let gone = Survivor { spec: spec.clone(), process: None };
        assert_eq!(launcher.survivors().await, [gone]);
        assert!(launcher.dir(&spec.id).exists() && !damaged.exists());

        // This process stands in for it.
        let dir = launcher.dir(&spec.id);
        let held = instance::Instance::acquire(&dir, CPU_WORKER, spec.nonce).unwrap();
        let running = Survivor { spec, process: Some(held.record().clone()) };
        assert_eq!(launcher.survivors().await, [running]);
    }
}
