//! `record` and `replay`: the feed kept in a file, and what is in such a file.

use std::{
    fs::{File, OpenOptions},
    io::{BufReader, ErrorKind},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use client::{FeedOptions, TokenFilter};
use protocol::{Timestamp, job::Level};
use serde_json::json;

use super::{
    Cx, Wanted,
    args::{RecordArgs, ReplayArgs},
    exit::{Exit, Failure, Outcome},
    interrupt::Asked,
    output::{Format, Report},
    table::duration,
    watch::{Reading, Telling},
};
use crate::{
    news::FeedNews,
    recording::{Clock, Header, Recorder, Recording},
};

/// `record FILE`
pub async fn record(cx: &mut Cx, args: &RecordArgs) -> Outcome {
    let queen = cx.queen(Wanted::Running).await?;
    let tokens = if args.no_tokens { TokenFilter::None } else { TokenFilter::All };
    let options = FeedOptions { tokens, narration: Some(Level::Info) };
    let mut feed = Reading::new(cx.feed(&queen, options), cx.deadline);
    // A file is made for a feed that came about.
    let mut item = Some(feed.next().await?);
    let _attention = cx.interrupts.attend();
    let file = create(&args.file)?;
    let began = Instant::now();
    let unwritten = |error: std::io::Error| {
        let file = args.file.display();
        Failure::new(Exit::Failed, "output", format!("cannot write {file}: {error}"))
    };
    let header = Header::new(queen.base_url(), Timestamp::now());
    let mut recorder = Recorder::begin(file, &header).map_err(unwritten)?;
    let until = args.duration.map(|length| tokio::time::Instant::from(began + length));
    if until.is_none() {
        cx.out.hint(&format!("recording to {}; Ctrl-C ends it", args.file.display()))?;
    }
    let time_is_up = async move {
        match until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(time_is_up);
    loop {
        let next = match item.take() {
            Some(item) => item,
            None => tokio::select! {
                biased;
                _ = cx.interrupts.beyond(Asked::default()) => break,
                () = &mut time_is_up => break,
                item = feed.next() => item?,
            },
        };
        let news = FeedNews::from(next);
        if let FeedNews::Disconnected { cause, .. } = &news {
            cx.out.say(&format!("the queen is lost: {cause}; the recording goes on"))?;
        }
        recorder.add(began.elapsed(), &news).map_err(unwritten)?;
    }
    let (events, length) = (recorder.lines(), began.elapsed());
    let file = args.file.display().to_string();
    let line = format!("{file}: {events} events in {}", duration(length));
    let milliseconds = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let document = json!({"file": file, "events": events, "length_ms": milliseconds});
    cx.out.report(None, &Report::line(document, vec![file], line))?;
    Ok(Exit::Done)
}

/// What jobs said and generated is nobody else's business, and what is there
/// is not written over.
fn create(path: &Path) -> Result<File, Failure> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    created.map_err(|error| {
        let message = format!("cannot create {}: {error}", path.display());
        let failure = Failure::new(Exit::Failed, "output", message);
        if error.kind() == ErrorKind::AlreadyExists {
            Failure { exit: Exit::Usage, ..failure }
                .with_hint("choose another name, or remove it first")
        } else {
            failure
        }
    })
}

/// Reads a recording from a file.
pub fn load(path: &Path) -> Result<Recording, Failure> {
    let file = File::open(path).map_err(|error| {
        let exit = if error.kind() == ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        Failure::new(exit, "recording", format!("cannot open {}: {error}", path.display()))
    })?;
    Recording::read(BufReader::new(file)).map_err(|error| {
        let failure = Failure::local("recording", &error);
        Failure { message: format!("{}: {}", path.display(), failure.message), ..failure }
    })
}

/// What has to be said of a recording before it is played.
pub fn cut_off(path: &Path) -> String {
    format!("{}: the last line was not written to its end and is left out", path.display())
}

/// `replay FILE` without the dashboard.
pub async fn replay(cx: &mut Cx, args: &ReplayArgs) -> Outcome {
    let mut telling = Telling::new(&cx.out, cx.options.plain)?;
    let recording = load(&args.file)?;
    if recording.is_cut_off {
        cx.out.say(&cut_off(&args.file))?;
    }
    let clock = Clock::start(&recording, args.speed);
    for heard in &recording.heard {
        if let Some(at) = clock.when(heard.at).filter(|at| *at > tokio::time::Instant::now()) {
            tokio::time::sleep_until(at).await;
        }
        telling.tell(&mut cx.out, &heard.news, recording.time(heard.at))?;
    }
    if cx.out.format() == Format::Ndjson {
        let length = u64::try_from(recording.length().as_millis()).unwrap_or(u64::MAX);
        let document = json!({
            "events": recording.heard.len(), "length_ms": length, "is_cut_off": recording.is_cut_off,
        });
        cx.out.report(None, &Report::line(document, Vec::new(), ""))?;
    } else {
        let length = duration(recording.length().max(Duration::ZERO));
        cx.out.hint(&format!("the recording ends here, after {length}"))?;
    }
    Ok(Exit::Done)
}
