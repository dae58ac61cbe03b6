//! A queen for measuring: a fleet of any size, heartbeats and tokens at a
//! steady pace.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
    routing::get,
};
use futures::{Stream, StreamExt, stream};
use protocol::{
    Timestamp,
    fleet::{Change, FeedEvent},
    job::JobEvent,
};
use tokio::{
    net::TcpListener,
    time::{Instant, interval_at},
};

use crate::fleet;

/// What goes on in her fleet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Machines.
    pub(crate) hives: usize,
    /// Workers.
    pub(crate) workers: usize,
    /// Of all workers together, in a second.
    pub(crate) heartbeats: u32,
    /// Jobs that generate.
    pub(crate) streams: usize,
    /// Of all jobs together, in a second.
    pub(crate) tokens: u32,
}

/// Serves it; the address is where.
pub(crate) async fn start(load: Load) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/health", get(async || r#"{"status":"ok"}"#))
        .route("/v1/events", get(events))
        .route("/v1/jobs/{id}/stream", get(tokens))
        .with_state(Arc::new(load));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

type Events<S> = Sse<axum::response::sse::KeepAliveStream<S>>;

fn sse<S: Stream<Item = Result<Event, Infallible>> + Send + 'static>(events: S) -> Events<S> {
    // As often as a real one.
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(5)))
}

/// `rate` times a second, counted from 0; never for 0.
fn ticks(rate: f64) -> impl Stream<Item = u64> + Send {
    let every = (rate > 0.0).then(|| Duration::from_secs_f64(1.0 / rate));
    let timer = every.map(|every| interval_at(Instant::now() + every, every));
    stream::unfold((timer, 0), |(timer, count)| async move {
        let Some(mut timer) = timer else { return std::future::pending().await };
        timer.tick().await;
        Some((count, (Some(timer), count + 1)))
    })
}

fn event(number: u64, event: &FeedEvent) -> Event {
    let data = event.data().unwrap_or_default();
    Event::default().id(format!("bench-{number}")).event(event.name()).data(data)
}

async fn events(
    State(load): State<Arc<Load>>,
) -> Events<impl Stream<Item = Result<Event, Infallible>>> {
    let snapshot = fleet::fleet(load.hives, load.workers, load.streams).unwrap_or_default();
    let first = event(0, &FeedEvent::Snapshot(Box::new(snapshot)));
    let beats = ticks(f64::from(load.heartbeats)).filter_map(move |count| {
        // A prime, so that every worker has its turn.
        let number = usize::try_from(count * 7_919).unwrap_or_default() % load.workers.max(1);
        let record = fleet::worker(number, number % load.hives, count).ok();
        let beat = record.map(|it| event(count + 1, &FeedEvent::Worker(Change::from(it))));
        std::future::ready(beat)
    });
    sse(stream::once(std::future::ready(first)).chain(beats).map(Ok))
}

async fn tokens(
    State(load): State<Arc<Load>>,
) -> Events<impl Stream<Item = Result<Event, Infallible>>> {
    const WORDS: [&str; 6] = [" the", " slot", " table", " says", " nothing,", " again"];
    let rate = f64::from(load.tokens) / load.streams.max(1) as f64;
    let tokens = ticks(rate).map(|count| {
        let number = usize::try_from(count).unwrap_or_default();
        let index = u32::try_from(count).unwrap_or(u32::MAX);
        let mut token = JobEvent::token(WORDS[number % WORDS.len()], index);
        token.at = Some(Timestamp::now());
        let data = serde_json::to_string(&token).unwrap_or_default();
        Event::default().id((count + 1).to_string()).data(data)
    });
    sse(tokens.map(Ok))
}
