//! `model_download` as the catalogue sees it: which files, whose flight, and
//! what is written down before and after.

use std::sync::Arc;

use protocol::{
    ApiError, ErrorCode, ModelRef,
    model::{ModelFile, ModelRecord, ModelSource, ModelState, Revision},
};

use super::{
    Models,
    catalog::{Row, RowFile, Stage},
    hub::{self, Flight, Follower, Hub, Listing, Order, Stopped, Wanted},
    lock, record,
    select::{self, HubName},
};

/// What asking for a model came to.
pub(crate) enum Started {
    /// It is on its way.
    Flying(Follower),
    /// It is here, and the hub could not be asked whether it still is the
    /// same.
    Here { why: ApiError },
}

impl Models {
    /// Asks the hub what `model` is and starts fetching it, or joins whoever
    /// does. The warning is for a person.
    pub(crate) async fn download(
        &self,
        model: &ModelRef,
        revision: &Revision,
    ) -> Result<(Started, Option<String>), ApiError> {
        let name = HubName::of(model).ok_or_else(|| not_on_a_hub(model))?;
        let (hub, warning) = self.hub()?;
        let wanted = match hub.list(&name.repo, revision).await {
            Ok(listing) => wanted(&name, listing)?,
            Err(why) if why.code == ErrorCode::HubUnreachable => {
                return match self.get(model, &[]).await {
                    Ok(record) if record.state == ModelState::Ready => {
                        Ok((Started::Here { why }, warning))
                    }
                    _ => Err(why),
                };
            }
            // A token that could not be used is the likely cause.
            Err(error) => {
                return Err(match warning {
                    Some(warning) if error.code != ErrorCode::HubDishonest => {
                        error.with_hint(warning)
                    }
                    _ => error,
                });
            }
        };
        let row = unfinished(model, revision, &wanted);
        let follower = self.join(row, revision, wanted).await?;
        Ok((Started::Flying(follower), warning))
    }

    /// What the hub says of a model that is not here.
    pub(crate) async fn ask_hub(&self, model: &ModelRef) -> Result<ModelRecord, ApiError> {
        let name = HubName::of(model).ok_or_else(|| not_on_a_hub(model))?;
        let revision = Revision::default();
        let (hub, _) = self.hub()?;
        let wanted = wanted(&name, hub.list(&name.repo, &revision).await?)?;
        let row = unfinished(model, &revision, &wanted);
        let files = wanted.into_iter().map(|it| ModelFile {
            path: it.name,
            bytes: it.bytes,
            sha256: Some(it.sha256),
        });
        Ok(ModelRecord {
            source: ModelSource::Hub,
            state: ModelState::Available,
            progress: None,
            files: files.collect(),
            ..record::record(&row, &self.inner.hive_id, &self.inner.cache, Vec::new())
        })
    }

    fn hub(&self) -> Result<(Hub, Option<String>), ApiError> {
        let config = &self.inner.hub;
        hub::check_environment()?;
        let endpoint = config.endpoint.clone().map_err(|error| {
            ApiError::new(ErrorCode::Unavailable, error).with_hint("restart the hive without it")
        })?;
        // Most models need none, so a bad one is no reason to give up.
        let (token, warning) = match config.token() {
            Ok(token) => (token, None),
            Err(error) => {
                let cause = std::error::Error::source(&error);
                let cause = cause.map(|it| format!(": {it}")).unwrap_or_default();
                (None, Some(format!("going on without a token: {error}{cause}")))
            }
        };
        Ok((Hub::new(endpoint, token, config.silence.cut_after)?, warning))
    }

    async fn join(
        &self,
        row: Row,
        revision: &Revision,
        wanted: Vec<Wanted>,
    ) -> Result<Follower, ApiError> {
        let (key, order) = (row.key(), self.order(revision, wanted)?);
        loop {
            let leaving = {
                let mut flights = lock(&self.inner.flights);
                match flights.get(&key) {
                    Some(flight) if flight.stop.is_cancelled() => flight.seen.subscribe(),
                    Some(flight) => return Ok(flight.follow()),
                    None => {
                        let flight = Flight::new();
                        let follower = flight.follow();
                        flights.insert(key, Arc::clone(&flight));
                        self.inner.changed.notify_one();
                        tokio::spawn(self.clone().fly(row, order, flight));
                        return Ok(follower);
                    }
                }
            };
            // One that nobody wanted any more: it is over in moments.
            let mut leaving = leaving;
            let _ = leaving.wait_for(|seen| seen.ended.is_some()).await;
            tokio::task::yield_now().await;
        }
    }

    fn order(&self, revision: &Revision, wanted: Vec<Wanted>) -> Result<Order, ApiError> {
        let config = &self.inner.hub;
        Ok(Order {
            endpoint: config
                .endpoint
                .clone()
                .map_err(|error| ApiError::new(ErrorCode::Unavailable, error))?,
            token: config.token().ok().flatten(),
            cache: self.inner.cache.clone(),
            revision: revision.clone(),
            chunk_bytes: config.chunk_bytes,
            silence: config.silence,
            wanted,
        })
    }

    async fn fly(self, row: Row, order: Order, flight: Arc<Flight>) {
        let key = row.key();
        let outcome = match self.write(&row) {
            Ok(()) => hub::fly(&order, &flight).await,
            Err(error) => Err(Stopped::Cut(error)),
        };
        let (stage, error) = match outcome {
            Ok(()) => (Stage::Ready, None),
            Err(Stopped::Cancelled) => (Stage::Partial, None),
            Err(Stopped::Cut(error)) => (Stage::Partial, Some(error)),
            Err(Stopped::Failed(error)) => (Stage::Failed, Some(error)),
        };
        let mut row = Row { stage, error: error.clone(), ..row };
        let mut ended = error.map_or(Ok(()), Err);
        let written = self.write(&row);
        if row.stage == Stage::Ready && written.is_ok() {
            let _one_at_a_time = self.inner.inspecting.lock().await;
            if let Err(error) = self.describe(&mut row).await {
                tracing::warn!(%error, "cannot write down what a model's header says");
            }
            if let Some(error) = row.error.clone() {
                ended = Err(error);
            }
        }
        let ended = written.and(ended);
        tracing::info!(id = %row.id, stage = ?row.stage, ?ended, "a download has ended");
        // Gone before it is told, so that who asks again starts anew.
        lock(&self.inner.flights).remove(&key);
        self.inner.changed.notify_one();
        flight.seen.send_modify(|seen| seen.ended = Some(ended));
    }
}

fn wanted(name: &HubName, listing: Listing) -> Result<Vec<Wanted>, ApiError> {
    let group = select::select(name, listing.files.iter().map(|file| file.name.as_str()))?;
    let file = |wanted: &String| {
        let file = listing.files.iter().find(|file| file.name == *wanted);
        let (file, sha256) =
            file.and_then(|file| Some((file, file.sha256.clone()?))).ok_or_else(|| {
                hub::dishonest(format!("the hub lists {wanted} without a sha256"))
                    .with_hint("only files that the hub keeps with git-lfs can be checked")
            })?;
        if file.bytes == 0 {
            return Err(hub::dishonest(format!("{wanted} is empty on the hub")));
        }
        Ok(Wanted {
            repo: name.repo.clone(),
            commit: listing.commit.clone(),
            name: file.name.clone(),
            sha256,
            bytes: file.bytes,
        })
    };
    group.files.iter().map(file).collect()
}

fn unfinished(model: &ModelRef, revision: &Revision, wanted: &[Wanted]) -> Row {
    let first = wanted.first();
    Row {
        id: model.clone(),
        repo: first.map(|it| it.repo.clone()).unwrap_or_default(),
        revision: Some(revision.clone()),
        commit: first.map(|it| it.commit.clone()).unwrap_or_default(),
        files: wanted
            .iter()
            .map(|it| RowFile {
                name: it.name.clone(),
                bytes: it.bytes,
                sha256: Some(it.sha256.clone()),
            })
            .collect(),
        stage: Stage::Partial,
        error: None,
        info: None,
    }
}

fn not_on_a_hub(model: &ModelRef) -> ApiError {
    ApiError::new(
        ErrorCode::InvalidField,
        format!("field `model`: {model} is no model of the hub, so there is nothing to download"),
    )
    .with_hint("such as org/repo, org/repo:Q4_K_M or org/repo:file.gguf")
}
