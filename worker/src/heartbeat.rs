//! Tells the queen that this worker lives: every 30 s, and at once when
//! something she would want to know has changed.

use std::time::Duration;

use client::Daemon;
use daemon::shutdown::Shutdown;
use protocol::{
    DeviceId, ErrorCode, HiveId, ModelRef,
    fleet::{HealthStatus, Heartbeat, HeartbeatDetails},
};
use tokio::sync::watch;

use crate::{
    generation::{self, Activity},
    phase::{Phase, Phases},
};

const EVERY: Duration = Duration::from_secs(30);
/// While a slot is busy the rate is news, and afterwards that there is none.
const EVERY_WHILE_GENERATING: Duration = generation::RATE_WINDOW;
/// Changes in quick succession are told together.
const GATHER: Duration = Duration::from_millis(20);
/// A queen that cannot be reached is tried again sooner than the next beat.
const RETRY: Duration = Duration::from_secs(5);

/// What a worker says about itself that does not change.
#[derive(Debug, Clone)]
pub struct About {
    /// Its machine.
    pub hive_id: HiveId,
    /// What it runs.
    pub model: ModelRef,
    /// What it runs on.
    pub device: DeviceId,
    /// Where it listens.
    pub url: String,
}

/// Beats until shutdown. A queen who knows a newer life of this worker ends
/// this one.
pub async fn beat(queen: Daemon, about: About, phases: Phases, shutdown: Shutdown) {
    let mut phase = phases.subscribe();
    let mut activity = None;
    let mut number = 0;
    loop {
        let now = phase.borrow_and_update().clone();
        if let (Phase::Serving(generator), None) = (&now, &activity) {
            activity = Some(generator.activity());
        }
        number += 1;
        let heartbeat = heartbeat(&about, &phases, number);
        let pause = match queen.heartbeat(&heartbeat).await {
            Ok(_) if is_generating(&heartbeat.details) => EVERY_WHILE_GENERATING,
            Ok(_) => EVERY,
            Err(error) => {
                if error.api().is_some_and(|api| api.code == ErrorCode::StaleIncarnation) {
                    tracing::warn!("the queen knows a newer life of this worker: leaving");
                    shutdown.ask();
                    return;
                }
                tracing::debug!(error = %error.one_line(), "the heartbeat did not arrive");
                RETRY
            }
        };
        tokio::select! {
            () = shutdown.asked() => return,
            () = tokio::time::sleep(pause) => {}
            moved = phase.changed() => if moved.is_err() { return },
            () = moved(&mut activity) => {}
        }
        tokio::time::sleep(GATHER).await;
    }
}

/// Resolves when a request comes, gets its slot or ends; never while there is
/// no generator.
async fn moved(activity: &mut Option<watch::Receiver<Activity>>) {
    if let Some(activity) = activity
        && activity.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

fn is_generating(details: &HeartbeatDetails) -> bool {
    details.slots_busy.is_some_and(|busy| busy > 0) || details.tokens_per_second.is_some()
}

fn heartbeat(about: &About, phases: &Phases, number: u64) -> Heartbeat {
    let health = phases.health();
    let worker = health.worker.as_ref();
    let failed = matches!(phases.now(), Phase::Failed(_));
    Heartbeat {
        worker_id: phases.identity().worker_id.clone(),
        timestamp: daemon::now(),
        health_status: if failed { HealthStatus::Degraded } else { HealthStatus::Healthy },
        details: HeartbeatDetails {
            hive_id: Some(about.hive_id.clone()),
            model: Some(about.model.clone()),
            url: Some(about.url.clone()),
            device: Some(about.device.clone()),
            state: Some(phases.state()),
            slots_total: worker.and_then(|it| it.slots_total),
            slots_busy: worker.and_then(|it| it.slots_busy),
            memory_bytes: worker.and_then(|it| it.memory_bytes),
            tokens_per_second: worker.and_then(|it| it.tokens_per_second),
            time_to_first_token_ms: worker.and_then(|it| it.time_to_first_token_ms),
            kv_cache_tokens: worker.and_then(|it| it.kv_cache_tokens),
            kv_cache_capacity_tokens: worker.and_then(|it| it.kv_cache_capacity_tokens),
            version: worker.and_then(|it| it.version.clone()),
            incarnation: Some(phases.identity().incarnation),
            heartbeat: Some(number),
        },
    }
}
