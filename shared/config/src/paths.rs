//! Where rbee's files are.
//!
//! `RBEE_CONFIG_DIR`, `RBEE_DATA_DIR` and `RBEE_CACHE_DIR` override the XDG
//! places, so that two instances on one machine never meet. A relative
//! override is refused: a launched daemon runs in another directory than its
//! launcher, and the two would silently disagree.

use std::{
    ffi::OsString,
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use atomic_write_file::{AtomicWriteFile, unix::OpenOptionsExt as _};
use directories::ProjectDirs;
use protocol::WorkerId;

/// The three directories that hold everything rbee keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// What the operator writes: `config.toml`, `hives.conf`, tokens.
    pub config_dir: PathBuf,
    /// What the daemons write and need again: records, job logs, registries.
    pub data_dir: PathBuf,
    /// What can be fetched again: models.
    pub cache_dir: PathBuf,
}

/// Why the directories could not be determined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathsError {
    /// An override that depends on the working directory.
    #[error(
        "{variable} must be an absolute path, got {value:?}: daemons run in another directory \
         than the program that launches them"
    )]
    Relative {
        /// The environment variable.
        variable: &'static str,
        /// What it says.
        value: PathBuf,
    },
    /// Neither an override nor a home directory to put the XDG places in.
    #[error("there is no home directory to keep rbee's files in: set HOME, or {variable}")]
    NoHome {
        /// The environment variable that would have answered.
        variable: &'static str,
    },
}

impl Paths {
    /// The directories for this user and this environment.
    pub fn from_env() -> Result<Self, PathsError> {
        let places = ProjectDirs::from("", "", "rbee");
        Self::resolve(|variable| std::env::var_os(variable), places.as_ref())
    }

    fn resolve(
        lookup: impl Fn(&str) -> Option<OsString>,
        places: Option<&ProjectDirs>,
    ) -> Result<Self, PathsError> {
        let choose = |variable, place: fn(&ProjectDirs) -> &Path| {
            // An empty variable counts as unset, as XDG has it.
            match lookup(variable).filter(|value| !value.is_empty()).map(PathBuf::from) {
                Some(value) if value.is_absolute() => Ok(value),
                Some(value) => Err(PathsError::Relative { variable, value }),
                None => places
                    .map(|places| place(places).to_path_buf())
                    .ok_or(PathsError::NoHome { variable }),
            }
        };
        Ok(Self {
            config_dir: choose("RBEE_CONFIG_DIR", ProjectDirs::config_dir)?,
            data_dir: choose("RBEE_DATA_DIR", ProjectDirs::data_dir)?,
            cache_dir: choose("RBEE_CACHE_DIR", ProjectDirs::cache_dir)?,
        })
    }

    /// The file the operator writes.
    pub fn config_file(&self) -> PathBuf {
        self.config_dir.join("config.toml")
    }

    /// The machines, in the manner of `~/.ssh/config`.
    pub fn hives_file(&self) -> PathBuf {
        self.config_dir.join("hives.conf")
    }

    /// What the hives last said they have; written by the queen for people.
    pub fn capabilities_file(&self) -> PathBuf {
        self.config_dir.join("capabilities.yaml")
    }

    /// The queen's records, job log and registries.
    pub fn queen_dir(&self) -> PathBuf {
        self.data_dir.join("queen")
    }

    /// The hive's records and registries.
    pub fn hive_dir(&self) -> PathBuf {
        self.data_dir.join("hive")
    }

    /// One worker's slot on this machine.
    pub fn worker_dir(&self, id: &WorkerId) -> PathBuf {
        // A parsed id is one plain path component, so this stays beneath.
        self.hive_dir().join("workers").join(id.as_str())
    }

    /// What the operator's program remembers between runs.
    pub fn keeper_dir(&self) -> PathBuf {
        self.data_dir.join("keeper")
    }

    /// Downloaded models.
    pub fn models_dir(&self) -> PathBuf {
        self.cache_dir.join("models")
    }
}

/// Makes a directory, and the missing ones above it, readable by this user
/// only: prompts, answers and tokens pass through these files.
///
/// One that exists keeps the mode its owner gave it.
pub fn create_private_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Puts a file there that this user alone can read, in place of the one before
/// if there was one: whoever reads it finds the old content or the new, whole,
/// also after a power cut. Its directory is made if it is not there.
pub fn replace_private_file(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        create_private_dir(dir)?;
    }
    let mut options = AtomicWriteFile::options();
    // The mode of the one before does not matter, nor who made it.
    options.preserve_mode(false).preserve_owner(false);
    let mut file = OpenOptionsExt::mode(&mut options, 0o600).open(path)?;
    file.write_all(content)?;
    file.commit()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn resolve(environment: &[(&str, &str)], home: bool) -> Result<Paths, PathsError> {
        let places = home.then(|| ProjectDirs::from_path("/xdg/rbee".into()).unwrap());
        Paths::resolve(
            |wanted| {
                let found = environment.iter().find(|(variable, _)| *variable == wanted);
                found.map(|(_, value)| OsString::from(value))
            },
            places.as_ref(),
        )
    }

    const ALL: [(&str, &str); 3] =
        [("RBEE_CONFIG_DIR", "/c"), ("RBEE_DATA_DIR", "/d"), ("RBEE_CACHE_DIR", "/k")];

    #[test]
    fn the_environment_overrides_every_place_and_then_no_home_is_needed() {
        let paths = resolve(&ALL, false).unwrap();
        assert_eq!(paths.config_file(), Path::new("/c/config.toml"));
        assert_eq!(paths.queen_dir(), Path::new("/d/queen"));
        assert_eq!(paths.keeper_dir(), Path::new("/d/keeper"));
        assert_eq!(paths.models_dir(), Path::new("/k/models"));
        let worker = "wk-1".parse().unwrap();
        assert_eq!(paths.worker_dir(&worker), Path::new("/d/hive/workers/wk-1"));
    }

    #[test]
    fn an_unset_or_empty_variable_leaves_the_xdg_place() {
        let paths = resolve(&[("RBEE_DATA_DIR", ""), ("RBEE_CACHE_DIR", "/k")], true).unwrap();
        assert!(paths.config_dir.ends_with("rbee"), "{paths:?}");
        assert!(paths.data_dir.ends_with("rbee"), "{paths:?}");
        assert_eq!(paths.cache_dir, Path::new("/k"));
    }

    #[test]
    fn a_relative_override_is_refused_by_name() {
        let error = resolve(&[("RBEE_CONFIG_DIR", "/c"), ("RBEE_DATA_DIR", "data")], true)
            .unwrap_err()
            .to_string();
        assert!(error.contains("RBEE_DATA_DIR") && error.contains("\"data\""), "{error}");
    }

    #[test]
    fn without_home_and_override_the_error_names_the_variable_that_helps() {
        let error = resolve(&ALL[..2], false).unwrap_err();
        assert_eq!(error, PathsError::NoHome { variable: "RBEE_CACHE_DIR" });
    }

    #[test]
    fn a_file_is_replaced_whole_and_for_this_user_alone_whatever_was_there() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("a/file");
        replace_private_file(&file, b"first").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        replace_private_file(&file, b"second").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"second");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(temp.path().join("a")).unwrap().count(), 1, "nothing is left over");
        assert!(replace_private_file(&temp.path().join("a"), b"").is_err(), "no directory goes");
    }

    #[test]
    fn a_directory_is_made_for_this_user_alone_and_an_existing_one_is_left_as_it_is() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("a/b");
        let mode = |dir: &Path| fs::metadata(dir).unwrap().permissions().mode() & 0o777;
        create_private_dir(&dir).unwrap();
        assert_eq!((mode(&dir), mode(&temp.path().join("a"))), (0o700, 0o700));
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o750)).unwrap();
        create_private_dir(&dir).unwrap();
        assert_eq!(mode(&dir), 0o750);
    }
}
