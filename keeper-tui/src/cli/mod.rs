//! The command line: one file per noun, and the road that each command takes.
//!
//! ```text
//! args ─▶ checked operation ─▶ queen (started here if need be) ─▶ job ─▶ follow ─▶ render ─▶ output
//! ```
//!
//! Every command is an operation of the protocol or a plain call to the queen;
//! nothing is decided here that she could decide. Errors of all kinds become a
//! [`Failure`], which is the only thing that is turned into an exit code.

pub mod args;
pub mod batch;
pub mod changes;
pub mod completions;
pub mod config;
pub mod dashboard;
pub mod exit;
pub mod follow;
pub mod hive;
pub mod infer;
pub mod interrupt;
pub mod job;
pub mod man;
pub mod model;
pub mod names;
pub mod notice;
pub mod output;
pub mod plan;
pub mod queen;
pub mod question;
pub mod record;
pub mod render;
pub mod status;
pub mod table;
pub mod terminal;
pub mod wait;
pub mod watch;
pub mod worker;

use std::{
    ffi::OsString,
    io::{self, IsTerminal},
    process::ExitCode,
    time::{Duration, Instant},
};

use ::config::{Config, Paths};
use clap::{Parser, ValueEnum};
use client::{Daemon, FeedOptions};
use protocol::{
    ApiError, JobId, Timestamp,
    deadline::Deadline,
    job::{JobEvent, Level},
    operation::Operation,
};

use self::{
    args::{Cli, Command, Options, checked},
    exit::{Exit, Failure, Outcome, Stop},
    interrupt::Interrupts,
    output::{Format, Output, Voice},
    question::{Answered, Usually},
};
use crate::{
    feed::Feed,
    local::{self, QueenAddress, Running},
};

/// What a command has at hand.
pub struct Cx {
    /// Where rbee's files are.
    pub paths: Paths,
    /// What `config.toml` says.
    pub config: Config,
    /// What every command understands.
    pub options: Options,
    /// Where everything is said.
    pub out: Output,
    /// Ctrl-C and its kin.
    pub interrupts: Interrupts,
    /// When `--timeout` has passed.
    pub deadline: Option<Deadline>,
    /// The job it is about, once there is one.
    pub job: Option<JobId>,
    /// Whether the queen is one that could be started here.
    queen_is_here: Option<bool>,
}

/// What to do when no queen runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Start one on this machine, if that is where she would be.
    Started,
    /// Say so.
    Running,
}

/// How much later than `--timeout` the last resort comes.
const DEADLINE_GRACE: Duration = Duration::from_secs(3);

/// The whole program.
pub fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if let Some(exit) = completions::answer(&args) {
        return exit.into();
    }
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return not_understood(&args, &error).into(),
    };
    let mut out = Output::new(voice(&cli.options), terminal::looks(cli.options.color));
    if let Some(command) = &cli.command
        && let Err(failure) = permitted(&cli.options, command)
    {
        return conclude(&mut out, None, Err(failure.into())).into();
    }
    // Before the files are read, because they may be what is wrong.
    if let Some(outcome) = cli.command.as_ref().and_then(|command| by_itself(&mut out, command)) {
        return conclude(&mut out, None, outcome).into();
    }
    let prepared = prepare();
    let (paths, config, runtime) = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => return conclude(&mut out, None, Err(Stop::Failed(failure))).into(),
    };
    for warning in &config.warnings {
        let event = JobEvent::new("config", warning.as_str()).level(Level::Warn);
        if let Err(stop) = out.narrate(None, &event) {
            return conclude(&mut out, None, Err(stop)).into();
        }
    }
    let exit = if dashboard::is_wanted(&cli) {
        let left = runtime.block_on(dashboard::run(&cli, paths, config));
        conclude(&mut out, None, left.map_err(Stop::Failed))
    } else {
        runtime.block_on(enter(cli, paths, config, out))
    };
    // A thread may be waiting for a line from the terminal that never comes.
    runtime.shutdown_background();
    exit.into()
}

fn prepare() -> Result<(Paths, Config, tokio::runtime::Runtime), Failure> {
    let unusable = |error: &dyn std::error::Error| Failure {
        exit: Exit::Usage,
        ..Failure::local("configuration", error)
    };
    let paths = Paths::from_env().map_err(|error| unusable(&error))?;
    let config = Config::load(&paths).map_err(|error| unusable(&error))?;
    let runtime =
        tokio::runtime::Runtime::new().map_err(|error| Failure::local("runtime", &error))?;
    Ok((paths, config, runtime))
}

async fn enter(cli: Cli, paths: Paths, config: Config, mut out: Output) -> Exit {
    let Cli { options, command } = cli;
    let interrupts = match Interrupts::install() {
        Ok(interrupts) => interrupts,
        Err(error) => {
            let failure = Failure::local("signals", &error);
            return conclude(&mut out, None, Err(Stop::Failed(failure)));
        }
    };
    log_to_stderr(&options);
    let deadline = options.timeout.map(|budget| Deadline::after(budget, Instant::now()));
    let mut cx = Cx {
        paths,
        config,
        options,
        out,
        interrupts: interrupts.clone(),
        deadline,
        job: None,
        queen_is_here: None,
    };
    let command = command.unwrap_or_else(|| match cx.options.plain {
        true => Command::Status { watch: true },
        false if cx.options.no_tui && batch::is_on_stdin() => Command::Batch,
        false => Command::Status { watch: false },
    });
    // In a task of its own: a write to a terminal that does not read blocks
    // its thread, and Ctrl-C must end the program all the same.
    let work = tokio::spawn(async move {
        let (interrupts, deadline) = (cx.interrupts.clone(), cx.deadline);
        let outcome = tokio::select! {
            biased;
            outcome = dispatch(&mut cx, command) => outcome,
            exit = interrupts.unattended() => Err(stopped(exit).into()),
            error = overtime(deadline) => Err(error.into()),
        };
        let job = cx.job.take();
        let outcome = outcome.map_err(|stop| explained(stop, cx.queen_is_here));
        conclude(&mut cx.out, job.as_ref(), outcome)
    });
    tokio::select! {
        biased;
        exit = work => exit.unwrap_or(Exit::Failed),
        exit = interrupts.overdue() => exit,
    }
}

async fn dispatch(cx: &mut Cx, command: Command) -> Outcome {
    match command {
        Command::Infer(args) => infer::infer(cx, &args).await,
        Command::Status { watch: false } => status::status(cx).await,
        Command::Status { watch: true } => watch::watch(cx).await,
        Command::Wait(args) => wait::wait(cx, &args).await,
        Command::Queen(command) => queen::queen(cx, command).await,
        Command::Hive(command) => hive::hive(cx, command).await,
        Command::Worker(command) => worker::worker(cx, command).await,
        Command::Model(command) => model::model(cx, command).await,
        Command::Job(command) => job::job(cx, command).await,
        Command::Record(args) => record::record(cx, &args).await,
        Command::Replay(args) => record::replay(cx, &args).await,
        // A batch runs commands, which may not be batches again.
        Command::Batch => Box::pin(batch::batch(cx)).await,
        command @ (Command::Config(_)
        | Command::Completions { .. }
        | Command::Man { .. }
        | Command::ExitCodes) => by_itself(&mut cx.out, &command).unwrap_or(Ok(Exit::Done)),
    }
}

/// What needs neither a queen nor her configuration.
fn by_itself(out: &mut Output, command: &Command) -> Option<Outcome> {
    Some(match command {
        Command::Config(command) => config::config(out, *command),
        Command::Completions { shell } => completions::completions(out, *shell),
        Command::Man { dir } => man::man(out, dir.as_deref()),
        Command::ExitCodes => out.report(None, &render::exit_codes()).map(|()| Exit::Done),
        _ => return None,
    })
}

/// What `--read-only` has to say about `command`.
fn permitted(options: &Options, command: &Command) -> Result<(), Failure> {
    if !options.read_only || command.only_looks() {
        return Ok(());
    }
    let message = "--read-only: this command would change something";
    Err(Failure::new(Exit::NotAllowed, "read_only", message)
        .with_hint("leave --read-only (RBEE_READ_ONLY) away to carry it out"))
}

fn voice(options: &Options) -> Voice {
    let Options { output: format, quiet, verbose, .. } = *options;
    Voice { format, quiet, verbose: verbose > 0 }
}

/// Carries out `operation` as a job and shows its result.
pub async fn operate(cx: &mut Cx, operation: Operation, wanted: Wanted) -> Outcome {
    let operation = checked(operation)?;
    let queen = cx.queen(wanted).await?;
    let Some(ended) = follow::run(cx, &queen, &operation).await? else { return Ok(Exit::Done) };
    let report = render::report(operation.name(), &ended.answer, Timestamp::now());
    cx.out.report(Some(&ended.job), &report)?;
    Ok(report.exit)
}

impl Cx {
    /// Where the queen is.
    pub fn address(&mut self) -> Outcome<QueenAddress> {
        let given = self.options.queen.as_ref();
        let address = local::queen_address(given, &self.paths, &self.config)?;
        self.queen_is_here = Some(address.is_here);
        Ok(address)
    }

    /// The queen's feed, wherever she is.
    pub fn feed(&self, queen: &Daemon, options: FeedOptions) -> Feed {
        let (given, paths) = (self.options.queen.clone(), self.paths.clone());
        let find = local::find_queen(given, paths, self.config.clone());
        Feed::new(queen.with_deadline(None), options, find)
    }

    /// The queen, whether she runs or not.
    pub fn daemon(&mut self) -> Outcome<(QueenAddress, Daemon)> {
        let address = self.address()?;
        let daemon = local::daemon(&address, &self.config)?.with_deadline(self.deadline);
        Ok((address, daemon))
    }

    /// The queen. If she does not run and is `wanted`, she is started, and on
    /// a terminal not without asking.
    pub async fn queen(&mut self, wanted: Wanted) -> Outcome<Daemon> {
        let (address, daemon) = self.daemon()?;
        if wanted == Wanted::Running || !address.is_here {
            return Ok(daemon);
        }
        match daemon.health().await {
            Err(error) if error.is_refused() => {}
            _ => return Ok(daemon),
        }
        // One who is starting, or leaving, is somebody else's decision already.
        if local::running_record(&self.paths)?.is_none() {
            let place = address.url.as_str().trim_start_matches("http://").to_owned();
            let question = format!("No queen is running at {place}. Start one here?");
            match self.ask(&question, Usually::Yes).await? {
                Answered::Yes => {}
                Answered::Nobody => {
                    self.out.say(&format!("no queen is running at {place}; starting one here"))?;
                }
                Answered::No => {
                    let message = format!("no queen is running at {place}");
                    let failure =
                        Failure::new(Exit::QueenUnreachable, "queen_unreachable", message);
                    return Err(failure.into());
                }
            }
        }
        Ok(self.start_queen().await?.daemon)
    }

    /// The queen of this machine: the one that runs, or a new one.
    pub async fn start_queen(&mut self) -> Outcome<Running> {
        let Self { paths, config, out, deadline, .. } = self;
        let started = local::start_queen(paths, config, |step| {
            // Who does not read the steps is told by the answer.
            let _ = out.say(&step);
        });
        let mut running = match *deadline {
            None => started.await?,
            Some(deadline) => tokio::time::timeout_at(deadline.instant().into(), started)
                .await
                .map_err(|_| deadline.exceeded())??,
        };
        running.daemon = running.daemon.with_deadline(*deadline);
        Ok(running)
    }
}

/// Tells how it ended.
fn conclude(out: &mut Output, job: Option<&JobId>, outcome: Outcome) -> Exit {
    match outcome {
        Ok(exit) => exit,
        Err(Stop::ReaderGone) => Exit::Done,
        Err(Stop::Failed(failure)) => match out.failure(job, &failure) {
            Err(Stop::ReaderGone) => Exit::Done,
            Ok(()) | Err(Stop::Failed(_)) => failure.exit,
        },
    }
}

/// `--timeout` for everything that does not look at it by itself, such as a
/// question that nobody answers. Whoever does has a little longer, because
/// what it says is more to the point.
async fn overtime(deadline: Option<Deadline>) -> ApiError {
    let Some(deadline) = deadline else { return std::future::pending().await };
    tokio::time::sleep_until((deadline.instant() + DEADLINE_GRACE).into()).await;
    deadline.exceeded()
}

fn stopped(exit: Exit) -> Failure {
    match exit {
        Exit::Terminated => Failure::new(exit, "terminated", "terminated"),
        exit => Failure::new(exit, "interrupted", "interrupted"),
    }
}

/// Adds the remedy for a queen that is not there.
fn explained(stop: Stop, queen_is_here: Option<bool>) -> Stop {
    match (stop, queen_is_here) {
        (Stop::Failed(failure), Some(is_here))
            if failure.code == "queen_unreachable" && failure.hint.is_none() =>
        {
            let hint = if is_here {
                "start one: rbee-keeper queen start"
            } else {
                "is she running there? another address: --queen URL"
            };
            Stop::Failed(failure.with_hint(hint))
        }
        (stop, _) => stop,
    }
}

/// What the parser says: help and version on stdout, a refusal on stderr, or as
/// JSON when that was asked for.
fn not_understood(args: &[OsString], error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        return match error.print() {
            Ok(()) => Exit::Done,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Err(_) => Exit::Failed,
        };
    }
    match wanted_format(args) {
        format @ Some(Format::Json | Format::Ndjson) => {
            let voice = Voice { format: format.unwrap_or_default(), ..Voice::default() };
            let mut out = Output::new(voice, Default::default());
            let text = error.to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
            conclude(&mut out, None, Err(Stop::Failed(Failure::usage(text))))
        }
        _ => {
            let _ = error.print();
            Exit::Usage
        }
    }
}

/// The `--output` of a command line that could not be parsed.
fn wanted_format(args: &[OsString]) -> Option<Format> {
    let words: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    words.iter().enumerate().find_map(|(index, word)| {
        let value = match *word {
            "-o" | "--output" => words.get(index + 1).copied()?,
            word => word.strip_prefix("--output=").or_else(|| word.strip_prefix("-o"))?,
        };
        Format::from_str(value, true).ok()
    })
}

/// `-vv`: our own log, for someone looking for a cause.
fn log_to_stderr(options: &Options) {
    if options.verbose > 1 {
        let _ = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(io::stderr().is_terminal())
            .with_writer(io::stderr)
            .try_init();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_json_when_json_was_asked_for_in_any_spelling() {
        let format =
            |line: &str| wanted_format(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(format("keeper -o json frobnicate"), Some(Format::Json));
        assert_eq!(format("keeper --output=ndjson x"), Some(Format::Ndjson));
        assert_eq!(format("keeper -ojson x"), Some(Format::Json));
        assert_eq!(format("keeper x"), None);
        assert_eq!(format("keeper -o"), None);
    }

    #[test]
    fn a_missing_queen_comes_with_what_to_do() {
        let unreachable =
            || Stop::from(Failure::new(Exit::QueenUnreachable, "queen_unreachable", "refused"));
        let hint = |is_here| match explained(unreachable(), is_here) {
            Stop::Failed(failure) => failure.hint,
            Stop::ReaderGone => None,
        };
        assert_eq!(hint(Some(true)).as_deref(), Some("start one: rbee-keeper queen start"));
        assert!(hint(Some(false)).unwrap().contains("--queen"));
        assert_eq!(hint(None), None);
    }
}
