//! The words of the command line.
//!
//! Values are parsed by the protocol's own types, so that a wrong one is
//! refused here with the flag's name, and the same rules hold as at the
//! queen's door.

mod hive;
mod infer;
mod machine;
mod model;
mod values;
mod wait;
mod worker;

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint, builder::FalseyValueParser};
use config::BaseUrl;
use protocol::{JobId, job::JobState, operation::Operation};

use self::values::{parse_duration, parse_job_state};
pub use self::{
    hive::{Alias, Hive},
    infer::InferArgs,
    machine::{InstallArgs, Machine, Reach},
    model::{Model, ModelOn},
    values::Shell,
    wait::{Condition, Target, WaitArgs},
    worker::{Engine, SpawnArgs, Worker},
};
use super::{
    exit::{Exit, Failure},
    names,
    output::Format,
    terminal::ColorChoice,
};
use crate::recording::Speed;

/// Run language models on your own machines, from one terminal.
#[derive(Debug, Parser)]
#[command(
    name = "rbee-keeper",
    version,
    long_about = "Run language models on your own machines, from one terminal.\n\n\
        Without a command: the dashboard on a terminal, and `status` anywhere else. \
        With --no-tui and a pipe or a file as standard input: the commands in it, one a line.\n\
        stdout is the answer; stderr is narration, progress and warnings.",
    after_help = "Exit codes: rbee-keeper help exit-codes"
)]
pub struct Cli {
    /// What every command understands.
    #[command(flatten)]
    pub options: Options,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Options {
    /// Never open the dashboard
    #[arg(long, global = true, env = "RBEE_NO_TUI", value_parser = FalseyValueParser::new())]
    pub no_tui: bool,
    /// The queen to talk to [default: the one on this machine]
    #[arg(long, global = true, value_name = "URL", env = "RBEE_QUEEN_URL")]
    pub queen: Option<BaseUrl>,
    /// How to write the answer
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT", default_value_t)]
    pub output: Format,
    /// Only the answer
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// More on stderr; twice: the program's own log as well
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// When to use colours
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    pub color: ColorChoice,
    /// Answer every question with yes
    #[arg(long, global = true)]
    pub yes: bool,
    /// Give up after this long, such as 500ms, 30s, 5m, 1h
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// What Ctrl-C does to the job that is being followed
    #[arg(long, global = true, value_enum, value_name = "WHAT", default_value_t)]
    pub on_interrupt: OnInterrupt,
    /// Print the job's id at once and do not follow it
    #[arg(long, global = true)]
    pub detach: bool,
    /// Refuse everything that would change something
    #[arg(long, global = true, env = "RBEE_READ_ONLY", value_parser = FalseyValueParser::new())]
    pub read_only: bool,
    /// Never the dashboard and no tables: what is and what changes, line by
    /// line, for screen readers
    #[arg(long, global = true)]
    pub plain: bool,
    /// With commands from standard input: go on after one that fails
    #[arg(long, global = true)]
    pub keep_going: bool,
}

/// `--on-interrupt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OnInterrupt {
    /// Cancel it; a second Ctrl-C leaves it alone
    #[default]
    Cancel,
    /// Leave it running
    Detach,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Generate text with a model
    Infer(Box<InferArgs>),
    /// The whole fleet at a glance
    Status {
        /// Go on with everything that changes, until Ctrl-C
        #[arg(long, short)]
        watch: bool,
    },
    /// Wait until something is so
    Wait(WaitArgs),
    /// The daemon that decides: start, stop, look
    #[command(subcommand, arg_required_else_help = true)]
    Queen(Queen),
    /// The daemon of each machine: start, stop, look
    #[command(subcommand, arg_required_else_help = true)]
    Hive(Hive),
    /// A model in a process: start, stop, look
    #[command(subcommand, arg_required_else_help = true)]
    Worker(Worker),
    /// A model on a machine's disk: download, look, delete, plan
    #[command(subcommand, arg_required_else_help = true)]
    Model(Model),
    /// What was asked of the fleet: list, follow, cancel, ask once more
    #[command(subcommand, arg_required_else_help = true)]
    Job(Job),
    /// The files that you write: where, whether they are right, the first ones
    #[command(subcommand, arg_required_else_help = true)]
    Config(ConfigCommand),
    /// Run the commands on standard input, one a line, as a shell quotes them
    #[command(visible_alias = "-")]
    Batch,
    /// Keep what the fleet does in a file, until Ctrl-C
    Record(RecordArgs),
    /// Play such a file, in the dashboard or line by line
    Replay(ReplayArgs),
    /// What a shell needs to complete commands and the fleet's names
    #[command(after_help = "bash:  echo 'source <(rbee-keeper completions bash)' >> ~/.bashrc\n\
        zsh:   echo 'source <(rbee-keeper completions zsh)' >> ~/.zshrc\n\
        fish:  rbee-keeper completions fish > ~/.config/fish/completions/rbee-keeper.fish")]
    Completions {
        /// Which shell
        #[arg(value_name = "SHELL", value_enum)]
        shell: Shell,
    },
    /// The manual: its first page, or all pages as files
    Man {
        /// Where the files go
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
    /// What the exit codes mean
    #[command(name = "exit-codes", about = "What the exit codes mean", long_about = exit_codes(), help_template = "{about}")]
    ExitCodes,
}

/// `queen …`
#[derive(Debug, Subcommand)]
pub enum Queen {
    /// Start a queen on this machine, if none runs
    Start,
    /// Stop the queen, and the hive she started here
    Stop {
        /// Leave the hive and its workers running
        #[arg(long)]
        keep_hives: bool,
    },
    /// Whether she runs and is well
    Status,
    /// Which build she is, and which one would be started
    Info,
    /// Build her program from the source of rbee and put it beside this one
    Rebuild(RebuildArgs),
}

/// `queen rebuild`
#[derive(Debug, Args)]
pub struct RebuildArgs {
    /// With the hive of this machine in her process, called without HTTP
    #[arg(long)]
    pub with_local_hive: bool,
    /// The folder with the source [default: where this program was built]
    #[arg(long, value_name = "DIR")]
    pub source: Option<PathBuf>,
    /// Then restart the queen that runs here; workers of this machine end with her hive
    #[arg(long)]
    pub restart: bool,
}

/// `record`
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// A file that is not there yet
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// End by itself after this long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Leave out what is generated
    #[arg(long)]
    pub no_tokens: bool,
}

/// `replay`
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// What `record` has written
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// How many times as fast as it was; 0: all at once
    #[arg(long, value_name = "N", default_value = "1")]
    pub speed: Speed,
}

/// `job …`
#[derive(Debug, Subcommand)]
pub enum Job {
    /// The newest jobs
    List {
        /// Only these: queued, running, done, failed, cancelled
        #[arg(long, value_name = "STATE", value_parser = parse_job_state)]
        state: Option<JobState>,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        limit: u32,
    },
    /// What a job has said so far
    Logs {
        /// The job
        #[arg(value_name = "ID", add = names::jobs())]
        id: JobId,
    },
    /// Follow a job from its beginning to its end
    Attach {
        /// The job
        #[arg(value_name = "ID", add = names::jobs())]
        id: JobId,
    },
    /// Ask for the same as a job that is over, as a new job
    Retry {
        /// The job
        #[arg(value_name = "ID", add = names::ended_jobs())]
        id: JobId,
    },
    /// Cancel jobs
    Cancel {
        /// The jobs
        #[arg(value_name = "ID", required = true, add = names::open_jobs())]
        ids: Vec<JobId>,
    },
}

/// `config …`
#[derive(Debug, Clone, Copy, Subcommand)]
#[command(after_help = "RBEE_CONFIG_DIR, RBEE_DATA_DIR and RBEE_CACHE_DIR override the \
    directories.")]
pub enum ConfigCommand {
    /// Where every file and directory is, and whether it exists
    Path,
    /// Read config.toml and hives.conf, name every mistake, list the machines
    Check,
    /// Make a config.toml and a hives.conf with comments; what is there stays
    Init,
    /// The dashboard's keys as they are now, yours in the place of the usual ones
    Keys,
}

impl Options {
    /// What a line of a batch does not say by itself is as it was said for the
    /// whole batch.
    #[must_use]
    pub fn within(self, whole: &Self, says: impl Fn(&str) -> bool) -> Self {
        let whole = whole.clone();
        Self {
            no_tui: true,
            queen: if says("queen") { self.queen } else { whole.queen },
            output: if says("output") { self.output } else { whole.output },
            quiet: self.quiet || whole.quiet,
            verbose: self.verbose.max(whole.verbose),
            color: if says("color") { self.color } else { whole.color },
            yes: self.yes || whole.yes,
            timeout: if says("timeout") { self.timeout } else { whole.timeout },
            on_interrupt: if says("on_interrupt") { self.on_interrupt } else { whole.on_interrupt },
            detach: self.detach || whole.detach,
            read_only: self.read_only || whole.read_only,
            plain: self.plain || whole.plain,
            keep_going: whole.keep_going,
        }
    }
}

impl Command {
    /// Whether it only looks. Everything else is refused by `--read-only`;
    /// what a batch holds is judged line by line.
    pub fn only_looks(&self) -> bool {
        match self {
            Self::Infer(_) => false,
            Self::Queen(queen) => matches!(queen, Queen::Status | Queen::Info),
            Self::Hive(hive) => matches!(hive, Hive::Status(_) | Hive::List | Hive::Get(_)),
            Self::Worker(worker) => !matches!(worker, Worker::Spawn(_) | Worker::Delete { .. }),
            Self::Model(model) => !matches!(model, Model::Download { .. } | Model::Delete { .. }),
            Self::Job(job) => !matches!(job, Job::Cancel { .. } | Job::Retry { .. }),
            Self::Config(config) => !matches!(config, ConfigCommand::Init),
            Self::Status { .. }
            | Self::Wait(_)
            | Self::Batch
            | Self::Record(_)
            | Self::Replay(_)
            | Self::Completions { .. }
            | Self::Man { .. }
            | Self::ExitCodes => true,
        }
    }
}

/// Lets the protocol's parser look at what will be sent. It knows the ranges
/// of the numbers, and it speaks of fields, which are flags here.
pub fn checked(operation: Operation) -> Result<Operation, Failure> {
    let body =
        serde_json::to_vec(&operation).map_err(|error| Failure::local("internal", &error))?;
    Operation::parse(&body).map_err(|error| {
        let flagged = error.message.strip_prefix("field `").and_then(|rest| rest.split_once('`'));
        let message = match flagged {
            Some((field, rest)) => format!("--{}{rest}", field.replace('_', "-")),
            None => error.message.clone(),
        };
        Failure { exit: Exit::Usage, message, ..Failure::from(error) }
    })
}

/// `text` as one word of a shell's command line.
pub fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The command that follows `job` again.
pub fn attach_command(options: &Options, job: &JobId) -> String {
    let mut command = "rbee-keeper".to_owned();
    if let Some(queen) = &options.queen {
        let _ = write!(command, " --queen {}", shell_word(queen.as_str()));
    }
    let _ = write!(command, " job attach {}", shell_word(job.as_str()));
    command
}

/// Every code with its meaning.
pub fn exit_codes() -> String {
    let mut table = "Exit codes:\n\n".to_owned();
    for (exit, meaning) in Exit::ALL {
        let _ = writeln!(table, "{:>5}  {meaning}", exit.code());
    }
    table
}

#[cfg(test)]
mod tests;
