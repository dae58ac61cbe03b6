//! Another machine: a real sshd on loopback, with a host key, a port and a
//! home folder of its own, so that several exist at once.

use std::{
    ffi::OsString,
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, ensure};
use config::{Paths, procfs};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{Cluster, Network, Seen, cluster::cache_model, processes::program, wait_for};

const SSHD: &str = "/usr/sbin/sshd";
const SYSTEMD: &str = "/lib/systemd/systemd";
/// The arguments are the `XDG_RUNTIME_DIR`, the home folder, systemd, and
/// sshd's words.
/// That systemd has booted is a folder in `/run`, which nobody else sees here.
const WITH_SYSTEMD: &str = r#"
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system /run/sshd || exit 1
run=$0 home=$1 systemd=$2; shift 2
env -i PATH="$PATH" HOME="$home" XDG_RUNTIME_DIR="$run" SYSTEMD_LOG_TARGET=console     "$systemd" --user </dev/null &
exec "$@""#;
/// Another program may take a free port before sshd does.
const PORTS_TRIED: usize = 5;

/// Where a machine stands.
#[derive(Clone, Copy, Default)]
pub enum Place<'a> {
    /// On loopback.
    #[default]
    Here,
    /// In a network of its own.
    In(&'a Network),
    /// On loopback, with a `/run` of its own where systemd has booted, and its
    /// user's systemd.
    WithSystemd,
}

/// What a machine is made of.
#[derive(Clone, Copy, Default)]
pub struct MachineSetup<'a> {
    /// Where it stands.
    pub place: Place<'a>,
    /// Nobody knows its key yet.
    pub is_unknown: bool,
    /// More lines for its `sshd_config`.
    pub sshd_config: &'a str,
    /// Programs that are found before the system's: a name and a shell script.
    pub programs: &'a [(&'a str, &'a str)],
}

/// See the module.
pub struct Machine {
    name: String,
    root: TempDir,
    address: Ipv4Addr,
    port: u16,
    /// What starts its sshd.
    start: Vec<OsString>,
    sshd: Option<Child>,
    systemd: Option<u32>,
}

impl Machine {
    /// A machine that `cluster`'s user reaches under `name`, with a key.
    pub async fn start(cluster: &Cluster, name: &str) -> anyhow::Result<Self> {
        Self::start_with(cluster, name, MachineSetup::default()).await
    }

    /// The same, made otherwise.
    pub async fn start_with(
        cluster: &Cluster,
        name: &str,
        setup: MachineSetup<'_>,
    ) -> anyhow::Result<Self> {
        ensure!(Path::new(SSHD).is_file(), "{SSHD} is missing: apt-get install openssh-server");
        if rustix::process::geteuid().is_root() {
            // Where sshd, as root, shuts itself in before a login.
            fs::create_dir_all("/run/sshd")?;
        }
        // Short, because the paths of sockets are.
        let root = tempfile::Builder::new().prefix("rbee-m-").tempdir_in("/tmp")?;
        fs::create_dir(root.path().join("home"))?;
        fs::create_dir(root.path().join("bin"))?;
        for (name, script) in setup.programs {
            executable(&root.path().join("bin").join(name), script)?;
        }
        key(&root.path().join("host_key"))?;
        let identity = cluster.home().join("id");
        if !identity.exists() {
            key(&identity)?;
        }
        let mut machine = Self {
            name: name.to_owned(),
            root,
            address: Ipv4Addr::LOCALHOST,
            port: 0,
            start: Vec::new(),
            sshd: None,
            systemd: None,
        };
        machine.stand_at(setup.place)?;
        fs::copy(identity.with_extension("pub"), machine.root.path().join("authorized_keys"))?;
        for _ in 0..PORTS_TRIED {
            machine.port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            fs::write(machine.root.path().join("sshd_config"), machine.config(setup.sshd_config))?;
            if machine.switch_on().await.is_ok() {
                if matches!(setup.place, Place::WithSystemd) {
                    machine.until_systemd().await?;
                }
                machine.make_known_to(cluster, &identity, setup.is_unknown)?;
                return Ok(machine);
            }
        }
        anyhow::bail!("sshd does not start: {}", machine.log())
    }

    /// What starts its sshd there.
    fn stand_at(&mut self, place: Place<'_>) -> anyhow::Result<()> {
        let mut start = match place {
            Place::Here => Command::new(SSHD),
            Place::In(network) => {
                self.address = network.address();
                network.command(SSHD)
            }
            Place::WithSystemd => {
                ensure!(Path::new(SYSTEMD).is_file(), "{SYSTEMD} is missing");
                let run = self.run_dir();
                fs::create_dir(&run)?;
                fs::set_permissions(&run, fs::Permissions::from_mode(0o700))?;
                let mut unshare = Command::new("unshare");
                unshare.args(["--mount", "--propagation", "private", "sh", "-c", WITH_SYSTEMD]);
                unshare.arg(run).arg(self.home()).args([SYSTEMD, SSHD]);
                unshare
            }
        };
        start.args(["-D", "-e", "-f"]).arg(self.root.path().join("sshd_config"));
        let program = start.get_program().to_owned();
        self.start = [program].into_iter().chain(start.get_args().map(Into::into)).collect();
        Ok(())
    }

    /// The `XDG_RUNTIME_DIR` of its user.
    fn run_dir(&self) -> PathBuf {
        self.root.path().join("run")
    }

    async fn until_systemd(&mut self) -> anyhow::Result<()> {
        let sshd = self.sshd.as_ref().context("it is switched off")?.id();
        let private = self.run_dir().join("systemd/private");
        wait_for("its user's systemd", async || Ok(Seen::when(private.exists(), self.log())))
            .await?;
        let mut started = descendants(sshd).into_iter();
        self.systemd = started.find(|pid| program(*pid).as_deref() == Some("systemd"));
        self.systemd.map(drop).context("its systemd has ended")
    }

    fn config(&self, more: &str) -> String {
        let root = self.root.path().display();
        let (address, port) = (self.address, self.port);
        format!(
            "Port {port}\nListenAddress {address}\nHostKey {root}/host_key\nPidFile none\n\
             AuthorizedKeysFile {root}/authorized_keys\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nMaxStartups 100\nSetEnv HOME={root}/home PATH={root}/bin:/usr/bin:/bin XDG_RUNTIME_DIR={root}/run\n{more}\n"
        )
    }

    /// Writes it into the user's `~/.ssh/config`. ssh looks for that in the
    /// home folder of the account, so what is called `ssh` here names the file.
    fn make_known_to(
        &self,
        cluster: &Cluster,
        identity: &Path,
        is_unknown: bool,
    ) -> anyhow::Result<()> {
        let (ssh, path) = (cluster.home().join(".ssh"), cluster.path_dir());
        fs::create_dir_all(&ssh)?;
        fs::create_dir_all(&path)?;
        let known_hosts = cluster.home().join("known_hosts");
        let block = format!(
            "Host {}\n  HostName {}\n  Port {}\n  IdentityFile {}\n  IdentitiesOnly yes\n  \
             UserKnownHostsFile {}\n",
            self.name,
            self.address,
            self.port,
            identity.display(),
            known_hosts.display()
        );
        append(&ssh.join("config"), &block)?;
        if !is_unknown {
            let key = fs::read_to_string(self.root.path().join("host_key.pub"))?;
            let key: Vec<&str> = key.split(' ').take(2).collect();
            let known = format!("[{}]:{} {}\n", self.address, self.port, key.join(" "));
            append(&known_hosts, &known)?;
        }
        let config = ssh.join("config");
        let script = format!("exec /usr/bin/ssh -F '{}' \"$@\"", config.display());
        executable(&path.join("ssh"), &script)
    }

    /// Starts its sshd, at the port it had.
    pub async fn switch_on(&mut self) -> anyhow::Result<()> {
        let log =
            fs::File::options().create(true).append(true).open(self.root.path().join("log"))?;
        let (program, args) = self.start.split_first().context("it stands nowhere")?;
        let child = Command::new(program).args(args).stdin(Stdio::null()).stderr(log).spawn()?;
        let sshd = self.sshd.insert(child);
        let (address, port) = (self.address, self.port);
        wait_for("sshd to listen", async || {
            ensure!(sshd.try_wait()?.is_none(), "sshd ended");
            let answer = TcpStream::connect((address, port));
            Ok(Seen::when(answer.is_ok(), answer))
        })
        .await
    }

    /// Ends its sshd and every session, as a cable that is pulled does.
    pub fn switch_off(&mut self) -> anyhow::Result<()> {
        let Some(mut sshd) = self.sshd.take() else { return Ok(()) };
        let sessions = descendants(sshd.id());
        sshd.kill()?;
        sshd.wait()?;
        for pid in sessions {
            // Of what it started, what left the session stays.
            if program(pid).is_some_and(|it| it.starts_with("sshd")) {
                kill(pid);
            }
        }
        Ok(())
    }

    /// Stops its sshd and every session where they stand: nothing comes back
    /// from it, and no connection ends.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal_sshd(Signal::STOP)
    }

    /// Lets them go on.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal_sshd(Signal::CONT)
    }

    fn signal_sshd(&self, with: Signal) -> anyhow::Result<()> {
        let sshd = self.sshd.as_ref().context("it is switched off")?.id();
        // First the one that starts the others.
        for pid in [vec![sshd], descendants(sshd)].concat() {
            if program(pid).is_some_and(|it| it.starts_with("sshd")) {
                signal(pid, with);
            }
        }
        Ok(())
    }

    /// Its home folder.
    pub fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// Has the programs that were put on another machine.
    pub fn take_programs_of(&self, other: &Self) -> anyhow::Result<()> {
        let versions = ".local/share/rbee-hive/versions";
        for build in fs::read_dir(other.home().join(versions))? {
            let build = build?;
            let dir = self.home().join(versions).join(build.file_name());
            fs::create_dir_all(&dir)?;
            for program in fs::read_dir(build.path())? {
                let program = program?;
                fs::hard_link(program.path(), dir.join(program.file_name()))?;
            }
        }
        Ok(())
    }

    /// Puts a model into the hub's cache as another tool would have.
    pub fn cache_model(&self, repo: &str, file: &str) -> anyhow::Result<()> {
        cache_model(&self.home(), repo, file)
    }

    /// Lets nobody in any more, or `cluster`'s user again.
    pub fn let_in(&self, cluster: &Cluster, is_let_in: bool) -> anyhow::Result<()> {
        let key = match is_let_in {
            true => fs::read_to_string(cluster.home().join("id.pub"))?,
            false => String::new(),
        };
        Ok(fs::write(self.root.path().join("authorized_keys"), key)?)
    }

    /// Where its sshd listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The fingerprint of its key, as a person reads it there.
    pub fn fingerprint(&self) -> anyhow::Result<String> {
        let key = self.root.path().join("host_key.pub");
        let output = Command::new("ssh-keygen").arg("-lf").arg(key).output()?;
        let text = String::from_utf8(output.stdout)?;
        let word = text.split(' ').nth(1).context("no fingerprint")?;
        Ok(word.to_owned())
    }

    /// The paths of the hive that was installed on it.
    pub fn paths(&self) -> Paths {
        let root = self.home().join(".local/share/rbee-hive");
        Paths {
            config_dir: root.join("config"),
            data_dir: root.join("data"),
            cache_dir: self.home().join(".cache/rbee-hive"),
        }
    }

    /// Everything in its home folder, sorted.
    pub fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(&self.home(), &self.home(), &mut found);
        found.sort();
        found
    }

    /// The daemons that run on it.
    pub fn processes(&self) -> Vec<(u32, String)> {
        let mark = format!("RBEE_DATA_DIR={}", self.paths().data_dir.display());
        let pids = procfs::pids().unwrap_or_default().into_iter();
        let ours = pids.filter(|pid| procfs::was_started_with(*pid, &mark));
        let named = ours.filter_map(|pid| Some((pid, program(pid)?)));
        named.filter(|(_, name)| name == "rbee-hive" || name == "llm-worker-rbee").collect()
    }

    /// Ends one of its daemons the hard way.
    pub fn kill9(&self, pid: u32) -> anyhow::Result<()> {
        ensure!(self.processes().iter().any(|(it, _)| *it == pid), "{pid} is none of its daemons");
        kill(pid);
        Ok(())
    }

    /// What its sshd said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.root.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // What a test leaves behind is not to outlive it.
        let _ = self.switch_off();
        self.systemd.into_iter().for_each(kill);
        self.processes().into_iter().for_each(|(pid, _)| kill(pid));
    }
}

pub(crate) fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// A shell script that can be run.
pub(crate) fn executable(file: &Path, script: &str) -> anyhow::Result<()> {
    fs::write(file, format!("#!/bin/sh\n{script}\n"))?;
    Ok(fs::set_permissions(file, fs::Permissions::from_mode(0o755))?)
}

/// A new key without a passphrase.
fn key(file: &Path) -> anyhow::Result<()> {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(file)
        .stdin(Stdio::null())
        .status()?;
    ensure!(made.success(), "ssh-keygen failed");
    Ok(())
}

fn append(file: &Path, text: &str) -> anyhow::Result<()> {
    let before = fs::read_to_string(file).unwrap_or_default();
    Ok(fs::write(file, before + text)?)
}

/// Everything that `pid` started, directly or not.
fn descendants(pid: u32) -> Vec<u32> {
    let pids = procfs::pids().unwrap_or_default();
    let parents: Vec<(u32, u32)> =
        pids.into_iter().filter_map(|it| Some((it, parent(it)?))).collect();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        next += 1;
    }
    found.split_off(1)
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn list(dir: &Path, below: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.strip_prefix(below).unwrap_or(&path).display().to_string();
        if path.is_dir() && !path.is_symlink() {
            list(&path, below, found);
        }
        found.push(name);
    }
}
