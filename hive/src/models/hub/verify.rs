//! Whether a file is what the hub's listing says, and making it last.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use protocol::model::Revision;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::gate::Wanted;
use crate::models::cache::HubCache;

/// What a look at a blob came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Same,
    Different,
    /// It was not looked at to the end.
    Cancelled,
}

/// Compares the bytes with the listing's hash, then makes them last: written
/// to the disk, and not to be written to again. Blocks.
pub(crate) fn verify(
    blob: &Path,
    wanted: &Wanted,
    stop: &CancellationToken,
) -> io::Result<Verdict> {
    const PIECE: usize = 1024 * 1024;
    let mut file = File::open(blob)?;
    if file.metadata()?.len() != wanted.bytes {
        return Ok(Verdict::Different);
    }
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        if stop.is_cancelled() {
            return Ok(Verdict::Cancelled);
        }
        let read = file.read(&mut piece)?;
        if read == 0 {
            break;
        }
        hash.update(&piece[..read]);
    }
    let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if digest != wanted.sha256 {
        return Ok(Verdict::Different);
    }
    file.sync_all()?;
    fs::set_permissions(blob, fs::Permissions::from_mode(0o444))?;
    if let Some(folder) = blob.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(Verdict::Same)
}

/// Gives a blob that is here the name it has in this commit. Blocks.
pub(crate) fn point(cache: &HubCache, wanted: &Wanted, revision: &Revision) -> io::Result<()> {
    let pointer = cache.pointer(&wanted.repo, &wanted.commit, &wanted.name);
    let folder = |path: &Path| path.parent().map(Path::to_owned).unwrap_or_default();
    fs::create_dir_all(folder(&pointer))?;
    // Up from the file's folder to the snapshot, and past `snapshots/<commit>`.
    let up: PathBuf = std::iter::repeat_n("..", wanted.name.split('/').count() + 1).collect();
    let target = up.join("blobs").join(&wanted.sha256);
    if !pointer.exists() {
        let _ = fs::remove_file(&pointer);
        symlink(target, &pointer)?;
    }
    let reference = cache.repo_dir(&wanted.repo).join("refs").join(revision.as_str());
    fs::create_dir_all(folder(&reference))?;
    fs::write(reference, &wanted.commit)
}

/// Removes a blob that is not what it is called, and its name. Blocks.
pub(crate) fn quarantine(cache: &HubCache, wanted: &Wanted) {
    for path in [
        cache.pointer(&wanted.repo, &wanted.commit, &wanted.name),
        cache.blob(&wanted.repo, &wanted.sha256),
        cache.part(&wanted.repo, &wanted.sha256),
    ] {
        // What is not there need not be removed.
        let _ = fs::remove_file(path);
    }
}

/// What may be written to the disk of `folder`, or of what is above it.
pub(crate) fn free_bytes(folder: &Path) -> Option<u64> {
    let existing = folder.ancestors().find(|it| it.exists())?;
    let stat = rustix::fs::statvfs(existing).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}
