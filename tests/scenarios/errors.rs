//! What cannot be done is said at once, with what is wrong and what would be
//! right.

use harness::{Answer, Cluster, Daemon, Script};
use serde_json::{Value, json};

fn infer_with(field: &str, value: Value) -> Value {
    let mut operation = json!({"operation": "infer", "prompt": "x", "model": "demo"});
    operation[field] = value;
    operation
}

/// Status, code, and what message and hint must hold.
fn check(operation: &Value, answer: &Answer, (status, code, message, hint): Told) {
    assert_eq!((answer.status, answer.code()), (status, code), "{operation}: {answer:?}");
    assert!(answer.message().contains(message), "{operation}: {answer:?}");
    assert!(answer.hint().contains(hint), "{operation}: {answer:?}");
}

type Told = (u16, &'static str, &'static str, &'static str);

#[tokio::test]
async fn a_wrong_operation_is_refused_at_the_post_by_the_name_of_its_field() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    for (operation, told) in [
        (
            json!({"operation": "worker_spwan"}),
            (422, "unknown_operation", "worker_spwan", "did you mean `worker_spawn`?"),
        ),
        (json!({"operation": "infer", "prompt": "x"}), (422, "missing_field", "`model`", "")),
        (json!({"operation": "worker_get"}), (422, "missing_field", "`worker_id`", "")),
        (json!({"operation": "status", "x": 1}), (422, "unknown_field", "\"x\"", "no fields")),
        (
            infer_with("temprature", json!(1)),
            (422, "unknown_field", "temprature", "did you mean `temperature`?"),
        ),
        (infer_with("temperature", json!("hot")), (422, "invalid_field", "`temperature`", "")),
        (infer_with("temperature", json!(7)), (422, "invalid_field", "between 0 and 2", "")),
        (infer_with("max_tokens", json!(-1)), (422, "invalid_field", "`max_tokens`", "")),
        (infer_with("hive_id", json!("a b")), (422, "invalid_field", "`hive_id`", "")),
        (json!({}), (400, "bad_request", "no `operation`", "status")),
        (json!([]), (400, "bad_request", "JSON object", "status")),
    ] {
        check(&operation, &cluster.post_job(Daemon::Queen, &operation).await?, told);
    }
    let jobs = cluster.get("/v1/jobs").await?;
    assert_eq!(jobs.body["jobs"], json!([]), "none of them became a job");
    cluster.close()
}

#[tokio::test]
async fn a_hive_refuses_what_is_the_queens_and_what_it_does_not_have() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    cluster.run(&json!({"operation": "hive_start"})).await?;
    let spawn =
        |device: &str| json!({"operation": "worker_spawn", "model": "demo", "device": device});
    for (operation, told) in [
        (infer_with("seed", json!(1)), (422, "not_a_hive_operation", "`infer`", "")),
        (json!({"operation": "status"}), (422, "not_a_hive_operation", "`status`", "")),
        (
            spawn("GPU-7"),
            (404, "device_not_found", "GPU-7 not found on hive 'localhost'", "CPU-0 ("),
        ),
        (spawn("TPU-1"), (422, "invalid_field", "`device`", "")),
        (
            json!({"operation": "worker_spawn", "model": "org/repo"}),
            (
                404,
                "model_not_found",
                "org/repo is not on this machine",
                "rbee-keeper model download org/repo",
            ),
        ),
        (
            json!({"operation": "worker_get", "worker_id": "wk-none"}),
            (404, "worker_not_found", "wk-none", ""),
        ),
        (
            json!({"operation": "worker_list", "hive_id": "elsewhere"}),
            (404, "hive_not_found", "'elsewhere'", "ask the queen"),
        ),
    ] {
        check(&operation, &cluster.post_job(Daemon::Hive, &operation).await?, told);
    }
    cluster.close()
}

#[tokio::test]
async fn what_is_not_there_is_named_with_what_is() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("a b c"))?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    let misspelt = format!("{worker}x");
    let did_you_mean = format!("did you mean `{worker}`?");
    for (operation, code, message, hint) in [
        (
            json!({"operation": "infer", "prompt": "x", "model": "org/repo"}),
            "no_worker",
            "no worker runs org/repo",
            "rbee-keeper worker spawn --model org/repo",
        ),
        (
            json!({"operation": "worker_spawn", "model": "demo", "device": "GPU-7"}),
            "device_not_found",
            "GPU-7 not found on hive 'localhost'",
            "available: CPU-0 (",
        ),
        (
            json!({"operation": "worker_get", "worker_id": misspelt}),
            "worker_not_found",
            misspelt.as_str(),
            did_you_mean.as_str(),
        ),
        (
            json!({"operation": "infer", "prompt": "x", "model": "demo", "worker_id": misspelt}),
            "worker_not_found",
            misspelt.as_str(),
            did_you_mean.as_str(),
        ),
        (
            json!({"operation": "hive_get", "alias": "localhots"}),
            "hive_not_found",
            "no hive 'localhots'",
            "did you mean `localhost`?",
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
