//! The routes of a daemon's jobs, the same on queen and hive.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Query, State},
    response::Response,
    routing::{get, post},
};

use http::{HeaderMap, StatusCode};
use protocol::{
    ApiError, ErrorCode, JobId,
    job::{JobCreated, JobDetails, JobList, JobState},
    routes,
};
use tokio::sync::watch;

use super::{Execute, Jobs, Submission, log::JobLog};
use crate::{
    Refusal,
    body::{deadline, read_json, text},
    metrics::{Held, SSE_READERS},
    refusal,
    sse::{self, Dialect},
};

/// Something is sent at least this often; the wire promises 15 s.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Jobs in one list, unless asked for fewer or more.
const LIST_DEFAULT: u32 = 50;
const LIST_MAX: u32 = 1_000;
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;

struct Routes<E> {
    jobs: Jobs,
    execute: Arc<E>,
}

// Derived, it would ask for `E: Clone`.
impl<E> Clone for Routes<E> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone(), execute: Arc::clone(&self.execute) }
    }
}

impl Jobs {
    /// `POST` and `GET /v1/jobs`, `GET` and `DELETE /v1/jobs/{id}`, and the
    /// stream.
    pub fn routes<E: Execute>(&self, execute: Arc<E>) -> Router {
        Router::new()
            .route(routes::JOBS, post(create::<E>).get(list::<E>))
            .route(routes::JOB_PATTERN, get(show::<E>).delete(cancel::<E>))
            .route(routes::JOB_STREAM_PATTERN, get(follow::<E>))
            .with_state(Routes { jobs: self.clone(), execute })
    }
}

async fn create<E: Execute>(
    State(routes): State<Routes<E>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<JobCreated>, Refusal> {
    let body = read_json(&headers, body).await?;
    let operation = routes.execute.parse(&body)?;
    let submission = Submission {
        idempotency_key: idempotency_key(&headers)?,
        deadline: deadline(&headers)?,
        request_id: text(&headers, routes::REQUEST_ID_HEADER)?.map(str::to_owned),
    };
    let job_id = routes.jobs.submit(Arc::clone(&routes.execute), operation, submission).await?;
    let sse_url = routes::job_stream(&job_id);
    Ok(Json(JobCreated { job_id, sse_url }))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    match text(headers, routes::IDEMPOTENCY_HEADER)? {
        Some(key) if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX => Err(ApiError::new(
            ErrorCode::BadRequest,
            format!(
                "header {} must be 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes",
                routes::IDEMPOTENCY_HEADER
            ),
        )),
        key => Ok(key.map(str::to_owned)),
    }
}

async fn list<E: Execute>(
    State(routes): State<Routes<E>>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<JobList>, Refusal> {
    let mut state = None;
    let mut limit = LIST_DEFAULT;
    for (name, value) in &query {
        match name.as_str() {
            "state" => state = Some(read_state(value)?),
            "limit" => limit = read_limit(value)?,
            _ => return Err(refusal::unknown_parameter(name, "state, limit").into()),
        }
    }
    Ok(Json(JobList { jobs: routes.jobs.list(state, limit).await? }))
}

fn read_state(value: &str) -> Result<JobState, ApiError> {
    JobState::from_name(value).ok_or_else(|| {
        ApiError::new(ErrorCode::InvalidField, "parameter `state` must be a job's state")
            .with_hint("queued, running, done, failed, cancelled")
    })
}

fn read_limit(value: &str) -> Result<u32, ApiError> {
    value.parse().ok().filter(|limit| (1..=LIST_MAX).contains(limit)).ok_or_else(|| {
        ApiError::new(
            ErrorCode::InvalidField,
            format!("parameter `limit` must be a number from 1 to {LIST_MAX}"),
        )
    })
}

fn job_id(id: &str) -> Result<JobId, ApiError> {
    id.parse().map_err(|error| {
        ApiError::new(ErrorCode::JobNotFound, format!("the job {error}"))
            .with_hint("GET /v1/jobs lists the jobs that are kept")
    })
}

async fn show<E: Execute>(
    State(routes): State<Routes<E>>,
    Path(id): Path<String>,
) -> Result<Json<JobDetails>, Refusal> {
    Ok(Json(routes.jobs.details(&job_id(&id)?).await?))
}

async fn cancel<E: Execute>(
    State(routes): State<Routes<E>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    routes.jobs.cancel(&job_id(&id)?).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn follow<E: Execute>(
    State(routes): State<Routes<E>>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let id = job_id(&id)?;
    let mut after = text(&headers, routes::LAST_EVENT_ID_HEADER)?;
    let mut as_text = false;
    for (name, value) in &query {
        match (name.as_str(), value.as_str()) {
            ("after", value) => after = Some(value),
            ("format", "text") => as_text = true,
            ("format", "json") => as_text = false,
            ("format", _) => {
                let message = "parameter `format` must be `json` or `text`";
                return Err(Refusal::new(ErrorCode::InvalidField, message));
            }
            _ => return Err(refusal::unknown_parameter(name, "after, format").into()),
        }
    }
    let after = after.map_or(Ok(0), read_cursor)?;
    let log = routes.jobs.log(&id).await?;
    let last = log.last_event();
    if after > last {
        let message = format!("event {after} of job {id} does not exist; the newest is {last}");
        return Err(Refusal::new(ErrorCode::CursorInFuture, message));
    }
    let reader = Reader {
        changed: log.subscribe(),
        log,
        after,
        dialect: Dialect::of(&headers),
        as_text,
        opened: false,
        closed: false,
        _held: routes.jobs.shared.feed.metrics().hold(&SSE_READERS, &[("stream", "job")]),
    };
    Ok(sse::response(reader))
}

fn read_cursor(value: &str) -> Result<u64, ApiError> {
    value.trim().parse().map_err(|_| {
        ApiError::new(ErrorCode::BadCursor, "the position to resume from must be an event's number")
            .with_hint("send the last `id:` you have seen as Last-Event-ID or ?after=")
    })
}

/// A cursor over a job's log that turns what it finds into chunks.
struct Reader {
    log: Arc<JobLog>,
    changed: watch::Receiver<u64>,
    after: u64,
    dialect: Dialect,
    as_text: bool,
    opened: bool,
    closed: bool,
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
        loop {
            // Marked before reading, so that a change in between wakes us.
            self.changed.borrow_and_update();
            self.read_into(&mut chunk);
            if !chunk.is_empty() {
                return Some(chunk);
            }
            match tokio::time::timeout(KEEP_ALIVE, self.changed.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => chunk.push_str(self.dialect.keep_alive()),
            }
        }
    }
}

impl Reader {
    fn read_into(&mut self, chunk: &mut String) {
        while chunk.len() < sse::CHUNK_BYTES_MAX {
            let page = self.log.page(self.after);
            let found = !page.entries.is_empty();
            for entry in page.entries {
                self.after += 1;
                let data = if self.as_text { &entry.text } else { &entry.json };
                self.dialect.event(chunk, None, Some(&self.after.to_string()), data);
            }
            if let Some(end) = page.end {
                // Without a number: a client library that reconnects after it
                // still asks for what comes after the last event, and gets
                // the end again.
                self.dialect.event(chunk, None, None, &end.to_string());
                self.closed = true;
                return;
            }
            if !found {
                return;
            }
        }
    }
}
