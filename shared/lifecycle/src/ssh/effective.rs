//! What ssh makes of a machine's name, all of its files considered.

use std::{ffi::OsString, time::Duration};

use super::{
    connection::output,
    fault::{SshError, SshFault},
    text::one_line,
};

/// It reads files; a `Match exec` may run something.
const PATIENCE: Duration = Duration::from_secs(10);

/// The part of `ssh -G` that a person recognises a machine by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effective {
    /// Its name or address.
    pub host_name: Option<String>,
    /// Who logs in.
    pub user: Option<String>,
    /// Where its sshd listens.
    pub port: Option<u16>,
}

/// Asks ssh, with the arguments of [`super::argv::effective`].
pub async fn look(args: Vec<OsString>) -> Result<Effective, SshError> {
    let output = output(args, PATIENCE).await?;
    if !output.status.success() {
        let said = one_line(&String::from_utf8_lossy(&output.stderr));
        return Err(SshError::new(SshFault::Other, said));
    }
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

fn parse(text: &str) -> Effective {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        line.map(one_line).filter(|value| !value.is_empty())
    };
    Effective {
        host_name: value("hostname"),
        user: value("user"),
        port: value("port").and_then(|port| port.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_prints_is_read() {
        let seen =
            parse("host box\nuser ada\nhostname 10.0.0.7\nport 2222\nuserknownhostsfile x\n");
        assert_eq!(seen.user.as_deref(), Some("ada"));
        assert_eq!((seen.host_name.as_deref(), seen.port), (Some("10.0.0.7"), Some(2222)));
        assert_eq!(parse(""), Effective::default());
    }
}
