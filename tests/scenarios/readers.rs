//! Who reads a job's stream, when and how, does not change what is read.

use harness::{Cluster, Daemon, Script, Transcript};
use protocol::{JobId, job::EndMarker};

const AWARE: (&str, &str) = ("accept", "text/event-stream");
const RETRY: &str = "retry: 1000\n\n";

/// A job of some forty tokens that takes a moment.
async fn forty_tokens(cluster: &Cluster) -> anyhow::Result<JobId> {
    let text: String = (0..40).map(|n| format!("word{n} ")).collect();
    let mut script = Script::words(&text);
    script["delay_ms"] = 5.into();
    let script = cluster.script("forty", &script)?;
    cluster.spawn_worker(&script, 1).await?;
    cluster.submit(&Cluster::infer(&script)).await
}

#[tokio::test]
async fn early_late_and_second_readers_get_the_same_bytes() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let job = forty_tokens(&cluster).await?;
    let late = async {
        cluster.until_tokens(&job, 10).await?;
        cluster.aware_stream(&job).await
    };
    let (early, beside, late) =
        tokio::try_join!(cluster.aware_stream(&job), cluster.aware_stream(&job), late)?;
    let afterwards = cluster.aware_stream(&job).await?;

    let transcript = Transcript::parse(&early, 0)?;
    assert_eq!(transcript.end, EndMarker::Done);
    assert_eq!(transcript.token_count(), 40);
    assert!(
        transcript.text().starts_with("word0 word1 ") && transcript.text().ends_with("word39 ")
    );
    for (reader, bytes) in [("beside", beside), ("late", late), ("afterwards", afterwards)] {
        assert_eq!(bytes, early, "{reader}");
    }
    cluster.close()
}

#[tokio::test]
async fn a_reader_that_comes_back_gets_exactly_the_rest() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let job = forty_tokens(&cluster).await?;
    let whole = cluster.aware_stream(&job).await?;
    let body = whole.strip_prefix(RETRY).unwrap();
    let events: Vec<&str> = body.split_inclusive("\n\n").collect();
    let last = events.len() - 1;
    for seen in [0, 1, 2, last / 2, last - 1, last] {
        let rest = format!("{RETRY}{}", events[seen..].concat());
        let id = seen.to_string();
        let by_header = cluster.raw_stream(&job, "", &[AWARE, ("last-event-id", &id)]).await?;
        assert_eq!(by_header, rest, "after {seen}");
        let by_query = cluster.raw_stream(&job, &format!("?after={seen}"), &[AWARE]).await?;
        assert_eq!(by_query, rest, "after {seen}");
        Transcript::parse(&rest, seen as u64)?;
    }
    cluster.close()
}

#[tokio::test]
async fn a_plain_client_gets_data_lines_and_nothing_else() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let job = forty_tokens(&cluster).await?;
    let plain = cluster.raw_stream(&job, "", &[]).await?;
    assert!(plain.lines().all(|line| line.is_empty() || line.starts_with("data: ")), "{plain}");
    assert!(plain.ends_with("data: [DONE]\n\n"), "{plain}");

    let aware = cluster.aware_stream(&job).await?;
    let data = |raw: &str| -> Vec<String> {
        raw.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
    };
    assert_eq!(data(&plain), data(&aware), "the events are the same");

    let text = cluster.raw_stream(&job, "?format=text", &[]).await?;
    let lines = data(&text);
    assert_eq!(lines.len(), data(&plain).len());
    assert!(lines.iter().any(|line| line == "word7 "), "{text}");
    assert!(!text.contains("{\"event\""), "{text}");
    cluster.close()
}

#[tokio::test]
async fn a_reader_that_leaves_does_not_end_the_job() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let job = forty_tokens(&cluster).await?;
    // It goes away in the middle, and for a while nobody reads.
    cluster.until_tokens(&job, 3).await?;
    let transcript = cluster.read(&job).await?;
    assert_eq!((transcript.token_count(), transcript.end), (40, EndMarker::Done));
    cluster.close()
}

#[tokio::test]
async fn a_cursor_that_cannot_be_is_refused_with_what_is_wrong() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let job = cluster.submit(&serde_json::json!({"operation": "status"})).await?;
    let last = cluster.read(&job).await?.events.len();
    let path = format!("/v1/jobs/{job}/stream");
    let future = (last + 1).to_string();
    for (id, status, code) in [
        ("seven", 400, "bad_cursor"),
        ("-1", 400, "bad_cursor"),
        ("1-2", 400, "bad_cursor"),
        (future.as_str(), 409, "cursor_in_future"),
    ] {
        let headers = [AWARE, ("last-event-id", id)];
        let answer = cluster.call(Daemon::Queen, "GET", &path, &headers, None).await?;
        assert_eq!((answer.status, answer.code()), (status, code), "{id}");
    }
    let answer = cluster.get("/v1/jobs/job-unknown/stream").await?;
    assert_eq!((answer.status, answer.code()), (404, "job_not_found"));
    cluster.close()
}
