//! The queen with and without the hive of her machine: which of them this is,
//! so that no run takes one build for the other, what a person is told about
//! it, and the way from one to the other. What else holds for either is told by
//! all the other scenarios, which run with both.

use std::{env, fs, path::Path};

use harness::{Cluster, Daemon, Terminal};
use serde_json::json;

/// Set by `tests/run`: the features of the queen that it has built.
const EXPECTED: &str = "QUEEN_FEATURES";

#[tokio::test]
async fn a_hive_is_a_process_of_its_own_unless_the_queen_carries_it() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let is_in_queen = cluster.hive_is_in_queen().await?;
    if let Ok(expected) = env::var(EXPECTED) {
        assert_eq!(is_in_queen, expected == "local-hive", "the queen under test is another build");
    }
    let started = cluster.keeper(&["hive", "start"]).await?.succeeded()?;
    assert_eq!(started.stderr.contains("in the queen"), is_in_queen, "{}", started.stderr);

    let (queen, hive) = (cluster.pid(Daemon::Queen)?, cluster.pid(Daemon::Hive)?);
    assert_eq!(hive == queen, is_in_queen);
    assert_eq!(cluster.hive_process(), (!is_in_queen).then_some(hive));
    // She can be called over HTTP all the same.
    let health = cluster.call(Daemon::Hive, "GET", "/health", &[], None).await?;
    assert_eq!(health.status, 200);
    cluster.close()
}

/// A source of rbee that is quick to build: a queen who only says what she was
/// built with.
fn little_source(dir: &Path, main: &str) -> anyhow::Result<()> {
    for (file, text) in [
        ("Cargo.toml", "[workspace]\nmembers = [\"queen\"]\nresolver = \"3\"\n"),
        ("Cargo.lock", "version = 4\n\n[[package]]\nname = \"queen\"\nversion = \"1.2.3\"\n"),
        (
            "queen/Cargo.toml",
            "[package]\nname = \"queen\"\nversion = \"1.2.3\"\nedition = \"2024\"\n\
             [features]\nlocal-hive = []\n\
             [[bin]]\nname = \"queen-rbee\"\npath = \"main.rs\"\n",
        ),
        ("queen/main.rs", main),
    ] {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().unwrap_or(dir))?;
        fs::write(path, text)?;
    }
    Ok(())
}

const LITTLE_QUEEN: &str = r#"fn main() {
    let features = if cfg!(feature = "local-hive") { "[\"local-hive\"]" } else { "[]" };
    println!(
        "{{\"version\":\"1.2.3\",\"features\":{features},\
         \"build_timestamp\":\"2026-01-01T00:00:00Z\",\"git_sha\":\"little\"}}"
    );
}
"#;

#[tokio::test]
async fn a_rebuilt_queen_takes_her_place_beside_the_keeper_and_the_running_one_stays()
-> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let queen = cluster.pid(Daemon::Queen)?;
    let source = cluster.paths().data_dir.join("source");
    little_source(&source, LITTLE_QUEEN)?;
    let toolchain = Path::new(env!("CARGO")).parent().unwrap().display().to_string();
    let path = format!("{toolchain}:/usr/bin:/bin");
    let path = [("PATH", path.as_str())];
    let rebuild = ["queen", "rebuild", "--source", source.to_str().unwrap(), "-o", "json"];
    let info = async || cluster.keeper(&["queen", "info", "-o", "json"]).await?.json();
    let before = info().await?;
    assert_eq!(before["is_current"], true, "{before}");

    let with = [&rebuild[..], &["--with-local-hive"]].concat();
    let built = cluster.keeper_with(&with, &path).await?.succeeded()?;
    assert_eq!(built.json()?["features"], json!(["queen/local-hive"]), "{built:?}");
    assert!(built.stderr.contains("Compiling queen v1.2.3"), "{built:?}");
    let seen = info().await?;
    assert_eq!(seen["program"]["build"]["features"], json!(["local-hive"]), "{seen}");
    assert_eq!(seen["is_current"], false, "{seen}");
    assert_eq!((&seen["git_sha"], cluster.pid(Daemon::Queen)?), (&before["git_sha"], queen));

    let without = cluster.keeper_with(&rebuild, &path).await?.succeeded()?;
    assert_eq!(without.json()?["restarted"], false, "{without:?}");
    let seen = info().await?;
    assert_eq!(seen["program"]["build"]["features"], json!([]), "{seen}");

    fs::write(source.join("queen/main.rs"), "fn main() { nonsense }")?;
    let broken = cluster.keeper_with(&rebuild, &path).await?;
    assert_eq!((broken.code, &broken.json()?["error"]["code"]), (Some(1), &json!("build_failed")));
    assert!(broken.stderr.contains("cannot find value `nonsense`"), "{broken:?}");
    assert_eq!(info().await?, seen, "the former program is still there");
    cluster.close()
}

#[tokio::test]
async fn a_rebuild_says_what_it_needs() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let source = cluster.paths().data_dir.join("source");
    let rebuild = ["queen", "rebuild", "--source", source.to_str().unwrap()];
    let nothing = cluster.keeper(&rebuild).await?;
    assert_eq!(nothing.code, Some(3), "{nothing:?}");
    assert!(nothing.stderr.contains("no source of rbee in"), "{nothing:?}");
    assert!(nothing.stderr.contains("queen rebuild --source DIR"), "{nothing:?}");

    little_source(&source, LITTLE_QUEEN)?;
    let no_cargo = cluster.keeper_with(&rebuild, &[("PATH", "/nowhere")]).await?;
    assert_eq!(no_cargo.code, Some(3), "{no_cargo:?}");
    assert!(no_cargo.stderr.contains("https://rustup.rs"), "{no_cargo:?}");

    let elsewhere =
        cluster.keeper(&["--queen", "http://queen.example:8500", "queen", "rebuild"]).await?;
    assert_eq!(elsewhere.code, Some(2), "{elsewhere:?}");
    cluster.close()
}

#[tokio::test]
async fn starting_a_hive_beside_the_queen_tells_what_that_costs_and_asks_a_person()
-> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let is_in_queen = cluster.hive_is_in_queen().await?;
    let told = |stderr: &str| stderr.contains("Performance notice");
    if !is_in_queen {
        let mut terminal = Terminal::running(&cluster, &["hive", "start"])?;
        terminal.until_it_shows("Continue with distributed setup? [y/N]").await?;
        terminal.press("n\r")?;
        assert_eq!(terminal.exit_code().await?, 2);
        assert_eq!(cluster.record(Daemon::Hive)?, None, "nothing was started");
    }
    let script = cluster.keeper(&["hive", "start"]).await?.succeeded()?;
    assert_eq!(told(&script.stderr), !is_in_queen, "{}", script.stderr);
    let again = cluster.keeper(&["hive", "start"]).await?.succeeded()?;
    assert!(!told(&again.stderr), "it runs already: {}", again.stderr);

    cluster.keeper(&["hive", "stop"]).await?.succeeded()?;
    let installed = cluster.keeper(&["hive", "install", "localhost"]).await?.succeeded()?;
    assert_eq!(told(&installed.stderr), !is_in_queen, "{}", installed.stderr);

    cluster.keeper(&["hive", "stop"]).await?.succeeded()?;
    let config = cluster.paths().config_file();
    let quiet = fs::read_to_string(&config)? + "[keeper]\nlocal_hive_notice = false\n";
    fs::write(&config, quiet)?;
    let started = cluster.keeper(&["hive", "start"]).await?.succeeded()?;
    assert!(!told(&started.stderr), "{}", started.stderr);
    cluster.close()
}
