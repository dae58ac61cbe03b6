use ::http::{Request, StatusCode};
use axum::{Router, body::Body, routing::get};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::door::Door;

async fn call(router: &Router, request: ::http::request::Builder) -> (StatusCode, String) {
    let request = request.body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// The value of the sample that begins like this.
fn value(text: &str, sample: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.strip_prefix(sample).is_some())?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[tokio::test]
async fn requests_are_counted_by_pattern_and_never_by_path() {
    let metrics = Metrics::new();
    let router = Router::new()
        .route("/v1/jobs/{job_id}", get(|| async { "ok" }))
        .merge(metrics.routes("test", |_| {}));
    let router = metrics.watch(Door::new(None).guard(router));
    for n in 0..3 {
        call(&router, Request::get(format!("/v1/jobs/job-{n}"))).await;
    }
    call(&router, Request::post("/v1/jobs/job-1")).await;
    call(&router, Request::get("/wp-login.php")).await;
    call(&router, Request::builder().method("BREW").uri("/coffee")).await;
    call(&router, Request::get("/v1/jobs/x").header("origin", "http://evil")).await;
    let (status, text) = call(&router, Request::get("/metrics")).await;

    assert_eq!(status, StatusCode::OK);
    let counted = |method: &str, route: &str, status: u16| {
        let labels = format!("method=\"{method}\",route=\"{route}\",status=\"{status}\"");
        value(&text, &format!("rbee_http_requests_total{{{labels}}}"))
    };
    assert_eq!(counted("GET", "/v1/jobs/{job_id}", 200), Some(3.0), "{text}");
    assert_eq!(counted("POST", "/v1/jobs/{job_id}", 405), Some(1.0), "{text}");
    assert_eq!(counted("GET", "/v1/jobs/{job_id}", 403), Some(1.0), "{text}");
    assert_eq!(counted("GET", "unmatched", 404), Some(1.0), "{text}");
    assert_eq!(counted("other", "unmatched", 404), Some(1.0), "{text}");
    assert!(!text.contains("wp-login") && !text.contains("job-1"), "{text}");
    assert!(text.contains("rbee_build_info{daemon=\"test\",version="), "{text}");
    assert!(value(&text, "rbee_process_resident_memory_bytes ").unwrap() > 1e6, "{text}");
}

#[tokio::test]
async fn a_caller_who_leaves_is_counted_as_well() {
    let metrics = Metrics::new();
    let router = Router::new().route("/slow", get(std::future::pending::<()>));
    let router = metrics.watch(router);
    let waiting = call(&router, Request::get("/slow"));
    let waited = tokio::time::timeout(std::time::Duration::from_millis(20), waiting).await;
    assert!(waited.is_err());
    let text = metrics.render();
    let sample = "rbee_http_requests_total{method=\"GET\",route=\"/slow\",status=\"none\"}";
    assert_eq!(value(&text, sample), Some(1.0), "{text}");
}

#[test]
fn two_daemons_in_one_process_count_apart() {
    let (one, other) = (Metrics::new(), Metrics::new());
    one.count(&FEED_LAGGED, &[]);
    assert_eq!(value(&one.render(), "rbee_feed_lagged_total "), Some(1.0));
    assert_eq!(value(&other.render(), "rbee_feed_lagged_total "), None);
}

#[test]
fn what_is_held_is_counted_until_it_is_dropped() {
    let metrics = Metrics::new();
    let labels = [("stream", "feed")];
    let held = [metrics.hold(&SSE_READERS, &labels), metrics.hold(&SSE_READERS, &labels)];
    let now = || value(&metrics.render(), "rbee_sse_readers{stream=\"feed\"}");
    assert_eq!(now(), Some(2.0));
    drop(held);
    assert_eq!(now(), Some(0.0));
}

#[test]
fn durations_fall_into_buckets_and_are_not_kept_one_by_one() {
    let metrics = Metrics::new();
    let labels = [("operation", "infer")];
    for n in 0..5_000_u32 {
        metrics.observe(&JOB_DURATION, &labels, f64::from(n) / 1_000.0);
    }
    let text = metrics.render();
    let bucket = |le: &str| {
        let name = "rbee_job_duration_seconds_bucket";
        value(&text, &format!("{name}{{operation=\"infer\",le=\"{le}\"}}"))
    };
    assert_eq!(bucket("1"), Some(1_001.0), "{text}");
    assert_eq!(bucket("+Inf"), Some(5_000.0), "{text}");
    assert_eq!(value(&text, "rbee_job_duration_seconds_count"), Some(5_000.0), "{text}");
}

#[test]
fn every_metric_has_a_name_that_prometheus_likes_and_an_explanation() {
    for metric in ALL {
        let Definition { name, help, kind } = metric;
        assert!(name.starts_with("rbee_") && help.ends_with('.'), "{name}");
        assert_eq!(matches!(kind, Kind::Counter), name.ends_with("_total"), "{name}");
        if let Kind::Histogram(buckets) = kind {
            assert!(!buckets.is_empty() && buckets.len() <= 16, "{name}");
            assert!(buckets.is_sorted() && name.ends_with("_seconds"), "{name}");
        }
    }
    let mut names: Vec<_> = ALL.iter().map(|metric| metric.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ALL.len());
}

#[test]
fn promtool_finds_nothing_wrong_with_any_metric() {
    let metrics = Metrics::new();
    for metric in ALL {
        match metric.kind {
            Kind::Counter => metrics.count(metric, &[]),
            Kind::Gauge => metrics.set(metric, &[], f64::NAN),
            Kind::Histogram(_) => metrics.observe(metric, &[], 0.1),
        }
    }
    let numbers = metrics.render();
    crate::testing::promtool_check(&numbers).unwrap();
    for metric in ALL {
        assert!(numbers.contains(&format!("# HELP {} {}", metric.name, metric.help)), "{numbers}");
    }
    let nonsense = crate::testing::promtool_check("# TYPE rbee_jobs counter\nrbee_jobs 1\n");
    assert!(nonsense.unwrap_err().contains("_total"), "promtool looks");
}
