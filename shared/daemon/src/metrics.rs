//! What a daemon counts, and `GET /metrics`.
//!
//! ```text
//! count, observe, set ──▶ Metrics ──▶ GET /metrics (sampled facts are set just before)
//! ```
//!
//! A daemon's metrics are a value of its own and not the process's: several
//! daemons in one test count apart, and nothing can count into a recorder that
//! nobody has installed. What can be looked up is looked up when it is asked
//! for; only what would be gone by then is counted as it happens.

mod definitions;
mod fleet;
mod http;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ::metrics::{Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use self::definitions::{ALL, Kind};
pub use self::{definitions::*, fleet::*};

/// Observations are kept one by one until they are sorted into their buckets.
/// This many are sorted at a time, whether or not anybody asks for them.
const UNSORTED_MAX: u64 = 1_024;

const METADATA: Metadata<'static> =
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// Names with their values.
pub type Labels<'a> = [(&'static str, &'a str)];

/// The numbers of one daemon. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    shared: Arc<Shared>,
}

struct Shared {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    observations: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        let builder =
            ALL.iter().try_fold(PrometheusBuilder::new(), |builder, metric| match metric.kind {
                Kind::Histogram(buckets) => {
                    builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)
                }
                Kind::Counter | Kind::Gauge => Ok(builder),
            });
        // Refused is only an empty list of buckets, and none of ours is.
        let recorder = builder.unwrap_or_default().build_recorder();
        for metric in ALL {
            let name = KeyName::from_const_str(metric.name);
            let help = metric.help.into();
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, None, help),
                Kind::Gauge => recorder.describe_gauge(name, None, help),
                Kind::Histogram(_) => recorder.describe_histogram(name, None, help),
            }
        }
        let handle = recorder.handle();
        Self { shared: Arc::new(Shared { recorder, handle, observations: AtomicU64::new(0) }) }
    }

    /// It happened once more.
    pub fn count(&self, metric: &Definition, labels: &Labels<'_>) {
        self.shared.recorder.register_counter(&key(metric, labels), &METADATA).increment(1);
    }

    /// It has happened this often, as somebody else has counted.
    pub fn count_is(&self, metric: &Definition, labels: &Labels<'_>, count: u64) {
        self.shared.recorder.register_counter(&key(metric, labels), &METADATA).absolute(count);
    }

    /// It is this now.
    pub fn set(&self, metric: &Definition, labels: &Labels<'_>, value: f64) {
        self.shared.recorder.register_gauge(&key(metric, labels), &METADATA).set(value);
    }

    /// It took this.
    pub fn observe(&self, metric: &Definition, labels: &Labels<'_>, value: f64) {
        let key = key(metric, labels);
        self.shared.recorder.register_histogram(&key, &METADATA).record(value);
        let observations = self.shared.observations.fetch_add(1, Ordering::Relaxed) + 1;
        if observations.is_multiple_of(UNSORTED_MAX) {
            self.shared.handle.run_upkeep();
        }
    }

    /// There is one more of it until the guard is dropped.
    pub fn hold(&self, metric: &Definition, labels: &Labels<'_>) -> Held {
        let gauge = self.shared.recorder.register_gauge(&key(metric, labels), &METADATA);
        gauge.increment(1.0);
        Held(gauge)
    }

    /// Everything, as Prometheus reads it.
    pub fn render(&self) -> String {
        self.shared.handle.render()
    }
}

/// One of the things that a gauge counts; dropping it takes it off.
pub struct Held(::metrics::Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn key(metric: &Definition, labels: &Labels<'_>) -> Key {
    let labels: Vec<_> =
        labels.iter().map(|&(name, value)| Label::new(name, value.to_owned())).collect();
    Key::from_parts(metric.name, labels)
}

#[cfg(test)]
mod tests;
