//! Where the heartbeats of a machine's workers come out of its tunnel.
//!
//! A door of its own and not the queen's: whoever is at the far end may say
//! that workers of that machine live, and nothing else.

use std::net::{Ipv4Addr, SocketAddr};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    routing::{get, post},
};
use daemon::{Refusal, door::Door, metrics, refusal, server::HttpServer};
use http::HeaderMap;
use protocol::{
    ApiError, ErrorCode, HiveId,
    fields::read_body,
    fleet::{Health, Heartbeat, HeartbeatAnswer},
    routes,
};
use secrecy::SecretString;

use crate::fleet::FleetHandle;

#[derive(Clone)]
struct From {
    machine: HiveId,
    fleet: FleetHandle,
}

/// Listens for the workers of `machine`, who must show `token`. It listens
/// until it is dropped.
pub(super) async fn listen(
    machine: HiveId,
    fleet: FleetHandle,
    token: &SecretString,
) -> Result<HttpServer, ApiError> {
    let router = Router::new()
        .route(routes::HEALTH, get(health))
        .route(routes::WORKER_HEARTBEAT, post(heartbeat))
        .fallback(refusal::route_not_found)
        .method_not_allowed_fallback(refusal::method_not_allowed)
        .with_state(From { machine, fleet });
    let internal = |error: &dyn std::error::Error| {
        ApiError::new(ErrorCode::Internal, format!("no port for heartbeats: {error}"))
    };
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = daemon::server::bind(any).await.map_err(|error| internal(&error))?;
    HttpServer::serve(listener, Door::new(Some(token)).guard(router))
        .map_err(|error| internal(&error))
}

async fn health() -> Json<Health> {
    Json(Health { status: "ok".to_owned(), progress: None, worker: None })
}

async fn heartbeat(
    State(from): State<From>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<HeartbeatAnswer>, Refusal> {
    let body = daemon::body::read_json(&headers, body).await?;
    let heartbeat: Heartbeat = read_body("worker-heartbeat", &body)?;
    let known = from.fleet.look(|registry| registry.worker(&heartbeat.worker_id));
    if known.is_some_and(|worker| worker.hive_id != from.machine) {
        let message = format!("worker {} is not of this machine", heartbeat.worker_id);
        return Err(Refusal::new(ErrorCode::ForbiddenOrigin, message));
    }
    from.fleet.feed().metrics().count(&metrics::HEARTBEATS_RECEIVED, &[]);
    from.fleet.heartbeat(&heartbeat)?;
    Ok(Json(HeartbeatAnswer {
        status: "ok".to_owned(),
        message: format!("Heartbeat received from worker {}", heartbeat.worker_id),
    }))
}
