//! A worker's answers.

use client::{ClientError, InferenceItem, InferenceStream};
use protocol::{
    ErrorCode,
    inference::{InferenceEvent, InferenceRequest},
    job::EndMarker,
};

use crate::support::{Reply, Server};

const STATS: &str = "data: {\"event\":\"stats\",\"fields\":{\"prompt_tokens\":3,\
    \"generated_tokens\":2,\"finish_reason\":\"stop\",\"time_to_first_token_ms\":1.5,\
    \"tokens_per_second\":null}}\n\n";

fn token(index: u32) -> String {
    format!(
        "id: {}\ndata: {{\"event\":\"token\",\"message\":\"t{index}\",\"id\":9,\"index\":{index}}}\n\n",
        index + 1
    )
}

fn request() -> InferenceRequest {
    serde_json::from_str(r#"{"request_id":"req-1","prompt":"Once"}"#).unwrap()
}

/// The text up to the last item, and the last item.
async fn drain(stream: &mut InferenceStream) -> (String, Result<EndMarker, ClientError>) {
    let mut text = String::new();
    loop {
        match stream.next_item().await.expect("an answer ends with an end or an error") {
            Ok(InferenceItem::Event(InferenceEvent::Token { message, .. })) => {
                text.push_str(&message);
            }
            Ok(InferenceItem::Event(InferenceEvent::Stats { fields })) => {
                text.push_str(&format!(" ({} tokens)", fields.generated_tokens));
            }
            Ok(InferenceItem::End(end)) => return (text, Ok(end)),
            Err(error) => return (text, Err(error)),
        }
    }
}

#[tokio::test]
async fn an_answer_is_read_from_the_first_token_to_the_end_marker() {
    let server = Server::start(|_, _| {
        Reply::stream(&format!(": queued\n\n{}{}{STATS}data: [DONE]\n\n", token(0), token(1)))
    })
    .await;
    let mut answer = server.daemon().infer(&request()).await.unwrap();
    let drained = drain(&mut answer).await;
    assert_eq!(drained, ("t0t1 (2 tokens)".to_owned(), Ok(EndMarker::Done)));
    assert_eq!(answer.next_item().await, None);
    let requests = server.requests();
    assert_eq!(requests.len(), 1, "the request was made again");
    assert_eq!(requests[0].line, "POST /v1/inference");
    let sent: InferenceRequest = serde_json::from_str(&requests[0].body).unwrap();
    assert_eq!(sent, request());
}

#[tokio::test]
async fn an_answer_without_an_end_marker_is_broken_and_can_be_taken_up() {
    let server = Server::start(|n, _| match n {
        0 => Reply::stream(&format!("{}{}", token(0), token(1))),
        // A worker that repeats itself.
        _ => Reply::stream(&format!("{}{}data: [DONE]\n\n", token(1), token(2))),
    })
    .await;
    let daemon = server.daemon();
    let mut answer = daemon.infer(&request()).await.unwrap();
    let (text, end) = drain(&mut answer).await;
    let error = end.unwrap_err();
    assert!(matches!(error, ClientError::Broken { .. }), "{error:?}");
    assert!(error.to_string().contains("without an end marker"), "{error}");
    assert_eq!((text.as_str(), answer.next_index()), ("t0t1", 2));
    assert_eq!(server.requests().len(), 1, "resuming is the caller's decision");

    let id = "req-1".parse().unwrap();
    let mut rest = daemon.resume_inference(&id, answer.next_index()).await.unwrap();
    assert_eq!(drain(&mut rest).await, ("t2".to_owned(), Ok(EndMarker::Done)));
    let requests = server.requests();
    assert_eq!(requests[1].line, "GET /v1/inference/req-1/stream");
    assert_eq!(requests[1].header("last-event-id"), Some("2"));
}

#[tokio::test]
async fn a_missing_token_is_named() {
    let server = Server::start(|_, _| Reply::stream(&format!("{}{}", token(0), token(2)))).await;
    let mut answer = server.daemon().infer(&request()).await.unwrap();
    let (_, end) = drain(&mut answer).await;
    let error = end.unwrap_err().to_string();
    assert!(error.contains("token 2 came where 1 was due"), "{error}");
}

#[tokio::test]
async fn a_worker_that_refuses_is_heard_before_any_stream() {
    const BODY: &str = r#"{"error":{"code":"context_exceeded","message":"9 of 8 tokens"}}"#;
    let server = Server::start(|_, _| Reply::json("422 Unprocessable Content", BODY)).await;
    let error = server.daemon().infer(&request()).await.unwrap_err();
    assert_eq!(error.api().unwrap().code, ErrorCode::ContextExceeded);
}

#[tokio::test]
async fn dropping_an_answer_closes_its_connection() {
    let mut server = Server::start(|_, _| Reply::open_stream(&token(0))).await;
    let mut answer = server.daemon().infer(&request()).await.unwrap();
    assert!(answer.next_item().await.unwrap().is_ok());
    drop(answer);
    server.client_hung_up().await;
}
