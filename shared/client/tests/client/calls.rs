//! Plain calls.

use std::time::{Duration, Instant};

use client::{ClientError, Daemon, Limits};
use protocol::{
    ErrorCode, RequestId, Timestamp,
    deadline::Deadline,
    fleet::{HealthStatus, Heartbeat, HeartbeatDetails},
    job::JobState,
    operation::Operation,
};
use tokio::net::TcpListener;

use crate::support::{Reply, Server, eager, stop_the_clock};

const CREATED: &str = r#"{"job_id":"job-1","sse_url":"/v1/jobs/job-1/stream"}"#;

fn status() -> Operation {
    Operation::parse(br#"{"operation":"status"}"#).unwrap()
}

#[tokio::test]
async fn every_call_uses_its_documented_method_path_and_body() {
    let server = Server::start(|_, request| match request.line.as_str() {
        "GET /health" => Reply::json("200 OK", r#"{"status":"ok"}"#),
        "GET /v1/build-info" => Reply::json(
            "200 OK",
            r#"{"version":"1","features":[],"build_timestamp":"now","git_sha":"abc"}"#,
        ),
        "GET /capabilities" => Reply::json("200 OK", r#"{"devices":[]}"#),
        "GET /v1/status" => {
            Reply::json("200 OK", r#"{"hives":[],"workers":[],"devices":[],"jobs":[]}"#)
        }
        "POST /v1/worker-heartbeat" => {
            Reply::json("200 OK", r#"{"status":"ok","message":"Heartbeat received"}"#)
        }
        "POST /v1/jobs" => Reply::json("200 OK", CREATED),
        "GET /v1/jobs?limit=50&state=running" => Reply::json("200 OK", r#"{"jobs":[]}"#),
        _ => Reply::json("202 Accepted", ""),
    })
    .await;
    let daemon = server.daemon().with_request_id("req-7");
    assert_eq!(daemon.health().await.unwrap().status, "ok");
    assert_eq!(daemon.build_info().await.unwrap().git_sha, "abc");
    assert!(daemon.capabilities().await.unwrap().devices.is_empty());
    assert!(daemon.status().await.unwrap().queen.is_none());
    let heartbeat = Heartbeat {
        worker_id: "wk-1".parse().unwrap(),
        timestamp: Timestamp::UNIX_EPOCH,
        health_status: HealthStatus::Healthy,
        details: HeartbeatDetails::default(),
    };
    assert_eq!(daemon.heartbeat(&heartbeat).await.unwrap().status, "ok");
    assert_eq!(daemon.submit(&status()).await.unwrap().job_id.as_str(), "job-1");
    assert!(daemon.jobs(Some(JobState::Running), 50).await.unwrap().is_empty());
    daemon.cancel(&"job-1".parse().unwrap()).await.unwrap();
    daemon.shutdown(&[("stop_workers", "true")]).await.unwrap();

    let requests = server.requests();
    let sent: Vec<_> = requests.iter().map(|it| (it.line.as_str(), it.body.as_str())).collect();
    let heartbeat = serde_json::to_string(&heartbeat).unwrap();
    assert_eq!(
        sent,
        [
            ("GET /health", ""),
            ("GET /v1/build-info", ""),
            ("GET /capabilities", ""),
            ("GET /v1/status", ""),
            ("POST /v1/worker-heartbeat", heartbeat.as_str()),
            ("POST /v1/jobs", r#"{"operation":"status"}"#),
            ("GET /v1/jobs?limit=50&state=running", ""),
            ("DELETE /v1/jobs/job-1", ""),
            ("POST /v1/shutdown?stop_workers=true", "{}"),
        ]
    );
    for request in &requests {
        assert_eq!(request.header("x-rbee-request-id"), Some("req-7"), "{}", request.line);
        if !request.body.is_empty() {
            assert_eq!(request.header("content-type"), Some("application/json"));
        }
    }
}

#[tokio::test]
async fn a_submission_whose_answer_was_lost_is_repeated_once_under_the_same_key() {
    let server = Server::start(|n, _| match n {
        0 => Reply::raw(""),
        _ => Reply::json("200 OK", CREATED),
    })
    .await;
    assert_eq!(server.daemon().submit(&status()).await.unwrap().job_id.as_str(), "job-1");
    let keys: Vec<_> = server
        .requests()
        .iter()
        .map(|request| request.header("idempotency-key").unwrap().to_owned())
        .collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1], "a second key would make a second job");
}

#[tokio::test]
async fn a_submission_is_not_repeated_a_second_time() {
    let server =
        Server::start(|_, _| Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{")).await;
    let error = server.daemon().submit(&status()).await.unwrap_err();
    assert!(matches!(error, ClientError::Broken { .. }), "{error:?}");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_refused_submission_is_not_repeated_at_all() {
    const BODY: &str = r#"{"error":{"code":"queue_full","message":"256 requests wait already"}}"#;
    let server = Server::start(|_, _| Reply::json("429 Too Many Requests", BODY)).await;
    let error = server.daemon().submit(&status()).await.unwrap_err();
    assert_eq!(error.api().unwrap().code, ErrorCode::QueueFull);
    assert_eq!(error.to_string(), "256 requests wait already");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_page_of_another_program_is_told_apart_from_our_own_errors() {
    let page = format!("<html>\n<h1>Bad \u{1b}[31mGateway</h1>{}</html>", "x".repeat(200_000));
    let server =
        Server::start(move |_, _| Reply::typed("502 Bad Gateway", "text/html", &page)).await;
    let error = server.daemon().health().await.unwrap_err();
    assert!(matches!(error, ClientError::Foreign { status: 502, .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("answered 502") && text.contains("<h1>Bad [31mGateway"), "{text}");
    assert!(text.len() < 400, "{text}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = Server::start(|_, _| {
        Reply::raw("HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n")
    })
    .await;
    let error = server.daemon().health().await.unwrap_err();
    assert!(matches!(error, ClientError::Foreign { status: 302, .. }), "{error:?}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_names_the_call() {
    let server = Server::start(|_, _| Reply::json("200 OK", r#"{"state":"ok"}"#)).await;
    let error = server.daemon().health().await.unwrap_err().to_string();
    assert!(error.contains("an answer to GET /health that cannot be read: missing field `status`"));
}

#[tokio::test]
async fn nobody_listening_is_a_refused_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = eager(&url).health().await.unwrap_err();
    assert!(error.is_refused() && error.is_connect() && !error.is_timeout(), "{error:?}");
    assert_eq!(error.to_string(), format!("queen at {url} refused the connection"));
}

#[tokio::test]
async fn a_daemon_that_accepts_and_says_nothing_times_out() {
    let server = Server::start(|_, _| Reply::raw("").then_silence()).await;
    let daemon = server.daemon();
    let _stopped = stop_the_clock();
    let (error, ()) = tokio::join!(daemon.health(), tokio::time::advance(Duration::from_secs(11)));
    let error = error.unwrap_err();
    assert!(error.is_timeout() && !error.is_connect(), "{error:?}");
    assert!(error.to_string().ends_with("did not answer within 10 s"), "{error}");
}

#[tokio::test]
async fn a_deadline_shortens_the_wait_and_travels_with_the_call() {
    let server = Server::start(|_, _| Reply::raw("").then_silence()).await;
    let deadline = Deadline::after(Duration::from_secs(5), Instant::now());
    let daemon = server.daemon().with_deadline(Some(deadline));
    let _stopped = stop_the_clock();
    let (error, ()) = tokio::join!(daemon.health(), async {
        while server.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(Duration::from_secs(6)).await;
    });
    let error = error.unwrap_err();
    assert!(matches!(error, ClientError::Deadline(_)) && error.is_timeout(), "{error:?}");
    assert_eq!(error.to_string(), "deadline exceeded after 5000 ms");
    let sent: u64 = server.requests()[0].header("x-rbee-deadline-ms").unwrap().parse().unwrap();
    assert!(sent <= 5_000);
}

#[tokio::test]
async fn a_call_whose_deadline_has_passed_is_not_made() {
    let server = Server::start(|_, _| Reply::json("200 OK", r#"{"status":"ok"}"#)).await;
    let daemon =
        server.daemon().with_deadline(Some(Deadline::after(Duration::ZERO, Instant::now())));
    let error = daemon.health().await.unwrap_err();
    assert!(matches!(error, ClientError::Deadline(_)), "{error:?}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn the_token_is_sent_and_shown_nowhere() {
    let server = Server::start(|_, _| {
        Reply::json("401 Unauthorized", r#"{"error":{"code":"unauthorized","message":"no"}}"#)
    })
    .await;
    let daemon = server.daemon().with_token("s3cret-honey\n".to_owned().into());
    let error = daemon.health().await.unwrap_err();
    assert_eq!(
        server.requests()[0].header("authorization"),
        Some("Bearer s3cret-honey"),
        "without the line break of the file it came from"
    );
    let stream = daemon.follow(&"job-1".parse().unwrap(), 0);
    let feed = daemon.feed(client::FeedOptions::default());
    let shown = format!("{daemon:?} {daemon:#?} {error:?} {error} {stream:?} {feed:?}");
    assert!(!shown.contains("honey"), "{shown}");
    assert!(shown.contains("redacted"), "{shown}");
}

#[tokio::test]
async fn a_token_that_no_header_can_carry_fails_before_the_call_and_is_not_shown() {
    let daemon = eager("http://127.0.0.1:1").with_token("s3cret\nhoney".to_owned().into());
    let error = daemon.health().await.unwrap_err();
    assert!(matches!(error, ClientError::Setup { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("honey"));
}

#[tokio::test]
async fn deleting_an_inference_that_is_not_known_is_well() {
    let body = r#"{"error":{"code":"request_not_found","message":"no such request"}}"#;
    let server = Server::start(move |n, _| match n {
        0 => Reply::json("404 Not Found", body),
        _ => Reply::json(
            "500 Internal Server Error",
            r#"{"error":{"code":"internal","message":"x"}}"#,
        ),
    })
    .await;
    let id: RequestId = "req-1".parse().unwrap();
    assert_eq!(server.daemon().delete_inference(&id).await, Ok(()));
    assert!(server.daemon().delete_inference(&id).await.is_err());
    assert_eq!(server.requests()[0].line, "DELETE /v1/inference/req-1");
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_without_end() {
    // 65 MiB, one more than any answer of ours may have.
    let body = " ".repeat(65 * 1024 * 1024);
    let server = Server::start(move |_, _| Reply::json("200 OK", &body)).await;
    let patient = Limits { call: Duration::from_secs(60), ..Limits::default() };
    let daemon = Daemon::new(&server.url).unwrap().with_limits(patient);
    let error = daemon.health().await.unwrap_err();
    assert!(error.to_string().contains("longer than"), "{error}");
}
