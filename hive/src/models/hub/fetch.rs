//! One file from the hub into the cache, by hf-hub, in a thread of its own.
//!
//! hf-hub starts tasks that go on after whoever started them has left. Here
//! they run on a runtime that lives for one attempt: when it is dropped, so is
//! everything on it, and the file stays as far as it came.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use config::BaseUrl;
use hf_hub::{
    Repo, RepoType,
    api::tokio::{ApiBuilder, ApiError as HubError, Progress},
};
use protocol::{ApiError, ErrorCode, model::Revision};
use secrecy::SecretString;
use tokio::{runtime, sync::oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    gate::{Gate, Problem, Wanted},
    listing::Hub,
};

/// Pieces that are fetched at a time; hf-hub holds each in memory.
const PIECES_AT_A_TIME: usize = 4;

/// One attempt.
#[derive(Debug, Clone)]
pub(crate) struct Fetch {
    pub(crate) endpoint: BaseUrl,
    pub(crate) token: Option<SecretString>,
    pub(crate) cache_dir: PathBuf,
    pub(crate) revision: Revision,
    pub(crate) chunk_bytes: usize,
    pub(crate) silence_max: Duration,
    pub(crate) wanted: Wanted,
    /// How much of the file is here.
    pub(crate) done: Arc<AtomicU64>,
}

/// Why an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The file is in the cache, and nobody has looked at it.
    Fetched,
    Cancelled,
    /// Another process fetches it.
    Locked,
    Failed(Problem),
}

/// Runs the attempt; `stop` ends it within moments.
pub(crate) async fn fetch(fetch: Fetch, stop: CancellationToken) -> Outcome {
    let (answer, answered) = oneshot::channel();
    let thread = thread::Builder::new().name("download".to_owned()).spawn(move || {
        let outcome = match runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let outcome = runtime.block_on(async {
                    tokio::select! {
                        outcome = attempt(&fetch) => outcome,
                        () = stop.cancelled() => Outcome::Cancelled,
                    }
                });
                runtime.shutdown_background();
                outcome
            }
            Err(error) => internal(&error),
        };
        // Whoever asked may have left.
        let _ = answer.send(outcome);
    });
    match thread {
        Ok(_) => answered.await.unwrap_or_else(|error| internal(&error)),
        Err(error) => internal(&error),
    }
}

async fn attempt(fetch: &Fetch) -> Outcome {
    let hub = match Hub::new(fetch.endpoint.clone(), fetch.token.clone(), fetch.silence_max) {
        Ok(hub) => hub,
        Err(error) => return Outcome::Failed(Problem { error, may_pass: false }),
    };
    let (gate, endpoint) = match Gate::open(hub, fetch.wanted.clone()).await {
        Ok(open) => open,
        Err(error) => return internal(&error),
    };
    let api = ApiBuilder::new()
        .with_endpoint(endpoint)
        .with_cache_dir(fetch.cache_dir.clone())
        // The gate has it.
        .with_token(None)
        .with_chunk_size(Some(fetch.chunk_bytes.max(1)))
        .with_max_files(PIECES_AT_A_TIME)
        .with_progress(false)
        .build();
    let api = match api {
        Ok(api) => api,
        Err(error) => return internal(&error),
    };
    let repo = Repo::with_revision(
        fetch.wanted.repo.clone(),
        RepoType::Model,
        fetch.revision.as_str().to_owned(),
    );
    let counter = Counter(Arc::clone(&fetch.done));
    match api.repo(repo).download_with_progress(&fetch.wanted.name, counter).await {
        Ok(_) => Outcome::Fetched,
        Err(HubError::LockAcquisition(_)) => Outcome::Locked,
        Err(error) => Outcome::Failed(match gate.take_problem() {
            Some(problem) => problem,
            None => explain(&error, &fetch.wanted),
        }),
    }
}

fn explain(error: &HubError, wanted: &Wanted) -> Problem {
    match error {
        HubError::IoError(error) if error.kind() == io::ErrorKind::StorageFull => {
            Problem { error: disk_full(&wanted.name), may_pass: false }
        }
        HubError::IoError(error) => Problem {
            error: ApiError::new(ErrorCode::Internal, format!("cannot write the file: {error}"))
                .with_hint("look at the folder that HF_HUB_CACHE names"),
            may_pass: false,
        },
        HubError::RequestError(_) => Problem {
            error: ApiError::new(
                ErrorCode::HubUnreachable,
                format!("the transfer of {} broke off", wanted.name),
            )
            .with_hint("what is here is kept; download it again to go on"),
            may_pass: true,
        },
        error => Problem {
            error: ApiError::new(ErrorCode::Internal, format!("{}: {error}", wanted.name)),
            may_pass: false,
        },
    }
}

/// There is no room for `what`.
pub(crate) fn disk_full(what: &str) -> ApiError {
    ApiError::new(ErrorCode::DiskFull, format!("the disk is full; {what} is only partly here"))
        .with_hint(
            "make room, or let HF_HUB_CACHE name another disk; then download it again to go on",
        )
}

fn internal(error: &dyn std::fmt::Display) -> Outcome {
    let error = ApiError::new(ErrorCode::Internal, format!("the download could not run: {error}"));
    Outcome::Failed(Problem { error, may_pass: false })
}

/// Counts what hf-hub says it has.
#[derive(Clone)]
struct Counter(Arc<AtomicU64>);

impl Progress for Counter {
    async fn init(&mut self, _size: usize, _filename: &str) {
        self.0.store(0, Ordering::Relaxed);
    }

    async fn update(&mut self, size: usize) {
        self.0.fetch_add(size as u64, Ordering::Relaxed);
    }

    async fn finish(&mut self) {}
}
