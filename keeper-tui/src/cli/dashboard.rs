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
    let (color, read_only) = (options.color, options.read_only);
    let understand = move |config: &Config| settings(config, color, read_only);
    let wrong = |message| Failure::new(Exit::Usage, "theme", message);
    let look = understand(&config).map_err(wrong)?;
    let configuration = tui::Configuration {
        paths: paths.clone(),
        config: config.clone(),
        understand: Arc::new(understand),
    };
    if let Some(Command::Replay(args)) = &cli.command {
        let _log = log_to_file(&paths, options.verbose)?;
        return replay(args, look, configuration).await;
    }
    let program = options.queen.as_ref().map_or_else(
        || "rbee-keeper".to_owned(),
        |queen| format!("rbee-keeper --queen {}", shell_word(queen.as_str())),
    );
    let copy_file = paths.keeper_dir().join("copied.txt");
    let session_file =
        config.keeper.restore_session.then(|| paths.keeper_dir().join("session.json"));
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
        settings: look,
        program,
        copy_file,
        configuration,
        session_file,
    };
    ended(tui::run(dashboard).await)
}

/// What the terminal, the command line and the configuration say about it.
fn settings(config: &Config, color: ColorChoice, read_only: bool) -> Result<tui::Settings, String> {
    let options = tui::Options::from_environment();
    let options = match color {
        ColorChoice::Auto => options,
        ColorChoice::Always => options.with_colour(),
        ColorChoice::Never => options.without_colour(),
    };
    let options = match &config.keeper.theme {
        Some(theme) => options
            .with_theme(&theme.text)
            .map_err(|problem| format!("{}: {problem}", theme.place))?,
        None => options,
    };
    let options = match config.keeper.glyphs {
        Glyphs::Auto => options,
        Glyphs::Ascii => options.in_ascii(),
    };
    let options = config.keeper.fps.map_or(options, |fps| options.with_fps(fps));
    let options = if read_only { options.read_only() } else { options };
    let (keymap, problems) = tui::Keymap::read(&config.keys);
    let notices = problems.iter().map(ToString::to_string).collect();
    Ok(tui::Settings { options, keymap, notices })
}

async fn replay(
    args: &ReplayArgs,
    look: tui::Settings,
    configuration: tui::Configuration,
) -> Result<Exit, Failure> {
    let recording = record::load(&args.file)?;
    ended(tui::replay(recording, args.speed, look, configuration).await)
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
