//! What a model file's header says, read by a process that may die of it.
//!
//! A file from the internet is read by `llm-worker-rbee inspect`, with little
//! memory and little time, so that the worst a hostile header does is to be
//! refused. This process never parses one.

use std::{path::Path, process::Stdio, time::Duration};

use protocol::{ApiError, ErrorCode, model::ModelInfo};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    time::timeout,
};

use crate::devices::choice::CPU_WORKER;

const PATIENCE: Duration = Duration::from_secs(30);
const CPU_SECONDS: u64 = 20;
/// The largest vocabularies take some hundred MiB while they are read.
const MEMORY_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// How a worker's program says that it is the file.
const REFUSED: i32 = 65;
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Inspection {
    Readable(ModelInfo),
    /// No worker could run this file.
    Refused(ApiError),
    /// Nobody could look at it; the file is not to blame.
    Unknown(String),
}

/// Looks at `file`.
pub(crate) async fn inspect(file: &Path) -> Inspection {
    match run(file).await {
        Ok(inspection) => inspection,
        Err(why) => Inspection::Unknown(why),
    }
}

async fn run(file: &Path) -> Result<Inspection, String> {
    let program = lifecycle::locate(CPU_WORKER).map_err(|error| error.to_string())?;
    let mut child = Command::new(&program)
        .arg("inspect")
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    limit(&child).map_err(|error| format!("cannot limit {}: {error}", program.display()))?;
    // It opens nothing before its stdin ends, so the limits hold by then.
    drop(child.stdin.take());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async { tokio::join!(text(stdout), text(stderr), child.wait()) };
    let Ok((answer, complaint, status)) = timeout(PATIENCE, work).await else {
        return Ok(Inspection::Refused(refusal(&format!(
            "its header was not read within {} s",
            PATIENCE.as_secs()
        ))));
    };
    let status = status.map_err(|error| error.to_string())?;
    if status.success() {
        return serde_json::from_str(&answer).map(Inspection::Readable).map_err(|error| {
            format!("{} answers what we cannot read: {error}", program.display())
        });
    }
    // Whoever does not know the word `inspect` is of another version, and the
    // file is not to blame.
    if status.code().is_some_and(|code| code != REFUSED) {
        return Err(format!("{} ended with {status}: {}", program.display(), complaint.trim()));
    }
    let reason = match complaint.lines().rfind(|line| !line.trim().is_empty()) {
        Some(line) => line.trim().to_owned(),
        None => format!("reading its header ended with {status}"),
    };
    Ok(Inspection::Refused(refusal(&reason)))
}

fn limit(child: &Child) -> std::io::Result<()> {
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let exactly = |value| Rlimit { current: Some(value), maximum: Some(value) };
    for (resource, value) in [
        (Resource::As, MEMORY_BYTES),
        (Resource::Cpu, CPU_SECONDS),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
    ] {
        prlimit(pid, resource, exactly(value))?;
    }
    Ok(())
}

async fn text(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // Whatever was read until an error is what there is.
        let _ = pipe.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn refusal(reason: &str) -> ApiError {
    ApiError::new(ErrorCode::ModelUnreadable, reason)
        .with_hint("choose another model, or another file of the repository")
}
