//! Hives at addresses of their own, behind a proxy that speaks TLS.

use std::fs;

use anyhow::Context as _;
use harness::{
    Authority, Cluster, OtherHive, Script, Seen, Setup, TlsProxy, wait_for, write_token,
};
use serde_json::{Value, json};

async fn attic(cluster: &Cluster) -> anyhow::Result<Value> {
    let status = cluster.get("/v1/status").await?;
    let hives = status.body["hives"].as_array().cloned().unwrap_or_default();
    hives.into_iter().find(|hive| hive["id"] == "attic").context("no hive 'attic'")
}

async fn until_ready(cluster: &Cluster) -> anyhow::Result<()> {
    wait_for("the hive to be ready", async || {
        let hive = attic(cluster).await?;
        Ok(Seen::when(hive["state"] == "ready", hive))
    })
    .await
}

async fn until_reason(cluster: &Cluster, words: &[&str]) -> anyhow::Result<()> {
    wait_for("the hive to be refused", async || {
        let hive = attic(cluster).await?;
        let reason = hive["reason"].as_str().unwrap_or_default();
        Ok(Seen::when(words.iter().all(|it| reason.contains(it)), &hive))
    })
    .await
}

#[tokio::test]
async fn a_hive_behind_tls_serves_whoever_trusts_it_and_shows_its_token() -> anyhow::Result<()> {
    let cluster = Cluster::install(Setup::default())?;
    let dir = cluster.paths().config_dir.clone();
    let theirs = OtherHive::start(&cluster, "attic")?;
    theirs.copy_token(&dir.join("attic.token"))?;
    let authority = Authority::new()?;
    let ca = authority.write(&dir.join("ca.pem"))?;
    let proxy = TlsProxy::start(theirs.address(), &authority).await?;
    let conf = |more: &str| {
        let text = format!("Host attic\n  Url {}\n  TokenFile attic.token\n{more}", proxy.url());
        fs::write(cluster.paths().hives_file(), text)
    };
    conf("  CaFile ca.pem\n")?;
    cluster.keeper(&["queen", "start"]).await?.succeeded()?;
    until_ready(&cluster).await?;

    // Its workers are on its own loopback; what they say comes through it.
    let endless = cluster.script("endless", &Script::endless(10))?;
    let spawn = json!({
        "operation": "worker_spawn", "hive_id": "attic", "model": endless.model(),
        "device": "CPU-0"
    });
    let spawned = cluster.run(&spawn).await?;
    assert_eq!(spawned.result()["worker"]["state"], "ready", "{spawned:#?}");
    let stream = cluster.submit(&Cluster::infer(&endless)).await?;
    cluster.until_tokens(&stream, 3).await?;
    proxy.cut();
    let shown = cluster.job(&stream).await?.last_event as usize;
    cluster.until_tokens(&stream, shown + 20).await?;
    cluster.cancel(&stream).await?;
    let transcript = cluster.read(&stream).await?;
    assert_eq!(transcript.text(), Script::endless_text(transcript.token_count()));

    // Another token.
    write_token(&dir.join("attic.token"), "another-token-of-good-length")?;
    cluster.restart_queen(&[]).await?;
    until_reason(&cluster, &["needs its token", "hives.conf:1", "TokenFile"]).await?;
    theirs.copy_token(&dir.join("attic.token"))?;

    // Another authority.
    Authority::new()?.write(&ca)?;
    cluster.restart_queen(&[]).await?;
    until_reason(&cluster, &["certificate that is not trusted", "hives.conf:1", "CaFile"]).await?;

    // None, and then one that this machine trusts.
    conf("")?;
    cluster.restart_queen(&[]).await?;
    until_reason(&cluster, &["certificate that is not trusted", "CaFile"]).await?;
    let system = authority.write(&dir.join("system.pem"))?.display().to_string();
    cluster.restart_queen(&[("SSL_CERT_FILE", &system)]).await?;
    until_ready(&cluster).await?;

    // Where a file names authorities, what this machine trusts does not count.
    conf("  CaFile ca.pem\n")?;
    cluster.restart_queen(&[("SSL_CERT_FILE", &system)]).await?;
    until_reason(&cluster, &["certificate that is not trusted", "CaFile"]).await?;

    // A token for everybody on the way.
    fs::write(
        cluster.paths().hives_file(),
        "Host attic\n  Url http://10.213.0.1:9\n  TokenFile attic.token\n",
    )?;
    let check = cluster.keeper(&["config", "check"]).await?;
    assert_ne!(check.code, Some(0), "{check:#?}");
    assert!(check.stdout.contains("hives.conf:3: its token would be sent"), "{check:#?}");
    assert!(check.stdout.contains("InsecureHttp yes"), "{check:#?}");
    fs::write(cluster.paths().hives_file(), "")?;
    cluster.close()
}
