//! The processes that the scenarios launch, and how they are looked at.
//!
//! Two of them are this test binary itself, run again with one of the ignored
//! tests below: a daemon that behaves, and a launcher that can be killed.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use config::{Instance, Nonce, Record, procfs};
use lifecycle::Launch;

/// Far beyond what anything here takes; only a failing test gets this far.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const DAEMON_DIR: &str = "TEST_DAEMON_DIR";
const LAUNCHER_DIR: &str = "TEST_LAUNCHER_DIR";

/// A folder for one scenario's processes. What they left behind is killed
/// with it, so that a failing test leaves no stray either.
pub(crate) struct Scene {
    temp: tempfile::TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self { temp: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// A shell script; its first argument is the folder. It inherits the
    /// folder in its environment as well, as whatever it starts does.
    pub(crate) fn script(&self, script: &str) -> Launch {
        let script = format!("cd \"$1\" || exit 99\n{script}");
        self.program("/bin/sh").args(["-c", &script, "script"]).args([self.temp.path()])
    }

    /// A program with its output in `log`.
    pub(crate) fn program(&self, program: impl Into<PathBuf>) -> Launch {
        Launch::new(program, self.path("log")).env("TEST_SCENE", self.temp.path())
    }

    /// This test binary as a daemon that holds the folder `data`.
    pub(crate) fn daemon(&self) -> Launch {
        helper(self.program(env::current_exe().unwrap()), "daemon")
            .env(DAEMON_DIR, self.path("data"))
    }

    /// This test binary as a launcher, which launches a `sleep` and waits.
    pub(crate) fn launcher(&self) -> Launch {
        helper(self.program(env::current_exe().unwrap()), "launcher")
            .env(LAUNCHER_DIR, self.temp.path())
    }

    /// The number that a process of the scene wrote to the file `name`, once
    /// it is there.
    pub(crate) fn pid(&self, name: &str) -> u32 {
        let path = self.path(name);
        let read = || fs::read_to_string(&path).ok()?.trim().parse().ok();
        eventually(&format!("a pid in {name}"), read)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let mark = format!("TEST_SCENE={}", self.temp.path().display());
        for pid in procfs::pids().unwrap_or_default() {
            if pid != std::process::id() && procfs::was_started_with(pid, &mark) {
                let pid = rustix::process::Pid::from_raw(pid.cast_signed());
                let _ = pid
                    .map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
            }
        }
    }
}

fn helper(launch: Launch, name: &str) -> Launch {
    launch.args(["--exact", &format!("helpers::{name}"), "--ignored", "--nocapture"])
}

#[test]
#[ignore = "the daemon that other tests launch"]
fn daemon() {
    let Some(dir) = env::var_os(DAEMON_DIR) else { return };
    let mut instance = match Instance::acquire(Path::new(&dir), "test-daemon", Nonce::from_env()) {
        Ok(instance) => instance,
        Err(error) => return println!("{error}"),
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    instance.publish(listener.local_addr().unwrap()).unwrap();
    loop {
        thread::park();
    }
}

#[tokio::test]
#[ignore = "the launcher that other tests kill"]
async fn launcher() {
    let Some(dir) = env::var_os(LAUNCHER_DIR).map(PathBuf::from) else { return };
    let launched =
        Launch::new("/bin/sh", dir.join("launched.log")).args(["-c", "exec sleep 1000"]).start();
    fs::write(dir.join("launched.new"), launched.unwrap().pid.to_string()).unwrap();
    fs::rename(dir.join("launched.new"), dir.join("launched")).unwrap();
    loop {
        thread::park();
    }
}

/// The value of `look` once it has one.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} did not come within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Whether the process has not ended.
pub(crate) fn is_running(pid: u32) -> bool {
    procfs::stat(pid).is_some_and(|stat| !stat.has_ended())
}

/// The record that a process would write about itself.
pub(crate) fn record_of(pid: u32, nonce: Nonce) -> Record {
    Record {
        kind: "test".to_owned(),
        pid,
        start_time: procfs::stat(pid).unwrap().start_time,
        boot_id: procfs::boot_id().unwrap(),
        nonce,
        address: None,
        version: "0".to_owned(),
        started_at: "2026-01-01T00:00:00Z".parse().unwrap(),
    }
}
