//! Every documented way of writing an operation is understood by a queen that
//! runs, and every operation is answered.

use harness::{Cluster, Daemon, Script};
use protocol::{
    job::EndMarker,
    operation::{HiveOperation, QueenOperation},
};
use serde_json::{Value, json};

/// The canonical form, and the two older ones.
fn forms(name: &str, fields: &Value) -> [Value; 3] {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    let pascal: String = name.split('_').map(capital).collect();
    let tagged = |tag: &str, name: &str| {
        let mut operation = fields.clone();
        operation[tag] = name.into();
        operation
    };
    [tagged("operation", name), json!({"operation": {&pascal: fields}}), tagged("type", &pascal)]
}

#[tokio::test]
async fn an_inference_is_the_same_in_every_form() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("the same words every time"))?;
    cluster.spawn_worker(&script, 1).await?;
    let fields = json!({"prompt": "x", "model": script.model(), "max_tokens": 3});
    for form in forms("infer", &fields) {
        let transcript = cluster.run(&form).await?;
        assert_eq!(transcript.text(), "the same words ", "{form}");
        assert_eq!(transcript.end, EndMarker::Done, "{form}");
        assert_eq!(transcript.result()["stats"]["generated_tokens"], 3, "{form}");
    }
    for unit in ["status", "Status"] {
        let transcript = cluster.run(&json!({"operation": unit})).await?;
        assert_eq!(transcript.result()["workers"].as_array().map(Vec::len), Some(1), "{unit}");
    }
    let both = json!({"operation": "status", "type": "Status"});
    let answer = cluster.post_job(Daemon::Queen, &both).await?;
    assert_eq!((answer.status, answer.code()), (400, "bad_request"), "{answer:?}");
    cluster.close()
}

#[tokio::test]
async fn an_answer_without_streaming_is_one_text() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("all of it at once"))?;
    cluster.spawn_worker(&script, 1).await?;
    let mut whole = Cluster::infer(&script);
    whole["stream"] = false.into();
    let transcript = cluster.run(&whole).await?;
    assert_eq!(transcript.token_count(), 0);
    assert_eq!(transcript.result()["text"], "all of it at once");

    let messages = json!([{"role": "user", "content": "Hello"}]);
    let chat = json!({"operation": "infer", "messages": messages, "model": script.model()});
    assert_eq!(cluster.run(&chat).await?.text(), "all of it at once");
    cluster.close()
}

#[tokio::test]
async fn every_operation_is_answered_alike_in_every_form() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("a b c"))?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    let fields = |name: &str| match name {
        "infer" => json!({"prompt": "x", "model": script.model()}),
        "worker_spawn" => json!({"model": script.model(), "device": "CPU-0"}),
        "model_download" => json!({"model": "demo"}),
        "worker_get" => json!({"worker_id": worker}),
        "worker_delete" => json!({"worker_id": "wk-none"}),
        "model_get" | "model_delete" => json!({"id": "demo"}),
        "ssh_test" | "hive_install" | "hive_uninstall" | "hive_update" => json!({"alias": "box"}),
        name if name.starts_with("hive_") && name != "hive_list" => json!({"alias": "localhost"}),
        _ => json!({}),
    };
    // Without a hive there is nothing to ask the others for.
    let (last, mut names): (Vec<&str>, Vec<&str>) = QueenOperation::NAMES
        .iter()
        .chain(HiveOperation::NAMES)
        .partition(|name| **name == "hive_stop");
    names.extend(last);
    for name in names {
        let mut outcomes = Vec::new();
        for form in forms(name, &fields(name)) {
            let answer = cluster.post_job(Daemon::Queen, &form).await?;
            outcomes.push(if answer.status == 200 {
                let job = answer.body["job_id"].as_str().unwrap_or_default().parse()?;
                let transcript = cluster.read(&job).await?;
                let record = cluster.job(&job).await?;
                assert_eq!(record.operation, name, "{form}");
                let code = record.error.map(|error| error.code.to_string());
                if code.is_none() && name != "hive_stop" {
                    assert_ne!(transcript.result(), Value::Null, "{form} has a result");
                }
                (200, code.unwrap_or_default())
            } else {
                (answer.status, answer.code().to_owned())
            });
        }
        // The demo model is a part of the program and cannot be deleted.
        let supported = ["", "unsupported_operation", "worker_not_found", "conflict"];
        assert!(supported.contains(&outcomes[0].1.as_str()), "{name}: {outcomes:?}");
        assert!(outcomes.iter().all(|it| *it == outcomes[0]), "{name}: {outcomes:?}");
    }
    cluster.close()
}
