//! A queen for measuring: a fleet of any size, heartbeats and tokens at a
//! steady pace. Her feed is the real one.

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
use daemon::{feed::Feed, shutdown::Shutdown};
use futures::{Stream, StreamExt, stream};
use protocol::{
    Timestamp,
    fleet::{Change, FeedEvent},
    job::JobEvent,
};
use tokio::{
    net::TcpListener,
    time::{Instant, MissedTickBehavior, interval_at},
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
    /// Machines whose workers have none: those that a list begins with.
    pub(crate) silent: usize,
    /// Jobs that generate.
    pub(crate) streams: usize,
    /// Of all jobs together, in a second.
    pub(crate) tokens: u32,
}

/// Serves it; the address is where.
pub(crate) async fn start(load: Load) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let feed = Feed::new();
    publish_all(&feed, load)?;
    let router = Router::new()
        .route("/health", get(async || r#"{"status":"ok"}"#))
        .route("/v1/jobs/{id}/stream", get(tokens))
        .with_state(Arc::new(load))
        .merge(feed.routes(Shutdown::new()));
    tokio::spawn(async move { axum::serve(listener, router).await });
    tokio::spawn(beat(feed, load));
    Ok(address)
}

fn publish_all(feed: &Feed, load: Load) -> anyhow::Result<()> {
    let fleet = fleet::fleet(load.hives, load.workers, load.streams)?;
    fleet.queen.into_iter().for_each(|it| feed.publish(FeedEvent::Queen(Box::new(it))));
    fleet.hives.into_iter().for_each(|it| feed.publish(FeedEvent::Hive(Change::from(it))));
    fleet.devices.into_iter().for_each(|it| feed.publish(FeedEvent::Device(Change::from(it))));
    fleet.workers.into_iter().for_each(|it| feed.publish(FeedEvent::Worker(Change::from(it))));
    fleet.jobs.into_iter().for_each(|it| feed.publish(FeedEvent::Job(Change::from(it))));
    Ok(())
}

/// `rate` times a second, counted from 0; never for 0.
fn ticks(rate: f64) -> impl Stream<Item = u64> + Send {
    let every = (rate > 0.0).then(|| Duration::from_secs_f64(1.0 / rate));
    let timer = every.map(|every| {
        let mut timer = interval_at(Instant::now() + every, every);
        timer.set_missed_tick_behavior(MissedTickBehavior::Burst);
        timer
    });
    stream::unfold((timer, 0), |(timer, count)| async move {
        let Some(mut timer) = timer else { return std::future::pending().await };
        timer.tick().await;
        Some((count, (Some(timer), count + 1)))
    })
}

async fn beat(feed: Feed, load: Load) {
    let mut beats = std::pin::pin!(ticks(f64::from(load.heartbeats)));
    while let Some(count) = beats.next().await {
        // A prime, so that every worker has its turn.
        let mut number = usize::try_from(count * 7_919).unwrap_or_default() % load.workers.max(1);
        if number % load.hives < load.silent {
            number += load.silent;
        }
        // Another figure each time it is its turn.
        let beats = count + count / load.workers.max(1) as u64;
        if let Ok(record) = fleet::worker(number, number % load.hives, beats) {
            feed.publish(FeedEvent::Worker(Change::from(record)));
        }
    }
}

async fn tokens(
    State(load): State<Arc<Load>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
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
    // As often as a real one.
    Sse::new(tokens.map(Ok)).keep_alive(KeepAlive::new().interval(Duration::from_secs(5)))
}
