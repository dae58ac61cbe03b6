//! A generator as its users see it, around scripted engines.

use std::time::{Duration, Instant};

use protocol::{
    ErrorCode, RequestId,
    deadline::Deadline,
    inference::{FinishReason, InferenceEvent, InferenceStats, Message, Role, Sampling},
};

use super::{Activity, Cursor, End, Entry, Generator, Health, Limits, Prompt};
use crate::engine::scripted::{Fault, FaultKind, Gate, Script};

fn id(name: &str) -> RequestId {
    name.parse().unwrap()
}

fn hello() -> Prompt {
    Prompt::Text("Hello".to_owned())
}

fn at_most(max_tokens: u32) -> Sampling {
    Sampling { max_tokens, ..Sampling::default() }
}

fn start(script: Script) -> Generator {
    Generator::start(script.load(), Limits::default()).unwrap()
}

/// Says `a` for ever, a token for each that the gate lets through.
fn gated(slots: usize, queue: usize) -> (Generator, Gate) {
    let script = Script { slots, repeat: true, ..Script::saying("a") };
    let (loaded, gate) = script.load_gated();
    (Generator::start(loaded, Limits { queue, ..Limits::default() }).unwrap(), gate)
}

fn submit(generator: &Generator, name: &str) -> Cursor {
    generator.submit(id(name), &hello(), &at_most(1000), None).unwrap().cursor(0)
}

/// Reads until `tokens` tokens have come.
async fn tokens(cursor: &mut Cursor, tokens: usize) {
    for _ in 0..tokens {
        let entry = cursor.next().await;
        assert!(matches!(entry, Some(Entry::Event(InferenceEvent::Token { .. }))), "{entry:?}");
    }
}

/// Reads to the end: the text, the cost if it was told, and the end.
async fn read(mut cursor: Cursor) -> (String, Option<InferenceStats>, End) {
    let (mut text, mut stats) = (String::new(), None);
    loop {
        match cursor.next().await.expect("a log has an end") {
            Entry::Event(InferenceEvent::Token { message, index, .. }) => {
                assert_eq!(index as usize + 1, cursor.position(), "indices are dense");
                text.push_str(&message);
            }
            Entry::Event(InferenceEvent::Stats { fields }) => {
                assert_eq!(stats.replace(fields), None, "the cost is told once");
            }
            Entry::End(end) => {
                assert_eq!(cursor.next().await, None, "nothing follows the end");
                return (text, stats, end);
            }
        }
    }
}

fn code(end: &End) -> &ErrorCode {
    match end {
        End::Error(error) => &error.code,
        other => panic!("expected an error, got {other:?}"),
    }
}

fn refusal(generator: &Generator, prompt: &Prompt) -> protocol::ApiError {
    generator.submit(id("refused"), prompt, &at_most(5), None).unwrap_err()
}

#[tokio::test]
async fn an_answer_has_its_text_its_cost_and_its_end() {
    let generator = start(Script::saying("Once upon a time"));
    let (text, stats, end) = read(submit(&generator, "a")).await;
    assert_eq!((text.as_str(), end), ("Once upon a time", End::Done));
    let stats = stats.unwrap();
    assert_eq!((stats.prompt_tokens, stats.generated_tokens), (5, 4));
    assert_eq!(stats.finish_reason, FinishReason::Stop);
    assert!(stats.time_to_first_token_ms.is_some());
    assert_eq!(generator.status().tokens_generated, 4);
}

#[tokio::test]
async fn the_same_id_is_the_same_request_and_can_be_read_again() {
    let generator = start(Script::saying("Once upon a time"));
    let first = read(submit(&generator, "a")).await;
    let again = read(submit(&generator, "a")).await;
    assert_eq!(first, again);
    assert_eq!(generator.status().tokens_generated, 4, "it was computed once");
    generator.acknowledge(&id("a")).unwrap();
    assert!(generator.find(&id("a")).is_none());
}

#[tokio::test]
async fn slots_work_side_by_side() {
    let (generator, gate) = gated(2, 0);
    let (mut one, mut two) = (submit(&generator, "one"), submit(&generator, "two"));
    gate.allow(6);
    tokens(&mut one, 2).await;
    tokens(&mut two, 2).await;
    assert_eq!(generator.status().slots_busy, 2);
    drop(gate);
    assert_eq!(read(one.log.cursor(0)).await.2, End::Done);
    assert_eq!(read(two.log.cursor(0)).await.2, End::Done);
}

#[tokio::test]
async fn what_the_slots_hold_grows_with_the_answer_and_goes_with_it() {
    let (generator, gate) = gated(2, 0);
    let before = generator.status();
    assert_eq!((before.tokens_held, before.time_to_first_token), (0, None));
    assert_eq!(before.tokens_capacity, 2 * generator.info().context_length);
    let mut one = submit(&generator, "one");
    gate.allow(3);
    tokens(&mut one, 3).await;
    // The prompt's five tokens, and two of the three: the third is chosen and
    // not computed. A token can be read a moment before its step is settled.
    let settled = async {
        while generator.status().tokens_held != 7 {
            tokio::task::yield_now().await;
        }
    };
    let settled = tokio::time::timeout(Duration::from_secs(20), settled).await;
    settled.unwrap_or_else(|_| panic!("{} are held", generator.status().tokens_held));
    assert!(generator.status().time_to_first_token.is_some());
    drop(gate);
    generator.cancel(&id("one")).unwrap();
    let mut activity = generator.activity();
    activity.wait_for(Activity::is_idle).await.unwrap();
    let after = generator.status();
    assert_eq!(after.tokens_held, 0);
    assert!(after.time_to_first_token.is_some(), "of the newest request, also when it is over");
}

#[tokio::test]
async fn each_step_of_a_request_is_news_to_those_who_follow() {
    let (generator, gate) = gated(1, 1);
    let mut activity = generator.activity();
    let mut until = async |in_slots, waiting| {
        let wanted = Activity { in_slots, waiting };
        let told = activity.wait_for(|now| *now == wanted);
        let told = tokio::time::timeout(Duration::from_secs(20), told).await;
        told.unwrap_or_else(|_| panic!("never told of {wanted:?}")).unwrap();
    };
    submit(&generator, "first");
    until(1, 0).await;
    submit(&generator, "second");
    until(1, 1).await;
    drop(gate);
    until(0, 0).await;
}

#[tokio::test]
async fn a_full_worker_says_so_and_a_queue_is_served_when_a_slot_is_free() {
    let (generator, gate) = gated(1, 1);
    let mut first = submit(&generator, "first");
    gate.allow(1);
    tokens(&mut first, 1).await;
    let second = submit(&generator, "second");
    let error = refusal(&generator, &hello());
    assert_eq!(error.code, ErrorCode::QueueFull);
    assert!(error.message.contains("all 1 slots"), "{error}");
    assert_eq!(generator.status().waiting, 1);
    drop(gate);
    assert_eq!(read(first.log.cursor(0)).await.2, End::Done);
    assert_eq!(read(second).await.2, End::Done);
}

#[tokio::test]
async fn a_cancelled_request_frees_its_slot_before_another_token_is_computed() {
    let (generator, gate) = gated(1, 0);
    let mut first = submit(&generator, "first");
    gate.allow(2);
    tokens(&mut first, 2).await;
    generator.cancel(&id("first")).unwrap();
    assert_eq!(first.next().await, Some(Entry::End(End::Cancelled)), "over at once");
    let mut second = submit(&generator, "second");
    // The step that hangs at the gate may still be the cancelled one's.
    gate.allow(2);
    tokens(&mut second, 1).await;
    assert_eq!(first.log.len(), 2, "nothing was added after the end");
    generator.cancel(&id("first")).unwrap();
    assert_eq!(generator.cancel(&id("nobody")).unwrap_err().code, ErrorCode::RequestNotFound);
}

#[tokio::test]
async fn a_waiting_request_can_be_cancelled_too() {
    let (generator, gate) = gated(1, 1);
    let first = submit(&generator, "first");
    let waiting = submit(&generator, "waiting");
    generator.cancel(&id("waiting")).unwrap();
    assert_eq!(read(waiting).await, (String::new(), None, End::Cancelled));
    drop(gate);
    assert_eq!(read(first).await.2, End::Done);
}

#[tokio::test]
async fn a_deadline_ends_a_request_that_runs_and_one_that_has_not_begun() {
    let script =
        Script { repeat: true, delay_ms: 1, context_length: 1 << 20, ..Script::saying("a") };
    let generator = start(script);
    let soon = Deadline::after(Duration::from_millis(20), Instant::now());
    let log = generator.submit(id("slow"), &hello(), &at_most(1 << 20), Some(soon)).unwrap();
    let (_, stats, end) = read(log.cursor(0)).await;
    assert_eq!((code(&end), stats), (&ErrorCode::DeadlineExceeded, None));
    let past = Deadline::after(Duration::ZERO, Instant::now());
    let log = generator.submit(id("late"), &hello(), &at_most(5), Some(past)).unwrap();
    let (text, _, end) = read(log.cursor(0)).await;
    assert_eq!((text.as_str(), code(&end)), ("", &ErrorCode::DeadlineExceeded));
}

#[tokio::test]
async fn prompts_that_cannot_be_answered_are_refused_before_a_slot_is_taken() {
    let generator = start(Script { context_length: 10, ..Script::default() });
    let error = refusal(&generator, &Prompt::Text("x".repeat(12)));
    assert_eq!(error.code, ErrorCode::ContextExceeded);
    assert!(error.message.contains("12 tokens") && error.message.contains("10"), "{error}");
    assert_eq!(refusal(&generator, &Prompt::Text(String::new())).code, ErrorCode::InvalidField);
    assert_eq!(refusal(&generator, &Prompt::Tokens(vec![1 << 30])).code, ErrorCode::InvalidField);
    assert!(generator.find(&id("refused")).is_none());
}

#[tokio::test]
async fn a_conversation_goes_through_the_template() {
    let generator = start(Script::saying("yes"));
    let message = Message { role: Role::User, content: "Hi".to_owned() };
    let prompt = Prompt::Messages(vec![message]);
    let log = generator.submit(id("chat"), &prompt, &at_most(5), None).unwrap();
    let stats = read(log.cursor(0)).await.1.unwrap();
    assert_eq!(stats.prompt_tokens as usize, "User: Hi\n\nAssistant:".len());
}

#[tokio::test]
async fn an_answer_stops_at_the_length_and_at_the_end_of_the_context() {
    let generator = start(Script { repeat: true, context_length: 12, ..Script::saying("a") });
    let log = generator.submit(id("length"), &hello(), &at_most(3), None).unwrap();
    let (text, stats, _) = read(log.cursor(0)).await;
    assert_eq!((text.as_str(), stats.unwrap().finish_reason), ("aaa", FinishReason::Length));
    let (text, stats, _) = read(submit(&generator, "context")).await;
    assert_eq!((text.len(), stats.unwrap().finish_reason), (7, FinishReason::ContextFull));
}

#[tokio::test]
async fn a_failed_step_ends_its_request_and_the_next_one_works() {
    let fault = Some(Fault { kind: FaultKind::Error, after_tokens: 2, code: 0 });
    let generator = start(Script { fault, ..Script::saying("a b c") });
    let (text, _, end) = read(submit(&generator, "failing")).await;
    assert_eq!((text.as_str(), code(&end)), ("a b", &ErrorCode::Internal));
    assert_eq!(read(submit(&generator, "next")).await.0, "a b c");
    assert_eq!(generator.status().health, Health::Ready);
}

#[tokio::test]
async fn a_panicking_engine_ends_every_request_and_is_reported_broken() {
    let fault = Some(Fault { kind: FaultKind::Panic, after_tokens: 4, code: 0 });
    let script = Script { slots: 2, repeat: true, fault, ..Script::saying("a") };
    let (loaded, gate) = script.load_gated();
    let limits = Limits { queue: 1, ..Limits::default() };
    let generator = Generator::start(loaded, limits).unwrap();
    let mut health = generator.health();
    let requests = ["one", "two", "waiting"].map(|name| submit(&generator, name));
    drop(gate);
    for cursor in requests {
        let end = read(cursor).await.2;
        assert_eq!(code(&end), &ErrorCode::Internal, "{end:?}");
    }
    health.wait_for(|health| matches!(health, Health::Broken { .. })).await.unwrap();
    let error = refusal(&generator, &hello());
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert!(error.message.contains("the script says to panic"), "{error}");
}

#[tokio::test]
async fn draining_lets_nothing_in_and_waits_for_the_last_end() {
    let (generator, gate) = gated(1, 1);
    let requests = ["running", "waiting"].map(|name| submit(&generator, name));
    let draining = tokio::spawn({
        let generator = generator.clone();
        async move { generator.drain().await }
    });
    generator.health().wait_for(|health| *health == Health::Draining).await.unwrap();
    assert_eq!(refusal(&generator, &hello()).code, ErrorCode::Unavailable);
    assert!(!draining.is_finished());
    drop(gate);
    draining.await.unwrap();
    for cursor in requests {
        assert_eq!(read(cursor).await.2, End::Done);
    }
}

#[tokio::test]
async fn without_a_handle_the_thread_ends_and_leaves_no_reader_waiting() {
    let (generator, gate) = gated(1, 0);
    let mut cursor = submit(&generator, "a");
    gate.allow(1);
    tokens(&mut cursor, 1).await;
    drop(generator);
    drop(gate);
    let end = read(cursor.log.cursor(0)).await.2;
    assert!(end == End::Done || code(&end) == &ErrorCode::Unavailable, "{end:?}");
}

#[tokio::test]
async fn a_hanging_step_shows_in_the_status_and_its_request_can_be_ended() {
    let (generator, gate) = gated(1, 0);
    let mut cursor = submit(&generator, "a");
    gate.allow(1);
    tokens(&mut cursor, 1).await;
    // The next step stands at the gate; the thread gets there by itself.
    while generator.status().step_running_for.is_none() {
        tokio::task::yield_now().await;
    }
    generator.cancel(&id("a")).unwrap();
    assert_eq!(cursor.next().await, Some(Entry::End(End::Cancelled)));
}
