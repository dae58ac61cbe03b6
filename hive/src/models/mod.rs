//! The models on this machine.
//!
//! ```text
//!   demo       the model that is part of this program
//!   select     which files of a repository a name means            (pure)
//!   cache      the ordinary Hugging Face cache: what is on disk
//!   catalog    what is written down about it: SQLite
//!   reconcile  what the catalogue must change to agree with disk   (pure)
//!   sweep      what is left of downloads that nobody takes up again
//!   record     a model as it is shown, and who runs it             (pure)
//!   inspect    what a header says, read by a process of its own
//!   publish    all of it on the feed, as it changes
//!   room       what is left of the disk
//!   hub        getting models: one download however many ask
//!   download   what is written down before and after one
//!   lease      what keeps a model while a worker is started with it
//!   delete     removing one that nobody has
//! ```
//!
//! [`Models`] is all of it. It refuses to load or to parse a model: that is
//! for processes that may die of it. A model that a worker has, or that a
//! worker is being started with, cannot be deleted: whoever starts one holds
//! a [`Lease`](lease::Lease).

mod cache;
mod catalog;
mod delete;
mod demo;
mod download;
mod hub;
mod inspect;
mod lease;
mod publish;
mod reconcile;
mod record;
mod room;
mod select;
mod sweep;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use protocol::{
    ApiError, ErrorCode, HiveId, ModelRef, WorkerId,
    fleet::WorkerRecord,
    model::{ModelInfo, ModelRecord, ModelState},
};

use tokio::sync::Notify;

use self::{
    cache::{Found, HubCache},
    catalog::{Catalog, Key, Row, Stage},
    hub::Flight,
    inspect::Inspection,
    reconcile::Repair,
    select::HubName,
    sweep::{Owner, Part},
};
pub use self::{
    catalog::CatalogError,
    hub::{HubConfig, Silence, TokenFile},
};
pub(crate) use self::{download::Started, hub::Follower, publish::publish};

/// A model's file; for one that is split, the first of them, and the bytes of
/// all.
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
    /// The workers that are being started, by their model.
    leases: Mutex<BTreeMap<Key, BTreeSet<WorkerId>>>,
    /// What the demo model's header says; it is the same for as long as this
    /// program is.
    demo_info: OnceLock<ModelInfo>,
    /// One reader of headers at a time.
    inspecting: tokio::sync::Mutex<()>,
    /// Something was written down, or a download has begun or ended.
    changed: Notify,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Models").field("cache", &self.cache).finish_non_exhaustive()
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
                changed: Notify::new(),
            }),
        };
        models.sweep()?;
        Ok(models)
    }

    /// Removes what is left of downloads that nobody takes up again, and from
    /// the catalogue what nothing is left of. Blocks.
    pub(crate) fn sweep(&self) -> Result<(), CatalogError> {
        let Inner { cache, catalog, .. } = &*self.inner;
        let rows = lock(catalog).rows()?;
        let busy = self.busy();
        let is_of = |row: &Row, part: &Part| {
            row.repo == part.repo
                && row.files.iter().any(|file| file.sha256.as_ref() == Some(&part.blob))
        };
        sweep::sweep(cache, |part| match rows.iter().find(|(_, row)| is_of(row, part)) {
            Some((key, _)) if busy.contains(key) => Owner::Busy,
            Some(_) => Owner::Model,
            None => Owner::Nobody,
        });
        self.repaired().map(drop)
    }

    /// Every model, the demo model first.
    pub(crate) async fn list(
        &self,
        workers: &[WorkerRecord],
    ) -> Result<Vec<ModelRecord>, ApiError> {
        let demo = self.plain(&ModelRef::demo(), workers).await?;
        let rows = self.rows().await?;
        Ok(std::iter::once(demo).chain(self.records(&rows, workers)).collect())
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
        let row = record::find(&rows, id)?;
        let mut users = record::users(&rows, &self.inner.cache, workers);
        Ok(self.record(row, users.remove(&row.key()).unwrap_or_default()))
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

    fn records(&self, rows: &BTreeMap<Key, Row>, workers: &[WorkerRecord]) -> Vec<ModelRecord> {
        let mut users = record::users(rows, &self.inner.cache, workers);
        let record = |(key, row)| self.record(row, users.remove(key).unwrap_or_default());
        rows.iter().map(record).collect()
    }

    fn record(&self, row: &Row, used_by: Vec<WorkerId>) -> ModelRecord {
        let Inner { hive_id, cache, .. } = &*self.inner;
        let mut record = record::record(row, hive_id, cache, used_by);
        if let Some(flight) = lock(&self.inner.flights).get(&row.key()) {
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
        let files = blocking(move || demo::resolve(&wanted, &this.inner.demo_dir)).await?;
        let mut record = record::plain(id, &self.inner.hive_id, &files, workers);
        let known = self.inner.demo_info.get().filter(|_| id.is_demo()).cloned();
        let inspection = match known {
            Some(info) => Inspection::Readable(info),
            None => inspect::inspect(&files[0].path).await,
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

    /// The demo model as it is known, whether or not it was ever used here.
    fn demo(&self, workers: &[WorkerRecord]) -> ModelRecord {
        let Inner { hive_id, demo_dir, demo_info, .. } = &*self.inner;
        let file = demo::place(demo_dir);
        let mut record = record::plain(&ModelRef::demo(), hive_id, &[file], workers);
        if let Some(info) = demo_info.get() {
            record::describe(&mut record, info);
        }
        record
    }

    /// Reads the header of the demo model, if nobody has.
    async fn describe_demo(&self) -> Result<(), ApiError> {
        if self.inner.demo_info.get().is_some() {
            return Ok(());
        }
        let in_memory = || {
            demo::in_memory().map_err(|error| {
                ApiError::new(ErrorCode::Internal, format!("no memory for the demo model: {error}"))
            })
        };
        let (_held, path) = blocking(in_memory).await?;
        match inspect::inspect(&path).await {
            Inspection::Readable(info) => {
                self.inner.demo_info.get_or_init(|| info);
            }
            Inspection::Refused(error) => return Err(error),
            Inspection::Unknown(why) => tracing::warn!(why, "cannot read the demo model's header"),
        }
        Ok(())
    }

    /// All rows, in agreement with the disk and with what headers say.
    async fn rows(&self) -> Result<BTreeMap<Key, Row>, ApiError> {
        let this = self.clone();
        let mut rows = blocking(move || this.repaired().map_err(unusable)).await?;
        let _one_at_a_time = self.inner.inspecting.lock().await;
        for row in rows.values_mut() {
            if row.is_unread() {
                self.describe(row).await?;
            }
        }
        Ok(rows)
    }

    /// Reads the header of a model that nobody has read yet.
    async fn describe_unread(&self, key: Key) -> Result<(), ApiError> {
        let _one_at_a_time = self.inner.inspecting.lock().await;
        let this = self.clone();
        let row = blocking(move || lock(&this.inner.catalog).row(&key).map_err(unusable)).await?;
        match row.filter(Row::is_unread) {
            Some(mut row) => self.describe(&mut row).await,
            None => Ok(()),
        }
    }

    /// Reads a header, with those of the other parts, and writes down what it
    /// says, unless the model has become another meanwhile.
    async fn describe(&self, row: &mut Row) -> Result<(), ApiError> {
        let Some(file) = row.files.first() else { return Ok(()) };
        let path = self.inner.cache.pointer(&row.repo, &row.commit, &file.name);
        let was = row.clone();
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
        let (this, row) = (self.clone(), row.clone());
        blocking(move || this.replace(&was, &row)).await
    }

    /// Writes a row down in the place of the one that it was made from, unless
    /// another is there by now. Blocks.
    fn replace(&self, was: &Row, row: &Row) -> Result<(), ApiError> {
        let catalog = lock(&self.inner.catalog);
        if catalog.row(&row.key()).map_err(unusable)?.as_ref() == Some(was) {
            catalog.write(row).map_err(unusable)?;
            self.inner.changed.notify_one();
        }
        Ok(())
    }

    fn write(&self, row: &Row) -> Result<(), ApiError> {
        lock(&self.inner.catalog).write(row).map_err(unusable)?;
        self.inner.changed.notify_one();
        Ok(())
    }

    /// All rows, in agreement with the disk. Blocks.
    fn repaired(&self) -> Result<BTreeMap<Key, Row>, CatalogError> {
        self.repair(&self.inner.cache.scan(), BTreeSet::new())
    }

    /// All rows, in agreement with what was found, but for what is fetched by
    /// us or written to by others.
    fn repair(
        &self,
        found: &[Found],
        mut busy: BTreeSet<Key>,
    ) -> Result<BTreeMap<Key, Row>, CatalogError> {
        let Inner { cache, catalog, changed, .. } = &*self.inner;
        let catalog = lock(catalog);
        let mut rows = catalog.rows()?;
        let has_part = |row: &Row| {
            row.files.iter().filter_map(|file| file.sha256.as_deref()).any(|sha256| {
                cache.has_part(&row.repo, sha256) || cache.blob(&row.repo, sha256).exists()
            })
        };
        busy.extend(self.busy());
        for repair in reconcile::reconcile(&rows, found, &has_part, &busy) {
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
            // Of what could not be written there is nothing to tell, and whoever
            // is told would only try again at once.
            changed.notify_one();
        }
        Ok(rows)
    }

    fn busy(&self) -> BTreeSet<Key> {
        lock(&self.inner.flights).keys().cloned().collect()
    }
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
