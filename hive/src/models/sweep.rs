//! What is left of downloads that nobody takes up again.
//!
//! hf-hub gives an unfinished blob its whole length from the first byte on and
//! keeps it for ever. Whoever wants it goes on with it soon; what lies still
//! for long is removed, and never what a living process has locked. The
//! partial files of other tools have other names and are theirs.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::MetadataExt,
    time::{Duration, SystemTime},
};

use rustix::fs::{FlockOperation, flock};

use super::cache::HubCache;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// `model list` shows it as partial, so it is there to be taken up.
const KEPT_FOR_A_MODEL: Duration = DAY.saturating_mul(14);
/// No model needs it: its revision was replaced, or another program left it.
const KEPT_FOR_NOBODY: Duration = DAY;
/// The rest waits for the next time.
const SWEPT_MAX: usize = 1_000;

/// An unfinished blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) repo: String,
    pub(crate) blob: String,
    /// Since it was last written to.
    pub(crate) still_for: Duration,
}

/// Whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// It is being fetched.
    Busy,
    /// A model of the catalogue.
    Model,
    Nobody,
}

/// Whether a part that nobody has written to for so long is removed. Pure.
fn is_due(owner: Owner, still_for: Duration) -> bool {
    match owner {
        Owner::Busy => false,
        Owner::Model => still_for >= KEPT_FOR_A_MODEL,
        Owner::Nobody => still_for >= KEPT_FOR_NOBODY,
    }
}

/// Removes the parts that are due. Blocks.
pub(crate) fn sweep(cache: &HubCache, owner: impl Fn(&Part) -> Owner) {
    let now = SystemTime::now();
    let parts = cache.parts().into_iter().map(|(repo, blob, written)| {
        // One from the future, by a clock that was set back, is young.
        let still_for = now.duration_since(written).unwrap_or_default();
        Part { repo, blob, still_for }
    });
    let due = parts.filter(|part| is_due(owner(part), part.still_for));
    for part in due.take(SWEPT_MAX) {
        let (repo, days) = (&part.repo, part.still_for.as_secs() / DAY.as_secs());
        match remove(cache, &part) {
            Ok(Some(bytes)) => {
                tracing::info!(
                    repo,
                    blob = part.blob,
                    bytes,
                    days,
                    "removed an abandoned download"
                );
            }
            Ok(None) => tracing::debug!(repo, blob = part.blob, "somebody fetches it"),
            Err(error) => {
                tracing::warn!(repo, blob = part.blob, %error, "cannot remove an abandoned download");
            }
        }
    }
}

/// How much room that made; `None` if a living process has it.
fn remove(cache: &HubCache, part: &Part) -> io::Result<Option<u64>> {
    let Some(_lock) = lock(cache, part)? else { return Ok(None) };
    let path = cache.part(&part.repo, &part.blob);
    let bytes = fs::symlink_metadata(&path)?.blocks() * 512;
    fs::remove_file(path)?;
    Ok(Some(bytes))
}

/// The lock that whoever fetches a blob holds. It ends with the file.
fn lock(cache: &HubCache, part: &Part) -> io::Result<Option<File>> {
    let path = cache.lock(&part.repo, &part.blob);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Leaves a part in a cache that was written to `days` days ago.
    pub(crate) fn leave(cache: &HubCache, repo: &str, blob: &str, days: u32) {
        let path = cache.part(repo, blob);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "some").unwrap();
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - DAY * days).unwrap();
    }

    #[test]
    fn what_nobody_wants_goes_after_a_day_and_what_a_model_wants_after_two_weeks() {
        for (owner, days, goes) in [
            (Owner::Nobody, 0, false),
            (Owner::Nobody, 1, true),
            (Owner::Model, 13, false),
            (Owner::Model, 14, true),
            (Owner::Busy, 1000, false),
        ] {
            assert_eq!(is_due(owner, DAY * days), goes, "{owner:?} after {days} days");
        }
    }

    #[test]
    fn only_what_is_due_goes_and_never_what_somebody_has_locked() {
        let directory = tempfile::tempdir().unwrap();
        let cache = HubCache::new(directory.path().join("hub"));
        for (blob, days) in [("young", 0), ("old", 3), ("wanted", 3), ("locked", 30)] {
            leave(&cache, "o/r", blob, days);
        }
        let locked = Part { repo: "o/r".into(), blob: "locked".into(), still_for: DAY };
        let held = lock(&cache, &locked).unwrap().unwrap();
        let owner = |part: &Part| match part.blob.as_str() {
            "wanted" => Owner::Model,
            _ => Owner::Nobody,
        };
        let left = || {
            sweep(&cache, owner);
            let mut left: Vec<_> = cache.parts().into_iter().map(|(_, blob, _)| blob).collect();
            left.sort();
            left
        };
        assert_eq!(left(), ["locked", "wanted", "young"]);
        drop(held);
        assert_eq!(left(), ["wanted", "young"]);
    }
}
