use std::time::Duration;

use axum::body::Body;
use daemon::jobs::Retention;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use protocol::HiveId;
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;

use super::*;
use crate::{
    devices::choice::tests::{cpu, gpu},
    models::{HubConfig, Models, Silence, TokenFile},
    workers::{Means, RestartPolicy, Workers, launcher},
};

/// A hive without a listener, on devices of our choice.
struct Bench {
    router: Router,
    stop: Stop,
    _background: DropGuard,
    _directory: TempDir,
}

impl Bench {
    async fn new(devices: Devices) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let launcher = launcher::tests::launcher(directory.path());
        let feed = Feed::new();
        let background = CancellationToken::new();
        let means = Means {
            launcher: launcher.clone(),
            devices: devices.clone(),
            policy: RestartPolicy { delay_first: Duration::from_secs(1), tries_max: 5 },
            threads_max: None,
            drain: Duration::from_secs(1),
            feed: feed.clone(),
        };
        let workers = Workers::start(means, background.clone()).await;
        let file = directory.path().join("jobs.sqlite");
        let jobs = Jobs::open(&file, "hive", Retention::default(), feed.clone()).await.unwrap();
        let stop = Stop::default();
        let hub = HubConfig {
            endpoint: "http://127.0.0.1:9".parse().map_err(|_| String::new()),
            cache_dir: directory.path().join("hub"),
            token_file: TokenFile::Usual(directory.path().join("token")),
            silence: Silence::default(),
            chunk_bytes: 1024,
        };
        let (demo_dir, catalog) =
            (directory.path().join("models"), directory.path().join("m.sqlite"));
        let models = Models::open(HiveId::localhost(), demo_dir, hub, &catalog).unwrap();
        let hive = Hive { id: HiveId::localhost(), devices, workers, launcher, models };
        let router = router(Arc::new(hive), &jobs, &feed, &stop, Door::new(None));
        Self { router, stop, _background: background.drop_guard(), _directory: directory }
    }

    async fn with_gpu() -> Self {
        Self::new(Devices::fixed(vec![gpu(0, 1), cpu()], None)).await
    }

    async fn call(&self, request: Request<Body>) -> (StatusCode, String) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let (status, body) = self.call(Request::get(path).body(Body::empty()).unwrap()).await;
        (status, serde_json::from_str(&body).unwrap())
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = Request::post(path).header("content-type", "application/json");
        let (status, body) = self.call(request.body(Body::from(body.to_string())).unwrap()).await;
        (status, serde_json::from_str(&body).unwrap())
    }

    async fn refused(&self, operation: Value) -> (u16, ApiError) {
        let (status, body) = self.post(routes::JOBS, &operation).await;
        (status.as_u16(), serde_json::from_value(body["error"].clone()).unwrap())
    }

    async fn job(&self, operation: Value) -> String {
        let (status, body) = self.post(routes::JOBS, &operation).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let path = body["sse_url"].as_str().unwrap().to_owned();
        self.call(Request::get(path).body(Body::empty()).unwrap()).await.1
    }
}

#[tokio::test]
async fn nothing_of_a_worker_is_reached_through_its_hive_but_its_inferences() {
    let bench = Bench::with_gpu().await;
    let code = async |path: &str| {
        let (status, body) = bench.post(&format!("/v1/workers/w-1/relay/{path}"), &json!({})).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {body}");
        body["error"]["code"].as_str().unwrap().to_owned()
    };
    for path in [
        "v1/shutdown",
        "metrics",
        "v1/inferences",
        "v1/inference/",
        "v1/inference/..",
        "v1/inference/../shutdown",
        "v1/inference/%2e%2e/shutdown",
        "v1/inference/%2e%2e%2fshutdown/stream",
        "v1/inference/req-1/stream/..",
    ] {
        assert_eq!(code(path).await, "route_not_found", "{path}");
    }
    for path in ["v1/inference", "v1/inference/req-1", "v1/inference/req-1/stream"] {
        assert_eq!(code(path).await, "worker_not_found", "{path}");
    }
}

#[tokio::test]
async fn health_and_build_info_are_answered() {
    let bench = Bench::with_gpu().await;
    assert_eq!(bench.get(routes::HEALTH).await, (StatusCode::OK, json!({ "status": "ok" })));
    let (status, build) = bench.get(routes::BUILD_INFO).await;
    assert_eq!((status, &build["version"]), (StatusCode::OK, &json!(daemon::build::VERSION)));
}

#[tokio::test]
async fn capabilities_list_the_devices_or_say_why_there_is_no_gpu() {
    let (_, with_gpu) = Bench::with_gpu().await.get(routes::CAPABILITIES).await;
    assert_eq!(with_gpu["devices"][0]["id"], "GPU-0");
    assert_eq!(with_gpu["devices"][0]["device_type"], "gpu");
    assert_eq!(with_gpu["devices"][0]["vram_gb"], 139);
    assert_eq!(with_gpu["devices"][1]["cores"], 16);
    assert!(with_gpu.get("note").is_none());

    let note = "no NVIDIA driver library (libnvidia-ml.so.1) found: CPU only";
    let bench = Bench::new(Devices::fixed(vec![cpu()], Some(note))).await;
    let (_, without) = bench.get(routes::CAPABILITIES).await;
    assert_eq!(without["note"], note);
    assert_eq!(without["devices"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_at_the_post_with_its_remedy() {
    let bench = Bench::with_gpu().await;
    for (operation, status, code, message, hint) in [
        (
            json!({"operation": "worker_spawn", "model": "demo", "device": "GPU-7"}),
            404,
            "device_not_found",
            "GPU-7 not found on hive 'localhost'",
            "available: GPU-0 (NVIDIA H200, 139 GiB), CPU-0 (16 cores)",
        ),
        (
            json!({"operation": "worker_spawn", "model": "org/repo"}),
            404,
            "model_not_found",
            "model org/repo is not on this machine",
            "rbee-keeper model download org/repo",
        ),
        (
            json!({"operation": "worker_get", "worker_id": "wk-1"}),
            404,
            "worker_not_found",
            "no worker wk-1 on this hive",
            "there are no workers here",
        ),
        (
            json!({"operation": "worker_delete", "id": "wk-1"}),
            404,
            "worker_not_found",
            "no worker wk-1 on this hive",
            "there are no workers here",
        ),
        (
            json!({"operation": "infer", "model": "demo", "prompt": "x"}),
            422,
            "not_a_hive_operation",
            "`infer` is carried out by the queen, not by a hive",
            "POST it to the queen, by default http://127.0.0.1:8500",
        ),
        (
            json!({"operation": "worker_spwan"}),
            422,
            "unknown_operation",
            "unknown operation \"worker_spwan\"",
            "did you mean `worker_spawn`?",
        ),
        (
            json!({"operation": "worker_list", "hive_id": "gpu-3"}),
            404,
            "hive_not_found",
            "this is the hive 'localhost', not 'gpu-3'",
            "ask the queen for it",
        ),
    ] {
        let (got_status, error) = bench.refused(operation.clone()).await;
        assert_eq!((got_status, error.code.as_str()), (status, code), "{operation}");
        assert_eq!((error.message.as_str(), error.hint.as_deref()), (message, Some(hint)));
    }
}

#[tokio::test]
async fn an_empty_list_is_a_result_and_not_an_error() {
    let stream = Bench::with_gpu().await.job(json!({"operation": "worker_list"})).await;
    assert!(stream.contains(r#""message":"no workers""#), "{stream}");
    assert!(stream.contains(r#""result":{"workers":[]}"#), "{stream}");
    assert!(stream.trim_end().ends_with("data: [DONE]"), "{stream}");
}

#[tokio::test]
async fn a_spawn_of_a_file_that_is_not_there_tells_so_in_its_job() {
    let operation = json!({"operation": "worker_spawn", "model": "/nowhere/x.gguf"});
    let stream = Bench::with_gpu().await.job(operation).await;
    let end = "data: [ERROR] model /nowhere/x.gguf is not on this machine";
    assert!(stream.contains(end), "{stream}");
}

#[tokio::test]
async fn a_shutdown_is_answered_and_says_what_becomes_of_the_workers() {
    for (path, stops_workers, said) in [
        ("/v1/shutdown", false, "live on"),
        ("/v1/shutdown?stop_workers=false", false, "live on"),
        ("/v1/shutdown?stop_workers=true", true, "ends its workers"),
    ] {
        let bench = Bench::with_gpu().await;
        let (status, answer) = bench.post(path, &json!({})).await;
        assert_eq!(status, StatusCode::OK);
        assert!(answer["message"].as_str().unwrap().contains(said), "{answer}");
        assert!(bench.stop.shutdown.is_asked());
        assert_eq!(bench.stop.stops_workers(), stops_workers);
    }
}

#[tokio::test]
async fn a_shutdown_with_a_misspelt_wish_does_not_happen() {
    let bench = Bench::with_gpu().await;
    for (path, code) in [
        ("/v1/shutdown?stop_worker=true", "unknown_field"),
        ("/v1/shutdown?stop_workers=yes", "invalid_field"),
    ] {
        let (status, answer) = bench.post(path, &json!({})).await;
        assert_eq!(status.as_u16(), 422);
        assert_eq!(answer["error"]["code"], code);
        assert!(!bench.stop.shutdown.is_asked());
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_as_errors_of_ours() {
    let bench = Bench::with_gpu().await;
    let (status, answer) = bench.get("/v1/nothing").await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (404, &json!("route_not_found")));
    let (status, answer) = bench.get(routes::SHUTDOWN).await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (405, &json!("method_not_allowed")));
}

#[tokio::test]
async fn a_web_page_is_not_let_in() {
    let bench = Bench::with_gpu().await;
    for (method, path) in
        [("POST", routes::SHUTDOWN), ("GET", routes::CAPABILITIES), ("GET", routes::STATUS)]
    {
        let request = Request::builder().method(method).uri(path).header("origin", "http://evil");
        let (status, _) = bench.call(request.body(Body::empty()).unwrap()).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
    }
    assert!(!bench.stop.shutdown.is_asked());
}

#[tokio::test]
async fn the_log_of_a_worker_that_is_not_here_and_a_wrong_parameter_are_refused() {
    let bench = Bench::with_gpu().await;
    let (status, body) = bench.get("/v1/workers/wk-1/logs").await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (StatusCode::NOT_FOUND, &json!("worker_not_found"))
    );
    let (status, body) = bench.get("/v1/workers/wk-1/logs?lines=0").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    let (status, body) = bench.get("/v1/workers/wk-1/logs?after=here").await;
    assert_eq!((status, &body["error"]["code"]), (StatusCode::BAD_REQUEST, &json!("bad_cursor")));
}
