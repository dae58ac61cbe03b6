//! Which commit a program is built from, and when: macros for its `main`.
//!
//! A build script would make its whole package, and everything that is built
//! from it, be compiled again with each commit. These are expanded where they
//! stand, so a commit compiles nothing again but the `main`s that use them.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use proc_macro::TokenStream;

/// What stands for what cannot be known.
const UNKNOWN: &str = "unknown";

/// The commit, twelve digits of it, as a string literal; `unknown` outside a
/// checkout.
#[proc_macro]
pub fn git_sha(_: TokenStream) -> TokenStream {
    let sha = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| UNKNOWN.to_owned());
    // The compiler remembers what is included. HEAD names the branch; its log
    // grows with each commit on it.
    let watched = ["HEAD", "logs/HEAD"].into_iter().filter_map(|file| {
        let file = git(&["rev-parse", "--git-path", file])?;
        Some(package().join(file)).filter(|file| file.is_file())
    });
    let watched: String =
        watched.map(|file| format!("const _: &[u8] = include_bytes!({file:?});")).collect();
    expression(&watched, &sha)
}

/// When it is built, to the second, as a string literal.
#[proc_macro]
pub fn built_at(_: TokenStream) -> TokenStream {
    // Reproducible builds set this; see https://reproducible-builds.org/specs/source-date-epoch/
    let given = env::var("SOURCE_DATE_EPOCH").ok();
    let given = given.and_then(|seconds| jiff::Timestamp::from_second(seconds.parse().ok()?).ok());
    let at = given.or_else(|| jiff::Timestamp::now().round(jiff::Unit::Second).ok());
    let at = at.map_or_else(|| UNKNOWN.to_owned(), |at| at.to_string());
    expression(r#"const _: Option<&str> = option_env!("SOURCE_DATE_EPOCH");"#, &at)
}

/// `{ items "value" }`, or why it is no Rust.
fn expression(items: &str, value: &str) -> TokenStream {
    let block = format!("{{ {items} {value:?} }}");
    block.parse().unwrap_or_else(|error: proc_macro::LexError| {
        format!("compile_error!({:?})", error.to_string()).parse().unwrap_or_default()
    })
}

/// The folder of the package that is being compiled.
fn package() -> PathBuf {
    env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| Path::new(".").to_owned(), PathBuf::from)
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").current_dir(package()).args(args).output().ok()?;
    let text = output.status.success().then(|| String::from_utf8(output.stdout).ok())??;
    Some(text.trim().to_owned())
}
