//! What is not there is said at once, with what would be right. Names that
//! are nearly right are the table's (see `conformance`).

use harness::{Cluster, Daemon, Script};
use serde_json::json;

#[tokio::test]
async fn what_is_not_there_is_named_with_what_is_or_how_to_get_it() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("a b c"))?;
    cluster.spawn_worker(&script, 1).await?;
    for (operation, code, message, hint) in [
        (
            json!({"operation": "infer", "prompt": "x", "model": "org/repo"}),
            "no_worker",
            "no worker runs org/repo",
            "rbee-keeper worker spawn --model org/repo",
        ),
        (
            json!({"operation": "worker_spawn", "model": "org/repo"}),
            "model_not_found",
            "org/repo is not on this machine",
            "rbee-keeper model download org/repo",
        ),
        (
            json!({"operation": "worker_list", "hive_id": "gpu-9"}),
            "hive_not_found",
            "no hive 'gpu-9'",
            "known hives: localhost",
        ),
    ] {
        let job = cluster.submit(&operation).await?;
        let transcript = cluster.read(&job).await?;
        let error = cluster.job(&job).await?.error.unwrap();
        assert_eq!(transcript.error()?, error.one_line(), "{operation}");
        assert_eq!(error.code.as_str(), code, "{operation}");
        assert!(error.message.contains(message), "{operation}: {error}");
        assert!(error.hint.unwrap_or_default().contains(hint), "{operation}: {:?}", transcript.end);
    }
    cluster.close()
}

#[tokio::test]
async fn what_is_refused_at_the_post_never_was_a_job() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    for wrong in [json!({"operation": "worker_spwan"}), json!({"operation": "infer"}), json!({})] {
        let answer = cluster.post_job(Daemon::Queen, &wrong).await?;
        assert!((400..500).contains(&answer.status), "{wrong}: {answer:?}");
    }
    assert_eq!(cluster.get("/v1/jobs").await?.body["jobs"], json!([]));
    cluster.close()
}
