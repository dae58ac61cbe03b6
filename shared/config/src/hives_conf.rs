//! `hives.conf`: the machines, in the manner of `~/.ssh/config`.
//!
//! ```text
//! Host box attic           the aliases that the settings below are for
//!     HostName 10.0.0.7
//!     User ada
//! Host *                   for all of them, where nothing above has said it
//!     HivePort 9000
//! ```
//!
//! As ssh has it, the first value found for a setting counts, blocks are looked
//! at from top to bottom, and what stands before the first `Host` is for all.
//! What ssh knows and this does not is refused by name and never skipped: a
//! `Match` read as if it were not there would send work to the wrong machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    path::Path,
    str::FromStr,
};

use protocol::{HiveId, routes, suggest::nearest};

use crate::{
    BaseUrl, ConfigError,
    hives::{HiveEntry, Origin, Reach, SshTarget},
    values::{FilePath, HostName, InvalidValue, Port, Transport, UserName, YesNo},
    words::{self, Words},
};

/// Aliases in one file; a fleet beyond this is not kept in a text file.
const ALIASES_MAX: usize = 1_000;

const KEYWORDS: [&str; 12] = [
    "Host",
    "HostName",
    "Port",
    "User",
    "IdentityFile",
    "HivePort",
    "BinaryPath",
    "Transport",
    "Url",
    "TokenFile",
    "CaFile",
    "InsecureHttp",
];

/// The hives that `text`, which stands in the file `path`, declares.
pub fn parse(path: &Path, text: &str) -> Result<BTreeMap<HiveId, HiveEntry>, ConfigError> {
    Blocks::read(path, text)?.resolve(path)
}

/// How a machine is reached of which nothing is known but its alias.
pub(crate) fn reach_by_alias(alias: &HiveId, path: &Path) -> Result<Reach, ConfigError> {
    Settings::default().reach(alias, path, 1)
}

/// A value and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Set<T> {
    value: T,
    line: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Settings {
    host_name: Option<Set<HostName>>,
    port: Option<Set<Port>>,
    user: Option<Set<UserName>>,
    identity_file: Option<Set<FilePath>>,
    hive_port: Option<Set<Port>>,
    binary_path: Option<Set<FilePath>>,
    transport: Option<Set<Transport>>,
    url: Option<Set<BaseUrl>>,
    token_file: Option<Set<FilePath>>,
    ca_file: Option<Set<FilePath>>,
    insecure_http: Option<Set<YesNo>>,
}

/// Whom a block is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    All,
    These(BTreeSet<HiveId>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    hosts: Hosts,
    settings: Settings,
}

/// The file as it stands there.
#[derive(Debug, Default)]
struct Blocks {
    blocks: Vec<Block>,
    /// The first line that names each alias.
    aliases: BTreeMap<HiveId, usize>,
}

impl Blocks {
    fn read(path: &Path, text: &str) -> Result<Self, ConfigError> {
        // What stands before the first `Host` is for all.
        let mut file = Self::default();
        file.blocks.push(Block { hosts: Hosts::All, settings: Settings::default() });
        let mut mentions = 0;
        // Editors of another system put a mark before the first line.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (line, content) in (1..).zip(text.lines()) {
            let refuse = |problem: String| ConfigError::invalid(path, line, problem);
            let Some(words) = words::cut(content).map_err(refuse)? else { continue };
            if words.keyword.eq_ignore_ascii_case("Host") {
                mentions += words.values.len();
                if mentions > ALIASES_MAX {
                    return Err(refuse(format!("more than {ALIASES_MAX} hosts in one file")));
                }
                let hosts = hosts(&words.values).map_err(refuse)?;
                if let Hosts::These(aliases) = &hosts {
                    for alias in aliases {
                        file.aliases.entry(alias.clone()).or_insert(line);
                    }
                }
                file.blocks.push(Block { hosts, settings: Settings::default() });
            } else if let Some(block) = file.blocks.last_mut() {
                block.settings.set(&words, line).map_err(refuse)?;
            }
        }
        Ok(file)
    }

    fn resolve(&self, path: &Path) -> Result<BTreeMap<HiveId, HiveEntry>, ConfigError> {
        let entry = |(alias, line): (&HiveId, &usize)| {
            let mut settings = Settings::default();
            for block in &self.blocks {
                let is_meant = match &block.hosts {
                    Hosts::All => true,
                    Hosts::These(aliases) => aliases.contains(alias),
                };
                if is_meant {
                    settings.fill_from(&block.settings);
                }
            }
            let reach = settings.reach(alias, path, *line)?;
            let origin = Origin { file: path.to_owned(), line: *line };
            Ok((alias.clone(), HiveEntry { reach, origin }))
        };
        self.aliases.iter().map(entry).collect()
    }
}

fn hosts(values: &[String]) -> Result<Hosts, String> {
    if let [all] = values
        && all == "*"
    {
        return Ok(Hosts::All);
    }
    if values.is_empty() {
        return Err("`Host` needs the alias of a machine, or `*` for all".to_owned());
    }
    if let Some(pattern) = values.iter().find(|value| value.contains(['*', '?', '!'])) {
        let shown: String = pattern.chars().take(80).collect();
        return Err(format!(
            "`Host` understands no pattern but a single `*`, got {shown:?}: name each machine"
        ));
    }
    let aliases = values.iter().map(|value| {
        value.parse().map_err(|error: protocol::ids::InvalidId| format!("`Host` {error}"))
    });
    Ok(Hosts::These(aliases.collect::<Result<_, _>>()?))
}

impl Settings {
    /// Takes one line in. The first value counts, also within a block.
    fn set(&mut self, words: &Words, line: usize) -> Result<(), String> {
        let keyword = KEYWORDS.into_iter().find(|it| it.eq_ignore_ascii_case(&words.keyword));
        let Some(keyword) = keyword else { return Err(unknown(&words.keyword)) };
        let [value] = words.values.as_slice() else {
            let count = words.values.len();
            return Err(format!("`{keyword}` takes one value, got {count}; put \"…\" around it"));
        };
        match keyword {
            "HostName" => first(&mut self.host_name, keyword, value, line),
            "Port" => first(&mut self.port, keyword, value, line),
            "User" => first(&mut self.user, keyword, value, line),
            "IdentityFile" => first(&mut self.identity_file, keyword, value, line),
            "HivePort" => first(&mut self.hive_port, keyword, value, line),
            "BinaryPath" => first(&mut self.binary_path, keyword, value, line),
            "Transport" => first(&mut self.transport, keyword, value, line),
            "Url" => first(&mut self.url, keyword, value, line),
            "TokenFile" => first(&mut self.token_file, keyword, value, line),
            "CaFile" => first(&mut self.ca_file, keyword, value, line),
            "InsecureHttp" => first(&mut self.insecure_http, keyword, value, line),
            _ => Err(unknown(keyword)),
        }
    }

    fn fill_from(&mut self, later: &Self) {
        fn fill<T: Clone>(mine: &mut Option<T>, later: &Option<T>) {
            if mine.is_none() {
                mine.clone_from(later);
            }
        }
        fill(&mut self.host_name, &later.host_name);
        fill(&mut self.port, &later.port);
        fill(&mut self.user, &later.user);
        fill(&mut self.identity_file, &later.identity_file);
        fill(&mut self.hive_port, &later.hive_port);
        fill(&mut self.binary_path, &later.binary_path);
        fill(&mut self.transport, &later.transport);
        fill(&mut self.url, &later.url);
        fill(&mut self.token_file, &later.token_file);
        fill(&mut self.ca_file, &later.ca_file);
        fill(&mut self.insecure_http, &later.insecure_http);
    }

    /// What the settings of one alias amount to.
    fn reach(self, alias: &HiveId, path: &Path, line: usize) -> Result<Reach, ConfigError> {
        let transport = match (&self.transport, &self.url) {
            (Some(transport), Some(url)) if transport.value == Transport::Ssh => {
                let problem = format!(
                    "`Url` is not for '{alias}', whose `Transport` is ssh (line {}): take one of \
                     them away",
                    transport.line
                );
                return Err(ConfigError::invalid(path, url.line, problem));
            }
            (Some(transport), _) => transport.value,
            (None, Some(_)) => Transport::Http,
            (None, None) => Transport::Ssh,
        };
        let host_name = match self.host_name {
            Some(host_name) => host_name.value,
            // As ssh has it, an alias is its own name. It passes for one: ids
            // are the narrower type.
            None => alias.as_str().parse().map_err(|error: InvalidValue| {
                ConfigError::invalid(path, line, format!("`HostName` of '{alias}' {error}"))
            })?,
        };
        let hive_port = self.hive_port.map(|set| set.value);
        let said_at = self.token_file.as_ref().or(self.ca_file.as_ref()).map_or(line, |it| it.line);
        let token_file = self.token_file.map(|file| file.value.against(path));
        if transport == Transport::Ssh {
            return Ok(Reach::Ssh(SshTarget {
                host_name,
                port: self.port.map(|set| set.value),
                user: self.user.map(|set| set.value),
                identity_file: self.identity_file.map(|set| set.value),
                hive_port,
                binary_path: self.binary_path.map(|file| file.value.against(path)),
                token_file,
            }));
        }
        let url = match self.url {
            Some(url) => url.value,
            None => {
                BaseUrl::http(host_name.as_str(), hive_port.map_or(routes::HIVE_PORT, Port::get))
                    .map_err(|error| {
                        ConfigError::invalid(path, line, format!("`HostName` of '{alias}' {error}"))
                    })?
            }
        };
        let ca_file = self.ca_file.map(|file| file.value.against(path));
        let is_permitted = self.insecure_http.is_some_and(|set| set.value == YesNo::Yes);
        Reach::http(url, token_file, ca_file, ("`InsecureHttp yes`", is_permitted))
            .map_err(|problem| ConfigError::invalid(path, said_at, problem))
    }
}

fn first<T: FromStr<Err: Display>>(
    place: &mut Option<Set<T>>,
    keyword: &str,
    text: &str,
    line: usize,
) -> Result<(), String> {
    // Checked even when it does not count: nobody sees which one does.
    let value = text.parse().map_err(|error| format!("`{keyword}` {error}"))?;
    place.get_or_insert(Set { value, line });
    Ok(())
}

fn unknown(keyword: &str) -> String {
    let shown: String = keyword.chars().take(40).collect();
    match shown.to_ascii_lowercase().as_str() {
        "match" => "`Match` is not understood here: its conditions are for ssh and belong in \
                    ~/.ssh/config; give each machine a `Host` of its own"
            .to_owned(),
        "include" => "`Include` is not understood here: this file is read alone, so that what \
                      it shows is all there is; copy the hosts into it"
            .to_owned(),
        _ => match nearest(&shown, KEYWORDS) {
            Some(meant) => format!("unknown keyword {shown:?}; did you mean `{meant}`?"),
            None => format!(
                "unknown keyword {shown:?}; known are {}. What only ssh needs belongs in \
                 ~/.ssh/config",
                KEYWORDS.map(|keyword| format!("`{keyword}`")).join(", ")
            ),
        },
    }
}

#[cfg(test)]
mod tests;
