use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    bench::*,
    double::{COMMIT, Double, Manner, sha256},
};
use client::JobItem;
use protocol::{
    HiveId,
    job::JobEvent,
    model::{ModelRecord, ModelState},
};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_quantisation_is_fetched_compared_and_not_fetched_again() {
    let (q4, q8) = (model(10), model(20));
    let bench = Bench::new(&[(Q4, &q4), ("tiny-Q8_0.gguf", &q8), ("README.md", b"hello")]).await;
    let told = bench.run(download("org/repo:Q4_K_M")).await;
    let model = told.model();
    assert_eq!((&model["state"], &model["bytes"]), (&json!("ready"), &json!(q4.len())));
    assert_eq!(model["files"][0]["sha256"], sha256(&q4));
    let last = told.events.iter().rev().find_map(JobEvent::progress).unwrap();
    assert_eq!((last.done, last.total), (q4.len() as u64, Some(q4.len() as u64)));
    let blob = bench.blob(&q4);
    assert_eq!(fs::read(&blob).unwrap(), q4);
    assert_eq!(fs::metadata(&blob).unwrap().permissions().mode() & 0o777, 0o444);
    assert!(!bench.blob(&q8).exists(), "one file was asked for");

    bench.hub.forget();
    let again = bench.run(download(&format!("org/repo:{Q4}"))).await;
    assert_eq!(again.model()["state"], "ready");
    assert_eq!(bench.hub.asked_bytes(), 0);

    let deleted = bench.run(json!({"operation": "model_delete", "id": "org/repo"})).await;
    assert!(deleted.outcome.is_ok(), "{deleted:?}");
    assert!(!cache(bench.directory.path()).join("models--org--repo/snapshots").exists());
    bench.server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_model_brings_all_its_parts_and_a_tag_is_a_revision() {
    let parts = ["big/x-Q8_0-00001-of-00002.gguf", "big/x-Q8_0-00002-of-00002.gguf"];
    let [one, two] = model_in_parts();
    let bench = Bench::new(&[(parts[0], &one), (parts[1], &two)]).await;
    let operation =
        json!({"operation": "model_download", "model": "org/repo:Q8_0", "revision": "v1"});
    let told = bench.run(operation).await;
    assert_eq!(told.model()["files"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&told.model()["state"], &told.model()["revision"]),
        (&json!("ready"), &json!("v1"))
    );
    for (part, bytes) in parts.iter().zip([&one, &two]) {
        let snapshot = cache(bench.directory.path()).join("models--org--repo/snapshots");
        assert_eq!(fs::read(snapshot.join(COMMIT).join(part)).unwrap(), *bytes);
    }
    // Its header is that of both: a worker can be started with it.
    if lifecycle::locate("llm-worker-rbee").is_ok() {
        assert_eq!(told.model()["architecture"], "llama", "{told:?}");
        let spawned = bench.run(json!({"operation": "worker_spawn", "model": "org/repo"})).await;
        let worker = spawned.outcome.as_ref().unwrap()["worker"]["id"].clone();
        let refused = bench.run(json!({"operation": "model_delete", "id": "org/repo"})).await;
        assert!(refused.outcome.unwrap_err().message.contains(worker.as_str().unwrap()));
        bench.run(json!({"operation": "worker_delete", "worker_id": worker})).await;
    } else {
        eprintln!("SKIPPED: no worker program is built; nobody has read the parts together");
    }
    let none = json!({"operation": "model_download", "model": "org/repo", "revision": "v9"});
    let none = bench.run(none).await;
    assert_eq!(none.code(), "model_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_line_is_taken_up_again_where_it_broke() {
    let bytes = model(0);
    let bench = Bench::new(&[(Q4, &bytes)]).await;
    bench.hub.behave(Manner::CutsAfter { bytes: CHUNK / 2, times: 2 });
    let told = bench.run(download("org/repo")).await;
    assert_eq!(told.model()["state"], "ready");
    assert!(told.said("broke off; trying again in"), "{:?}", told.events);
    assert_eq!(fs::read(bench.blob(&bytes)).unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_download_leaves_what_it_has_and_the_next_one_goes_on() {
    let bytes = model(0);
    let bench = Bench::new(&[(Q4, &bytes)]).await;
    bench.hub.behave(Manner::HangsFrom(4 * CHUNK));
    let job = submit(&bench.daemon, download("org/repo")).await;
    until("four pieces are here", || bench.committed(&bytes) == 4 * CHUNK as u64).await;
    let running = bench.get("org/repo").await;
    assert_eq!(running.model()["state"], "downloading");
    let refused = bench.run(json!({"operation": "model_delete", "id": "org/repo"})).await;
    assert_eq!(refused.code(), "conflict");

    bench.daemon.cancel(&job).await.unwrap();
    assert_eq!(follow(&bench.daemon, &job).await.code(), "cancelled");
    bench.hub.behave(Manner::Honest);
    bench.hub.forget();
    let told = bench.run(download("org/repo")).await;
    assert_eq!(told.model()["state"], "ready");
    assert!(told.said("resumed tiny-Q4_K_M.gguf at 36 %"), "{:?}", told.events);
    assert_eq!(bench.hub.asked_bytes(), (bytes.len() - 4 * CHUNK) as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_is_on_the_feed_from_its_beginning_to_its_end() {
    let bytes = model(0);
    let bench = Bench::new(&[(Q4, &bytes)]).await;
    let feed = bench.server.direct().feed().clone();
    let until = async |what: &str, is_so: &dyn Fn(&ModelRecord) -> bool| {
        let key = (HiveId::localhost(), "org/repo".parse().unwrap());
        let so = feed.wait_for(|fleet| fleet.models.get(&key).filter(|it| is_so(it)).cloned());
        match tokio::time::timeout(PATIENCE, so).await {
            Ok(record) => record,
            Err(_) => panic!("not {what}: {:?}", feed.fleet().models),
        }
    };
    bench.hub.behave(Manner::HangsFrom(4 * CHUNK));
    let job = submit(&bench.daemon, download("org/repo")).await;
    let some = |it: &ModelRecord| it.progress.as_ref().is_some_and(|it| it.done > 0);
    let coming = until("coming", &|it| it.state == ModelState::Downloading && some(it)).await;
    assert_eq!(coming.progress.unwrap().total, Some(bytes.len() as u64));
    bench.daemon.cancel(&job).await.unwrap();
    until("partial", &|it| it.state == ModelState::Partial && some(it)).await;
    bench.hub.behave(Manner::Honest);
    bench.run(download("org/repo")).await;
    let ready = until("ready", &|it| it.state == ModelState::Ready).await;
    assert_eq!((ready.bytes, ready.progress), (bytes.len() as u64, None));

    bench.run(json!({"operation": "model_delete", "id": "org/repo"})).await;
    let gone = feed.wait_for(|fleet| (fleet.models.len() == 1).then_some(()));
    tokio::time::timeout(PATIENCE, gone).await.expect("the demo model is left");
    bench.server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_ask_share_one_download_and_one_may_leave() {
    let bytes = model(0);
    let bench = Bench::new(&[(Q4, &bytes)]).await;
    bench.hub.behave(Manner::HangsFrom(CHUNK));
    let first = submit(&bench.daemon, download("org/repo")).await;
    until("a piece is here", || bench.committed(&bytes) > 0).await;
    let second = submit(&bench.daemon, download("org/repo:Q4_K_M")).await;
    let mut stream = bench.daemon.follow(&second, 0);
    let progress = async {
        loop {
            match stream.next_item().await.unwrap().unwrap() {
                JobItem::Event { event, .. } if event.progress().is_some() => return,
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, progress).await.unwrap();
    bench.daemon.cancel(&first).await.unwrap();
    assert_eq!(follow(&bench.daemon, &first).await.code(), "cancelled");
    let transfers =
        bench.hub.seen().iter().filter(|it| it.range.as_deref() == Some("bytes=0-262143")).count();
    // The hub redirects, so each piece is seen there and where it leads.
    assert_eq!(transfers, 2, "the first piece was fetched once");
    let still = bench.get("org/repo").await;
    assert_eq!(still.model()["state"], "downloading");
    bench.daemon.cancel(&second).await.unwrap();
    assert_eq!(follow(&bench.daemon, &second).await.code(), "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_lies_is_refused_and_nothing_of_it_is_ready() {
    let bytes = model(0);
    let outside = tempfile::tempdir().unwrap();
    let evil = outside.path().join("evil").display().to_string();
    for (manner, code) in [
        (Manner::FlipsABit, "wrong_bytes"),
        (Manner::LoginPage, "hub_dishonest"),
        (Manner::Etag(evil), "hub_dishonest"),
        (Manner::Grows, "hub_dishonest"),
        (Manner::RedirectsTo("http://169.254.169.254/latest".to_owned()), "hub_dishonest"),
        (Manner::RedirectsTo("file:///etc/passwd".to_owned()), "hub_dishonest"),
    ] {
        let bench = Bench::new(&[(Q4, &bytes)]).await;
        bench.hub.behave(manner.clone());
        let told = bench.run(download("org/repo")).await;
        assert_eq!(told.code(), code, "{manner:?}: {told:?}");
        assert!(!bench.blob(&bytes).exists(), "{manner:?}");
        assert_eq!(bench.get("org/repo").await.model()["state"], "failed", "{manner:?}");
        let spawn = json!({"operation": "worker_spawn", "model": "org/repo"});
        assert!(bench.run(spawn).await.outcome.is_err());
        // An honest hub mends it.
        bench.hub.behave(Manner::Honest);
        assert_eq!(bench.run(download("org/repo")).await.model()["state"], "ready", "{manner:?}");
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "headers name no files");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_knows_no_ranges_is_borne_with() {
    let bytes = model(0);
    let bench = Bench::new(&[(Q4, &bytes)]).await;
    bench.hub.behave(Manner::IgnoresRange);
    assert_eq!(bench.run(download("org/repo")).await.model()["state"], "ready");
    assert_eq!(fs::read(bench.blob(&bytes)).unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_not_here_can_be_asked_about() {
    let bytes = model(0);
    let bench = Bench::new(&[(Q4, &bytes)]).await;
    let told = bench.run(json!({"operation": "model_get", "id": "org/repo", "hub": true})).await;
    assert_eq!(
        (&told.model()["state"], &told.model()["bytes"]),
        (&json!("available"), &json!(bytes.len()))
    );
    assert_eq!(bench.get("org/repo").await.code(), "model_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hive_that_was_killed_goes_on_where_it_was() {
    const PIECE: usize = 8 * 1024 * 1024;
    let bytes = model(3 * PIECE);
    let hub = Double::serve(&[(Q4, &bytes)]).await;
    let directory = tempfile::tempdir().unwrap();
    hub.behave(Manner::HangsFrom(PIECE));
    let (first, daemon) = launch(&hub, directory.path(), &[]);
    submit(&daemon, download("org/repo")).await;
    until("a piece is here", || committed(directory.path(), &bytes) == PIECE as u64).await;
    drop(first);

    hub.behave(Manner::Honest);
    hub.forget();
    let (_second, daemon) = launch(&hub, directory.path(), &[]);
    let told = run(&daemon, json!({"operation": "model_get", "id": "org/repo"})).await;
    assert_eq!(
        (&told.model()["state"], &told.model()["progress"]["done"]),
        (&json!("partial"), &json!(PIECE))
    );
    let told = run(&daemon, download("org/repo")).await;
    assert_eq!(told.model()["state"], "ready");
    assert_eq!(hub.asked_bytes(), (bytes.len() - PIECE) as u64);
    assert_eq!(fs::read(blob(directory.path(), &sha256(&bytes))).unwrap(), bytes);
}

/// The hub's own client, installed once for all runs; `None` where there is no
/// Python that could have it.
fn python() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("huggingface-hub");
    let python = venv.join("bin/python");
    let succeeds = |command: &mut Command| command.status().is_ok_and(|status| status.success());
    let has_client = |python: &Path| {
        succeeds(Command::new(python).args(["-c", "import huggingface_hub"]).stderr(Stdio::null()))
    };
    if !has_client(&python) {
        let made = succeeds(Command::new("python3").args(["-m", "venv"]).arg(&venv))
            && succeeds(Command::new(&python).args([
                "-m",
                "pip",
                "install",
                "-q",
                "huggingface_hub",
            ]));
        if !made {
            return None;
        }
    }
    Some(python)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hubs_own_client_believes_the_double_and_shares_its_cache_with_us() {
    let Some(python) = tokio::task::spawn_blocking(python).await.unwrap() else {
        eprintln!("SKIPPED: no python3 with pip; nobody has checked that the test hub is honest");
        return;
    };
    let (q4, q8) = (model(7), model(9));
    let bench = Bench::new(&[(Q4, &q4), ("tiny-Q8_0.gguf", &q8)]).await;
    // One file by us, which the other client must not fetch again.
    bench.run(download("org/repo:Q4_K_M")).await;
    bench.hub.forget();
    let script = format!(
        "from huggingface_hub import hf_hub_download, HfApi\n\
         print(HfApi().model_info('org/repo', files_metadata=True).sha)\n\
         print(hf_hub_download('org/repo', '{Q4}'))\n\
         print(hf_hub_download('org/repo', 'tiny-Q8_0.gguf'))\n"
    );
    let (url, cache) = (bench.hub.url.clone(), cache(bench.directory.path()));
    let output = tokio::task::spawn_blocking(move || {
        Command::new(python)
            .args(["-c", &script])
            .env("HF_ENDPOINT", url)
            .env("HF_HUB_CACHE", cache)
            .env("HF_HUB_DISABLE_XET", "1")
            .env("HF_HUB_DISABLE_TELEMETRY", "1")
            .output()
            .unwrap()
    });
    let output = output.await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], COMMIT);
    assert_eq!(fs::read(lines[1]).unwrap(), q4);
    assert_eq!(fs::read(lines[2]).unwrap(), q8);
    let fetched: Vec<_> = bench
        .hub
        .seen()
        .into_iter()
        .filter(|it| it.path.starts_with("/cdn/"))
        .map(|it| it.path)
        .collect();
    assert!(fetched.iter().all(|path| path == "/cdn/tiny-Q8_0.gguf"), "{fetched:?}");

    // And the other way round: what it fetched is found and not fetched again.
    let found = bench.get("org/repo:Q8_0").await;
    assert_eq!(found.model()["state"], "ready");
    bench.hub.forget();
    let told = bench.run(download("org/repo:Q8_0")).await;
    assert_eq!(told.model()["files"][0]["sha256"], sha256(&q8));
    assert_eq!(bench.hub.asked_bytes(), 0);
}
