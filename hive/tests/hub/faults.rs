//! What a machine and its network do to a download.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use client::JobItem;
use hive::Silence;
use protocol::{JobId, job::JobEvent};
use serde_json::json;

use crate::{
    bench::*,
    double::{Manner, sha256},
};

/// Nobody waits half a minute for a hub that is known to be silent.
const SHORT: Silence =
    Silence { told_after: Duration::from_secs(1), cut_after: Duration::from_secs(3) };

impl Bench {
    /// Follows a job until one of its lines holds `part`.
    async fn until_said(&self, job: &JobId, part: &str) -> JobEvent {
        let mut stream = self.daemon.follow(job, 0);
        let work = async {
            loop {
                match stream.next_item().await.unwrap().unwrap() {
                    JobItem::Event { event, .. } if event.message.contains(part) => return event,
                    JobItem::Event { .. } => {}
                    JobItem::End(end) => panic!("{end:?} and never {part:?}"),
                }
            }
        };
        let said = tokio::time::timeout(PATIENCE, work).await;
        said.unwrap_or_else(|_| panic!("never said: {part}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_falls_silent_is_told_then_cut_and_taken_up_again() {
    let bytes = model(0);
    let bench = Bench::with(&[(Q4, &bytes)], SHORT).await;
    bench.hub.behave(Manner::HangsFrom(2 * CHUNK));
    let job = submit(&bench.daemon, download("org/repo")).await;
    let stalled = bench.until_said(&job, "org/repo stalled ").await;
    let progress = stalled.progress().unwrap();
    assert_eq!((progress.done, progress.total), (2 * CHUNK as u64, Some(bytes.len() as u64)));
    bench.until_said(&job, "the hub sent nothing of tiny-Q4_K_M.gguf for 3s; trying again").await;
    bench.hub.behave(Manner::Honest);
    let told = follow(&bench.daemon, &job).await;
    assert_eq!(told.model()["state"], "ready");
    assert!(told.said("resumed tiny-Q4_K_M.gguf at 18 %"), "{:?}", told.events);
    assert_eq!(fs::read(bench.blob(&bytes)).unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_the_disk_has_no_room_for_is_refused_before_a_byte_is_fetched() {
    let bytes = model(0);
    let bench = Bench::new(&[(Q4, &bytes)]).await;
    bench.hub.behave(Manner::Claims(1 << 60));
    let told = bench.run(download("org/repo")).await;
    let error = told.outcome.as_ref().unwrap_err();
    assert_eq!(told.code(), "disk_full");
    assert!(error.message.contains("MiB free"), "{error}");
    assert!(error.hint.as_ref().unwrap().contains("HF_HUB_CACHE"), "{error:?}");
    assert!(!bench.hub.seen().iter().any(|it| it.path.starts_with("/cdn/")));
    bench.hub.behave(Manner::Honest);
    assert_eq!(bench.run(download("org/repo")).await.model()["state"], "ready");
}

/// A small disk of its own over `folder`, until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path, bytes: usize) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let options = format!("size={bytes}");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder)
            .stderr(Stdio::null())
            .status();
        mount.is_ok_and(|status| status.success()).then(|| Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: what still has a file open there keeps nobody waiting.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_others_fill_meanwhile_stops_the_download_and_keeps_what_is_here() {
    let bytes = model(0);
    let bench = Bench::with(&[(Q4, &bytes)], SHORT).await;
    let hub_cache = cache(bench.directory.path());
    let Some(_disk) = SmallDisk::mount(&hub_cache, 2 * bytes.len()) else {
        eprintln!("SKIPPED: only root may mount the small disk that this fills");
        return;
    };
    bench.hub.behave(Manner::HangsFrom(2 * CHUNK));
    let job = submit(&bench.daemon, download("org/repo")).await;
    until("two pieces are here", || bench.committed(&bytes) == 2 * CHUNK as u64).await;
    let ballast = hub_cache.join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    bench.hub.behave(Manner::Honest);
    let told = follow(&bench.daemon, &job).await;
    assert_eq!(told.code(), "disk_full", "{told:?}");
    assert!(bench.committed(&bytes) >= 2 * CHUNK as u64, "what is here is kept");

    drop(file);
    fs::remove_file(&ballast).unwrap();
    let told = bench.run(download("org/repo")).await;
    assert_eq!(told.model()["state"], "ready", "{told:?}");
    assert!(told.said("resumed tiny-Q4_K_M.gguf at"), "{told:?}");
    bench.server.close().await;
}

/// Another process that holds the lock of a blob.
fn holder(lock: &Path) -> Child {
    fs::create_dir_all(lock.parent().unwrap()).unwrap();
    // It closes the lock in the command that it runs, so that the lock is its
    // own and dies with it.
    let mut child = Command::new("flock")
        .arg("--close")
        .arg(lock)
        .arg("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The command runs once the lock is held.
    child.stdin.as_mut().unwrap().write_all(b"held\n").unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_another_process_fetches_is_waited_for_until_that_process_dies() {
    let bytes = model(0);
    let bench = Bench::new(&[(Q4, &bytes)]).await;
    let mut other = holder(&blob(bench.directory.path(), &sha256(&bytes)).with_extension("lock"));
    let job = submit(&bench.daemon, download("org/repo")).await;
    bench.until_said(&job, "another process fetches tiny-Q4_K_M.gguf; waiting for it").await;
    assert_eq!(bench.get("org/repo").await.model()["state"], "downloading");
    assert_eq!(bench.committed(&bytes), 0);
    other.kill().unwrap();
    other.wait().unwrap();
    let told = follow(&bench.daemon, &job).await;
    assert_eq!(told.model()["state"], "ready");
    assert_eq!(fs::read(bench.blob(&bytes)).unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_hub_a_model_that_is_here_is_taken_and_another_is_not_found() {
    let bytes = model(0);
    let bench = Bench::new(&[(Q4, &bytes)]).await;
    bench.run(download("org/repo")).await;
    let Bench { server, directory, .. } = bench;
    server.close().await;
    // A port that was free a moment ago and that nobody listens on.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = format!("http://{nobody}");
    let (server, daemon) = start(&dead, directory.path(), Silence::default()).await;
    let told = run(&daemon, download("org/repo:Q4_K_M")).await;
    assert_eq!(told.model()["state"], "ready");
    assert!(told.said("taking the org/repo:Q4_K_M that is here"), "{:?}", told.events);
    assert!(told.said(&format!("the hub {dead} cannot be used")), "{:?}", told.events);
    let told = run(&daemon, download("org/other")).await;
    assert_eq!(told.code(), "hub_unreachable");
    let asked = json!({"operation": "model_get", "id": "org/other", "hub": true});
    assert_eq!(run(&daemon, asked).await.code(), "hub_unreachable");
    server.close().await;
}
