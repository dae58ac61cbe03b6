//! What a worker was asked to be, as it is written down in its folder.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use atomic_write_file::{OpenOptions, unix::OpenOptionsExt as _};
use config::Nonce;
use protocol::{DeviceId, ModelRef, Timestamp, WorkerId};
use serde::{Deserialize, Serialize};

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
    pub(crate) slots: u32,
    /// `None` on a GPU.
    pub(crate) threads: Option<u32>,
    pub(crate) context_length: Option<u32>,
    /// Which life of this worker it is.
    pub(crate) incarnation: u64,
    /// Tells its process from every other.
    pub(crate) nonce: Nonce,
    pub(crate) started_at: Timestamp,
    /// How often it was started again.
    #[serde(default)]
    pub(crate) restarts: u32,
    /// Whether it has no process and is to have one again.
    #[serde(default)]
    pub(crate) is_waiting: bool,
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
