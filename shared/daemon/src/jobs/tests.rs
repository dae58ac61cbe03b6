use ::http::{Request, StatusCode};
use axum::{Router, body::Body};
use futures::StreamExt;
use http_body_util::BodyExt;
use protocol::{job::JobEvent, routes};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tower::ServiceExt;

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

/// An operation is the name of what the handler does.
struct Script {
    /// Each permit lets a waiting handler take one step.
    steps: Semaphore,
}

impl Execute for Script {
    type Operation = String;

    fn parse(&self, body: &[u8]) -> Result<String, ApiError> {
        serde_json::from_slice(body)
            .map_err(|_| ApiError::new(ErrorCode::BadRequest, "the body is not a string"))
    }

    fn describe(_: &String) -> (&'static str, Target) {
        ("script", Target::default())
    }

    fn run(
        self: Arc<Self>,
        operation: String,
        job: JobHandle,
    ) -> BoxFuture<'static, Result<(), Failure>> {
        async move {
            match operation.as_str() {
                "three lines" => {
                    for line in ["one", "two", "three"] {
                        job.narrate("say", line).await;
                    }
                    Ok(())
                }
                "steps" => {
                    for step in 0..3 {
                        let permit = job.unless_cancelled(self.steps.acquire()).await?;
                        permit.expect("never closed").forget();
                        job.emit(JobEvent::token(format!("t{step}"), step)).await;
                    }
                    Ok(())
                }
                "results" => {
                    job.result("one", json!(1)).await;
                    job.narrate("say", "two").await;
                    job.result("three", json!(3)).await;
                    Ok(())
                }
                "chatter" => {
                    let talk = async {
                        for index in 0.. {
                            job.emit(JobEvent::token("t", index)).await;
                        }
                    };
                    let stopped = job.unless_cancelled(talk).await;
                    job.narrate("say", "cleaned up").await;
                    stopped
                }
                "counted" => {
                    let until = now().checked_add(HOUR).unwrap();
                    job.checkpoint(json!({ "until": until })).await;
                    job.emit(JobEvent::token("t0", 0)).await;
                    std::future::pending().await
                }
                "panic" => panic!("on purpose"),
                "deaf" => std::future::pending().await,
                _ => Err(ApiError::new(ErrorCode::Internal, "it broke\nbadly").into()),
            }
        }
        .boxed()
    }

    fn resume(
        self: Arc<Self>,
        checkpoint: Value,
        job: JobHandle,
    ) -> BoxFuture<'static, Result<(), Failure>> {
        async move {
            let next = job.last_token().map_or(0, |index| index + 1);
            job.emit(JobEvent::token(format!("t{next}"), next)).await;
            let left = job.deadline().map(|deadline| deadline.remaining(Instant::now()));
            let left = left.is_some_and(|left| left <= HOUR);
            job.narrate("say", format!("until {}, in time: {left}", checkpoint["until"])).await;
            Ok(())
        }
        .boxed()
    }
}

struct Bench {
    jobs: Jobs,
    script: Arc<Script>,
    router: Router,
    directory: TempDir,
}

impl Bench {
    async fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap()).await
    }

    async fn at(directory: TempDir) -> Self {
        let file = directory.path().join("jobs.sqlite");
        let jobs = Jobs::open(&file, "queen", Retention::default(), Feed::new()).await.unwrap();
        let script = Arc::new(Script { steps: Semaphore::new(0) });
        let router = jobs.routes(Arc::clone(&script));
        Self { jobs, script, router, directory }
    }

    async fn submit(&self, operation: &str) -> JobId {
        let operation = operation.to_owned();
        let script = Arc::clone(&self.script);
        self.jobs.submit(script, operation, Submission::default()).await.unwrap()
    }

    async fn until_event(&self, id: &JobId, number: u64) {
        while self.jobs.get(id).await.unwrap().last_event < number {
            tokio::task::yield_now().await;
        }
    }

    async fn call(&self, request: Request<Body>) -> (StatusCode, String) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        self.call(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn stream(&self, id: &JobId) -> String {
        self.get(&routes::job_stream(id)).await.1
    }

    async fn aware_stream(&self, id: &JobId, last_event_id: &str) -> (StatusCode, String) {
        let request = Request::get(routes::job_stream(id))
            .header("accept", "text/event-stream")
            .header(routes::LAST_EVENT_ID_HEADER, last_event_id);
        self.call(request.body(Body::empty()).unwrap()).await
    }
}

/// The whole stream of a job, from whichever life answers.
async fn read(router: &Router, id: &JobId) -> String {
    let request = Request::get(routes::job_stream(id)).body(Body::empty()).unwrap();
    let body = router.clone().oneshot(request).await.unwrap().into_body();
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

fn messages(stream: &str) -> Vec<String> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| match serde_json::from_str::<JobEvent>(data) {
        Ok(event) => event.message,
        Err(_) => data.to_owned(),
    })
    .collect()
}

#[tokio::test]
async fn a_job_that_nobody_reads_runs_and_ends_and_a_late_reader_sees_all_of_it() {
    let bench = Bench::new().await;
    let id = bench.submit("three lines").await;
    let first = bench.stream(&id).await;
    assert_eq!(messages(&first), ["one", "two", "three", "[DONE]"]);
    assert_eq!(bench.stream(&id).await, first, "a second reader sees the same bytes");
    assert_eq!(bench.jobs.get(&id).await.unwrap().state, JobState::Done);
}

#[tokio::test]
async fn a_live_reader_sees_each_event_as_it_comes() {
    let bench = Bench::new().await;
    let id = bench.submit("steps").await;
    let request = Request::get(routes::job_stream(&id)).body(Body::empty()).unwrap();
    let response = bench.router.clone().oneshot(request).await.unwrap();
    let mut body = response.into_body().into_data_stream();
    for step in 0..3 {
        bench.script.steps.add_permits(1);
        let chunk = body.next().await.unwrap().unwrap();
        let text = std::str::from_utf8(&chunk).unwrap();
        assert_eq!(messages(text)[0], format!("t{step}"));
    }
}

#[tokio::test]
async fn a_reader_that_comes_back_continues_after_what_it_has() {
    let bench = Bench::new().await;
    let id = bench.submit("three lines").await;
    bench.stream(&id).await;
    let (_, rest) = bench.aware_stream(&id, "2").await;
    assert_eq!(messages(&rest), ["three", "[DONE]"]);
    assert!(rest.contains("id: 3\n"), "{rest}");
    let (_, end) = bench.aware_stream(&id, "3").await;
    assert_eq!(messages(&end), ["[DONE]"]);
}

#[tokio::test]
async fn a_position_that_cannot_be_is_refused() {
    let bench = Bench::new().await;
    let id = bench.submit("three lines").await;
    bench.stream(&id).await;
    for (position, status) in [
        ("4", StatusCode::CONFLICT),
        ("x", StatusCode::BAD_REQUEST),
        ("-1", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(bench.aware_stream(&id, position).await.0, status, "{position}");
    }
}

#[tokio::test]
async fn a_failure_is_one_line_and_the_last_one() {
    let bench = Bench::new().await;
    let id = bench.submit("break").await;
    assert_eq!(messages(&bench.stream(&id).await), ["[ERROR] it broke badly"]);
    assert_eq!(bench.jobs.get(&id).await.unwrap().state, JobState::Failed);
}

#[tokio::test]
async fn a_panic_ends_its_job_and_no_other() {
    let bench = Bench::new().await;
    let broken = bench.submit("panic").await;
    let well = bench.submit("three lines").await;
    let stream = bench.stream(&broken).await;
    assert!(stream.starts_with("data: [ERROR] the operation hit a bug"), "{stream}");
    assert!(bench.stream(&well).await.ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn a_cancelled_job_ends_as_cancelled_and_only_once() {
    let bench = Bench::new().await;
    let id = bench.submit("steps").await;
    let request = Request::delete(routes::job(&id)).body(Body::empty()).unwrap();
    assert_eq!(bench.call(request).await.0, StatusCode::ACCEPTED);
    assert_eq!(messages(&bench.stream(&id).await), ["[CANCELLED]"]);
    let request = Request::delete(routes::job(&id)).body(Body::empty()).unwrap();
    let (status, body) = bench.call(request).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(body.contains("cancelled already"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_ignores_its_cancellation_is_dropped() {
    let bench = Bench::new().await;
    let id = bench.submit("deaf").await;
    bench.jobs.cancel(&id).await.unwrap();
    assert_eq!(messages(&bench.stream(&id).await), ["[CANCELLED]"]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_job_and_says_how_long_it_was() {
    let bench = Bench::new().await;
    let deadline = Deadline::after(Duration::from_millis(250), std::time::Instant::now());
    let submission = Submission { deadline: Some(deadline), ..Submission::default() };
    let script = Arc::clone(&bench.script);
    let id = bench.jobs.submit(script, "steps".to_owned(), submission).await.unwrap();
    assert_eq!(messages(&bench.stream(&id).await), ["[ERROR] deadline exceeded after 250 ms"]);
}

#[tokio::test]
async fn the_same_idempotency_key_is_the_same_job() {
    let bench = Bench::new().await;
    let post = || {
        Request::post(routes::JOBS)
            .header("content-type", "application/json")
            .header(routes::IDEMPOTENCY_HEADER, "once")
            .body(Body::from("\"three lines\""))
            .unwrap()
    };
    let first = bench.call(post()).await;
    assert_eq!(first.0, StatusCode::OK);
    assert_eq!(bench.call(post()).await, first);
}

#[tokio::test]
async fn an_ended_job_is_read_back_whole_by_the_next_life_of_the_daemon() {
    let bench = Bench::new().await;
    let id = bench.submit("three lines").await;
    let before = bench.stream(&id).await;
    let Bench { directory, jobs, .. } = bench;
    drop(jobs);
    let bench = Bench::at(directory).await;
    assert_eq!(bench.stream(&id).await, before);
}

#[tokio::test]
async fn a_job_that_the_last_life_left_running_ends_with_an_error_that_says_so() {
    let bench = Bench::new().await;
    let id = bench.submit("steps").await;
    bench.script.steps.add_permits(1);
    let log = bench.jobs.log(&id).await.unwrap();
    let mut changed = log.subscribe();
    changed.wait_for(|_| log.last_event() == 1).await.unwrap();

    // The next life opens the same file while the first one still runs, as
    // after a kill -9.
    let file = bench.directory.path().join("jobs.sqlite");
    let next = Jobs::open(&file, "queen", Retention::default(), Feed::new()).await.unwrap();
    let stream = read(&next.routes(Arc::clone(&bench.script)), &id).await;
    assert_eq!(
        messages(&stream),
        ["t0", "[ERROR] the queen stopped while this job ran (run it again)"]
    );
}

#[tokio::test]
async fn a_job_that_left_a_checkpoint_goes_on_from_it_in_the_next_life() {
    let bench = Bench::new().await;
    let deadline = Some(Deadline::after(HOUR, Instant::now()));
    let submission = Submission { deadline, ..Submission::default() };
    let script = Arc::clone(&bench.script);
    let id = bench.jobs.submit(script, "counted".to_owned(), submission).await.unwrap();
    bench.until_event(&id, 1).await;

    let file = bench.directory.path().join("jobs.sqlite");
    let next = Jobs::open(&file, "queen", Retention::default(), Feed::new()).await.unwrap();
    assert_eq!(next.get(&id).await.unwrap().state, JobState::Running, "it has no end yet");
    next.resume(&bench.script).await.unwrap();
    let stream = read(&next.routes(Arc::clone(&bench.script)), &id).await;
    let said = messages(&stream);
    assert_eq!((said[0].as_str(), said[1].as_str()), ("t0", "t1"), "{said:?}");
    assert!(said[2].starts_with("until \"2"), "{said:?}");
    assert!(said[2].ends_with("in time: true"), "{said:?}");
    assert_eq!(said[3], "[DONE]");

    let third = Jobs::open(&file, "queen", Retention::default(), Feed::new()).await.unwrap();
    third.resume(&bench.script).await.unwrap();
    assert_eq!(third.running(), 0, "what has ended is not taken up again");
    assert_eq!(read(&third.routes(Arc::clone(&bench.script)), &id).await, stream);
}

#[tokio::test]
async fn a_damaged_log_is_put_aside_and_the_daemon_starts() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("jobs.sqlite"), "this is no database at all").unwrap();
    let bench = Bench::at(directory).await;
    let id = bench.submit("three lines").await;
    assert!(bench.stream(&id).await.ends_with("[DONE]\n\n"));
    let aside = std::fs::read_dir(bench.directory.path()).unwrap().any(|entry| {
        entry.unwrap().file_name().to_string_lossy().starts_with("jobs.sqlite.corrupt-")
    });
    assert!(aside, "the damaged file is kept for a person to look at");
}

#[tokio::test]
async fn old_jobs_are_forgotten_and_new_ones_kept() {
    let bench = Bench::new().await;
    let old = bench.submit("three lines").await;
    bench.stream(&old).await;
    let new = bench.submit("three lines").await;
    bench.stream(&new).await;
    let retention = Retention { jobs_max: 1, ..Retention::default() };
    bench.jobs.prune(retention).await.unwrap();
    assert_eq!(bench.jobs.get(&old).await.unwrap_err().code, ErrorCode::JobNotFound);
    assert!(bench.jobs.get(&new).await.is_ok());
}

#[tokio::test]
async fn what_was_asked_is_shown_with_the_one_job_for_as_long_as_the_job_is_kept() {
    let bench = Bench::new().await;
    let id = bench.submit("three lines").await;
    bench.stream(&id).await;
    let bench = Bench::at(bench.directory).await;
    let (_, body) = bench.get(&routes::job(&id)).await;
    let job: protocol::job::JobDetails = serde_json::from_str(&body).unwrap();
    assert_eq!((&job.record.id, job.request), (&id, Some(json!("three lines"))));
    let (_, list) = bench.get(routes::JOBS).await;
    assert!(list.contains(id.as_str()) && !list.contains("three lines"), "{list}");

    bench.jobs.prune(Retention { age_max: Duration::ZERO, ..Retention::default() }).await.unwrap();
    assert_eq!(bench.jobs.shared.store.request(id).await.unwrap(), None);
}

#[tokio::test]
async fn draining_refuses_new_jobs_and_gives_every_running_one_its_end() {
    let bench = Bench::new().await;
    let id = bench.submit("steps").await;
    bench.jobs.drain(Duration::ZERO).await;
    assert_eq!(
        messages(&bench.stream(&id).await),
        ["[ERROR] the queen was shut down while this job ran (run it again)"]
    );
    let script = Arc::clone(&bench.script);
    let refused = bench.jobs.submit(script, "steps".to_owned(), Submission::default()).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::Unavailable);
}

#[tokio::test]
async fn a_handler_dropped_while_it_writes_leaves_one_log_and_not_two() {
    let bench = Bench::new().await;
    for _ in 0..20 {
        let id = bench.submit("chatter").await;
        let cancel = async {
            bench.until_event(&id, 3).await;
            bench.jobs.cancel(&id).await.unwrap();
        };
        let (shown, ()) = tokio::join!(bench.stream(&id), cancel);
        assert!(shown.contains("cleaned up"), "{shown}");
        assert_eq!(bench.stream(&id).await, shown, "what is stored is what was shown");
    }
}

#[tokio::test]
async fn a_body_is_json_and_within_its_limit_or_refused_by_name() {
    let bench = Bench::new().await;
    let post = |media_type: &str, body: Body| {
        let request = Request::post(routes::JOBS).header("content-type", media_type);
        request.body(body).unwrap()
    };
    for (request, status) in [
        (post("text/plain", Body::from("\"x\"")), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (post("application/json", Body::from("{")), StatusCode::BAD_REQUEST),
        (post("application/json", Body::from(vec![b'x'; 2 << 20])), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let (answered, body) = bench.call(request).await;
        assert_eq!(answered, status);
        assert!(body.starts_with(r#"{"error":{"code":"#), "{body}");
    }
}

#[tokio::test]
async fn jobs_are_listed_newest_first_and_by_state() {
    let bench = Bench::new().await;
    let done = bench.submit("three lines").await;
    bench.stream(&done).await;
    let failed = bench.submit("break").await;
    bench.stream(&failed).await;
    let (_, body) = bench.get("/v1/jobs").await;
    let list: protocol::job::JobList = serde_json::from_str(&body).unwrap();
    assert_eq!(list.jobs.iter().map(|job| &job.id).collect::<Vec<_>>(), [&failed, &done]);
    let (_, body) = bench.get("/v1/jobs?state=done&limit=1").await;
    let list: protocol::job::JobList = serde_json::from_str(&body).unwrap();
    assert_eq!(list.jobs[0].id, done);
    assert_eq!(bench.get("/v1/jobs?state=sleeping").await.0, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_result_stands_where_it_was_given_and_the_last_one_comes_with_the_end() {
    let bench = Bench::new().await;
    let mut feed = bench.jobs.shared.feed.follow();
    assert!(matches!(feed.next().await, FeedEvent::Snapshot(_)));
    let id = bench.submit("results").await;
    let stream = bench.aware_stream(&id, "0").await.1;
    assert_eq!(messages(&stream), ["one", "two", "three", "[DONE]"]);
    for number in 1..=3 {
        assert!(stream.contains(&format!("id: {number}\n")), "{stream}");
    }

    let mut said = Vec::new();
    let record = loop {
        match feed.next().await {
            FeedEvent::Narration(narration) => said.push(narration.event.message),
            FeedEvent::Job(protocol::fleet::Change::Now(job)) if job.state.is_ended() => break job,
            _ => {}
        }
    };
    assert_eq!(said, ["one", "two", "three"]);
    assert_eq!((record.last_event, record.last_message.as_deref()), (3, Some("three")));

    let Bench { directory, jobs, .. } = bench;
    jobs.drain(Duration::ZERO).await;
    let next_life = Bench::at(directory).await;
    assert_eq!(next_life.aware_stream(&id, "0").await.1, stream);
}
