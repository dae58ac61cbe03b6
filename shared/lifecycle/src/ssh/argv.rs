//! The arguments of every `ssh` that is started. All of them are built here.
//!
//! What comes from outside is one of the parsed types of `hives.conf`, stands
//! behind an option of its own or behind `--`, and is never joined into a
//! command.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use config::SshTarget;

use super::script::BOOTSTRAP;

/// How long a machine may take to accept a connection, in seconds.
const CONNECT_SECONDS: u32 = 10;
/// What stands for the machine where a connection is there already; nothing is
/// looked up by this name.
const CONNECTED: &str = "rbee-connected";

/// A way through a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forward {
    /// From a socket here to a port of the machine's loopback.
    ToPort {
        /// The socket here.
        socket: PathBuf,
        /// The port there.
        port: u16,
    },
    /// From a socket here to a socket there.
    ToSocket {
        /// The socket here.
        socket: PathBuf,
        /// The socket there.
        there: String,
    },
    /// From a socket there to a port of our loopback.
    FromSocket {
        /// The socket there.
        there: String,
        /// The port here.
        port: u16,
    },
}

impl Forward {
    fn args(&self) -> [OsString; 2] {
        let colon = |left: &Path, right: String| {
            let mut spec = left.as_os_str().to_owned();
            spec.push(":");
            spec.push(right);
            spec
        };
        match self {
            Self::ToPort { socket, port } => {
                ["-L".into(), colon(socket, format!("127.0.0.1:{port}"))]
            }
            Self::ToSocket { socket, there } => ["-L".into(), colon(socket, there.clone())],
            Self::FromSocket { there, port } => {
                ["-R".into(), format!("{there}:127.0.0.1:{port}").into()]
            }
        }
    }
}

/// What every `ssh` is told. Command-line options win over `~/.ssh/config`.
fn options(extra: &[&str]) -> Vec<OsString> {
    let common = [
        // Nobody is there to answer a question of ssh's.
        "BatchMode=yes",
        "LogLevel=ERROR",
        "PermitLocalCommand=no",
        "RemoteCommand=none",
        "RequestTTY=no",
        "ForwardAgent=no",
        "ForwardX11=no",
        "Tunnel=no",
        "EscapeChar=none",
    ];
    common.iter().chain(extra).flat_map(|option| ["-o".into(), OsString::from(*option)]).collect()
}

/// Where and as whom, then `--` and the machine.
fn destination(target: &SshTarget) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    let mut option = |flag: &str, value: String| args.extend([flag.into(), value.into()]);
    if let Some(user) = &target.user {
        option("-l", user.to_string());
    }
    if let Some(port) = target.port {
        option("-p", port.to_string());
    }
    if let Some(file) = &target.identity_file {
        option("-i", file.to_string());
    }
    option("--", target.host_name.to_string());
    args
}

/// The one connection to a machine. Its own session echoes what it is sent, so
/// it ends when its stdin does, and with it whoever started it.
pub fn connect(target: &SshTarget, control: &Path) -> Vec<OsString> {
    let timeout = format!("ConnectTimeout={CONNECT_SECONDS}");
    let mut args = options(&[
        "StrictHostKeyChecking=yes",
        "ControlMaster=yes",
        "ControlPersist=no",
        // The user's own forwards would clash with those of their own session.
        "ClearAllForwardings=yes",
        "ConnectionAttempts=1",
        &timeout,
        "ServerAliveInterval=5",
        "ServerAliveCountMax=3",
        "StreamLocalBindUnlink=yes",
        "StreamLocalBindMask=0177",
    ]);
    args.extend(["-T".into(), "-S".into(), control.into()]);
    args.extend(destination(target));
    args.push("exec cat".into());
    args
}

/// Options of everything that goes through a connection. It never makes one of
/// its own when that is gone.
fn connected(control: &Path) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["-F".into(), "none".into()];
    args.extend(options(&["ControlMaster=no", "ProxyCommand=false"]));
    args.extend(["-T".into(), "-S".into(), control.into()]);
    args
}

/// A script over a connection.
pub fn run(control: &Path) -> Vec<OsString> {
    let mut args = connected(control);
    args.extend(["--".into(), CONNECTED.into(), BOOTSTRAP.into()]);
    args
}

/// A new way through a connection.
pub fn forward(control: &Path, forward: &Forward) -> Vec<OsString> {
    let mut args = connected(control);
    args.extend(["-O".into(), "forward".into()]);
    args.extend(forward.args());
    args.extend(["--".into(), CONNECTED.into()]);
    args
}

/// What ssh makes of a machine; it connects to nothing.
pub fn effective(target: &SshTarget) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["-G".into()];
    args.extend(destination(target));
    args
}

/// Connects as far as the machine's key, notes that in `known_hosts`, and does
/// not log in.
pub fn host_key(target: &SshTarget, known_hosts: &Path) -> Vec<OsString> {
    let timeout = format!("ConnectTimeout={CONNECT_SECONDS}");
    let mut file = OsString::from("UserKnownHostsFile=");
    file.push(known_hosts);
    let mut args = options(&[
        "StrictHostKeyChecking=accept-new",
        "GlobalKnownHostsFile=/dev/null",
        "PreferredAuthentications=none",
        "ControlMaster=no",
        "ControlPath=none",
        "ClearAllForwardings=yes",
        "ConnectionAttempts=1",
        &timeout,
    ]);
    args.extend(["-o".into(), file, "-T".into()]);
    args.extend(destination(target));
    args.push("exit".into());
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(args: Vec<OsString>) -> Vec<String> {
        args.into_iter().map(|arg| arg.into_string().unwrap()).collect()
    }

    #[test]
    fn a_machine_stands_behind_two_dashes_and_its_parts_behind_their_options() {
        let mut target: SshTarget = "ada@box.lan:2222".parse().unwrap();
        target.identity_file = Some("~/.ssh/id".parse().unwrap());
        let args = words(connect(&target, Path::new("/run/c")));
        let tail = &args[args.len() - 12..];
        assert_eq!(
            tail,
            [
                "-T",
                "-S",
                "/run/c",
                "-l",
                "ada",
                "-p",
                "2222",
                "-i",
                "~/.ssh/id",
                "--",
                "box.lan",
                "exec cat"
            ]
        );
        for needed in ["BatchMode=yes", "StrictHostKeyChecking=yes", "ClearAllForwardings=yes"] {
            assert!(args.contains(&needed.to_owned()), "{needed}: {args:?}");
        }
    }

    #[test]
    fn what_goes_through_a_connection_names_no_machine_and_makes_none() {
        let forward = forward(
            Path::new("/run/c"),
            &Forward::ToPort { socket: "/run/9300".into(), port: 9300 },
        );
        for args in [words(run(Path::new("/run/c"))), words(forward)] {
            assert!(args.contains(&"ProxyCommand=false".to_owned()), "{args:?}");
            assert!(args.windows(2).any(|pair| pair == ["-F", "none"]), "{args:?}");
            assert!(args.windows(2).any(|pair| pair == ["--", CONNECTED]), "{args:?}");
        }
    }

    #[test]
    fn a_forward_is_between_sockets_of_ours_and_loopback() {
        let args = |forward: Forward| forward.args().map(|it| it.into_string().unwrap());
        let there = || "/home/ada/run/queen.sock".to_owned();
        assert_eq!(
            args(Forward::ToPort { socket: "/run/9300".into(), port: 9300 }),
            ["-L", "/run/9300:127.0.0.1:9300"]
        );
        assert_eq!(
            args(Forward::ToSocket { socket: "/run/t".into(), there: there() }),
            ["-L", "/run/t:/home/ada/run/queen.sock"]
        );
        assert_eq!(
            args(Forward::FromSocket { there: there(), port: 8500 }),
            ["-R", "/home/ada/run/queen.sock:127.0.0.1:8500"]
        );
    }
}
