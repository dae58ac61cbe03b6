//! The real dashboard of a queen whom nobody reaches, and who cannot be
//! started without a panic: of the dashboard itself, or of a task beside it.

use std::{env, future, path::PathBuf, process::ExitCode, sync::Arc};

use futures::FutureExt;
use keeper_tui::tui::{self, Dashboard, Options, StartQueen};

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
    let Ok(queen) = client::Daemon::new(NOBODY) else { return ExitCode::FAILURE };
    let dashboard = Dashboard {
        queen,
        start_queen: start_queen(in_a_task),
        options: Options::from_environment(),
        program: "rbee-keeper".to_owned(),
        copy_file: PathBuf::from("copied.txt"),
        config: String::new(),
    };
    match tui::run(dashboard).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
