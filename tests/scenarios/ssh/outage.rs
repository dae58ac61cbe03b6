//! Links that are gone for longer than a person waits, under running streams.

use std::time::Duration;

use anyhow::Context as _;
use harness::{Cluster, Machine, Script, Seen, wait_for, wait_within};
use protocol::Timestamp;
use serde_json::{Value, json};

use super::{hive, spawn, until_link};

/// What a stream must survive.
const OUTAGE_SECONDS: i64 = 30;
/// The outage itself, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until the queen herself says that she has not heard the hive for as
/// long as the outage is to last.
async fn until_unheard(cluster: &Cluster, id: &str) -> anyhow::Result<()> {
    wait_within(PATIENCE, "the outage to have lasted", async || {
        let hive = hive(cluster, id).await?;
        let heard = hive["last_seen_at"].as_str().with_context(|| format!("{hive}"))?;
        let heard: Timestamp = heard.parse()?;
        let silence = Timestamp::now().as_second() - heard.as_second();
        Ok(Seen::when(silence > OUTAGE_SECONDS, hive))
    })
    .await
}

/// Words that end by themselves before an outage does.
fn short(count: usize) -> Value {
    let tokens: Vec<String> = (0..count).map(|n| format!("w{n} ")).collect();
    json!({ "tokens": tokens, "delay_ms": 100 })
}

#[tokio::test]
async fn links_that_are_gone_for_half_a_minute_lose_no_stream() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    // One is switched off; nothing comes back from the other, as from a cable
    // that was cut.
    let mut off = Machine::start(&cluster, "off").await?;
    let silent = Machine::start(&cluster, "silent").await?;
    let mut streams = Vec::new();
    for id in ["off", "silent"] {
        cluster.keeper(&["hive", "install", id]).await?.succeeded()?;
        let endless = cluster.script(&format!("{id}-endless"), &Script::endless(20))?;
        let worker = spawn(&cluster, id, &endless).await?;
        let stream = cluster.submit(&Cluster::infer(&endless)).await?;
        cluster.until_tokens(&stream, 3).await?;
        streams.push((id, worker["id"].as_str().context("no id")?.parse()?, stream));
    }
    let ends = cluster.script("ends", &short(60))?;
    spawn(&cluster, "off", &ends).await?;
    let ending = cluster.submit(&Cluster::infer(&ends)).await?;
    cluster.until_tokens(&ending, 3).await?;

    off.switch_off()?;
    silent.freeze()?;
    // The end of ssh is noticed at once, and silence by the echoes.
    until_link(&cluster, "off", "down").await?;
    until_link(&cluster, "silent", "down").await?;
    tokio::try_join!(until_unheard(&cluster, "off"), until_unheard(&cluster, "silent"))?;
    assert_eq!(cluster.job(&ending).await?.state.as_str(), "running");
    off.switch_on().await?;
    silent.thaw()?;

    for (id, worker, stream) in &streams {
        until_link(&cluster, id, "up").await?;
        let shown = cluster.job(stream).await?.last_event as usize;
        cluster.until_tokens(stream, shown + 50).await?;
        // The way back for heartbeats is made anew as well.
        let before = cluster.worker(worker).await?["last_heartbeat_at"].clone();
        let beats = |it: &Value| it["last_heartbeat_at"] != before;
        cluster.until_worker(worker, "its heartbeat after the outage", beats).await?;
        cluster.cancel(stream).await?;
        let transcript = cluster.read(stream).await?;
        assert_eq!(transcript.text(), Script::endless_text(transcript.token_count()), "{id}");
        // It went on while nobody could hear it.
        assert!(transcript.token_count() > 500, "{id}: {}", transcript.token_count());
    }
    // One that ended meanwhile is read to its end.
    let transcript = cluster.read(&ending).await?;
    assert_eq!(transcript.text(), Script::endless_text(60));
    wait_for("one ssh process for each machine", async || {
        let pids = cluster.ssh_pids();
        Ok(Seen::when(pids.len() == 2, pids))
    })
    .await?;
    cluster.close()
}
