//! The first `config.toml` and `hives.conf` of a new user.
//!
//! They are the example files of the source tree, so that what is shown, what
//! is installed and what the tests parse cannot differ.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use uuid::Uuid;

use crate::{Paths, paths::create_private_dir};

/// `config.toml` with every key, its default and a word about it.
pub const CONFIG: &str = include_str!("../../../assets/config/config.toml");
/// `hives.conf` with every keyword, all of it a comment.
pub const HIVES: &str = include_str!("../../../assets/config/hives.conf");

/// A file that was to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The file.
    pub path: PathBuf,
    /// Whether there was none before.
    pub is_new: bool,
}

/// Why a file could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make {}", path.display())]
pub struct InitError {
    path: PathBuf,
    source: io::Error,
}

/// Makes the files that are not there, for this user alone. What is there is
/// never touched.
pub fn install(paths: &Paths) -> Result<Vec<Made>, InitError> {
    Ok(vec![install_config(paths)?, make(paths.hives_file(), HIVES, paths)?])
}

/// The same for `config.toml` alone.
pub fn install_config(paths: &Paths) -> Result<Made, InitError> {
    make(paths.config_file(), CONFIG, paths)
}

fn make(path: PathBuf, text: &str, paths: &Paths) -> Result<Made, InitError> {
    create_private_dir(&paths.config_dir)
        .map_err(|source| InitError { path: paths.config_dir.clone(), source })?;
    match create(&path, text) {
        Ok(is_new) => Ok(Made { path, is_new }),
        Err(source) => Err(InitError { path, source }),
    }
}

/// Whether the file is new. It appears whole, or it does not appear: it is
/// written under another name and gets its own by `link`, which, unlike a
/// rename, never replaces what somebody has put there meanwhile.
fn create(path: &Path, text: &str) -> io::Result<bool> {
    if path.symlink_metadata().is_ok() {
        return Ok(false);
    }
    let draft = path.with_extension(format!("{}.new", Uuid::new_v4().simple()));
    let linked = write(&draft, text).and_then(|()| fs::hard_link(&draft, path));
    // It has its name now, or is not wanted.
    let _ = fs::remove_file(&draft);
    match linked {
        Ok(()) => {
            if let Some(dir) = path.parent() {
                fs::File::open(dir)?.sync_all()?;
            }
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::Config;

    fn paths(temp: &tempfile::TempDir) -> Paths {
        let dir = |name| temp.path().join(name);
        Paths { config_dir: dir("new/config"), data_dir: dir("data"), cache_dir: dir("cache") }
    }

    #[test]
    fn a_new_user_gets_files_that_say_the_defaults_for_their_eyes_only() {
        let temp = tempfile::tempdir().unwrap();
        let paths = paths(&temp);
        let made = install(&paths).unwrap();
        assert!(made.iter().all(|made| made.is_new), "{made:?}");
        assert_eq!(Config::load(&paths).unwrap(), Config::default());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&paths.config_dir), 0o700);
        let files: Vec<_> =
            fs::read_dir(&paths.config_dir).unwrap().map(|it| it.unwrap()).collect();
        assert_eq!(files.len(), 2, "no draft is left: {files:?}");
        assert!(files.iter().all(|file| mode(&file.path()) == 0o600));
    }

    #[test]
    fn what_is_there_is_left_alone_be_it_a_link_to_nowhere() {
        let temp = tempfile::tempdir().unwrap();
        let paths = paths(&temp);
        create_private_dir(&paths.config_dir).unwrap();
        fs::write(paths.config_file(), "[queen]\n").unwrap();
        std::os::unix::fs::symlink("/nonexistent/hives.conf", paths.hives_file()).unwrap();
        let made = install(&paths).unwrap();
        assert!(made.iter().all(|made| !made.is_new), "{made:?}");
        assert_eq!(fs::read_to_string(paths.config_file()).unwrap(), "[queen]\n");
        assert_eq!(install(&paths).unwrap(), made);
    }

    #[test]
    fn a_place_where_nothing_can_be_made_is_named() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("new"), "a file").unwrap();
        let error = install(&paths(&temp)).unwrap_err().to_string();
        assert!(error.contains("new/config"), "{error}");
    }
}
