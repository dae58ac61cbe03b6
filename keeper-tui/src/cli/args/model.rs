//! `model …`

use clap::{Args, Subcommand};
use protocol::{HiveId, ModelRef, model::Revision};

use crate::cli::names;

/// `model …`
#[derive(Debug, Subcommand)]
pub enum Model {
    /// Fetch a model from the Hugging Face hub
    Download {
        /// What to fetch: `org/repo`, `org/repo:Q4_K_M`, or `org/repo:file.gguf`
        #[arg(value_name = "MODEL", add = names::models())]
        model: ModelRef,
        /// To which machine
        #[arg(long, value_name = "ALIAS", default_value = "localhost", add = names::hives())]
        hive: HiveId,
        /// Which branch, tag or commit [default: main]
        #[arg(long, value_name = "REVISION")]
        revision: Option<Revision>,
    },
    /// All models
    List {
        /// Only this machine's
        #[arg(long, value_name = "ALIAS", add = names::hives())]
        hive: Option<HiveId>,
    },
    /// What is known of a model
    Get(ModelOn),
    /// Remove a model from a machine's disk
    Delete {
        /// Which model, and where
        #[command(flatten)]
        model: ModelOn,
        /// The model's name once more, which answers the question
        #[arg(long, value_name = "MODEL", add = names::models())]
        confirm: Option<ModelRef>,
    },
    /// Where a model would fit, before anything is loaded
    Plan {
        /// Which model
        #[arg(value_name = "MODEL", add = names::models())]
        model: ModelRef,
        /// Only on this machine
        #[arg(long, value_name = "ALIAS", add = names::hives())]
        hive: Option<HiveId>,
        /// How many requests at once
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
        slots: u32,
        /// How many tokens its context holds [default: all that a worker can]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
        context_length: Option<u32>,
    },
}

/// Which model on which machine.
#[derive(Debug, Args)]
pub struct ModelOn {
    /// The model
    #[arg(value_name = "MODEL", add = names::models())]
    pub id: ModelRef,
    /// On which machine
    #[arg(long, value_name = "ALIAS", default_value = "localhost", add = names::hives())]
    pub hive: HiveId,
}
