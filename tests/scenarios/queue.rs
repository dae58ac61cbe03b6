//! More requests than slots: told, waited for, and refused beyond the limit.

use harness::{Cluster, Daemon, Script, Seen, Setup, wait_for};
use protocol::{
    JobId,
    job::{EndMarker, JobState},
};

async fn until_queued(cluster: &Cluster, job: &JobId) -> anyhow::Result<()> {
    wait_for("the job to wait for a slot", async || {
        let record = cluster.job(job).await?;
        Ok(Seen::when(record.state == JobState::Queued && record.last_event > 0, record))
    })
    .await
}

#[tokio::test]
async fn a_request_waits_for_its_turn_and_is_told_its_place() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("endless", &Script::endless(10))?;
    cluster.spawn_worker(&script, 1).await?;
    let first = cluster.submit(&Cluster::infer(&script)).await?;
    cluster.until_tokens(&first, 1).await?;
    let second = cluster.submit(&Cluster::infer(&script)).await?;
    until_queued(&cluster, &second).await?;
    let third = cluster.submit(&Cluster::infer(&script)).await?;
    until_queued(&cluster, &third).await?;
    assert_eq!(cluster.get("/v1/status").await?.body["queen"]["queued"], 2);

    cluster.cancel(&first).await?;
    cluster.until_tokens(&second, 1).await?;
    assert_eq!(cluster.read(&first).await?.end, EndMarker::Cancelled);
    assert_eq!(cluster.job(&third).await?.state, JobState::Queued);
    cluster.cancel(&second).await?;
    cluster.until_tokens(&third, 1).await?;
    cluster.cancel(&third).await?;

    let second = cluster.read(&second).await?;
    assert!(second.narration().contains(&"no slot is free: place 1 of 1"), "{second:#?}");
    let third = cluster.read(&third).await?;
    assert!(third.narration().contains(&"no slot is free: place 2 of 2"), "{third:#?}");
    assert!(third.narration().contains(&"no slot is free: place 1 of 1"), "{third:#?}");
    cluster.close()
}

#[tokio::test]
async fn a_request_that_is_cancelled_while_it_waits_never_runs() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("endless", &Script::endless(10))?;
    cluster.spawn_worker(&script, 1).await?;
    let first = cluster.submit(&Cluster::infer(&script)).await?;
    cluster.until_tokens(&first, 1).await?;
    let waiting = cluster.submit(&Cluster::infer(&script)).await?;
    until_queued(&cluster, &waiting).await?;
    cluster.cancel(&waiting).await?;
    let waiting = cluster.read(&waiting).await?;
    assert_eq!((waiting.token_count(), waiting.end), (0, EndMarker::Cancelled));
    cluster.cancel(&first).await?;
    assert_eq!(cluster.read(&first).await?.end, EndMarker::Cancelled);
    cluster.close()
}

#[tokio::test]
async fn a_full_queue_refuses_with_what_to_do() -> anyhow::Result<()> {
    let setup = Setup { queen: "queue_limit = 1", ..Setup::default() };
    let cluster = Cluster::start_with(setup).await?;
    let script = cluster.script("endless", &Script::endless(10))?;
    cluster.spawn_worker(&script, 1).await?;
    let running = cluster.submit(&Cluster::infer(&script)).await?;
    cluster.until_tokens(&running, 1).await?;
    let waiting = cluster.submit(&Cluster::infer(&script)).await?;
    until_queued(&cluster, &waiting).await?;

    let model = script.model();
    let post = cluster.post_job(Daemon::Queen, &Cluster::infer(&script)).await?;
    assert_eq!((post.status, post.code()), (429, "queue_full"), "{post:?}");
    assert!(post.retry_after.is_some(), "{post:?}");
    let refused = cluster.keeper(&["infer", "x", "--model", &model, "-o", "json"]).await?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stdout.contains("queue_full"), "{refused:?}");
    assert!(refused.stdout.contains("worker spawn --model"), "{refused:?}");
    for job in [waiting, running] {
        cluster.cancel(&job).await?;
        assert_eq!(cluster.read(&job).await?.end, EndMarker::Cancelled);
    }
    cluster.close()
}

#[tokio::test]
async fn two_slots_answer_two_requests_at_the_same_time() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("endless", &Script::endless(10))?;
    cluster.spawn_worker(&script, 2).await?;
    let one = cluster.submit(&Cluster::infer(&script)).await?;
    let other = cluster.submit(&Cluster::infer(&script)).await?;
    for job in [&one, &other] {
        cluster.until_tokens(job, 2).await?;
    }
    for job in [one, other] {
        cluster.cancel(&job).await?;
        let transcript = cluster.read(&job).await?;
        let expected = Script::endless_text(transcript.token_count());
        assert_eq!(transcript.text(), expected, "each has its own answer");
    }
    cluster.close()
}
