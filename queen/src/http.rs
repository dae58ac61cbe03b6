//! The queen's routes besides jobs and feed: they parse, call and answer.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Query, State},
    routing::{get, post},
};
use daemon::{
    Refusal,
    feed::Feed,
    jobs::Jobs,
    metrics::{self, Metrics},
    refusal::{self, unknown_parameter},
    shutdown::Shutdown,
};
use http::HeaderMap;
use protocol::{
    ApiError, ErrorCode,
    fields::read_body,
    fleet::{BuildInfo, Health, Heartbeat, HeartbeatAnswer},
    logs::{LogPage, LogQuery},
    routes,
};
use serde_json::{Value, json};

use crate::{FEATURES, fleet::FleetHandle, operations::Operations};

/// Whether the local hive stays when the queen goes. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct KeepHives(Arc<AtomicBool>);

impl KeepHives {
    /// It stays.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it stays.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Routes {
    fleet: FleetHandle,
    shutdown: Shutdown,
    keep_hives: KeepHives,
}

/// All routes of a queen, without the guard at her door.
pub fn router(
    jobs: &Jobs,
    operations: Arc<Operations>,
    feed: &Feed,
    fleet: FleetHandle,
    shutdown: Shutdown,
    keep_hives: KeepHives,
) -> Router {
    let own = Router::new()
        .route(routes::HEALTH, get(health))
        .route(routes::BUILD_INFO, get(build_info))
        .route(routes::SHUTDOWN, post(shut_down))
        .route(routes::WORKER_HEARTBEAT, post(worker_heartbeat))
        .route(routes::HIVE_HEARTBEAT, post(hive_heartbeat))
        .with_state(Routes { fleet: fleet.clone(), shutdown: shutdown.clone(), keep_hives });
    let logs = get(worker_logs).with_state(operations.clone());
    own.route(routes::WORKER_LOGS_PATTERN, logs)
        .merge(feed.metrics().routes("queen", move |metrics| sample(metrics, &fleet)))
        .merge(jobs.routes(operations))
        .merge(feed.routes(shutdown))
        .fallback(refusal::route_not_found)
        .method_not_allowed_fallback(refusal::method_not_allowed)
}

/// What is looked up for every scrape.
fn sample(metrics: &Metrics, fleet: &FleetHandle) {
    let feed = fleet.feed();
    metrics::sample_hives(metrics, feed);
    metrics::sample_workers(metrics, feed);
    let waiting = feed.look(|fleet| fleet.queen.as_ref().map_or(0, |queen| queen.queued));
    metrics.set(&metrics::WAITING_REQUESTS, &[], waiting.into());
    metrics.count_is(&metrics::HEARTBEATS_IGNORED, &[], fleet.heartbeats_ignored());
}

async fn health(State(routes): State<Routes>) -> Result<Json<Health>, Refusal> {
    if routes.shutdown.is_asked() {
        return Err(Refusal::new(ErrorCode::Unavailable, "the queen is shutting down"));
    }
    Ok(Json(Health { status: "ok".to_owned(), progress: None, worker: None }))
}

async fn build_info() -> Json<BuildInfo> {
    Json(daemon::build::info(FEATURES))
}

/// Answers first; the server stops once the answer is on its way.
async fn shut_down(
    State(routes): State<Routes>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, Refusal> {
    for (name, value) in &query {
        match (name.as_str(), value.as_str()) {
            ("keep_hives", "true") => routes.keep_hives.set(),
            ("keep_hives", "false") => {}
            ("keep_hives", _) => {
                let message = "parameter `keep_hives` must be true or false";
                return Err(Refusal::new(ErrorCode::InvalidField, message));
            }
            (name, _) => return Err(unknown_parameter(name, "keep_hives").into()),
        }
    }
    routes.shutdown.ask();
    Ok(Json(json!({ "status": "ok", "message": "shutting down" })))
}

async fn worker_heartbeat(
    State(routes): State<Routes>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<HeartbeatAnswer>, Refusal> {
    let body = daemon::body::read_json(&headers, body).await?;
    let heartbeat: Heartbeat = read_body("worker-heartbeat", &body)?;
    routes.fleet.feed().metrics().count(&metrics::HEARTBEATS_RECEIVED, &[]);
    routes.fleet.heartbeat(&heartbeat)?;
    Ok(Json(HeartbeatAnswer {
        status: "ok".to_owned(),
        message: format!("Heartbeat received from worker {}", heartbeat.worker_id),
    }))
}

async fn worker_logs(
    State(operations): State<Arc<Operations>>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<LogPage>, Refusal> {
    let query = LogQuery::parse(&query)?;
    let id = id.parse().map_err(|error| {
        ApiError::new(ErrorCode::WorkerNotFound, format!("the worker {error}"))
            .with_hint("GET /v1/status lists the workers")
    })?;
    Ok(Json(operations.worker_logs(&id, &query).await?))
}

/// Deprecated: a hive is judged by its feed. Old ones are answered politely.
async fn hive_heartbeat(headers: HeaderMap, body: Body) -> Result<Json<HeartbeatAnswer>, Refusal> {
    daemon::body::read_json(&headers, body).await?;
    tracing::info!("a deprecated hive heartbeat was answered and ignored");
    Ok(Json(HeartbeatAnswer {
        status: "ok".to_owned(),
        message: "Heartbeat received; hives are known by their feed now".to_owned(),
    }))
}
