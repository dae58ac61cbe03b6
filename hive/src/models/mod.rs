//! The models on this machine.
//!
//! ```text
//!   demo       the model that is part of this program
//!   select     which files of a repository a name means            (pure)
//!   cache      the ordinary Hugging Face cache: what is on disk
//!   catalog    what is written down about it: SQLite
//!   reconcile  what the catalogue must change to agree with disk   (pure)
//!   record     a model as it is shown, and who runs it             (pure)
//!   inspect    what a header says, read by a process of its own
//!   hub        getting models: one download however many ask
//!   download   what is written down before and after one
//! ```
//!
//! [`Models`] is all of it. It refuses to load or to parse a model: that is
//! for processes that may die of it. A model that a worker has, or that a
//! worker is being started with, cannot be deleted: whoever starts one holds
//! a [`Lease`].

mod cache;
mod catalog;
mod demo;
mod download;
mod hub;
mod inspect;
mod reconcile;
mod record;
mod select;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use protocol::{
    ApiError, ErrorCode, HiveId, ModelRef,
    fleet::WorkerRecord,
    model::{ModelInfo, ModelRecord, ModelState},
};

use self::{
    cache::HubCache,
    catalog::{Catalog, Key, Row, Stage},
    hub::Flight,
    inspect::Inspection,
    reconcile::Repair,
    select::HubName,
};
pub use self::{catalog::CatalogError, hub::HubConfig};
pub(crate) use self::{download::Started, hub::Follower};

/// A model's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelFile {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

/// The models, for everybody else. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Models {
    inner: Arc<Inner>,
}

struct Inner {
    hive_id: HiveId,
    demo_dir: PathBuf,
    cache: HubCache,
    hub: HubConfig,
    flights: Mutex<BTreeMap<Key, Arc<Flight>>>,
    catalog: Mutex<Catalog>,
    leases: Mutex<BTreeMap<Key, usize>>,
    /// What the demo model's header says; it is the same for as long as this
    /// program is.
    demo_info: OnceLock<ModelInfo>,
    /// One reader of headers at a time.
    inspecting: tokio::sync::Mutex<()>,
}

/// While this lives, its model stays.
#[derive(Debug)]
pub(crate) struct Lease {
    leases: Option<(Arc<Inner>, Key)>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Models").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some((inner, key)) = &self.leases else { return };
        let mut leases = lock(&inner.leases);
        if let Some(count) = leases.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                leases.remove(key);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Models {
    /// Opens the catalogue and brings it into agreement with the disk.
    pub(crate) fn open(
        hive_id: HiveId,
        demo_dir: PathBuf,
        hub: HubConfig,
        catalog: &Path,
    ) -> Result<Self, CatalogError> {
        let models = Self {
            inner: Arc::new(Inner {
                hive_id,
                demo_dir,
                cache: HubCache::new(hub.cache_dir.clone()),
                hub,
                flights: Mutex::default(),
                catalog: Mutex::new(Catalog::open(catalog)?),
                leases: Mutex::default(),
                demo_info: OnceLock::new(),
                inspecting: tokio::sync::Mutex::default(),
            }),
        };
        models.repaired()?;
        Ok(models)
    }

    /// Every model, the demo model first.
    pub(crate) async fn list(
        &self,
        workers: &[WorkerRecord],
    ) -> Result<Vec<ModelRecord>, ApiError> {
        let demo = self.plain(&ModelRef::demo(), workers).await?;
        let rows = self.rows().await?;
        let listed = rows.values().map(|row| self.record(row, &rows, workers));
        Ok(std::iter::once(demo).chain(listed).collect())
    }

    /// One model.
    pub(crate) async fn get(
        &self,
        id: &ModelRef,
        workers: &[WorkerRecord],
    ) -> Result<ModelRecord, ApiError> {
        if HubName::of(id).is_none() {
            return self.plain(id, workers).await;
        }
        let rows = self.rows().await?;
        Ok(self.record(record::find(&rows, id)?, &rows, workers))
    }

    /// Removes a model's files, unless somebody has it.
    pub(crate) async fn delete(
        &self,
        id: &ModelRef,
        workers: &[WorkerRecord],
    ) -> Result<ModelRecord, ApiError> {
        if HubName::of(id).is_none() {
            return Err(not_ours(id));
        }
        let rows = self.rows().await?;
        let row = record::find(&rows, id)?.clone();
        let record = self.record(&row, &rows, workers);
        let this = self.clone();
        // The leases are held over the removal, so that no worker is started
        // with what is being removed.
        blocking(move || this.remove(&row, &record)).await
    }

    /// The file of `model`, which stays for as long as the lease lives.
    pub(crate) async fn claim(&self, model: &ModelRef) -> Result<(ModelFile, Lease), ApiError> {
        let this = self.clone();
        let wanted = model.clone();
        if HubName::of(model).is_none() {
            return blocking(move || {
                let file = demo::resolve(&wanted, &this.inner.demo_dir)?;
                Ok((file, Lease { leases: None }))
            })
            .await;
        }
        blocking(move || {
            let rows = this.repaired().map_err(unusable)?;
            let row = record::find(&rows, &wanted)?;
            let file = runnable(row, &this.inner.cache)?;
            let key = row.key();
            *lock(&this.inner.leases).entry(key.clone()).or_default() += 1;
            let lease = Lease { leases: Some((Arc::clone(&this.inner), key)) };
            // It may have been removed before the lease was there.
            if !file.path.exists() {
                return Err(gone(&wanted));
            }
            Ok((file, lease))
        })
        .await
    }

    /// Whether `model` can have a file here; what a request is refused for
    /// before anything is done.
    pub(crate) fn check(&self, model: &ModelRef) -> Result<(), ApiError> {
        if HubName::of(model).is_none() {
            return Ok(());
        }
        let rows = lock(&self.inner.catalog).rows().map_err(unusable)?;
        if record::find(&rows, model).is_ok() {
            return Ok(());
        }
        // Another tool may have fetched it since, or the one that was meant.
        record::find(&self.repaired().map_err(unusable)?, model).map(drop)
    }

    fn record(
        &self,
        row: &Row,
        rows: &BTreeMap<Key, Row>,
        workers: &[WorkerRecord],
    ) -> ModelRecord {
        let Inner { hive_id, cache, .. } = &*self.inner;
        let key = row.key();
        let mut record =
            record::record(row, hive_id, cache, record::users(&key, rows, cache, workers));
        if let Some(flight) = lock(&self.inner.flights).get(&key) {
            record.state = ModelState::Downloading;
            record.progress = flight.seen.borrow().progress.clone().or(record.progress);
            record.error = None;
        }
        record
    }

    async fn plain(
        &self,
        id: &ModelRef,
        workers: &[WorkerRecord],
    ) -> Result<ModelRecord, ApiError> {
        let (this, wanted) = (self.clone(), id.clone());
        let file = blocking(move || demo::resolve(&wanted, &this.inner.demo_dir)).await?;
        let mut record = record::plain(id, &self.inner.hive_id, &file, workers);
        let known = self.inner.demo_info.get().filter(|_| id.is_demo()).cloned();
        let inspection = match known {
            Some(info) => Inspection::Readable(info),
            None => inspect::inspect(&file.path).await,
        };
        match inspection {
            Inspection::Readable(info) => {
                record::describe(&mut record, &info);
                if id.is_demo() {
                    self.inner.demo_info.get_or_init(|| info);
                }
            }
            Inspection::Refused(error) => {
                record.state = ModelState::Failed;
                record.error = Some(error);
            }
            Inspection::Unknown(why) => tracing::warn!(%id, why, "cannot read a model's header"),
        }
        Ok(record)
    }

    /// All rows, in agreement with the disk and with what headers say.
    async fn rows(&self) -> Result<BTreeMap<Key, Row>, ApiError> {
        let this = self.clone();
        let mut rows = blocking(move || this.repaired().map_err(unusable)).await?;
        let _one_at_a_time = self.inner.inspecting.lock().await;
        for row in rows.values_mut() {
            if row.stage == Stage::Ready && row.info.is_none() && row.files.len() == 1 {
                self.describe(row).await?;
            }
        }
        Ok(rows)
    }

    /// Reads a header and writes down what it says.
    async fn describe(&self, row: &mut Row) -> Result<(), ApiError> {
        let Some(file) = row.files.first() else { return Ok(()) };
        let path = self.inner.cache.pointer(&row.repo, &row.commit, &file.name);
        match inspect::inspect(&path).await {
            Inspection::Readable(info) => row.info = Some(info),
            Inspection::Refused(error) => {
                row.stage = Stage::Failed;
                row.error = Some(error);
            }
            Inspection::Unknown(why) => {
                tracing::warn!(id = %row.id, why, "cannot read a model's header");
                return Ok(());
            }
        }
        self.write(row)
    }

    fn write(&self, row: &Row) -> Result<(), ApiError> {
        lock(&self.inner.catalog).write(row).map_err(unusable)
    }

    /// All rows, in agreement with the disk. Blocks.
    fn repaired(&self) -> Result<BTreeMap<Key, Row>, CatalogError> {
        let Inner { cache, catalog, .. } = &*self.inner;
        let found = cache.scan();
        let catalog = lock(catalog);
        let mut rows = catalog.rows()?;
        let has_part = |row: &Row| {
            row.files.iter().filter_map(|file| file.sha256.as_deref()).any(|sha256| {
                cache.has_part(&row.repo, sha256) || cache.blob(&row.repo, sha256).exists()
            })
        };
        for repair in reconcile::reconcile(&rows, &found, &has_part, &self.busy()) {
            match repair {
                Repair::Forget(key) => {
                    tracing::info!(
                        repo = key.repo,
                        file = key.file,
                        "a model is gone from the disk"
                    );
                    catalog.forget(&key)?;
                    rows.remove(&key);
                }
                Repair::Write(row) => {
                    tracing::info!(id = %row.id, stage = ?row.stage, "the disk says otherwise of a model");
                    catalog.write(&row)?;
                    rows.insert(row.key(), *row);
                }
            }
        }
        Ok(rows)
    }

    fn busy(&self) -> BTreeSet<Key> {
        lock(&self.inner.flights).keys().cloned().collect()
    }

    /// Blocks.
    fn remove(&self, row: &Row, record: &ModelRecord) -> Result<ModelRecord, ApiError> {
        let Inner { cache, catalog, leases, .. } = &*self.inner;
        let leases = lock(leases);
        if self.busy().contains(&row.key()) {
            let message = format!("model {} is being downloaded", row.id);
            return Err(ApiError::new(ErrorCode::Conflict, message)
                .with_hint("cancel its job first: rbee-keeper job list --state running"));
        }
        if let Some(refusal) = in_use(record, leases.contains_key(&row.key())) {
            return Err(refusal);
        }
        remove_files(cache, row).map_err(|error| {
            ApiError::new(ErrorCode::Internal, format!("cannot remove {}: {error}", row.id))
                .with_hint(format!("look at {}", cache.repo_dir(&row.repo).display()))
        })?;
        lock(catalog).forget(&row.key()).map_err(unusable)?;
        Ok(record.clone())
    }
}

/// The file that a worker is started with.
fn runnable(row: &Row, cache: &HubCache) -> Result<ModelFile, ApiError> {
    let id = &row.id;
    match (row.stage, &row.files[..]) {
        (Stage::Partial, _) => Err(ApiError::new(
            ErrorCode::ModelNotFound,
            format!("model {id} is only partly on this machine"),
        )
        .with_hint(format!("rbee-keeper model download {id}"))),
        (Stage::Failed, _) => {
            let why = row.error.as_ref().map_or("it failed", |error| error.message.as_str());
            let error = ApiError::new(
                ErrorCode::Other("model_unusable".to_owned()),
                format!("model {id} cannot be used: {why}"),
            );
            let hint = row.error.as_ref().and_then(|error| error.hint.clone());
            Err(error.with_hint(hint.unwrap_or_else(|| format!("rbee-keeper model download {id}"))))
        }
        (Stage::Ready, [file]) => Ok(ModelFile {
            path: cache.pointer(&row.repo, &row.commit, &file.name),
            bytes: file.bytes,
        }),
        (Stage::Ready, files) => Err(ApiError::new(
            ErrorCode::UnsupportedOperation,
            format!("model {id} is split into {} files; workers of this version read one", files.len()),
        )
        .with_hint("choose a quantisation that is one file, or join the parts with `llama-gguf-split --merge`")),
    }
}

fn in_use(record: &ModelRecord, is_leased: bool) -> Option<ApiError> {
    let id = &record.id;
    let workers: Vec<&str> = record.used_by.iter().map(|worker| worker.as_str()).collect();
    let (message, hint) = match (&workers[..], is_leased) {
        ([], false) => return None,
        ([], true) => (
            format!("model {id} is in use: a worker is being started with it"),
            "wait until it runs, then delete the worker first".to_owned(),
        ),
        ([first, ..], _) => (
            format!("model {id} is in use by {}", workers.join(", ")),
            format!("first: rbee-keeper worker delete {first}"),
        ),
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

fn gone(id: &ModelRef) -> ApiError {
    ApiError::new(ErrorCode::ModelNotFound, format!("model {id} has just been deleted"))
        .with_hint(format!("rbee-keeper model download {id}"))
}

fn unusable(error: CatalogError) -> ApiError {
    let source = std::error::Error::source(&error).map(|it| format!(": {it}")).unwrap_or_default();
    ApiError::new(ErrorCode::Unavailable, format!("{error}{source}"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(ApiError::new(ErrorCode::Internal, format!("looking for the model: {error}")))
    })
}

#[cfg(test)]
mod tests;
