//! Every metric there is: its name, what it says, and its buckets.
//!
//! Names follow Prometheus: base units as suffixes, `_total` for what only
//! grows. Labels take few values, and every value is one that the program
//! chose: no id, no path and nothing that a caller sent.

/// One metric.
#[derive(Debug)]
pub struct Definition {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Counter,
    Gauge,
    /// With the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

macro_rules! definitions {
    ($($constant:ident: $kind:expr, $name:literal, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $constant: Definition =
                Definition { name: $name, help: $help, kind: $kind };
        )*
        pub(super) static ALL: &[&Definition] = &[$(&$constant),*];
    };
}

use Kind::{Counter, Gauge, Histogram};

/// From a list that is answered at once to a download of an hour.
const JOB_SECONDS: &[f64] =
    &[0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];
/// From a small model's few milliseconds to a prompt that fills a context.
const FIRST_TOKEN_SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

definitions! {
    BUILD_INFO: Gauge, "rbee_build_info", "Which build this daemon is; always 1.";
    PROCESS_RESIDENT_MEMORY: Gauge, "rbee_process_resident_memory_bytes",
        "Memory that this daemon's process holds.";
    HTTP_REQUESTS: Counter, "rbee_http_requests_total",
        "Answered HTTP requests; the status is `none` where the caller left first.";
    SSE_READERS: Gauge, "rbee_sse_readers", "Open event streams.";
    FEED_LAGGED: Counter, "rbee_feed_lagged_total",
        "How often a reader of the feed fell so far behind that it got a new snapshot.";
    JOBS: Counter, "rbee_jobs_total", "Jobs that have ended, by operation and by how they ended.";
    JOBS_RUNNING: Gauge, "rbee_jobs_running", "Jobs that have not ended.";
    JOB_DURATION: Histogram(JOB_SECONDS), "rbee_job_duration_seconds",
        "From a job's acceptance to its end.";
    HIVES: Gauge, "rbee_hives", "Known hives by state.";
    WORKERS: Gauge, "rbee_workers", "Known workers by state.";
    SLOTS: Gauge, "rbee_slots", "Requests that can run at once.";
    SLOTS_BUSY: Gauge, "rbee_slots_busy", "Requests that run now.";
    WAITING_REQUESTS: Gauge, "rbee_waiting_requests", "Inference requests that wait for a slot.";
    HEARTBEATS_RECEIVED: Counter, "rbee_heartbeats_received_total",
        "Heartbeats of workers that came in whole, ignored ones included.";
    HEARTBEATS_IGNORED: Counter, "rbee_heartbeats_ignored_total",
        "Heartbeats that came twice, late or from a former life of their worker.";
    DEVICE_MEMORY: Gauge, "rbee_device_memory_bytes", "Memory that a device has.";
    DEVICE_MEMORY_USED: Gauge, "rbee_device_memory_used_bytes",
        "Memory of a device that is in use by anybody; NaN when it does not say.";
    DEVICE_UTILISATION: Gauge, "rbee_device_utilisation_ratio",
        "How busy a device is, 0 to 1; NaN when it does not say.";
    DEVICE_TEMPERATURE: Gauge, "rbee_device_temperature_celsius",
        "How hot a device is; NaN when it does not say.";
    DEVICE_POWER: Gauge, "rbee_device_power_watts",
        "What a device draws; NaN when it does not say.";
    MODELS: Gauge, "rbee_models", "Models on the disk by state.";
    MODELS_DISK: Gauge, "rbee_models_disk_bytes",
        "What the file system holds that models are kept on; NaN when it does not say.";
    MODELS_DISK_FREE: Gauge, "rbee_models_disk_free_bytes",
        "What is left there; NaN when it does not say.";
    TOKENS_GENERATED: Counter, "rbee_tokens_generated_total", "Tokens that the model has made.";
    KV_CACHE_TOKENS: Gauge, "rbee_kv_cache_tokens", "Tokens that the KV cache holds.";
    KV_CACHE_CAPACITY: Gauge, "rbee_kv_cache_capacity_tokens",
        "Tokens that the KV cache can hold: a whole context in every slot.";
    FIRST_TOKEN: Histogram(FIRST_TOKEN_SECONDS), "rbee_time_to_first_token_seconds",
        "From the arrival of a request to its first token.";
}
