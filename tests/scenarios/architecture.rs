//! The table of edges between our crates, held against what cargo builds.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

/// Which of our crates each of them may be built from. Dependencies of tests
/// are not in it: those may look at anything.
const EDGES: [(&str, &[&str]); 10] = [
    ("build-stamp", &[]),
    ("protocol", &[]),
    ("config", &["protocol"]),
    ("client", &["protocol"]),
    ("lifecycle", &["config"]),
    ("daemon", &["config", "protocol"]),
    ("worker", &["build-stamp", "client", "config", "daemon", "protocol"]),
    ("hive", &["build-stamp", "client", "config", "daemon", "lifecycle", "protocol"]),
    // The hive only behind `local-hive`, which is off unless asked for.
    ("queen", &["build-stamp", "client", "config", "daemon", "hive", "lifecycle", "protocol"]),
    ("keeper-tui", &["client", "config", "lifecycle", "protocol"]),
];

fn cargo(args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(args)
        .arg("--offline")
        .output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Our packages, each with those of ours that it is built from.
fn edges() -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"])?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let name = |package: &Value| package["name"].as_str().unwrap_or_default().to_owned();
    let ours: Vec<String> = packages.iter().map(name).collect();
    let edges = packages.iter().map(|package| {
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        let built_from = dependencies.filter(|it| it["kind"] != "dev").map(name);
        let mut built_from: Vec<_> = built_from.filter(|it| ours.contains(it)).collect();
        built_from.sort();
        built_from.dedup();
        (name(package), built_from)
    });
    Ok(edges.collect())
}

#[test]
fn every_crate_is_built_from_the_crates_it_may_be_built_from() -> anyhow::Result<()> {
    let edges = edges()?;
    for (name, allowed) in EDGES {
        let Some(built_from) = edges.get(name) else { panic!("there is no package {name}") };
        assert_eq!(built_from, allowed, "{name}");
    }
    let is_listed = |name: &str| EDGES.iter().any(|(listed, _)| *listed == name);
    for (name, built_from) in edges.iter().filter(|(name, _)| !is_listed(name)) {
        // Tools may use what they like, and nothing of the product uses them.
        let users = edges.iter().filter(|(_, built_from)| built_from.contains(name));
        let users: Vec<_> = users.map(|(user, _)| user).collect();
        assert!(
            users.is_empty(),
            "{users:?} are built from {name}, which is built from {built_from:?}"
        );
    }
    Ok(())
}

#[test]
fn the_keeper_links_no_server_and_no_engine() -> anyhow::Result<()> {
    let tree =
        cargo(&["tree", "--package", "keeper-tui", "--edges", "normal", "--prefix", "none"])?;
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"client"), "{names:?}");
    for never in ["daemon", "axum", "queen", "hive", "worker", "candle-core", "rusqlite"] {
        assert!(!names.contains(&never), "the keeper links {never}");
    }
    Ok(())
}

#[test]
fn the_queen_by_herself_links_neither_hive_nor_engine_and_the_protocol_does_no_io()
-> anyhow::Result<()> {
    for (package, never) in [
        ("queen", &["hive", "candle-core", "tokenizers", "nvml-wrapper"][..]),
        ("protocol", &["tokio", "reqwest", "axum", "rusqlite"]),
    ] {
        let tree = cargo(&["tree", "--package", package, "--edges", "normal", "--prefix", "none"])?;
        for name in tree.lines().filter_map(|line| line.split(' ').next()) {
            assert!(!never.contains(&name), "{package} links {name}");
        }
    }
    Ok(())
}
