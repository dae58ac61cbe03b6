//! The road to the dashboard: when it is opened, and what it is given.

use std::{
    io::{self, IsTerminal},
    sync::Arc,
};

use config::{Config, Glyphs, Paths};
use futures::FutureExt;
use tokio::sync::mpsc::Sender;
use tracing_appender::non_blocking::WorkerGuard;

use super::{
    args::{Cli, Command, ReplayArgs, shell_word},
    exit::{Exit, Failure},
    output::Format,
    record,
    terminal::{self, ColorChoice},
};
use crate::{local, tui};

/// Logs of this many days are kept.
const LOG_FILES: usize = 7;

/// Whether `cli` asks for the dashboard on these streams.
pub fn is_wanted(cli: &Cli) -> bool {
    let terminals = io::stdin().is_terminal() && io::stdout().is_terminal();
    matches!(cli.command, None | Some(Command::Replay(_)))
        && !cli.options.no_tui
        && !cli.options.plain
        && cli.options.output == Format::Human
        && terminals
        && !terminal::is_dumb()
}

/// Runs it until the operator leaves.
pub async fn run(cli: &Cli, paths: Paths, config: Config) -> Result<Exit, Failure> {
    let options = &cli.options;
    let look = tui::Options::from_environment();
    let look = match options.color {
        ColorChoice::Auto => look,
        ColorChoice::Always => look.with_colour(),
        ColorChoice::Never => look.without_colour(),
    };
    let program = options.queen.as_ref().map_or_else(
        || "rbee-keeper".to_owned(),
        |queen| format!("rbee-keeper --queen {}", shell_word(queen.as_str())),
    );
    let copy_file = paths.keeper_dir().join("copied.txt");
    let wrong = |message| Failure::new(Exit::Usage, "theme", message);
    let look = match &config.keeper.theme {
        Some(theme) => look.with_theme(theme).map_err(wrong)?,
        None => look,
    };
    let look = match config.keeper.glyphs {
        Glyphs::Auto => look,
        Glyphs::Ascii => look.in_ascii(),
    };
    let look = config.keeper.fps.map_or(look, |fps| look.with_fps(fps));
    let read = paths.config_file().display().to_string();
    let look = if options.read_only { look.read_only() } else { look };
    if let Some(Command::Replay(args)) = &cli.command {
        let _log = log_to_file(&paths, options.verbose)?;
        return replay(args, look).await;
    }
    let address = local::queen_address(options.queen.as_ref(), &paths, &config)?;
    let queen = local::daemon(&address, &config)?;
    let find_queen = local::find_queen(options.queen.clone(), paths.clone(), config.clone());
    let _log = log_to_file(&paths, options.verbose)?;
    let start_queen: tui::StartQueen = Arc::new(move |lines: Sender<String>| {
        let (paths, config, address) = (paths.clone(), config.clone(), address.clone());
        async move {
            if !address.is_here {
                return Err(format!("{} is not on this machine; start it there", address.url));
            }
            // A line that the screen has no room for is not worth waiting for.
            let say = |line| drop(lines.try_send(line));
            let started = local::ensure_queen(&paths, &config, say).await;
            started.map(drop).map_err(|error| Failure::from(error).message)
        }
        .boxed()
    });
    let dashboard = tui::Dashboard {
        queen,
        find_queen,
        start_queen,
        options: look,
        config: read,
        program,
        copy_file,
    };
    ended(tui::run(dashboard).await)
}

async fn replay(args: &ReplayArgs, look: tui::Options) -> Result<Exit, Failure> {
    let recording = record::load(&args.file)?;
    ended(tui::replay(recording, args.speed, look).await)
}

fn ended(ended: anyhow::Result<()>) -> Result<Exit, Failure> {
    match ended {
        Ok(()) => Ok(Exit::Done),
        Err(error) => Err(Failure::new(Exit::Failed, "dashboard", format!("{error:#}"))),
    }
}

/// While the screen is the dashboard's, everything else is said to a file.
fn log_to_file(paths: &Paths, verbose: u8) -> Result<WorkerGuard, Failure> {
    let dir = paths.keeper_dir().join("log");
    let failure = |error: &dyn std::error::Error| Failure::local("log", error);
    config::paths::create_private_dir(&dir).map_err(|error| failure(&error))?;
    let file = tracing_appender::rolling::Builder::new()
        .rotation(tracing_appender::rolling::Rotation::DAILY)
        .filename_prefix("rbee-keeper")
        .filename_suffix("log")
        .max_log_files(LOG_FILES)
        .build(&dir)
        .map_err(|error| failure(&error))?;
    let (writer, guard) = tracing_appender::non_blocking(file);
    let level = if verbose > 0 { tracing::Level::DEBUG } else { tracing::Level::INFO };
    let _ = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .with_writer(writer)
        .try_init();
    Ok(guard)
}
