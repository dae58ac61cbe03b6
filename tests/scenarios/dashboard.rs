//! The dashboard on a real terminal, over a real queen.

use std::fs;

use harness::{Cluster, Daemon, Machine, MachineSetup, Script, Setup, Terminal};
use rustix::process::Signal;

#[tokio::test]
async fn a_prompt_typed_into_the_dashboard_is_answered_on_the_screen() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("seventeen purple elephants"))?;
    let worker = cluster.spawn_worker(&script, 1).await?;

    let mut terminal = Terminal::open(&cluster)?;
    terminal.until_it_shows("● live").await?;
    assert!(terminal.is_taken());
    terminal.press("2")?;
    terminal.until_it_shows(worker.as_str()).await?;
    terminal.press("6")?;
    terminal.until_it_shows("Ask something").await?;
    // Out of the prompt, to the model that runs, and into the prompt again.
    terminal.press("\u{1b}")?;
    terminal.until_it_shows("m model").await?;
    terminal.press("m")?;
    terminal.until_it_shows("short.gguf").await?;
    terminal.press("i")?;
    terminal.until_it_shows("Enter send").await?;
    terminal.press("how many?")?;
    terminal.until_it_shows("how many?").await?;
    terminal.press("\r")?;
    terminal.until_it_shows("seventeen purple elephants").await?;

    // An answer gives the keys back; to the fleet, and away.
    terminal.until_it_shows("q back").await?;
    terminal.press("1")?;
    terminal.until_it_shows("q quit").await?;
    assert_eq!(terminal.quit().await?, 0);
    assert!(!terminal.hides_cursor(), "the cursor is back");
    let fleet = cluster.processes_with(1).await?;
    assert_eq!(cluster.processes().len(), fleet, "the fleet goes on");
    cluster.close()
}

#[tokio::test]
async fn a_dashboard_that_is_terminated_gives_the_terminal_back() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let mut terminal = Terminal::open(&cluster)?;
    terminal.until_it_shows("No hive runs yet").await?;
    cluster.signal(terminal.pid()?, Signal::TERM)?;
    terminal.exit_code().await?;
    assert!(!terminal.is_taken() && !terminal.hides_cursor());
    cluster.close()
}

#[tokio::test]
async fn the_mouse_is_the_dashboards_only_while_it_is_asked_for() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let mut terminal = Terminal::open(&cluster)?;
    terminal.until_it_shows("? help").await?;
    assert!(!terminal.takes_mouse());
    terminal.press("M")?;
    terminal.until_it_shows("hold Shift").await?;
    assert!(terminal.takes_mouse());
    // A press on the name of a view, in the second row and the 13th column.
    terminal.press("\u{1b}[<0;13;2M\u{1b}[<0;13;2m")?;
    terminal.until_it_shows("[2 workers]").await?;
    cluster.signal(terminal.pid()?, Signal::TERM)?;
    terminal.exit_code().await?;
    assert!(!terminal.takes_mouse(), "it is the terminal's again");
    assert!(!terminal.is_taken() && !terminal.hides_cursor());
    cluster.close()
}

#[tokio::test]
async fn a_dashboard_opens_as_it_was_left_however_it_was_left() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    cluster.keeper(&["hive", "start"]).await?.succeeded()?;
    let mut terminal = Terminal::open(&cluster)?;
    terminal.until_it_shows("localhost").await?;
    terminal.press("3/cpu\r")?;
    terminal.until_it_shows("/cpu").await?;
    terminal.until_it_shows("Enter open").await?;
    cluster.signal(terminal.pid()?, Signal::TERM)?;
    terminal.exit_code().await?;

    let mut terminal = Terminal::open(&cluster)?;
    terminal.until_it_shows("[3 gpus]").await?;
    terminal.until_it_shows("/cpu").await?;
    terminal.press("5")?;
    terminal.until_it_shows("[5 jobs]").await?;
    assert_eq!(terminal.quit().await?, 0);

    // What cannot be read costs a notice and not the start.
    let session = cluster.paths().keeper_dir().join("session.json");
    std::fs::write(&session, "{\"v\":1,\"queens\":[{")?;
    let mut terminal = Terminal::open(&cluster)?;
    terminal.until_it_shows("the last session is not restored").await?;
    terminal.until_it_shows("[1 fleet]").await?;
    assert_eq!(terminal.quit().await?, 0);
    assert!(std::fs::read_to_string(&session)?.ends_with('}'), "it is whole again");
    cluster.close()
}

#[tokio::test]
async fn the_configuration_is_edited_and_counts_at_once() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    // An editor that adds the same section each time it is opened.
    let editor = r#"printf '[keys.everywhere]\nhelp = "H"\n' >>"#;
    let file = cluster.paths().config_file();
    let before = std::fs::read_to_string(&file)?;
    let mut terminal = Terminal::running_with(&cluster, &[], &[("VISUAL", editor)])?;
    terminal.until_it_shows("? help").await?;
    terminal.press("E")?;
    terminal.until_it_shows("The configuration counts from now on").await?;
    terminal.until_it_shows("H help").await?;
    // The same section twice is a mistake, and the keys stay as they are.
    terminal.press("E")?;
    terminal.until_it_shows("nothing of it counts").await?;
    terminal.until_it_shows("config.toml:").await?;
    terminal.press("q")?;
    terminal.until_it_shows("H help").await?;
    assert_eq!(terminal.quit().await?, 0);
    std::fs::write(&file, before)?;
    cluster.close()
}

#[tokio::test]
async fn without_a_queen_the_dashboard_offers_to_start_one() -> anyhow::Result<()> {
    let cluster = Cluster::install(Setup::default())?;
    let mut terminal = Terminal::open(&cluster)?;
    terminal.until_it_shows("start a queen").await?;
    assert_eq!(cluster.processes(), []);
    terminal.press("y")?;
    terminal.until_it_shows("No hive runs yet").await?;
    cluster.pid(Daemon::Queen)?;
    assert_eq!(terminal.quit().await?, 0);
    cluster.close()
}

#[tokio::test]
async fn a_queen_who_comes_back_at_another_address_is_found() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let mut terminal = Terminal::open(&cluster)?;
    terminal.until_it_shows("● live").await?;
    cluster.keeper(&["queen", "stop"]).await?.succeeded()?;
    terminal.until_it_shows("DISCONNECTED").await?;
    cluster.keeper(&["queen", "start"]).await?.succeeded()?;
    let now = cluster.url(Daemon::Queen)?;
    terminal.until_it_shows(&format!("{} ● live", now.trim_start_matches("http://"))).await?;
    // Whatever is asked is asked there.
    terminal.press("8")?;
    terminal.until_it_shows("ms for a question").await?;
    assert_eq!(terminal.quit().await?, 0);
    cluster.close()
}

#[tokio::test]
async fn on_the_first_run_hosts_of_ssh_are_offered_and_a_key_starts_this_machine()
-> anyhow::Result<()> {
    let cluster = Cluster::install(Setup::default())?;
    let ssh = cluster.home().join(".ssh");
    fs::create_dir_all(&ssh)?;
    fs::write(ssh.join("config"), "Host gpu-1 attic\nHost *\n  User ada\n")?;
    cluster.keeper(&["queen", "start"]).await?.succeeded()?;

    let mut terminal = Terminal::open(&cluster)?;
    terminal.until_it_shows("Found in ~/.ssh/config:  gpu-1  attic").await?;
    // Picked and looked at; nothing was asked of the queen yet.
    terminal.press("2")?;
    terminal.until_it_shows("Add a machine").await?;
    terminal.press("att\t\r")?;
    terminal.until_it_shows("Same as: rbee-keeper").await?;
    terminal.until_it_shows("hive install attic").await?;
    terminal.press("\u{1b}")?;
    terminal.until_it_shows("1 this machine").await?;
    terminal.press("1")?;
    terminal.until_it_shows("● localhost").await?;
    cluster.pid(Daemon::Hive)?;
    assert_eq!(terminal.quit().await?, 0);
    let jobs = cluster.keeper(&["job", "list", "-o", "json"]).await?.succeeded()?.json()?;
    assert_eq!(jobs["jobs"].as_array().map(Vec::len), Some(1), "{jobs}");
    cluster.close()
}

#[tokio::test]
async fn a_machine_whose_key_nobody_knows_is_added_once_its_key_was_seen() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let unknown = MachineSetup { is_unknown: true, ..MachineSetup::default() };
    let machine = Machine::start_with(&cluster, "gpu-1", unknown).await?;
    let mut terminal = Terminal::open(&cluster)?;
    terminal.until_it_shows("Found in ~/.ssh/config:  gpu-1").await?;
    terminal.press("2gp\t\r")?;
    terminal.until_it_shows("[y] yes, install it").await?;
    assert!(!terminal.text().contains("SHA256"), "{}", terminal.text());
    terminal.press("y")?;
    terminal.until_it_shows("gpu-1 shows a key that is not known").await?;
    assert_eq!(machine.files(), [""; 0], "nothing went there");

    terminal.press(":hive install gpu-1\r")?;
    terminal.until_it_shows("Its key is not known yet").await?;
    assert!(terminal.text().contains(&machine.fingerprint()?), "{}", terminal.text());
    terminal.press("y")?;
    terminal.until_it_shows("gpu-1 installed in").await?;
    terminal.until_it_shows("● gpu-1").await?;
    assert_eq!(terminal.quit().await?, 0);
    cluster.keeper(&["hive", "stop", "gpu-1"]).await?.succeeded()?;
    cluster.close()
}

#[tokio::test]
async fn a_worker_is_started_and_stopped_by_typed_commands() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("one"))?;
    let mut terminal = Terminal::open(&cluster)?;
    terminal.until_it_shows("No hive runs yet").await?;
    terminal.press(&format!(":worker spawn --model {}\r", script.model()))?;
    terminal.until_it_shows("spawned in").await?;
    terminal.press("2")?;
    terminal.until_it_shows("[2 workers]").await?;
    terminal.press(":worker stop\r")?;
    terminal.until_it_shows("[d] drain first").await?;
    // Enter is inert; the answer is a letter.
    terminal.press("\rd")?;
    terminal.until_it_shows("stopped in").await?;
    terminal.until_it_shows("No workers").await?;
    // Both left the command that does the same.
    terminal.press("@")?;
    terminal.until_it_shows("rbee-keeper worker spawn --model").await?;
    terminal.until_it_shows("worker delete wk-").await?;
    terminal.press("q")?;
    assert_eq!(terminal.quit().await?, 0);
    cluster.close()
}

#[tokio::test]
async fn a_job_from_elsewhere_is_asked_for_once_more() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("seventeen purple elephants"))?;
    let failed = cluster.submit(&Cluster::infer(&script)).await?;
    cluster.read(&failed).await?.error()?;
    cluster.spawn_worker(&script, 1).await?;

    let mut terminal = Terminal::open(&cluster)?;
    terminal.until_it_shows("● live").await?;
    terminal.press(&format!(":job retry {failed}\r"))?;
    terminal.until_it_shows("done once more in").await?;
    assert_eq!(terminal.quit().await?, 0);
    let list = cluster.keeper(&["job", "list", "--state", "done", "-o", "name"]).await?;
    let newest = list.stdout.lines().next().unwrap_or_default().parse()?;
    assert_eq!(cluster.read(&newest).await?.text(), "seventeen purple elephants");
    cluster.close()
}

#[tokio::test]
async fn every_view_shows_what_the_queen_and_the_machines_say() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("seventeen purple elephants"))?;
    let worker = cluster.spawn_worker(&script, 1).await?;

    let mut terminal = Terminal::open(&cluster)?;
    terminal.until_it_shows("● live").await?;
    terminal.press("\r")?;
    terminal.until_it_shows("[Overview]").await?;
    terminal.press("]")?;
    terminal.until_it_shows("[Workers]").await?;
    terminal.press("\r")?;
    terminal.until_it_shows(&format!("localhost › {worker}")).await?;
    terminal.press("/")?;
    terminal.until_it_shows("find:").await?;
    terminal.press("no such word\r")?;
    terminal.until_it_shows("is not in it").await?;
    terminal.press("4")?;
    terminal.until_it_shows("● demo").await?;
    terminal.press("7")?;
    terminal.until_it_shows("[7 events]").await?;
    terminal.press("8")?;
    terminal.until_it_shows("ms for a question").await?;
    terminal.until_it_shows("build").await?;
    assert_eq!(terminal.quit().await?, 0);
    cluster.close()
}
