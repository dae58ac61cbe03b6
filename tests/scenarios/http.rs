//! The documented routes of the daemons that run, and their door.

use harness::{Cluster, Daemon, Script};
use protocol::Timestamp;
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> =
        value.as_object().into_iter().flatten().map(|it| it.0.as_str()).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn the_documented_heartbeat_is_answered_as_documented() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let beat = async |body: Value| {
        let path = "/v1/worker-heartbeat";
        cluster.call(Daemon::Queen, "POST", path, &[JSON], Some(body.to_string())).await
    };
    let minimal = |health: &str| {
        json!({
            "worker_id": "worker-123", "timestamp": "2026-11-21T10:00:00Z", "health_status": health
        })
    };
    for health in ["healthy", "degraded", "Healthy"] {
        let answer = beat(minimal(health)).await?;
        let expected =
            json!({"status": "ok", "message": "Heartbeat received from worker worker-123"});
        assert_eq!((answer.status, answer.body), (200, expected), "{health}");
    }
    let answer = beat(minimal("fine")).await?;
    assert_eq!((answer.status, answer.code()), (422, "invalid_field"), "{answer:?}");
    let answer = beat(json!({"worker_id": "worker-123"})).await?;
    assert_eq!((answer.status, answer.code()), (422, "missing_field"), "{answer:?}");
    cluster.close()
}

#[tokio::test]
async fn health_build_status_and_capabilities_have_the_documented_shape() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("a b c"))?;
    let worker = cluster.spawn_worker(&script, 2).await?;
    for daemon in [Daemon::Queen, Daemon::Hive] {
        let health = cluster.call(daemon, "GET", "/health", &[], None).await?;
        assert_eq!((health.status, health.body), (200, json!({"status": "ok"})), "{daemon:?}");
        let build = cluster.call(daemon, "GET", "/v1/build-info", &[], None).await?;
        assert_eq!(keys(&build.body), ["build_timestamp", "features", "git_sha", "version"]);
        let built_at = build.body["build_timestamp"].as_str().unwrap_or_default();
        assert!(built_at.parse::<Timestamp>().is_ok(), "{daemon:?} is not stamped: {build:?}");
        let status = cluster.call(daemon, "GET", "/v1/status", &[], None).await?;
        assert_eq!(keys(&status.body), ["devices", "hives", "jobs", "models", "queen", "workers"]);
    }

    let status = cluster.get("/v1/status").await?.body;
    assert_eq!(status["hives"][0]["id"], "localhost", "{status}");
    assert_eq!(status["hives"][0]["state"], "ready", "{status}");
    let seen = &status["workers"][0];
    assert_eq!((&seen["id"], &seen["slots_total"]), (&json!(worker), &json!(2)), "{seen}");
    assert_eq!(seen["model"], script.model(), "{seen}");

    let capabilities = cluster.call(Daemon::Hive, "GET", "/capabilities", &[], None).await?.body;
    let devices = capabilities["devices"].as_array().unwrap();
    let cpu = devices.iter().find(|device| device["id"] == "CPU-0").unwrap();
    assert_eq!(cpu["device_type"], "cpu", "{cpu}");
    assert_eq!(cpu["vram_gb"], Value::Null, "a processor has no memory of its own: {cpu}");
    assert!(cpu["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{cpu}");
    assert!(cpu["name"].as_str().is_some_and(|name| !name.is_empty()), "{cpu}");

    let url = seen["url"].as_str().unwrap();
    let health = cluster.call_at(url, "GET", "/health", &[], None).await?;
    assert_eq!(health.body["status"], "ready", "{health:?}");
    cluster.close()
}

#[tokio::test]
async fn no_web_page_gets_in_by_any_method_of_any_route_of_any_daemon() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let script = cluster.script("short", &Script::words("a b c"))?;
    let worker = cluster.spawn_worker(&script, 1).await?;
    let worker = cluster.worker(&worker).await?["url"].as_str().unwrap_or_default().to_owned();
    for base in [cluster.url(Daemon::Queen)?, cluster.url(Daemon::Hive)?, worker] {
        for path in [
            "/v1/jobs",
            "/v1/jobs/job-1",
            "/v1/jobs/job-1/stream",
            "/v1/events",
            "/v1/status",
            "/v1/build-info",
            "/v1/shutdown",
            "/v1/worker-heartbeat",
            "/v1/heartbeat",
            "/v1/inference",
            "/v1/inference/r-1",
            "/v1/inference/r-1/stream",
            "/capabilities",
            "/v1/nothing",
        ] {
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
                for foreign in [("origin", "http://evil.example"), ("host", "evil.example")] {
                    let headers = [JSON, foreign];
                    let body = Some("{}".to_owned());
                    let answer = cluster.call_at(&base, method, path, &headers, body).await?;
                    let told = (answer.status, answer.code());
                    assert_eq!(
                        told,
                        (403, "forbidden_origin"),
                        "{base} {method} {path} {foreign:?}"
                    );
                }
            }
        }
    }
    let fleet = cluster.processes_with(1).await?;
    assert_eq!(cluster.processes().len(), fleet, "and nobody was stopped");
    cluster.close()
}

#[tokio::test]
async fn the_same_post_twice_is_one_job() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let post = async |key: &str| {
        let body = Some(json!({"operation": "status"}).to_string());
        let headers = [JSON, ("idempotency-key", key)];
        cluster.call(Daemon::Queen, "POST", "/v1/jobs", &headers, body).await
    };
    let first = post("key-1").await?;
    assert_eq!(post("key-1").await?, first);
    assert_ne!(post("key-2").await?, first);
    let jobs = cluster.get("/v1/jobs").await?.body;
    assert_eq!(jobs["jobs"].as_array().map(Vec::len), Some(2), "{jobs}");
    cluster.close()
}
