//! One installation of rbee that nobody else sees.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Instant,
};

use anyhow::{Context as _, ensure};
use config::Paths;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{PATIENCE, Script, api, machine};

/// The operator's program and the daemons.
const PROGRAMS: [&str; 4] = ["rbee-keeper", "queen-rbee", "rbee-hive", "llm-worker-rbee"];
const SCRIPTED_WORKER: &str = "scripted-worker";
/// How much of each log is shown when a test fails.
const LOG_LINES: usize = 40;
const LOG_BYTES: u64 = 16 * 1024;

/// Ports that the system chooses, and no patience with work that runs when a
/// test is over.
const CONFIG: &str = r#"
[queen]
address = "127.0.0.1:0"
drain_seconds = 0
{queen}
[hive]
address = "127.0.0.1:0"
worker_drain_seconds = 0
{hive}
"#;

/// What a cluster is made of.
#[derive(Debug, Clone, Copy, Default)]
pub struct Setup<'a> {
    /// The worker program that users have, instead of the scripted one.
    pub real_worker: bool,
    /// More lines for `[queen]` in `config.toml`.
    pub queen: &'a str,
    /// More lines for `[hive]`.
    pub hive: &'a str,
}

/// An installation with its own programs, directories and ports.
pub struct Cluster {
    root: TempDir,
    bin: PathBuf,
    paths: Paths,
    http: reqwest::Client,
    is_closed: bool,
}

impl Cluster {
    /// An installation with the scripted worker, and a queen that runs.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(Setup::default()).await
    }

    /// The same, made otherwise.
    pub async fn start_with(setup: Setup<'_>) -> anyhow::Result<Self> {
        let cluster = Self::install(setup)?;
        cluster.keeper(&["queen", "start"]).await?.succeeded()?;
        Ok(cluster)
    }

    /// An installation where nothing runs.
    pub fn install(setup: Setup<'_>) -> anyhow::Result<Self> {
        let built = built_programs()?;
        // Beside the programs, where files can be linked instead of copied.
        let root = tempfile::Builder::new().prefix("end-to-end-").tempdir_in(&built)?;
        let bin = root.path().join("bin");
        fs::create_dir(&bin)?;
        for program in PROGRAMS {
            let is_scripted = program == "llm-worker-rbee" && !setup.real_worker;
            let source = built.join(if is_scripted { SCRIPTED_WORKER } else { program });
            link(&source, &bin.join(program))?;
        }
        let dir = |name: &str| {
            let dir = root.path().join(name);
            fs::create_dir(&dir).map(|()| dir)
        };
        let paths =
            Paths { config_dir: dir("config")?, data_dir: dir("data")?, cache_dir: dir("cache")? };
        let config = CONFIG.replace("{queen}", setup.queen).replace("{hive}", setup.hive);
        fs::write(paths.config_file(), config)?;
        Ok(Self { bin, paths, http: api::client()?, root, is_closed: false })
    }

    /// Ends the queen and nothing else, and starts her with this in her
    /// environment.
    pub async fn restart_queen(&self, env: &[(&str, &str)]) -> anyhow::Result<()> {
        self.keeper(&["queen", "stop", "--keep-hives"]).await?.succeeded()?;
        self.keeper_with(&["queen", "start"], env).await?.succeeded().map(drop)
    }

    /// What is looked for here first is found instead of the system's own.
    pub fn path_dir(&self) -> PathBuf {
        self.root.path().join("path")
    }

    /// Puts a shell script where it is found instead of the system's program.
    pub fn stand_in(&self, program: &str, script: &str) -> anyhow::Result<()> {
        fs::create_dir_all(self.path_dir())?;
        machine::executable(&self.path_dir().join(program), script)
    }

    /// The home folder of its user.
    pub fn home(&self) -> &Path {
        self.root.path()
    }

    /// Where its files are.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Writes a script down under a name that is free.
    pub fn script(&self, name: &str, script: &Value) -> anyhow::Result<Script> {
        Script::write(self.root.path(), name, script)
    }

    /// Puts a model into the hub's cache as another tool would have.
    pub fn cache_model(&self, repo: &str, file: &str) -> anyhow::Result<()> {
        cache_model(self.root.path(), repo, file)
    }

    /// One of its programs, with nothing of this process's environment but
    /// what every program needs.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.path_dir().display()))
            .env("HOME", self.root.path())
            .env("LANG", "C.UTF-8")
            .envs(self.environment());
        command
    }

    /// What makes a program one of this cluster.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        let text = |path: &Path| path.display().to_string();
        [
            ("RBEE_CONFIG_DIR", text(&self.paths.config_dir)),
            ("RBEE_DATA_DIR", text(&self.paths.data_dir)),
            ("RBEE_CACHE_DIR", text(&self.paths.cache_dir)),
        ]
    }

    /// The last thing a test does: ends everything, and fails if that leaves
    /// anything behind. A cluster that is dropped without it belongs to a test
    /// that failed, and shows what its daemons said.
    pub fn close(mut self) -> anyhow::Result<()> {
        self.is_at_most_one_worker_per_slot()?;
        self.end()?;
        self.is_closed = true;
        Ok(())
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Ends everything the way an operator does; what that leaves behind is a
    /// fault of ours.
    fn end(&self) -> anyhow::Result<()> {
        let stop = self.command("rbee-keeper").args(["--no-tui", "queen", "stop"]).output()?;
        let began = Instant::now();
        while !self.processes().is_empty() && began.elapsed() < PATIENCE / 4 {
            thread::sleep(std::time::Duration::from_millis(5));
        }
        let left = self.processes();
        for (pid, _) in &left {
            // Gone by now is as good.
            let _ = self.signal(*pid, Signal::KILL);
        }
        let said = String::from_utf8_lossy(&stop.stderr);
        ensure!(left.is_empty(), "left behind by `queen stop`: {left:?}; it said: {said}");
        ensure!(stop.status.success(), "`queen stop` failed: {said}");
        Ok(())
    }

    /// What the daemons said last.
    fn logs(&self) -> String {
        let mut shown = String::new();
        for file in log_files(&self.paths.data_dir) {
            let lines = lifecycle::log_tail(&file, LOG_LINES, LOG_BYTES);
            shown.push_str(&format!("--- {}\n{}\n", file.display(), lines.join("\n")));
        }
        shown
    }
}

impl Drop for Cluster {
    #[expect(clippy::print_stderr, reason = "what a failed test leaves for its reader")]
    fn drop(&mut self) {
        if self.is_closed {
            return;
        }
        // Before they end, which they have much to say about.
        let logs = self.logs();
        let ended = self.end();
        eprintln!("{logs}");
        if let Err(error) = ended {
            eprintln!("and then: {error:#}");
        }
    }
}

/// Puts a model into the hub's cache of whoever has this home folder.
pub(crate) fn cache_model(home: &Path, repo: &str, file: &str) -> anyhow::Result<()> {
    let repo = format!("models--{}", repo.replace('/', "--"));
    let dir = home.join(".cache/huggingface/hub").join(repo);
    let snapshot = dir.join("snapshots/0123456789abcdef0123456789abcdef01234567");
    fs::create_dir_all(&snapshot)?;
    Ok(fs::write(snapshot.join(file), "GGUF")?)
}

/// Where cargo has put the programs: beside this test, or one folder up.
fn built_programs() -> anyhow::Result<PathBuf> {
    let test = env::current_exe()?;
    let dir = test.ancestors().find(|dir| dir.ends_with("deps")).and_then(Path::parent);
    let dir = dir.or(test.parent()).context("this test is nowhere")?;
    for program in PROGRAMS.iter().chain([&SCRIPTED_WORKER]) {
        let file = dir.join(program);
        ensure!(
            file.is_file(),
            "{} is missing: run `cargo build --workspace` first",
            file.display()
        );
    }
    Ok(dir.to_owned())
}

/// A program finds its siblings beside its own file, and the system names that
/// file with every symbolic link resolved; so it has to be a file of its own.
fn link(source: &Path, target: &Path) -> anyhow::Result<()> {
    if fs::hard_link(source, target).is_err() {
        fs::copy(source, target).with_context(|| format!("cannot copy {}", source.display()))?;
    }
    Ok(())
}

/// Everything below `dir` that is called `….log`.
fn log_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(log_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "log") {
            found.push(path);
        }
    }
    found.sort();
    found
}
