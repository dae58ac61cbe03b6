//! A program of rbee that is built from its checkout and put where it is
//! launched from.
//!
//! ```text
//! Checkout::find ─▶ Build::run (cargo) ─▶ install: a whole program or the one that was there
//! ```
//!
//! A process that runs goes on with the program it was started with.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt as _, PermissionsExt},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use atomic_write_file::{OpenOptions, unix::OpenOptionsExt as _};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader, Lines},
    process::Command,
};

use crate::{NotFound, locate};

/// The source of rbee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    dir: PathBuf,
}

/// How fast the program is to be, and how soon it is to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// As it is used.
    Release,
    /// As it is worked on.
    Debug,
}

/// What is to be built.
#[derive(Debug, Clone)]
pub struct Build {
    /// From where.
    pub checkout: Checkout,
    /// The program's file name.
    pub program: &'static str,
    /// Features, each with its package: `queen/local-hive`.
    pub features: Vec<&'static str>,
    /// How.
    pub profile: Profile,
}

/// Why there is no new program.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// None of these folders holds the source.
    #[error("there is no source of rbee in {}", list(.looked))]
    NoSource {
        /// Where it was looked for.
        looked: Vec<PathBuf>,
    },
    /// The compiler is not there.
    #[error("cargo, which builds the program, was not found in {}", list(&.0.searched))]
    NoCargo(NotFound),
    /// It could not be started or read.
    #[error("cannot run {command}")]
    Run {
        /// The command line.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// It did not build the program.
    #[error("{command}: {status}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// It says it did, and does not say where.
    #[error("{command} built no such program")]
    NoProgram {
        /// The command line.
        command: String,
    },
    /// The program could not be put in its place, where the former one stays.
    #[error("cannot write {}", path.display())]
    Install {
        /// Its place.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn list(dirs: &[PathBuf]) -> String {
    let dirs: Vec<_> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    if dirs.is_empty() { "PATH".to_owned() } else { dirs.join(", ") }
}

impl Checkout {
    /// The first of these folders that holds the source of `package`.
    pub fn find(
        candidates: impl IntoIterator<Item = PathBuf>,
        package: &str,
    ) -> Result<Self, BuildError> {
        let mut looked = Vec::new();
        for dir in candidates {
            if dir.join("Cargo.toml").is_file() && dir.join(package).join("Cargo.toml").is_file() {
                return Ok(Self { dir: dir.canonicalize().unwrap_or(dir) });
            }
            looked.push(dir);
        }
        Err(BuildError::NoSource { looked })
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Profile {
    /// That of a program in this folder, which cargo names after it.
    pub fn of_folder(dir: &Path) -> Self {
        if dir.ends_with("debug") { Self::Debug } else { Self::Release }
    }
}

impl Build {
    /// The arguments of cargo. No package is named, so that what all programs
    /// are built from is what they were built from before.
    fn arguments(&self) -> Vec<OsString> {
        let mut arguments = vec!["build", "--locked", "--bin", self.program];
        if self.profile == Profile::Release {
            arguments.push("--release");
        }
        let features = self.features.join(",");
        if !features.is_empty() {
            arguments.extend(["--features", &features]);
        }
        // Where the program is comes on stdout, and what a person reads on
        // stderr as ever.
        arguments.push("--message-format=json-render-diagnostics");
        arguments.into_iter().map(OsString::from).collect()
    }

    /// The command line that builds the same by hand.
    pub fn command_line(&self) -> String {
        let arguments = self.arguments();
        let shown = arguments.iter().filter_map(|it| it.to_str());
        let shown: Vec<_> = shown.filter(|it| !it.starts_with("--message-format")).collect();
        format!("cargo {}", shown.join(" "))
    }

    /// Builds the program and says where it is. What cargo says on the way is
    /// passed on line by line. Dropping this ends cargo.
    pub async fn run(&self, mut said: impl FnMut(String)) -> Result<PathBuf, BuildError> {
        let cargo = locate("cargo").map_err(BuildError::NoCargo)?;
        let command = self.command_line();
        let run = |source| BuildError::Run { command: command.clone(), source };
        let mut child = Command::new(cargo)
            .args(self.arguments())
            .current_dir(&self.checkout.dir)
            .env("CARGO_TERM_PROGRESS_WHEN", "never")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(run)?;
        let mut messages = lines(child.stdout.take());
        let mut progress = lines(child.stderr.take());
        let mut built = None;
        while messages.is_some() || progress.is_some() {
            tokio::select! {
                line = next(&mut messages) => {
                    built = built.or(line.map_err(run)?.and_then(|it| executable(&it, self.program)));
                }
                line = next(&mut progress) => {
                    line.map_err(run)?.into_iter().for_each(&mut said);
                }
            }
        }
        let status = child.wait().await.map_err(run)?;
        if !status.success() {
            return Err(BuildError::Failed { command, status });
        }
        built.ok_or(BuildError::NoProgram { command })
    }
}

fn lines<R: AsyncRead + Unpin>(stream: Option<R>) -> Option<Lines<BufReader<R>>> {
    stream.map(|stream| BufReader::new(stream).lines())
}

/// The next line of a stream that has one; at its end the stream is gone.
async fn next<R: AsyncRead + Unpin>(
    stream: &mut Option<Lines<BufReader<R>>>,
) -> io::Result<Option<String>> {
    let Some(lines) = stream else { return std::future::pending().await };
    let line = lines.next_line().await?;
    if line.is_none() {
        *stream = None;
    }
    Ok(line)
}

/// The program that one of cargo's messages is about.
fn executable(message: &str, program: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    if message["reason"] != "compiler-artifact" || message["target"]["name"] != program {
        return None;
    }
    message["executable"].as_str().map(PathBuf::from)
}

/// Puts a built program at `place`, as a whole or not at all.
pub fn install(built: &Path, place: &Path) -> Result<(), BuildError> {
    let copy = || {
        if is_same_file(built, place) {
            return Ok(());
        }
        let mut source = File::open(built)?;
        let mode = source.metadata()?.permissions().mode();
        let mut options = OpenOptions::new();
        options.preserve_mode(false).preserve_owner(false).mode(mode);
        let mut file = options.open(place)?;
        io::copy(&mut source, &mut file)?;
        file.commit()
    };
    copy().map_err(|source| BuildError::Install { path: place.to_owned(), source })
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkout(dir: &Path) {
        fs::create_dir_all(dir.join("queen")).unwrap();
        fs::write(dir.join("Cargo.toml"), "").unwrap();
        fs::write(dir.join("queen/Cargo.toml"), "").unwrap();
    }

    fn build(features: &[&'static str], profile: Profile) -> Build {
        let checkout = Checkout { dir: "/src".into() };
        Build { checkout, program: "queen-rbee", features: features.to_vec(), profile }
    }

    #[test]
    fn the_first_folder_with_the_source_is_taken_and_others_are_named() {
        let temp = tempfile::tempdir().unwrap();
        let dir = |name: &str| temp.path().join(name);
        fs::create_dir(dir("empty")).unwrap();
        checkout(&dir("one"));
        checkout(&dir("two"));
        let found = Checkout::find([dir("empty"), dir("one"), dir("two")], "queen").unwrap();
        assert_eq!(found.dir(), dir("one").canonicalize().unwrap());
        let error = Checkout::find([dir("empty"), dir("gone")], "queen").unwrap_err().to_string();
        for part in [dir("empty"), dir("gone")] {
            assert!(error.contains(part.to_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn the_build_is_of_the_kind_that_runs() {
        assert_eq!(Profile::of_folder(Path::new("/src/target/debug")), Profile::Debug);
        assert_eq!(Profile::of_folder(Path::new("/usr/local/bin")), Profile::Release);
        let release = build(&["queen/local-hive"], Profile::Release);
        let expected =
            "cargo build --locked --bin queen-rbee --release --features queen/local-hive";
        assert_eq!(release.command_line(), expected);
        let debug = build(&[], Profile::Debug);
        assert_eq!(debug.command_line(), "cargo build --locked --bin queen-rbee");
    }

    #[test]
    fn where_the_program_is_stands_in_the_message_about_it() {
        let message = |reason: &str, name: &str| {
            format!(r#"{{"reason":"{reason}","target":{{"name":"{name}"}},"executable":"/b/q"}}"#)
        };
        let of = |message: &str| executable(message, "queen-rbee");
        assert_eq!(of(&message("compiler-artifact", "queen-rbee")), Some("/b/q".into()));
        assert_eq!(of(&message("compiler-artifact", "queen")), None);
        assert_eq!(of(&message("build-script-executed", "queen-rbee")), None);
        assert_eq!(of("warning: not a message"), None);
    }

    #[test]
    fn a_program_is_replaced_as_a_whole_and_not_written_into() {
        let temp = tempfile::tempdir().unwrap();
        let file = |name: &str| temp.path().join(name);
        fs::write(file("new"), "new").unwrap();
        fs::set_permissions(file("new"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(file("program"), "old").unwrap();
        fs::hard_link(file("program"), file("runs")).unwrap();
        install(&file("new"), &file("program")).unwrap();
        assert_eq!(fs::read(file("program")).unwrap(), b"new");
        assert_eq!(fs::metadata(file("program")).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read(file("runs")).unwrap(), b"old", "whoever runs it keeps it");
        install(&file("program"), &file("program")).unwrap();
        assert_eq!(fs::read(file("program")).unwrap(), b"new");

        let error = install(&file("gone"), &file("program")).unwrap_err();
        assert!(matches!(error, BuildError::Install { .. }), "{error}");
        assert_eq!(fs::read(file("program")).unwrap(), b"new");
    }
}
