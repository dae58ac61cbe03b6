//! A job's stream as it came over the wire, and what must hold of every one.

use anyhow::{Context as _, ensure};
use protocol::job::{End, EndMarker, JobEvent};
use serde_json::Value;

/// A whole job, read from the raw bytes of its stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript {
    /// Every event, in the order of its number.
    pub events: Vec<JobEvent>,
    /// How it ended.
    pub end: EndMarker,
}

impl Transcript {
    /// Reads the stream that a client of server-sent events gets, and holds it
    /// to the invariants: numbers from `after + 1` on without a hole, none of
    /// them twice, and exactly one end, which is last and has no number.
    pub fn parse(raw: &str, after: u64) -> anyhow::Result<Self> {
        let mut events = Vec::new();
        let mut end = None;
        let mut number = after;
        let blocks = raw.strip_suffix("\n\n").context("the stream ends inside an event")?;
        for block in blocks.split("\n\n").filter(|block| !is_aside(block)) {
            ensure!(end.is_none(), "something comes after the end: {block}");
            if let Some(data) = block.strip_prefix("data: ") {
                end = End::parse(data);
                ensure!(end.is_some(), "an event without a number: {block}");
                continue;
            }
            let (id, data) = block
                .strip_prefix("id: ")
                .and_then(|rest| rest.split_once("\ndata: "))
                .with_context(|| format!("neither an event nor an aside: {block}"))?;
            ensure!(!data.contains('\n'), "an event of more than one line: {block}");
            number += 1;
            ensure!(id == number.to_string(), "event {id} came where {number} was due");
            events.push(serde_json::from_str(data).with_context(|| data.to_owned())?);
        }
        Ok(Self { events, end: end.with_context(|| format!("no end in: {raw}"))? })
    }

    /// The text of all tokens.
    pub fn text(&self) -> String {
        self.tokens().map(|token| token.message.as_str()).collect()
    }

    /// How many tokens there are.
    pub fn token_count(&self) -> usize {
        self.tokens().count()
    }

    /// The structured result, or null.
    pub fn result(&self) -> Value {
        self.events.iter().find_map(JobEvent::as_result).cloned().unwrap_or_default()
    }

    /// What was said besides tokens and the result.
    pub fn narration(&self) -> Vec<&str> {
        let said = self.events.iter().filter(|it| !it.is_token() && it.as_result().is_none());
        said.map(|event| event.message.as_str()).collect()
    }

    /// The line of the one error it ended with.
    pub fn error(&self) -> anyhow::Result<&str> {
        match &self.end {
            EndMarker::Error(line) => Ok(line),
            end => anyhow::bail!("it ended with {end:?}; it said {:?}", self.narration()),
        }
    }

    fn tokens(&self) -> impl Iterator<Item = &JobEvent> {
        self.events.iter().filter(|event| event.is_token())
    }
}

/// What is no event: how soon to come back, and signs of life.
fn is_aside(block: &str) -> bool {
    block.starts_with("retry: ") || block.starts_with(':')
}
