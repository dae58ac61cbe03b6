//! The link to the queen: does what the dashboard wants of her, and brings
//! back what she says. It decides nothing and keeps nothing but what is under
//! way.

use std::{
    collections::BTreeMap, panic::AssertUnwindSafe, path::PathBuf, sync::Arc, time::Duration,
};

use client::{Daemon, FeedOptions, JobItem, TokenFilter};
use config::ssh_config;
use futures::{FutureExt, StreamExt, future::BoxFuture};
use protocol::{
    JobId, WorkerId,
    job::Level,
    logs::{LINES_MAX, LogQuery},
    operation::Operation,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, timeout},
};

use super::{
    effect::Effect,
    message::{JobNews, Message},
};
use crate::feed::{Feed, FeedHandle, FindQueen};

/// How a queen is launched on this machine. What it sends is shown while the
/// launch goes on.
pub type StartQueen =
    Arc<dyn Fn(mpsc::Sender<String>) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Events of a job taken at once when they come faster than they are drawn.
const EVENTS_AT_ONCE: usize = 256;
const READ_ONLY: &str = "this dashboard is read-only";
const LAUNCH_BROKE: &str = "the launch broke off; the keeper's log says where";
/// Pages of a log that may fail in a row, and how long is waited after the
/// first; after the second twice as long, and so on.
const LOG_FAILURES: u32 = 3;
const LOG_RETRY: Duration = Duration::from_secs(1);
/// How long reading `~/.ssh/config` may take.
const HOSTS_WITHIN: Duration = Duration::from_secs(5);
/// Lines of a launch that may wait.
const LAUNCH_LINES: usize = 64;

/// The link. Dropping it ends everything that is under way; jobs go on.
pub(crate) struct Link {
    start_queen: StartQueen,
    copy_file: PathBuf,
    messages: mpsc::Sender<Message>,
    feed: FeedHandle,
    followed: BTreeMap<JobId, AbortHandle>,
    log: Option<AbortHandle>,
    is_read_only: bool,
    tasks: JoinSet<()>,
}

impl Link {
    /// Begins to read the feed.
    pub(crate) fn start(
        queen: Daemon,
        find_queen: FindQueen,
        start_queen: StartQueen,
        copy_file: PathBuf,
        is_read_only: bool,
        messages: mpsc::Sender<Message>,
    ) -> Self {
        let options = FeedOptions { tokens: TokenFilter::None, narration: Some(Level::Info) };
        let mut stream = Feed::new(queen, options, find_queen);
        let feed = stream.handle();
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let (messages, feed) = (messages.clone(), feed.clone());
            async move {
                let mut address = feed.queen().base_url().to_owned();
                loop {
                    let item = stream.next_item().await;
                    let queen = feed.queen();
                    if queen.base_url() != address {
                        address = queen.base_url().to_owned();
                        drop(messages.send(Message::Moved(address.clone())).await);
                    }
                    if messages.send(Message::Feed(item.into())).await.is_err() {
                        return;
                    }
                }
            }
        });
        let followed = BTreeMap::new();
        Self { start_queen, copy_file, messages, feed, followed, log: None, is_read_only, tasks }
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
            Effect::Submit { ticket, operation } => self.ask(|queen| async move {
                Message::Submitted { ticket, result: submit(&queen, &operation).await }
            }),
            Effect::Act { ticket, operation } => self.ask(|queen| async move {
                Message::Acted { ticket, result: submit(&queen, &operation).await }
            }),
            Effect::ActAgain { ticket, job } => self.ask(|queen| async move {
                let result = match read_request(&queen, &job).await {
                    Ok(operation) => submit(&queen, &operation).await,
                    Err(cause) => Err(cause),
                };
                Message::Acted { ticket, result }
            }),
            Effect::Cancel(job) => self.ask(|queen| async move {
                let result = queen.cancel(&job).await.map_err(|error| error.one_line());
                Message::Cancelled { job, result }
            }),
            Effect::StopQueen => self.ask(|queen| async move {
                let result = queen.shutdown(&[]).await.map_err(|error| error.one_line());
                Message::QueenStopping(result)
            }),
            Effect::CopyToFile(text) => self.copy_to_file(text),
            Effect::ReadRequest(job) => {
                self.ask(|queen| async move { Message::Request(read_request(&queen, &job).await) })
            }
            Effect::ReadHosts => self.ask(|_| async { Message::Hosts(read_hosts().await) }),
            Effect::ReadBuild => self.ask(|queen| async move {
                Message::Build(queen.build_info().await.map_err(|error| error.one_line()))
            }),
            Effect::Measure => self.ask(|queen| async move {
                let begun = Instant::now();
                let answer = queen.health().await.map(|_| begun.elapsed());
                Message::Measured(answer.map_err(|error| error.one_line()))
            }),
            Effect::ReadLog(worker) => {
                self.leave_log();
                let (queen, messages) = (self.feed.queen(), self.messages.clone());
                self.log = Some(self.tasks.spawn(read_log(queen, worker, messages)));
            }
            Effect::LeaveLog => self.leave_log(),
            Effect::StartQueen => self.launch(),
            Effect::Retry => self.feed.retry_now(),
            Effect::Copy(_)
            | Effect::Page(_)
            | Effect::EditConfig
            | Effect::Mouse(_)
            | Effect::Redraw
            | Effect::Suspend
            | Effect::Quit => {}
        }
    }

    fn follow(&mut self, job: JobId, after: u64) {
        let stream = self.feed.queen().follow(&job, after);
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

    /// Puts one question to the queen and brings back the answer.
    fn ask<F>(&mut self, question: impl FnOnce(Daemon) -> F)
    where
        F: Future<Output = Message> + Send + 'static,
    {
        let messages = self.messages.clone();
        let answer = question(self.feed.queen());
        self.tasks.spawn(async move {
            drop(messages.send(answer.await).await);
        });
    }

    fn leave_log(&mut self) {
        if let Some(task) = self.log.take() {
            task.abort();
        }
    }

    fn copy_to_file(&mut self, text: String) {
        let (path, messages) = (self.copy_file.clone(), self.messages.clone());
        self.tasks.spawn(async move {
            let written = tokio::fs::write(&path, text).await;
            let shown = path.display().to_string();
            let result = written.map_err(|error| format!("{shown}: {error}")).map(|()| shown);
            drop(messages.send(Message::CopiedToFile(result)).await);
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

/// Reads the names of the hosts that the operator's ssh knows. On a thread of
/// its own: a home folder whose server is away must hold nobody up, not even
/// who leaves.
async fn read_hosts() -> Result<Vec<String>, String> {
    let home = std::env::home_dir().ok_or("there is no home folder")?;
    let (answer, answered) = oneshot::channel();
    let read = move || {
        let names = ssh_config::names(&home.join(".ssh/config"), &home);
        // Whoever asked may have gone away meanwhile.
        let _ = answer.send(names);
    };
    let thread = std::thread::Builder::new().name("ssh-config".to_owned()).spawn(read);
    thread.map_err(|error| format!("no thread to read it: {error}"))?;
    match timeout(HOSTS_WITHIN, answered).await {
        Ok(Ok(names)) => Ok(names),
        Ok(Err(_)) => Err("reading it broke off".to_owned()),
        Err(_) => Err(format!("it could not be read within {} s", HOSTS_WITHIN.as_secs())),
    }
}

async fn submit(queen: &Daemon, operation: &Operation) -> Result<JobId, String> {
    let created = queen.submit(operation).await;
    created.map(|it| it.job_id).map_err(|error| error.one_line())
}

/// Only the queen knows what was asked of a job: no feed carries prompts.
async fn read_request(queen: &Daemon, job: &JobId) -> Result<Operation, String> {
    let details = queen.job(job).await.map_err(|error| error.one_line())?;
    details.again().map_err(|error| error.one_line())
}

/// Reads a worker's log page by page until too many pages in a row have failed.
async fn read_log(queen: Daemon, worker: WorkerId, messages: mpsc::Sender<Message>) {
    let mut query = LogQuery { lines: LINES_MAX, after: None, follow: false };
    let mut failures = 0;
    loop {
        let result = queen.worker_logs(&worker, &query).await;
        let result = match result {
            Ok(page) => {
                failures = 0;
                query.after = Some(page.next);
                query.follow = true;
                if page.lines.is_empty() {
                    continue;
                }
                Ok(page.lines)
            }
            Err(_) if failures < LOG_FAILURES => {
                failures += 1;
                sleep(LOG_RETRY * failures).await;
                continue;
            }
            Err(error) => Err(error.one_line()),
        };
        let is_over = result.is_err();
        let message = Message::WorkerLog { worker: worker.clone(), result };
        if messages.send(message).await.is_err() || is_over {
            return;
        }
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
        Effect::Act { ticket, .. } | Effect::ActAgain { ticket, .. } => {
            Some(Message::Acted { ticket: *ticket, result: Err(why.to_owned()) })
        }
        Effect::StopQueen => Some(Message::QueenStopping(Err(why.to_owned()))),
        Effect::StartQueen => Some(Message::StartEnded(Err(why.to_owned()))),
        Effect::Follow { .. }
        | Effect::Unfollow(_)
        | Effect::ReadHosts
        | Effect::ReadRequest(_)
        | Effect::ReadBuild
        | Effect::Measure
        | Effect::ReadLog(_)
        | Effect::LeaveLog
        | Effect::Copy(_)
        | Effect::CopyToFile(_)
        | Effect::Page(_)
        | Effect::EditConfig
        | Effect::Mouse(_)
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
