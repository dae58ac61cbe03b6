//! Starting and stopping: what ends with what, and what stays.

use harness::{Cluster, Daemon, Script};
use protocol::job::EndMarker;
use serde_json::json;

#[tokio::test]
async fn stopping_the_hive_ends_its_workers_and_the_next_one_starts_empty() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("a b c"))?;
    cluster.spawn_worker(&script, 1).await?;
    let first = cluster.record(Daemon::Hive)?;
    assert_eq!(cluster.processes().len(), cluster.processes_with(1).await?);

    cluster.keeper(&["hive", "stop"]).await?.succeeded()?;
    let left = cluster.processes();
    assert_eq!(left, [(cluster.pid(Daemon::Queen)?, "queen-rbee".to_owned())]);
    assert_eq!(cluster.keeper(&["hive", "status"]).await?.code, Some(3));
    // Once more is no error: it is what was asked for.
    cluster.keeper(&["hive", "stop"]).await?.succeeded()?;

    cluster.keeper(&["hive", "start"]).await?.succeeded()?;
    assert_ne!(cluster.record(Daemon::Hive)?, first);
    let list = cluster.keeper(&["worker", "list", "-o", "json"]).await?.succeeded()?;
    assert_eq!(list.json()?["workers"], json!([]));
    cluster.close()
}

#[tokio::test]
async fn stopping_the_queen_ends_everything_and_gives_running_jobs_their_end() -> anyhow::Result<()>
{
    let cluster = Cluster::start().await?;
    let script = cluster.script("endless", &Script::endless(10))?;
    cluster.spawn_worker(&script, 1).await?;
    let job = cluster.submit(&Cluster::infer(&script)).await?;
    cluster.until_tokens(&job, 2).await?;
    let (transcript, stop) =
        tokio::try_join!(cluster.read(&job), cluster.keeper(&["queen", "stop"]))?;
    stop.succeeded()?;
    assert!(
        transcript.error()?.contains("the queen was shut down while this job ran"),
        "{:?}",
        transcript.end
    );
    assert_eq!(cluster.processes(), []);

    cluster.keeper(&["queen", "start"]).await?.succeeded()?;
    assert_eq!(cluster.read(&job).await?, transcript, "the next queen tells the same");
    cluster.close()
}

#[tokio::test]
async fn a_hive_that_is_kept_is_found_by_the_next_queen() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("still here"))?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    let (hive, pid) = (cluster.hive_process(), cluster.worker_pid(&worker)?);

    cluster.keeper(&["queen", "stop", "--keep-hives"]).await?.succeeded()?;
    assert_eq!(cluster.record(Daemon::Queen)?, None);
    assert_eq!((cluster.hive_process(), cluster.worker_pids()), (hive, vec![pid]));

    cluster.keeper(&["queen", "start"]).await?.succeeded()?;
    cluster.until_worker(&worker, "it to serve", |it| it["state"] == "ready").await?;
    let transcript = cluster.run(&Cluster::infer(&script)).await?;
    assert_eq!((transcript.text().as_str(), transcript.end), ("still here", EndMarker::Done));
    assert_eq!((cluster.hive_process(), cluster.worker_pids()), (hive, vec![pid]));
    cluster.close()
}

#[tokio::test]
async fn what_a_worker_measures_is_on_its_record_and_its_requests_are_on_the_queens()
-> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("one two three"))?;
    let worker = cluster.spawn_worker(&script, 2).await?;
    let before = cluster.worker(&worker).await?;
    assert_eq!((&before["slots_total"], &before["slots_desired"]), (&json!(2), &json!(2)));
    assert_eq!(before["time_to_first_token_ms"], json!(null), "unknown, and not a zero");
    assert_eq!(before["kv_cache_tokens"], json!(0), "known: it holds nothing");

    cluster.run(&Cluster::infer(&script)).await?;
    let measured = |it: &serde_json::Value| it["time_to_first_token_ms"].as_f64().is_some();
    cluster.until_worker(&worker, "a first token to be measured", measured).await?;
    let after = cluster.worker(&worker).await?;
    assert!(after["kv_cache_capacity_tokens"].as_u64().is_some_and(|it| it > 0), "{after}");
    let status = cluster.get("/v1/status").await?;
    let queen = &status.body["queen"];
    assert_eq!(queen["time_to_first_token"]["requests"], 1, "{queen}");
    assert_eq!(after["version"], queen["version"]);
    let wide = cluster.keeper(&["worker", "list", "-o", "wide"]).await?.succeeded()?;
    assert!(wide.stdout.contains("TTFT") && wide.stdout.contains("0%"), "{wide:?}");
    cluster.close()
}

#[tokio::test]
async fn starting_what_runs_starts_nothing() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    cluster.keeper(&["hive", "start"]).await?.succeeded()?;
    let before = cluster.processes();
    let again = cluster.keeper(&["queen", "start", "-o", "json"]).await?.succeeded()?;
    assert_eq!(again.json()?["is_new"], false, "{again:?}");
    let (one, other) =
        tokio::try_join!(cluster.keeper(&["hive", "start"]), cluster.keeper(&["hive", "start"]))?;
    one.succeeded()?;
    other.succeeded()?;
    assert_eq!(cluster.processes(), before);
    cluster.close()
}
