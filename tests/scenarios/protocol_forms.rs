//! What is asked for is the same in every documented way of writing it. That
//! every operation is understood in each is the table's (see `conformance`).

use harness::{Cluster, Script};
use protocol::job::EndMarker;
use serde_json::json;

use crate::conformance::forms;

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
