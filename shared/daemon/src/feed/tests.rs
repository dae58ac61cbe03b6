use ::http::Request;
use axum::body::Body;
use futures::StreamExt;
use protocol::{
    JobId,
    fleet::{FeedToken, HiveRecord, HiveState, Narration},
    job::JobEvent,
    routes,
};
use tower::ServiceExt;

use super::*;
use crate::shutdown::Shutdown;

fn hive(id: &str, state: HiveState) -> FeedEvent {
    let record = HiveRecord {
        id: id.parse().unwrap(),
        url: "http://127.0.0.1:9000".to_owned(),
        state,
        version: None,
        last_seen_at: None,
        reason: None,
        link: None,
        disk: None,
    };
    FeedEvent::Hive(record.into())
}

/// A reader as a client sees it: asks, and reads whole messages.
struct Client {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Client {
    async fn ask(feed: &Feed, query: &str, last_event_id: Option<&str>) -> Self {
        Self::ask_until(&Shutdown::new(), feed, query, last_event_id).await
    }

    async fn ask_until(
        shutdown: &Shutdown,
        feed: &Feed,
        query: &str,
        last_event_id: Option<&str>,
    ) -> Self {
        let mut request = Request::builder()
            .uri(format!("{}{query}", routes::EVENTS))
            .header("accept", "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header(routes::LAST_EVENT_ID_HEADER, id);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = feed.routes(shutdown.clone()).oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next message as (event, id, data).
    async fn next(&mut self) -> (String, String, String) {
        loop {
            if let Some((message, rest)) = self.text.split_once("\n\n") {
                let (message, rest) = (message.to_owned(), rest.to_owned());
                self.text = rest;
                if message.starts_with("retry:") || message.starts_with(':') {
                    continue;
                }
                let field = |name: &str| {
                    let line = message.lines().find_map(|line| line.strip_prefix(name));
                    line.unwrap_or_default().trim().to_owned()
                };
                return (field("event:"), field("id:"), field("data:"));
            }
            let chunk = self.body.next().await.expect("the feed never ends").unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test]
async fn a_reader_gets_the_whole_state_first_and_then_what_changes() {
    let feed = Feed::new();
    feed.publish(hive("a", HiveState::Ready));
    let mut client = Client::ask(&feed, "", None).await;
    let (event, _, data) = client.next().await;
    assert_eq!(event, "snapshot");
    assert!(data.contains(r#""id":"a""#), "{data}");

    feed.publish(hive("b", HiveState::Lost));
    let (event, _, data) = client.next().await;
    assert_eq!(event, "hive");
    assert!(data.contains(r#""id":"b""#) && data.contains("lost"), "{data}");
}

#[tokio::test]
async fn a_record_that_says_nothing_new_is_not_sent() {
    let feed = Feed::new();
    feed.publish(hive("a", HiveState::Ready));
    let mut client = Client::ask(&feed, "", None).await;
    client.next().await;
    feed.publish(hive("a", HiveState::Ready));
    feed.publish(hive("a", HiveState::Late));
    assert!(client.next().await.2.contains("late"));
}

#[tokio::test]
async fn a_model_is_told_by_its_hive_and_its_name_and_once() {
    let feed = Feed::new();
    let model = |hive: &str, state: &str| -> FeedEvent {
        let record: protocol::model::ModelRecord = serde_json::from_value(serde_json::json!({
            "id": "demo", "hive_id": hive, "source": "demo", "files": [], "bytes": 1,
            "state": state, "used_by": [],
        }))
        .unwrap();
        FeedEvent::Model(record.into())
    };
    feed.publish(model("a", "ready"));
    feed.publish(model("b", "ready"));
    let mut client = Client::ask(&feed, "", None).await;
    let (_, _, snapshot) = client.next().await;
    let snapshot: Snapshot = serde_json::from_str(&snapshot).unwrap();
    assert_eq!(snapshot.models.len(), 2);
    feed.publish(model("b", "ready"));
    feed.publish(model("b", "failed"));
    let (event, _, data) = client.next().await;
    assert!(event == "model" && data.contains("failed"), "{event} {data}");
    let gone = protocol::fleet::Gone::on(&"b".parse().unwrap(), "demo");
    feed.publish(FeedEvent::Model(Change::Gone(gone)));
    assert_eq!(client.next().await.2, r#"{"id":"demo","hive_id":"b","gone":true}"#);
    assert_eq!(feed.fleet().models.len(), 1, "the other hive's is another");
}

#[tokio::test]
async fn a_reader_that_comes_back_continues_where_it_was() {
    let feed = Feed::new();
    let mut client = Client::ask(&feed, "", None).await;
    client.next().await;
    feed.publish(hive("a", HiveState::Ready));
    let (_, id, _) = client.next().await;
    drop(client);
    feed.publish(hive("b", HiveState::Ready));

    let mut client = Client::ask(&feed, "", Some(&id)).await;
    let (event, _, data) = client.next().await;
    assert_eq!(event, "hive");
    assert!(data.contains(r#""id":"b""#), "{data}");
}

#[tokio::test]
async fn a_position_of_another_life_gets_a_new_snapshot() {
    let feed = Feed::new();
    feed.publish(hive("a", HiveState::Ready));
    for id in ["0123456789ab-1", "nonsense", &format!("{}-99", feed.epoch())] {
        let mut client = Client::ask(&feed, "", Some(id)).await;
        assert_eq!(client.next().await.0, "snapshot", "{id}");
    }
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_told_and_starts_over() {
    let feed = Feed::new();
    let mut client = Client::ask(&feed, "?tokens=all", None).await;
    client.next().await;
    let job_id = JobId::generate();
    let token =
        |index| FeedEvent::Token(FeedToken { job_id: job_id.clone(), text: "x".to_owned(), index });
    for index in 0..=WINDOW_MESSAGES_MAX as u32 {
        feed.publish(token(index));
    }
    assert_eq!(client.next().await.0, "lagged");
    assert_eq!(client.next().await.0, "snapshot");
    feed.publish(token(7));
    assert_eq!(client.next().await.0, "token");
}

#[tokio::test]
async fn tokens_and_narration_come_only_when_asked_for() {
    let feed = Feed::new();
    let job_id = JobId::generate();
    let mut quiet = Client::ask(&feed, "", None).await;
    let mut curious = Client::ask(&feed, &format!("?tokens={job_id}&narration=info"), None).await;
    quiet.next().await;
    curious.next().await;

    let narration = |level| Narration {
        job_id: job_id.clone(),
        event: JobEvent::new("step", "working").level(level),
    };
    feed.publish(FeedEvent::Narration(narration(Level::Debug)));
    feed.publish(FeedEvent::Narration(narration(Level::Info)));
    let other = FeedToken { job_id: JobId::generate(), text: "no".to_owned(), index: 0 };
    feed.publish(FeedEvent::Token(other));
    let own = FeedToken { job_id, text: "yes".to_owned(), index: 0 };
    feed.publish(FeedEvent::Token(own));
    feed.publish(hive("a", HiveState::Ready));

    let (event, _, data) = curious.next().await;
    assert_eq!(event, "narration");
    assert!(data.contains("info"), "{data}");
    let (event, _, data) = curious.next().await;
    assert_eq!(event, "token");
    assert!(data.contains("yes"), "{data}");
    assert_eq!(curious.next().await.0, "hive");
    assert_eq!(quiet.next().await.0, "hive");
}

#[tokio::test(start_paused = true)]
async fn what_is_said_all_the_time_goes_out_in_larger_chunks() {
    let feed = Feed::new();
    let mut client = Client::ask(&feed, "", None).await;
    let began = tokio::time::Instant::now();
    let said = tokio::spawn(async move {
        for number in 0..1_000 {
            feed.publish(hive(&format!("h{number}"), HiveState::Ready));
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    let mut chunks = 0;
    while !client.text.contains("h999") {
        let chunk = client.body.next().await.unwrap().unwrap();
        client.text.push_str(std::str::from_utf8(&chunk).unwrap());
        chunks += 1;
    }
    said.await.unwrap();
    // Five seconds, on a clock that goes by itself.
    assert_eq!(began.elapsed().as_secs(), 5);
    assert!((100..200).contains(&chunks), "{chunks} chunks");
}

#[tokio::test(start_paused = true)]
async fn what_happens_now_and_then_is_not_held_back() {
    let feed = Feed::new();
    let mut client = Client::ask(&feed, "", None).await;
    client.next().await;
    let began = tokio::time::Instant::now();
    for id in ["a", "b", "c", "d"] {
        feed.publish(hive(id, HiveState::Ready));
        client.next().await;
    }
    assert_eq!(began.elapsed(), std::time::Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_was_said_before_the_end_is_read_to_its_end() {
    // Often, because either of two things that are ready could come first.
    for _ in 0..20 {
        let (feed, shutdown) = (Feed::new(), Shutdown::new());
        let mut client = Client::ask_until(&shutdown, &feed, "", None).await;
        client.next().await;
        let began = tokio::time::Instant::now();
        for number in 0..20 {
            feed.publish(hive(&format!("h{number}"), HiveState::Ready));
            client.next().await;
        }
        assert!(!began.elapsed().is_zero(), "the reader is not being held back");
        feed.publish(hive("last", HiveState::Offline));
        shutdown.ask();
        let ended = tokio::time::Instant::now();
        assert!(client.next().await.2.contains("last"));
        assert!(client.body.next().await.is_none());
        assert_eq!(ended.elapsed(), std::time::Duration::ZERO);
    }
}
