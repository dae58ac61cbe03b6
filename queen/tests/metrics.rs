//! The numbers of a queen, as Prometheus gets them.

use client::Daemon;
use config::{Config, Nonce, Paths};
use protocol::operation::{Operation, QueenOperation, Status};
use queen::{Server, ServerConfig};

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_numbers_of_a_queen() {
    let temp = tempfile::tempdir().unwrap();
    let dir = |name| temp.path().join(name);
    let paths = Paths { config_dir: dir("c"), data_dir: dir("d"), cache_dir: dir("k") };
    let address = Some(([127, 0, 0, 1], 0).into());
    let config = Config::default();
    let nonce = Nonce::fresh();
    let server = Server::start(ServerConfig { paths, config, address, nonce }).await.unwrap();

    let queen = Daemon::new(&format!("http://{}", server.local_addr())).unwrap();
    let operation = Operation::Queen(QueenOperation::from(Status::default()));
    let job = queen.submit(&operation).await.unwrap().job_id;
    let mut stream = queen.follow(&job, 0);
    while let Some(item) = stream.next_item().await {
        item.unwrap();
    }

    let numbers = daemon::testing::scrape(server.local_addr()).await.unwrap();
    for sample in [
        "rbee_jobs_total{operation=\"status\",state=\"done\"} 1",
        "rbee_job_duration_seconds_count{operation=\"status\"} 1",
        "rbee_jobs_running 0",
        "rbee_hives{state=\"offline\"} 1",
        "rbee_workers{state=\"ready\"} 0",
        "rbee_waiting_requests 0",
        "rbee_heartbeats_ignored_total 0",
        "rbee_http_requests_total{method=\"POST\",route=\"/v1/jobs\",status=\"200\"} 1",
    ] {
        assert!(numbers.lines().any(|line| line == sample), "no {sample} in:\n{numbers}");
    }
    assert!(!numbers.contains(job.as_str()), "{numbers}");
    server.close().await;
}
