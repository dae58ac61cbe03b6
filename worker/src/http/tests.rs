use ::http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::{
    engine::scripted::{Gate, Script},
    generation::{Activity, Generator, Limits},
    phase::{Identity, Phase},
};

struct Bench {
    router: Router,
    generator: Generator,
    gate: Gate,
}

impl Bench {
    /// A worker that says five words, each when it is allowed to.
    fn new() -> Self {
        let (loaded, gate) = Script::saying("one two three four five").load_gated();
        let generator = Generator::start(loaded, Limits::default()).unwrap();
        let phases = phases();
        phases.set(Phase::Serving(generator.clone()));
        let router = router(phases, Shutdown::new(), Contact::default(), &Metrics::new());
        Self { router, generator, gate }
    }

    async fn call(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn infer(&self, body: Value) -> Response {
        self.call(post(&body)).await
    }

    async fn resume(&self, id: &str, after: &str) -> Response {
        let uri = format!("{}/{id}/stream", routes::INFERENCE);
        let request = Request::get(uri).header(routes::LAST_EVENT_ID_HEADER, after);
        self.call(request.body(Body::empty()).unwrap()).await
    }

    async fn until_idle(&self) {
        let mut activity = self.generator.activity();
        activity.wait_for(Activity::is_idle).await.unwrap();
    }
}

fn phases() -> Phases {
    let identity = Identity { worker_id: "wk-1".parse().unwrap(), incarnation: 1 };
    Phases::new(identity, Some(1_000))
}

fn post(body: &Value) -> Request<Body> {
    Request::post(routes::INFERENCE)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

async fn text(response: Response) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// The tokens' texts and the end marker.
fn story(stream: &str) -> (String, String) {
    let mut said = String::new();
    let mut end = String::new();
    for data in stream.lines().filter_map(|line| line.strip_prefix("data: ")) {
        match serde_json::from_str::<Value>(data) {
            Ok(event) if event["event"] == "token" => {
                said.push_str(event["message"].as_str().unwrap());
            }
            Ok(_) => {}
            Err(_) => data.clone_into(&mut end),
        }
    }
    (said, end)
}

#[tokio::test]
async fn an_answer_is_tokens_then_figures_then_one_end() {
    let bench = Bench::new();
    drop(bench.gate);
    let response = bench.router.clone().oneshot(post(&json!({"prompt": "say"}))).await.unwrap();
    let stream = text(response).await;
    assert_eq!(story(&stream), ("one two three four five".to_owned(), "[DONE]".to_owned()));
    let stats = stream.lines().rev().find(|line| line.contains(r#""event":"stats""#)).unwrap();
    assert!(stats.contains(r#""generated_tokens":5"#), "{stats}");
    assert!(stats.contains(r#""finish_reason":"stop""#), "{stats}");
}

#[tokio::test]
async fn closing_the_connection_of_a_request_without_an_id_frees_its_slot() {
    let bench = Bench::new();
    bench.gate.allow(1);
    let response = bench.infer(json!({"prompt": "say"})).await;
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    // The step that was under way ends; none follows it.
    bench.gate.allow(1);
    bench.until_idle().await;
    assert!(bench.generator.status().tokens_generated <= 2);
}

#[tokio::test]
async fn a_request_with_an_id_outlives_its_connection_and_is_resumed_after_what_was_seen() {
    let bench = Bench::new();
    bench.gate.allow(2);
    let response = bench.infer(json!({"prompt": "say", "request_id": "r-1"})).await;
    let mut body = response.into_body();
    let mut seen = String::new();
    while story(&seen).0 != "one two" {
        let frame = body.frame().await.unwrap().unwrap();
        seen.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
    drop(body);
    // Three words and the end.
    bench.gate.allow(4);
    let rest = text(bench.resume("r-1", "2").await).await;
    assert_eq!(story(&rest), (" three four five".to_owned(), "[DONE]".to_owned()));
}

#[tokio::test]
async fn the_same_id_twice_is_the_same_request() {
    let bench = Bench::new();
    bench.gate.allow(9);
    let body = json!({"prompt": "say", "request_id": "r-1"});
    let first = text(bench.infer(body.clone()).await).await;
    let second = text(bench.infer(body).await).await;
    assert_eq!(first, second);
    assert_eq!(bench.generator.status().tokens_generated, 5);
}

#[tokio::test]
async fn delete_cancels_a_running_request_and_forgets_an_ended_one() {
    let bench = Bench::new();
    let response = bench.infer(json!({"prompt": "say", "request_id": "r-1"})).await;
    let delete = || {
        let uri = format!("{}/r-1", routes::INFERENCE);
        bench.call(Request::delete(uri).body(Body::empty()).unwrap())
    };
    assert_eq!(delete().await.status(), StatusCode::ACCEPTED);
    assert_eq!(story(&text(response).await).1, "[CANCELLED]");
    bench.gate.allow(1);
    bench.until_idle().await;
    assert_eq!(delete().await.status(), StatusCode::ACCEPTED);
    assert_eq!(delete().await.status(), StatusCode::NOT_FOUND);
    assert_eq!(bench.resume("r-1", "0").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_reads_for_a_minute_is_cancelled() {
    let bench = Bench::new();
    let response = bench.infer(json!({"prompt": "say", "request_id": "r-1"})).await;
    let mut reader = bench.generator.find(&"r-1".parse().unwrap()).unwrap().cursor(0);
    drop(response);
    assert_eq!(reader.next().await, Some(Entry::End(End::Cancelled)));
}

#[tokio::test]
async fn a_wrong_request_names_the_field() {
    let bench = Bench::new();
    for (body, field) in [
        (json!({}), "prompt"),
        (json!({"prompt": "x", "messages": []}), "exclude"),
        (json!({"prompt": "x", "temperature": 9}), "temperature"),
        (json!({"prompt": "x", "n": 2}), "\\\"n\\\""),
        (json!({"prompt": 7}), "prompt"),
    ] {
        let response = bench.infer(body).await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let answer = text(response).await;
        assert!(answer.contains(field), "{field}: {answer}");
    }
}

#[tokio::test]
async fn while_it_loads_a_worker_says_how_far_it_is_and_takes_no_request() {
    let phases = phases();
    phases.set(Phase::Loading(crate::load::LoadProgress::Weights { fraction: 0.25 }));
    let router = router(phases, Shutdown::new(), Contact::default(), &Metrics::new());
    let request = Request::get(routes::HEALTH).body(Body::empty()).unwrap();
    let health = text(router.clone().oneshot(request).await.unwrap()).await;
    assert!(health.contains(r#""status":"loading""#), "{health}");
    assert!(health.contains(r#""done":250"#), "{health}");
    let response = router.oneshot(post(&json!({"prompt": "say"}))).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_numbers_of_a_worker() {
    let bench = Bench::new();
    bench.gate.allow(100);
    text(bench.infer(json!({"prompt": "say"})).await).await;
    bench.until_idle().await;
    let request = Request::get(routes::METRICS).body(Body::empty()).unwrap();
    let numbers = text(bench.call(request).await).await;
    daemon::testing::promtool_check(&numbers).unwrap();
    for sample in [
        "rbee_slots 1",
        "rbee_slots_busy 0",
        "rbee_waiting_requests 0",
        "rbee_tokens_generated_total 5",
        "rbee_kv_cache_tokens 0",
        "rbee_kv_cache_capacity_tokens 4096",
        "rbee_time_to_first_token_seconds_count 1",
        "rbee_sse_readers{stream=\"inference\"} 0",
    ] {
        assert!(numbers.lines().any(|line| line == sample), "no {sample} in:\n{numbers}");
    }
}
