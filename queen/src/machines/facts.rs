//! What a machine says of itself, and whether a hive can live there. Pure.

use lifecycle::ssh::Reply;
use protocol::{ApiError, ErrorCode};
use serde::{Deserialize, Serialize};

/// Room for logs and the job log beside the programs.
const DISK_SPARE: u64 = 256 * 1024 * 1024;
/// A clock that is off by more than this makes the times in logs misleading.
const CLOCK_SECONDS_MAX: i64 = 5;

/// Whether the machine's hive runs, as `rbee-hive status` says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct HiveThere {
    pub(super) running: bool,
    pub(super) address: Option<std::net::SocketAddr>,
    pub(super) version: Option<String>,
}

impl HiveThere {
    /// What `rbee:status=` says; `None` where nothing is installed.
    pub(super) fn read(reply: &Reply) -> Option<Self> {
        serde_json::from_str(reply.raw("status")?).ok()
    }

    /// Where it listens, if that is on loopback.
    pub(super) fn port(&self) -> Option<u16> {
        let address = self.address.filter(|address| address.ip().is_loopback())?;
        self.running.then_some(address.port())
    }
}

/// What a machine is and has; unknown is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Facts {
    pub(super) os: Option<String>,
    pub(super) arch: Option<String>,
    pub(super) libc: Option<String>,
    pub(super) home: Option<String>,
    pub(super) user: Option<String>,
    pub(super) home_is_writable: bool,
    pub(super) disk_free_bytes: Option<u64>,
    pub(super) gpu_driver: Option<String>,
    pub(super) has_sha256: bool,
    pub(super) has_systemd: bool,
    pub(super) port_is_free: Option<bool>,
    pub(super) clock_seconds: Option<i64>,
    pub(super) installed: Option<String>,
    pub(super) hive: Option<HiveThere>,
}

impl Facts {
    /// `now` is our own clock while the script ran.
    pub(super) fn read(reply: &Reply, now: i64) -> Self {
        let time: Option<i64> = reply.raw("time").and_then(|time| time.trim().parse().ok());
        Self {
            os: reply.text("os"),
            arch: reply.text("arch"),
            libc: reply.text("libc"),
            home: reply.raw("home").filter(|home| is_plain_path(home)).map(str::to_owned),
            user: reply.text("user"),
            home_is_writable: reply.is_yes("writable"),
            disk_free_bytes: reply.number("disk_kib").map(|kib| kib.saturating_mul(1024)),
            gpu_driver: reply.text("gpu_driver"),
            has_sha256: reply.is_yes("sha256"),
            has_systemd: reply.is_yes("systemd"),
            port_is_free: reply.raw("port_free").map(|free| free == "yes"),
            clock_seconds: time.map(|time| time.saturating_sub(now)),
            installed: reply.text("installed"),
            hive: HiveThere::read(reply),
        }
    }

    /// Why no hive can be installed there, with the remedy.
    pub(super) fn obstacle(&self, wanted: &Wanted) -> Option<ApiError> {
        let refuse = |message: String, hint: &str| {
            Some(ApiError::new(ErrorCode::PreflightFailed, message).with_hint(hint))
        };
        let there = format!(
            "{} on {}",
            self.os.as_deref().unwrap_or("an unknown system"),
            self.arch.as_deref().unwrap_or("an unknown processor")
        );
        if self.os.as_deref() != Some("Linux") {
            return refuse(format!("it is {there}, and a hive needs Linux"), "use another machine");
        }
        if self.arch.as_deref() != Some(wanted.arch) {
            return refuse(
                format!(
                    "it is {there}, and the programs ({}) are for {}",
                    wanted.whose, wanted.triple
                ),
                "build them for that machine and say where they are: --binary-path DIR, or \
                 BinaryPath in hives.conf",
            );
        }
        let Some(_) = &self.home else {
            return refuse(
                "its home folder has a name that a socket's path cannot carry".to_owned(),
                "letters, digits and `/._-+@` will do, and at most 60 of them; use another user",
            );
        };
        if !self.home_is_writable {
            return refuse(
                "its home folder cannot be written to".to_owned(),
                "log in there and look at it: ls -ld ~",
            );
        }
        if !self.has_sha256 {
            return refuse(
                "it has no program that computes a sha256".to_owned(),
                "install coreutils, or openssl, there",
            );
        }
        let needed = wanted.bytes + DISK_SPARE;
        if let Some(free) = self.disk_free_bytes.filter(|free| *free < needed) {
            return refuse(
                format!(
                    "its home folder has {} MiB free and {} MiB are needed",
                    free >> 20,
                    needed >> 20
                ),
                "make room there: du -xh ~ | sort -h | tail",
            );
        }
        let is_ours = |port| self.hive.as_ref().and_then(HiveThere::port) == Some(port);
        if let (Some(port), Some(false)) = (wanted.port, self.port_is_free)
            && !is_ours(port)
        {
            return refuse(
                format!("another program listens on its port {port}"),
                "take HivePort out of hives.conf, and a free port is used; or name another",
            );
        }
        None
    }

    /// What is no obstacle and worth a word.
    pub(super) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if let Some(seconds) = self.clock_seconds.filter(|it| it.abs() > CLOCK_SECONDS_MAX) {
            let way = if seconds > 0 { "ahead of" } else { "behind" };
            let seconds = seconds.abs();
            remarks.push(format!(
                "its clock is {seconds} s {way} ours: times in its logs differ (set up NTP there)"
            ));
        }
        if self.gpu_driver.is_none() {
            remarks.push("no NVIDIA driver: its workers compute on the processor".to_owned());
        }
        remarks
    }
}

/// What an installation needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// The processor the programs are for, as `uname -m` calls it.
    pub(super) arch: &'static str,
    /// The target they are built for.
    pub(super) triple: &'static str,
    /// Who chose them.
    pub(super) whose: &'static str,
    /// All of them together.
    pub(super) bytes: u64,
    /// A port that the operator chose.
    pub(super) port: Option<u16>,
}

/// What a path may be that ends up in the argument of a forward, and short
/// enough for the path of a socket below it.
pub(super) fn is_plain_path(path: &str) -> bool {
    path.starts_with('/')
        && path.len() <= 60
        && path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            os: Some("Linux".to_owned()),
            arch: Some("x86_64".to_owned()),
            libc: None,
            home: Some("/home/ada".to_owned()),
            user: None,
            home_is_writable: true,
            disk_free_bytes: Some(10 << 30),
            gpu_driver: Some("580".to_owned()),
            has_sha256: true,
            has_systemd: false,
            port_is_free: Some(true),
            clock_seconds: Some(0),
            installed: None,
            hive: None,
        }
    }

    const WANTED: Wanted = Wanted {
        arch: "x86_64",
        triple: "x86_64-unknown-linux-gnu",
        whose: "this build",
        bytes: 100 << 20,
        port: Some(9000),
    };

    #[test]
    fn every_obstacle_is_a_sentence_and_a_remedy() {
        assert_eq!(facts().obstacle(&WANTED), None);
        let cases: [(Facts, &str, &str); 8] = [
            (Facts { os: Some("Darwin".to_owned()), ..facts() }, "Darwin", "another machine"),
            (Facts { os: None, ..facts() }, "unknown system", "another machine"),
            (
                Facts { arch: Some("aarch64".to_owned()), ..facts() },
                "(this build) are for x86_64-unknown-linux-gnu",
                "--binary-path",
            ),
            (Facts { home: None, ..facts() }, "home folder", "another user"),
            (Facts { home_is_writable: false, ..facts() }, "written", "ls -ld"),
            (Facts { has_sha256: false, ..facts() }, "sha256", "coreutils"),
            (Facts { disk_free_bytes: Some(1 << 20), ..facts() }, "1 MiB free and 356", "du"),
            (Facts { port_is_free: Some(false), ..facts() }, "port 9000", "HivePort"),
        ];
        for (facts, said, remedy) in cases {
            let error = facts.obstacle(&WANTED).unwrap();
            assert_eq!(error.code, ErrorCode::PreflightFailed);
            assert!(error.message.contains(said), "{error:?}");
            assert!(error.hint.as_ref().unwrap().contains(remedy), "{error:?}");
        }
    }

    #[test]
    fn what_is_unknown_is_no_obstacle_and_our_own_hive_is_none_either() {
        let unknown = Facts { disk_free_bytes: None, port_is_free: None, ..facts() };
        assert_eq!(unknown.obstacle(&WANTED), None);
        let hive = HiveThere {
            running: true,
            address: Some(([127, 0, 0, 1], 9000).into()),
            version: None,
        };
        let ours = Facts { port_is_free: Some(false), hive: Some(hive), ..facts() };
        assert_eq!(ours.obstacle(&WANTED), None);
    }

    #[test]
    fn a_clock_and_a_missing_driver_are_worth_a_word() {
        assert_eq!(facts().remarks(), [""; 0]);
        let slow = Facts { clock_seconds: Some(-90), gpu_driver: None, ..facts() };
        let remarks = slow.remarks();
        assert!(remarks[0].contains("90 s behind ours") && remarks[1].contains("NVIDIA"));
    }

    #[test]
    fn a_home_that_could_be_an_argument_of_its_own_is_no_home() {
        for bad in ["", "relative", "/home/a b", "/home/a:b", "/home/%h", "/home/$(id)", "/a\nb"] {
            assert!(!is_plain_path(bad), "{bad:?}");
        }
        assert!(is_plain_path("/home/ada.l+x@y_z-1"));
        assert!(!is_plain_path(&format!("/{}", "a".repeat(90))));
    }
}
