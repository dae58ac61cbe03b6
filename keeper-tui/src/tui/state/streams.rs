//! What jobs say and generate.
//!
//! A line of narration comes by two ways: the feed brings everybody's, without
//! numbers; a job that is followed brings its own, numbered and without a gap.
//! A job's log is taken from the feed until the job is followed for the first
//! time, and from then on from its own stream alone, so no line stands twice.

use std::collections::{BTreeMap, VecDeque};

use protocol::{
    HiveId, JobId, Timestamp,
    inference::InferenceStats,
    job::{EndMarker, JobEvent},
};
use serde::Deserialize;

use super::log::{Limits, Log, Said};
use crate::text::{one_line, sanitise};

/// Of one job.
const JOB_LIMITS: Limits = Limits { lines: 10_000, bytes: 1 << 20 };
/// Of everybody's narration together.
const ALL_LIMITS: Limits = Limits { lines: 20_000, bytes: 4 << 20 };
/// All jobs together; the oldest jobs make room.
const BYTES_MAX: usize = 24 << 20;
/// Jobs of which anything is kept.
const JOBS_MAX: usize = 1_000;
/// The window of the current pace.
const PACE_WINDOW_S: f64 = 2.0;
/// Tokens remembered for it; faster than this it is an underestimate.
const PACE_TOKENS: usize = 4_096;

/// How fast tokens come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace {
    /// How many have come.
    pub(crate) count: u64,
    /// When the first came.
    pub(crate) first: Option<Timestamp>,
    /// When the newest came.
    pub(crate) last: Option<Timestamp>,
    recent: VecDeque<Timestamp>,
}

impl Pace {
    fn token(&mut self, at: Timestamp) {
        self.count += 1;
        self.first.get_or_insert(at);
        self.last = Some(at);
        self.recent.push_back(at);
        if self.recent.len() > PACE_TOKENS {
            self.recent.pop_front();
        }
        while self.recent.front().is_some_and(|first| seconds(*first, at) > PACE_WINDOW_S) {
            self.recent.pop_front();
        }
    }

    /// Over the last two seconds before the newest token.
    pub(crate) fn current(&self) -> Option<f64> {
        let (first, last) = (self.recent.front()?, self.recent.back()?);
        rate(self.recent.len() as u64, seconds(*first, *last))
    }

    /// From the first token to the newest.
    pub(crate) fn mean(&self) -> Option<f64> {
        rate(self.count, seconds(self.first?, self.last?))
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

/// A replayed stream comes all at once and says nothing about the pace.
fn rate(count: u64, seconds: f64) -> Option<f64> {
    (count > 1 && seconds > 0.05).then(|| (count - 1) as f64 / seconds)
}

/// What one job has said and generated.
#[derive(Debug, Clone)]
pub(crate) struct JobStream {
    /// What it said.
    pub(crate) narration: Log,
    /// What it generated.
    pub(crate) text: Log,
    /// How fast.
    pub(crate) pace: Pace,
    /// What it cost, once it is over.
    pub(crate) stats: Option<InferenceStats>,
    /// The number of the newest event its own stream brought; 0 when it was
    /// never followed.
    pub(crate) after: u64,
    /// How it ended, once its stream said so.
    pub(crate) end: Option<EndMarker>,
    /// Nobody listens to it any more, although it may go on.
    pub(crate) broken: Option<Broken>,
}

/// A stream that broke off before its end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Broken {
    /// One sentence.
    pub(crate) cause: String,
    /// Since when.
    pub(crate) at: Timestamp,
}

impl Default for JobStream {
    fn default() -> Self {
        Self {
            narration: Log::new(JOB_LIMITS),
            text: Log::new(JOB_LIMITS),
            pace: Pace::default(),
            stats: None,
            after: 0,
            end: None,
            broken: None,
        }
    }
}

impl JobStream {
    fn bytes(&self) -> usize {
        self.narration.bytes() + self.text.bytes()
    }
}

/// Everybody's.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    /// Narration of all jobs in the order it came.
    pub(crate) all: Log,
    jobs: BTreeMap<JobId, JobStream>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { all: Log::new(ALL_LIMITS), jobs: BTreeMap::new() }
    }
}

impl Streams {
    /// What a job has said and generated.
    pub(crate) fn job(&self, job: &JobId) -> Option<&JobStream> {
        self.jobs.get(job)
    }

    /// The same, to write into. Makes room by dropping the oldest jobs.
    pub(crate) fn job_mut(&mut self, job: &JobId) -> &mut JobStream {
        if !self.jobs.contains_key(job) {
            let mut bytes: usize = self.jobs.values().map(JobStream::bytes).sum();
            while bytes > BYTES_MAX || self.jobs.len() >= JOBS_MAX {
                let Some((_, oldest)) = self.jobs.pop_first() else { break };
                bytes -= oldest.bytes();
            }
        }
        self.jobs.entry(job.clone()).or_default()
    }

    /// Broken streams may be tried again.
    pub(crate) fn mend(&mut self) {
        self.jobs.values_mut().for_each(|stream| stream.broken = None);
    }

    /// One of them may be tried again.
    pub(crate) fn mend_one(&mut self, job: &JobId) {
        if let Some(stream) = self.jobs.get_mut(job) {
            stream.broken = None;
        }
    }

    /// A line of the feed.
    pub(crate) fn heard(&mut self, job: &JobId, hive: Option<HiveId>, event: &JobEvent) {
        if event.is_token() {
            return;
        }
        let (text, said) = line(job, hive, event);
        let stream = self.job_mut(job);
        if stream.after == 0 {
            stream.narration.say(text.clone(), said.clone());
        }
        self.all.say(text, said);
    }

    /// An event of a followed job; `now` stands in for a time that is missing.
    pub(crate) fn followed(
        &mut self,
        job: &JobId,
        hive: Option<HiveId>,
        number: u64,
        event: &JobEvent,
        now: Timestamp,
    ) {
        let stream = self.job_mut(job);
        if number <= stream.after {
            return;
        }
        if stream.after == 0 {
            stream.narration = Log::new(JOB_LIMITS);
        }
        stream.after = number;
        if event.is_token() {
            stream.pace.token(event.at.unwrap_or(now));
            stream.text.append(&sanitise(&event.message));
            return;
        }
        if let Some(stats) = stats(event) {
            stream.stats = Some(stats);
        }
        let (text, said) = line(job, hive, event);
        stream.narration.say(text, said);
    }
}

/// The figures at the end of an inference, wherever the event carries them.
fn stats(event: &JobEvent) -> Option<InferenceStats> {
    let result = event.fields.get("result");
    let places = [result.and_then(|result| result.get("stats")), result];
    if let Some(stats) =
        places.into_iter().flatten().find_map(|value| InferenceStats::deserialize(value).ok())
    {
        return Some(stats);
    }
    (event.event == "stats")
        .then(|| InferenceStats::deserialize(serde_json::Value::Object(event.fields.clone())).ok())
        .flatten()
}

fn line(job: &JobId, hive: Option<HiveId>, event: &JobEvent) -> (String, Said) {
    let named = event.fields.get("hive_id").and_then(|id| id.as_str()?.parse().ok());
    let said = Said {
        at: event.at,
        actor: one_line(event.actor.as_deref().unwrap_or(&event.event)).into_owned(),
        level: event.level.unwrap_or_default(),
        job: Some(job.clone()),
        hive: named.or(hive),
        is_progress: event.event == JobEvent::PROGRESS,
    };
    (one_line(&event.message).into_owned(), said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> JobId {
        "job-1".parse().unwrap()
    }

    fn narration(streams: &Streams) -> Vec<&str> {
        let stream = streams.job(&job()).unwrap();
        stream.narration.numbered().map(|(_, entry)| entry.text.as_str()).collect()
    }

    #[test]
    fn a_line_that_comes_by_the_feed_and_by_the_stream_stands_once() {
        let mut streams = Streams::default();
        let now = Timestamp::UNIX_EPOCH;
        streams.heard(&job(), None, &JobEvent::new("queue", "waiting"));
        assert_eq!(narration(&streams), ["waiting"]);
        streams.followed(&job(), None, 1, &JobEvent::new("queue", "waiting"), now);
        streams.heard(&job(), None, &JobEvent::new("route", "to wk-1"));
        streams.followed(&job(), None, 2, &JobEvent::new("route", "to wk-1"), now);
        streams.followed(&job(), None, 2, &JobEvent::new("route", "to wk-1"), now);
        assert_eq!(narration(&streams), ["waiting", "to wk-1"]);
        assert_eq!(streams.all.numbered().count(), 2);
    }

    #[test]
    fn progress_takes_the_place_of_the_progress_before_it() {
        let mut streams = Streams::default();
        for percent in ["10 %", "20 %"] {
            streams.heard(&job(), None, &JobEvent::new(JobEvent::PROGRESS, percent));
        }
        assert_eq!(narration(&streams), ["20 %"]);
    }

    #[test]
    fn tokens_have_a_pace_and_cannot_move_the_cursor() {
        let mut streams = Streams::default();
        for n in 0..11_u32 {
            let at = Timestamp::from_millisecond(i64::from(n) * 100).unwrap();
            let event = JobEvent::token("a\u{1b}[2J", n);
            streams.followed(&job(), None, u64::from(n) + 1, &event, at);
        }
        let stream = streams.job(&job()).unwrap();
        assert_eq!(stream.text.last().unwrap().text, "a".repeat(11));
        assert_eq!(stream.pace.count, 11);
        assert_eq!(stream.pace.mean().map(f64::round), Some(10.0));
    }

    #[test]
    fn the_figures_of_an_answer_are_found_in_its_result() {
        let stats = serde_json::json!({
            "prompt_tokens": 3, "generated_tokens": 7, "finish_reason": "stop",
            "time_to_first_token_ms": 12.5, "tokens_per_second": null
        });
        let mut streams = Streams::default();
        let event = JobEvent::result("7 tokens", stats);
        streams.followed(&job(), None, 1, &event, Timestamp::UNIX_EPOCH);
        assert_eq!(
            streams.job(&job()).unwrap().stats.as_ref().map(|it| it.generated_tokens),
            Some(7)
        );
    }
}
