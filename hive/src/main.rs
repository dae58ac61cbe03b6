//! `rbee-hive`: reads what it is told, starts the hive, waits for its end.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Parser, Subcommand};
use config::{BaseUrl, Config, Nonce, Paths};
use hive::{KIND, Server, ServerConfig, here};
use protocol::HiveId;

/// The daemon of one machine: its devices, its models, its workers.
#[derive(Debug, Parser)]
#[command(name = "rbee-hive", version)]
struct Args {
    #[command(flatten)]
    serve: Serve,
    /// Without a command: run here until told to stop.
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, clap::Args)]
struct Serve {
    /// Where to listen; port 0 takes a free one [default: from config.toml, else 127.0.0.1:9000]
    #[arg(long)]
    address: Option<SocketAddr>,
    /// Whom the workers send their heartbeats to [default: the queen of config.toml]
    #[arg(long)]
    queen_url: Option<BaseUrl>,
    /// The near end of a tunnel to the queen
    #[arg(long, value_name = "SOCKET")]
    queen_socket: Option<PathBuf>,
    /// What this machine is called
    #[arg(long, default_value = "localhost")]
    hive_id: HiveId,
}

/// The hive of this machine as a process.
#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Start it in the background and wait until it answers
    Start,
    /// Stop it, and its workers
    Stop {
        /// The workers live on for the next hive
        #[arg(long)]
        keep_workers: bool,
    },
    /// Say in JSON whether it runs, and where
    Status,
}

#[tokio::main]
async fn main() -> ExitCode {
    daemon::build::stamp(daemon::build::Stamp {
        git_sha: build_stamp::git_sha!(),
        built_at: build_stamp::built_at!(),
    });
    let Args { serve, command } = Args::parse();
    let done = match command {
        None => run(serve).await,
        Some(Command::Start) => start(&serve).await,
        Some(Command::Stop { keep_workers }) => stop(keep_workers).await,
        Some(Command::Status) => status(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Serve) -> anyhow::Result<()> {
    let paths = Paths::from_env()?;
    let config = Config::load(&paths)?;
    let mut server = ServerConfig::new(paths, &config)?;
    server.hive_id = args.hive_id;
    server.nonce = Nonce::from_env();
    server.queen_socket = args.queen_socket;
    if let Some(queen_url) = args.queen_url {
        server.queen_url = queen_url;
    }
    if let Some(address) = args.address {
        anyhow::ensure!(
            address.ip().is_loopback() || server.token.is_some(),
            "{address} is reachable from other machines, so it needs a `token_file` under [hive] \
             in config.toml; or listen on 127.0.0.1:{}",
            address.port()
        );
        server.address = address;
    }
    let log_dir = server.paths.hive_dir().join("log");
    config::paths::create_private_dir(&log_dir)
        .with_context(|| format!("cannot create {}", log_dir.display()))?;
    let _log = daemon::logging::to_files(&log_dir, KIND)?;

    let server = Server::start(server).await?;
    say(&format!(
        "rbee-hive {} on http://{}, log in {}",
        daemon::build::VERSION,
        server.local_addr(),
        log_dir.display()
    ));
    server.shutdown().asked_or_signalled().await.context("cannot wait for signals")?;
    server.close().await;
    Ok(())
}

async fn start(args: &Serve) -> anyhow::Result<()> {
    let paths = Paths::from_env()?;
    let mut words = vec!["--hive-id".to_owned(), args.hive_id.to_string()];
    words.extend(args.address.iter().flat_map(|it| ["--address".to_owned(), it.to_string()]));
    words.extend(args.queen_url.iter().flat_map(|it| ["--queen-url".to_owned(), it.to_string()]));
    let socket = args.queen_socket.iter().map(|it| it.display().to_string());
    words.extend(socket.flat_map(|it| ["--queen-socket".to_owned(), it]));
    say(&here::start(&paths, words).await?);
    Ok(())
}

async fn stop(keep_workers: bool) -> anyhow::Result<()> {
    let paths = Paths::from_env()?;
    let config = Config::load(&paths)?;
    say(&here::stop(&paths, &config, keep_workers).await?);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is the answer")]
fn status() -> anyhow::Result<()> {
    println!("{}", here::status(&Paths::from_env()?)?);
    Ok(())
}

#[expect(clippy::print_stderr, reason = "before and beside the log, this is where a person looks")]
fn say(line: &str) {
    eprintln!("{line}");
}
