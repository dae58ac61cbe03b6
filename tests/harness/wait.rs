//! Waiting for a condition. A sleep that is long enough for every machine is
//! too long for all but one of them.

use std::time::{Duration, Instant};

/// How long anything may take, also on a machine that does much else. A test
/// that passes never waits this long, so it costs only those that fail.
pub const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What a look at a condition found.
#[derive(Debug)]
pub enum Seen<T> {
    /// It holds.
    Yes(T),
    /// It does not yet, and this is how things are.
    NotYet(String),
}

impl Seen<()> {
    /// Whether `holds`, with what there is to see otherwise.
    pub fn when(holds: bool, state: impl std::fmt::Debug) -> Self {
        if holds { Self::Yes(()) } else { Self::NotYet(format!("{state:?}")) }
    }
}

/// Looks until the condition holds; the error says what was seen last.
pub async fn wait_for<T>(
    what: &str,
    look: impl AsyncFnMut() -> anyhow::Result<Seen<T>>,
) -> anyhow::Result<T> {
    wait_within(PATIENCE, what, look).await
}

/// The same for what takes longer by its nature.
pub async fn wait_within<T>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> anyhow::Result<Seen<T>>,
) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        match look().await? {
            Seen::Yes(found) => return Ok(found),
            Seen::NotYet(state) if began.elapsed() > patience => {
                anyhow::bail!("waited {patience:?} for {what}; last seen: {state}");
            }
            Seen::NotYet(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}
