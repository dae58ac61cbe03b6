//! Commands through a pipe, one a line.

use harness::{Cluster, Script};
use serde_json::Value;

#[tokio::test]
async fn the_lines_of_a_file_are_carried_out_in_their_order() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let model = cluster.script("short", &Script::words("just the words"))?.model();
    let lines = format!(
        "# a fleet in four lines\n\nworker spawn --model '{model}' --device CPU-0 -o name\n\
         infer \"what are the words?\" --model '{model}'  # quoted as in a shell\n\
         rbee-keeper worker list -o name\n"
    );
    let output = cluster.keeper_reading(&["--quiet"], &lines).await?.succeeded()?;
    let answers: Vec<&str> = output.stdout.lines().collect();
    let [spawned, words, listed] = answers[..] else { panic!("{output:?}") };
    assert!(spawned.starts_with("wk-"), "{output:?}");
    assert_eq!((words, listed), ("just the words", spawned));
    cluster.close()
}

#[tokio::test]
async fn the_first_line_that_fails_ends_the_batch_and_is_named() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let lines = "queen status -q -o name\nworker get wk-none\nqueen info\n";
    let output = cluster.keeper_reading(&["-"], lines).await?;
    assert_eq!(output.code, Some(3), "{output:?}");
    assert_eq!(output.stdout.lines().count(), 1, "the third line was not carried out: {output:?}");
    assert!(output.stderr.contains("line 2: "), "{output:?}");

    let output = cluster.keeper_reading(&["--keep-going", "-"], lines).await?;
    assert_eq!(output.code, Some(8), "{output:?}");
    assert!(output.stdout.contains("commit"), "the third line was carried out: {output:?}");
    assert!(output.stderr.contains("1 of 3 commands failed: lines 2"), "{output:?}");

    let hopeless = "worker get wk-none\nfrobnicate\n";
    let output = cluster.keeper_reading(&["--keep-going", "-"], hopeless).await?;
    assert_eq!(output.code, Some(3), "nothing was done, so the first reason stands: {output:?}");
    cluster.close()
}

#[tokio::test]
async fn a_batch_in_ndjson_is_one_numbered_stream() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let lines = "queen info\nworker get wk-none\nqueen info\n";
    let output = cluster.keeper_reading(&["-o", "ndjson", "--keep-going", "-"], lines).await?;
    let lines = output.json_lines()?;
    let sequence: Vec<_> = lines.iter().map(|line| line["seq"].as_u64()).collect();
    let expected: Vec<_> = (1..=lines.len() as u64).map(Some).collect();
    assert_eq!(sequence, expected);
    let ends = lines.iter().filter(|line| line["kind"] == "result" || line["kind"] == "error");
    let ends: Vec<&Value> = ends.collect();
    assert_eq!(ends.len(), 3, "{lines:?}");
    let message = ends[1]["error"]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("line 2: "), "{message}");
    cluster.close()
}

#[tokio::test]
async fn a_read_only_keeper_looks_and_changes_nothing() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    for args in [
        &["hive", "start"][..],
        &["infer", "x"],
        &["worker", "spawn", "--model", "demo"],
        &["queen", "stop"],
    ] {
        let output = cluster.keeper_with(args, &[("RBEE_READ_ONLY", "1")]).await?;
        assert_eq!(output.code, Some(4), "{args:?}: {output:?}");
    }
    let lines = "queen status\nhive start\n";
    let output = cluster.keeper_reading(&["--read-only"], lines).await?;
    assert_eq!(output.code, Some(4), "{output:?}");
    assert_eq!(cluster.processes().len(), 1, "only the queen");
    cluster.keeper(&["--read-only", "status"]).await?.succeeded()?;
    cluster.close()
}
