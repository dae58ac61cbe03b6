//! The link to the queen: does what the dashboard wants of her, and brings
//! back what she says. It decides nothing and keeps nothing but what is under
//! way.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc};

use client::{Daemon, FeedHandle, FeedOptions, JobItem, TokenFilter};
use futures::{FutureExt, StreamExt, future::BoxFuture};
use protocol::{JobId, job::Level, operation::Operation};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};

use super::{
    effect::Effect,
    message::{JobNews, Message},
};

/// How a queen is launched on this machine. What it sends is shown while the
/// launch goes on.
pub type StartQueen =
    Arc<dyn Fn(mpsc::Sender<String>) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Events of a job taken at once when they come faster than they are drawn.
const EVENTS_AT_ONCE: usize = 256;
const READ_ONLY: &str = "this dashboard is read-only";
const LAUNCH_BROKE: &str = "the launch broke off; the keeper's log says where";
/// Lines of a launch that may wait.
const LAUNCH_LINES: usize = 64;

/// The link. Dropping it ends everything that is under way; jobs go on.
pub(crate) struct Link {
    queen: Daemon,
    start_queen: StartQueen,
    messages: mpsc::Sender<Message>,
    feed: FeedHandle,
    followed: BTreeMap<JobId, AbortHandle>,
    is_read_only: bool,
    tasks: JoinSet<()>,
}

impl Link {
    /// Begins to read the feed.
    pub(crate) fn start(
        queen: Daemon,
        start_queen: StartQueen,
        is_read_only: bool,
        messages: mpsc::Sender<Message>,
    ) -> Self {
        let options = FeedOptions { tokens: TokenFilter::None, narration: Some(Level::Info) };
        let mut stream = queen.feed(options);
        let feed = stream.handle();
        let mut tasks = JoinSet::new();
        let news = messages.clone();
        tasks.spawn(async move {
            while let Some(item) = stream.next_item().await {
                if news.send(Message::Feed(item.into())).await.is_err() {
                    return;
                }
            }
        });
        let followed = BTreeMap::new();
        Self { queen, start_queen, messages, feed, followed, is_read_only, tasks }
    }

    /// Does it. What concerns the terminal is not for the link.
    pub(crate) fn execute(&mut self, effect: Effect) {
        while self.tasks.try_join_next().is_some() {}
        if self.is_read_only
            && let Some(refusal) = refusal(&effect, READ_ONLY)
        {
            let messages = self.messages.clone();
            self.tasks.spawn(async move { drop(messages.send(refusal).await) });
            return;
        }
        match effect {
            Effect::Follow { job, after } => self.follow(job, after),
            Effect::Unfollow(job) => {
                if let Some(task) = self.followed.remove(&job) {
                    task.abort();
                }
            }
            Effect::Submit { ticket, operation } => self.submit(ticket, operation),
            Effect::Cancel(job) => self.cancel(job),
            Effect::StartQueen => self.launch(),
            Effect::Retry => self.feed.retry_now(),
            Effect::Redraw | Effect::Suspend | Effect::Quit => {}
        }
    }

    fn follow(&mut self, job: JobId, after: u64) {
        let stream = self.queen.follow(&job, after);
        let messages = self.messages.clone();
        let followed = job.clone();
        let task = self.tasks.spawn(async move {
            let mut chunks = stream.ready_chunks(EVENTS_AT_ONCE);
            let mut is_over = false;
            while let Some(items) = chunks.next().await {
                let news: Vec<JobNews> = items.into_iter().map(job_news).collect();
                is_over |= !matches!(news.last(), Some(JobNews::Event { .. }));
                let message = Message::Job { job: followed.clone(), news };
                if messages.send(message).await.is_err() {
                    return;
                }
            }
            if !is_over {
                let news = vec![JobNews::Broken("its stream ended without an end".to_owned())];
                drop(messages.send(Message::Job { job: followed, news }).await);
            }
        });
        if let Some(before) = self.followed.insert(job, task) {
            before.abort();
        }
    }

    fn submit(&mut self, ticket: u64, operation: Operation) {
        let (queen, messages) = (self.queen.clone(), self.messages.clone());
        self.tasks.spawn(async move {
            let result = queen.submit(&operation).await;
            let result = result.map(|it| it.job_id).map_err(|error| error.one_line());
            drop(messages.send(Message::Submitted { ticket, result }).await);
        });
    }

    fn cancel(&mut self, job: JobId) {
        let (queen, messages) = (self.queen.clone(), self.messages.clone());
        self.tasks.spawn(async move {
            let result = queen.cancel(&job).await.map_err(|error| error.one_line());
            drop(messages.send(Message::Cancelled { job, result }).await);
        });
    }

    fn launch(&mut self) {
        let (sender, mut lines) = mpsc::channel(LAUNCH_LINES);
        // Whatever becomes of the launch, the dashboard has to hear that it is over.
        let launch = AssertUnwindSafe((self.start_queen)(sender)).catch_unwind();
        let mut launch = launch.map(|it| it.unwrap_or_else(|_| Err(LAUNCH_BROKE.to_owned())));
        let messages = self.messages.clone();
        self.tasks.spawn(async move {
            let result = loop {
                tokio::select! {
                    biased;
                    Some(line) = lines.recv() => {
                        drop(messages.send(Message::StartLine(line)).await);
                    }
                    result = &mut launch => break result,
                }
            };
            while let Ok(line) = lines.try_recv() {
                drop(messages.send(Message::StartLine(line)).await);
            }
            drop(messages.send(Message::StartEnded(result)).await);
        });
    }
}

/// The answer to whatever would change something; `None` if it only looks.
pub(crate) fn refusal(effect: &Effect, why: &str) -> Option<Message> {
    match effect {
        Effect::Submit { ticket, .. } => {
            Some(Message::Submitted { ticket: *ticket, result: Err(why.to_owned()) })
        }
        Effect::Cancel(job) => {
            Some(Message::Cancelled { job: job.clone(), result: Err(why.to_owned()) })
        }
        Effect::StartQueen => Some(Message::StartEnded(Err(why.to_owned()))),
        Effect::Follow { .. }
        | Effect::Unfollow(_)
        | Effect::Retry
        | Effect::Redraw
        | Effect::Suspend
        | Effect::Quit => None,
    }
}

fn job_news(item: Result<JobItem, client::ClientError>) -> JobNews {
    match item {
        Ok(JobItem::Event { number, event }) => JobNews::Event { number, event: Box::new(event) },
        Ok(JobItem::End(end)) => JobNews::End(end),
        Err(error) => JobNews::Broken(error.one_line()),
    }
}
