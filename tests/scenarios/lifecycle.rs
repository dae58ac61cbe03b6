//! Who holds a data directory: what a dead daemon left behind is in nobody's
//! way, and what a live one holds is not taken from it.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use config::{Nonce, procfs};
use harness::{Cluster, Daemon, Script, Seen, wait_for};
use protocol::job::{EndMarker, JobState};
use serde_json::{Value, json};

/// A process that is none of ours, ended with the test.
struct Stranger(Child);

impl Stranger {
    fn start() -> anyhow::Result<Self> {
        let mut command = Command::new("sleep");
        // As one that another installation launched.
        command.arg("1000").env(Nonce::ENV, Nonce::fresh().to_string());
        Ok(Self(command.stdin(Stdio::null()).spawn()?))
    }

    fn start_time(&self) -> u64 {
        procfs::stat(self.0.id()).map_or(0, |stat| stat.start_time)
    }

    fn is_unharmed(&mut self) -> anyhow::Result<bool> {
        Ok(self.0.try_wait()?.is_none())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What may lie in a data directory where nobody runs, made of a record that
/// was true once. The names say what happened to it.
fn leftovers(truth: &str, stranger: &Stranger) -> anyhow::Result<Vec<(&'static str, String)>> {
    let (pid, start_time) = (stranger.0.id(), stranger.start_time());
    let with = |changes: Value| {
        let mut record: Value = serde_json::from_str(truth)?;
        for (name, value) in changes.as_object().into_iter().flatten() {
            record[name] = value.clone();
        }
        anyhow::Ok(record.to_string())
    };
    let another_boot = "00000000-0000-4000-8000-000000000000";
    Ok(vec![
        ("its process ended", truth.to_owned()),
        ("its number was given to another", with(json!({"pid": pid}))?),
        (
            "so was the same number at the same tick of another boot",
            with(json!({"pid": pid, "start_time": start_time, "boot_id": another_boot}))?,
        ),
        (
            "its process lives and does not hold the lock",
            with(json!({"pid": pid, "start_time": start_time}))?,
        ),
        (
            "so it does, of another launch",
            with(json!({
                "pid": pid, "start_time": start_time, "nonce": Nonce::fresh().to_string()
            }))?,
        ),
        ("it was cut off in the middle", truth[..truth.len() / 2].to_owned()),
        ("it was never written to the disk", "\0".repeat(512)),
        ("it is empty", String::new()),
        ("it is something else", "[1, 2, 3]".to_owned()),
    ])
}

/// The record of a daemon that runs, as it stands on the disk.
fn record_of(dir: &Path) -> anyhow::Result<String> {
    Ok(fs::read_to_string(dir.join("record.json"))?)
}

#[tokio::test]
async fn a_queen_starts_on_whatever_a_dead_one_left_and_nobody_else_is_signalled()
-> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let dir = cluster.dir(Daemon::Queen);
    let truth = record_of(&dir)?;
    cluster.keeper(&["queen", "stop"]).await?.succeeded()?;
    let mut stranger = Stranger::start()?;
    for (what, record) in leftovers(&truth, &stranger)? {
        fs::write(dir.join("record.json"), &record)?;
        let stop = cluster.keeper(&["queen", "stop"]).await?.succeeded()?;
        assert!(stop.stdout.contains("no queen is running"), "{what}: {stop:?}");
        assert!(stranger.is_unharmed()?, "{what}: `queen stop` ended a stranger");

        let start = cluster.keeper(&["queen", "start"]).await?.succeeded()?;
        assert!(!start.stderr.contains("record"), "{what}: {start:?}");
        assert_eq!(cluster.get("/health").await?.status, 200, "{what}");
        cluster.keeper(&["queen", "stop"]).await?.succeeded()?;
        assert!(stranger.is_unharmed()?, "{what}: the next queen ended a stranger");
    }
    cluster.keeper(&["queen", "start"]).await?.succeeded()?;
    cluster.close()
}

#[tokio::test]
async fn a_hive_starts_on_whatever_a_dead_one_left_and_nobody_else_is_signalled()
-> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    cluster.keeper(&["hive", "start"]).await?.succeeded()?;
    let dir = cluster.dir(Daemon::Hive);
    let truth = record_of(&dir)?;
    cluster.keeper(&["queen", "stop"]).await?.succeeded()?;
    let mut stranger = Stranger::start()?;
    for (what, record) in leftovers(&truth, &stranger)? {
        fs::write(dir.join("record.json"), &record)?;
        // She looks for a hive that outlived the queen before her.
        cluster.keeper(&["queen", "start"]).await?.succeeded()?;
        cluster.keeper(&["hive", "stop"]).await?.succeeded()?;
        assert!(stranger.is_unharmed()?, "{what}: `hive stop` ended a stranger");

        let start = cluster.keeper(&["hive", "start"]).await?.succeeded()?;
        assert!(!start.stderr.contains("record"), "{what}: {start:?}");
        let health = cluster.call(Daemon::Hive, "GET", "/health", &[], None).await?;
        assert_eq!(health.status, 200, "{what}");
        cluster.keeper(&["queen", "stop"]).await?.succeeded()?;
        assert!(stranger.is_unharmed()?, "{what}: the next hive ended a stranger");
    }
    cluster.keeper(&["queen", "start"]).await?.succeeded()?;
    cluster.close()
}

#[tokio::test]
async fn the_next_hive_takes_no_stranger_for_a_worker_that_has_died() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("still here"))?;
    let mut worker = cluster.spawn_worker(&script, 1).await?;
    let mut stranger = Stranger::start()?;
    let truth = record_of(&cluster.paths().worker_dir(&worker))?;
    for (what, record) in leftovers(&truth, &stranger)? {
        // Both at once, as when a machine loses its power.
        cluster.kill9(cluster.pid(Daemon::Hive)?).await?;
        for pid in cluster.worker_pids() {
            cluster.kill9(pid).await?;
        }
        fs::write(cluster.paths().worker_dir(&worker).join("record.json"), &record)?;
        cluster.keeper(&["hive", "start"]).await?.succeeded()?;
        let list = cluster.run(&json!({"operation": "worker_list"})).await?;
        assert_eq!(list.result()["workers"], json!([]), "{what}");
        worker = cluster.spawn_worker(&script, 1).await?;
        assert_eq!(cluster.run(&Cluster::infer(&script)).await?.text(), "still here", "{what}");
        assert!(stranger.is_unharmed()?, "{what}: the hive ended a stranger");
    }
    cluster.close()
}

#[tokio::test]
async fn a_second_daemon_on_one_data_directory_says_who_has_it() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("a b c"))?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    for (dir, pid, program) in [
        (cluster.dir(Daemon::Queen), cluster.pid(Daemon::Queen)?, "queen-rbee"),
        (cluster.dir(Daemon::Hive), cluster.pid(Daemon::Hive)?, "rbee-hive"),
        (cluster.paths().worker_dir(&worker), cluster.worker_pid(&worker)?, "llm-worker-rbee"),
    ] {
        let before = record_of(&dir)?;
        let record: Value = serde_json::from_str(&before)?;
        let second = cluster.same_again(pid)?.output()?;
        let said = String::from_utf8(second.stderr)?;
        assert_eq!(second.status.code(), Some(1), "{said}");
        let since: protocol::Timestamp = serde_json::from_value(record["started_at"].clone())?;
        let holder = format!("is held by {program} (pid {pid}, since {since:.0}, at 127.0.0.1:");
        assert!(said.contains(&holder), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert_eq!(record_of(&dir)?, before, "the first is unharmed");
        let url = format!("http://{}", record["address"].as_str().unwrap_or_default());
        assert_eq!(cluster.call_at(&url, "GET", "/health", &[], None).await?.status, 200);
    }
    cluster.close()
}

#[tokio::test]
async fn whoever_is_asked_to_stop_while_it_streams_answers_before_it_goes() -> anyhow::Result<()> {
    // A worker finishes what it has begun; the two others are configured here
    // to let nobody do so.
    for (who, finishes) in [("worker", true), ("hive", false), ("queen", false)] {
        let cluster = Cluster::start().await?;
        let script = cluster.script("endless", &Script::endless(10))?;
        let worker = cluster.spawn_worker(&script, 1).await?;
        let mut infer = Cluster::infer(&script);
        infer["max_tokens"] = if finishes { 100 } else { 100_000 }.into();
        let job = cluster.submit(&infer).await?;
        cluster.until_tokens(&job, 2).await?;
        let worker_url = cluster.worker(&worker).await?["url"].clone();
        let (url, path) = match who {
            "worker" => (worker_url.as_str().unwrap_or_default().to_owned(), "/v1/shutdown"),
            "hive" => (cluster.url(Daemon::Hive)?, "/v1/shutdown?stop_workers=true"),
            _ => (cluster.url(Daemon::Queen)?, "/v1/shutdown"),
        };
        let (transcript, answer) =
            tokio::join!(cluster.read(&job), cluster.call_at(&url, "POST", path, &[], None));
        let answer = answer?;
        assert_eq!((answer.status, &answer.body["status"]), (200, &json!("ok")), "{who}");
        assert!(answer.body["message"].is_string(), "{who}: {answer:?}");
        // The reader was not cut off either: its stream has its end.
        let transcript = transcript?;
        let is_whole = transcript.token_count() == 100 && transcript.end == EndMarker::Done;
        assert_eq!(is_whole, finishes, "{who}: {:?}", transcript.end);
        assert_eq!(transcript.error().is_err(), finishes, "{who}: {:?}", transcript.end);
        if who == "queen" {
            wait_for("the queen to be gone", async || {
                let record = cluster.record(Daemon::Queen)?;
                Ok(Seen::when(record.is_none(), record))
            })
            .await?;
            cluster.keeper(&["queen", "start"]).await?.succeeded()?;
        }
        let state = if finishes { JobState::Done } else { JobState::Failed };
        assert_eq!(cluster.job(&job).await?.state, state, "{who}");
        cluster.close()?;
    }
    Ok(())
}
