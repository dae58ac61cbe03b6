//! A hive that fetches from the double, and what tests ask of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::double::{Double, sha256};
use client::{Daemon, JobItem};
use config::{Config, Nonce, Paths};
use hive::{HubConfig, Server, ServerConfig, Silence, TokenFile};
use protocol::{
    ApiError, JobId,
    job::{EndMarker, JobEvent},
    operation::Operation,
};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) static DEMO: &[u8] = include_bytes!("../../../assets/models/demo/rbee-demo.gguf");
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const CHUNK: usize = 256 * 1024;
pub(crate) const Q4: &str = "tiny-Q4_K_M.gguf";

/// A model that a worker could read, `extra` bytes longer than the demo's.
pub(crate) fn model(extra: usize) -> Vec<u8> {
    let mut bytes = DEMO.to_vec();
    bytes.extend((0..extra).map(|at| (at * 31 % 251) as u8));
    bytes
}

/// A model in two parts, as it could have been split: all tensors are in the
/// first, whose header grows by what says so.
pub(crate) fn model_in_parts() -> [Vec<u8>; 2] {
    const HEADER: usize = 24;
    const ENTRIES: usize = 16;
    const ALIGNMENT: usize = 32;
    let at = |offset: usize| u64::from_le_bytes(DEMO[offset..][..8].try_into().unwrap());
    let entry = |key: &str, kind: u32, value: &[u8]| {
        let length = (key.len() as u64).to_le_bytes();
        [&length[..], key.as_bytes(), &kind.to_le_bytes()[..], value].concat()
    };
    let split = |number: u16| {
        let tensors = i32::try_from(at(8)).unwrap().to_le_bytes();
        [
            entry("split.no", 2, &number.to_le_bytes()),
            entry("split.count", 2, &2_u16.to_le_bytes()),
            entry("split.tensors.count", 5, &tensors),
        ]
        .concat()
    };
    // What follows stays where its alignment has it.
    let mut says = split(0);
    let empty = entry("general.comment", 8, &0_u64.to_le_bytes());
    let pad = (ALIGNMENT - (says.len() + empty.len()) % ALIGNMENT) % ALIGNMENT;
    let comment = [&(pad as u64).to_le_bytes()[..], &vec![b' '; pad]].concat();
    says.extend(entry("general.comment", 8, &comment));
    let entries = (at(ENTRIES) + 4).to_le_bytes();
    let first = [&DEMO[..ENTRIES], &entries, &says, &DEMO[HEADER..]].concat();
    let counts = [0_u64.to_le_bytes(), 3_u64.to_le_bytes()].concat();
    [first, [&DEMO[..8], &counts, &split(1)].concat()]
}

pub(crate) struct Bench {
    pub(crate) hub: Double,
    pub(crate) daemon: Daemon,
    pub(crate) server: Server,
    pub(crate) directory: TempDir,
}

pub(crate) fn paths(directory: &Path) -> Paths {
    Paths {
        config_dir: directory.join("config"),
        data_dir: directory.join("data"),
        cache_dir: directory.join("cache"),
    }
}

pub(crate) fn cache(directory: &Path) -> PathBuf {
    directory.join("hub")
}

pub(crate) fn blob(directory: &Path, sha256: &str) -> PathBuf {
    cache(directory).join("models--org--repo/blobs").join(sha256)
}

pub(crate) async fn start(hub_url: &str, directory: &Path, silence: Silence) -> (Server, Daemon) {
    let paths = paths(directory);
    let mut config = ServerConfig::new(paths, &Config::default()).unwrap();
    config.address = "127.0.0.1:0".parse().unwrap();
    config.nonce = Nonce::fresh();
    config.hub = HubConfig {
        endpoint: Ok(hub_url.parse().unwrap()),
        cache_dir: cache(directory),
        token_file: TokenFile::Usual(directory.join("token")),
        chunk_bytes: CHUNK,
        silence,
    };
    let server = Server::start(config).await.unwrap();
    let daemon = Daemon::new(&format!("http://{}", server.local_addr())).unwrap();
    (server, daemon)
}

/// How a job went.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) events: Vec<JobEvent>,
    pub(crate) outcome: Result<Value, ApiError>,
}

impl Told {
    pub(crate) fn model(&self) -> &Value {
        &self.outcome.as_ref().unwrap()["model"]
    }

    pub(crate) fn said(&self, part: &str) -> bool {
        self.events.iter().any(|event| event.message.contains(part))
    }

    pub(crate) fn code(&self) -> &str {
        self.outcome.as_ref().unwrap_err().code.as_str()
    }
}

pub(crate) async fn submit(daemon: &Daemon, operation: Value) -> JobId {
    let operation = Operation::parse(operation.to_string().as_bytes()).unwrap();
    daemon.submit(&operation).await.unwrap().job_id
}

pub(crate) async fn follow(daemon: &Daemon, job: &JobId) -> Told {
    let mut stream = daemon.follow(job, 0);
    let mut events = Vec::new();
    let work = async {
        loop {
            match stream.next_item().await.unwrap().unwrap() {
                JobItem::Event { event, .. } => events.push(event),
                JobItem::End(end) => return end,
            }
        }
    };
    let end = tokio::time::timeout(PATIENCE, work).await.expect("the job has no end");
    let outcome = match end {
        EndMarker::Done => {
            let result = events.iter().find_map(|event| event.as_result().cloned());
            Ok(result.unwrap_or_default())
        }
        _ => Err(daemon.job(job).await.unwrap().record.error.unwrap_or_else(|| {
            ApiError::new(protocol::ErrorCode::Other("cancelled".to_owned()), "cancelled")
        })),
    };
    Told { events, outcome }
}

pub(crate) async fn run(daemon: &Daemon, operation: Value) -> Told {
    let job = submit(daemon, operation).await;
    follow(daemon, &job).await
}

pub(crate) fn download(model: &str) -> Value {
    json!({"operation": "model_download", "model": model})
}

pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Bench {
    pub(crate) async fn new(files: &[(&str, &[u8])]) -> Self {
        Self::with(files, Silence::default()).await
    }

    pub(crate) async fn with(files: &[(&str, &[u8])], silence: Silence) -> Self {
        let hub = Double::serve(files).await;
        let directory = tempfile::tempdir().unwrap();
        let (server, daemon) = start(&hub.url, directory.path(), silence).await;
        Self { hub, daemon, server, directory }
    }

    pub(crate) async fn run(&self, operation: Value) -> Told {
        run(&self.daemon, operation).await
    }

    pub(crate) async fn get(&self, id: &str) -> Told {
        self.run(json!({"operation": "model_get", "id": id})).await
    }

    pub(crate) fn blob(&self, bytes: &[u8]) -> PathBuf {
        blob(self.directory.path(), &sha256(bytes))
    }

    pub(crate) fn committed(&self, bytes: &[u8]) -> u64 {
        committed(self.directory.path(), bytes)
    }
}

pub(crate) fn committed(directory: &Path, bytes: &[u8]) -> u64 {
    let part = blob(directory, &sha256(bytes)).with_extension("sync.part");
    let content = fs::read(part).unwrap_or_default();
    match content.last_chunk::<8>() {
        Some(mark) if content.len() == bytes.len() + 8 => u64::from_le_bytes(*mark),
        _ => 0,
    }
}

/// A hive in a process of its own, which is killed at the end of its test.
pub(crate) struct Launched(Child);

impl Launched {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        // One that has ended already is killed for good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The hive's own program in a process of its own; the variables come on top.
pub(crate) fn launch(
    hub: &Double,
    directory: &Path,
    variables: &[(&str, &str)],
) -> (Launched, Daemon) {
    let at = |name: &str| directory.join(name);
    let mut child = Command::new(env!("CARGO_BIN_EXE_rbee-hive"))
        .args(["--address", "127.0.0.1:0"])
        .env("RBEE_CONFIG_DIR", at("config"))
        .env("RBEE_DATA_DIR", at("data"))
        .env("RBEE_CACHE_DIR", at("cache"))
        .env("HF_ENDPOINT", &hub.url)
        .env("HF_HUB_CACHE", at("hub"))
        .env("HF_HOME", at("hf-home"))
        .envs(variables.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stderr = child.stderr.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stderr), &mut line).unwrap();
    let address = line.split_whitespace().find(|it| it.starts_with("http://"));
    let address = address.unwrap_or_else(|| panic!("{line}")).trim_end_matches(',').to_owned();
    (Launched(child), Daemon::new(&address).unwrap())
}
