//! Following a job to its end, and what Ctrl-C means meanwhile.
//!
//! ```text
//! following --Ctrl-C--> cancelling --its end, or 5 s--> exit 130
//!     |                     '--------Ctrl-C--.
//!     '--SIGTERM, SIGHUP, --on-interrupt detach--> detached: it goes on
//! ```
//!
//! A reader of our output that leaves does not cancel the job either: what was
//! asked for once is done once.

use std::time::Duration;

use client::{ClientError, Daemon, JobItem, JobStream};
use protocol::{
    ErrorCode, JobId,
    job::{EndMarker, JobEvent},
    operation::Operation,
};
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{
    Cx,
    args::{OnInterrupt, attach_command},
    exit::{Exit, Failure, Outcome},
    interrupt::{Asked, Attention},
    output::Report,
    render::Answer,
};

/// How long a cancelled job has to end.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);

/// A job that came to a good end.
#[derive(Debug)]
pub struct Ended {
    /// Which.
    pub job: JobId,
    /// What it left.
    pub answer: Answer,
    /// All the text it generated.
    pub text: String,
}

/// Asks the queen for `operation` and follows it; `None` when it was not to be
/// followed.
pub async fn run(cx: &mut Cx, queen: &Daemon, operation: &Operation) -> Outcome<Option<Ended>> {
    run_telling(cx, queen, operation, |_| None).await
}

/// As [`run`]; what `word` makes of the new job is told first.
pub async fn run_telling(
    cx: &mut Cx,
    queen: &Daemon,
    operation: &Operation,
    word: impl FnOnce(&JobId) -> Option<String>,
) -> Outcome<Option<Ended>> {
    // Before the job exists, so that a Ctrl-C in between cancels it.
    let attention = cx.interrupts.attend();
    let job = queen.submit(operation).await?.job_id;
    if let Some(word) = word(&job) {
        cx.out.say(&word)?;
    }
    if cx.options.detach {
        let document = json!({ "job_id": job });
        let names = vec![job.to_string()];
        cx.out.report(Some(&job), &Report::line(document, names, job.as_str()))?;
        let again = attach_command(&cx.options, &job);
        cx.out.hint(&format!("follow it: {again}"))?;
        return Ok(None);
    }
    follow_attended(cx, queen, job, attention).await.map(Some)
}

/// The result of an operation that only looks, without a word about its job.
pub async fn result(queen: &Daemon, operation: &Operation) -> Result<Value, Failure> {
    let job = queen.submit(operation).await?.job_id;
    let mut stream = queen.follow(&job, 0);
    let mut result = Value::Null;
    while let Some(item) = stream.next_item().await {
        match item? {
            JobItem::Event { event, .. } => {
                if let Some(value) = event.as_result() {
                    result = value.clone();
                }
            }
            JobItem::End(EndMarker::Done) => return Ok(result),
            JobItem::End(EndMarker::Cancelled) => {
                let message = format!("{job} was cancelled");
                return Err(Failure::new(Exit::Failed, "cancelled", message));
            }
            JobItem::End(EndMarker::Error(line)) => return Err(why_failed(queen, &job, line).await),
        }
    }
    Err(without_end(&job))
}

fn without_end(job: &JobId) -> Failure {
    Failure::new(Exit::Failed, "internal", format!("the stream of {job} is over without its end"))
}

/// Follows `job` from its beginning to its end.
pub async fn follow(cx: &mut Cx, queen: &Daemon, job: JobId) -> Outcome<Ended> {
    let attention = cx.interrupts.attend();
    follow_attended(cx, queen, job, attention).await
}

async fn follow_attended(
    cx: &mut Cx,
    queen: &Daemon,
    job: JobId,
    _attention: Attention,
) -> Outcome<Ended> {
    cx.job = Some(job.clone());
    let stream = queen.follow(&job, 0);
    let answer = Answer::default();
    let ended = Ended { job, answer, text: String::new() };
    Follower { cx, queen, stream, ended, asked: Asked::default(), cancelling: None }.run().await
}

struct Follower<'a> {
    cx: &'a mut Cx,
    queen: &'a Daemon,
    stream: JobStream,
    ended: Ended,
    asked: Asked,
    cancelling: Option<Cancelling>,
}

struct Cancelling {
    until: Instant,
    /// Gone once the queen has answered.
    request: Option<JoinHandle<Result<(), ClientError>>>,
}

enum Step {
    Asked(Asked),
    CancelAnswered(Result<(), ClientError>),
    PatienceOver,
    Item(Option<Result<JobItem, ClientError>>),
}

impl Follower<'_> {
    async fn run(mut self) -> Outcome<Ended> {
        loop {
            match self.step().await {
                Step::Asked(asked) => self.interrupted(asked)?,
                Step::CancelAnswered(answer) => self.cancel_answered(answer)?,
                Step::PatienceOver => {
                    return Err(self.left("has not ended yet", Exit::Interrupted).into());
                }
                Step::Item(Some(Ok(JobItem::Event { event, .. }))) => self.event(event)?,
                Step::Item(Some(Ok(JobItem::End(end)))) => return self.end(end).await,
                Step::Item(Some(Err(error))) => return Err(self.broken(error).await.into()),
                Step::Item(None) => return Err(without_end(&self.ended.job).into()),
            }
        }
    }

    async fn step(&mut self) -> Step {
        let (request, until) = match &mut self.cancelling {
            Some(cancelling) => (cancelling.request.as_mut(), Some(cancelling.until)),
            None => (None, None),
        };
        let cancel_answered = async {
            match request {
                Some(request) => request.await.unwrap_or(Ok(())),
                None => std::future::pending().await,
            }
        };
        let patience_over = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // A person who presses a key is not kept waiting by a talkative job.
            biased;
            asked = self.cx.interrupts.beyond(self.asked) => Step::Asked(asked),
            answer = cancel_answered => Step::CancelAnswered(answer),
            () = patience_over => Step::PatienceOver,
            item = self.stream.next_item() => Step::Item(item),
        }
    }

    fn interrupted(&mut self, asked: Asked) -> Outcome<()> {
        self.asked = asked;
        if asked.terminate {
            return Err(self.left("goes on", Exit::Terminated).into());
        }
        let is_second = self.cancelling.is_some() || asked.interrupts > 1;
        if is_second || self.cx.options.on_interrupt == OnInterrupt::Detach {
            return Err(self.left("goes on", Exit::Interrupted).into());
        }
        // The deadline of the job is no reason not to cancel it.
        let (queen, job) = (self.queen.with_deadline(None), self.ended.job.clone());
        let request = tokio::spawn(async move { queen.cancel(&job).await });
        let until = Instant::now() + CANCEL_PATIENCE;
        self.cancelling = Some(Cancelling { until, request: Some(request) });
        let job = &self.ended.job;
        self.cx.out.hint(&format!("cancelling {job}; Ctrl-C again leaves it running"))
    }

    fn cancel_answered(&mut self, answer: Result<(), ClientError>) -> Outcome<()> {
        if let Some(cancelling) = &mut self.cancelling {
            cancelling.request = None;
        }
        match answer {
            Ok(()) => Ok(()),
            // It has ended by itself; its end is on its way.
            Err(error) if error.api().is_some_and(|it| it.code == ErrorCode::Conflict) => Ok(()),
            Err(error) => {
                let again = self.left("may still be running", Exit::Interrupted);
                let message = format!("could not cancel {}: {}", self.ended.job, error.one_line());
                Err(Failure { message, ..again }.into())
            }
        }
    }

    /// We stop listening, and the job does not care.
    fn left(&self, how: &str, exit: Exit) -> Failure {
        let code = if exit == Exit::Terminated { "terminated" } else { "interrupted" };
        let again = attach_command(&self.cx.options, &self.ended.job);
        Failure::new(exit, code, format!("stopped listening; {} {how}", self.ended.job))
            .with_hint(again)
    }

    fn event(&mut self, event: JobEvent) -> Outcome<()> {
        let job = &self.ended.job;
        if event.is_token() {
            self.ended.text.push_str(&event.message);
            return self.cx.out.token(job, &event);
        }
        if let Some(result) = event.as_result() {
            let summary = Some(event.message.clone()).filter(|line| !line.is_empty());
            self.ended.answer = Answer { result: result.clone(), summary };
            return Ok(());
        }
        match event.progress() {
            Some(progress) => self.cx.out.progress(job, &event, &progress),
            None => self.cx.out.narrate(Some(job), &event),
        }
    }

    async fn end(self, end: EndMarker) -> Outcome<Ended> {
        let job = &self.ended.job;
        if self.cancelling.is_some() {
            let message = match &end {
                EndMarker::Cancelled => format!("{job} is cancelled"),
                EndMarker::Done => format!("{job} was done before it could be cancelled"),
                EndMarker::Error(line) => format!("{job} failed before it was cancelled: {line}"),
            };
            return Err(Failure::new(Exit::Interrupted, "interrupted", message).into());
        }
        match end {
            EndMarker::Done => Ok(self.ended),
            EndMarker::Cancelled => {
                let message = format!("{job} was cancelled");
                Err(Failure::new(Exit::Failed, "cancelled", message).into())
            }
            EndMarker::Error(line) => Err(why_failed(self.queen, job, line).await.into()),
        }
    }

    async fn broken(&mut self, error: ClientError) -> Failure {
        let job = &self.ended.job;
        if self.cancelling.is_some() {
            return self.left("may still be running", Exit::Interrupted);
        }
        if let ClientError::Deadline(_) = error {
            // The queen holds the same deadline; this is for one that is stuck.
            let _ = self.queen.with_deadline(None).cancel(job).await;
            return Failure::from(error)
                .with_hint(format!("{job} is cancelled; --timeout allows more"));
        }
        error.into()
    }
}

/// The stream says why a job failed in one line; its record knows the code and
/// the hint.
pub async fn why_failed(queen: &Daemon, job: &JobId, line: String) -> Failure {
    match queen.with_deadline(None).job(job).await {
        Ok(job) => job.record.error.map(Failure::from),
        Err(_) => None,
    }
    .unwrap_or_else(|| Failure::new(Exit::Failed, "job_failed", line))
}
