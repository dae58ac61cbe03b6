//! The queen on this machine: where she is, and how she is started.
//!
//! A queen is only ever started where the keeper would look for her anyway.
//! One that was named by an address elsewhere is somebody else's to start.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use client::{ClientError, Daemon, Limits};
use config::{BaseUrl, Config, Found, InstanceError, Paths, Record, SecretError, instance};
use lifecycle::{Launch, LaunchError, NotFound, ReadyError, wait_until_ready};
use tokio::time::sleep;

use crate::feed::FindQueen;

/// The program that is launched.
pub const QUEEN_PROGRAM: &str = "queen-rbee";

/// How long a queen may take until she answers.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Between two looks at a queen that somebody else is starting.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A queen on this machine that is well answers in milliseconds.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// Who says where the queen is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `--queen` or `RBEE_QUEEN_URL`.
    Given,
    /// `[keeper] queen_url`.
    Configured,
    /// The record of the queen that runs on this machine.
    Running,
    /// `[queen] address`, or its default.
    Default,
}

/// Where the queen is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueenAddress {
    /// Her address.
    pub url: BaseUrl,
    /// Who says so.
    pub origin: Origin,
    /// Whether a queen started on this machine would be found there.
    pub is_here: bool,
}

/// Why there is no queen to talk to.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// Her data directory could not be looked at.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// Her program is nowhere.
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// Her program could not be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// She was started and did not come up.
    #[error(transparent)]
    Ready(Box<ReadyError>),
    /// A queen has the data directory and does not answer.
    #[error("{record} does not answer; its log is {}", log.display())]
    Silent {
        /// What she says about herself.
        record: Box<Record>,
        /// Her log.
        log: PathBuf,
    },
    /// Her token could not be read.
    #[error(transparent)]
    Token(#[from] SecretError),
    /// She cannot be called.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// A queen that runs on this machine.
#[derive(Debug, Clone)]
pub struct Running {
    /// What she says about herself.
    pub record: Record,
    /// How to call her.
    pub daemon: Daemon,
    /// Whether it was this call that started her.
    pub is_new: bool,
}

/// Where the queen is: what was given, else what is configured, else the one
/// that runs on this machine, else where one would listen.
pub fn queen_address(
    given: Option<&BaseUrl>,
    paths: &Paths,
    config: &Config,
) -> Result<QueenAddress, InstanceError> {
    let configured = config.keeper.queen_url.as_ref();
    let running = match (given, configured) {
        (None, None) => running_address(paths)?,
        _ => None,
    };
    Ok(resolve(given, configured, running, config.queen.address))
}

fn resolve(
    given: Option<&BaseUrl>,
    configured: Option<&BaseUrl>,
    running: Option<SocketAddr>,
    default: SocketAddr,
) -> QueenAddress {
    let here = reachable(default);
    let is_here = |url: &BaseUrl| {
        *url == BaseUrl::from(here)
            || (here.ip().is_loopback()
                && url.as_str() == format!("http://localhost:{}", here.port()))
    };
    let named =
        |url: &BaseUrl, origin| QueenAddress { url: url.clone(), origin, is_here: is_here(url) };
    match (given, configured, running) {
        (Some(url), _, _) => named(url, Origin::Given),
        (None, Some(url), _) => named(url, Origin::Configured),
        (None, None, Some(address)) => QueenAddress {
            url: BaseUrl::from(reachable(address)),
            origin: Origin::Running,
            is_here: true,
        },
        (None, None, None) => {
            QueenAddress { url: BaseUrl::from(here), origin: Origin::Default, is_here: true }
        }
    }
}

/// Where to call somebody who listens at `address`: "everywhere" is no place
/// that could be called.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => {
            SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port())
        }
        IpAddr::V6(ip) if ip.is_unspecified() => {
            SocketAddr::new(Ipv6Addr::LOCALHOST.into(), address.port())
        }
        _ => address,
    }
}

fn running_address(paths: &Paths) -> Result<Option<SocketAddr>, InstanceError> {
    Ok(running_record(paths)?.and_then(|record| record.address))
}

/// The queen of this machine's data directory, if one runs.
pub fn running_record(paths: &Paths) -> Result<Option<Record>, InstanceError> {
    match instance::find(&paths.queen_dir())? {
        Found::Running(record) => Ok(Some(record)),
        Found::Stale(_) | Found::Absent => Ok(None),
    }
}

/// Looks where the queen is now. An address where she would only listen if she
/// ran is no answer.
pub fn find_queen(given: Option<BaseUrl>, paths: Paths, config: Config) -> FindQueen {
    Arc::new(move || {
        let address = queen_address(given.as_ref(), &paths, &config).ok()?;
        (address.origin != Origin::Default).then(|| daemon(&address, &config).ok())?
    })
}

/// The queen at `address`. Only one of this machine is shown this machine's
/// token.
pub fn daemon(address: &QueenAddress, config: &Config) -> Result<Daemon, LocalError> {
    let daemon = Daemon::new(address.url.as_str())?.named("queen");
    match &config.queen.token_file {
        Some(file) if address.is_here => Ok(daemon.with_token(config::read_token(file)?)),
        _ => Ok(daemon),
    }
}

/// A queen on this machine: the one that runs, or a new one.
pub async fn ensure_queen(
    paths: &Paths,
    config: &Config,
    say: impl FnMut(String),
) -> Result<Daemon, LocalError> {
    start_queen(paths, config, say).await.map(|running| running.daemon)
}

/// [`ensure_queen`] with what is known about her.
pub async fn start_queen(
    paths: &Paths,
    config: &Config,
    mut say: impl FnMut(String),
) -> Result<Running, LocalError> {
    loop {
        if let Some(record) = running_record(paths)? {
            match wait_for_running(record, paths, config).await? {
                Some(running) => return Ok(running),
                // She was on her way out, and has left room for another.
                None => continue,
            }
        }
        let program = lifecycle::locate(QUEEN_PROGRAM)?;
        say(format!("found {}", program.display()));
        let log = queen_log(paths);
        let begun = Instant::now();
        let mut launched = Launch::new(program, &log).start()?;
        say(format!("started {QUEEN_PROGRAM} (pid {}), log at {}", launched.pid, log.display()));
        let queen_dir = paths.queen_dir();
        match wait_until_ready(&mut launched, &queen_dir, READY_WITHIN, is_well).await {
            Ok(record) => {
                let daemon = daemon_of(&record, config)?;
                let waited = begun.elapsed().as_millis();
                say(format!("ready at {} after {waited} ms", daemon.base_url()));
                return Ok(Running { record, daemon, is_new: true });
            }
            // Two keepers may have the same idea at the same time. Whose queen
            // comes second ends at once, and the other one is as good.
            Err(error @ ReadyError::Ended { .. }) => {
                if running_record(paths)?.is_none() {
                    return Err(LocalError::Ready(Box::new(error)));
                }
                say("another queen was started at the same time".to_owned());
            }
            Err(error) => return Err(LocalError::Ready(Box::new(error))),
        }
    }
}

/// Where the queen of this machine writes what she has to say.
pub fn queen_log(paths: &Paths) -> PathBuf {
    paths.queen_dir().join("queen.log")
}

/// Waits for a queen whom somebody else has started; `None` when she ends.
async fn wait_for_running(
    record: Record,
    paths: &Paths,
    config: &Config,
) -> Result<Option<Running>, LocalError> {
    let nonce = record.nonce;
    let mut record = Some(record);
    let begun = Instant::now();
    while let Some(found) = record.filter(|found| found.nonce == nonce) {
        if let Some(address) = found.address
            && is_well(address).await
        {
            let daemon = daemon_of(&found, config)?;
            return Ok(Some(Running { record: found, daemon, is_new: false }));
        }
        if begun.elapsed() > READY_WITHIN {
            return Err(LocalError::Silent { record: Box::new(found), log: queen_log(paths) });
        }
        sleep(LOOK_EVERY).await;
        record = running_record(paths)?;
    }
    Ok(None)
}

async fn is_well(address: SocketAddr) -> bool {
    let url = BaseUrl::from(reachable(address));
    let limits = Limits { connect: PROBE_LIMIT, call: PROBE_LIMIT, ..Limits::default() };
    match Daemon::new(url.as_str()) {
        Ok(daemon) => {
            daemon.with_limits(limits).health().await.is_ok_and(|health| health.status == "ok")
        }
        Err(_) => false,
    }
}

fn daemon_of(record: &Record, config: &Config) -> Result<Daemon, LocalError> {
    let address = record.address.unwrap_or(config.queen.address);
    let url = BaseUrl::from(reachable(address));
    daemon(&QueenAddress { url, origin: Origin::Running, is_here: true }, config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> BaseUrl {
        text.parse().unwrap()
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_given_beats_the_config_which_beats_who_runs_which_beats_the_default() {
        let (given, configured) = (url("http://a:1"), url("http://b:2"));
        let (running, default) = (address("127.0.0.1:3"), address("127.0.0.1:8500"));
        let origin = |given, configured, running| {
            let address = resolve(given, configured, running, default);
            (address.url.to_string(), address.origin)
        };
        let (given, configured, running) = (Some(&given), Some(&configured), Some(running));
        let expected = |url: &str, origin| (url.to_owned(), origin);
        assert_eq!(origin(given, configured, running), expected("http://a:1", Origin::Given));
        assert_eq!(origin(None, configured, running), expected("http://b:2", Origin::Configured));
        assert_eq!(origin(None, None, running), expected("http://127.0.0.1:3", Origin::Running));
        assert_eq!(origin(None, None, None), expected("http://127.0.0.1:8500", Origin::Default));
    }

    #[test]
    fn a_queen_is_started_only_where_one_would_listen() {
        let is_here = |given: &str, default: &str| {
            resolve(Some(&url(given)), None, None, address(default)).is_here
        };
        assert!(is_here("http://127.0.0.1:8500", "127.0.0.1:8500"));
        assert!(is_here("http://localhost:8500", "127.0.0.1:8500"));
        assert!(is_here("http://127.0.0.1:8500", "0.0.0.0:8500"));
        // A tunnel to somebody else's queen is on this machine as well.
        assert!(!is_here("http://127.0.0.1:8600", "127.0.0.1:8500"));
        assert!(!is_here("http://queen.lan:8500", "127.0.0.1:8500"));
        assert!(!is_here("https://127.0.0.1:8500", "127.0.0.1:8500"));
    }

    #[test]
    fn who_listens_everywhere_is_called_here() {
        assert_eq!(reachable(address("0.0.0.0:8500")), address("127.0.0.1:8500"));
        assert_eq!(reachable(address("[::]:8500")), address("[::1]:8500"));
        assert_eq!(reachable(address("10.0.0.7:8500")), address("10.0.0.7:8500"));
    }
}
