//! Following jobs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use client::{ClientError, JobItem, JobStream, Limits};
use protocol::{ErrorCode, JobId, deadline::Deadline, job::EndMarker};
use tokio::time::advance;

use crate::support::{
    LAST_CHUNK, Reply, Request, Server, advance_until, eager, event, events, stop_the_clock,
    stream_bytes,
};

fn job() -> JobId {
    "job-1".parse().unwrap()
}

/// The numbers of the events up to the last item, and the last item.
async fn drain(mut stream: JobStream) -> (Vec<u64>, Result<EndMarker, ClientError>) {
    let mut numbers = Vec::new();
    loop {
        match stream.next_item().await.expect("a stream ends with an end or an error") {
            Ok(JobItem::Event { number, event }) => {
                assert_eq!(event.message, format!("line {number} 🐝"));
                numbers.push(number);
            }
            last => {
                assert_eq!(stream.next_item().await, None, "something came after the last item");
                return match last {
                    Ok(JobItem::End(end)) => (numbers, Ok(end)),
                    Ok(JobItem::Event { .. }) => unreachable!(),
                    Err(error) => (numbers, Err(error)),
                };
            }
        }
    }
}

fn positions(server: &Server) -> Vec<u64> {
    server.requests().iter().map(Request::resumes_after).collect()
}

#[tokio::test]
async fn a_job_that_ends_is_read_over_exactly_one_connection() {
    let server = Server::start(|_, _| {
        Reply::stream(&format!("retry: 250\n\n: keep-alive\n\n{}data: [DONE]\n\n", events(1, 3)))
    })
    .await;
    let (numbers, end) = drain(server.daemon().follow(&job(), 0)).await;
    assert_eq!((numbers, end), (vec![1, 2, 3], Ok(EndMarker::Done)));
    let requests = server.requests();
    assert_eq!(requests.len(), 1, "the job was asked for again");
    assert_eq!(requests[0].line, "GET /v1/jobs/job-1/stream");
    assert_eq!(requests[0].header("accept"), Some("text/event-stream"));
    assert_eq!(requests[0].header("last-event-id"), None);
}

#[tokio::test]
async fn the_end_marker_closes_the_connection_even_if_the_daemon_keeps_it_open() {
    let mut server = Server::start(|_, _| Reply::open_stream("data: [CANCELLED]\n\n")).await;
    let mut stream = server.daemon().follow(&job(), 0);
    let end = stream.next_item().await.unwrap();
    assert_eq!(end, Ok(JobItem::End(EndMarker::Cancelled)));
    // The stream is still held here: it is the end that closes, not the drop.
    server.client_hung_up().await;
    assert_eq!(stream.next_item().await, None);
}

#[tokio::test]
async fn a_stream_cut_at_any_byte_is_delivered_dense_and_once() {
    const LAST: u64 = 20;
    let whole = |after: u64| {
        let end = "data: [ERROR] out of memory\n\n";
        stream_bytes(&format!("retry: 250\n\n{}: still here\n\n{end}", events(after + 1, LAST)))
    };
    // Only the first connection of each round finds a cut here.
    let cut = Arc::new(AtomicUsize::new(usize::MAX));
    let at = Arc::clone(&cut);
    let server = Server::start(move |_, request| {
        Reply::raw(whole(request.resumes_after())).cut(at.swap(usize::MAX, Ordering::SeqCst))
    })
    .await;
    let daemon = server.daemon();
    let length = whole(0).len();
    // From the marker's blank line on, one connection tells everything.
    let complete = length - "\r\n".len() - LAST_CHUNK.len();
    let mut connections = 0;
    for bytes in 0..=length {
        cut.store(bytes, Ordering::SeqCst);
        let (numbers, end) = drain(daemon.follow(&job(), 0)).await;
        assert_eq!(numbers, (1..=LAST).collect::<Vec<_>>(), "cut at byte {bytes}");
        assert_eq!(end, Ok(EndMarker::Error("out of memory".to_owned())), "cut at byte {bytes}");
        connections += if bytes < complete { 2 } else { 1 };
        assert_eq!(server.requests().len(), connections, "cut at byte {bytes}");
    }
}

#[tokio::test]
async fn following_from_a_number_asks_for_what_comes_after_it() {
    let server = Server::start(|_, request| {
        Reply::stream(&format!("{}data: [DONE]\n\n", events(request.resumes_after() + 1, 9)))
    })
    .await;
    let (numbers, _) = drain(server.daemon().follow(&job(), 7)).await;
    assert_eq!((numbers, positions(&server)), (vec![8, 9], vec![7]));
}

#[tokio::test]
async fn a_daemon_that_repeats_events_does_not_make_them_come_twice() {
    let server = Server::start(|n, _| match n {
        0 => Reply::stream(&events(1, 4)),
        _ => Reply::stream(&format!("{}data: [DONE]\n\n", events(1, 5))),
    })
    .await;
    let (numbers, end) = drain(server.daemon().follow(&job(), 0)).await;
    assert_eq!((numbers, end), (vec![1, 2, 3, 4, 5], Ok(EndMarker::Done)));
}

#[tokio::test]
async fn a_hole_in_the_numbers_is_named_and_ends_the_stream() {
    let server =
        Server::start(|_, _| Reply::stream(&format!("{}{}", events(1, 2), events(5, 6)))).await;
    let (numbers, end) = drain(server.daemon().follow(&job(), 0)).await;
    assert_eq!(numbers, [1, 2]);
    let error = end.unwrap_err();
    assert!(matches!(error, ClientError::Undecodable { .. }), "{error:?}");
    assert!(error.to_string().contains("event 5 came right after event 2"), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn what_is_no_event_is_named_and_ends_the_stream() {
    for (sent, named) in [
        ("id: 1\ndata: {\"event\":\"step\"}\n\n", "event 1: missing field `message`"),
        ("id: 1\ndata: <html>\n\n", "event 1: expected value"),
        ("id: one\ndata: {}\n\n", "\"one\" is not a number"),
        ("data: {}\n\n", "without a number"),
    ] {
        let server = Server::start(move |_, _| Reply::stream(sent)).await;
        let (_, end) = drain(server.daemon().follow(&job(), 0)).await;
        let error = end.unwrap_err();
        assert!(matches!(error, ClientError::Undecodable { .. }), "{sent:?}: {error:?}");
        assert!(error.to_string().contains(named), "{sent:?}: {error}");
        assert_eq!(server.requests().len(), 1, "{sent:?}");
    }
}

#[tokio::test]
async fn generated_text_that_looks_like_an_end_is_text() {
    let server = Server::start(|_, _| {
        Reply::stream(&format!("{}data: [DONE]\n\n", event(1, "[DONE]\\n\\ndata: [CANCELLED]")))
    })
    .await;
    let mut stream = server.daemon().follow(&job(), 0);
    let Some(Ok(JobItem::Event { event, .. })) = stream.next_item().await else {
        panic!("the text was taken for an end")
    };
    assert_eq!(event.message, "[DONE]\n\ndata: [CANCELLED]");
    assert_eq!(stream.next_item().await, Some(Ok(JobItem::End(EndMarker::Done))));
}

#[tokio::test]
async fn a_daemon_that_restarts_is_waited_for_as_long_as_it_asks() {
    const BODY: &str = r#"{"error":{"code":"unavailable","message":"shutting down"}}"#;
    let server = Server::start(|n, _| match n {
        0 => Reply::stream(&events(1, 2)),
        1 => Reply::json("503 Service Unavailable", BODY),
        _ => Reply::stream(&format!("{}data: [DONE]\n\n", events(3, 4))),
    })
    .await;
    let _stopped = stop_the_clock();
    let began = tokio::time::Instant::now();
    let (drained, ()) = tokio::join!(
        drain(server.daemon().follow(&job(), 0)),
        advance_until(Duration::from_millis(100), || server.requests().len() == 3)
    );
    assert_eq!(drained, (vec![1, 2, 3, 4], Ok(EndMarker::Done)));
    assert_eq!(positions(&server), [0, 2, 2]);
    assert!(began.elapsed() >= Duration::from_secs(2), "came back before Retry-After");
}

#[tokio::test]
async fn a_job_that_is_gone_on_resume_is_a_final_answer() {
    const BODY: &str =
        r#"{"error":{"code":"job_not_found","message":"no job job-1","hint":"list them"}}"#;
    let server = Server::start(|n, _| match n {
        0 => Reply::stream(&events(1, 1)),
        _ => Reply::json("404 Not Found", BODY),
    })
    .await;
    let (numbers, end) = drain(server.daemon().follow(&job(), 0)).await;
    assert_eq!(numbers, [1]);
    let error = end.unwrap_err();
    assert_eq!(error.api().map(|api| &api.code), Some(&ErrorCode::JobNotFound));
    assert_eq!(error.one_line(), "no job job-1 (list them)");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_page_where_a_stream_should_be_is_another_program() {
    let server =
        Server::start(|_, _| Reply::typed("200 OK", "text/html", "<html>Grafana</html>")).await;
    let (_, end) = drain(server.daemon().follow(&job(), 0)).await;
    let error = end.unwrap_err().to_string();
    assert!(error.contains("<html>Grafana</html>"), "{error}");
    assert!(error.contains("is another program listening there?"), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_stream_that_never_comes_to_an_end_is_given_up_within_its_limit() {
    let server = Server::start(|n, _| match n {
        0 => Reply::stream(&events(1, 3)),
        _ => Reply::stream(": hello\n\n"),
    })
    .await;
    let _stopped = stop_the_clock();
    let daemon = server.daemon();
    let done = AtomicUsize::new(0);
    let (drained, ()) = tokio::join!(
        async {
            let drained = drain(daemon.follow(&job(), 0)).await;
            done.store(1, Ordering::SeqCst);
            drained
        },
        advance_until(Duration::from_secs(1), || done.load(Ordering::SeqCst) == 1)
    );
    let (numbers, end) = drained;
    assert_eq!(numbers, [1, 2, 3]);
    let error = end.unwrap_err();
    let ClientError::GaveUp { last_event, waited, cause, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*last_event, 3);
    let limit = Limits::default().patience;
    assert!(*waited >= limit && *waited <= limit + Duration::from_secs(11), "{waited:?}");
    assert!(matches!(**cause, ClientError::Broken { .. } | ClientError::TimedOut { .. }));
    assert!(error.to_string().contains("rbee-keeper job attach job-1"), "{error}");
}

#[tokio::test]
async fn each_event_renews_the_patience() {
    // Every connection brings one event and breaks 20 s later: longer in all
    // than the patience, but never without progress for so long.
    let server = Server::start(|_, request| {
        let after = request.resumes_after();
        let end = if after == 4 { "data: [DONE]\n\n" } else { "" };
        Reply::stream(&format!("{}{end}", events(after + 1, after + 1)))
    })
    .await;
    let _stopped = stop_the_clock();
    let mut stream = server.daemon().follow(&job(), 0);
    for due in 1..=5 {
        let Some(Ok(JobItem::Event { number, .. })) = stream.next_item().await else {
            panic!("event {due} did not come")
        };
        assert_eq!(number, due);
        advance(Duration::from_secs(20)).await;
    }
    assert_eq!(stream.next_item().await, Some(Ok(JobItem::End(EndMarker::Done))));
}

/// Follows a job whose every connection breaks after `lifetime` without an
/// event; the sixth one brings the end.
async fn follow_a_silent_job(lifetime: Duration) -> Result<EndMarker, ClientError> {
    let server = Server::start(move |n, _| match n {
        0..5 => Reply::open_stream(": hello\n\n").hang_up_after(lifetime),
        _ => Reply::stream("data: [DONE]\n\n"),
    })
    .await;
    let _stopped = stop_the_clock();
    let stream = server.daemon().follow(&job(), 0);
    let done = AtomicUsize::new(0);
    let (end, ()) = tokio::join!(
        async {
            let (_, end) = drain(stream).await;
            done.store(1, Ordering::SeqCst);
            end
        },
        advance_until(Duration::from_secs(1), || done.load(Ordering::SeqCst) == 1)
    );
    end
}

#[tokio::test]
async fn a_silent_job_is_not_given_up_while_its_connections_last() {
    let end = follow_a_silent_job(Duration::from_secs(25)).await;
    assert_eq!(end, Ok(EndMarker::Done), "125 s of silence are not 30 s of outage");
    let end = follow_a_silent_job(Duration::from_secs(15)).await;
    assert!(matches!(end, Err(ClientError::GaveUp { .. })), "{end:?}");
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_dropped_and_resumed() {
    let mut server = Server::start(|n, _| match n {
        0 => Reply::open_stream(&events(1, 2)),
        _ => Reply::stream(&format!("{}data: [DONE]\n\n", events(3, 3))),
    })
    .await;
    let _stopped = stop_the_clock();
    let mut stream = server.daemon().follow(&job(), 0);
    for _ in 1..=2 {
        assert!(stream.next_item().await.unwrap().is_ok());
    }
    let (third, ()) = tokio::join!(stream.next_item(), async {
        advance(Duration::from_secs(44)).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(server.requests().len(), 1, "44 s of silence are still allowed");
        advance(Duration::from_secs(2)).await;
    });
    assert!(matches!(third, Some(Ok(JobItem::Event { number: 3, .. }))), "{third:?}");
    assert_eq!(positions(&server), [0, 2]);
    server.client_hung_up().await;
}

#[tokio::test]
async fn nobody_listening_is_given_up_with_the_reason() {
    let limits = Limits { patience: Duration::ZERO, ..Limits::default() };
    let daemon = eager("http://127.0.0.1:1").with_limits(limits);
    let (_, end) = drain(daemon.follow(&job(), 0)).await;
    let error = end.unwrap_err();
    assert!(error.is_refused() && error.is_connect(), "{error:?}");
    assert!(error.one_line().contains("queen at http://127.0.0.1:1 refused the connection"));
}

#[tokio::test]
async fn past_the_deadline_the_stream_ends_even_if_the_daemon_does_not_end_it() {
    let server = Server::start(|_, _| Reply::open_stream(&events(1, 1))).await;
    let _stopped = stop_the_clock();
    let deadline = Deadline::after(Duration::from_secs(30), Instant::now());
    let mut stream = server.daemon().with_deadline(Some(deadline)).follow(&job(), 0);
    assert!(stream.next_item().await.unwrap().is_ok());
    let (last, ()) = tokio::join!(stream.next_item(), advance(Duration::from_secs(32)));
    let error = last.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "deadline exceeded after 30000 ms");
    assert_eq!(stream.next_item().await, None);
    let sent: u64 = server.requests()[0].header("x-rbee-deadline-ms").unwrap().parse().unwrap();
    assert!(sent <= 30_000 && sent > 0);
}

#[tokio::test]
async fn dropping_a_stream_closes_its_connection() {
    let mut server = Server::start(|_, _| Reply::open_stream(&events(1, 1))).await;
    let mut stream = server.daemon().follow(&job(), 0);
    assert!(stream.next_item().await.unwrap().is_ok());
    drop(stream);
    server.client_hung_up().await;
}
