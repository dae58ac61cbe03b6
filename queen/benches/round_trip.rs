//! What a job costs from POST to end marker, side by side in one run:
//!
//! * the floor: the same two HTTP calls to a bare handler that does nothing,
//! * a job that the queen does herself,
//! * a job that a hive in the queen's process does,
//! * a job that a hive does over HTTP.
//!
//! `cargo bench -p queen --features local-hive`. Absolute figures depend on the
//! machine; the differences to the floor are what rbee adds, and those to the
//! queen's own job are what the way to a hive adds. On a machine that does much
//! else the least of each says more than the middle.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    routing::{get, post},
};
use client::{Daemon, JobItem};
use config::{Config, Nonce, Paths};
use protocol::{
    HiveId, JobId,
    job::{EndMarker, JobCreated},
    operation::{HiveList, HiveOperation, HiveStart, Operation, QueenOperation, WorkerList},
    routes,
};

const WARM_UP: usize = 200;
const ROUNDS: usize = 2_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let floor = bare_handler().await?;
    let remote_id: HiveId = "remote".parse()?;
    let remote = remote_hive(&directory.path().join("remote"), &remote_id).await?;
    let queen = queen(&directory.path().join("queen"), &remote_id, &remote).await?;
    let caller = Daemon::new(&format!("http://{}", queen.local_addr()))?;
    let start = QueenOperation::from(HiveStart { alias: HiveId::localhost() });
    round_trip(&caller, &start.into()).await?;

    let own = QueenOperation::from(HiveList {}).into();
    let on = |id: HiveId| HiveOperation::from(WorkerList { hive_id: Some(id) }).into();
    let paths: [(&str, &Daemon, Operation); 4] = [
        ("bare handler", &floor, QueenOperation::from(HiveList {}).into()),
        ("queen", &caller, own),
        ("queen, hive in process", &caller, on(HiveId::localhost())),
        ("queen, hive over HTTP", &caller, on(remote_id)),
    ];
    let mut samples = vec![Vec::with_capacity(ROUNDS); paths.len()];
    // In turns, so that what else the machine does falls on all alike.
    for round in 0..WARM_UP + ROUNDS {
        for ((_, daemon, operation), samples) in paths.iter().zip(&mut samples) {
            let took = round_trip(daemon, operation).await?;
            if round >= WARM_UP {
                samples.push(took);
            }
        }
    }
    report(&paths.map(|(name, _, _)| name), &mut samples);
    queen.close().await;
    remote.close_with_workers().await;
    Ok(())
}

async fn round_trip(daemon: &Daemon, operation: &Operation) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let created = daemon.submit(operation).await?;
    let mut stream = daemon.follow(&created.job_id, 0);
    loop {
        match stream.next_item().await {
            Some(Ok(JobItem::End(EndMarker::Done))) => return Ok(began.elapsed()),
            Some(Ok(JobItem::Event { .. })) => {}
            other => anyhow::bail!("{} ended as {other:?}", operation.name()),
        }
    }
}

/// The same two calls, answered at once.
async fn bare_handler() -> anyhow::Result<Daemon> {
    let job_id: JobId = JobId::generate();
    let created = JobCreated { sse_url: routes::job_stream(&job_id), job_id };
    let end = || async { ([("content-type", "text/event-stream")], "data: [DONE]\n\n") };
    let router = Router::new()
        .route(routes::JOBS, post(move || async move { Json(created) }))
        .route(routes::JOB_STREAM_PATTERN, get(end));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let server = daemon::server::HttpServer::serve(listener, router)?;
    // It serves until the process ends.
    std::mem::forget(server);
    Ok(Daemon::new(&format!("http://{address}"))?)
}

fn places(directory: &Path) -> Paths {
    Paths {
        config_dir: directory.join("config"),
        data_dir: directory.join("data"),
        cache_dir: directory.join("cache"),
    }
}

fn any_port(more: &str) -> anyhow::Result<Config> {
    let text =
        format!("[queen]\naddress = \"127.0.0.1:0\"\n[hive]\naddress = \"127.0.0.1:0\"\n{more}");
    Ok(Config::parse(Path::new("config.toml"), &text)?)
}

async fn remote_hive(directory: &Path, id: &HiveId) -> anyhow::Result<hive::Server> {
    let mut setup = hive::ServerConfig::new(places(directory), &any_port("")?)?;
    setup.hive_id = id.clone();
    Ok(hive::Server::start(setup).await?)
}

async fn queen(
    directory: &Path,
    id: &HiveId,
    remote: &hive::Server,
) -> anyhow::Result<queen::Server> {
    let hives = format!("[hives.{id}]\nurl = \"http://{}\"\n", remote.local_addr());
    let setup = queen::ServerConfig {
        paths: places(directory),
        config: any_port(&hives)?,
        address: None,
        nonce: Nonce::fresh(),
    };
    Ok(queen::Server::start(setup).await?)
}

#[expect(clippy::print_stdout, reason = "the figures are the answer")]
fn report(names: &[&str], samples: &mut [Vec<Duration>]) {
    println!(
        "{:<24} {:>9} {:>9} {:>9} {:>11} {:>11} {:>7}",
        "POST to end marker", "least ms", "p50 ms", "p99 ms", "least over", "p50 over", "ratio"
    );
    let mut floor = None;
    for (name, samples) in names.iter().zip(samples) {
        samples.sort_unstable();
        let at = |quantile: f64| {
            let index = (samples.len() as f64 * quantile) as usize;
            samples[index.min(samples.len() - 1)].as_secs_f64() * 1e3
        };
        let (least, p50, p99) = (at(0.0), at(0.5), at(0.99));
        let (least_floor, floor) = *floor.get_or_insert((least, p50));
        println!(
            "{name:<24} {least:>9.3} {p50:>9.3} {p99:>9.3} {:>11.3} {:>11.3} {:>6.1}x",
            least - least_floor,
            p50 - floor,
            p50 / floor
        );
    }
}
