//! The terminal is the operator's: whatever becomes of the dashboard, he gets
//! it back as it was.

use std::path::Path;

use harness::{Cluster, Modes, Script, Seen, Setup, Terminal, wait_for};
use rustix::process::Signal;

/// An installation where the dashboard offers to start a queen, and so has
/// something to show without one.
fn without_a_queen() -> anyhow::Result<Cluster> {
    Cluster::install(Setup::default())
}

#[tokio::test]
async fn any_size_is_drawn_down_to_one_cell_and_back() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let mut terminal = Terminal::open(&cluster)?;
    terminal.until_it_shows("● live").await?;
    terminal.resize(1, 1)?;
    terminal.until_it_shows("…").await?;
    // It hears keys there as well.
    terminal.press("8")?;
    terminal.resize(100, 30)?;
    terminal.until_it_shows("[8 queen]").await?;
    terminal.resize(160, 45)?;
    terminal.until_it_shows("ms for a question").await?;
    assert_eq!(terminal.quit().await?, 0);
    cluster.close()
}

#[tokio::test]
async fn ctrl_z_gives_the_terminal_to_the_shell_and_fg_takes_it_again() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let mut terminal = Terminal::with_a_shell(&cluster).await?;
    let before = terminal.modes()?;
    let keeper = cluster.command("rbee-keeper");
    terminal.press(&format!("{}\n", keeper.get_program().display()))?;
    terminal.until_it_is_taken().await?;
    terminal.until_it_shows("● live").await?;
    let during = terminal.modes()?;
    assert_ne!(during.stty, before.stty);
    assert!(during.hides_cursor && during.marks_pastes);

    for round in 1..=3 {
        terminal.press("\u{1a}")?;
        terminal.until_it_is(&before).await?;
        // What is typed now is for the shell.
        terminal.press(&format!("echo \"heard $(({round} * 1111))\"\n"))?;
        terminal.until_it_shows(&format!("heard {round}{round}{round}{round}")).await?;
        terminal.press("fg\n")?;
        terminal.until_it_is(&during).await?;
        terminal.until_it_shows("● live").await?;
        terminal.until_it_shows("q quit").await?;
    }
    terminal.press("\u{3}")?;
    terminal.until_it_is(&before).await?;
    terminal.press("exit 7\n")?;
    assert_eq!(terminal.exit_code().await?, 7);
    cluster.close()
}

#[tokio::test]
async fn a_signal_that_ends_it_leaves_the_terminal_as_it_was() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let mut terminal = Terminal::with_a_shell(&cluster).await?;
        let before = terminal.modes()?;
        // The shell becomes the dashboard.
        let keeper = cluster.command("rbee-keeper");
        terminal.press(&format!("exec {}\n", keeper.get_program().display()))?;
        terminal.until_it_is_taken().await?;
        terminal.until_it_shows("● live").await?;
        cluster.signal(terminal.pid()?, signal)?;
        terminal.exit_code().await?;
        terminal.until_it_is(&before).await?;
    }
    cluster.close()
}

#[tokio::test]
async fn a_panic_of_the_dashboard_gives_the_terminal_back_and_is_told() -> anyhow::Result<()> {
    let cluster = without_a_queen()?;
    let (mut terminal, before) = broken_dashboard(&cluster, "itself").await?;
    terminal.press("y")?;
    assert_eq!(terminal.exit_code().await?, 101);
    terminal.until_it_is(&before).await?;
    // On the screen that the operator has again.
    terminal.until_it_shows("the dashboard itself panicked").await?;
    cluster.close()
}

#[tokio::test]
async fn a_panic_of_a_task_is_survived() -> anyhow::Result<()> {
    let cluster = without_a_queen()?;
    let (mut terminal, before) = broken_dashboard(&cluster, "task").await?;
    terminal.press("y")?;
    terminal.until_it_shows("the launch broke off").await?;
    assert!(terminal.is_taken() && terminal.hides_cursor(), "it goes on");
    assert!(!terminal.text().contains("panicked"), "nothing is written across the screen");
    terminal.press("?")?;
    terminal.until_it_shows("Everywhere").await?;
    terminal.press("q")?;
    assert_eq!(terminal.quit().await?, 0);
    terminal.until_it_is(&before).await?;
    cluster.close()
}

/// A dashboard of which this part panics when a queen is to be started.
async fn broken_dashboard(cluster: &Cluster, part: &str) -> anyhow::Result<(Terminal, Modes)> {
    let mut dashboard = Terminal::with_a_shell(cluster).await?;
    let before = dashboard.modes()?;
    let program = Path::new(env!("CARGO_BIN_EXE_broken-dashboard"));
    dashboard.press(&format!("exec {} {part}\n", program.display()))?;
    dashboard.until_it_is_taken().await?;
    dashboard.until_it_shows("Start one here?").await?;
    Ok((dashboard, before))
}

#[tokio::test]
async fn keys_are_heard_while_the_terminal_takes_nothing() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("one"))?;
    let mut terminal = Terminal::open(&cluster)?;
    terminal.until_it_shows("● live").await?;
    terminal.take_nothing(true)?;
    let before = terminal.text();
    terminal.press(&format!(":worker spawn --model {}\r", script.model()))?;
    wait_for("the worker that was asked for", async || {
        let workers = cluster.worker_pids();
        Ok(Seen::when(workers.len() == 1, workers))
    })
    .await?;
    assert_eq!(terminal.text(), before, "it hangs");
    terminal.press("2")?;
    terminal.take_nothing(false)?;
    terminal.until_it_shows("[2 workers]").await?;
    terminal.until_it_shows("short.gguf").await?;

    // It leaves although its last frame is on the way.
    terminal.take_nothing(true)?;
    terminal.press("3")?;
    terminal.press("\u{3}")?;
    terminal.take_nothing(false)?;
    assert_eq!(terminal.exit_code().await?, 0);
    cluster.close()
}
