//! `GET /v1/events` and `GET /v1/status`, the same on queen and hive.

use std::{collections::HashMap, fmt::Write as _, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Query, State},
    response::Response,
    routing::get,
};
use bytes::Bytes;
use futures::{Stream, stream};
use http::HeaderMap;
use protocol::{
    ApiError, ErrorCode,
    fleet::{FeedEvent, Snapshot},
    job::Level,
    routes,
};
use tokio::sync::watch;

use super::{Feed, Filter, Tokens};
use crate::{
    Refusal, lock,
    metrics::{FEED_LAGGED, Held, SSE_READERS},
    shutdown::Shutdown,
    sse::{self, Dialect},
};

/// Something is sent at least this often; the wire promises 5 s.
const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// Messages taken from the window at a time.
const BATCH_MAX: usize = 256;
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
    let cursor = headers
        .get(routes::LAST_EVENT_ID_HEADER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| routes.feed.position(value));
    let reader = Reader {
        _held: routes.feed.metrics.hold(&SSE_READERS, &[("stream", "feed")]),
        changed: routes.feed.subscribe(),
        feed: routes.feed,
        shutdown: routes.shutdown,
        filter,
        dialect: Dialect::of(&headers),
        cursor,
        opened: false,
    };
    Ok(sse::response(reader.chunks()))
}

fn read_filter(query: &HashMap<String, String>) -> Result<Filter, ApiError> {
    let mut filter = Filter::default();
    for (name, value) in query {
        match name.as_str() {
            "tokens" => filter.tokens = read_tokens(value)?,
            "narration" => filter.narration = read_level(value)?,
            _ => return Err(crate::jobs::unknown_parameter(name, "tokens, narration")),
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

impl Feed {
    /// The number in a `Last-Event-ID` of this life, if the window still
    /// reaches back to it.
    fn position(&self, id: &str) -> Option<u64> {
        let (epoch, number) = id.trim().rsplit_once('-')?;
        let number = number.parse().ok().filter(|_| epoch == &*self.epoch)?;
        let inner = lock(&self.inner);
        (inner.oldest() <= number + 1 && number <= inner.newest).then_some(number)
    }
}

/// A cursor over the window.
struct Reader {
    feed: Feed,
    shutdown: Shutdown,
    changed: watch::Receiver<u64>,
    filter: Filter,
    dialect: Dialect,
    /// The number of the last message this reader has; `None` needs a
    /// snapshot.
    cursor: Option<u64>,
    opened: bool,
    _held: Held,
}

impl Reader {
    fn chunks(self) -> impl Stream<Item = Bytes> + Send {
        stream::unfold(self, |mut reader| async move {
            let chunk = reader.next_chunk().await?;
            Some((Bytes::from(chunk), reader))
        })
    }

    async fn next_chunk(&mut self) -> Option<String> {
        let mut chunk = String::new();
        if !self.opened {
            self.opened = true;
            chunk.push_str(self.dialect.opening());
        }
        loop {
            // Marked before reading, so that a message in between wakes us.
            self.changed.borrow_and_update();
            self.read_into(&mut chunk);
            if !chunk.is_empty() {
                return Some(chunk);
            }
            let waited = tokio::select! {
                () = self.shutdown.asked() => return None,
                waited = tokio::time::timeout(KEEP_ALIVE, self.changed.changed()) => waited,
            };
            match waited {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => chunk.push_str(self.dialect.keep_alive()),
            }
        }
    }

    fn read_into(&mut self, chunk: &mut String) {
        while chunk.len() < sse::CHUNK_BYTES_MAX {
            let Some(after) = self.cursor else {
                self.start_over(chunk);
                continue;
            };
            match self.batch(after) {
                Batch::Messages(messages) if messages.is_empty() => return,
                Batch::Messages(messages) => {
                    for (number, message) in (after + 1..).zip(messages) {
                        if self.filter.wants(&message.event) {
                            self.write(chunk, &message.event, number, &message.json);
                        }
                        self.cursor = Some(number);
                    }
                }
                Batch::Lagged => {
                    self.feed.metrics.count(&FEED_LAGGED, &[]);
                    self.write(chunk, &FeedEvent::Lagged, after, "{}");
                    self.cursor = None;
                }
            }
        }
    }

    fn start_over(&mut self, chunk: &mut String) {
        let (snapshot, newest) = {
            let inner = lock(&self.feed.inner);
            (inner.snapshot(), inner.newest)
        };
        let event = FeedEvent::Snapshot(Box::new(snapshot));
        // Records hold nothing that JSON cannot express.
        let json = event.data().unwrap_or_default();
        self.write(chunk, &event, newest, &json);
        self.cursor = Some(newest);
    }

    fn batch(&self, after: u64) -> Batch {
        let inner = lock(&self.feed.inner);
        if after + 1 < inner.oldest() {
            return Batch::Lagged;
        }
        let skip = usize::try_from(after + 1 - inner.oldest()).unwrap_or(usize::MAX);
        Batch::Messages(inner.window.iter().skip(skip).take(BATCH_MAX).cloned().collect())
    }

    fn write(&self, chunk: &mut String, event: &FeedEvent, number: u64, json: &str) {
        let mut id = String::with_capacity(24);
        // Infallible: writing to a String.
        let _ = write!(id, "{}-{number}", self.feed.epoch);
        self.dialect.event(chunk, Some(event.name()), Some(&id), json);
    }
}

enum Batch {
    Messages(Vec<Arc<super::Message>>),
    Lagged,
}
