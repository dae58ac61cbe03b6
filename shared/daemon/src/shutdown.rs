//! The two ways a daemon is asked to stop, made into one value.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Asked once, seen by everybody. `POST /v1/shutdown` and the signals both end
/// here; a daemon waits for it and then closes its server.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    asked: CancellationToken,
}

impl Shutdown {
    /// Nobody has asked yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ask.
    pub fn ask(&self) {
        self.asked.cancel();
    }

    /// Whether somebody has asked.
    pub fn is_asked(&self) -> bool {
        self.asked.is_cancelled()
    }

    /// Resolves when somebody asks.
    pub async fn asked(&self) {
        self.asked.cancelled().await;
    }

    /// Resolves when somebody asks or a SIGTERM or SIGINT arrives.
    pub async fn asked_or_signalled(&self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            () = self.asked() => {}
            _ = terminate.recv() => tracing::info!("SIGTERM: shutting down"),
            _ = interrupt.recv() => tracing::info!("SIGINT: shutting down"),
        }
        self.ask();
        Ok(())
    }
}
