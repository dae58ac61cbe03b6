//! The catalogue on real files, as other tools leave them.

use std::fs;

use futures::FutureExt;
use protocol::model::{ModelSource, ModelState};
use tempfile::TempDir;

use super::{
    cache::tests::{COMMIT, put},
    *,
};

struct Bench {
    models: Models,
    cache: HubCache,
    directory: TempDir,
}

pub(super) fn open(directory: &Path) -> Models {
    let hub = HubConfig {
        endpoint: Err("nobody asks the hub here".to_owned()),
        cache_dir: directory.join("hub"),
        token_file: TokenFile::Usual(directory.join("token")),
        silence: Silence::default(),
        chunk_bytes: 1024,
    };
    let catalog = directory.join("models.sqlite");
    Models::open(HiveId::localhost(), directory.join("models"), hub, &catalog).unwrap()
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let models = open(directory.path());
        Self { models, cache: HubCache::new(directory.path().join("hub")), directory }
    }

    async fn ids(&self) -> Vec<String> {
        let models = self.models.list(&[]).await.unwrap();
        models.into_iter().map(|it| it.id.to_string()).collect()
    }
}

pub(super) fn worker(model: &str, state: &str) -> WorkerRecord {
    serde_json::from_value(serde_json::json!({
        "id": "wk-1", "hive_id": "localhost", "model": model, "device": "CPU-0",
        "state": state, "incarnation": 1,
    }))
    .unwrap()
}

fn wk(number: u32) -> WorkerId {
    format!("wk-{number}").parse().unwrap()
}

fn id(name: &str) -> ModelRef {
    name.parse().unwrap()
}

#[tokio::test]
async fn an_empty_machine_has_the_demo_model() {
    let bench = Bench::new();
    let models = bench.models.list(&[worker("demo", "ready")]).await.unwrap();
    assert_eq!(models.len(), 1);
    assert_eq!((models[0].source, models[0].state), (ModelSource::Demo, ModelState::Ready));
    assert_eq!(models[0].used_by.len(), 1);
    let error = bench.models.delete(&ModelRef::demo(), Vec::new).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
}

#[tokio::test]
async fn what_other_tools_fetched_is_listed_forgotten_and_found_again_without_a_restart() {
    let bench = Bench::new();
    let split = ["b-00001-of-00002.gguf", "b-00002-of-00002.gguf"];
    for name in split {
        put(&bench.cache, "o/r", COMMIT, name, b"GGUF");
    }
    let expected = "o/r:b-00001-of-00002.gguf";
    assert_eq!(bench.ids().await[1], expected);
    // Another hive's life: the catalogue is read, not found anew.
    drop(bench.models);
    let models = open(bench.directory.path());
    let bench = Bench { models, ..bench };
    assert_eq!(bench.ids().await[1], expected);
    fs::remove_dir_all(bench.cache.repo_dir("o/r")).unwrap();
    assert_eq!(bench.ids().await.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_tried_again_at_once() {
    let bench = Bench::new();
    let catalog = rusqlite::Connection::open(bench.directory.path().join("models.sqlite")).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON models BEGIN SELECT RAISE(ABORT, 'full'); END";
    catalog.execute_batch(full).unwrap();
    put(&bench.cache, "o/r", COMMIT, "a.gguf", b"GGUF");
    let is_told = || bench.models.inner.changed.notified().now_or_never().is_some();
    bench.models.repaired().unwrap_err();
    assert!(!is_told(), "who is told looks again");
    catalog.execute_batch("DROP TRIGGER full").unwrap();
    bench.models.repaired().unwrap();
    assert!(is_told());
}

#[tokio::test]
async fn a_model_in_use_is_not_deleted_and_its_workers_are_named() {
    let bench = Bench::new();
    put(&bench.cache, "o/r", COMMIT, "a-Q4_K_M.gguf", b"GGUF");
    let name = id("o/r:Q4_K_M");
    let busy = [worker("o/r:a-Q4_K_M.gguf", "busy")];
    let error = bench.models.delete(&name, move || busy.to_vec()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(error.message.ends_with("is in use by wk-1"), "{error}");
    assert_eq!(error.hint.as_deref(), Some("first: rbee-keeper worker delete wk-1"));

    bench.models.delete(&name, || vec![worker("o/r:Q4_K_M", "stopped")]).await.unwrap();
    assert!(!bench.cache.repo_dir("o/r").exists(), "nothing stays behind");
    assert_eq!(bench.models.get(&name, &[]).await.unwrap_err().code, ErrorCode::ModelNotFound);
}

#[tokio::test]
async fn a_model_that_a_worker_is_being_started_with_is_not_deleted() {
    let bench = Bench::new();
    put(&bench.cache, "o/r", COMMIT, "a.gguf", b"GGUF");
    let name = id("o/r");
    let (file, lease) = bench.models.claim(&name, &wk(1)).await.unwrap();
    assert_eq!(file.bytes, 4);
    let error = bench.models.delete(&name, Vec::new).await.unwrap_err();
    assert!(error.message.ends_with("in use: wk-1 is being started"), "{error}");
    drop(lease);
    // By its path as well.
    let path = id(file.path.to_str().unwrap());
    let (_, lease) = bench.models.claim(&path, &wk(2)).await.unwrap();
    let error = bench.models.delete(&name, Vec::new).await.unwrap_err();
    assert!(error.message.ends_with("in use: wk-2 is being started"), "{error}");
    drop(lease);
    bench.models.delete(&name, Vec::new).await.unwrap();
}

#[tokio::test]
async fn a_delete_leaves_the_other_files_of_the_repository() {
    let bench = Bench::new();
    put(&bench.cache, "o/r", COMMIT, "a.gguf", b"GGUF");
    put(&bench.cache, "o/r", COMMIT, "b.gguf", b"GGUF");
    bench.models.delete(&id("o/r:a.gguf"), Vec::new).await.unwrap();
    let left: Vec<_> =
        bench.cache.repo("o/r").into_iter().map(|it| it.files[0].name.clone()).collect();
    assert_eq!(left, ["b.gguf"]);
    assert_eq!(fs::read_dir(bench.cache.repo_dir("o/r").join("blobs")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_model_that_is_not_here_comes_with_the_command_that_fetches_it() {
    let bench = Bench::new();
    let name = id("org/repo:Q4_K_M");
    for error in [
        bench.models.check(&name).unwrap_err(),
        bench.models.claim(&name, &wk(1)).await.unwrap_err(),
        bench.models.get(&name, &[]).await.unwrap_err(),
    ] {
        assert_eq!(error.code, ErrorCode::ModelNotFound);
        assert_eq!(error.message, "model org/repo:Q4_K_M is not on this machine");
        assert_eq!(error.hint.as_deref(), Some("rbee-keeper model download org/repo:Q4_K_M"));
    }
}

/// Every worker is leased, listed, and only then no longer leased; the list is
/// asked for by whoever deletes.
#[tokio::test(flavor = "multi_thread")]
async fn a_spawn_and_a_delete_at_the_same_time_never_both_succeed() {
    let bench = Bench::new();
    let name = id("o/r");
    let (mut spawned, mut deleted) = (0, 0);
    for _ in 0..100 {
        put(&bench.cache, "o/r", COMMIT, "a.gguf", b"GGUF");
        let listed = Arc::new(Mutex::new(Vec::new()));
        let spawn = {
            let (models, name, listed) = (bench.models.clone(), name.clone(), listed.clone());
            tokio::spawn(async move {
                let (_, lease) = models.claim(&name, &wk(1)).await?;
                lock(&listed).push(worker("o/r", "starting"));
                drop(lease);
                Ok::<_, ApiError>(())
            })
        };
        let delete = {
            let (models, name) = (bench.models.clone(), name.clone());
            tokio::spawn(async move { models.delete(&name, move || lock(&listed).clone()).await })
        };
        match (spawn.await.unwrap(), delete.await.unwrap()) {
            (Ok(()), Err(refused)) => {
                assert_eq!(refused.code, ErrorCode::Conflict);
                assert!(refused.message.contains("wk-1"), "{refused}");
                bench.models.delete(&name, Vec::new).await.unwrap();
                spawned += 1;
            }
            (Err(missing), Ok(_)) => {
                assert_eq!(missing.code, ErrorCode::ModelNotFound);
                assert!(missing.hint.is_some(), "{missing}");
                deleted += 1;
            }
            (spawn, delete) => panic!("{spawn:?}, {delete:?}"),
        }
    }
    assert_eq!(spawned + deleted, 100);
}

#[tokio::test]
async fn a_download_that_nobody_took_up_is_removed_when_a_hive_starts() {
    let bench = Bench::new();
    let row = catalog::tests::row("o/r", &[("a.gguf", 3)], Stage::Partial);
    let sha256 = row.files[0].sha256.clone().unwrap();
    bench.models.write(&row).unwrap();
    sweep::tests::leave(&bench.cache, "o/r", &sha256, 3);
    sweep::tests::leave(&bench.cache, "o/r", &"cd".repeat(32), 3);
    let models = open(bench.directory.path());
    assert_eq!(models.get(&row.id, &[]).await.unwrap().state, ModelState::Partial);
    let left = |bench: &Bench| bench.cache.parts().len();
    assert_eq!(left(&bench), 1, "what no model wants is gone");

    sweep::tests::leave(&bench.cache, "o/r", &sha256, 30);
    let models = open(bench.directory.path());
    assert_eq!(left(&bench), 0);
    assert_eq!(models.get(&row.id, &[]).await.unwrap_err().code, ErrorCode::ModelNotFound);
}
