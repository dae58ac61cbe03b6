//! What the dashboard shows while the queen is away or not herself, and that
//! it finds her again.

use harness::{Cluster, Daemon, Impostor, Says, Script, Setup, Terminal};

#[tokio::test]
async fn a_queen_who_is_killed_is_missed_and_comes_back_by_herself() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("one"))?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    let mut terminal = Terminal::open(&cluster)?;
    terminal.until_it_shows("● live").await?;
    terminal.press("2")?;
    terminal.until_it_shows(worker.as_str()).await?;

    cluster.kill9(cluster.pid(Daemon::Queen)?).await?;
    for text in ["DISCONNECTED", "as of ", "Lost the queen", "Attempt "] {
        terminal.until_it_shows(text).await?;
    }
    assert!(terminal.text().contains(worker.as_str()), "what was known is still shown");
    // The countdown counts.
    terminal.until_it_shows(" in 2s").await?;
    terminal.until_it_shows(" in 1s").await?;
    // Keys are heard meanwhile.
    terminal.press("8")?;
    terminal.until_it_shows("[8 queen]").await?;

    cluster.keeper(&["queen", "start"]).await?.succeeded()?;
    terminal.until_it_shows("The queen is back after").await?;
    terminal.until_it_shows("● live").await?;
    assert!(!terminal.text().contains("Lost the queen"));
    assert_eq!(terminal.quit().await?, 0);
    cluster.close()
}

#[tokio::test]
async fn whoever_answers_in_her_place_is_told_from_her_until_she_answers() -> anyhow::Result<()> {
    let cluster = Cluster::install(Setup::default())?;
    let impostor = Impostor::start(Says::Unavailable).await?;
    let mut terminal = Terminal::running(&cluster, &["--queen", impostor.url()])?;
    terminal.until_it_shows("the queen is stopping").await?;
    terminal.until_it_shows("not reached").await?;
    impostor.now_says(Says::SomethingElse);
    terminal.press("\u{12}")?;
    terminal.until_it_shows("Welcome to nginx!").await?;
    terminal.until_it_shows("is another program listening there?").await?;
    impostor.now_says(Says::Nonsense);
    terminal.press("\u{12}")?;
    terminal.until_it_shows("that is not understood").await?;
    terminal.until_it_shows("waiting for what she knows").await?;
    impostor.now_says(Says::Sense);
    terminal.until_it_shows("● live").await?;

    // The same once she has been heard of.
    impostor.now_says(Says::Unavailable);
    terminal.until_it_shows("the queen is stopping").await?;
    terminal.until_it_shows("DISCONNECTED").await?;
    impostor.now_says(Says::Sense);
    terminal.until_it_shows("The queen is back after").await?;
    assert_eq!(terminal.quit().await?, 0);
    cluster.close()
}

#[tokio::test]
async fn a_connection_that_is_only_half_there_is_noticed() -> anyhow::Result<()> {
    let cluster = Cluster::install(Setup::default())?;
    let impostor = Impostor::start(Says::SenseThenNothing).await?;
    let mut terminal = Terminal::running(&cluster, &["--queen", impostor.url()])?;
    terminal.until_it_shows("● live").await?;
    // Three of the signs of life that are due every 5 s.
    terminal.until_it_shows("said nothing for 15 s").await?;
    terminal.until_it_shows("The queen is back after").await?;
    assert_eq!(terminal.quit().await?, 0);
    cluster.close()
}
