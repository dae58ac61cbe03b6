//! Paths, default addresses and header names: the only place they are written.

use crate::{JobId, RequestId, WorkerId};

/// Where a queen listens when nothing else is configured.
pub const QUEEN_ADDRESS: &str = "127.0.0.1:8500";
/// Where a hive listens when nothing else is configured.
pub const HIVE_ADDRESS: &str = "127.0.0.1:9000";
/// The port of [`HIVE_ADDRESS`], for hives of other machines.
pub const HIVE_PORT: u16 = 9000;
/// The first port a hive gives to a worker when nothing else is configured.
pub const WORKER_PORT_FIRST: u16 = 9300;

/// Liveness and readiness, open to all.
pub const HEALTH: &str = "/health";
/// Version, features and build of the daemon.
pub const BUILD_INFO: &str = "/v1/build-info";
/// Drain, then exit.
pub const SHUTDOWN: &str = "/v1/shutdown";
/// Create and list jobs.
pub const JOBS: &str = "/v1/jobs";
/// One job, as a router pattern.
pub const JOB_PATTERN: &str = "/v1/jobs/{job_id}";
/// One job's stream, as a router pattern.
pub const JOB_STREAM_PATTERN: &str = "/v1/jobs/{job_id}/stream";
/// The fleet feed.
pub const EVENTS: &str = "/v1/events";
/// The feed's snapshot as plain JSON.
pub const STATUS: &str = "/v1/status";
/// Prometheus text format.
pub const METRICS: &str = "/metrics";
/// Worker → queen.
pub const WORKER_HEARTBEAT: &str = "/v1/worker-heartbeat";
/// Hive → queen; answered, and changes nothing.
pub const HIVE_HEARTBEAT: &str = "/v1/heartbeat";
/// A hive's devices.
pub const CAPABILITIES: &str = "/capabilities";
/// A worker's log, on its hive and on the queen, as a router pattern.
pub const WORKER_LOGS_PATTERN: &str = "/v1/workers/{worker_id}/logs";
/// What a hive passes on to one of its workers, for a queen who reaches only
/// the hive, as a router pattern: the worker's own path stands behind it.
pub const WORKER_RELAY_PATTERN: &str = "/v1/workers/{worker_id}/relay/{*path}";
/// Start an inference on a worker.
pub const INFERENCE: &str = "/v1/inference";
/// One inference request, as a router pattern.
pub const INFERENCE_PATTERN: &str = "/v1/inference/{request_id}";
/// One inference request's stream, as a router pattern.
pub const INFERENCE_STREAM_PATTERN: &str = "/v1/inference/{request_id}/stream";

/// What is left of the caller's deadline, in milliseconds.
pub const DEADLINE_HEADER: &str = "x-rbee-deadline-ms";
/// Follows a call through all daemons' logs.
pub const REQUEST_ID_HEADER: &str = "x-rbee-request-id";
/// Makes a repeated POST the same job.
pub const IDEMPOTENCY_HEADER: &str = "idempotency-key";
/// Where to resume a stream.
pub const LAST_EVENT_ID_HEADER: &str = "last-event-id";

/// Who has a documented path, for whoever sent it to another daemon.
pub fn owner(path: &str) -> Option<&'static str> {
    let is_below = |of: &str| path.strip_prefix(of).is_some_and(|it| it.starts_with('/'));
    match path {
        CAPABILITIES => Some("a hive does"),
        WORKER_HEARTBEAT | HIVE_HEARTBEAT => Some("the queen does"),
        JOBS | EVENTS | STATUS => Some("the queen does, and every hive"),
        INFERENCE => Some("a worker does; ask the queen for `infer`"),
        _ if is_below(INFERENCE) => Some("a worker does"),
        _ if is_below("/v1/workers") && path.contains("/relay/") => Some("a hive does"),
        _ if is_below(JOBS) || is_below("/v1/workers") => Some("the queen does, and every hive"),
        _ => None,
    }
}

/// One job.
pub fn job(id: &JobId) -> String {
    format!("{JOBS}/{id}")
}

/// One job's stream.
pub fn job_stream(id: &JobId) -> String {
    format!("{JOBS}/{id}/stream")
}

/// A worker's log.
pub fn worker_logs(id: &WorkerId) -> String {
    format!("/v1/workers/{id}/logs")
}

/// What a hive passes on to a worker.
pub fn worker_relay(id: &WorkerId) -> String {
    format!("/v1/workers/{id}/relay")
}

/// One inference request.
pub fn inference(id: &RequestId) -> String {
    format!("{INFERENCE}/{id}")
}

/// One inference request's stream.
pub fn inference_stream(id: &RequestId) -> String {
    format!("{INFERENCE}/{id}/stream")
}
