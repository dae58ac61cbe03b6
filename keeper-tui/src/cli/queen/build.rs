//! `queen info` and `queen rebuild`: which build she is, and another one.

use std::{env, path::PathBuf, time::Duration};

use lifecycle::{Build, BuildError, Checkout, Profile};
use protocol::fleet::BuildInfo;
use serde_json::{Value, json};
use tokio::process::Command;

use super::process;
use crate::{
    cli::{
        Cx,
        args::RebuildArgs,
        exit::{Exit, Failure, Outcome},
        output::{Block, Report},
        table::{Cell, Table},
    },
    local::{self, QUEEN_PROGRAM},
};

/// The feature that makes the hive of her machine a part of the queen.
pub(in crate::cli) const LOCAL_HIVE: &str = "local-hive";
/// Where this program was built, if that is still there.
const BUILT_FROM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// A program that only has to say what it is does so at once.
const SAYS_WITHIN: Duration = Duration::from_secs(5);
const RESTART: &str = "rbee-keeper queen stop, then rbee-keeper queen start";

/// `queen info`
pub(super) async fn info(cx: &mut Cx) -> Outcome<Report> {
    let (address, daemon) = cx.daemon()?;
    let running = match daemon.build_info().await {
        Ok(running) => Some(running),
        Err(error) if error.is_refused() && address.is_here => None,
        Err(error) => return Err(error.into()),
    };
    // What lies on this disk says nothing about a queen elsewhere.
    let installed = if address.is_here { installed().await } else { None };
    match (&running, &installed) {
        (None, None) => {
            let message = format!("no queen is running at {}", address.url);
            Err(Failure::new(Exit::QueenUnreachable, "queen_unreachable", message).into())
        }
        _ => Ok(present(running.as_ref(), installed.as_ref())),
    }
}

/// The program that would be started, and which build it says it is.
struct Installed {
    program: PathBuf,
    build: Option<BuildInfo>,
}

async fn installed() -> Option<Installed> {
    let program = lifecycle::locate(QUEEN_PROGRAM).ok()?;
    let mut command = Command::new(&program);
    command.arg("--build-info").kill_on_drop(true);
    let output = tokio::time::timeout(SAYS_WITHIN, command.output()).await;
    let output = output.ok().and_then(Result::ok).filter(|output| output.status.success());
    let build = output.and_then(|output| serde_json::from_slice(&output.stdout).ok());
    Some(Installed { program, build })
}

fn present(running: Option<&BuildInfo>, installed: Option<&Installed>) -> Report {
    let on_disk = installed.and_then(|installed| installed.build.as_ref());
    let is_current = match (running, on_disk) {
        (Some(running), Some(on_disk)) => Some(running == on_disk),
        _ => None,
    };
    let mut table = Table::new(["FIELD", "RUNNING", "PROGRAM"]);
    let mut row = |field: &str, value: fn(&BuildInfo) -> String| {
        table.row([
            Cell::new(field),
            Cell::from(running.map(value)),
            Cell::from(on_disk.map(value)),
        ]);
    };
    row("version", |build| build.version.clone());
    row("features", |build| features(&build.features));
    row("built", |build| build.build_timestamp.clone());
    row("commit", |build| build.git_sha.clone());
    let mut blocks = vec![Block::Table(table)];
    if let Some(installed) = installed {
        blocks.push(Block::Line(format!("program: {}", installed.program.display())));
    }
    match (running, is_current) {
        (None, _) => blocks.push(Block::Line("no queen is running".to_owned())),
        (_, Some(false)) => blocks.push(Block::Line(format!(
            "the queen that runs is another build than the program; to change over: {RESTART}"
        ))),
        _ => {}
    }
    let field = |value: fn(&BuildInfo) -> Value| running.map(value);
    let document = json!({
        "version": field(|build| json!(build.version)),
        "features": field(|build| json!(build.features)),
        "build_timestamp": field(|build| json!(build.build_timestamp)),
        "git_sha": field(|build| json!(build.git_sha)),
        "program": installed.map(|installed| json!({
            "path": installed.program, "build": installed.build,
        })),
        "is_current": is_current,
    });
    let names = running.or(on_disk).map(|build| build.version.clone()).into_iter().collect();
    Report { document, names, blocks, exit: Exit::Done }
}

fn features(features: &[String]) -> String {
    if features.is_empty() { "none".to_owned() } else { features.join(", ") }
}

/// `queen rebuild`
pub(super) async fn rebuild(cx: &mut Cx, args: RebuildArgs) -> Outcome<Report> {
    process::only_here(cx)?;
    let exe = env::current_exe().map_err(|error| Failure::local("own_program", &error))?;
    let folder = exe.parent().map(PathBuf::from).unwrap_or_default();
    let build = Build {
        checkout: Checkout::find(sources(args.source, &exe), "queen")?,
        program: QUEEN_PROGRAM,
        features: if args.with_local_hive { vec!["queen/local-hive"] } else { Vec::new() },
        profile: Profile::of_folder(&folder),
    };
    let source = build.checkout.dir().display().to_string();
    cx.out.say(&format!("building in {source}: {}", build.command_line()))?;
    let built = build
        .run(|line| {
            // Who does not read the steps is told by the answer.
            let _ = cx.out.say(&line);
        })
        .await?;
    let place = folder.join(QUEEN_PROGRAM);
    lifecycle::build::install(&built, &place)?;

    let former = local::running_record(&cx.paths)?.map(|record| record.pid);
    if args.restart && former.is_some() {
        process::stop(cx, false).await?;
        process::start(cx).await?;
    }
    let with = if args.with_local_hive { "with" } else { "without" };
    let mut blocks = vec![Block::Line(format!("built {} {with} {LOCAL_HIVE}", place.display()))];
    match former {
        Some(_) if args.restart => {
            blocks.push(Block::Line("restarted the queen".to_owned()));
        }
        Some(pid) => blocks.push(Block::Line(format!(
            "the queen that runs (pid {pid}) is still the former build; to change over: {RESTART}"
        ))),
        None => {}
    }
    let document = json!({
        "program": place, "source": source, "features": build.features, "restarted": args.restart && former.is_some(),
    });
    Ok(Report { document, names: vec![place.display().to_string()], blocks, exit: Exit::Done })
}

/// Where the source may be: where it is said to be, else around this program,
/// which cargo puts into a folder of it, else where this program was built.
fn sources(given: Option<PathBuf>, exe: &std::path::Path) -> Vec<PathBuf> {
    match given {
        Some(given) => vec![given],
        None => {
            let around = exe.ancestors().skip(2).take(2).map(PathBuf::from);
            around.chain([PathBuf::from(BUILT_FROM)]).collect()
        }
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        let (exit, code, hint) = match &error {
            BuildError::NoSource { .. } => (
                Exit::NotFound,
                "source_missing",
                "git clone it, then: rbee-keeper queen rebuild --source DIR".to_owned(),
            ),
            BuildError::NoCargo(_) => (
                Exit::NotFound,
                "cargo_missing",
                "https://rustup.rs installs it; or put its folder, such as ~/.cargo/bin, into PATH"
                    .to_owned(),
            ),
            BuildError::Install { .. } => (
                Exit::NotAllowed,
                "not_installed",
                "the former program is still there; who owns its folder can replace it".to_owned(),
            ),
            BuildError::Failed { command, .. } => (
                Exit::Failed,
                "build_failed",
                format!("the former program is still there; {command} in the source says more"),
            ),
            BuildError::Run { .. } | BuildError::NoProgram { .. } => {
                (Exit::Failed, "build_failed", "the former program is still there".to_owned())
            }
        };
        Self { exit, ..Self::local(code, &error) }.with_hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn build(features: &[&str], git_sha: &str) -> BuildInfo {
        BuildInfo {
            version: "1.2.3".to_owned(),
            features: features.iter().map(ToString::to_string).collect(),
            build_timestamp: "2026-01-01T00:00:00Z".to_owned(),
            git_sha: git_sha.to_owned(),
        }
    }

    fn lines(report: &Report) -> Vec<&str> {
        let lines = report.blocks.iter().filter_map(|block| match block {
            Block::Line(line) => Some(line.as_str()),
            Block::Table(_) => None,
        });
        lines.collect()
    }

    #[test]
    fn a_queen_of_another_build_than_her_program_is_told_with_the_remedy() {
        let program = |build| Installed { program: "/bin/queen-rbee".into(), build };
        let running = build(&[], "a");
        let same = present(Some(&running), Some(&program(Some(build(&[], "a")))));
        assert_eq!(lines(&same), ["program: /bin/queen-rbee"]);
        assert_eq!(same.document["is_current"], true);
        assert_eq!(same.document["features"], json!([]));

        let other = program(Some(build(&[LOCAL_HIVE], "a")));
        let skewed = present(Some(&running), Some(&other));
        assert!(lines(&skewed)[1].contains(RESTART), "{skewed:?}");
        assert_eq!(skewed.document["is_current"], false);
        assert_eq!(skewed.document["program"]["build"]["features"], json!([LOCAL_HIVE]));

        let absent = present(None, Some(&other));
        assert_eq!(lines(&absent)[1], "no queen is running");
        assert_eq!(absent.document["version"], Value::Null);
        let mute = present(Some(&running), Some(&program(None)));
        assert_eq!(mute.document["is_current"], Value::Null, "unknown is not the same");
    }

    #[test]
    fn the_source_is_looked_for_where_it_is_said_to_be_or_around_the_program() {
        let given = sources(Some("/elsewhere".into()), Path::new("/src/target/release/keeper"));
        assert_eq!(given, [Path::new("/elsewhere")]);
        let found = sources(None, Path::new("/src/target/release/keeper"));
        assert_eq!(found[..2], [Path::new("/src/target"), Path::new("/src")]);
        assert!(Checkout::find(found, "queen").is_ok(), "this test was built from it");
    }

    #[test]
    fn what_is_missing_comes_with_where_to_get_it() {
        let failure = Failure::from(BuildError::NoSource { looked: vec!["/src".into()] });
        assert_eq!(failure.exit, Exit::NotFound);
        assert!(failure.message.contains("/src") && failure.hint.unwrap().contains("--source"));
    }
}
