//! What a shell script can rely on: exit codes, streams, formats.

use std::{io::Write as _, process::Stdio};

use harness::{Cluster, Script, Setup};
use protocol::job::{EndMarker, JobState};

#[tokio::test]
async fn every_outcome_has_its_exit_code() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    cluster.keeper(&["hive", "start"]).await?.succeeded()?;
    let broken = cluster.script("broken", &serde_json::json!({"tokens": 7}))?.model();
    for (args, code) in [
        (vec!["status"], 0),
        (vec!["queen", "status"], 0),
        (vec!["worker", "spawn", "--model", &broken, "--device", "CPU-0"], 1),
        (vec!["infer", "x", "--temperature", "7"], 2),
        (vec!["frobnicate"], 2),
        (vec!["worker", "delete", "wk-1"], 2),
        (vec!["worker", "get", "wk-none"], 3),
        (vec!["hive", "get", "gpu-9"], 3),
        (vec!["job", "attach", "job-none"], 3),
        (vec!["infer", "x", "--model", "org/repo"], 3),
        (vec!["--queen", "http://127.0.0.1:1", "status"], 5),
    ] {
        let output = cluster.keeper(&args).await?;
        assert_eq!(output.code, Some(code), "{args:?}: {output:?}");
        let is_error = !matches!(code, 0);
        assert_eq!(output.stdout.is_empty(), is_error, "{args:?}: {output:?}");
        assert!(!output.stderr.contains("panicked"), "{args:?}: {output:?}");
    }
    cluster.close()
}

#[tokio::test]
async fn without_a_queen_a_question_is_answered_with_what_to_do() -> anyhow::Result<()> {
    let cluster = Cluster::install(Setup::default())?;
    for args in [&[][..], &["status"], &["job", "list"], &["worker", "list"]] {
        let output = cluster.keeper(args).await?;
        assert_eq!(output.code, Some(5), "{args:?}: {output:?}");
        assert!(output.stderr.contains("rbee-keeper queen start"), "{args:?}: {output:?}");
    }
    assert_eq!(cluster.keeper(&["queen", "status"]).await?.code, Some(3));
    cluster.keeper(&["queen", "stop"]).await?.succeeded()?;
    assert_eq!(cluster.processes(), [], "looking starts nothing");
    cluster.close()
}

#[tokio::test]
async fn what_failed_is_asked_for_once_more_by_the_id_of_its_job() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("seventeen purple elephants"))?;
    let infer = ["infer", "how many?", "--model", &script.model(), "-o", "name"];
    assert_eq!(cluster.keeper(&infer).await?.code, Some(3), "nobody runs it");
    let list = cluster.keeper(&["job", "list", "--state", "failed", "-o", "name"]).await?;
    let failed = list.stdout.trim();

    let worker = cluster.spawn_worker(&script, 1).await?;
    let again = cluster.keeper(&["job", "retry", failed]).await?.succeeded()?;
    assert_eq!(again.stdout, "seventeen purple elephants\n");
    let said = again.stderr.split(&format!("{failed} once more, as ")).nth(1);
    let new = said.and_then(|rest| rest.split_whitespace().next()).unwrap().to_owned();
    assert_ne!(new, failed);
    assert_eq!(cluster.job(&failed.parse()?).await?.state, JobState::Failed, "it stays as it is");
    assert_eq!(cluster.job(&new.parse()?).await?.state, JobState::Done);

    // What takes something away is not done once more by mistake.
    cluster.keeper(&["worker", "delete", worker.as_str(), "--yes"]).await?.succeeded()?;
    let list = cluster.keeper(&["job", "list", "-o", "name"]).await?;
    let deletion = list.stdout.lines().next().unwrap_or_default().to_owned();
    let refused = cluster.keeper(&["job", "retry", &deletion]).await?;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("--yes"), "{refused:?}");
    let gone = cluster.keeper(&["job", "retry", &deletion, "--yes"]).await?;
    assert_eq!(gone.code, Some(3), "{gone:?}");
    cluster.close()
}

#[tokio::test]
async fn stdout_is_the_answer_and_stderr_is_everything_else() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let model = cluster.script("short", &Script::words("just the words"))?.model();
    let spawn = ["worker", "spawn", "--model", &model, "--device", "CPU-0", "-o", "name"];
    let early = cluster.keeper(&["worker", "list", "--hive", "localhost"]).await?;
    assert_eq!(early.code, Some(6), "{early:?}");
    assert!(early.stderr.contains("rbee-keeper hive start localhost"), "{early:?}");
    let spawned = cluster.keeper(&spawn).await?.succeeded()?;
    assert!(spawned.stderr.contains("hive 'localhost' is ready"), "{spawned:?}");
    let worker = spawned.stdout.trim();
    assert!(worker.starts_with("wk-") && spawned.stdout.lines().count() == 1, "{spawned:?}");
    assert!(spawned.stderr.contains("is ready after"), "{spawned:?}");

    let infer = ["infer", "x", "--model", &model];
    let loud = cluster.keeper(&infer).await?.succeeded()?;
    assert_eq!(loud.stdout, "just the words\n");
    assert!(loud.stderr.contains("takes it") && loud.stderr.contains("ended by stop"), "{loud:?}");
    let quiet = cluster.keeper(&[&infer[..], &["--quiet"]].concat()).await?.succeeded()?;
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("just the words\n", ""));
    let whole = cluster.keeper(&[&infer[..], &["--no-stream"]].concat()).await?.succeeded()?;
    assert_eq!(whole.stdout, "just the words\n");
    for output in [loud, quiet, whole] {
        assert!(!output.stdout.contains('\u{1b}') && !output.stderr.contains('\u{1b}'));
    }

    let list = cluster.keeper(&["worker", "list", "-o", "name"]).await?.succeeded()?;
    assert_eq!(list.stdout.trim(), worker);
    let delete = ["worker", "delete", worker, "--confirm", worker, "--quiet"];
    cluster.keeper(&delete).await?.succeeded()?;
    assert!(cluster.worker_pids().is_empty());
    cluster.close()
}

#[tokio::test]
async fn an_error_is_json_when_json_was_asked_for() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let json = cluster.keeper(&["worker", "get", "wk-none", "-o", "json"]).await?;
    let document = json.json()?;
    assert_eq!(json.code, Some(3));
    assert_eq!(document["error"]["code"], "worker_not_found", "{document}");
    let lines = cluster.keeper(&["worker", "get", "wk-none", "-o", "ndjson"]).await?;
    let last = lines.json_lines()?.pop().unwrap();
    assert_eq!(last["kind"], "error", "{last}");
    cluster.close()
}

#[tokio::test]
async fn a_detached_job_is_found_again_by_its_id() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("found again"))?;
    cluster.spawn_worker(&script, 1).await?;
    let model = script.model();
    let infer = ["infer", "x", "--model", &model, "--detach", "-o", "name"];
    let detached = cluster.keeper(&infer).await?.succeeded()?;
    let job = detached.stdout.trim();
    let attached = cluster.keeper(&["job", "attach", job]).await?.succeeded()?;
    assert_eq!(attached.stdout, "found again\n");
    let logs = cluster.keeper(&["job", "logs", job]).await?.succeeded()?;
    assert!(logs.stdout.contains("found again"), "{logs:?}");
    cluster.close()
}

#[tokio::test]
async fn a_timeout_ends_the_job_everywhere() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("endless", &Script::endless(20))?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    let model = script.model();
    let infer = ["infer", "x", "--model", &model, "--max-tokens", "9999", "--timeout", "400ms"];
    let output = cluster.keeper(&infer).await?;
    assert_eq!(output.code, Some(7), "{output:?}");
    assert!(output.stderr.contains("deadline exceeded after"), "{output:?}");
    cluster.until_worker(&worker, "a free slot", |it| it["slots_busy"] == 0).await?;
    let job = cluster.get("/v1/jobs?limit=1").await?.body["jobs"][0].clone();
    assert_eq!(job["state"], "failed", "{job}");
    assert_eq!(job["error"]["code"], "deadline_exceeded", "{job}");
    let transcript = cluster.read(&job["id"].as_str().unwrap_or_default().parse()?).await?;
    assert!(matches!(transcript.end, EndMarker::Error(_)));
    cluster.close()
}

#[tokio::test]
async fn a_prompt_can_come_through_a_pipe_and_a_reader_that_leaves_is_no_error()
-> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("said to a pipe"))?;
    cluster.spawn_worker(&script, 1).await?;
    let mut command = cluster.command("rbee-keeper");
    command.args(["--no-tui", "--quiet", "infer", "--model", &script.model(), "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut keeper = command.spawn()?;
    keeper.stdin.take().unwrap().write_all(b"a prompt")?;
    let output = keeper.wait_with_output()?;
    assert_eq!(String::from_utf8(output.stdout)?, "said to a pipe\n");

    let mut keeper = command.spawn()?;
    drop(keeper.stdout.take());
    keeper.stdin.take().unwrap().write_all(b"a prompt")?;
    let output = keeper.wait_with_output()?;
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    cluster.close()
}
