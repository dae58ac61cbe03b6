//! The routes of a hive: the only place that knows its URLs.

mod relay;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    routing::{get, post},
};
use daemon::{
    Refusal,
    door::Door,
    feed::Feed,
    jobs::Jobs,
    metrics,
    refusal::{method_not_allowed, route_not_found, unknown_parameter},
    shutdown::Shutdown,
};
use protocol::{
    ApiError, ErrorCode, WorkerId,
    fleet::{BuildInfo, Capabilities, Health},
    logs::{LogPage, LogQuery},
    routes,
};
use serde_json::{Value, json};

use crate::{devices::Devices, operations::Hive};

/// How the hive is asked to stop, and what is to become of its workers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    pub(crate) shutdown: Shutdown,
    stop_workers: Arc<AtomicBool>,
}

impl Stop {
    /// Whether the workers are to end with it.
    pub(crate) fn stops_workers(&self) -> bool {
        self.stop_workers.load(Ordering::Relaxed)
    }
}

/// All routes, behind the door.
pub(crate) fn router(hive: Arc<Hive>, jobs: &Jobs, feed: &Feed, stop: &Stop, door: Door) -> Router {
    let devices = hive.devices.clone();
    let fleet = feed.clone();
    let router = Router::new()
        .route(routes::HEALTH, get(health))
        .route(routes::BUILD_INFO, get(build_info))
        .route(routes::CAPABILITIES, get(capabilities).with_state(devices))
        .route(routes::SHUTDOWN, post(shutdown).with_state(stop.clone()))
        .merge(feed.metrics().routes("hive", move |numbers| {
            metrics::sample_workers(numbers, &fleet);
            metrics::sample_devices(numbers, &fleet);
            metrics::sample_models(numbers, &fleet);
        }))
        .route(routes::WORKER_LOGS_PATTERN, get(worker_logs).with_state(hive.clone()))
        .merge(relay::router(hive.clone()))
        .merge(feed.routes(stop.shutdown.clone()))
        .merge(jobs.routes(hive))
        .fallback(route_not_found)
        .method_not_allowed_fallback(method_not_allowed);
    feed.metrics().watch(door.guard(router))
}

async fn health() -> Json<Health> {
    Json(Health { status: "ok".to_owned(), progress: None, worker: None })
}

async fn build_info() -> Json<BuildInfo> {
    Json(daemon::build::info(&[]))
}

async fn capabilities(State(devices): State<Devices>) -> Json<Capabilities> {
    Json(devices.capabilities())
}

async fn worker_logs(
    State(hive): State<Arc<Hive>>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<LogPage>, Refusal> {
    let query = LogQuery::parse(&query)?;
    Ok(Json(hive.worker_logs(&worker_id(&id)?, &query).await?))
}

fn worker_id(id: &str) -> Result<WorkerId, ApiError> {
    id.parse().map_err(|error| {
        ApiError::new(ErrorCode::WorkerNotFound, format!("the worker {error}"))
            .with_hint("GET /v1/status lists the workers")
    })
}

/// Answers, then drains: the connection that asked is let finish like all
/// others.
async fn shutdown(
    State(stop): State<Stop>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, Refusal> {
    let stop_workers = read_stop_workers(&query)?;
    if stop_workers {
        stop.stop_workers.store(true, Ordering::Relaxed);
    }
    tracing::info!(stop_workers, "asked to shut down");
    stop.shutdown.ask();
    let message = if stop_workers {
        "the hive ends its workers and then itself"
    } else {
        "the hive ends; its workers live on for the next one"
    };
    Ok(Json(json!({ "status": "ok", "message": message })))
}

fn read_stop_workers(query: &HashMap<String, String>) -> Result<bool, ApiError> {
    let refuse = |message: String| Err(ApiError::new(ErrorCode::InvalidField, message));
    let mut stop_workers = false;
    for (name, value) in query {
        match (name.as_str(), value.as_str()) {
            ("stop_workers", "true") => stop_workers = true,
            ("stop_workers", "false") => {}
            ("stop_workers", _) => {
                return refuse("parameter `stop_workers` must be true or false".to_owned());
            }
            (name, _) => return Err(unknown_parameter(name, "stop_workers")),
        }
    }
    Ok(stop_workers)
}

#[cfg(test)]
mod tests;
