//! What changes, as it changes: `status --watch`, `wait`, recordings, and the
//! names that a shell completes.

use harness::{Cluster, Daemon, Script, Terminal};
use rustix::process::Signal;
use serde_json::Value;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_watcher_is_told_what_a_worker_does_and_that_the_queen_was_away() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    cluster.keeper(&["hive", "start"]).await?.succeeded()?;
    let mut watching = cluster.keeper_running(&["status", "--watch", "--plain"])?;
    watching.until_it_says("hive localhost is ready").await?;
    let script = cluster.script("short", &Script::words("a few words"))?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    watching.until_it_says(&format!("worker {worker} is ready")).await?;
    cluster.kill9(cluster.pid(Daemon::Queen)?).await?;
    watching.until_it_says("the queen is lost").await?;
    cluster.keeper(&["queen", "start"]).await?.succeeded()?;
    watching.until_it_says("the queen is back").await?;
    watching.interrupt()?;
    let output = watching.output().await?;
    assert_eq!(output.code, Some(130), "{output:?}");
    assert!(!output.stdout.contains('│') && !output.stdout.contains('\u{1b}'), "{output:?}");
    cluster.close()
}

#[tokio::test]
async fn the_feed_in_ndjson_is_one_event_a_line_at_once() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let mut watching = cluster.keeper_running(&["status", "--watch", "-o", "ndjson"])?;
    watching.until_it_says("\"kind\":\"snapshot\"").await?;
    let script = cluster.script("short", &Script::words("a few words"))?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    watching.until_it_says("\"kind\":\"worker\"").await?;
    cluster.keeper(&["infer", "x", "--model", &script.model()]).await?.succeeded()?;
    watching.until_it_says("\"kind\":\"narration\"").await?;
    watching.interrupt()?;
    let output = watching.output().await?;
    let lines = lines(&output.stdout);
    assert_eq!(lines[0]["kind"], "connection", "{:?}", lines[0]);
    for (line, seq) in lines.iter().zip(1_u64..) {
        assert_eq!((&line["v"], &line["seq"]), (&1.into(), &seq.into()), "{line}");
    }
    let told = lines.iter().any(|line| line["data"]["id"] == worker.as_str());
    assert!(told, "{lines:?}");
    let mut jobs = lines.iter().filter(|line| line["kind"] == "job");
    assert!(jobs.all(|line| line["job"] == line["data"]["id"]), "{lines:?}");
    assert_eq!(lines.last().unwrap()["kind"], "error", "interrupted");
    cluster.close()
}

#[tokio::test]
async fn waiting_ends_when_it_is_so_and_when_it_can_no_longer_be() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("endless", &Script::endless(20))?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    let worker_name = format!("worker/{worker}");
    let ready = cluster.keeper(&["wait", &worker_name, "--for=ready"]).await?.succeeded()?;
    assert_eq!(ready.stdout, format!("{worker_name} is ready\n"));
    cluster.keeper(&["wait", "hive/localhost", "--for=ready"]).await?.succeeded()?;

    let model = script.model();
    let infer =
        ["infer", "x", "--model", &model, "--max-tokens", "99999", "--detach", "-o", "name"];
    let detached = cluster.keeper(&infer).await?.succeeded()?;
    let job = detached.stdout.trim();
    let job_name = format!("job/{job}");
    let late = cluster.keeper(&["wait", &job_name, "--timeout", "300ms"]).await?;
    assert_eq!(late.code, Some(7), "{late:?}");
    let mut waiting = cluster.keeper_running(&["wait", &job_name, "-o", "ndjson"])?;
    waiting.until_it_says("is running").await?;
    cluster.keeper(&["job", "cancel", job]).await?.succeeded()?;
    let never = waiting.output().await?;
    assert_eq!(never.code, Some(3), "{never:?}");
    assert!(never.stdout.contains("it is cancelled"), "{never:?}");

    let mut waiting =
        cluster.keeper_running(&["wait", &worker_name, "--for=gone", "-o", "ndjson"])?;
    waiting.until_it_says("waiting until it is gone").await?;
    let id = worker.as_str();
    cluster.keeper(&["worker", "delete", id, "--confirm", id]).await?.succeeded()?;
    assert_eq!(waiting.output().await?.code, Some(0));
    let never = cluster.keeper(&["wait", &worker_name]).await?;
    assert_eq!(never.code, Some(3), "{never:?}");
    let never = cluster.keeper(&["wait", "model/org/repo"]).await?;
    assert_eq!(never.code, Some(3), "{never:?}");
    cluster.close()
}

#[tokio::test]
async fn what_was_recorded_is_played_in_the_dashboard_and_line_by_line() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("seventeen purple elephants"))?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    let file = cluster.paths().data_dir.join("fleet.ndjson");
    let name = file.to_str().unwrap();
    let mut recording = cluster.keeper_running(&["record", name, "-o", "ndjson"])?;
    harness::wait_for("the recording to begin", async || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        Ok(harness::Seen::when(text.contains("\"snapshot\""), text))
    })
    .await?;
    cluster.keeper(&["infer", "x", "--model", &script.model()]).await?.succeeded()?;
    harness::wait_for("the end of the job to be recorded", async || {
        let text = std::fs::read_to_string(&file)?;
        Ok(harness::Seen::when(text.contains("elephants") && text.contains("\"done\""), text))
    })
    .await?;
    recording.interrupt()?;
    recording.until_it_says("\"kind\":\"result\"").await?;
    assert_eq!(recording.output().await?.code, Some(0));
    let again = cluster.keeper(&["record", name]).await?;
    assert_eq!(again.code, Some(2), "what is there is not written over: {again:?}");
    cluster.keeper(&["queen", "stop"]).await?.succeeded()?;

    let played =
        cluster.keeper(&["replay", name, "--speed", "0", "-o", "ndjson"]).await?.succeeded()?;
    let played = lines(&played.stdout);
    assert_eq!(played.last().unwrap()["kind"], "result");
    assert!(played.iter().any(|line| line["kind"] == "token"), "{played:?}");

    let mut terminal = Terminal::running(&cluster, &["replay", name, "--speed", "0"])?;
    terminal.until_it_shows("● recording").await?;
    terminal.press("2")?;
    terminal.until_it_shows(worker.as_str()).await?;
    terminal.press("5")?;
    terminal.until_it_shows("done").await?;
    // The selection stays on what was the newest before the job began.
    terminal.press("gg\r")?;
    terminal.until_it_shows("seventeen purple elephants").await?;
    assert_eq!(terminal.quit().await?, 0);

    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, &text[..text.len() - 9])?;
    let cut = cluster.keeper(&["replay", name, "--speed", "0"]).await?.succeeded()?;
    assert!(cut.stderr.contains("not written to its end"), "{cut:?}");
    cluster.close()
}

#[tokio::test]
async fn a_read_only_dashboard_shows_why_a_prompt_is_not_sent() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let mut terminal = Terminal::running(&cluster, &["--read-only"])?;
    terminal.until_it_shows("READ-ONLY").await?;
    terminal.press("6")?;
    terminal.until_it_shows("Enter send").await?;
    terminal.press("anybody?")?;
    terminal.until_it_shows("anybody?").await?;
    terminal.press("\r")?;
    terminal.until_it_shows("this dashboard is read-only").await?;
    terminal.press("\u{1b}\u{1b}")?;
    assert_eq!(terminal.quit().await?, 0);
    let jobs = cluster.get("/v1/jobs?limit=50").await?.body["jobs"].clone();
    assert_eq!(jobs, serde_json::json!([]), "to look is no job");
    cluster.close()
}

#[tokio::test]
async fn a_terminated_recording_is_whole() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let file = cluster.paths().data_dir.join("fleet.ndjson");
    let recording = cluster.keeper_running(&["record", file.to_str().unwrap()])?;
    harness::wait_for("the recording to begin", async || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        Ok(harness::Seen::when(text.contains("\"snapshot\""), text))
    })
    .await?;
    cluster.signal(recording.pid()?, Signal::TERM)?;
    assert_eq!(recording.output().await?.code, Some(0));
    assert!(std::fs::read_to_string(&file)?.ends_with('\n'));
    cluster.close()
}

#[tokio::test]
async fn a_shell_is_told_the_names_of_the_fleet_or_nothing() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("a few words"))?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    let complete = async |words: &[&str]| {
        let mut args = vec!["--", "rbee-keeper"];
        args.extend(words);
        let index = words.len().to_string();
        let env =
            [("RBEE_COMPLETE", "bash"), ("_CLAP_COMPLETE_INDEX", &index), ("_CLAP_IFS", "\n")];
        cluster.keeper_bare(&args, &env).await
    };
    let names = complete(&["worker", "get", ""]).await?.succeeded()?;
    assert!(names.stdout.lines().any(|line| line == worker.as_str()), "{names:?}");
    let hives = complete(&["hive", "get", ""]).await?.succeeded()?;
    assert!(hives.stdout.lines().any(|line| line == "localhost"), "{hives:?}");
    let verbs = complete(&["work"]).await?.succeeded()?;
    assert_eq!(verbs.stdout, "worker");
    cluster.keeper(&["queen", "stop"]).await?.succeeded()?;
    let nothing = complete(&["worker", "get", "wk"]).await?.succeeded()?;
    assert_eq!((nothing.stdout.as_str(), nothing.stderr.as_str()), ("", ""));
    cluster.close()
}
