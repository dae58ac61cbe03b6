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
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use client::Daemon;
use daemon::{Refusal, refusal::route_not_found};
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

/// The methods that a worker's inferences have.
pub(super) fn router(hive: Arc<Hive>) -> Router {
    let methods = get(relay).post(relay).delete(relay);
    Router::new().route(routes::WORKER_RELAY_PATTERN, methods).with_state(hive)
}

async fn relay(
    State(hive): State<Arc<Hive>>,
    Path((id, path)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let id = worker_id(&id)?;
    let (parts, body) = request.into_parts();
    let Some(mut path) = below(&path) else { return Err(route_not_found(parts.uri).await) };
    if let Some(query) = parts.uri.query() {
        path.extend(["?", query]);
    }
    let worker = worker(&hive, &id)?;
    let body = reqwest::Body::wrap_stream(body.into_data_stream());
    let headers = only(&SENT_ON, &parts.headers);
    let answer = worker.pass_on(parts.method, &path, headers, body).await;
    let answer = answer.map_err(|error| lost(&id, &error.one_line()))?;
    let (status, headers) = (answer.status(), only(&SENT_BACK, answer.headers()));
    let body = Body::from_stream(answer.bytes_stream());
    Ok((status, headers, body).into_response())
}

/// The path on the worker: of its inferences and not of its end. Made anew of
/// what was understood, so that no `..` climbs out of them.
fn below(path: &str) -> Option<String> {
    let inference = routes::INFERENCE.strip_prefix('/')?;
    let below = path.strip_prefix(inference)?;
    let mut parts = below.strip_prefix('/').map(|it| it.split('/')).into_iter().flatten();
    match (parts.next(), parts.next(), parts.next()) {
        (None, ..) if below.is_empty() => Some(routes::INFERENCE.to_owned()),
        (Some(id), None, _) => Some(routes::inference(&id.parse().ok()?)),
        (Some(id), Some("stream"), None) => Some(routes::inference_stream(&id.parse().ok()?)),
        _ => None,
    }
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
