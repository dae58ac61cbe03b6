//! The demo model, and files that are named by their path.
//!
//! The demo model is part of this program, so that an installation without a
//! network can run something.

use std::{
    fs,
    io::{self, Read, Write},
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::LazyLock,
};

use atomic_write_file::{AtomicWriteFile, OpenOptions, unix::OpenOptionsExt as _};
use protocol::{ApiError, ErrorCode, ModelRef};
use rustix::fs::{MemfdFlags, memfd_create};
use sha2::{Digest, Sha256};

use super::{ModelFile, select};
use crate::size::size;

/// The demo model itself.
static DEMO: &[u8] = include_bytes!("../../../assets/models/demo/rbee-demo.gguf");

/// Named after its content, so that another version of this program, which
/// may have another demo model, never replaces a file that a worker has open.
static DEMO_FILE_NAME: LazyLock<String> = LazyLock::new(|| {
    let digest = Sha256::digest(DEMO);
    let hex: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("rbee-demo-{hex}.gguf")
});

/// What a person can do about a model that is not here.
const HINT: &str =
    "use `demo`, the path of a GGUF file, or a model of the hub such as org/repo:Q4_K_M";

/// Finds the file of `model`, and the parts beside it that it is the first of;
/// or makes it if it is the demo model. Blocks.
pub(crate) fn resolve(model: &ModelRef, models_dir: &Path) -> Result<Vec<ModelFile>, ApiError> {
    if model.is_demo() {
        return demo(models_dir).map(|file| vec![file]).map_err(|error| {
            ApiError::new(
                ErrorCode::SpawnFailed,
                format!("cannot write the demo model to {}: {error}", models_dir.display()),
            )
            .with_hint(format!(
                "make {} of room there, or set RBEE_CACHE_DIR",
                size(DEMO.len() as u64)
            ))
        });
    }
    let path = Path::new(model.as_str());
    if !path.is_absolute() {
        return Err(not_here(model.as_str()));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    select::siblings(&name).iter().map(|name| file(&path.with_file_name(name))).collect()
}

fn not_here(model: &str) -> ApiError {
    let message = format!("model {model} is not on this machine");
    ApiError::new(ErrorCode::ModelNotFound, message).with_hint(HINT)
}

fn file(path: &Path) -> Result<ModelFile, ApiError> {
    let shown = path.display();
    let refuse =
        |message: String| Err(ApiError::new(ErrorCode::ModelNotFound, message).with_hint(HINT));
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            Ok(ModelFile { path: path.to_owned(), bytes: metadata.len() })
        }
        Ok(_) => refuse(format!("{shown} is not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(not_here(&shown.to_string())),
        Err(error) => refuse(format!("{shown} cannot be read: {error}")),
    }
}

/// Where the demo model is once somebody has used it.
pub(crate) fn place(models_dir: &Path) -> ModelFile {
    ModelFile { path: models_dir.join(&*DEMO_FILE_NAME), bytes: DEMO.len() as u64 }
}

/// The demo model as a file that is on no disk, and its path for as long as it
/// is held: to look at it leaves nothing behind.
pub(crate) fn in_memory() -> io::Result<(fs::File, PathBuf)> {
    let mut file = fs::File::from(memfd_create("rbee-demo.gguf", MemfdFlags::CLOEXEC)?);
    file.write_all(DEMO)?;
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    Ok((file, path.into()))
}

fn demo(models_dir: &Path) -> io::Result<ModelFile> {
    let file = place(models_dir);
    let path = &file.path;
    // Compared byte by byte, which says more than a digest and costs less.
    if !holds(path, DEMO)? {
        config::paths::create_private_dir(models_dir)?;
        let mut options = OpenOptions::new();
        // Read-only from the beginning: a file that workers map into their
        // memory is replaced and never written to.
        options.preserve_mode(false).preserve_owner(false).mode(0o444);
        let mut file: AtomicWriteFile = options.open(path)?;
        file.write_all(DEMO)?;
        file.commit()?;
        tracing::info!(path = %path.display(), "wrote the demo model");
    }
    Ok(file)
}

fn holds(path: &Path, expected: &[u8]) -> io::Result<bool> {
    const PIECE: usize = 64 * 1024;
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if file.metadata()?.len() != expected.len() as u64 {
        return Ok(false);
    }
    let mut piece = [0; PIECE];
    for expected in expected.chunks(PIECE) {
        let piece = &mut piece[..expected.len()];
        if file.read_exact(piece).is_err() || piece != expected {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_demo_model_is_written_once_and_again_when_it_was_damaged() {
        let cache = tempfile::tempdir().unwrap();
        let models_dir = cache.path().join("models");
        let first = resolve(&ModelRef::demo(), &models_dir).unwrap().remove(0);
        assert_eq!(fs::read(&first.path).unwrap(), DEMO);
        assert_eq!(first.bytes, DEMO.len() as u64);
        let name = first.path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with("rbee-demo-") && name.len() == "rbee-demo-.gguf".len() + 12);
        let metadata = fs::metadata(&first.path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o444);

        let written = metadata.modified().unwrap();
        resolve(&ModelRef::demo(), &models_dir).unwrap();
        assert_eq!(fs::metadata(&first.path).unwrap().modified().unwrap(), written);

        fs::remove_file(&first.path).unwrap();
        fs::write(&first.path, vec![0; DEMO.len()]).unwrap();
        resolve(&ModelRef::demo(), &models_dir).unwrap();
        assert_eq!(fs::read(&first.path).unwrap(), DEMO);
        let left: Vec<_> = fs::read_dir(&models_dir).unwrap().collect();
        assert_eq!(left.len(), 1, "no temporary file stays behind");
    }

    #[test]
    fn a_path_is_taken_if_it_is_a_regular_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tiny.gguf");
        let model: ModelRef = path.to_str().unwrap().parse().unwrap();
        let missing = resolve(&model, dir.path()).unwrap_err();
        assert_eq!(missing.code, ErrorCode::ModelNotFound);
        assert!(missing.message.ends_with("is not on this machine"), "{missing}");

        fs::create_dir(&path).unwrap();
        let directory = resolve(&model, dir.path()).unwrap_err();
        assert!(directory.message.ends_with("is not a regular file"), "{directory}");

        fs::remove_dir(&path).unwrap();
        fs::write(&path, "GGUF").unwrap();
        assert_eq!(resolve(&model, dir.path()).unwrap(), [ModelFile { path, bytes: 4 }]);
    }

    #[test]
    fn the_first_part_of_a_split_model_brings_the_others_or_names_the_missing_one() {
        let dir = tempfile::tempdir().unwrap();
        let part = |number: u32| dir.path().join(format!("x-0000{number}-of-00003.gguf"));
        for number in [1, 3] {
            fs::write(part(number), "GGUF").unwrap();
        }
        let model: ModelRef = part(1).to_str().unwrap().parse().unwrap();
        let error = resolve(&model, dir.path()).unwrap_err();
        assert!(error.message.contains("x-00002-of-00003.gguf is not on"), "{error}");
        fs::write(part(2), "GGUF and more").unwrap();
        let bytes: Vec<u64> =
            resolve(&model, dir.path()).unwrap().iter().map(|file| file.bytes).collect();
        assert_eq!(bytes, [4, 13, 4]);
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_named_with_the_remedy() {
        let error = resolve(&ModelRef::demo(), Path::new("/proc/models")).unwrap_err();
        assert!(error.message.contains("/proc/models"), "{error}");
        assert!(error.hint.unwrap().contains("RBEE_CACHE_DIR"));
    }
}
