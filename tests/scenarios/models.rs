//! Models on the disks of the fleet: known as they come and go, without being
//! asked for.

use std::fs;

use harness::{Cluster, Daemon, Seen, Setup, Terminal, wait_for};
use serde_json::{Value, json};

/// Where a cluster's cache keeps a repository.
fn repository(cluster: &Cluster, repo: &str) -> std::path::PathBuf {
    let name = format!("models--{}", repo.replace('/', "--"));
    cluster.home().join(".cache/huggingface/hub").join(name)
}

/// Waits until the queen knows exactly these models.
async fn until_known(cluster: &Cluster, expected: &[&str]) -> anyhow::Result<()> {
    wait_for(&format!("{expected:?}"), async || {
        let fleet = cluster.get("/v1/status").await?.body;
        let models = fleet["models"].as_array().cloned().unwrap_or_default();
        let ids: Vec<_> = models.iter().filter_map(|it| it["id"].as_str()).collect();
        Ok(Seen::when(ids == expected, &ids))
    })
    .await
}

async fn operations(cluster: &Cluster) -> anyhow::Result<Vec<Value>> {
    let jobs = cluster.get("/v1/jobs?limit=50").await?.body;
    let jobs = jobs["jobs"].as_array().cloned().unwrap_or_default();
    Ok(jobs.iter().map(|it| it["operation"].clone()).collect())
}

#[tokio::test]
async fn a_model_that_others_put_there_is_seen_everywhere_and_nobody_was_asked()
-> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    cluster.keeper(&["hive", "start"]).await?.succeeded()?;
    until_known(&cluster, &["demo"]).await?;
    let fleet = cluster.get("/v1/status").await?.body;
    let disk = &fleet["hives"][0]["disk"];
    assert!(disk["total_bytes"].as_u64() >= disk["free_bytes"].as_u64(), "{fleet}");
    assert!(disk["free_bytes"].is_u64(), "{fleet}");

    let mut watching = cluster.keeper_running(&["status", "--watch", "-o", "ndjson"])?;
    watching.until_it_says("\"kind\":\"snapshot\"").await?;
    let mut terminal = Terminal::open(&cluster)?;
    terminal.until_it_shows("localhost").await?;
    terminal.press("4")?;
    terminal.until_it_shows("● demo").await?;

    cluster.cache_model("org/repo", "tiny-Q4_K_M.gguf")?;
    until_known(&cluster, &["demo", "org/repo:tiny-Q4_K_M.gguf"]).await?;
    watching.until_it_says("\"kind\":\"model\"").await?;
    terminal.until_it_shows("repo:tiny-Q4_K_M.gguf").await?;

    fs::remove_dir_all(repository(&cluster, "org/repo"))?;
    until_known(&cluster, &["demo"]).await?;
    watching.until_it_says("\"gone\":true").await?;
    terminal.until_it_shows("Models  1").await?;
    assert_eq!(terminal.quit().await?, 0);
    watching.interrupt()?;
    let told = watching.output().await?.json_lines()?;
    let of_model = |line: &&Value| line["kind"] == "model";
    let told: Vec<_> = told.iter().filter(of_model).collect();
    let id = json!("org/repo:tiny-Q4_K_M.gguf");
    assert!(told.iter().all(|it| it["data"]["id"] == id), "{told:?}");
    assert!(told.iter().all(|it| it["data"]["hive_id"] == "localhost"), "{told:?}");
    assert_eq!(operations(&cluster).await?, ["hive_start"], "to look is no job");
    cluster.close()
}

#[tokio::test]
async fn the_models_of_a_lost_hive_stay_until_it_tells_of_others() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    cluster.cache_model("org/repo", "tiny.gguf")?;
    cluster.keeper(&["hive", "start"]).await?.succeeded()?;
    let both = ["demo", "org/repo:tiny.gguf"];
    until_known(&cluster, &both).await?;
    let mut terminal = Terminal::open(&cluster)?;
    terminal.until_it_shows("localhost").await?;
    terminal.press("4")?;
    terminal.until_it_shows("repo:tiny.gguf").await?;

    // In the queen's process it is lost only with her.
    let Some(hive) = cluster.hive_process() else {
        assert_eq!(terminal.quit().await?, 0);
        return cluster.close();
    };
    cluster.kill9(hive).await?;
    terminal.until_it_shows("▲ 1 not live").await?;
    terminal.until_it_shows("▲ localhost: as it was").await?;
    terminal.until_it_shows("repo:tiny.gguf").await?;
    until_known(&cluster, &both).await?;

    fs::remove_dir_all(repository(&cluster, "org/repo"))?;
    cluster.keeper(&["hive", "start"]).await?.succeeded()?;
    until_known(&cluster, &["demo"]).await?;
    terminal.until_it_shows("Models  1").await?;
    cluster.keeper(&["hive", "stop"]).await?.succeeded()?;
    until_known(&cluster, &[]).await?;
    assert_eq!(terminal.quit().await?, 0);
    cluster.close()
}

#[tokio::test]
async fn a_list_that_nobody_was_asked_for_says_so_and_a_download_brings_its_hive()
-> anyhow::Result<()> {
    let cluster = Cluster::start_with(Setup { real_worker: true, ..Setup::default() }).await?;
    let nobody = cluster.keeper(&["model", "list"]).await?.succeeded()?;
    assert!(nobody.stderr.contains("no hive is known to run"), "{nobody:?}");
    assert!(nobody.stderr.contains("rbee-keeper hive start"), "{nobody:?}");
    assert_eq!(cluster.record(Daemon::Hive)?, None, "looking starts nothing");

    let here = cluster.keeper(&["model", "download", "demo", "-o", "name"]).await?.succeeded()?;
    assert_eq!(here.stdout, "demo\n");
    assert!(here.stderr.contains("hive 'localhost' is ready"), "{here:?}");
    let listed = cluster.keeper(&["model", "list", "-o", "name"]).await?.succeeded()?;
    assert_eq!((listed.stdout.as_str(), listed.stderr.as_str()), ("demo\n", ""));
    cluster.keeper(&["hive", "stop"]).await?.succeeded()?;

    let plan = cluster.keeper(&["model", "plan", "demo"]).await?;
    assert!(plan.stdout.contains("CPU-0"), "{plan:?}");
    assert_ne!(cluster.record(Daemon::Hive)?, None);
    // The next hive reads the header without being asked for it.
    cluster.keeper(&["hive", "stop"]).await?.succeeded()?;
    cluster.keeper(&["hive", "start"]).await?.succeeded()?;
    wait_for("the header of the demo model", async || {
        let fleet = cluster.get("/v1/status").await?.body;
        Ok(Seen::when(fleet["models"][0]["architecture"] == "llama", &fleet["models"]))
    })
    .await?;
    cluster.close()
}
