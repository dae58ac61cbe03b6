//! The hives that the queen is told of: how each is reached, where that is
//! written, and what becomes of two files that name the same one.

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

use protocol::HiveId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    BaseUrl, Config,
    values::{FilePath, HostName, InvalidValue, Port, UserName},
};

/// One hive as the operator describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiveEntry {
    /// How it is reached.
    pub reach: Reach,
    /// Where this is written.
    pub origin: Origin,
}

/// How a hive is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Straight.
    Http {
        /// Where it answers.
        url: BaseUrl,
        /// The file with the token that it wants to see.
        token_file: Option<PathBuf>,
        /// The file with the only authorities that may vouch for it; absent:
        /// those that this machine and the web trust.
        ca_file: Option<PathBuf>,
    },
    /// Through the system's `ssh`.
    Ssh(SshTarget),
}

/// A machine as `ssh` finds it. What is not set is ssh's own choice, from
/// `~/.ssh/config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshTarget {
    /// The machine.
    pub host_name: HostName,
    /// Where its sshd listens.
    pub port: Option<Port>,
    /// Who logs in.
    pub user: Option<UserName>,
    /// With which key.
    pub identity_file: Option<FilePath>,
    /// Where the hive listens on that machine; absent: the system chooses for
    /// one that is installed, and 9000 for any other.
    pub hive_port: Option<Port>,
    /// The folder, on this machine, with the programs that are put there;
    /// absent: this build's.
    pub binary_path: Option<PathBuf>,
    /// The file with the token that a hive wants to see which was not
    /// installed from here.
    pub token_file: Option<PathBuf>,
}

impl Reach {
    /// A hive at an address of its own; refused where everybody on the way
    /// could read its token, unless `is_permitted` by what is called `permit`.
    pub(crate) fn http(
        url: BaseUrl,
        token_file: Option<PathBuf>,
        ca_file: Option<PathBuf>,
        (permit, is_permitted): (&str, bool),
    ) -> Result<Self, String> {
        if token_file.is_some() && url.is_open() && !is_permitted {
            return Err(format!(
                "its token would be sent to {url} for everybody on the way to read: use https:// \
                 or ssh; where the network itself keeps it secret, {permit}"
            ));
        }
        if ca_file.is_some() && !url.is_https() {
            return Err(format!("{url} shows no certificate that its CA file could vouch for"));
        }
        Ok(Self::Http { url, token_file, ca_file })
    }

    fn shows_token_openly(&self) -> bool {
        matches!(self, Self::Http { url, token_file: Some(_), .. } if url.is_open())
    }
}

impl SshTarget {
    /// The machine of this name, everything else as ssh has it.
    pub fn new(host_name: HostName) -> Self {
        Self {
            host_name,
            port: None,
            user: None,
            identity_file: None,
            hive_port: None,
            binary_path: None,
            token_file: None,
        }
    }

    /// The alias that a machine goes by which was named `user@host:port`.
    pub fn alias(&self) -> Option<HiveId> {
        self.host_name.as_str().parse().ok()
    }
}

impl FromStr for SshTarget {
    type Err = InvalidValue;

    /// `[user@]host[:port]`, with brackets around an IPv6 address that a port
    /// follows. Every part is one of the types that `hives.conf` is read with.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (user, rest) = match text.rsplit_once('@') {
            Some((user, rest)) => (Some(user.parse()?), rest),
            None => (None, text),
        };
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => {
                let port = port.strip_prefix(':').unwrap_or_default();
                (host, Some(port.parse()?))
            }
            None => match rest.split_once(':') {
                // More than one colon: an IPv6 address and no port.
                Some((_, port)) if port.contains(':') => (rest, None),
                Some((host, port)) => (host, Some(port.parse()?)),
                None => (rest, None),
            },
        };
        Ok(Self { user, port, ..Self::new(host.parse()?) })
    }
}

impl Serialize for SshTarget {
    /// As it is written on a command line; the rest is in `hives.conf`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.destination())
    }
}

impl<'de> Deserialize<'de> for SshTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

impl fmt::Display for Reach {
    /// An address for a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { url, .. } => url.fmt(f),
            Self::Ssh(target) => target.fmt(f),
        }
    }
}

impl fmt::Display for SshTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ssh://{}", self.destination())
    }
}

impl SshTarget {
    /// `[user@]host[:port]`.
    pub fn destination(&self) -> String {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let host = match self.host_name.as_str() {
            v6 if v6.contains(':') => format!("[{v6}]"),
            name => name.to_owned(),
        };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{user}{host}{port}")
    }
}

impl Config {
    /// Says aloud whose tokens can be read on their way.
    pub(crate) fn warn_of_open_tokens(&mut self) {
        for (alias, entry) in self.hives.iter().filter(|(_, it)| it.reach.shows_token_openly()) {
            self.warnings.push(format!(
                "{}: the token of hive '{alias}' can be read by everybody on the way to {}",
                entry.origin, entry.reach
            ));
        }
    }

    /// Takes in what `hives.conf` declares. It wins over `config.toml`, and
    /// says so where it does.
    pub(crate) fn add_hives(&mut self, declared: BTreeMap<HiveId, HiveEntry>) {
        for (alias, entry) in declared {
            if alias.is_localhost() && matches!(entry.reach, Reach::Ssh(_)) {
                self.warnings.push(format!(
                    "{}: '{alias}' is this machine, whose hive is set up under [hive] in \
                     config.toml; the entry is not used",
                    entry.origin
                ));
                continue;
            }
            if let Some(other) = self.hives.get(&alias)
                && other.reach != entry.reach
            {
                self.warnings.push(format!(
                    "{}: hive '{alias}' is {} here and {} in {}; hives.conf counts",
                    entry.origin, entry.reach, other.reach, other.origin
                ));
            }
            self.hives.insert(alias, entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::Paths;

    fn load(config: &str, hives: &str) -> Config {
        let temp = tempfile::tempdir().unwrap();
        let dir = |name| temp.path().join(name);
        let paths = Paths {
            config_dir: temp.path().to_owned(),
            data_dir: dir("data"),
            cache_dir: dir("cache"),
        };
        fs::write(paths.config_file(), config).unwrap();
        fs::write(paths.hives_file(), hives).unwrap();
        Config::load(&paths).unwrap()
    }

    #[test]
    fn both_files_are_read_and_hives_conf_wins_aloud() {
        let config = load(
            "[hives.box]\nurl = \"http://10.0.0.1:9000\"\n\n[hives.attic]\nurl = \"http://a:1\"\n",
            "Host box\n  HostName 10.0.0.2\n  User ada\nHost cellar\n  Url http://c:9000\n",
        );
        let reached: Vec<_> =
            config.hives.iter().map(|(id, entry)| format!("{id} {}", entry.reach)).collect();
        assert_eq!(reached, ["attic http://a:1", "box ssh://ada@10.0.0.2", "cellar http://c:9000"]);
        let [clash] = config.warnings.as_slice() else { panic!("{:?}", config.warnings) };
        assert!(clash.contains("hives.conf:1: hive 'box' is ssh://ada@10.0.0.2 here"), "{clash}");
        assert!(clash.contains("and http://10.0.0.1:9000 in"), "{clash}");
        assert!(clash.contains("config.toml:1; hives.conf counts"), "{clash}");
    }

    #[test]
    fn the_same_thing_said_twice_is_no_clash() {
        let config = load("[hives.box]\nurl = \"http://a:1\"\n", "Host box\nUrl http://a:1/\n");
        assert_eq!(config.warnings, [] as [&str; 0]);
        assert!(config.hives.values().all(|entry| entry.origin.file.ends_with("hives.conf")));
    }

    #[test]
    fn this_machine_is_not_reached_over_ssh_and_that_is_said() {
        let config = load("", "Host localhost\n  HostName 127.0.0.1\n  HivePort 8081\n");
        assert!(config.hives.is_empty());
        assert!(config.warnings[0].contains("hives.conf:1: 'localhost' is this machine"));
    }

    #[test]
    fn a_token_that_others_could_read_is_refused_and_where_it_is_permitted_that_is_said() {
        let toml = |text: &str| Config::parse(Path::new("/c/config.toml"), text);
        let open = "[hives.box]\nurl = \"http://10.0.0.1:9000\"\ntoken_file = \"t\"\n";
        let error = toml(open).unwrap_err().to_string();
        assert!(error.starts_with("/c/config.toml:3: its token would be sent"), "{error}");
        assert!(error.contains("`insecure_http = true`"), "{error}");
        let conf = |text| crate::hives_conf::parse(Path::new("/c/hives.conf"), text);
        let error = conf("Host box\nUrl http://box:9000\nTokenFile t\n").unwrap_err().to_string();
        assert!(error.starts_with("/c/hives.conf:3: its token would be sent"), "{error}");
        assert!(error.contains("`InsecureHttp yes`"), "{error}");

        let permitted = load("", "Host box\nUrl http://box:9000\nTokenFile t\nInsecureHttp yes\n");
        assert!(permitted.warnings[0].contains("the token of hive 'box' can be read"));
        for harmless in
            ["http://127.0.0.1:9000", "http://[::1]:9", "http://localhost:9", "https://b"]
        {
            let config = load("", &format!("Host box\nUrl {harmless}\nTokenFile t\n"));
            assert_eq!(config.warnings, [] as [&str; 0], "{harmless}");
        }
    }

    #[test]
    fn an_authority_vouches_for_https_alone() {
        let conf = |text| crate::hives_conf::parse(Path::new("/c/hives.conf"), text);
        let hives = conf("Host box\nUrl https://box\nCaFile box.pem\n").unwrap();
        let Reach::Http { ca_file, .. } = &hives.values().next().unwrap().reach else { panic!() };
        assert_eq!(ca_file.as_deref(), Some(Path::new("/c/box.pem")));
        let error = conf("Host box\nUrl http://box:9\nCaFile box.pem\n").unwrap_err().to_string();
        assert!(error.starts_with("/c/hives.conf:3: http://box:9 shows no certificate"), "{error}");
        let error = conf("Host box\nInsecureHttp maybe\n").unwrap_err().to_string();
        assert!(error.contains("`InsecureHttp` must be `yes` or `no`"), "{error}");
    }

    #[test]
    fn a_mistake_in_hives_conf_is_refused_like_one_in_config_toml() {
        let error = crate::hives_conf::parse(Path::new("/c/hives.conf"), "Host a\n\nPrt 1\n");
        let said = error.unwrap_err().to_string();
        assert_eq!(said, "/c/hives.conf:3: unknown keyword \"Prt\"; did you mean `Port`?");
    }

    #[test]
    fn a_machine_on_a_command_line_is_parsed_into_its_parts_and_back() {
        for text in ["box", "ada@box", "box:2222", "ada@box.lan:22", "ada@[::1]:22", "[fe80::1]"] {
            let target: SshTarget = text.parse().unwrap();
            assert_eq!(target.destination(), text);
        }
        assert_eq!("::1".parse::<SshTarget>().unwrap().destination(), "[::1]");
        for hostile in [
            "",
            "@",
            "ada@",
            "@box",
            "box:",
            "box:0",
            "box:22:",
            "-oProxyCommand=x",
            "a b",
            "box;id",
            "ada@-box",
            "-l@box",
            "box:%h",
            "$(id)@box",
            "box\n",
            "ada@box:22 x",
            "[::1]22",
            "a@b@c/",
            "box:+22",
            "ssh://box",
        ] {
            assert!(hostile.parse::<SshTarget>().is_err(), "{hostile:?}");
        }
    }

    #[test]
    fn an_ipv6_address_keeps_its_brackets() {
        let config =
            load("", "Host a\nHostName ::1\nPort 2222\nHost b\nHostName ::1\nTransport http\n");
        let reached: Vec<_> = config.hives.values().map(|it| it.reach.to_string()).collect();
        assert_eq!(reached, ["ssh://[::1]:2222", "http://[::1]:9000"]);
    }
}
