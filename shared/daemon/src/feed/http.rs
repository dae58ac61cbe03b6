//! `GET /v1/events` and `GET /v1/status`, the same on queen and hive.

use std::{collections::HashMap, time::Duration};

use axum::{
    Json, Router,
    extract::{Query, State},
    response::Response,
    routing::get,
};

use http::HeaderMap;
use protocol::{
    ApiError, ErrorCode,
    fleet::{FeedEvent, Snapshot},
    job::Level,
    routes,
};

use super::{
    Feed, Filter, Tokens,
    cursor::{Cursor, Found},
    pace::Pace,
};
use crate::{
    Refusal,
    metrics::{Held, SSE_READERS},
    shutdown::Shutdown,
    sse::{self, Dialect},
};

/// Something is sent at least this often; the wire promises 5 s.
const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// Jobs whose tokens one reader may ask for by name.
const TOKEN_JOBS_MAX: usize = 64;

#[derive(Clone)]
struct Routes {
    feed: Feed,
    shutdown: Shutdown,
}

impl Feed {
    /// The feed's routes. Streams end when `shutdown` is asked for, so that
    /// they do not hold the listener open.
    pub fn routes(&self, shutdown: Shutdown) -> Router {
        Router::new()
            .route(routes::EVENTS, get(events))
            .route(routes::STATUS, get(status))
            .with_state(Routes { feed: self.clone(), shutdown })
    }
}

async fn status(State(routes): State<Routes>) -> Json<Snapshot> {
    Json(routes.feed.snapshot())
}

async fn events(
    State(routes): State<Routes>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let filter = read_filter(&query)?;
    let position = headers
        .get(routes::LAST_EVENT_ID_HEADER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| routes.feed.position(value));
    let reader = Reader {
        _held: routes.feed.metrics.hold(&SSE_READERS, &[("stream", "feed")]),
        cursor: Cursor::new(routes.feed, position),
        shutdown: routes.shutdown,
        filter,
        dialect: Dialect::of(&headers),
        pace: Pace::default(),
        opened: false,
    };
    Ok(sse::response(reader))
}

fn read_filter(query: &HashMap<String, String>) -> Result<Filter, ApiError> {
    let mut filter = Filter::default();
    for (name, value) in query {
        match name.as_str() {
            "tokens" => filter.tokens = read_tokens(value)?,
            "narration" => filter.narration = read_level(value)?,
            _ => return Err(crate::refusal::unknown_parameter(name, "tokens, narration")),
        }
    }
    Ok(filter)
}

fn read_tokens(value: &str) -> Result<Tokens, ApiError> {
    let invalid = |message: String| ApiError::new(ErrorCode::InvalidField, message);
    match value {
        "none" | "" => Ok(Tokens::None),
        "all" => Ok(Tokens::All),
        ids => {
            let ids = ids
                .split(',')
                .take(TOKEN_JOBS_MAX + 1)
                .map(str::parse)
                .collect::<Result<Vec<_>, _>>();
            let ids = ids.map_err(|error| {
                invalid(format!("parameter `tokens` must be none, all or job ids: it {error}"))
            })?;
            if ids.len() > TOKEN_JOBS_MAX {
                return Err(invalid(format!(
                    "parameter `tokens` takes at most {TOKEN_JOBS_MAX} jobs"
                )));
            }
            Ok(Tokens::Jobs(ids))
        }
    }
}

fn read_level(value: &str) -> Result<Option<Level>, ApiError> {
    match value {
        "none" | "" => Ok(None),
        "info" => Ok(Some(Level::Info)),
        "debug" => Ok(Some(Level::Debug)),
        _ => Err(ApiError::new(
            ErrorCode::InvalidField,
            "parameter `narration` must be none, info or debug",
        )),
    }
}

/// A cursor over the window that turns what it finds into chunks.
struct Reader {
    cursor: Cursor,
    shutdown: Shutdown,
    filter: Filter,
    dialect: Dialect,
    pace: Pace,
    opened: bool,
    _held: Held,
}

impl sse::Reader for Reader {
    async fn next_chunk(&mut self) -> Option<String> {
        let mut chunk = String::new();
        if !self.opened {
            self.opened = true;
            chunk.push_str(self.dialect.opening());
        }
        loop {
            // What was said before the end goes out at once, and then it ends.
            tokio::select! {
                () = self.shutdown.asked() => {}
                () = self.pace.ready() => {}
            }
            self.read_into(&mut chunk);
            if !chunk.is_empty() {
                // What a reader is behind by goes out as fast as it is taken.
                if chunk.len() < sse::CHUNK_BYTES_MAX {
                    self.pace.sent();
                }
                return Some(chunk);
            }
            let waited = tokio::select! {
                () = self.shutdown.asked() => return None,
                waited = tokio::time::timeout(KEEP_ALIVE, self.cursor.moved()) => waited,
            };
            if waited.is_err() {
                chunk.push_str(self.dialect.keep_alive());
            }
        }
    }
}

impl Reader {
    fn read_into(&mut self, chunk: &mut String) {
        while chunk.len() < sse::CHUNK_BYTES_MAX {
            match self.cursor.look() {
                Found::Nothing => return,
                Found::Lagged { at } => self.write(chunk, &FeedEvent::Lagged, at, "{}"),
                Found::Snapshot { at, snapshot } => {
                    let event = FeedEvent::Snapshot(snapshot);
                    // Records hold nothing that JSON cannot express.
                    let json = event.data().unwrap_or_default();
                    self.write(chunk, &event, at, &json);
                }
                Found::Messages { first, messages } => {
                    for (number, message) in (first..).zip(messages) {
                        if self.filter.wants(&message.event) {
                            self.write(chunk, &message.event, number, &message.json);
                        }
                    }
                }
            }
        }
    }

    fn write(&self, chunk: &mut String, event: &FeedEvent, number: u64, json: &str) {
        let id = format!("{}-{number}", self.cursor.epoch());
        self.dialect.event(chunk, Some(event.name()), Some(&id), json);
    }
}
