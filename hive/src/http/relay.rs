//! The way to a worker for a queen who reaches only its hive: the worker's own
//! paths below one of the hive's.
//!
//! Workers listen on the loopback of their machine. Behind ssh the connection
//! leads there; a queen who comes over the network has this instead.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use client::Daemon;
use daemon::{Refusal, refusal::method_not_allowed};
use protocol::{ApiError, ErrorCode, WorkerId, routes};

use super::worker_id;
use crate::operations::Hive;

/// Of a request; everything else is between two neighbours.
const SENT_ON: [HeaderName; 5] = [
    header::CONTENT_TYPE,
    header::ACCEPT,
    HeaderName::from_static(routes::LAST_EVENT_ID_HEADER),
    HeaderName::from_static(routes::DEADLINE_HEADER),
    HeaderName::from_static(routes::REQUEST_ID_HEADER),
];
/// Of an answer.
const SENT_BACK: [HeaderName; 4] = [
    header::CONTENT_TYPE,
    header::CACHE_CONTROL,
    header::RETRY_AFTER,
    HeaderName::from_static("x-accel-buffering"),
];

/// What of a worker can be reached so: its inferences, and not its end.
pub(super) fn router(hive: Arc<Hive>) -> Router {
    let below = |path: &str| format!("{}{path}", routes::WORKER_RELAY_PATTERN);
    Router::new()
        .route(&below(routes::INFERENCE), post(relay))
        .route(&below(routes::INFERENCE_PATTERN), delete(relay))
        .route(&below(routes::INFERENCE_STREAM_PATTERN), get(relay))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(hive)
}

async fn relay(
    State(hive): State<Arc<Hive>>,
    Path(parameters): Path<Vec<(String, String)>>,
    request: Request,
) -> Result<Response, Refusal> {
    let id = parameters.first().map(|(_, id)| id.as_str()).unwrap_or_default();
    let id = worker_id(id)?;
    let worker = worker(&hive, &id)?;
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map(|it| it.as_str()).unwrap_or_default();
    let path = path.strip_prefix(&routes::worker_relay(&id)).unwrap_or(path);
    let body = reqwest::Body::wrap_stream(body.into_data_stream());
    let headers = only(&SENT_ON, &parts.headers);
    let answer = worker.pass_on(parts.method, path, headers, body).await;
    let answer = answer.map_err(|error| lost(&id, &error.one_line()))?;
    let (status, headers) = (answer.status(), only(&SENT_BACK, answer.headers()));
    let body = Body::from_stream(answer.bytes_stream());
    Ok((StatusCode::from(status), headers, body).into_response())
}

/// The worker as this machine reaches it.
fn worker(hive: &Hive, id: &WorkerId) -> Result<Daemon, ApiError> {
    let url = hive.workers.get(id)?.url;
    let url = url.ok_or_else(|| lost(id, "it does not listen"))?;
    let daemon = Daemon::new(&url).map_err(|error| lost(id, &error.one_line()))?.named("worker");
    Ok(match &hive.launcher.token {
        Some(token) => daemon.with_token(token.clone()),
        None => daemon,
    })
}

fn lost(id: &WorkerId, why: &str) -> ApiError {
    ApiError::new(ErrorCode::WorkerLost, format!("worker {id}: {why}"))
        .with_hint(format!("see why: rbee-keeper worker get {id}"))
}

fn only(names: &[HeaderName], of: &HeaderMap<HeaderValue>) -> HeaderMap {
    let value = |name: &HeaderName| Some((name.clone(), of.get(name)?.clone()));
    names.iter().filter_map(value).collect()
}
