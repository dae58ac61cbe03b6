//! Stamps the build with its commit and its time.

use std::{env, process::Command};

fn main() {
    let git_sha = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(|| "unknown".to_owned(), |sha| sha.trim().to_owned());

    // Reproducible builds set this; see https://reproducible-builds.org/specs/source-date-epoch/
    let built_at = env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|seconds| seconds.parse().ok())
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .or_else(|| jiff::Timestamp::now().round(jiff::Unit::Second).ok())
        .map_or_else(|| "unknown".to_owned(), |at| at.to_string());

    emit(&format!("cargo::rustc-env=RBEE_GIT_SHA={git_sha}"));
    emit(&format!("cargo::rustc-env=RBEE_BUILT_AT={built_at}"));
    emit("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    emit("cargo::rerun-if-changed=build.rs");
    // HEAD names the branch; logs/HEAD grows with each commit on it.
    for path in ["../../.git/HEAD", "../../.git/logs/HEAD"] {
        if std::path::Path::new(path).exists() {
            emit(&format!("cargo::rerun-if-changed={path}"));
        }
    }
}

/// A build script talks to cargo on its standard output.
fn emit(line: &str) {
    println!("{line}");
}
