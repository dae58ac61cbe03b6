//! Cancelling reaches the worker, which stops at once and is free again.

use harness::{Cluster, Script};
use protocol::job::{EndMarker, JobState};
use serde_json::json;

/// Slow enough that a cancel arrives between two tokens on a busy machine.
const PACE_MS: u64 = 50;
/// How many tokens may be on their way when the cancel arrives.
const ON_THE_WAY: u64 = 3;

#[tokio::test]
async fn a_cancelled_job_ends_once_and_its_slot_is_free() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("endless", &Script::endless(PACE_MS))?;
    cluster.spawn_worker(&script, 1).await?;
    let job = cluster.submit(&Cluster::infer(&script)).await?;
    cluster.until_tokens(&job, 3).await?;

    assert_eq!(cluster.cancel(&job).await?.status, 202);
    let transcript = cluster.read(&job).await?;
    assert_eq!(transcript.end, EndMarker::Cancelled);
    assert_eq!(cluster.job(&job).await?.state, JobState::Cancelled);
    let shown = transcript.token_count() as u64;
    let said = script.said();
    assert!(said <= shown + ON_THE_WAY, "{said} computed, {shown} shown");

    let mut next = Cluster::infer(&script);
    next["max_tokens"] = 3.into();
    let next = cluster.run(&next).await?;
    assert_eq!((next.token_count(), next.end), (3, EndMarker::Done));
    // Whatever the worker had gone on with, it would have gone on meanwhile.
    assert!(script.said() <= shown + ON_THE_WAY + 3, "{} computed", script.said());
    cluster.close()
}

#[tokio::test]
async fn what_has_ended_or_never_was_cannot_be_cancelled() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let job = cluster.submit(&json!({"operation": "status"})).await?;
    let before = cluster.aware_stream(&job).await?;
    let answer = cluster.cancel(&job).await?;
    assert_eq!((answer.status, answer.code()), (409, "conflict"));
    assert!(answer.message().contains("is done already"), "{answer:?}");
    assert_eq!(cluster.aware_stream(&job).await?, before, "and nothing was added to it");

    let answer = cluster.cancel(&"job-unknown".parse()?).await?;
    assert_eq!((answer.status, answer.code()), (404, "job_not_found"));
    cluster.close()
}

#[tokio::test]
async fn ctrl_c_cancels_the_job_and_the_keeper_says_so() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("endless", &Script::endless(PACE_MS))?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    let model = script.model();
    let mut keeper =
        cluster.keeper_running(&["infer", "x", "--model", &model, "--max-tokens", "100000"])?;
    keeper.until_it_says("w2 ").await?;
    keeper.interrupt()?;

    let output = keeper.output().await?;
    assert_eq!(output.code, Some(130), "{output:?}");
    assert!(output.stderr.contains("is cancelled"), "{output:?}");
    let shown = output.stdout.split_whitespace().count() as u64;
    assert!(script.said() <= shown + ON_THE_WAY, "{} computed, {shown} shown", script.said());

    let list = cluster.keeper(&["job", "list", "--state", "cancelled", "-o", "json"]).await?;
    assert_eq!(list.json()?["jobs"].as_array().map(Vec::len), Some(1), "{list:?}");
    cluster.until_worker(&worker, "a free slot", |it| it["slots_busy"] == 0).await?;
    cluster.close()
}

#[tokio::test]
async fn ctrl_c_with_detach_leaves_the_job_running() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("endless", &Script::endless(PACE_MS))?;
    cluster.spawn_worker(&script, 1).await?;
    let model = script.model();
    let args =
        ["infer", "x", "--model", &model, "--max-tokens", "9999", "--on-interrupt", "detach"];
    let mut keeper = cluster.keeper_running(&args)?;
    keeper.until_it_says("w1 ").await?;
    keeper.interrupt()?;
    let output = keeper.output().await?;
    assert_eq!(output.code, Some(130), "{output:?}");
    assert!(output.stderr.contains("job attach"), "{output:?}");

    let list = cluster.keeper(&["job", "list", "--state", "running", "-o", "name"]).await?;
    let job = list.stdout.trim().parse()?;
    cluster.until_tokens(&job, output.stdout.split_whitespace().count() + 2).await?;
    cluster.keeper(&["job", "cancel", list.stdout.trim()]).await?.succeeded()?;
    assert_eq!(cluster.read(&job).await?.end, EndMarker::Cancelled);
    cluster.close()
}
