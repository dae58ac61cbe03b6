//! Workers that fall: how they are started again, when they are given up, and
//! that nothing of it is forgotten when their hive falls too.

use std::{cell::RefCell, collections::BTreeMap, io::Write as _};

use harness::{Cluster, Daemon, Script, Seen, Setup, wait_for};
use protocol::{Timestamp, WorkerId};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Waits that a test can see the whole of.
const QUICK: &str = "worker_restart_delay_ms = 50";

async fn with_hive(hive: &str) -> anyhow::Result<Cluster> {
    Cluster::start_with(Setup { hive, ..Setup::default() }).await
}

fn at(value: &Value) -> Timestamp {
    value.as_str().unwrap_or_default().parse().unwrap()
}

async fn delete(cluster: &Cluster, worker: &WorkerId) -> anyhow::Result<()> {
    let delete = ["worker", "delete", worker.as_str(), "--confirm", worker.as_str()];
    cluster.keeper(&delete).await?.succeeded().map(drop)
}

#[tokio::test]
async fn a_worker_that_cannot_come_back_is_tried_ever_more_slowly_and_then_given_up()
-> anyhow::Result<()> {
    let cluster = with_hive(QUICK).await?;
    let script = cluster.script("words", &Script::words("a b"))?;
    let worker = cluster.spawn_worker(&script, 1).await?;

    script.rewrite(&json!({"tokens": 7}))?;
    cluster.kill9(cluster.worker_pid(&worker)?).await?;
    let waits = RefCell::new(BTreeMap::new());
    cluster
        .until_worker(&worker, "it to be given up", |it| {
            if it["state"] == "backing_off" {
                let wait = at(&it["retry_at"]).duration_since(at(&it["last_exit"]["at"]));
                waits.borrow_mut().insert(it["restarts"].as_u64(), wait);
            }
            it["state"] == "failed"
        })
        .await?;
    let waits: Vec<_> = waits.into_inner().into_values().collect();
    assert!(waits.len() >= 2 && waits.is_sorted_by(|a, b| a < b), "{waits:?}");

    let get = cluster.keeper(&["worker", "get", worker.as_str(), "-o", "json"]).await?;
    let seen = &get.succeeded()?.json()?["worker"];
    assert_eq!((&seen["restarts"], &seen["retry_at"]), (&json!(5), &Value::Null), "{seen}");
    assert_eq!(seen["last_exit"]["code"], 1, "{seen}");
    let tail = seen["last_exit"]["log_tail"].to_string();
    assert!(tail.contains("the script is not valid"), "{tail}");

    // By hand: mended, deleted, spawned.
    script.rewrite(&Script::words("a b"))?;
    delete(&cluster, &worker).await?;
    cluster.spawn_worker(&script, 1).await?;
    assert_eq!(cluster.run(&Cluster::infer(&script)).await?.text(), "a b");
    cluster.close()
}

#[tokio::test]
async fn restarts_are_counted_on_by_the_next_hive_and_a_death_that_nobody_saw_is_one()
-> anyhow::Result<()> {
    let cluster = with_hive("worker_restart_delay_ms = 50\nworker_restarts_max = 2").await?;
    let script = cluster.script("words", &Script::words("a b"))?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    let back = |life: u64| move |it: &Value| it["state"] == "ready" && it["incarnation"] == life;

    cluster.kill9(cluster.worker_pid(&worker)?).await?;
    cluster.until_worker(&worker, "its second life", back(2)).await?;

    let pid = cluster.worker_pid(&worker)?;
    cluster.kill9(cluster.pid(Daemon::Hive)?).await?;
    cluster.kill9(pid).await?;
    cluster.keeper(&["hive", "start"]).await?.succeeded()?;
    cluster.until_worker(&worker, "its third life", back(3)).await?;
    let seen = cluster.worker(&worker).await?;
    assert_eq!(seen["last_exit"]["reason"], "ended while no hive was watching", "{seen}");

    // Once more under a third hive, who finds it alive.
    let pid = cluster.worker_pid(&worker)?;
    cluster.kill9(cluster.pid(Daemon::Hive)?).await?;
    cluster.keeper(&["hive", "start"]).await?.succeeded()?;
    cluster.until_worker(&worker, "to be adopted", |it| it["pid"] == pid).await?;
    cluster.kill9(pid).await?;
    cluster.until_worker(&worker, "to be given up", |it| it["state"] == "failed").await?;
    assert_eq!(cluster.worker(&worker).await?["restarts"], 2);

    // And a fourth shows what the third has given up.
    cluster.kill9(cluster.pid(Daemon::Hive)?).await?;
    cluster.keeper(&["hive", "start"]).await?.succeeded()?;
    let is_told = |it: &Value| it["state"] == "failed" && it["restarts"] == 2;
    cluster.until_worker(&worker, "to be told", is_told).await?;
    assert!(cluster.worker_pids().is_empty());
    cluster.close()
}

#[tokio::test]
async fn a_wait_goes_on_under_the_next_hive() -> anyhow::Result<()> {
    let cluster = with_hive("worker_restart_delay_ms = 60000").await?;
    let script = cluster.script("words", &Script::words("a b"))?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    cluster.kill9(cluster.worker_pid(&worker)?).await?;
    let waits = |it: &Value| it["state"] == "backing_off";
    cluster.until_worker(&worker, "it to wait", waits).await?;
    let before = cluster.worker(&worker).await?;

    let hive = cluster.pid(Daemon::Hive)?;
    cluster.kill9(hive).await?;
    cluster.keeper(&["hive", "start"]).await?.succeeded()?;
    assert_ne!(cluster.pid(Daemon::Hive)?, hive);
    // The hive itself is asked.
    let get = cluster.keeper(&["worker", "get", worker.as_str(), "-o", "json"]).await?;
    let after = &get.succeeded()?.json()?["worker"];
    for field in ["state", "retry_at", "last_exit", "incarnation", "restarts"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    delete(&cluster, &worker).await?;
    assert!(cluster.worker_pids().is_empty());
    cluster.close()
}

#[tokio::test]
async fn a_stopped_worker_and_its_deaf_helper_end_with_the_hive() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("helped", &Script::words("a b"))?.with_helper()?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    let has_helper = |processes: &[(u32, String)]| processes.iter().any(|(_, it)| it == "sh");
    assert!(has_helper(&cluster.processes()), "{:?}", cluster.processes());

    // Deaf to everything but SIGKILL.
    cluster.signal(cluster.worker_pid(&worker)?, Signal::STOP)?;
    cluster.keeper(&["hive", "stop"]).await?.succeeded()?;
    let left = cluster.processes();
    assert_eq!(left, [(cluster.pid(Daemon::Queen)?, "queen-rbee".to_owned())]);
    cluster.close()
}

#[tokio::test]
async fn a_helper_does_not_outlive_a_worker_that_was_killed() -> anyhow::Result<()> {
    let cluster = with_hive("worker_restarts_max = 0").await?;
    let script = cluster.script("helped", &Script::words("a b"))?.with_helper()?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    cluster.kill9(cluster.worker_pid(&worker)?).await?;
    wait_for("the helper to be gone", async || {
        let left = cluster.processes();
        Ok(Seen::when(left.iter().all(|(_, it)| it != "sh" && it != "sleep"), left))
    })
    .await?;
    cluster.until_worker(&worker, "to be given up at once", |it| it["state"] == "failed").await?;
    cluster.close()
}

#[tokio::test]
async fn who_follows_a_log_sees_every_life_of_its_worker_and_hears_of_its_end() -> anyhow::Result<()>
{
    let cluster = with_hive(QUICK).await?;
    let script = cluster.script("words", &Script::words("a b"))?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    let mut log = cluster.keeper_running(&["worker", "logs", worker.as_str(), "--follow"])?;
    let begins = |url: &Value| format!("{worker} on {}", url.as_str().unwrap_or("nowhere"));
    log.until_it_says(&begins(&cluster.worker(&worker).await?["url"])).await?;

    cluster.kill9(cluster.worker_pid(&worker)?).await?;
    let back = |it: &Value| it["state"] == "ready" && it["incarnation"] == 2;
    cluster.until_worker(&worker, "its next life", back).await?;
    log.until_it_says(&begins(&cluster.worker(&worker).await?["url"])).await?;

    // Its output is set aside when it grows, and the log of a day ends.
    let output = cluster.paths().worker_dir(&worker).join("worker.log");
    std::fs::rename(&output, output.with_extension("log.1"))?;
    std::fs::write(&output, "said after it was set aside\n")?;
    log.until_it_says("said after it was set aside").await?;

    cluster.kill9(cluster.pid(Daemon::Hive)?).await?;
    cluster.keeper(&["hive", "start"]).await?.succeeded()?;
    let mut file = std::fs::OpenOptions::new().append(true).open(&output)?;
    writeln!(file, "said under the next hive")?;
    log.until_it_says("said under the next hive").await?;

    delete(&cluster, &worker).await?;
    let end = log.output().await?.succeeded()?;
    assert!(end.stderr.contains(&format!("{worker} is gone, and its log with it")), "{end:?}");
    cluster.close()
}

#[tokio::test]
async fn who_follows_a_log_leaves_it_with_ctrl_c() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("words", &Script::words("a b"))?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    let mut log = cluster.keeper_running(&["worker", "logs", worker.as_str(), "-f"])?;
    log.until_it_says(worker.as_str()).await?;
    log.interrupt()?;
    assert_eq!(log.output().await?.code, Some(130));
    cluster.close()
}
