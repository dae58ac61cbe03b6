use std::fmt::Write as _;

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;

fn read(text: &str) -> Result<BTreeMap<HiveId, HiveEntry>, ConfigError> {
    parse(Path::new("/c/hives.conf"), text)
}

#[track_caller]
fn refusal(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

fn ssh(text: &str, alias: &str) -> SshTarget {
    let id: HiveId = alias.parse().unwrap();
    match read(text).unwrap().remove(&id).unwrap().reach {
        Reach::Ssh(target) => target,
        reach @ Reach::Http { .. } => panic!("{reach}"),
    }
}

#[test]
fn a_host_has_its_settings_whatever_their_case_and_spelling() {
    let target = ssh(
        "# mine\nHOST box\n  hostname=10.0.0.7\n\tPort = 2222\n  USER \"ada\" # me\n\
         identityfile ~/.ssh/id\nHivePort 9001\nBinaryPath /opt/rbee/rbee-hive\n",
        "box",
    );
    assert_eq!(target.to_string(), "ssh://ada@10.0.0.7:2222");
    assert_eq!(target.hive_port.unwrap().get(), 9001);
    assert_eq!(target.identity_file.unwrap().as_str(), "~/.ssh/id");
    assert_eq!(target.binary_path.unwrap(), Path::new("/opt/rbee/rbee-hive"));
}

#[test]
fn what_is_not_said_is_the_default_or_left_to_ssh() {
    let target = ssh("Host box\n", "box");
    assert_eq!(target.host_name.as_str(), "box");
    assert_eq!((target.port, target.hive_port), (None, None));
    assert_eq!((target.user, target.binary_path, target.token_file), (None, None, None));
}

#[test]
fn the_first_value_counts_as_in_ssh() {
    let text = "User before\nHost box attic\nHostName one\nHostName two\nUser never\nPort 1\n\
                Host box\nPort 2\nHivePort 3\nHost *\nHivePort 4\nBinaryPath /late\n";
    let target = ssh(text, "box");
    assert_eq!(target.to_string(), "ssh://before@one:1");
    assert_eq!(target.hive_port.unwrap().get(), 3);
    assert_eq!(ssh(text, "attic").hive_port.unwrap().get(), 4);
    assert_eq!(ssh(text, "attic").binary_path.unwrap(), Path::new("/late"));
    // Defaults that stand first are no defaults.
    assert_eq!(ssh("Host *\nPort 1\nHost box\nPort 2\n", "box").port.unwrap().get(), 1);
}

#[test]
fn an_alias_is_where_it_was_first_named() {
    let hives = read("\nHost a b\nHost b c\n").unwrap();
    let lines: Vec<_> = hives.values().map(|entry| entry.origin.line).collect();
    assert_eq!(lines, [2, 2, 3]);
    assert_eq!(hives.values().next().unwrap().origin.to_string(), "/c/hives.conf:2");
}

#[test]
fn a_hive_of_its_own_address_needs_no_ssh() {
    let reach = |text| read(text).unwrap().into_values().next().unwrap().reach;
    let url = |text| reach(text).to_string();
    assert_eq!(url("Host a\nUrl https://a.lan:9443/\n"), "https://a.lan:9443");
    assert_eq!(url("Host a\nTransport http\nHostName 10.0.0.7\n"), "http://10.0.0.7:9000");
    assert_eq!(url("Host a\nTransport http\nHostName fe80::1\nHivePort 1\n"), "http://[fe80::1]:1");
    let Reach::Http { token_file, .. } = reach("Host a\nUrl https://a\nTokenFile a.token\n") else {
        panic!("not http");
    };
    assert_eq!(token_file.unwrap(), Path::new("/c/a.token"));
    assert_eq!(
        refusal("Host a\nTransport ssh\nUrl http://a\n"),
        "/c/hives.conf:3: `Url` is not for 'a', whose `Transport` is ssh (line 2): take one of \
         them away"
    );
    assert!(refusal("Host a\nHostName ::1::2::\n").contains(":2: `HostName` must be"));
}

#[test]
fn what_ssh_knows_and_this_does_not_is_refused_by_name() {
    for (text, said) in [
        ("Host a\nMatch host b\n", ":2: `Match` is not understood here"),
        ("match all\n", ":1: `Match` is not understood here"),
        ("INCLUDE=other\n", ":1: `Include` is not understood here"),
        ("Host *.lan\n", ":1: `Host` understands no pattern but a single `*`, got \"*.lan\""),
        ("Host a !b\n", "got \"!b\": name each machine"),
        ("Host * a\n", "no pattern but a single `*`"),
        ("Host a\nProxyJump b\n", ":2: unknown keyword \"ProxyJump\"; known are `Host`"),
        ("Host a\nHostNmae b\n", "did you mean `HostName`?"),
        ("Hosts a\n", "did you mean `Host`?"),
    ] {
        let refused = refusal(text);
        assert!(refused.starts_with("/c/hives.conf:") && refused.contains(said), "{refused}");
    }
}

#[test]
fn a_value_that_could_become_an_argument_is_refused_with_its_field_and_line() {
    for (line, said) in [
        ("HostName -oProxyCommand=id", "`HostName` must be an IP address or a host name"),
        ("HostName \"a b\"", "`HostName` must be an IP address or a host name"),
        ("HostName a%h", "`HostName` must be an IP address or a host name"),
        ("HostName a;id", "`HostName` must be an IP address or a host name"),
        ("User $(id)", "`User` must be a user name"),
        ("User -l", "`User` must be a user name"),
        ("Port -22", "`Port` must be a port from 1 to 65535, got \"-22\""),
        ("Port 22 23", "`Port` takes one value, got 2"),
        ("Port", "`Port` takes one value, got 0"),
        ("HivePort 70000", "`HivePort` must be a port"),
        ("BinaryPath \"/opt/a b\"", "`BinaryPath` must be a path"),
        ("BinaryPath /bin/sh;id", "`BinaryPath` must be a path"),
        ("IdentityFile --", "`IdentityFile` must be a path"),
        ("TokenFile `id`", "`TokenFile` must be a path"),
        ("Transport carrier-pigeon", "`Transport` must be `ssh` or `http`"),
        ("Url http://user:secret@a", "`Url` must be an address"),
        ("User \"ada", "a double quote is opened and not closed"),
        ("Host -a", "`Host` must be a host alias"),
        ("Host a/b", "`Host` must be a host alias"),
        ("Host", "`Host` needs the alias of a machine"),
    ] {
        let refused = refusal(&format!("Host box\n\n{line}\n"));
        assert!(refused.starts_with("/c/hives.conf:3: "), "{refused}");
        assert!(refused.contains(said), "{refused}");
        // Also where another value counts, because nobody sees which one does.
        if !line.starts_with("Host ") && line != "Host" {
            let shadowed = format!("Host b\nHostName a\nUser a\nPort 1\nHivePort 1\n{line}\n");
            assert!(read(&shadowed).is_err(), "{line}");
        }
    }
}

#[test]
fn a_file_of_too_many_hosts_is_refused() {
    let hosts = |count| (0..count).map(|n| format!("Host h{n}\n")).collect::<String>();
    assert_eq!(read(&hosts(ALIASES_MAX)).unwrap().len(), ALIASES_MAX);
    assert!(refusal(&hosts(ALIASES_MAX + 1)).contains(":1001: more than 1000 hosts"));
}

#[test]
fn the_example_file_declares_nothing_and_is_alive_without_its_signs() {
    let example = crate::examples::HIVES;
    assert_eq!(read(example).unwrap(), BTreeMap::new());
    let uncommented: String = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with("Host ") || rest.starts_with("    ") => {
                format!("{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let hives = read(&uncommented).unwrap();
    assert_eq!(hives.len(), 2);
    for keyword in KEYWORDS {
        let is_shown = uncommented.lines().any(|line| line.trim_start().starts_with(keyword));
        assert!(is_shown, "`{keyword}` is not in the example");
    }
}

/// One block as a person might have written it.
#[derive(Debug, Clone)]
struct Written {
    hosts: Vec<String>,
    settings: Vec<(usize, String)>,
    spelling: u8,
}

fn block() -> impl Strategy<Value = Written> {
    let alias = "[a-z0-9][a-z0-9._-]{0,8}";
    let setting = prop_oneof![
        "[a-z0-9][a-z0-9._-]{0,12}|::[0-9a-f]{1,4}".prop_map(|value| (1, value)),
        (1..=u16::MAX).prop_map(|value| (2, value.to_string())),
        "[a-z_][a-z0-9._-]{0,12}".prop_map(|value| (3, value)),
        "(~/|/)?[a-z0-9._+,@][a-z0-9/._+,@-]{0,12}".prop_map(|value| (4, value)),
        (1..=u16::MAX).prop_map(|value| (5, value.to_string())),
        "/[a-z0-9/._+,@-]{0,12}".prop_map(|value| (6, value)),
        select(vec!["ssh", "http"]).prop_map(|value| (7, value.to_owned())),
        "http://[a-z]{1,8}:[1-9][0-9]{0,3}".prop_map(|value| (8, value)),
        "/[a-z0-9/._+,@-]{0,12}".prop_map(|value| (10, value)),
        select(vec!["yes", "no"]).prop_map(|value| (11, value.to_owned())),
    ];
    (option::of(vec(alias, 1..4)), vec(setting, 0..6), any::<u8>()).prop_map(
        |(hosts, settings, spelling)| Written {
            hosts: hosts.unwrap_or_else(|| vec!["*".to_owned()]),
            settings,
            spelling,
        },
    )
}

fn print(blocks: &[Written]) -> String {
    let mut text = String::new();
    for block in blocks {
        let _ = writeln!(text, "Host {}", block.hosts.join("  "));
        for (nth, (keyword, value)) in block.settings.iter().enumerate() {
            let keyword = KEYWORDS[*keyword];
            let _ = match (usize::from(block.spelling) + nth) % 5 {
                0 => writeln!(text, "  {keyword} {value}"),
                1 => writeln!(text, "{}={value}", keyword.to_lowercase()),
                2 => writeln!(text, "\t{} = \"{value}\"", keyword.to_uppercase()),
                3 => writeln!(text, "\n# a word\n{keyword}\t\"{value}\" # and more\r"),
                _ => writeln!(text, "  {keyword}= {value}   "),
            };
        }
    }
    text
}

/// What was written, by a second and simpler reading: the first value of a
/// keyword in the block counts.
fn values(block: &Written) -> Vec<Option<String>> {
    (1..KEYWORDS.len())
        .map(|keyword| {
            let first = block.settings.iter().find(|(it, _)| *it == keyword);
            first.map(|(_, value)| value.clone())
        })
        .collect()
}

fn values_read(settings: &Settings) -> Vec<Option<String>> {
    fn text<T: ToString>(set: &Option<Set<T>>) -> Option<String> {
        set.as_ref().map(|set| set.value.to_string())
    }
    let transport = settings.transport.as_ref().map(|set| match set.value {
        Transport::Ssh => "ssh".to_owned(),
        Transport::Http => "http".to_owned(),
    });
    vec![
        text(&settings.host_name),
        text(&settings.port),
        text(&settings.user),
        text(&settings.identity_file),
        text(&settings.hive_port),
        text(&settings.binary_path),
        transport,
        text(&settings.url),
        text(&settings.token_file),
        text(&settings.ca_file),
        settings.insecure_http.as_ref().map(|set| match set.value {
            YesNo::Yes => "yes".to_owned(),
            YesNo::No => "no".to_owned(),
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_printed_in_any_spelling_is_read_back(blocks in vec(block(), 0..6)) {
        let text = print(&blocks);
        let read = Blocks::read(Path::new("/c/hives.conf"), &text).unwrap();
        prop_assert_eq!(read.blocks.len(), blocks.len() + 1);
        for (read, written) in read.blocks[1..].iter().zip(&blocks) {
            let hosts = match &read.hosts {
                Hosts::All => BTreeSet::from(["*".to_owned()]),
                Hosts::These(aliases) => aliases.iter().map(ToString::to_string).collect(),
            };
            prop_assert_eq!(hosts, written.hosts.iter().cloned().collect::<BTreeSet<_>>());
            prop_assert_eq!(values_read(&read.settings), values(written));
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = read(&text);
    }

    #[test]
    fn no_mixture_of_its_own_words_makes_the_parser_panic(
        words in vec(
            select(vec![
                "Host", "Match", "Include", "HostName", "Port", "Url", "Transport", "*", "!", "=",
                "\"", "#", "\n", "\r\n", " ", "\t", "-", "%h", "http://", "22", "box", "é", "\0",
            ]),
            0..60,
        ),
    ) {
        let _ = read(&words.concat());
    }
}
