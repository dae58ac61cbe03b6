//! Machines that are more of a machine than a port on loopback.

use std::fs;

use anyhow::Context as _;
use harness::{Cluster, Machine, MachineSetup, Network, Place, Script, Seen, skip, wait_for};
use serde_json::{Value, json};

use super::{hive, spawn, until_link};

#[tokio::test]
async fn a_cable_that_is_pulled_for_a_while_costs_no_token() -> anyhow::Result<()> {
    let network = match Network::lay() {
        Ok(network) => network,
        Err(why) => return skip("a_cable_that_is_pulled_for_a_while_costs_no_token", &why),
    };
    let cluster = Cluster::start().await?;
    let setup = MachineSetup { place: Place::In(&network), ..MachineSetup::default() };
    let machine = Machine::start_with(&cluster, "far", setup).await?;
    cluster.keeper(&["hive", "install", "far"]).await?.succeeded()?;
    let endless = cluster.script("endless", &Script::endless(20))?;
    spawn(&cluster, "far", &endless).await?;
    let stream = cluster.submit(&Cluster::infer(&endless)).await?;
    cluster.until_tokens(&stream, 3).await?;

    network.plug(false)?;
    // Nothing says so but the silence.
    until_link(&cluster, "far", "down").await?;
    network.plug(true)?;
    until_link(&cluster, "far", "up").await?;
    let shown = cluster.job(&stream).await?.last_event as usize;
    cluster.until_tokens(&stream, shown + 20).await?;
    cluster.cancel(&stream).await?;
    let transcript = cluster.read(&stream).await?;
    assert_eq!(transcript.text(), Script::endless_text(transcript.token_count()));

    let uninstall = ["hive", "uninstall", "far", "--confirm", "far"];
    cluster.keeper(&uninstall).await?.succeeded()?;
    assert_eq!((machine.files(), machine.processes()), (vec![], vec![]));
    cluster.close()
}

#[tokio::test]
async fn the_user_s_own_systemd_keeps_a_hive() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let setup = MachineSetup { place: Place::WithSystemd, ..MachineSetup::default() };
    let machine = match Machine::start_with(&cluster, "unit", setup).await {
        Ok(machine) => machine,
        Err(why) => {
            skip("the_user_s_own_systemd_keeps_a_hive", &format!("{why:#}"))?;
            return cluster.close();
        }
    };
    let installed = cluster.keeper(&["hive", "install", "unit"]).await?.succeeded()?;
    assert!(installed.stderr.contains("as a systemd unit of its user"), "{installed:#?}");
    let endless = cluster.script("endless", &Script::endless(20))?;
    let worker = spawn(&cluster, "unit", &endless).await?;
    let id = worker["id"].as_str().context("no id")?.parse()?;
    let stream = cluster.submit(&Cluster::infer(&endless)).await?;
    cluster.until_tokens(&stream, 3).await?;

    // systemd starts one again that fell, and it adopts the worker.
    let found = config::instance::find(&machine.paths().hive_dir())?;
    let config::Found::Running(record) = found else { panic!("{found:?}") };
    machine.kill9(record.pid)?;
    wait_for("another hive", async || {
        let found = config::instance::find(&machine.paths().hive_dir())?;
        let is_new = matches!(&found, config::Found::Running(it) if it.pid != record.pid);
        Ok(Seen::when(is_new, found))
    })
    .await?;
    let is_same = |it: &Value| it["pid"] == worker["pid"] && it["state"] == "busy";
    cluster.until_worker(&id, "the same process, at work", is_same).await?;
    wait_for("the hive to be back", async || {
        let hive = hive(&cluster, "unit").await?;
        Ok(Seen::when(hive["state"] == "ready", hive))
    })
    .await?;
    let shown = cluster.job(&stream).await?.last_event as usize;
    cluster.until_tokens(&stream, shown + 5).await?;
    cluster.cancel(&stream).await?;
    let transcript = cluster.read(&stream).await?;
    assert_eq!(transcript.text(), Script::endless_text(transcript.token_count()));

    cluster.keeper(&["hive", "stop", "unit"]).await?.succeeded()?;
    assert_eq!(machine.processes(), []);
    cluster.keeper(&["hive", "start", "unit"]).await?.succeeded()?;
    let uninstall = ["hive", "uninstall", "unit", "--confirm", "unit"];
    cluster.keeper(&uninstall).await?.succeeded()?;
    assert_eq!(machine.processes(), []);
    let unit = machine.home().join(".config/systemd/user/rbee-hive.service");
    assert!(!fs::exists(&unit)?, "{:?}", machine.files());
    assert_eq!(hive(&cluster, "unit").await?, json!(null));
    cluster.close()
}
