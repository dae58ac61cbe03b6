//! A recording in the place of the queen: it says what she said, and does
//! nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use protocol::{
    JobId,
    fleet::{Change, FeedEvent},
    job::{EndMarker, JobEvent, JobState},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::sleep_until,
};

use super::{
    effect::Effect,
    link::refusal,
    message::{FeedNews, JobNews, Message},
};
use crate::recording::{Clock, Heard, Recording};

const WHY_NOT: &str = "this is a recording";

/// Jobs whose text is wanted, each from which event on.
type Followed = BTreeMap<JobId, u64>;

/// A recording that is being played.
pub(crate) struct Replay {
    messages: mpsc::Sender<Message>,
    followed: watch::Sender<Followed>,
    tasks: JoinSet<()>,
}

impl Replay {
    /// Begins to play.
    pub(crate) fn start(
        recording: Arc<Recording>,
        clock: Clock,
        messages: mpsc::Sender<Message>,
    ) -> Self {
        let (followed, wanted) = watch::channel(Followed::new());
        let mut tasks = JoinSet::new();
        let player = Player { recording, clock, next: 0, following: BTreeSet::new(), wanted };
        tasks.spawn(player.play(messages.clone()));
        Self { messages, followed, tasks }
    }

    /// Answers that it cannot be done, or that it was done then.
    pub(crate) fn execute(&mut self, effect: Effect) {
        while self.tasks.try_join_next().is_some() {}
        match effect {
            Effect::Follow { job, after } => {
                self.followed.send_modify(|followed| {
                    followed.insert(job, after);
                });
            }
            Effect::Unfollow(job) => self.followed.send_modify(|followed| {
                followed.remove(&job);
            }),
            effect => {
                if let Some(answer) = refusal(&effect, WHY_NOT).or_else(|| unknown(effect)) {
                    let messages = self.messages.clone();
                    self.tasks.spawn(async move { drop(messages.send(answer).await) });
                }
            }
        }
    }
}

/// The answer to what only a living queen could say.
fn unknown(effect: Effect) -> Option<Message> {
    let no = || WHY_NOT.to_owned();
    match effect {
        Effect::ReadRequest(_) => Some(Message::Request(Err(no()))),
        Effect::ReadHosts => Some(Message::Hosts(Err(no()))),
        Effect::ReadBuild => Some(Message::Build(Err(no()))),
        Effect::Measure => Some(Message::Measured(Err(no()))),
        Effect::ReadLog(worker) => Some(Message::WorkerLog { worker, result: Err(no()) }),
        Effect::CopyToFile(_) => Some(Message::CopiedToFile(Err(no()))),
        _ => None,
    }
}

struct Player {
    recording: Arc<Recording>,
    clock: Clock,
    /// The first that was not played yet.
    next: usize,
    following: BTreeSet<JobId>,
    wanted: watch::Receiver<Followed>,
}

impl Player {
    async fn play(mut self, messages: mpsc::Sender<Message>) {
        let mut is_over = false;
        loop {
            let at = self.recording.heard.get(self.next).and_then(|it| self.clock.when(it.at));
            let due = async {
                match at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let news = tokio::select! {
                biased;
                changed = self.wanted.changed() => match changed {
                    Ok(()) => self.catch_up(),
                    Err(_) => return,
                },
                () = due => self.step(),
            };
            for message in news {
                if messages.send(message).await.is_err() {
                    return;
                }
            }
            if !is_over && self.next == self.recording.heard.len() {
                is_over = true;
                if messages.send(Message::RecordingEnded).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Plays the next piece of news.
    fn step(&mut self) -> Vec<Message> {
        let Some(heard) = self.recording.heard.get(self.next) else { return Vec::new() };
        self.next += 1;
        let mut messages = vec![Message::Feed(heard.news.clone())];
        if let Some((job, news)) = of_job(heard, self.next as u64)
            && self.following.contains(job)
        {
            messages.push(Message::Job { job: job.clone(), news: vec![news] });
        }
        messages
    }

    /// What newly followed jobs have said so far.
    fn catch_up(&mut self) -> Vec<Message> {
        let wanted = self.wanted.borrow_and_update().clone();
        self.following.retain(|job| wanted.contains_key(job));
        let played = &self.recording.heard[..self.next];
        let mut messages = Vec::new();
        for (job, after) in wanted {
            if !self.following.insert(job.clone()) {
                continue;
            }
            let of_this = played.iter().zip(1..).filter_map(|(heard, number)| {
                of_job(heard, number).filter(|(it, _)| **it == job && number > after)
            });
            let news: Vec<JobNews> = of_this.map(|(_, news)| news).collect();
            if !news.is_empty() {
                messages.push(Message::Job { job, news });
            }
        }
        messages
    }
}

/// What a job's own stream would have brought. The place in the recording
/// stands in for the event's number, which the feed does not carry.
fn of_job(heard: &Heard, number: u64) -> Option<(&JobId, JobNews)> {
    let FeedNews::Event(event) = &heard.news else { return None };
    let event_news = |event: JobEvent| JobNews::Event { number, event: Box::new(event) };
    match &**event {
        FeedEvent::Narration(said) => Some((&said.job_id, event_news(said.event.clone()))),
        FeedEvent::Token(token) => {
            let event = JobEvent::token(token.text.as_str(), token.index);
            Some((&token.job_id, event_news(event)))
        }
        FeedEvent::Job(Change::Now(record)) => {
            let end = match record.state {
                JobState::Queued | JobState::Running => return None,
                JobState::Done => EndMarker::Done,
                JobState::Cancelled => EndMarker::Cancelled,
                JobState::Failed => {
                    let why = record.error.as_ref().map(|error| error.message.clone());
                    EndMarker::Error(why.unwrap_or_else(|| "failed".to_owned()))
                }
            };
            Some((&record.id, JobNews::End(end)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protocol::{Timestamp, fleet::FeedToken};

    use super::*;
    use crate::recording::{Header, Recorder};

    fn token(job: &str, text: &str, index: u32) -> FeedNews {
        let job_id = job.parse().unwrap();
        FeedNews::Event(Box::new(FeedEvent::Token(FeedToken {
            job_id,
            text: text.to_owned(),
            index,
        })))
    }

    fn recording(news: &[FeedNews]) -> Arc<Recording> {
        let mut bytes = Vec::new();
        let header = Header::new("http://q:1", Timestamp::UNIX_EPOCH);
        let mut recorder = Recorder::begin(&mut bytes, &header).unwrap();
        for news in news {
            recorder.add(Duration::ZERO, news).unwrap();
        }
        Arc::new(Recording::read(bytes.as_slice()).unwrap())
    }

    async fn until(news: &mut mpsc::Receiver<Message>, is: impl Fn(&Message) -> bool) -> Message {
        loop {
            let message = news.recv().await.unwrap();
            if is(&message) {
                return message;
            }
        }
    }

    #[tokio::test]
    async fn a_job_that_is_opened_late_shows_what_it_had_said() {
        let recording = recording(&[
            token("job-1", "Once", 0),
            token("job-2", "x", 0),
            token("job-1", " upon", 1),
        ]);
        let (sender, mut messages) = mpsc::channel(16);
        let clock = Clock::start(&recording, "1".parse().unwrap());
        let mut replay = Replay::start(recording, clock, sender);
        until(&mut messages, |it| matches!(it, Message::RecordingEnded)).await;
        replay.execute(Effect::Follow { job: "job-1".parse().unwrap(), after: 0 });
        let Message::Job { news, .. } =
            until(&mut messages, |it| matches!(it, Message::Job { .. })).await
        else {
            panic!("not a job");
        };
        let texts: Vec<_> = news
            .iter()
            .map(|news| match news {
                JobNews::Event { event, .. } => event.message.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(texts, ["Once", " upon"]);
    }

    #[tokio::test]
    async fn nothing_can_be_done_and_the_answer_says_why() {
        let recording = recording(&[FeedNews::Connected]);
        let (sender, mut messages) = mpsc::channel(16);
        let clock = Clock::start(&recording, "1".parse().unwrap());
        let mut replay = Replay::start(recording, clock, sender);
        replay.execute(Effect::Cancel("job-1".parse().unwrap()));
        let answer = until(&mut messages, |it| matches!(it, Message::Cancelled { .. })).await;
        let Message::Cancelled { result, .. } = answer else { panic!("not an answer") };
        assert_eq!(result, Err(WHY_NOT.to_owned()));
    }
}
