//! Why ssh did not do it, and what the operator can do.

use std::fmt;

use super::text::one_line;

/// What kind of fault it is, for whoever decides whether to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SshFault {
    /// There is no `ssh` on this machine.
    NoSsh,
    /// The name of the machine is not known.
    UnknownHost,
    /// The machine cannot be reached.
    Unreachable,
    /// Nobody has accepted the machine's key yet.
    UnknownHostKey,
    /// The machine shows another key than it did before.
    ChangedHostKey,
    /// The login was refused.
    Login,
    /// The machine does not let us forward.
    Forward,
    /// It took too long.
    Slow,
    /// A script there failed, in its own words.
    Script,
    /// The connection ended.
    Gone,
    /// Anything else.
    Other,
}

/// Why something over ssh failed: a sentence, and a remedy where one is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SshError {
    /// What kind it is.
    pub fault: SshFault,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl SshError {
    /// An error without a remedy.
    pub fn new(fault: SshFault, message: impl Into<String>) -> Self {
        Self { fault, message: message.into(), hint: None }
    }

    /// Adds the remedy.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// `ssh` could not be started.
    pub(crate) fn start(error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::NotFound {
            return Self::new(SshFault::NoSsh, "there is no `ssh` on this machine")
                .with_hint("install an OpenSSH client, on Debian: apt-get install openssh-client");
        }
        Self::new(SshFault::Other, format!("`ssh` cannot be started: {error}"))
    }

    /// What ssh said when it could not connect to `target`.
    pub fn from_ssh(target: impl fmt::Display, stderr: &str) -> Self {
        let said = last_line(stderr);
        let has = |text: &str| stderr.contains(text);
        if has("REMOTE HOST IDENTIFICATION HAS CHANGED") {
            return Self::new(
                SshFault::ChangedHostKey,
                format!("{target} shows another host key than it did before: {said}"),
            )
            .with_hint(
                "somebody may be in between; only if the machine was set up anew, remove the old \
                 key with `ssh-keygen -R HOST` and try again",
            );
        }
        if has("Host key verification failed") || has("host key is known for") {
            return Self::new(
                SshFault::UnknownHostKey,
                format!("the host key of {target} is not known here"),
            );
        }
        if has("Permission denied") || has("Too many authentication failures") {
            return Self::new(SshFault::Login, format!("{target} refused the login: {said}"))
                .with_hint(
                    "the queen's ssh asks nobody for a password: put a key there with \
                     `ssh-copy-id`, name it with IdentityFile, or start the queen from a shell \
                     whose ssh-agent has it (SSH_AUTH_SOCK)",
                );
        }
        if has("Could not resolve hostname") {
            return Self::new(SshFault::UnknownHost, format!("{target}: {said}"))
                .with_hint("check the name; `rbee-keeper hive discover` lists those ssh knows");
        }
        let is_away = ["Connection refused", "timed out", "No route to host", "is unreachable"];
        if is_away.iter().any(|text| has(text)) {
            return Self::new(SshFault::Unreachable, format!("{target} cannot be reached: {said}"))
                .with_hint("is it on, and does its sshd listen at that port? `ssh -v` tells more");
        }
        if said.is_empty() {
            return Self::new(SshFault::Gone, format!("the connection to {target} ended"));
        }
        Self::new(SshFault::Other, format!("ssh to {target}: {said}"))
    }
}

/// The last line is what ssh ended over.
fn last_line(stderr: &str) -> String {
    let mut lines = stderr.lines().rev().map(one_line).filter(|line| !line.is_empty());
    lines.next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_says_becomes_a_kind_and_a_remedy() {
        for (stderr, fault, remedy) in [
            (
                "No ED25519 host key is known for [127.0.0.1]:2299 and you have requested strict \
                 checking.\r\nHost key verification failed.\r\n",
                SshFault::UnknownHostKey,
                "",
            ),
            (
                "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
                SshFault::ChangedHostKey,
                "ssh-keygen -R",
            ),
            ("ada@box: Permission denied (publickey).", SshFault::Login, "ssh-copy-id"),
            (
                "ssh: Could not resolve hostname bxo: Name or service not known",
                SshFault::UnknownHost,
                "hive discover",
            ),
            (
                "ssh: connect to host 10.0.0.7 port 22: Connection refused",
                SshFault::Unreachable,
                "sshd",
            ),
            ("ssh: connect to host x port 22: Connection timed out", SshFault::Unreachable, "on"),
            ("", SshFault::Gone, ""),
            ("something \u{1b}[2J else", SshFault::Other, ""),
        ] {
            let error = SshError::from_ssh("box", stderr);
            assert_eq!(error.fault, fault, "{stderr}");
            assert!(error.hint.clone().unwrap_or_default().contains(remedy), "{error:?}");
            assert!(!error.message.contains('\u{1b}'));
        }
    }
}
