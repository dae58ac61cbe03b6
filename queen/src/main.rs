//! `queen-rbee`: arguments and configuration in, a running queen out.

use std::{io::Write as _, net::SocketAddr, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;
use config::{Config, Nonce, Paths};
use queen::{Server, ServerConfig, server::KIND};

/// The daemon that decides: routes operations, schedules inference, keeps the
/// registries and the job log.
#[derive(Debug, Parser)]
#[command(name = "queen-rbee", version, after_help = AFTER_HELP)]
struct Args {
    /// Where to listen; overrides [queen] address in config.toml.
    #[arg(long, value_name = "IP:PORT")]
    address: Option<SocketAddr>,
    /// Print which build this is, as /v1/build-info answers, and leave.
    #[arg(long)]
    build_info: bool,
}

const AFTER_HELP: &str = "\
Environment: RBEE_CONFIG_DIR, RBEE_DATA_DIR and RBEE_CACHE_DIR override the
XDG places; RUST_LOG filters the log.";

#[tokio::main]
async fn main() -> ExitCode {
    daemon::build::stamp(daemon::build::Stamp {
        git_sha: build_stamp::git_sha!(),
        built_at: build_stamp::built_at!(),
    });
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{KIND}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    if args.build_info {
        let build = serde_json::to_string(&daemon::build::info(queen::FEATURES))?;
        writeln!(std::io::stdout(), "{build}")?;
        return Ok(());
    }
    let paths = Paths::from_env()?;
    let config = Config::load(&paths)?;
    let log_dir = paths.queen_dir().join("log");
    config::paths::create_private_dir(&log_dir)
        .with_context(|| format!("cannot make {}", log_dir.display()))?;
    let _log = daemon::logging::to_files(&log_dir, KIND)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
        say(&format!("{KIND}: warning: {warning}"));
    }
    let nonce = Nonce::from_env();
    let server =
        Server::start(ServerConfig { paths, config, address: args.address, nonce }).await?;
    say(&format!(
        "{KIND} {} on http://{}, log in {}",
        daemon::build::VERSION,
        server.local_addr(),
        log_dir.display()
    ));
    server.shutdown().asked_or_signalled().await?;
    server.close().await;
    Ok(())
}

#[expect(clippy::print_stderr, reason = "the moments before the log and after it")]
fn say(line: &str) {
    eprintln!("{line}");
}
