//! Processes that are killed: what is told, what goes on, what comes back.

use harness::{Cluster, Daemon, Script, Seen, wait_for};
use protocol::{
    Timestamp,
    job::{EndMarker, JobState},
};
use serde_json::json;

#[tokio::test]
async fn a_killed_worker_ends_its_job_with_one_true_error_within_a_second() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("endless", &Script::endless(10))?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    let job = cluster.submit(&Cluster::infer(&script)).await?;
    cluster.until_tokens(&job, 3).await?;

    let killed_at = Timestamp::now();
    cluster.kill9(cluster.worker_pid(&worker)?).await?;
    let transcript = cluster.read(&job).await?;
    let tokens = transcript.token_count();
    let expected =
        format!("worker {worker} was killed by signal 9 (SIGKILL) after {tokens} tokens");
    assert!(transcript.error()?.starts_with(&expected), "{:?}", transcript.end);
    let record = cluster.job(&job).await?;
    assert_eq!(record.state, JobState::Failed);
    let took = record.ended_at.unwrap().duration_since(killed_at);
    assert!(took.as_millis() < 1000, "the end came {took:#} after the kill");

    let get = cluster.keeper(&["worker", "get", worker.as_str(), "-o", "json"]).await?;
    let seen = &get.json()?["worker"];
    assert_eq!(seen["last_exit"]["signal"], 9, "{seen}");
    let is_back = |it: &serde_json::Value| it["state"] == "ready" && it["incarnation"] == 2;
    cluster.until_worker(&worker, "its next life", is_back).await?;
    let mut again = Cluster::infer(&script);
    again["max_tokens"] = 2.into();
    assert_eq!(cluster.run(&again).await?.text(), Script::endless_text(2));

    let delete = ["worker", "delete", worker.as_str(), "--confirm", worker.as_str()];
    cluster.keeper(&delete).await?.succeeded()?;
    let replacement = cluster.spawn_worker(&script, 1).await?;
    assert_ne!(replacement, worker);
    assert_eq!(cluster.run(&again).await?.text(), Script::endless_text(2));
    cluster.close()
}

#[tokio::test]
async fn every_way_a_worker_breaks_is_told_as_what_it_is() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    for (kind, told) in [
        ("exit", "exited with code 7"),
        ("abort", "was killed by signal 6 (SIGABRT)"),
        ("error", "the script says so"),
    ] {
        let mut script = Script::endless(5);
        script["fault"] = json!({"kind": kind, "after_tokens": 4, "code": 7});
        let script = cluster.script(kind, &script)?;
        cluster.spawn_worker(&script, 1).await?;
        let transcript = cluster.run(&Cluster::infer(&script)).await?;
        assert!(transcript.error()?.contains(told), "{kind}: {:?}", transcript.end);
        let expected = Script::endless_text(transcript.token_count());
        assert_eq!(transcript.text(), expected, "{kind}: what was shown is true");
    }
    cluster.close()
}

#[tokio::test]
async fn a_worker_that_cannot_load_is_told_with_its_last_words() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("broken", &json!({"tokens": 7}))?;
    cluster.run(&json!({"operation": "hive_start"})).await?;
    let spawn = json!({"operation": "worker_spawn", "model": script.model(), "device": "CPU-0"});
    let transcript = cluster.run(&spawn).await?;
    let error = transcript.error()?;
    assert!(error.contains("before it was ready; its log ends: "), "{error}");
    assert!(error.contains("the script is not valid"), "{error}");
    let job = &cluster.get("/v1/jobs?limit=1").await?.body["jobs"][0];
    assert_eq!(job["error"]["code"], "spawn_failed", "{job}");
    cluster.close()
}

#[tokio::test]
async fn a_stream_outlives_its_hive_and_the_next_hive_adopts_the_worker() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("endless", &Script::endless(10))?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    let job = cluster.submit(&Cluster::infer(&script)).await?;
    cluster.until_tokens(&job, 2).await?;
    let (pid, hive) = (cluster.worker_pid(&worker)?, cluster.pid(Daemon::Hive)?);

    cluster.kill9(hive).await?;
    let shown = cluster.job(&job).await?.last_event as usize;
    cluster.until_tokens(&job, shown + 3).await?;

    cluster.keeper(&["hive", "start"]).await?.succeeded()?;
    assert_ne!(cluster.pid(Daemon::Hive)?, hive);
    let is_back = |it: &serde_json::Value| it["pid"] == pid && it["state"] == "busy";
    cluster.until_worker(&worker, "the same process, at work", is_back).await?;
    assert_eq!(cluster.worker_pids(), [pid]);
    let shown = cluster.job(&job).await?.last_event as usize;
    cluster.until_tokens(&job, shown + 3).await?;

    cluster.cancel(&job).await?;
    let transcript = cluster.read(&job).await?;
    assert_eq!(transcript.end, EndMarker::Cancelled);
    assert_eq!(transcript.text(), Script::endless_text(transcript.token_count()));
    cluster.close()
}

#[tokio::test]
async fn a_stream_outlives_its_queen_and_the_next_queen_reads_on() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("endless", &Script::endless(10))?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    let mut short = Cluster::infer(&script);
    short["max_tokens"] = 5.into();
    let ended = cluster.submit(&short).await?;
    let before = cluster.aware_stream(&ended).await?;
    let running = cluster.submit(&Cluster::infer(&script)).await?;
    cluster.until_tokens(&running, 3).await?;
    let waiting = cluster.submit(&short).await?;
    wait_for("the second request to wait", async || {
        let state = cluster.job(&waiting).await?.state;
        Ok(Seen::when(state == JobState::Queued, state))
    })
    .await?;
    let (pid, hive) = (cluster.worker_pid(&worker)?, cluster.pid(Daemon::Hive)?);

    cluster.kill9(cluster.pid(Daemon::Queen)?).await?;
    cluster.keeper(&["queen", "start"]).await?.succeeded()?;

    assert_eq!(cluster.aware_stream(&ended).await?, before, "byte for byte");
    let shown = cluster.job(&running).await?.last_event as usize;
    cluster.until_tokens(&running, shown + 3).await?;
    cluster.cancel(&running).await?;
    let transcript = cluster.read(&running).await?;
    assert_eq!(transcript.end, EndMarker::Cancelled);
    assert_eq!(transcript.text(), Script::endless_text(transcript.token_count()));
    let read_on = transcript.narration().join("\n");
    assert!(read_on.contains("reads on from"), "{read_on}");
    // The one that waited had its turn, and not before the slot was free.
    let transcript = cluster.read(&waiting).await?;
    assert_eq!((transcript.text(), transcript.end), (Script::endless_text(5), EndMarker::Done));
    assert_eq!((cluster.pid(Daemon::Hive)?, cluster.worker_pids()), (hive, vec![pid]));
    cluster.close()
}

#[tokio::test]
async fn a_worker_that_died_with_its_queen_ends_its_job_with_one_true_error() -> anyhow::Result<()>
{
    let cluster = Cluster::start().await?;
    let script = cluster.script("endless", &Script::endless(10))?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    let job = cluster.submit(&Cluster::infer(&script)).await?;
    cluster.until_tokens(&job, 3).await?;

    cluster.kill9(cluster.pid(Daemon::Queen)?).await?;
    cluster.kill9(cluster.worker_pid(&worker)?).await?;
    cluster.keeper(&["queen", "start"]).await?.succeeded()?;

    let broken = cluster.read(&job).await?;
    assert!(broken.error()?.starts_with(&format!("worker {worker} ")), "{broken:?}");
    assert!(broken.token_count() >= 3, "what was shown is still there: {broken:?}");
    assert_eq!(broken.text(), Script::endless_text(broken.token_count()));
    cluster.close()
}
