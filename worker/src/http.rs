//! The worker's routes.
//!
//! A request without an id lives as long as its connection. One with an id
//! outlives it: it can be resumed after the last token that was seen, and is
//! cancelled when nobody has read it for a minute.

mod readers;

use std::sync::Arc;

use ::http::{HeaderMap, StatusCode};
use axum::{
    Json, Router,
    body::Body,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};
use daemon::{
    Refusal, body,
    metrics::{self, Held, Metrics},
    refusal,
    shutdown::Shutdown,
    sse::{self, Dialect},
};
use futures::FutureExt;
use protocol::{
    ApiError, ErrorCode, RequestId,
    deadline::Deadline,
    fields::read_body,
    fleet::{BuildInfo, Health},
    inference::{InferenceEvent, InferenceRequest},
    job::End as JobEnd,
    routes,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

use self::readers::{Readers, Reading};
use crate::{
    generation::{Cursor, End, Entry, Prompt, RequestLog},
    orphan::Contact,
    phase::Phases,
};

/// Something is sent at least this often while a stream is silent.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Routes {
    phases: Phases,
    readers: Readers,
    shutdown: Shutdown,
    contact: Contact,
    numbers: Metrics,
}

/// All routes of a worker, without the guard at its door.
pub fn router(phases: Phases, shutdown: Shutdown, contact: Contact, numbers: &Metrics) -> Router {
    let sampled = phases.clone();
    let numbers = numbers.clone();
    let scrape = numbers.routes("worker", move |numbers| sample(numbers, &sampled));
    Router::new()
        .route(routes::HEALTH, get(health))
        .route(routes::BUILD_INFO, get(build_info))
        .route(routes::SHUTDOWN, post(shut_down))
        .route(routes::INFERENCE, post(infer))
        .route(routes::INFERENCE_PATTERN, axum::routing::delete(cancel_or_acknowledge))
        .route(routes::INFERENCE_STREAM_PATTERN, get(resume))
        .with_state(Routes { phases, readers: Readers::default(), shutdown, contact, numbers })
        .merge(scrape)
        .fallback(refusal::route_not_found)
        .method_not_allowed_fallback(refusal::method_not_allowed)
}

/// What is looked up for every scrape; there is nothing before the model is
/// loaded.
fn sample(numbers: &Metrics, phases: &Phases) {
    let Ok(generator) = phases.generator() else { return };
    let status = generator.status();
    numbers.set(&metrics::SLOTS, &[], status.slots_total as f64);
    numbers.set(&metrics::SLOTS_BUSY, &[], status.slots_busy as f64);
    numbers.set(&metrics::WAITING_REQUESTS, &[], status.waiting as f64);
    numbers.count_is(&metrics::TOKENS_GENERATED, &[], status.tokens_generated);
    numbers.set(&metrics::KV_CACHE_TOKENS, &[], status.tokens_held as f64);
    numbers.set(&metrics::KV_CACHE_CAPACITY, &[], status.tokens_capacity as f64);
}

async fn health(State(routes): State<Routes>) -> Json<Health> {
    routes.contact.made();
    Json(routes.phases.health())
}

async fn build_info() -> Json<BuildInfo> {
    Json(daemon::build::info(crate::FEATURES))
}

/// Answers first; the server drains once the answer is on its way.
async fn shut_down(State(routes): State<Routes>) -> Json<Value> {
    routes.shutdown.ask();
    Json(json!({ "status": "ok", "message": "draining" }))
}

async fn infer(
    State(routes): State<Routes>,
    headers: HeaderMap,
    request_body: Body,
) -> Result<Response, Refusal> {
    let arrived_at = Instant::now();
    let request_body = body::read_json(&headers, request_body).await?;
    let mut request: InferenceRequest = read_body("inference", &request_body)?;
    let deadline = deadline(&headers, request.deadline_ms)?;
    let sampling = request.sampling();
    let prompt = prompt(&mut request)?;
    let generator = routes.phases.generator()?;
    let outlives = request.request_id.is_some();
    let id = request.request_id.unwrap_or_else(RequestId::generate);
    let log = {
        let generator = generator.clone();
        let id = id.clone();
        // Tokenizing a long prompt takes its time, which is not this thread's.
        let submitted =
            tokio::task::spawn_blocking(move || generator.submit(id, &prompt, &sampling, deadline));
        submitted.await.map_err(|_| Refusal::new(ErrorCode::Internal, "submitting crashed"))??
    };
    let reading = routes.readers.begin(&generator, &id, outlives);
    let first_token = FirstToken { arrived_at, numbers: routes.numbers.clone() };
    Ok(stream(&log, 0, &headers, reading, &routes.numbers, Some(first_token)))
}

/// The smaller of the header's and the body's deadline.
fn deadline(headers: &HeaderMap, body_ms: Option<u64>) -> Result<Option<Deadline>, ApiError> {
    let from_header = body::deadline(headers)?;
    let from_body = body_ms.map(|ms| Deadline::after(Duration::from_millis(ms), Instant::now()));
    Ok([from_header, from_body].into_iter().flatten().min_by_key(Deadline::instant))
}

fn prompt(request: &mut InferenceRequest) -> Result<Prompt, ApiError> {
    let given = (request.prompt.take(), request.messages.take(), request.prompt_tokens.take());
    match given {
        (Some(text), None, None) => Ok(Prompt::Text(text)),
        (None, Some(messages), None) => Ok(Prompt::Messages(messages)),
        (None, None, Some(tokens)) => Ok(Prompt::Tokens(tokens)),
        (None, None, None) => Err(ApiError::new(
            ErrorCode::MissingField,
            "`inference` needs one of the fields `prompt`, `messages` and `prompt_tokens`",
        )),
        _ => Err(ApiError::new(
            ErrorCode::InvalidField,
            "`prompt`, `messages` and `prompt_tokens` exclude each other; send one of them",
        )),
    }
}

async fn resume(
    State(routes): State<Routes>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let id = request_id(&id)?;
    let generator = routes.phases.generator()?;
    let log = generator.find(&id).ok_or_else(|| {
        ApiError::new(ErrorCode::RequestNotFound, format!("no request {id} here"))
            .with_hint("it was never sent, or its end was acknowledged")
    })?;
    let position = match body::text(&headers, routes::LAST_EVENT_ID_HEADER)? {
        Some(seen) => seen.trim().parse().map_err(|_| {
            ApiError::new(ErrorCode::BadCursor, "Last-Event-ID must be a token's index plus one")
        })?,
        None => 0,
    };
    if position > log.len() {
        let message = format!("request {id} has no event {position} yet");
        return Err(Refusal::new(ErrorCode::CursorInFuture, message));
    }
    let reading = routes.readers.begin(&generator, &id, true);
    Ok(stream(&log, position, &headers, reading, &routes.numbers, None))
}

/// Ends a request that runs; forgets one that has ended.
async fn cancel_or_acknowledge(
    State(routes): State<Routes>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let id = request_id(&id)?;
    let generator = routes.phases.generator()?;
    let ended = generator.find(&id).is_some_and(|log| log.end().is_some());
    if ended {
        generator.acknowledge(&id)?;
    } else {
        generator.cancel(&id)?;
    }
    Ok(StatusCode::ACCEPTED)
}

fn request_id(id: &str) -> Result<RequestId, ApiError> {
    id.parse().map_err(|error| {
        ApiError::new(ErrorCode::RequestNotFound, format!("the request {error}"))
            .with_hint("it is the `request_id` that the inference was sent with")
    })
}

fn stream(
    log: &Arc<RequestLog>,
    position: usize,
    headers: &HeaderMap,
    reading: Reading,
    numbers: &Metrics,
    first_token: Option<FirstToken>,
) -> Response {
    let reader = Reader {
        cursor: log.cursor(position),
        dialect: Dialect::of(headers),
        opened: false,
        closed: false,
        first_token,
        _reading: reading,
        _held: numbers.hold(&metrics::SSE_READERS, &[("stream", "inference")]),
    };
    sse::response(reader)
}

/// The first token of a request is still to come.
struct FirstToken {
    arrived_at: Instant,
    numbers: Metrics,
}

/// A cursor over a request's log that turns what it finds into chunks.
struct Reader {
    cursor: Cursor,
    dialect: Dialect,
    opened: bool,
    closed: bool,
    /// Only the reader that brought the request waits for its first token.
    first_token: Option<FirstToken>,
    /// Tells when nobody reads any more.
    _reading: Reading,
    _held: Held,
}

impl sse::Reader for Reader {
    async fn next_chunk(&mut self) -> Option<String> {
        if self.closed {
            return None;
        }
        let mut chunk = String::new();
        if !self.opened {
            self.opened = true;
            chunk.push_str(self.dialect.opening());
        }
        while chunk.is_empty() {
            match tokio::time::timeout(KEEP_ALIVE, self.cursor.next()).await {
                Ok(Some(entry)) => self.write(&mut chunk, entry),
                Ok(None) => return None,
                Err(_) => chunk.push_str(self.dialect.keep_alive()),
            }
        }
        // What is there already goes out in the same write.
        while !self.closed && chunk.len() < sse::CHUNK_BYTES_MAX {
            match self.cursor.next().now_or_never() {
                Some(Some(entry)) => self.write(&mut chunk, entry),
                _ => break,
            }
        }
        Some(chunk)
    }
}

impl Reader {
    fn write(&mut self, chunk: &mut String, entry: Entry) {
        match entry {
            Entry::Event(event) => {
                if matches!(event, InferenceEvent::Token { .. })
                    && let Some(FirstToken { arrived_at, numbers }) = self.first_token.take()
                {
                    let waited = arrived_at.elapsed().as_secs_f64();
                    numbers.observe(&metrics::FIRST_TOKEN, &[], waited);
                }
                // An event holds nothing that JSON cannot express.
                let data = serde_json::to_string(&event).unwrap_or_default();
                let position = self.cursor.position().to_string();
                self.dialect.event(chunk, None, Some(&position), &data);
            }
            Entry::End(end) => {
                self.closed = true;
                let end = match end {
                    End::Done => JobEnd::Done,
                    End::Error(error) => JobEnd::Error { error },
                    End::Cancelled => JobEnd::Cancelled,
                };
                self.dialect.event(chunk, None, None, &end.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests;
