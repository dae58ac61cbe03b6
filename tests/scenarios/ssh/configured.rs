//! Machines behind ssh of which `hives.conf` says more than where they are.

use std::fs;

use harness::{Cluster, Machine, OtherHive, Script, Seen, Setup, wait_for};
use serde_json::Value;

use super::{hive, other_build, spawn, until_link};

fn hives_conf(cluster: &Cluster, text: &str) -> anyhow::Result<()> {
    Ok(fs::write(cluster.paths().hives_file(), text)?)
}

#[tokio::test]
async fn programs_come_from_the_operation_then_from_hives_conf_then_from_this_build()
-> anyhow::Result<()> {
    let cluster = Cluster::install(Setup::default())?;
    let other = other_build(&cluster)?;
    let nowhere = cluster.home().join("nowhere/rbee-hive");
    hives_conf(
        &cluster,
        &format!(
            "Host gpu-1\n  BinaryPath {other}\nHost gpu-2\n  BinaryPath {}\n",
            nowhere.display()
        ),
    )?;
    cluster.keeper(&["queen", "start"]).await?.succeeded()?;
    let machine = Machine::start(&cluster, "gpu-1").await?;
    let length = || fs::metadata(machine.home().join(".local/share/rbee-hive/rbee-hive"));
    let bin = cluster.home().join("bin");
    let ours = fs::metadata(bin.join("rbee-hive"))?.len();

    cluster.keeper(&["hive", "install", "gpu-1"]).await?.succeeded()?;
    assert!(length()?.len() > ours, "the build that hives.conf names");
    let update = ["hive", "update", "gpu-1", "--binary-path", &bin.display().to_string()];
    cluster.keeper(&update).await?.succeeded()?;
    assert_eq!(length()?.len(), ours, "the build that the operation names");
    cluster.keeper(&["hive", "update", "gpu-1"]).await?.succeeded()?;
    assert!(length()?.len() > ours, "the build that hives.conf names, again");

    let _other = Machine::start(&cluster, "gpu-2").await?;
    let failed = cluster.keeper(&["hive", "install", "gpu-2"]).await?;
    assert!(failed.stderr.contains("BinaryPath in hives.conf: cannot read"), "{failed:#?}");
    cluster.close()
}

#[tokio::test]
async fn a_hive_that_was_there_before_needs_its_port_and_its_token() -> anyhow::Result<()> {
    let cluster = Cluster::install(Setup::default())?;
    let machine = Machine::start(&cluster, "attic").await?;
    let theirs = OtherHive::start_on(&cluster, "attic", &machine)?;
    theirs.copy_token(&cluster.paths().config_dir.join("attic.token"))?;
    let port = theirs.address().port();
    hives_conf(&cluster, &format!("Host attic\n  HivePort {port}\n  TokenFile attic.token\n"))?;
    cluster.keeper(&["queen", "start"]).await?.succeeded()?;
    until_link(&cluster, "attic", "up").await?;
    wait_for("its feed", async || {
        let hive = hive(&cluster, "attic").await?;
        Ok(Seen::when(hive["state"] == "ready", hive))
    })
    .await?;

    let endless = cluster.script("endless", &Script::endless(10))?;
    let worker = spawn(&cluster, "attic", &endless).await?;
    let stream = cluster.submit(&Cluster::infer(&endless)).await?;
    cluster.until_tokens(&stream, 3).await?;
    // What its feed says of the worker is as good as a heartbeat, and that none
    // comes is said.
    let id = worker["id"].as_str().unwrap_or_default().parse()?;
    let is_busy = |it: &Value| it["slots_busy"] == 1 && it["tokens_per_second"].is_number();
    cluster.until_worker(&id, "its numbers", is_busy).await?;
    assert_eq!(cluster.worker(&id).await?["last_heartbeat_at"], Value::Null);
    let get = cluster.keeper(&["hive", "get", "attic", "-o", "json"]).await?.succeeded()?;
    assert!(get.stderr.contains("heartbeats do not come here"), "{get:#?}");

    for pid in cluster.ssh_pids() {
        cluster.kill9(pid).await?;
    }
    let shown = cluster.job(&stream).await?.last_event as usize;
    cluster.until_tokens(&stream, shown + 5).await?;
    cluster.cancel(&stream).await?;
    let transcript = cluster.read(&stream).await?;
    assert_eq!(transcript.text(), Script::endless_text(transcript.token_count()));

    // What was not put there from here is not replaced or removed from here.
    let update = cluster.keeper(&["hive", "update", "attic"]).await?;
    assert!(update.stderr.contains("no hive was installed on 'attic' from here"), "{update:#?}");
    cluster.close()
}
