//! How long callers waited for their first tokens.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use daemon::{
    metrics::{self, Metrics},
    newest::{Newest, milliseconds},
};
use protocol::fleet::FirstTokenRecord;
use tokio::sync::watch;

/// Requests that the figures are about.
const KEPT: usize = 128;

/// The waits of the newest requests. Cheap to clone.
#[derive(Clone)]
pub struct FirstTokens {
    newest: Arc<Mutex<Newest>>,
    record: watch::Sender<Option<FirstTokenRecord>>,
    metrics: Metrics,
}

impl FirstTokens {
    /// Nobody has waited yet.
    pub fn new(metrics: Metrics) -> Self {
        let newest = Arc::new(Mutex::new(Newest::new(KEPT)));
        Self { newest, record: watch::Sender::new(None), metrics }
    }

    /// A request has its first token, so long after it was accepted.
    pub fn note(&self, waited: Duration) {
        self.metrics.observe(&metrics::FIRST_TOKEN, &[], waited.as_secs_f64());
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.note(waited);
        // Sent under the lock, so that the newest record is of all of them.
        self.record.send_replace(record(&newest));
    }

    /// Follows what they come to.
    pub fn record(&self) -> watch::Receiver<Option<FirstTokenRecord>> {
        self.record.subscribe()
    }
}

fn record(newest: &Newest) -> Option<FirstTokenRecord> {
    Some(FirstTokenRecord {
        requests: u32::try_from(newest.count()).unwrap_or(u32::MAX),
        p50_ms: milliseconds(newest.quantile(0.5)?),
        p95_ms: milliseconds(newest.quantile(0.95)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_about_the_newest_requests() {
        let waits = FirstTokens::new(Metrics::new());
        let told = waits.record();
        assert_eq!(*told.borrow(), None, "unknown, and not a zero");
        (1..=100).for_each(|ms| waits.note(Duration::from_millis(ms)));
        let record = FirstTokenRecord { requests: 100, p50_ms: 50.0, p95_ms: 95.0 };
        assert_eq!(*told.borrow(), Some(record));
        (0..KEPT).for_each(|_| waits.note(Duration::from_millis(7)));
        let record = FirstTokenRecord { requests: 128, p50_ms: 7.0, p95_ms: 7.0 };
        assert_eq!(*told.borrow(), Some(record));
    }
}
