//! The fleet's feed.

use std::time::Duration;

use client::{FeedItem, FeedOptions, FeedStream, Limits, TokenFilter};
use protocol::{fleet::FeedEvent, job::Level};
use tokio::time::advance;

use crate::support::{Reply, Server, stop_the_clock};

const SNAPSHOT: &str =
    "id: e1-4\nevent: snapshot\ndata: {\"hives\":[],\"workers\":[],\"devices\":[],\"jobs\":[]}\n\n";
const TOKEN: &str =
    "id: e1-5\nevent: token\ndata: {\"job_id\":\"job-1\",\"text\":\"Once\",\"index\":0}\n\n";

/// The next item, in a word.
async fn next(feed: &mut FeedStream) -> String {
    match feed.next_item().await.expect("a feed never ends") {
        FeedItem::Connected => "connected".to_owned(),
        FeedItem::Event(event) => event.name().to_owned(),
        FeedItem::Disconnected { attempt, .. } => format!("disconnected {attempt}"),
        FeedItem::Undecodable { name, .. } => format!("undecodable {name}"),
    }
}

#[tokio::test]
async fn a_feed_that_breaks_says_so_and_resumes_after_its_last_message() {
    let server = Server::start(|n, _| match n {
        0 => Reply::stream(&format!(": hello\n\n{SNAPSHOT}{TOKEN}")),
        1 => Reply::json("503 Service Unavailable", "{}"),
        _ => Reply::open_stream("id: e1-6\nevent: lagged\ndata: {}\n\n"),
    })
    .await;
    // Takes the two seconds of the Retry-After away.
    let _stopped = stop_the_clock();
    let mut feed = server.daemon().feed(FeedOptions {
        tokens: TokenFilter::Jobs(vec!["job-1".parse().unwrap()]),
        narration: Some(Level::Debug),
    });
    assert_eq!(next(&mut feed).await, "connected");
    assert_eq!(next(&mut feed).await, "snapshot");
    let Some(FeedItem::Event(FeedEvent::Token(token))) = feed.next_item().await else {
        panic!("no token")
    };
    assert_eq!(token.text, "Once");
    assert_eq!(next(&mut feed).await, "disconnected 1");
    let Some(FeedItem::Disconnected { error, attempt: 2, retry_in }) = feed.next_item().await
    else {
        panic!("the 503 was not reported")
    };
    assert!(error.to_string().contains("answered 503"), "{error}");
    assert_eq!(retry_in, Duration::from_secs(2));
    feed.handle().retry_now();
    assert_eq!(next(&mut feed).await, "connected");
    assert_eq!(next(&mut feed).await, "lagged");
    let requests = server.requests();
    assert_eq!(requests[0].line, "GET /v1/events?tokens=job-1&narration=debug");
    let asked: Vec<_> = requests.iter().map(|it| it.header("last-event-id")).collect();
    assert_eq!(asked, [None, Some("e1-5"), Some("e1-5")]);
}

#[tokio::test]
async fn what_a_feed_cannot_read_is_reported_or_passed_over_and_ends_nothing() {
    let server = Server::start(|_, _| {
        Reply::open_stream(&format!(
            "event: weather\ndata: {{\"sun\":true}}\n\nevent: token\ndata: {{\n\n{TOKEN}"
        ))
    })
    .await;
    let mut feed = server.daemon().feed(FeedOptions::default());
    assert_eq!(next(&mut feed).await, "connected");
    assert_eq!(next(&mut feed).await, "undecodable token");
    assert_eq!(next(&mut feed).await, "token");
    assert_eq!(server.requests()[0].line, "GET /v1/events?tokens=none&narration=none");
}

#[tokio::test]
async fn a_refused_position_is_given_up_for_a_fresh_snapshot() {
    const BODY: &str = r#"{"error":{"code":"bad_cursor","message":"not a position"}}"#;
    let server = Server::start(|_, request| match request.header("last-event-id") {
        Some(_) => Reply::json("400 Bad Request", BODY),
        None => Reply::stream(SNAPSHOT),
    })
    .await;
    let mut feed = server.daemon().feed(FeedOptions::default());
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(next(&mut feed).await);
    }
    assert_eq!(
        seen,
        ["connected", "snapshot", "disconnected 1", "disconnected 2", "connected", "snapshot"]
    );
}

#[tokio::test]
async fn a_position_that_no_header_can_carry_is_not_kept() {
    let long = "9".repeat(500);
    let server = Server::start(move |n, _| match n {
        0 => Reply::stream(&SNAPSHOT.replace("e1-4", &long)),
        1 => Reply::stream(&SNAPSHOT.replace("e1-4", "é 4")),
        _ => Reply::open_stream(SNAPSHOT),
    })
    .await;
    let mut feed = server.daemon().feed(FeedOptions::default());
    for due in ["connected", "snapshot", "disconnected 1"] {
        assert_eq!(next(&mut feed).await, due);
    }
    for due in ["connected", "snapshot", "disconnected 2", "connected", "snapshot"] {
        assert_eq!(next(&mut feed).await, due);
    }
    assert!(server.requests().iter().all(|it| it.header("last-event-id").is_none()));
}

#[tokio::test]
async fn a_silent_feed_is_dropped_after_fifteen_seconds() {
    let mut server = Server::start(|_, _| Reply::open_stream(SNAPSHOT)).await;
    let _stopped = stop_the_clock();
    let mut feed = server.daemon().feed(FeedOptions::default());
    assert_eq!(next(&mut feed).await, "connected");
    assert_eq!(next(&mut feed).await, "snapshot");
    let (item, ()) = tokio::join!(feed.next_item(), advance(Duration::from_secs(16)));
    let Some(FeedItem::Disconnected { error, .. }) = item else { panic!("{item:?}") };
    assert!(error.is_timeout(), "{error:?}");
    assert!(error.to_string().ends_with("said nothing for 15 s"), "{error}");
    server.client_hung_up().await;
    assert_eq!(next(&mut feed).await, "connected");
}

#[tokio::test]
async fn a_good_connection_makes_the_next_failure_a_first_one() {
    let server = Server::start(|n, _| match n {
        0 | 1 => Reply::raw(""),
        2 => Reply::open_stream(SNAPSHOT),
        _ => Reply::raw(""),
    })
    .await;
    let _stopped = stop_the_clock();
    let mut feed = server.daemon().feed(FeedOptions::default());
    for due in ["disconnected 1", "disconnected 2", "connected", "snapshot"] {
        assert_eq!(next(&mut feed).await, due);
    }
    let (item, ()) = tokio::join!(next(&mut feed), advance(Duration::from_secs(16)));
    assert_eq!(item, "disconnected 1");
    assert_eq!(next(&mut feed).await, "disconnected 2");
}

#[tokio::test]
async fn the_wait_is_skipped_on_request_and_only_the_one_announced() {
    let server = Server::start(|_, _| {
        Reply::json("503 Service Unavailable", r#"{"error":{"code":"unavailable","message":"-"}}"#)
    })
    .await;
    // On a clock that stands still, a wait that is not skipped never ends.
    let _stopped = stop_the_clock();
    let daemon = server.daemon().with_limits(Limits::default());
    let mut feed = daemon.feed(FeedOptions::default());
    let handle = feed.handle();
    assert_eq!(next(&mut feed).await, "disconnected 1");
    handle.retry_now();
    handle.retry_now();
    assert_eq!(next(&mut feed).await, "disconnected 2");
    let (item, ()) = tokio::join!(next(&mut feed), async {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(server.requests().len(), 2, "the second press skipped a second wait");
        handle.retry_now();
    });
    assert_eq!(item, "disconnected 3");
}

#[tokio::test]
async fn dropping_a_feed_closes_its_connection() {
    let mut server = Server::start(|_, _| Reply::open_stream(SNAPSHOT)).await;
    let mut feed = server.daemon().feed(FeedOptions::default());
    assert_eq!(next(&mut feed).await, "connected");
    drop(feed);
    server.client_hung_up().await;
}
