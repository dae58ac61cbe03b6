//! `status --watch`: the feed, for a person line by line, for a program event
//! by event.

use client::{Daemon, FeedItem, FeedOptions, TokenFilter};
use protocol::{
    Timestamp,
    deadline::Deadline,
    fleet::{Change, FeedEvent, Narration},
    job::{JobEvent, Level},
};
use serde_json::{Map, Value, json};

use super::{
    Cx, Wanted,
    changes::Changes,
    exit::{Failure, Outcome},
    output::{Format, Output},
    render,
};
use crate::{feed::Feed, news::FeedNews};

/// `status --watch`
pub async fn watch(cx: &mut Cx) -> Outcome {
    let mut telling = Telling::new(&cx.out, cx.options.plain)?;
    let queen = cx.queen(Wanted::Running).await?;
    let narration = Some(if cx.options.verbose > 0 { Level::Debug } else { Level::Info });
    let options = FeedOptions { tokens: TokenFilter::None, narration };
    let mut feed = Reading::new(cx.feed(&queen, options), cx.deadline);
    loop {
        let news = feed.next().await?.into();
        telling.tell(&mut cx.out, &news, Timestamp::now())?;
    }
}

/// The feed as a command reads it: one that never came about is an error, one
/// that breaks off later comes back, and `--timeout` ends it.
pub struct Reading {
    feed: Feed,
    deadline: Option<Deadline>,
    was_connected: bool,
}

impl Reading {
    /// This feed, until then.
    pub fn new(feed: Feed, deadline: Option<Deadline>) -> Self {
        Self { feed, deadline, was_connected: false }
    }

    /// What comes next.
    pub async fn next(&mut self) -> Outcome<FeedItem> {
        let item = match self.deadline {
            None => self.feed.next_item().await,
            Some(deadline) => {
                let at = deadline.instant().into();
                let item = tokio::time::timeout_at(at, self.feed.next_item()).await;
                item.map_err(|_| deadline.exceeded())?
            }
        };
        match item {
            FeedItem::Disconnected { error, .. } if !self.was_connected => Err(error.into()),
            item => {
                self.was_connected = true;
                Ok(item)
            }
        }
    }

    /// The queen who is read.
    pub fn queen(&self) -> Daemon {
        self.feed.handle().queen()
    }
}

/// How the feed is told.
pub struct Telling {
    changes: Changes,
    is_plain: bool,
    is_begun: bool,
}

impl Telling {
    /// In the form that `out` has. An endless answer is no document.
    pub fn new(out: &Output, is_plain: bool) -> Result<Self, Failure> {
        if matches!(out.format(), Format::Json | Format::Name) {
            return Err(Failure::usage(
                "what goes on for ever has no end that `-o json` and `-o name` wait for",
            )
            .with_hint("-o ndjson writes one event a line"));
        }
        let changes = if is_plain { Changes::from_nothing() } else { Changes::default() };
        Ok(Self { changes, is_plain, is_begun: false })
    }

    /// Tells one piece of news that came at `at`.
    pub fn tell(&mut self, out: &mut Output, news: &FeedNews, at: Timestamp) -> Outcome<()> {
        if out.format() == Format::Ndjson {
            return event(out, news, at);
        }
        if let FeedNews::Event(event) = news
            && let FeedEvent::Snapshot(snapshot) = &**event
            && !std::mem::replace(&mut self.is_begun, true)
            && !self.is_plain
        {
            out.report(None, &render::fleet(snapshot, Value::Null))?;
        }
        for line in self.changes.hear(news, at) {
            out.change(&line)?;
        }
        Ok(())
    }
}

/// News as one line of JSON.
fn event(out: &mut Output, news: &FeedNews, at: Timestamp) -> Outcome<()> {
    let mut job = None;
    let (kind, fields) = match news {
        FeedNews::Connected => ("connection", json!({"state": "connected"})),
        FeedNews::Disconnected { cause, attempt, retry_in } => {
            let retry_in = u64::try_from(retry_in.as_millis()).unwrap_or(u64::MAX);
            let state = "lost";
            (
                "connection",
                json!({"state": state, "message": cause, "attempt": attempt, "retry_in_ms": retry_in}),
            )
        }
        FeedNews::Undecodable { name, error } => {
            let message = format!("the queen sent a `{name}` that is not understood: {error}");
            return out.narrate(None, &JobEvent::new("feed", message).level(Level::Warn));
        }
        FeedNews::Event(event) => match &**event {
            FeedEvent::Narration(Narration { job_id, event }) => {
                return match event.progress() {
                    Some(progress) => out.progress(job_id, event, &progress),
                    None => out.narrate(Some(job_id), event),
                };
            }
            FeedEvent::Token(token) => {
                return out
                    .token(&token.job_id, &JobEvent::token(token.text.as_str(), token.index));
            }
            event => {
                if let FeedEvent::Job(change) = event {
                    job = match change {
                        Change::Now(record) => Some(record.id.clone()),
                        Change::Gone(gone) => gone.id.parse().ok(),
                    };
                }
                let data = event.data().ok().and_then(|data| serde_json::from_str(&data).ok());
                let data: Value = data.unwrap_or_default();
                (event.name(), json!({ "data": data }))
            }
        },
    };
    let fields = match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    out.event(kind, job.as_ref(), at, fields)
}
