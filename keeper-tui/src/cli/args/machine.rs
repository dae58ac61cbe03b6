//! A machine on the command line: what it is called, and how it is reached.

use std::{path::PathBuf, str::FromStr};

use clap::Args;
use config::SshTarget;
use protocol::HiveId;

/// `hive install`
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// Which machine, and how it is reached
    #[command(flatten)]
    pub reach: Reach,
    /// The folder with the programs for that machine [default: as hives.conf
    /// says, or this build's]
    #[arg(long, value_name = "DIR")]
    pub binary_path: Option<PathBuf>,
}

/// A machine that is reached over ssh.
#[derive(Debug, Args)]
pub struct Reach {
    /// An alias of hives.conf, a host of ~/.ssh/config, or `[user@]host[:port]`
    #[arg(value_name = "MACHINE")]
    pub machine: Machine,
    /// Where it is, if the alias does not say
    #[arg(long, value_name = "[USER@]HOST[:PORT]")]
    pub ssh: Option<SshTarget>,
    /// Accept its host key if this is the key's fingerprint
    #[arg(long, value_name = "SHA256:…")]
    pub host_key: Option<String>,
}

/// What a machine is called, and where it is if that says more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The alias it has or gets.
    pub alias: HiveId,
    /// `[user@]host[:port]`, when it is more than an alias.
    pub target: Option<SshTarget>,
}

impl FromStr for Machine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(alias) = text.parse() {
            return Ok(Self { alias, target: None });
        }
        let target: SshTarget = text
            .parse()
            .map_err(|error| format!("must be an alias or [user@]host[:port]; that {error}"))?;
        let alias = target.alias().ok_or("this address is no alias: give it one, and --ssh")?;
        Ok(Self { alias, target: Some(target) })
    }
}
