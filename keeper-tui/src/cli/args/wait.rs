//! What is waited for, and until when.

use std::{fmt, str::FromStr};

use clap::{Args, ValueEnum};
use protocol::{HiveId, JobId, ModelRef, WorkerId};

use crate::cli::names;

/// `wait`
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// For what: worker/ID, hive/ALIAS, job/ID or model/MODEL
    #[arg(value_name = "KIND/NAME", add = names::targets())]
    pub target: Target,
    /// Until it is so [default: done for a job, ready for the rest]
    #[arg(long = "for", value_name = "CONDITION", value_enum)]
    pub condition: Option<Condition>,
    /// Where a model is looked for
    #[arg(long, value_name = "ALIAS", default_value = "localhost", add = names::hives())]
    pub hive: HiveId,
}

/// What is waited for, as `kind/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A machine.
    Hive(HiveId),
    /// A worker.
    Worker(WorkerId),
    /// A job.
    Job(JobId),
    /// A model on a machine's disk.
    Model(ModelRef),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let must = "must be worker/ID, hive/ALIAS, job/ID or model/MODEL";
        let (kind, name) = text.split_once('/').ok_or_else(|| must.to_owned())?;
        let wrong = |error: &dyn fmt::Display| error.to_string();
        match kind {
            "hive" => name.parse().map(Self::Hive).map_err(|error| wrong(&error)),
            "worker" => name.parse().map(Self::Worker).map_err(|error| wrong(&error)),
            "job" => name.parse().map(Self::Job).map_err(|error| wrong(&error)),
            "model" => name.parse().map(Self::Model).map_err(|error| wrong(&error)),
            _ => Err(must.to_owned()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hive(id) => write!(f, "hive/{id}"),
            Self::Worker(id) => write!(f, "worker/{id}"),
            Self::Job(id) => write!(f, "job/{id}"),
            Self::Model(id) => write!(f, "model/{id}"),
        }
    }
}

/// `--for`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Condition {
    /// It can be used
    Ready,
    /// It does not run, or is not there
    Gone,
    /// A job has come to a good end
    Done,
}
