//! What keeps a model while a worker is started with it.
//!
//! ```text
//! spawn:   lease ─▶ worker is listed ─▶ lease ends
//! delete:  under the lock of the leases: nobody leases it, no worker has it ─▶ files go
//! ```
//!
//! Between the two a model is seen in use at every moment, so a delete is
//! refused or the spawn finds it gone, and never neither.

use std::sync::Arc;

use protocol::{ApiError, ErrorCode, ModelRef, WorkerId};

use super::{
    Inner, ModelFile, Models, blocking,
    cache::HubCache,
    catalog::{Key, Row, Stage},
    demo, lock, record,
    select::HubName,
    unusable,
};

/// While this lives, its model stays.
#[derive(Debug)]
pub(crate) struct Lease {
    /// `None` for a model that is not ours to delete.
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    inner: Arc<Inner>,
    key: Key,
    worker: WorkerId,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(Held { inner, key, worker }) = &self.held else { return };
        let mut leases = lock(&inner.leases);
        if let Some(workers) = leases.get_mut(key) {
            workers.remove(worker);
            if workers.is_empty() {
                leases.remove(key);
            }
        }
    }
}

impl Models {
    /// The file of `model`, which stays for as long as the lease lives: until
    /// `worker` is on the list of those who have it.
    pub(crate) async fn claim(
        &self,
        model: &ModelRef,
        worker: &WorkerId,
    ) -> Result<(ModelFile, Lease), ApiError> {
        let (this, model, worker) = (self.clone(), model.clone(), worker.clone());
        blocking(move || this.claim_now(&model, worker)).await
    }

    fn claim_now(
        &self,
        model: &ModelRef,
        worker: WorkerId,
    ) -> Result<(ModelFile, Lease), ApiError> {
        let Inner { cache, demo_dir, .. } = &*self.inner;
        let rows = self.repaired().map_err(unusable)?;
        if HubName::of(model).is_some() {
            let row = record::find(&rows, model)?;
            let file = runnable(row, cache)?;
            let lease = self.lease(row.key(), worker);
            // It may have been removed before the lease was there.
            all_here(row, cache)?;
            return Ok((file, lease));
        }
        // A path may lead into the cache, to a model that can be deleted.
        let row = rows.values().find(|row| record::is_file_of(cache, row, model.as_str()));
        let lease = match row {
            Some(row) => self.lease(row.key(), worker),
            None => Lease { held: None },
        };
        let files = demo::resolve(model, demo_dir)?;
        let bytes = files.iter().map(|file| file.bytes).sum();
        Ok((ModelFile { path: files[0].path.clone(), bytes }, lease))
    }

    fn lease(&self, key: Key, worker: WorkerId) -> Lease {
        let inner = Arc::clone(&self.inner);
        lock(&inner.leases).entry(key.clone()).or_default().insert(worker.clone());
        Lease { held: Some(Held { inner, key, worker }) }
    }
}

/// The first file of a model that a worker can be started with.
fn runnable(row: &Row, cache: &HubCache) -> Result<ModelFile, ApiError> {
    let id = &row.id;
    let fetch = || format!("rbee-keeper model download {id}");
    match (row.stage, row.files.first()) {
        (Stage::Failed, _) => {
            let why = row.error.as_ref().map_or("it failed", |error| error.message.as_str());
            let message = format!("model {id} cannot be used: {why}");
            let hint = row.error.as_ref().and_then(|error| error.hint.clone());
            Err(ApiError::new(ErrorCode::ModelUnusable, message)
                .with_hint(hint.unwrap_or_else(fetch)))
        }
        (Stage::Ready, Some(first)) => Ok(ModelFile {
            path: cache.pointer(&row.repo, &row.commit, &first.name),
            bytes: row.bytes(),
        }),
        (Stage::Partial | Stage::Ready, _) => {
            let message = format!("model {id} is only partly on this machine");
            Err(ApiError::new(ErrorCode::ModelNotFound, message).with_hint(fetch()))
        }
    }
}

/// Parts stand beside each other, under the commit of the first.
fn all_here(row: &Row, cache: &HubCache) -> Result<(), ApiError> {
    let is_here = |name: &str| cache.pointer(&row.repo, &row.commit, name).exists();
    let message = match row.files.iter().position(|file| !is_here(&file.name)) {
        None => return Ok(()),
        Some(0) => format!("model {} has just been deleted", row.id),
        Some(at) => {
            format!("model {} is not all here: {} is missing", row.id, row.files[at].name)
        }
    };
    Err(ApiError::new(ErrorCode::ModelNotFound, message)
        .with_hint(format!("rbee-keeper model download {}", row.id)))
}
