//! The programs that are put on a machine: this build's, or those that the
//! operator names.

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
    arch: &'static str,
    triple: &'static str,
}

impl Programs {
    /// Looks at the programs and reads them once.
    pub(super) fn find(binary_path: Option<&Path>) -> Result<Self, ApiError> {
        let mut files = Vec::new();
        for name in NEEDED {
            let file = match binary_path {
                None => lifecycle::locate(name).map_err(|error| {
                    ApiError::new(ErrorCode::PreflightFailed, error.to_string())
                })?,
                Some(path) => beside(path, name),
            };
            files.push((name, file));
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
            let (program, kind) = read(name, &file).map_err(|error| unreadable(&file, &error))?;
            let kind = kind.ok_or_else(|| {
                ApiError::new(
                    ErrorCode::PreflightFailed,
                    format!("{} is no program for Linux on x86_64 or aarch64", file.display()),
                )
                .with_hint("--binary-path names a folder with rbee-hive and llm-worker-rbee in it")
            })?;
            if machine.replace(kind).is_some_and(|other| other != kind) {
                return Err(ApiError::new(
                    ErrorCode::PreflightFailed,
                    format!("{} is for another processor than the rest", file.display()),
                ));
            }
            all.push(program);
        }
        let (arch, triple) = machine.unwrap_or(("", ""));
        let mut digest = Sha256::new();
        all.iter().for_each(|program| digest.update(&program.sha256));
        let mut build = hex(&digest.finalize());
        build.truncate(BUILD_CHARS);
        Ok(Self { all, build, arch, triple })
    }

    /// What they need of a machine.
    pub(super) fn wanted(&self, port: Option<u16>) -> Wanted {
        let bytes = self.all.iter().map(|program| program.bytes).sum();
        Wanted { arch: self.arch, triple: self.triple, bytes, port }
    }
}

/// The operator names the hive's program, or the folder with all of them.
fn beside(path: &Path, name: &str) -> PathBuf {
    if path.is_dir() { path.join(name) } else { path.with_file_name(name) }
}

fn unreadable(file: &Path, error: &io::Error) -> ApiError {
    ApiError::new(
        ErrorCode::PreflightFailed,
        format!("cannot read the program {}: {error}", file.display()),
    )
    .with_hint("build it, or say where it is: --binary-path DIR")
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
        write("rbee-hive", &elf(0xb7, "hive"));
        let error = Programs::find(Some(temp.path())).unwrap_err();
        assert!(error.message.contains("llm-worker-rbee") && error.hint.is_some(), "{error:?}");
        write("llm-worker-rbee", &elf(0xb7, "worker"));
        let programs = Programs::find(Some(temp.path())).unwrap();
        let by_file = Programs::find(Some(&temp.path().join("rbee-hive"))).unwrap();
        assert_eq!((programs.all.len(), programs.build.len()), (2, BUILD_CHARS));
        assert_eq!(programs.build, by_file.build);
        let wanted = programs.wanted(None);
        assert_eq!((wanted.arch, wanted.triple), ("aarch64", "aarch64-unknown-linux-gnu"));
        write("llm-worker-rbee", &elf(0xb7, "worker 2"));
        assert_ne!(Programs::find(Some(temp.path())).unwrap().build, programs.build);
        write("llm-worker-rbee", &elf(0x3e, "worker"));
        let error = Programs::find(Some(temp.path())).unwrap_err();
        assert!(error.message.contains("another processor"), "{error:?}");
        write("llm-worker-rbee", b"#!/bin/sh\n");
        let error = Programs::find(Some(temp.path())).unwrap_err();
        assert!(error.message.contains("no program for Linux"), "{error:?}");
    }
}
