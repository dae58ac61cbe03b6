//! `config.toml`: what the operator may say once and not at every start.
//!
//! A missing file and an empty one mean the same: the defaults. A key that is
//! not known is an error and never ignored, because a misspelt limit that
//! silently does nothing is found at the worst moment.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use http::Uri;
use protocol::{HiveId, routes};
use toml::de::DeTable;

use crate::{
    Paths,
    hives::{HiveEntry, Origin, Reach},
    hives_conf,
    keys::{KeysConfig, Place, Written},
    text_file,
    toml_section::{Located, Section, Source},
};

/// Everything `config.toml` and `hives.conf` can say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// `[queen]`
    pub queen: QueenConfig,
    /// `[hive]`: the hive on this machine.
    pub hive: HiveConfig,
    /// `[keeper]`
    pub keeper: KeeperConfig,
    /// `[keys]`
    pub keys: KeysConfig,
    /// `[hives.<alias>]` and `hives.conf`: the hives the queen knows.
    pub hives: BTreeMap<HiveId, HiveEntry>,
    /// What is understood and perhaps not meant; whoever reads the
    /// configuration says it aloud.
    pub warnings: Vec<String>,
}

/// `[queen]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueenConfig {
    /// Where she listens.
    pub address: SocketAddr,
    /// The file with the token her callers must show.
    pub token_file: Option<PathBuf>,
    /// How many inference requests may wait before the next is told `429`.
    pub queue_limit: u32,
    /// How long running work may finish when she is told to stop.
    pub drain: Duration,
    /// How many ended jobs stay readable.
    pub retention_jobs: u32,
    /// How long an ended job stays readable.
    pub retention: Duration,
}

/// `[hive]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiveConfig {
    /// Where it listens.
    pub address: SocketAddr,
    /// The file with the token its callers must show.
    pub token_file: Option<PathBuf>,
    /// The first port given to a worker.
    pub worker_ports_first: u16,
    /// How long a worker may finish its work when it is told to stop.
    pub worker_drain: Duration,
    /// How long a worker that fell waits before it is started again; it waits
    /// twice as long each further time.
    pub worker_restart_delay: Duration,
    /// How often it is started again within ten minutes.
    pub worker_restarts_max: u32,
    /// The most threads that a worker gets who does not ask for a number;
    /// none: its share of the cores that are free.
    pub worker_threads: Option<u32>,
    /// The file with the token that the Hugging Face hub is shown; none: where
    /// the hub's own tools keep theirs.
    pub hf_token_file: Option<PathBuf>,
}

/// `[keeper]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeeperConfig {
    /// The queen to talk to; none: the one on this machine.
    pub queen_url: Option<BaseUrl>,
    /// The most frames the dashboard draws in a second; none: it chooses.
    pub fps: Option<u32>,
    /// The dashboard's theme by name; none: the terminal's own colours.
    pub theme: Option<Written>,
    /// Whether starting this machine's hive tells what `local-hive` would
    /// save, where the queen was built without it.
    pub local_hive_notice: bool,
    /// The signs the dashboard draws with.
    pub glyphs: Glyphs,
    /// Whether the dashboard opens as it was left.
    pub restore_session: bool,
}

/// `[keeper] glyphs`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Glyphs {
    /// What the terminal can show.
    #[default]
    Auto,
    /// Nothing beyond ASCII.
    Ascii,
}

impl FromStr for Glyphs {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "ascii" => Ok(Self::Ascii),
            _ => Err(()),
        }
    }
}

/// Where a daemon answers: scheme, host and port, nothing behind them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseUrl(String);

/// Why `config.toml` or `hives.conf` was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is there and could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else could change what the file says.
    #[error("{} {problem}", path.display())]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// Who could, and the remedy.
        problem: String,
    },
    /// The file is no configuration that a person wrote.
    #[error("{} is larger than {} KiB", path.display(), text_file::BYTES_MAX / 1024)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file says something that cannot be meant.
    #[error("{}:{line}: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong and what would be right.
        problem: String,
    },
}

/// A text that is not a [`BaseUrl`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be {}, got {got:?}", BaseUrl::SHAPE)]
pub struct InvalidUrl {
    got: String,
}

impl Default for QueenConfig {
    fn default() -> Self {
        Self {
            address: loopback(8500),
            token_file: None,
            queue_limit: 256,
            drain: Duration::from_secs(10),
            retention_jobs: 1000,
            retention: hours(24),
        }
    }
}

impl Default for HiveConfig {
    fn default() -> Self {
        Self {
            address: loopback(9000),
            token_file: None,
            worker_ports_first: routes::WORKER_PORT_FIRST,
            worker_drain: Duration::from_secs(10),
            worker_restart_delay: Duration::from_secs(1),
            worker_restarts_max: 5,
            worker_threads: None,
            hf_token_file: None,
        }
    }
}

impl Default for KeeperConfig {
    fn default() -> Self {
        Self {
            queen_url: None,
            fps: None,
            theme: None,
            local_hive_notice: true,
            glyphs: Glyphs::default(),
            restore_session: true,
        }
    }
}

impl Config {
    /// Reads the files of these paths; what is not there says the defaults.
    pub fn load(paths: &Paths) -> Result<Self, ConfigError> {
        let path = paths.config_file();
        let mut config = match text_file::read(&path)? {
            Some(text) => Self::parse(&path, &text)?,
            None => Self::default(),
        };
        let path = paths.hives_file();
        if let Some(text) = text_file::read(&path)? {
            config.add_hives(hives_conf::parse(&path, &text)?);
        }
        config.warn_of_open_tokens();
        Ok(config)
    }

    /// Reads `text`, which stands in the file `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let source = Source { path, text };
        let document = DeTable::parse(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            source.refuse(offset, error.message())
        })?;
        let mut root = Section::root(source, document.get_ref());
        let config = Self {
            queen: QueenConfig::read(root.section("queen")?, source)?,
            hive: HiveConfig::read(root.section("hive")?, source)?,
            keeper: KeeperConfig::read(root.section("keeper")?, source)?,
            keys: root
                .untyped("keys")
                .map_or_else(KeysConfig::default, |value| KeysConfig::read(value, source)),
            hives: root
                .sections("hives")?
                .into_iter()
                .map(|(alias, section)| {
                    let line = source.line(alias.offset);
                    let origin = Origin { file: path.to_owned(), line };
                    let reach = read_hive(&alias.value, section, source)?;
                    Ok((alias.value, HiveEntry { reach, origin }))
                })
                .collect::<Result<_, ConfigError>>()?,
            warnings: Vec::new(),
        };
        root.finish()?;
        Ok(config)
    }
}

impl ConfigError {
    pub(crate) fn invalid(path: &Path, line: usize, problem: String) -> Self {
        Self::Invalid { path: path.to_owned(), line, problem }
    }
}

impl QueenConfig {
    fn read(mut section: Section<'_>, source: Source<'_>) -> Result<Self, ConfigError> {
        let default = Self::default();
        let (address, token_file) = bind(&mut section, source, default.address)?;
        let queen = Self {
            address,
            token_file,
            queue_limit: section
                .integer("queue_limit", 1..=100_000)?
                .unwrap_or(default.queue_limit),
            drain: section.integer("drain_seconds", DRAIN_SECONDS)?.map_or(default.drain, seconds),
            retention_jobs: section
                .integer("retention_jobs", 1..=1_000_000)?
                .unwrap_or(default.retention_jobs),
            retention: section
                .integer("retention_hours", 1..=8760)?
                .map_or(default.retention, hours),
        };
        section.finish()?;
        Ok(queen)
    }
}

impl HiveConfig {
    fn read(mut section: Section<'_>, source: Source<'_>) -> Result<Self, ConfigError> {
        let default = Self::default();
        let (address, token_file) = bind(&mut section, source, default.address)?;
        let hive = Self {
            address,
            token_file,
            // Below 1024 only root may listen; above, a machine's workers
            // need room to count upwards.
            worker_ports_first: section
                .integer("worker_ports_first", 1024..=65_000)?
                .and_then(|port| u16::try_from(port).ok())
                .unwrap_or(default.worker_ports_first),
            worker_drain: section
                .integer("worker_drain_seconds", DRAIN_SECONDS)?
                .map_or(default.worker_drain, seconds),
            worker_restart_delay: section
                .integer("worker_restart_delay_ms", 1..=60_000)?
                .map_or(default.worker_restart_delay, |ms| Duration::from_millis(ms.into())),
            worker_restarts_max: section
                .integer("worker_restarts_max", 0..=1_000)?
                .unwrap_or(default.worker_restarts_max),
            worker_threads: section.integer("worker_threads", 1..=1_024)?,
            hf_token_file: section
                .parsed::<PathBuf>("hf_token_file", TOKEN_FILE_SHAPE)?
                .map(|token| beside(source.path, &token.value)),
        };
        section.finish()?;
        Ok(hive)
    }
}

impl KeeperConfig {
    fn read(mut section: Section<'_>, source: Source<'_>) -> Result<Self, ConfigError> {
        let keeper = Self {
            queen_url: section.parsed("queen_url", BaseUrl::SHAPE)?.map(|url| url.value),
            fps: section.integer("fps", 1..=60)?,
            theme: section
                .parsed("theme", "the name of a theme")?
                .map(|theme| Written { text: theme.value, place: Place::of(source, theme.offset) }),
            local_hive_notice: section
                .boolean("local_hive_notice")?
                .unwrap_or(Self::default().local_hive_notice),
            glyphs: section
                .parsed("glyphs", "`auto` or `ascii`")?
                .map_or_else(Glyphs::default, |glyphs| glyphs.value),
            restore_session: section
                .boolean("restore_session")?
                .unwrap_or(Self::default().restore_session),
        };
        section.finish()?;
        Ok(keeper)
    }
}

/// `[hives.<alias>]`. A section that says nothing names a machine that ssh
/// knows under its alias, as an empty `Host` of `hives.conf` does.
fn read_hive(
    alias: &HiveId,
    mut section: Section<'_>,
    source: Source<'_>,
) -> Result<Reach, ConfigError> {
    let url = section.parsed("url", BaseUrl::SHAPE)?;
    let token_file = section.parsed::<PathBuf>("token_file", TOKEN_FILE_SHAPE)?;
    let ca_file = section.parsed::<PathBuf>("ca_file", "the path of a file")?;
    let insecure_http = section.boolean("insecure_http")?.unwrap_or(false);
    section.finish()?;
    let said_at = token_file.as_ref().or(ca_file.as_ref()).map(|it| it.offset);
    match (url, said_at) {
        (Some(url), said_at) => {
            let file = |it: Option<Located<PathBuf>>| it.map(|it| beside(source.path, &it.value));
            let permit = ("`insecure_http = true`", insecure_http);
            Reach::http(url.value, file(token_file), file(ca_file), permit)
                .map_err(|problem| source.refuse(said_at.unwrap_or(url.offset), problem))
        }
        (None, Some(offset)) => Err(source.refuse(
            offset,
            "`token_file` needs a `url` to show the token to, and `ca_file` one to vouch for",
        )),
        (None, None) => hives_conf::reach_by_alias(alias, source.path),
    }
}

impl BaseUrl {
    const SHAPE: &str = "an address such as `http://127.0.0.1:8500`, without a path";

    /// Plain HTTP at this host; the braces of an IPv6 address are added.
    pub(crate) fn http(host: &str, port: u16) -> Result<Self, InvalidUrl> {
        match host.contains(':') {
            true => format!("http://[{host}]:{port}").parse(),
            false => format!("http://{host}:{port}").parse(),
        }
    }

    /// The address without a `/` at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether what is sent there is encrypted.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }

    /// Whether this is a daemon of this machine. One that shows a certificate
    /// is taken for one of another, whatever its address.
    pub fn is_here(&self) -> bool {
        let host = self.0.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
        let host = host.unwrap_or_default();
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        let is_loopback = host.eq_ignore_ascii_case("localhost")
            || address.is_ok_and(|address| address.is_loopback());
        is_loopback && !self.is_https()
    }

    /// Whether somebody on the way could read what is sent there.
    pub fn is_open(&self) -> bool {
        !self.is_https() && !self.is_here()
    }
}

impl From<SocketAddr> for BaseUrl {
    /// Where a daemon of this machine answers.
    fn from(address: SocketAddr) -> Self {
        Self(format!("http://{address}"))
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let checked = || {
            let uri: Uri = text.parse().ok()?;
            let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
            let authority = uri.authority()?;
            // `user:password@host` would put a secret into every log line.
            let is_bare = !authority.host().is_empty()
                && !authority.as_str().contains('@')
                && uri.path() == "/"
                && uri.query().is_none();
            is_bare.then(|| Self(format!("{scheme}://{authority}")))
        };
        checked().ok_or_else(|| InvalidUrl { got: text.chars().take(80).collect() })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

const TOKEN_FILE_SHAPE: &str = "the path of a file";
const DRAIN_SECONDS: std::ops::RangeInclusive<u32> = 0..=3600;

/// Reads where a daemon listens and the token that guards it: beyond loopback
/// there is no listening without one.
fn bind(
    section: &mut Section<'_>,
    source: Source<'_>,
    default: SocketAddr,
) -> Result<(SocketAddr, Option<PathBuf>), ConfigError> {
    let what = format!("an IP address and a port such as `{default}`");
    let address = section.parsed::<SocketAddr>("address", &what)?;
    let token_file = section
        .parsed::<PathBuf>("token_file", TOKEN_FILE_SHAPE)?
        .map(|token| beside(source.path, &token.value));
    match address {
        Some(address) if !address.value.ip().is_loopback() && token_file.is_none() => {
            let problem = format!(
                "{} is reachable from other machines, so it needs a `token_file`; or listen on \
                 `{default}`",
                address.value
            );
            Err(source.refuse(address.offset, problem))
        }
        address => Ok((address.map_or(default, |address| address.value), token_file)),
    }
}

/// A relative path starts at the folder of the file that says it, because
/// daemons run elsewhere.
fn beside(file: &Path, path: &Path) -> PathBuf {
    file.with_file_name("").join(path)
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(count.into())
}

fn hours(count: u32) -> Duration {
    Duration::from_secs(u64::from(count) * 3600)
}

#[cfg(test)]
mod tests;
