//! A hive that somebody else put there: its own folders, its own token, started
//! by hand and unknown to every queen that is not told of it.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use config::{Found, Paths, instance, procfs};
use tempfile::TempDir;

use crate::{Cluster, machine, processes::program};

/// What its callers must show.
const TOKEN: &str = "the-token-of-a-hive-of-its-own";
const CONFIG: &str = "[hive]\naddress = \"127.0.0.1:0\"\ntoken_file = \"hive.token\"\n\
                      worker_drain_seconds = 0\n";

/// See the module.
pub struct OtherHive {
    paths: Paths,
    address: SocketAddr,
    /// Its home folder, unless it is a machine's.
    _home: Option<TempDir>,
}

impl OtherHive {
    /// Starts it in a home folder of its own, with `cluster`'s programs.
    pub fn start(cluster: &Cluster, id: &str) -> anyhow::Result<Self> {
        let home = TempDir::new()?;
        let dir = |name: &str| home.path().join(name);
        let paths =
            Paths { config_dir: dir("config"), data_dir: dir("data"), cache_dir: dir("cache") };
        let mut started = Self::start_in(cluster, id, home.path(), paths)?;
        started._home = Some(home);
        Ok(started)
    }

    /// Starts it on a machine.
    pub fn start_on(
        cluster: &Cluster,
        id: &str,
        machine: &machine::Machine,
    ) -> anyhow::Result<Self> {
        Self::start_in(cluster, id, &machine.home(), machine.paths())
    }

    fn start_in(cluster: &Cluster, id: &str, home: &Path, paths: Paths) -> anyhow::Result<Self> {
        fs::create_dir_all(&paths.config_dir)?;
        fs::write(paths.config_file(), CONFIG)?;
        write_token(&paths.config_dir.join("hive.token"), TOKEN)?;
        let mut start = cluster.command("rbee-hive");
        start.args(["--hive-id", id, "start"]).env("HOME", home);
        start.env("RBEE_CONFIG_DIR", &paths.config_dir);
        start.env("RBEE_DATA_DIR", &paths.data_dir).env("RBEE_CACHE_DIR", &paths.cache_dir);
        let started = start.output()?;
        ensure!(started.status.success(), "{started:?}");
        let Found::Running(record) = instance::find(&paths.hive_dir())? else {
            anyhow::bail!("it does not run: {started:?}")
        };
        let address = record.address.context("it does not listen")?;
        Ok(Self { paths, address, _home: None })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Writes its token into a file, for a queen.
    pub fn copy_token(&self, file: &Path) -> anyhow::Result<PathBuf> {
        write_token(file, TOKEN)
    }
}

impl Drop for OtherHive {
    fn drop(&mut self) {
        let mark = format!("RBEE_DATA_DIR={}", self.paths.data_dir.display());
        let pids = procfs::pids().unwrap_or_default().into_iter();
        let ours = pids.filter(|pid| procfs::was_started_with(*pid, &mark));
        // Only daemons: a test that fails may look into a shell of its own.
        ours.filter(|pid| program(*pid).is_some_and(|it| it.contains("rbee")))
            .for_each(machine::kill);
    }
}

/// A token as a file must be that holds one.
pub fn write_token(file: &Path, token: &str) -> anyhow::Result<PathBuf> {
    fs::write(file, token)?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600))?;
    Ok(file.to_owned())
}
