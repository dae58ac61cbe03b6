//! Removing a model that nobody has, and nothing else.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use protocol::{ApiError, ErrorCode, ModelRef, WorkerId, fleet::WorkerRecord, model::ModelRecord};

use super::{
    Inner, Models, blocking, cache::HubCache, catalog::Row, lock, record, select::HubName, unusable,
};

impl Models {
    /// Removes a model's files, unless somebody has it. Who the workers are is
    /// asked when it is decided, and not before.
    pub(crate) async fn delete(
        &self,
        id: &ModelRef,
        workers: impl Fn() -> Vec<WorkerRecord> + Send + 'static,
    ) -> Result<ModelRecord, ApiError> {
        if HubName::of(id).is_none() {
            return Err(not_ours(id));
        }
        let (this, id) = (self.clone(), id.clone());
        blocking(move || {
            this.repaired().map_err(unusable)?;
            this.remove(&id, &workers)
        })
        .await
    }

    fn remove(
        &self,
        id: &ModelRef,
        workers: &dyn Fn() -> Vec<WorkerRecord>,
    ) -> Result<ModelRecord, ApiError> {
        let Inner { cache, catalog, leases, flights, hive_id, changed, .. } = &*self.inner;
        // All three are held until the files are gone: no worker is started
        // with them and nobody fetches them meanwhile. A worker is listed
        // before its lease ends, so the list is asked for under the leases.
        let leases = lock(leases);
        let catalog = lock(catalog);
        let flights = lock(flights);
        let rows = catalog.rows().map_err(unusable)?;
        let row = record::find(&rows, id)?;
        let key = row.key();
        if flights.contains_key(&key) {
            let message = format!("model {} is being downloaded", row.id);
            return Err(ApiError::new(ErrorCode::Conflict, message)
                .with_hint("cancel its job first: rbee-keeper job list --state running"));
        }
        let used_by = record::users(&rows, cache, &workers()).remove(&key).unwrap_or_default();
        if let Some(refusal) = in_use(&row.id, &used_by, leases.get(&key)) {
            return Err(refusal);
        }
        remove_files(cache, row).map_err(|error| {
            ApiError::new(ErrorCode::Internal, format!("cannot remove {}: {error}", row.id))
                .with_hint(format!("look at {}", cache.repo_dir(&row.repo).display()))
        })?;
        catalog.forget(&key).map_err(unusable)?;
        changed.notify_one();
        Ok(record::record(row, hive_id, cache, used_by))
    }
}

fn in_use(
    id: &ModelRef,
    used_by: &[WorkerId],
    starting: Option<&BTreeSet<WorkerId>>,
) -> Option<ApiError> {
    let names = |ids: &mut dyn Iterator<Item = &WorkerId>| {
        ids.map(WorkerId::as_str).collect::<Vec<_>>().join(", ")
    };
    let (message, hint) = match (used_by, starting) {
        ([first, ..], _) => (
            format!("model {id} is in use by {}", names(&mut used_by.iter())),
            format!("first: rbee-keeper worker delete {first}"),
        ),
        ([], Some(starting)) => (
            format!("model {id} is in use: {} is being started", names(&mut starting.iter())),
            "wait until it runs, then delete the worker first".to_owned(),
        ),
        ([], None) => return None,
    };
    Some(ApiError::new(ErrorCode::Conflict, message).with_hint(hint))
}

/// Removes every name of the model's blobs, then the blobs, then the folders
/// that are empty. What other files of the repository need stays.
fn remove_files(cache: &HubCache, row: &Row) -> io::Result<()> {
    let repo_dir = cache.repo_dir(&row.repo);
    for file in &row.files {
        let pointer = cache.pointer(&row.repo, &row.commit, &file.name);
        let blob = pointer.canonicalize().ok().filter(|it| it.starts_with(cache.root()));
        let by_hash = file.sha256.as_deref().map(|sha256| cache.blob(&row.repo, sha256));
        let part = file.sha256.as_deref().map(|sha256| cache.part(&row.repo, sha256));
        let mut doomed = vec![pointer];
        for snapshot in fs::read_dir(repo_dir.join("snapshots")).into_iter().flatten().flatten() {
            let other = snapshot.path().join(&file.name);
            // Another revision's file of the same name is another model's.
            if other.canonicalize().ok() == blob && blob.is_some() {
                doomed.push(other);
            }
        }
        doomed.extend(blob);
        doomed.extend(by_hash);
        doomed.extend(part);
        for path in doomed {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    remove_if_empty(&repo_dir);
    Ok(())
}

/// A repository whose blobs are all gone is nothing but folders and names.
fn remove_if_empty(repo_dir: &Path) {
    let is_left = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|it| it.path().extension().is_none_or(|ending| ending != "lock"))
    };
    let has_blobs = fs::read_dir(repo_dir.join("blobs")).is_ok_and(|mut blobs| blobs.any(is_left));
    let has_files = !snapshot_files(repo_dir).is_empty();
    if !has_blobs && !has_files {
        // Somebody may be writing there again; then it stays.
        let _ = fs::remove_dir_all(repo_dir);
    }
}

fn snapshot_files(repo_dir: &Path) -> Vec<PathBuf> {
    let snapshots = fs::read_dir(repo_dir.join("snapshots")).into_iter().flatten().flatten();
    snapshots
        .flat_map(|snapshot| fs::read_dir(snapshot.path()).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| path.exists() && !path.is_dir())
        .collect()
}

fn not_ours(id: &ModelRef) -> ApiError {
    let error = |message: String| ApiError::new(ErrorCode::Conflict, message);
    if id.is_demo() {
        error("the demo model is part of this program and cannot be deleted".to_owned())
            .with_hint("its copy on disk is a few MB")
    } else {
        error(format!("{id} is a file of yours, which rbee does not delete"))
            .with_hint(format!("on its machine: rm {id}"))
    }
}
