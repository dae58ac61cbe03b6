//! A job as seen from outside: its events, its end and its record.
//!
//! ```text
//! queued ──▶ running ──▶ done | failed | cancelled
//!    └───────────────────────▲ (cancelled or refused before it ran)
//! ```
//!
//! A job is a log of [`JobEvent`]s numbered 1, 2, 3, … and exactly one
//! [`End`], which is last.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ApiError, ErrorCode, HiveId, JobId, ModelRef, WorkerId, operation::Operation};

/// The answer to `POST /v1/jobs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobCreated {
    /// The new job.
    pub job_id: JobId,
    /// Where to follow it.
    pub sse_url: String,
}

/// How much an event matters to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// For someone looking for a cause.
    Debug,
    /// What is going on.
    #[default]
    Info,
    /// Worth a look; the job goes on.
    Warn,
    /// What made the job fail.
    Error,
}

/// One event of a job's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobEvent {
    /// The action's name: `worker_spawn`, `token`, `result`, ….
    pub event: String,
    /// One line for a person; for a `token` the text and nothing else.
    pub message: String,
    /// Who says so: `queen`, `hive`, `worker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Absent means `info`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// When it happened, on the clock of the daemon that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Structured data for programs.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
}

impl JobEvent {
    /// The name of events that carry generated text.
    pub const TOKEN: &str = "token";
    /// The name of the event that carries a structured result.
    pub const RESULT: &str = "result";
    /// The name of events that carry a [`Progress`].
    pub const PROGRESS: &str = "progress";

    /// An event with nothing but the documented pair.
    pub fn new(event: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            event: event.into(),
            message: message.into(),
            actor: None,
            level: None,
            at: None,
            fields: Map::new(),
        }
    }

    /// A piece of generated text.
    pub fn token(text: impl Into<String>, index: u32) -> Self {
        Self::new(Self::TOKEN, text).field("index", index)
    }

    /// A structured result with a line that sums it up.
    pub fn result(summary: impl Into<String>, result: Value) -> Self {
        Self::new(Self::RESULT, summary).field("result", result)
    }

    /// Adds a field.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Sets the level.
    #[must_use]
    pub fn level(mut self, level: Level) -> Self {
        self.level = Some(level);
        self
    }

    /// Whether this is generated text.
    pub fn is_token(&self) -> bool {
        self.event == Self::TOKEN
    }

    /// Which token of its answer this is, if it is one.
    pub fn token_index(&self) -> Option<u32> {
        if !self.is_token() {
            return None;
        }
        let index = self.fields.get("index").and_then(Value::as_u64)?;
        u32::try_from(index).ok()
    }

    /// The structured result, if this event carries one.
    pub fn as_result(&self) -> Option<&Value> {
        if self.event == Self::RESULT { self.fields.get("result") } else { None }
    }

    /// The progress, if this event carries one.
    pub fn progress(&self) -> Option<Progress> {
        let progress = self.fields.get("progress")?;
        Progress::deserialize(progress).ok()
    }
}

/// How far a long piece of work has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// How much is done, in `unit`s.
    pub done: u64,
    /// How much there is; `null` when nobody knows.
    pub total: Option<u64>,
    /// `bytes`, `tokens`, `steps`.
    pub unit: String,
    /// Units per second over the last ten seconds; `null` when unknown.
    pub rate: Option<f64>,
    /// Seconds left at that rate; `null` when unknown.
    pub eta_s: Option<f64>,
}

impl Progress {
    /// 0 to 1, when the total is known.
    pub fn fraction(&self) -> Option<f64> {
        let total = self.total.filter(|total| *total > 0)?;
        Some((self.done as f64 / total as f64).clamp(0.0, 1.0))
    }
}

/// How a job ended. On the wire it is the last `data:` line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum End {
    /// `[DONE]`
    Done,
    /// `[ERROR] <one line>`
    Error {
        /// What went wrong.
        error: ApiError,
    },
    /// `[CANCELLED]`
    Cancelled,
}

impl End {
    /// The state of a job that ended so.
    pub fn state(&self) -> JobState {
        match self {
            Self::Done => JobState::Done,
            Self::Error { .. } => JobState::Failed,
            Self::Cancelled => JobState::Cancelled,
        }
    }

    /// Recognises an end marker. The text of a token can never be taken for
    /// one, because tokens travel inside JSON objects.
    pub fn parse(data: &str) -> Option<EndMarker> {
        match data {
            "[DONE]" => Some(EndMarker::Done),
            "[CANCELLED]" => Some(EndMarker::Cancelled),
            _ => {
                let line = data.strip_prefix("[ERROR]")?;
                Some(EndMarker::Error(line.trim_start().to_owned()))
            }
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("[DONE]"),
            Self::Error { error } => write!(f, "[ERROR] {}", error.one_line()),
            Self::Cancelled => f.write_str("[CANCELLED]"),
        }
    }
}

/// An end as a reader of the stream sees it: the error is one line of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndMarker {
    /// All done.
    Done,
    /// It failed; the line says why.
    Error(String),
    /// Somebody cancelled it.
    Cancelled,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Accepted, waiting for its turn.
    Queued,
    /// At work.
    Running,
    /// Ended well.
    Done,
    /// Ended with an error.
    Failed,
    /// Ended because somebody asked.
    Cancelled,
}

impl JobState {
    /// Whether nothing more will happen.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the word on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Queued, Self::Running, Self::Done, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A job in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The job.
    pub id: JobId,
    /// The operation's name.
    pub operation: String,
    /// Where it stands.
    pub state: JobState,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it began to run.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The hive it concerns.
    pub hive_id: Option<HiveId>,
    /// The worker it concerns.
    pub worker_id: Option<WorkerId>,
    /// The model it concerns.
    pub model: Option<ModelRef>,
    /// How far it is, when the work has a measure.
    pub progress: Option<Progress>,
    /// The newest line that is not a token.
    pub last_message: Option<String>,
    /// The number of its newest event.
    pub last_event: u64,
    /// Why it failed.
    pub error: Option<ApiError>,
}

/// The answer to `GET /v1/jobs/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobDetails {
    /// What lists and the feed show as well.
    #[serde(flatten)]
    pub record: JobRecord,
    /// The operation as it was accepted, in its canonical form. Only here,
    /// because a prompt is private and can be long; `null` from a daemon that
    /// did not keep it.
    #[serde(default)]
    pub request: Option<Value>,
}

impl JobDetails {
    /// What to ask for to have the same done once more, by a new job.
    pub fn again(&self) -> Result<Operation, ApiError> {
        let JobRecord { id, state, .. } = &self.record;
        let conflict = |message: String| ApiError::new(ErrorCode::Conflict, message);
        if !state.is_ended() {
            return Err(conflict(format!("job {id} is {state}")).with_hint(format!(
                "wait for its end, or cancel it: rbee-keeper job cancel {id}"
            )));
        }
        let Some(request) = &self.request else {
            return Err(conflict(format!("what was asked of job {id} was not kept"))
                .with_hint("its daemon was of an older version then; ask for it in full"));
        };
        Operation::parse(request.to_string().as_bytes())
    }
}

/// The answer to `GET /v1/jobs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobList {
    /// Newest first.
    pub jobs: Vec<JobRecord>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_marker_is_read_back_as_what_was_written() {
        let error =
            ApiError::new(ErrorCode::WorkerLost, "worker died\nbadly").with_hint("see its log");
        for (end, marker) in [
            (End::Done, EndMarker::Done),
            (End::Cancelled, EndMarker::Cancelled),
            (End::Error { error }, EndMarker::Error("worker died badly (see its log)".to_owned())),
        ] {
            assert_eq!(End::parse(&end.to_string()), Some(marker));
        }
    }

    #[test]
    fn text_that_looks_like_an_end_is_not_one_once_it_is_an_event() {
        let event = JobEvent::token("[DONE]", 0);
        let data = serde_json::to_string(&event).unwrap();
        assert_eq!(End::parse(&data), None);
    }

    #[test]
    fn what_was_asked_of_a_job_can_be_asked_again_once_it_is_over() {
        let details = |state: &str, request: Value| {
            let mut details = serde_json::json!({
                "id": "job-1", "operation": "infer", "state": state,
                "created_at": "2026-11-21T10:00:00Z", "last_event": 0, "request": request,
            });
            if request.is_null() {
                details.as_object_mut().unwrap().remove("request");
            }
            serde_json::from_value::<JobDetails>(details).unwrap()
        };
        let infer = Operation::parse(br#"{"type":"Infer","model":"demo","prompt":"x"}"#).unwrap();
        let request = serde_json::to_value(&infer).unwrap();
        for state in ["done", "failed", "cancelled"] {
            assert_eq!(details(state, request.clone()).again(), Ok(infer.clone()));
        }
        let running = details("running", request).again().unwrap_err();
        assert_eq!(running.message, "job job-1 is running");
        let unkept = details("failed", Value::Null).again().unwrap_err();
        assert_eq!(unkept.code, ErrorCode::Conflict);
        assert!(unkept.message.contains("was not kept"), "{unkept:?}");
    }

    #[test]
    fn the_documented_pair_is_always_there_and_the_rest_only_when_known() {
        let event = JobEvent::new("worker_spawn", "🚀 Spawning worker…");
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"event": "worker_spawn", "message": "🚀 Spawning worker…"})
        );
    }
}
