//! `hive …`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use protocol::HiveId;

use super::machine::{InstallArgs, Reach};
use crate::cli::names;

/// `hive …`
#[derive(Debug, Subcommand)]
pub enum Hive {
    /// Start a machine's hive
    Start(Alias),
    /// Stop a machine's hive and its workers
    Stop(Alias),
    /// Whether a machine's hive runs and is well
    Status(Alias),
    /// Ask a machine again what it has
    Refresh(Alias),
    /// All known machines
    List,
    /// What is known of a machine
    Get(Alias),
    /// The machines that ~/.ssh/config names
    Discover,
    /// Whether a machine can be reached over ssh and used
    SshTest(Box<Reach>),
    /// Put a hive on a machine over ssh, and start it
    Install(Box<InstallArgs>),
    /// Replace the programs on a machine; its workers go on
    Update {
        /// The machine
        #[arg(value_name = "ALIAS")]
        alias: HiveId,
        /// The folder with the programs for that machine [default: as
        /// hives.conf says, or this build's]
        #[arg(long, value_name = "DIR")]
        binary_path: Option<PathBuf>,
        /// Also when they are older than those that are there
        #[arg(long)]
        allow_downgrade: bool,
    },
    /// Whether an installed hive is well, step by step
    Doctor {
        /// The machine
        #[arg(value_name = "ALIAS")]
        alias: HiveId,
    },
    /// Take a machine's hive away; models stay
    Uninstall {
        /// The machine
        #[arg(value_name = "ALIAS")]
        alias: HiveId,
        /// The models that it downloaded go as well; what other tools put into
        /// the hub's cache stays
        #[arg(long)]
        purge: bool,
        /// Only forget it: the machine is gone for good
        #[arg(long, conflicts_with = "purge")]
        forget: bool,
        /// The machine's alias once more, which answers the question
        #[arg(long, value_name = "ALIAS")]
        confirm: Option<HiveId>,
    },
}

/// Which machine.
#[derive(Debug, Args)]
pub struct Alias {
    /// The machine
    #[arg(value_name = "ALIAS", default_value = "localhost", add = names::hives())]
    pub alias: HiveId,
}
