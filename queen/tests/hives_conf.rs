//! What a queen makes of the hives that her files name.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::{fs, os::unix::fs::OpenOptionsExt, time::Duration};

use client::Daemon;
use config::{Config, Nonce, Paths};
use protocol::{
    fleet::{HiveState, Snapshot},
    operation::{HiveRefreshCapabilities, Operation, QueenOperation},
};
use queen::{Server, ServerConfig};

fn paths(temp: &tempfile::TempDir) -> Paths {
    let dir = |name| temp.path().join(name);
    let paths = Paths { config_dir: dir("c"), data_dir: dir("d"), cache_dir: dir("k") };
    fs::create_dir(&paths.config_dir).unwrap();
    paths
}

async fn start(paths: &Paths) -> Server {
    let config = Config::load(paths).unwrap();
    let address = Some(([127, 0, 0, 1], 0).into());
    let start = ServerConfig { paths: paths.clone(), config, address, nonce: Nonce::fresh() };
    Server::start(start).await.unwrap()
}

fn daemon(server: &Server) -> Daemon {
    Daemon::new(&format!("http://{}", server.local_addr())).unwrap()
}

#[tokio::test]
async fn a_hive_behind_ssh_is_listed_with_the_plain_reason_why_it_is_offline() {
    let temp = tempfile::tempdir().unwrap();
    let paths = paths(&temp);
    fs::write(paths.hives_file(), "Host attic\n  HostName 10.0.0.7\n  User ada\n").unwrap();
    let server = start(&paths).await;
    let queen = daemon(&server);
    let snapshot: Snapshot = queen.status().await.unwrap();
    let attic = snapshot.hives.iter().find(|hive| hive.id.as_str() == "attic").unwrap();
    assert_eq!((attic.state, attic.url.as_str()), (HiveState::Offline, "ssh://ada@10.0.0.7"));
    let reason = attic.reason.as_deref().unwrap();
    assert_eq!(reason, "no hive is installed there");

    let refresh = HiveRefreshCapabilities { alias: "attic".parse().unwrap() };
    let operation = Operation::Queen(QueenOperation::from(refresh));
    let job = queen.submit(&operation).await.unwrap().job_id;
    let mut stream = queen.follow(&job, 0);
    while stream.next_item().await.is_some() {}
    let error = queen.job(&job).await.unwrap().record.error.unwrap();
    assert!(error.message.contains("no hive is installed there"), "{error}");
    assert_eq!(error.hint.as_deref(), Some("rbee-keeper hive install attic"));
    server.close().await;
}

#[tokio::test]
async fn what_a_hive_has_is_written_down_when_it_comes_up() {
    let temp = tempfile::tempdir().unwrap();
    let paths = paths(&temp);
    let hive = stand_in().await;
    let token = paths.config_dir.join("box.token");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(token).unwrap();
    std::io::Write::write_all(&mut file, b"0123456789abcdef\n").unwrap();
    let text = format!("Host box\n  Url http://{hive}\n  TokenFile box.token\n");
    fs::write(paths.hives_file(), text).unwrap();
    let server = start(&paths).await;

    let file = paths.capabilities_file();
    let written = async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        fs::read_to_string(&file).unwrap()
    };
    let yaml = tokio::time::timeout(Duration::from_secs(20), written).await.unwrap();
    assert!(yaml.contains("  box:\n") && yaml.contains("alias: box"), "{yaml}");
    assert!(yaml.contains(&format!("endpoint: http://{hive}")), "{yaml}");
    assert!(yaml.contains("id: CPU-0") && yaml.contains("device_type: cpu"), "{yaml}");

    fs::remove_file(&file).unwrap();
    let queen = daemon(&server);
    let refresh = HiveRefreshCapabilities { alias: "box".parse().unwrap() };
    let operation = Operation::Queen(QueenOperation::from(refresh));
    let job = queen.submit(&operation).await.unwrap().job_id;
    let mut stream = queen.follow(&job, 0);
    while stream.next_item().await.is_some() {}
    assert_eq!(queen.job(&job).await.unwrap().record.error, None);
    assert!(file.exists(), "a refresh writes it as well");
    server.close().await;
}

/// A hive that has one CPU and wants to see its token.
async fn stand_in() -> std::net::SocketAddr {
    use axum::{Json, Router, routing::get};
    let capabilities = serde_json::json!({
        "devices": [{
            "id": "CPU-0", "name": "a processor", "device_type": "cpu", "vram_gb": null,
            "compute_capability": null, "memory_bytes": 1024, "cores": 4,
        }],
    });
    let feed = daemon::feed::Feed::new();
    let router = Router::new()
        .route("/capabilities", get(|| async move { Json(capabilities) }))
        .merge(feed.routes(daemon::shutdown::Shutdown::new()));
    let token = secrecy::SecretString::from("0123456789abcdef");
    let router = daemon::door::Door::new(Some(&token)).guard(router);
    let listener = daemon::server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let http = daemon::server::HttpServer::serve(listener, router).unwrap();
    let address = http.local_addr();
    // Dropping it leaves the listener to its task, until the test is over.
    drop(http);
    address
}
