//! `rbee-hive`: reads what it is told, starts the hive, waits for its end.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::Context;
use clap::Parser;
use config::{BaseUrl, Config, Nonce, Paths};
use hive::{KIND, Server, ServerConfig};
use protocol::HiveId;

/// The daemon of one machine: its devices, its models, its workers.
#[derive(Debug, Parser)]
#[command(name = "rbee-hive", version)]
struct Args {
    /// Where to listen; port 0 takes a free one [default: from config.toml, else 127.0.0.1:9000]
    #[arg(long)]
    address: Option<SocketAddr>,
    /// Whom the workers send their heartbeats to [default: the queen of config.toml]
    #[arg(long)]
    queen_url: Option<BaseUrl>,
    /// What this machine is called
    #[arg(long, default_value = "localhost")]
    hive_id: HiveId,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let paths = Paths::from_env()?;
    let config = Config::load(&paths)?;
    let mut server = ServerConfig::new(paths, &config)?;
    server.hive_id = args.hive_id;
    server.nonce = Nonce::from_env();
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

#[expect(clippy::print_stderr, reason = "before and beside the log, this is where a person looks")]
fn say(line: &str) {
    eprintln!("{line}");
}
