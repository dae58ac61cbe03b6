//! A model as it is shown, and who runs it. Pure.

use std::collections::BTreeMap;

use protocol::{
    ApiError, ErrorCode, HiveId, ModelRef, WorkerId,
    fleet::WorkerRecord,
    job::Progress,
    model::{ModelFile, ModelInfo, ModelRecord, ModelSource, ModelState},
    suggest::nearest,
};

use super::{
    cache::HubCache,
    catalog::{Key, Row, RowFile, Stage},
    select::{self, HubName},
};

/// The row that `model` means.
pub(crate) fn find<'a>(
    rows: &'a BTreeMap<Key, Row>,
    model: &ModelRef,
) -> Result<&'a Row, ApiError> {
    if let Some(row) = rows.values().find(|row| row.id == *model) {
        return Ok(row);
    }
    let missing = || not_here(rows, model);
    let name = HubName::of(model).ok_or_else(missing)?;
    let of_repo = || rows.values().filter(|row| row.repo == name.repo);
    let files = || of_repo().flat_map(|row| row.files.iter().map(|file| file.name.as_str()));
    files().next().ok_or_else(missing)?;
    let group = select::select(&name, files()).map_err(|error| match error.hint {
        Some(hint) => missing().with_hint(format!("here is another: {hint}")),
        None => missing(),
    })?;
    of_repo()
        .find(|row| row.files.first().is_some_and(|file| file.name == group.first()))
        .ok_or_else(missing)
}

fn not_here(rows: &BTreeMap<Key, Row>, model: &ModelRef) -> ApiError {
    let error =
        ApiError::new(ErrorCode::ModelNotFound, format!("model {model} is not on this machine"));
    match nearest(model.as_str(), rows.values().map(|row| row.id.as_str())) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None => error.with_hint(format!("rbee-keeper model download {model}")),
    }
}

/// The workers that have a model, or are about to, by their model.
pub(crate) fn users(
    rows: &BTreeMap<Key, Row>,
    cache: &HubCache,
    workers: &[WorkerRecord],
) -> BTreeMap<Key, Vec<WorkerId>> {
    let mut users: BTreeMap<Key, Vec<WorkerId>> = BTreeMap::new();
    for worker in workers.iter().filter(|worker| !worker.state.is_ended()) {
        let row = find(rows, &worker.model).ok().or_else(|| {
            // A worker may have been given the path of the file itself.
            rows.values().find(|row| is_file_of(cache, row, worker.model.as_str()))
        });
        if let Some(row) = row {
            users.entry(row.key()).or_default().push(worker.id.clone());
        }
    }
    users
}

/// Whether `named` is the path of one of the model's files, or of its bytes.
pub(crate) fn is_file_of(cache: &HubCache, row: &Row, named: &str) -> bool {
    row.files.iter().any(|file| {
        let blob = file.sha256.as_deref().map(|sha256| cache.blob(&row.repo, sha256));
        path(cache, row, file) == named || blob.is_some_and(|it| it.as_os_str() == named)
    })
}

fn path(cache: &HubCache, row: &Row, file: &RowFile) -> String {
    cache.pointer(&row.repo, &row.commit, &file.name).display().to_string()
}

/// A row as it is shown, without what is going on with it.
pub(crate) fn record(
    row: &Row,
    hive_id: &HiveId,
    cache: &HubCache,
    used_by: Vec<WorkerId>,
) -> ModelRecord {
    let state = match row.stage {
        Stage::Ready => ModelState::Ready,
        Stage::Partial => ModelState::Partial,
        Stage::Failed => ModelState::Failed,
    };
    let first = row.files.first().map(|file| file.name.as_str()).unwrap_or_default();
    let named = select::quantisation(first).map(str::to_owned);
    let mut record = ModelRecord {
        id: row.id.clone(),
        hive_id: hive_id.clone(),
        source: ModelSource::Hub,
        repo: Some(row.repo.clone()),
        revision: row.revision.as_ref().map(ToString::to_string),
        files: row
            .files
            .iter()
            .map(|file| ModelFile {
                path: path(cache, row, file),
                bytes: file.bytes,
                sha256: file.sha256.clone().filter(|_| row.stage == Stage::Ready),
            })
            .collect(),
        bytes: row.bytes(),
        state,
        progress: (row.stage == Stage::Partial).then(|| here(row, cache)),
        architecture: None,
        parameters: None,
        quantisation: named,
        context_length: None,
        context_length_max: None,
        kv_bytes_per_token: None,
        memory_bytes_estimate: None,
        used_by,
        error: row.error.clone(),
    };
    if let Some(info) = &row.info {
        describe(&mut record, info);
    }
    record
}

/// Adds what a header says.
pub(crate) fn describe(record: &mut ModelRecord, info: &ModelInfo) {
    record.architecture = Some(info.architecture.clone());
    record.parameters = Some(info.parameters);
    record.quantisation = Some(info.quantisation.clone());
    record.context_length = Some(info.context_length);
    record.context_length_max = Some(info.context_length_max);
    record.kv_bytes_per_token = Some(info.kv_bytes_per_token);
    record.memory_bytes_estimate = Some(info.memory_bytes_estimate);
}

/// How much of an unfinished model is on disk.
pub(crate) fn here(row: &Row, cache: &HubCache) -> Progress {
    let done = |file: &RowFile| match &file.sha256 {
        Some(sha256) if !cache.blob(&row.repo, sha256).exists() => {
            cache.committed(&row.repo, sha256, file.bytes)
        }
        _ => file.bytes,
    };
    Progress {
        done: row.files.iter().map(done).sum(),
        total: Some(row.bytes()),
        unit: "bytes".to_owned(),
        rate: None,
        eta_s: None,
    }
}

/// A file that somebody put on this machine, or the demo model.
pub(crate) fn plain(
    id: &ModelRef,
    hive_id: &HiveId,
    files: &[super::ModelFile],
    workers: &[WorkerRecord],
) -> ModelRecord {
    let used_by = workers.iter().filter(|it| it.model == *id && !it.state.is_ended());
    ModelRecord {
        id: id.clone(),
        hive_id: hive_id.clone(),
        source: if id.is_demo() { ModelSource::Demo } else { ModelSource::File },
        repo: None,
        revision: None,
        files: files
            .iter()
            .map(|file| ModelFile {
                path: file.path.display().to_string(),
                bytes: file.bytes,
                sha256: None,
            })
            .collect(),
        bytes: files.iter().map(|file| file.bytes).sum(),
        state: ModelState::Ready,
        progress: None,
        architecture: None,
        parameters: None,
        quantisation: None,
        context_length: None,
        context_length_max: None,
        kv_bytes_per_token: None,
        memory_bytes_estimate: None,
        used_by: used_by.map(|it| it.id.clone()).collect(),
        error: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::catalog::tests::row;

    fn rows() -> BTreeMap<Key, Row> {
        [
            Row { id: "o/r".parse().unwrap(), ..row("o/r", &[("x-Q4_K_M.gguf", 3)], Stage::Ready) },
            row("o/r", &[("x-Q8_0.gguf", 5)], Stage::Partial),
        ]
        .into_iter()
        .map(|row| (row.key(), row))
        .collect()
    }

    #[test]
    fn a_model_is_found_by_every_name_that_means_it() {
        let rows = rows();
        let found = |name: &str| find(&rows, &name.parse().unwrap()).map(|row| row.bytes());
        for name in ["o/r", "o/r:Q4_K_M", "o/r:q4_k_m", "o/r:x-Q4_K_M.gguf"] {
            assert_eq!(found(name), Ok(3), "{name}");
        }
        assert_eq!(found("o/r:Q8_0"), Ok(5));
        let error = found("o/other").unwrap_err();
        assert_eq!(error.code, ErrorCode::ModelNotFound);
        assert!(error.hint.is_some_and(|hint| !hint.is_empty()));
    }

    #[test]
    fn a_worker_uses_a_model_under_any_of_its_names_until_it_has_ended() {
        let rows = rows();
        let cache = HubCache::new("/cache".into());
        let key = Key { repo: "o/r".to_owned(), file: "x-Q4_K_M.gguf".to_owned() };
        let path = path(&cache, &rows[&key], &rows[&key].files[0]);
        let worker = |id: &str, model: &str, state: &str| -> WorkerRecord {
            serde_json::from_value(serde_json::json!({
                "id": id, "hive_id": "localhost", "model": model, "device": "CPU-0",
                "state": state, "incarnation": 1,
            }))
            .unwrap()
        };
        let workers = [
            worker("wk-1", "o/r:Q4_K_M", "ready"),
            worker("wk-2", "o/r:x-Q4_K_M.gguf", "failed"),
            worker("wk-3", "o/r:Q8_0", "ready"),
            worker("wk-4", &path, "loading"),
            worker("wk-5", "demo", "ready"),
        ];
        let users = users(&rows, &cache, &workers).remove(&key).unwrap_or_default();
        assert_eq!(users.iter().map(WorkerId::as_str).collect::<Vec<_>>(), ["wk-1", "wk-4"]);
    }
}
