//! What a worker was asked to be, as it is written down in its folder.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use atomic_write_file::{OpenOptions, unix::OpenOptionsExt as _};
use config::Nonce;
use protocol::{
    DeviceId, ModelRef, Timestamp, WorkerId,
    fleet::{ExitRecord, WorkerState},
};
use serde::{Deserialize, Serialize};

use super::restart::Tries;

/// The spec of a worker, in its folder.
const FILE: &str = "worker.json";

/// What a worker was asked to be. Written down before it starts, so that the
/// next hive knows what it adopts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) id: WorkerId,
    pub(crate) model: ModelRef,
    pub(crate) model_file: PathBuf,
    pub(crate) model_bytes: u64,
    pub(crate) device: DeviceId,
    /// What CUDA calls it; `None` for a processor.
    #[serde(default)]
    pub(crate) device_uuid: Option<String>,
    pub(crate) slots: u32,
    /// `None` on a GPU.
    pub(crate) threads: Option<u32>,
    pub(crate) context_length: Option<u32>,
    /// Which life of this worker it is.
    pub(crate) incarnation: u64,
    /// Tells its process from every other.
    pub(crate) nonce: Nonce,
    pub(crate) started_at: Timestamp,
    /// What has become of it so far.
    #[serde(default)]
    pub(crate) history: History,
}

/// What has become of a worker, for the hive that comes after this one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct History {
    /// What is to come.
    pub(crate) outlook: Outlook,
    /// Whether a life of it ever served.
    pub(crate) has_served: bool,
    /// How often it was started again.
    pub(crate) restarts: u32,
    /// Those restarts that count for the next.
    pub(crate) tries: Tries,
    /// How its last process ended.
    pub(crate) last_exit: Option<ExitRecord>,
}

/// What is to come of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outlook {
    /// It has a process, or gets one this moment.
    #[default]
    Lives,
    /// It has none and gets one then.
    Waits(Timestamp),
    /// Somebody wants it gone.
    Leaves,
    /// It has ended and is kept to be looked at.
    Ended(WorkerState),
}

impl Spec {
    /// Writes it into the folder `dir`, as a whole or not at all.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        config::paths::create_private_dir(dir)?;
        let mut options = OpenOptions::new();
        options.preserve_mode(false).preserve_owner(false).mode(0o600);
        let mut file = options.open(dir.join(FILE))?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.commit()
    }

    /// The spec in the folder `dir`; one that cannot be read is none.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        let path = dir.join(FILE);
        let bytes = fs::read(&path).ok()?;
        let spec = serde_json::from_slice(&bytes);
        spec.inspect_err(|error| {
            tracing::warn!(path = %path.display(), %error, "not the spec of a worker");
        })
        .ok()
    }
}
