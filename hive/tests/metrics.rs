//! The numbers of a hive, as Prometheus gets them.

use config::{Config, Paths};
use hive::{Server, ServerConfig};

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_numbers_of_a_hive() {
    let temp = tempfile::tempdir().unwrap();
    let dir = |name| temp.path().join(name);
    let paths = Paths { config_dir: dir("c"), data_dir: dir("d"), cache_dir: dir("k") };
    let mut config = ServerConfig::new(paths, &Config::default()).unwrap();
    config.address = ([127, 0, 0, 1], 0).into();
    let server = Server::start(config).await.unwrap();

    let numbers = daemon::testing::scrape(server.local_addr()).await.unwrap();
    for sample in [
        "rbee_build_info{daemon=\"hive\",",
        "rbee_process_resident_memory_bytes ",
        "rbee_device_memory_bytes{device=\"CPU-0\"} ",
        "rbee_device_memory_used_bytes{device=\"CPU-0\"} ",
        "rbee_device_utilisation_ratio{device=\"CPU-0\"} ",
        "rbee_workers{state=\"ready\"} 0",
        "rbee_slots 0",
        "rbee_jobs_running 0",
        "rbee_models{state=\"ready\"} 1",
        "rbee_models_disk_bytes ",
        "rbee_models_disk_free_bytes ",
    ] {
        let is_there = numbers.lines().any(|line| line.starts_with(sample));
        assert!(is_there, "no {sample} in:\n{numbers}");
    }
    server.close().await;
}
