//! Whose token is shown to whom.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{
    bench::*,
    double::{Double, Manner, TOKEN},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_a_private_file_is_shown_to_the_hub_and_to_nobody_else() {
    let bytes = model(0);
    let bench = Bench::new(&[(Q4, &bytes)]).await;
    bench.hub.behave(Manner::Gated);
    let told = bench.run(download("org/repo")).await;
    let error = told.outcome.as_ref().unwrap_err();
    assert!(error.hint.as_ref().unwrap().contains("HF_TOKEN_PATH"), "{error:?}");

    let token = bench.directory.path().join("token");
    fs::write(&token, TOKEN).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    let told = bench.run(download("org/repo")).await;
    let error = told.outcome.as_ref().unwrap_err();
    assert!(error.hint.as_ref().unwrap().contains("chmod 600"), "{error:?}");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    bench.hub.forget();
    let told = bench.run(download("org/repo")).await;
    assert_eq!(told.model()["state"], "ready");
    let seen = bench.hub.seen();
    assert!(seen.iter().any(|it| it.path.starts_with("/cdn/")));
    for it in seen {
        assert_eq!(it.authorization.is_some(), !it.path.starts_with("/cdn/"), "{it:?}");
    }
}

fn secret(path: &Path, token: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, token).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Every file below `directory`.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_file_of_the_configuration_counts_and_its_token_is_found_nowhere_else() {
    // Where hf-hub itself would look, and the variable that other tools read.
    const OTHERS: &str = "hf_token_of_a_login_0123456789";
    const VARIABLE: &str = "hf_token_of_a_variable_0123456";
    let bytes = model(0);
    let hub = Double::serve(&[(Q4, &bytes)]).await;
    hub.behave(Manner::Gated);
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config");
    secret(&config.join("hub.token"), TOKEN);
    secret(&directory.path().join("hf-home/token"), OTHERS);
    fs::write(config.join("config.toml"), "[hive]\nhf_token_file = \"hub.token\"\n").unwrap();
    let loud = [("HF_TOKEN", VARIABLE), ("RUST_LOG", "trace")];
    let (hive, daemon) = launch(&hub, directory.path(), &loud);
    let told = run(&daemon, download("org/repo")).await;
    assert_eq!(told.model()["state"], "ready");

    let shown: Vec<String> = hub.seen().into_iter().filter_map(|it| it.authorization).collect();
    assert!(!shown.is_empty());
    assert!(shown.iter().all(|it| *it == format!("Bearer {TOKEN}")), "{shown:?}");
    let argv = fs::read(format!("/proc/{}/cmdline", hive.id())).unwrap();
    drop(hive);
    let written = files(directory.path());
    let is_log = |file: &PathBuf| file.extension().is_some_and(|it| it == "log");
    assert!(written.iter().any(is_log), "{written:?}");
    let holds = |bytes: &[u8]| bytes.windows(TOKEN.len()).any(|it| it == TOKEN.as_bytes());
    let holders: Vec<PathBuf> =
        written.into_iter().filter(|file| fs::read(file).is_ok_and(|it| holds(&it))).collect();
    assert_eq!(holders, [config.join("hub.token")]);
    assert!(!holds(&argv));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_file_that_is_named_and_not_there_is_said() {
    let bytes = model(0);
    let hub = Double::serve(&[(Q4, &bytes)]).await;
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.toml"), "[hive]\nhf_token_file = \"hub.token\"\n").unwrap();
    let (_hive, daemon) = launch(&hub, directory.path(), &[]);
    // Most models need none.
    let told = run(&daemon, download("org/repo")).await;
    assert_eq!(told.model()["state"], "ready");
    assert!(told.said("going on without a token"), "{told:?}");
    hub.behave(Manner::Gated);
    let told =
        run(&daemon, json!({"operation": "model_get", "id": "org/other", "hub": true})).await;
    assert_eq!(told.code(), "model_not_found");
    let told = run(&daemon, download("org/repo")).await;
    let error = told.outcome.unwrap_err();
    assert!(error.hint.unwrap().contains("hub.token: No such file"));
}
