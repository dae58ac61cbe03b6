//! The values of `hives.conf`, parsed where they are read.
//!
//! They end up in the arguments of `ssh` and, on the other machine, in front of
//! a shell. So each type lists the characters it takes, and everything that
//! could be an option, an expansion (`%h`, `$(…)`), a second word or a second
//! line is refused, whoever else might have caught it.

use std::{
    fmt,
    net::Ipv6Addr,
    num::NonZeroU16,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Why a value is refused; the sentence continues "must …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must {must}, got {got:?}")]
pub struct InvalidValue {
    must: &'static str,
    got: String,
}

impl InvalidValue {
    pub(super) fn new(must: &'static str, got: &str) -> Self {
        // A hostile value must not fill a terminal.
        const ECHO_MAX: usize = 80;
        Self { must, got: got.chars().take(ECHO_MAX).collect() }
    }
}

macro_rules! value {
    ($(#[$doc:meta])* $name:ident, $must:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The value as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidValue;

            fn from_str(text: &str) -> Result<Self, InvalidValue> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.to_owned())) } else { Err(InvalidValue::new($must, text)) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

value! {
    /// `HostName`: a name or an address of a machine.
    HostName,
    "be an IP address or a host name (letters, digits, `.`, `-`, `_`; a letter or a digit first; \
     at most 253)",
    |text| {
        let is_name = text.len() <= 253
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
        is_name || text.parse::<Ipv6Addr>().is_ok()
    }
}

value! {
    /// `User`: who logs in.
    UserName,
    "be a user name (letters, digits, `.`, `_`, `-`; a letter, a digit or `_` first; at most 64)",
    |text| {
        text.len() <= 64
            && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    }
}

value! {
    /// The path of a file: `BinaryPath`, `CaFile`, `IdentityFile`, `TokenFile`.
    FilePath,
    "be a path (letters, digits, `/`, `.`, `_`, `-`, `+`, `,`, `@`; not beginning with `-`; `~/` \
     only at its beginning; at most 1024)",
    |text| {
        let rest = text.strip_prefix("~/").unwrap_or(text);
        !rest.is_empty()
            && text.len() <= 1024
            && !rest.starts_with('-')
            && rest.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+,@".contains(c))
    }
}

impl FilePath {
    /// The file, when `file` says so: a relative path starts at its folder,
    /// because daemons run elsewhere.
    pub(super) fn against(&self, file: &Path) -> PathBuf {
        match (self.0.strip_prefix("~/"), std::env::home_dir()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => file.with_file_name("").join(&self.0),
        }
    }
}

/// `Port`, `HivePort`: 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(NonZeroU16);

impl Port {
    /// The number.
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

impl FromStr for Port {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        // `parse` alone would take a sign.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let port = text.parse().ok().filter(|_| digits).map(Self);
        port.ok_or_else(|| InvalidValue::new("be a port from 1 to 65535", text))
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `Transport`: how the queen reaches a hive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Through a connection of the system's `ssh`.
    Ssh,
    /// Straight.
    Http,
}

impl FromStr for Transport {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text.to_ascii_lowercase().as_str() {
            "ssh" => Ok(Self::Ssh),
            "http" => Ok(Self::Http),
            _ => Err(InvalidValue::new("be `ssh` or `http`", text)),
        }
    }
}

/// `InsecureHttp`: whether something is permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum YesNo {
    /// It is.
    Yes,
    /// It is not.
    No,
}

impl FromStr for YesNo {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text.to_ascii_lowercase().as_str() {
            "yes" => Ok(Self::Yes),
            "no" => Ok(Self::No),
            _ => Err(InvalidValue::new("be `yes` or `no`", text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What turns a value into something else on the way to a remote shell.
    const HOSTILE: [&str; 40] = [
        "",
        " ",
        "-",
        "-oProxyCommand=x",
        "--",
        "-v",
        "a b",
        "a\tb",
        "a\nb",
        "a\r",
        "a\0b",
        "\u{1b}[2J",
        "%h",
        "a%20b",
        "$(id)",
        "${HOME}",
        "$HOME",
        "`id`",
        "a;b",
        "a|b",
        "a&b",
        "a&&b",
        "a>b",
        "a<b",
        "(a)",
        "{a}",
        "a'b",
        "a\"b",
        "a\\b",
        "a*",
        "a?",
        "[a]",
        "!a",
        "#a",
        "a^b",
        "a\u{202e}b",
        "a\u{200b}b",
        "ä",
        "a=b\u{7f}",
        "\u{e0041}",
    ];

    #[test]
    fn nothing_that_a_shell_or_an_option_parser_would_read_is_a_value() {
        for text in HOSTILE {
            assert!(text.parse::<HostName>().is_err(), "host name {text:?}");
            assert!(text.parse::<UserName>().is_err(), "user {text:?}");
            assert!(text.parse::<FilePath>().is_err(), "path {text:?}");
            assert!(text.parse::<Port>().is_err(), "port {text:?}");
        }
        for path in ["~", "~root/x", "a/~/b", "~/-x", "~/"] {
            assert!(path.parse::<FilePath>().is_err(), "path {path:?}");
        }
        for host in ["user@host", "host/path", ".host", "_host", "a:1", "::1::2", "fe80::1%eth0"] {
            assert!(host.parse::<HostName>().is_err(), "host name {host:?}");
        }
    }

    #[test]
    fn what_people_write_passes() {
        for host in ["box", "box-1.lan", "192.168.1.2", "::1", "fe80::1", "a_b"] {
            assert!(host.parse::<HostName>().is_ok(), "{host}");
        }
        for user in ["ada", "_svc", "ada.lovelace", "ada-1"] {
            assert!(user.parse::<UserName>().is_ok(), "{user}");
        }
        for path in ["/usr/local/bin/rbee-hive", "~/.ssh/id_ed25519", "tokens/box.token", "./x"] {
            assert!(path.parse::<FilePath>().is_ok(), "{path}");
        }
        assert_eq!("SSH".parse(), Ok(Transport::Ssh));
    }

    #[test]
    fn a_port_is_a_number_and_nothing_around_it() {
        assert_eq!("65535".parse::<Port>().unwrap().get(), 65535);
        for text in ["0", "65536", "+22", "-22", "22.0", "0x16"] {
            assert!(text.parse::<Port>().is_err(), "{text}");
        }
    }
}
