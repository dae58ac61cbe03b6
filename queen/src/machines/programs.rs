//! The programs that are put on a machine: those that the operation names,
//! or those of `hives.conf`, or this build's.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use protocol::{ApiError, ErrorCode};
use sha2::{Digest, Sha256};

use super::facts::Wanted;

/// What a machine cannot do without, the hive first.
const NEEDED: [&str; 2] = ["rbee-hive", "llm-worker-rbee"];
/// What it may have besides.
const CUDA_WORKER: &str = "llm-worker-rbee-cuda";
/// The length of a build's name: enough of its sha256 that no two meet.
const BUILD_CHARS: usize = 16;

/// Where the programs for a machine are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// Where the operation says.
    Named(PathBuf),
    /// Where `hives.conf` says.
    Configured(PathBuf),
    /// Beside this program.
    ThisBuild,
}

impl Source {
    /// What is said for one machine counts before what is said for all times.
    pub(super) fn new(named: Option<&str>, configured: Option<&Path>) -> Self {
        match (named, configured) {
            (Some(path), _) => Self::Named(path.into()),
            (None, Some(path)) => Self::Configured(path.to_owned()),
            (None, None) => Self::ThisBuild,
        }
    }

    /// The operator names the hive's program, or the folder with all of them.
    fn file(&self, name: &str) -> Result<PathBuf, ApiError> {
        match self {
            Self::Named(path) | Self::Configured(path) if path.is_dir() => Ok(path.join(name)),
            Self::Named(path) | Self::Configured(path) => Ok(path.with_file_name(name)),
            Self::ThisBuild => lifecycle::locate(name)
                .map_err(|error| ApiError::new(ErrorCode::PreflightFailed, error.to_string())),
        }
    }

    /// Whose word it was, for a person who has to change it.
    fn whose(&self) -> &'static str {
        match self {
            Self::Named(_) => "--binary-path",
            Self::Configured(_) => "BinaryPath in hives.conf",
            Self::ThisBuild => "this build",
        }
    }

    fn refuse(&self, problem: String) -> ApiError {
        let message = format!("{}: {problem}", self.whose());
        ApiError::new(ErrorCode::PreflightFailed, message).with_hint(
            "--binary-path, or BinaryPath in hives.conf, names a folder on this machine with \
             rbee-hive and llm-worker-rbee in it",
        )
    }
}

/// One program.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) file: PathBuf,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// Programs that belong together.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    pub(super) all: Vec<Program>,
    /// Names exactly these programs.
    pub(super) build: String,
    source: Source,
    arch: &'static str,
    triple: &'static str,
}

impl Programs {
    /// Looks at the programs and reads them once.
    pub(super) fn find(source: Source) -> Result<Self, ApiError> {
        let mut files = Vec::new();
        for name in NEEDED {
            files.push((name, source.file(name)?));
        }
        if let Some((_, hive)) = files.first() {
            let cuda = hive.with_file_name(CUDA_WORKER);
            if cuda.is_file() {
                files.push((CUDA_WORKER, cuda));
            }
        }
        let mut all = Vec::new();
        let mut machine = None;
        for (name, file) in files {
            let shown = file.display();
            let (program, kind) = read(name, &file)
                .map_err(|error| source.refuse(format!("cannot read {shown}: {error}")))?;
            let kind = kind.ok_or_else(|| {
                source.refuse(format!("{shown} is no program for Linux on x86_64 or aarch64"))
            })?;
            if machine.replace(kind).is_some_and(|other| other != kind) {
                let problem = format!("{shown} is for another processor than the rest");
                return Err(source.refuse(problem));
            }
            all.push(program);
        }
        let (arch, triple) = machine.unwrap_or(("", ""));
        let mut digest = Sha256::new();
        all.iter().for_each(|program| digest.update(&program.sha256));
        let mut build = hex(&digest.finalize());
        build.truncate(BUILD_CHARS);
        Ok(Self { all, build, source, arch, triple })
    }

    /// What they need of a machine.
    pub(super) fn wanted(&self, port: Option<u16>) -> Wanted {
        let bytes = self.all.iter().map(|program| program.bytes).sum();
        let whose = self.source.whose();
        Wanted { arch: self.arch, triple: self.triple, whose, bytes, port }
    }
}

type Kind = (&'static str, &'static str);

fn read(name: &'static str, file: &Path) -> io::Result<(Program, Option<Kind>)> {
    let mut opened = File::open(file)?;
    let mut digest = Sha256::new();
    let mut piece = vec![0; 1024 * 1024];
    let (mut bytes, mut kind) = (0, None);
    loop {
        let read = opened.read(&mut piece)?;
        let data = piece.get(..read).unwrap_or_default();
        if bytes == 0 {
            kind = machine(data);
        }
        if read == 0 {
            break;
        }
        bytes += read as u64;
        digest.update(data);
    }
    let sha256 = hex(&digest.finalize());
    Ok((Program { name, file: file.to_owned(), bytes, sha256 }, kind))
}

/// The processor in the header of an ELF file, little-endian as both are.
fn machine(header: &[u8]) -> Option<Kind> {
    if header.get(..4)? != b"\x7fELF" {
        return None;
    }
    match header.get(18..20)? {
        [0x3e, 0] => Some(("x86_64", "x86_64-unknown-linux-gnu")),
        [0xb7, 0] => Some(("aarch64", "aarch64-unknown-linux-gnu")),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(machine: u8, rest: &str) -> Vec<u8> {
        let mut bytes = b"\x7fELF".to_vec();
        bytes.resize(18, 0);
        bytes.extend([machine, 0]);
        bytes.extend(rest.as_bytes());
        bytes
    }

    #[test]
    fn programs_that_the_operator_names_are_read_and_named_by_what_they_are() {
        let temp = tempfile::tempdir().unwrap();
        let write =
            |name: &str, bytes: &[u8]| std::fs::write(temp.path().join(name), bytes).unwrap();
        let find = |path: &Path| Programs::find(Source::Named(path.to_owned()));
        write("rbee-hive", &elf(0xb7, "hive"));
        let error = find(temp.path()).unwrap_err();
        assert!(error.message.contains("llm-worker-rbee") && error.hint.is_some(), "{error:?}");
        write("llm-worker-rbee", &elf(0xb7, "worker"));
        let programs = find(temp.path()).unwrap();
        let by_file = find(&temp.path().join("rbee-hive")).unwrap();
        assert_eq!((programs.all.len(), programs.build.len()), (2, BUILD_CHARS));
        assert_eq!(programs.build, by_file.build);
        let wanted = programs.wanted(None);
        assert_eq!((wanted.arch, wanted.triple), ("aarch64", "aarch64-unknown-linux-gnu"));
        write("llm-worker-rbee", &elf(0xb7, "worker 2"));
        assert_ne!(find(temp.path()).unwrap().build, programs.build);
        write("llm-worker-rbee", &elf(0x3e, "worker"));
        let error = find(temp.path()).unwrap_err();
        assert!(error.message.contains("another processor"), "{error:?}");
        write("llm-worker-rbee", b"#!/bin/sh\n");
        let error = find(temp.path()).unwrap_err();
        assert!(error.message.contains("no program for Linux"), "{error:?}");
        let configured = Source::Configured(temp.path().to_owned());
        let error = Programs::find(configured).unwrap_err();
        assert!(error.message.starts_with("BinaryPath in hives.conf: "), "{error:?}");
    }

    #[test]
    fn the_operation_is_asked_first_then_the_file_then_this_build() {
        let file = Path::new("/file");
        assert_eq!(Source::new(Some("/named"), Some(file)), Source::Named("/named".into()));
        assert_eq!(Source::new(None, Some(file)), Source::Configured("/file".into()));
        assert_eq!(Source::new(None, None), Source::ThisBuild);
    }
}
