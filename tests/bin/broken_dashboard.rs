//! The real dashboard of a queen whom nobody reaches, and who cannot be
//! started without a panic: of the dashboard itself, or of a task beside it.

use std::{env, future, process::ExitCode, sync::Arc};

use config::{Config, Paths};
use futures::FutureExt;
use keeper_tui::tui::{self, Configuration, Dashboard, Keymap, Options, Settings, StartQueen};

/// Where nobody listens.
const NOBODY: &str = "http://127.0.0.1:1";

#[expect(clippy::panic, reason = "what the program is for")]
fn start_queen(in_a_task: bool) -> StartQueen {
    Arc::new(move |_| {
        if !in_a_task {
            panic!("the dashboard itself panicked");
        }
        future::ready(()).map(|()| panic!("a task panicked")).boxed()
    })
}

#[tokio::main]
async fn main() -> ExitCode {
    let in_a_task = env::args().nth(1).is_some_and(|it| it == "task");
    let (Ok(queen), Ok(paths)) = (client::Daemon::new(NOBODY), Paths::from_env()) else {
        return ExitCode::FAILURE;
    };
    let settings = || Settings {
        options: Options::from_environment(),
        keymap: Keymap::read(&Config::default().keys).0,
        notices: Vec::new(),
    };
    let dashboard = Dashboard {
        queen,
        find_queen: Arc::new(|| None),
        start_queen: start_queen(in_a_task),
        settings: settings(),
        program: "rbee-keeper".to_owned(),
        copy_file: paths.keeper_dir().join("copied.txt"),
        configuration: Configuration {
            paths,
            config: Config::default(),
            understand: Arc::new(move |_| Ok(settings())),
        },
        session_file: None,
    };
    match tui::run(dashboard).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
