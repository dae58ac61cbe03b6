//! The hive in the queen's process: which queen this is, so that no run takes
//! one build for the other. What else holds for her is told by all the other
//! scenarios, which run with either build.

use std::env;

use harness::{Cluster, Daemon};

/// Set by `tests/run`: the features of the queen that it has built.
const EXPECTED: &str = "QUEEN_FEATURES";

#[tokio::test]
async fn a_hive_is_a_process_of_its_own_unless_the_queen_carries_it() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let is_in_queen = cluster.hive_is_in_queen().await?;
    if let Ok(expected) = env::var(EXPECTED) {
        assert_eq!(is_in_queen, expected == "local-hive", "the queen under test is another build");
    }
    let started = cluster.keeper(&["hive", "start"]).await?.succeeded()?;
    assert_eq!(started.stderr.contains("in the queen"), is_in_queen, "{}", started.stderr);

    let (queen, hive) = (cluster.pid(Daemon::Queen)?, cluster.pid(Daemon::Hive)?);
    assert_eq!(hive == queen, is_in_queen);
    assert_eq!(cluster.hive_process(), (!is_in_queen).then_some(hive));
    // She can be called over HTTP all the same.
    let health = cluster.call(Daemon::Hive, "GET", "/health", &[], None).await?;
    assert_eq!(health.status, 200);
    cluster.close()
}
