//! The machines that were installed from here: where each is, and the token of
//! its hive. `<data>/queen/machines/<alias>/{machine.json,token}`.

use std::{
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use config::{SshTarget, paths::replace_private_file};
use protocol::{ApiError, ErrorCode, HiveId, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A machine as it was installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Machine {
    /// Where it is.
    pub(super) target: SshTarget,
    /// When the installation came to its end; none while it has not.
    pub(super) installed_at: Option<Timestamp>,
}

/// The folder. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Store {
    dir: PathBuf,
}

impl Store {
    pub(super) fn new(queen_dir: &Path) -> Self {
        Self { dir: queen_dir.join("machines") }
    }

    /// All machines. One whose file cannot be read is said in the log and left
    /// alone.
    pub(super) fn all(&self) -> Vec<(HiveId, Machine)> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<HiveId>().ok());
        ids.filter_map(|id| {
            let machine = self.get(&id)?;
            Some((id, machine))
        })
        .collect()
    }

    pub(super) fn get(&self, id: &HiveId) -> Option<Machine> {
        let file = self.dir(id).join("machine.json");
        let text = fs::read(&file).ok()?;
        match serde_json::from_slice(&text) {
            Ok(machine) => Some(machine),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "not the record of a machine");
                None
            }
        }
    }

    pub(super) fn put(&self, id: &HiveId, machine: &Machine) -> Result<(), ApiError> {
        let file = self.dir(id).join("machine.json");
        let write = || replace_private_file(&file, &serde_json::to_vec(machine)?);
        write().map_err(|error| cannot(&file, &error))
    }

    /// The token of the machine's hive; made now if there is none.
    pub(super) fn token(&self, id: &HiveId) -> Result<SecretString, ApiError> {
        let file = self.dir(id).join("token");
        if !file.exists() {
            let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
            let token = SecretString::from(token);
            replace_private_file(&file, token.expose_secret().as_bytes())
                .map_err(|error| cannot(&file, &error))?;
        }
        config::read_token(&file)
            .map_err(|error| ApiError::new(ErrorCode::Internal, error.to_string()))
    }

    /// Notes the folder of the machine's sockets, and removes the one that a
    /// queen who was killed has left.
    pub(super) fn sockets_are_in(&self, id: &HiveId, sockets: &Path) {
        let file = self.dir(id).join("sockets");
        let left = fs::read_to_string(&file).map(PathBuf::from).unwrap_or_default();
        if left != sockets && self.is_our_folder(&left) {
            let _ = fs::remove_dir_all(&left);
        }
        if let Err(error) = fs::write(&file, sockets.as_os_str().as_bytes()) {
            tracing::debug!(%error, "the folder of the sockets is not noted");
        }
    }

    /// A folder of the kind, and of the user who runs this.
    fn is_our_folder(&self, folder: &Path) -> bool {
        let is_named_so = folder.is_absolute()
            && folder.file_name().is_some_and(|name| name.as_bytes().starts_with(b"rbee-"));
        let owner = |path: &Path| fs::symlink_metadata(path).ok().filter(fs::Metadata::is_dir);
        let ours = owner(&self.dir).map(|it| it.uid());
        is_named_so && ours.is_some() && owner(folder).map(|it| it.uid()) == ours
    }

    pub(super) fn remove(&self, id: &HiveId) -> Result<(), ApiError> {
        match fs::remove_dir_all(self.dir(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(cannot(&self.dir(id), &error))
            }
            _ => Ok(()),
        }
    }

    fn dir(&self, id: &HiveId) -> PathBuf {
        self.dir.join(id.as_str())
    }
}

fn cannot(file: &Path, error: &io::Error) -> ApiError {
    ApiError::new(ErrorCode::Internal, format!("cannot write {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_machine_and_its_token_are_kept_and_gone_when_they_are_removed() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::new(temp.path());
        let id: HiveId = "gpu-1".parse().unwrap();
        assert!(store.all().is_empty());
        let machine = Machine { target: "ada@box:2222".parse().unwrap(), installed_at: None };
        store.put(&id, &machine).unwrap();
        assert_eq!(store.all(), [(id.clone(), machine)]);
        let token = store.token(&id).unwrap();
        assert_eq!(token.expose_secret().len(), 64);
        assert_eq!(store.token(&id).unwrap().expose_secret(), token.expose_secret());
        let mode = fs::metadata(store.dir(&id).join("token")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        store.remove(&id).unwrap();
        store.remove(&id).unwrap();
        assert!(store.all().is_empty());
    }

    #[test]
    fn the_sockets_of_a_queen_that_was_killed_are_removed_and_nothing_else() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::new(temp.path());
        let id: HiveId = "gpu-1".parse().unwrap();
        store.token(&id).unwrap();
        let folder = |name: &str| {
            let folder = temp.path().join(name);
            fs::create_dir(&folder).unwrap();
            folder
        };
        let (left, other, now) = (folder("rbee-1"), folder("mine"), folder("rbee-2"));
        store.sockets_are_in(&id, &left);
        store.sockets_are_in(&id, &other);
        assert!(!left.exists() && other.exists());
        store.sockets_are_in(&id, &now);
        store.sockets_are_in(&id, &now);
        assert!(other.exists() && now.exists());
    }

    #[test]
    fn a_damaged_record_is_no_machine() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::new(temp.path());
        let dir = temp.path().join("machines/gpu-1");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("machine.json"), r#"{"target":"-oProxyCommand=x"}"#).unwrap();
        assert!(store.all().is_empty());
    }
}
