//! A recording of the feed: lines of JSON, the first about the recording, each
//! of the others one piece of news with the time since the beginning.
//!
//! ```text
//! {"rbee_recording":1,"version":"0.1.0","queen":"http://…","started_at":"2026-…Z"}
//! {"at_ms":0,"event":"connected"}
//! {"at_ms":2,"event":"snapshot","data":{…}}
//! {"at_ms":730,"event":"worker","data":{…}}
//! {"at_ms":9000,"event":"disconnected","data":{"cause":"…","attempt":1,"retry_in_ms":412}}
//! ```
//!
//! `event` and `data` are the feed's own; `connected`, `disconnected` and
//! `undecodable` are what became of its connection. An event with a name that
//! is not known comes from a newer version and is passed over.

use std::{
    io::{self, BufRead, Write},
    time::Duration,
};

use protocol::{Timestamp, fleet::FeedEvent};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::news::FeedNews;

/// The version of the format. Within it fields are added, never changed.
const FORMAT: u32 = 1;
/// A snapshot of ten thousand workers has 10 MB.
const LINE_BYTES_MAX: u64 = 64 << 20;
/// All of it is held in memory, so that a job's text can be looked up.
const BYTES_MAX: u64 = 512 << 20;

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    rbee_recording: u32,
    /// The version of the keeper that made it.
    pub version: String,
    /// The queen's address.
    pub queen: String,
    /// When it begins.
    pub started_at: Timestamp,
}

impl Header {
    /// Of a recording that begins now.
    pub fn new(queen: impl Into<String>, started_at: Timestamp) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { rbee_recording: FORMAT, version, queen: queen.into(), started_at }
    }
}

#[derive(Serialize, Deserialize)]
struct Line {
    at_ms: u64,
    event: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    data: Value,
}

#[derive(Deserialize)]
struct Lost {
    cause: String,
    attempt: u32,
    retry_in_ms: u64,
}

#[derive(Deserialize)]
struct Undecodable {
    name: String,
    error: String,
}

/// Why a recording cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// It cannot be read at all.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("it is not a recording: the first line is not `{{\"rbee_recording\":1,…}}`")]
    NoHeader,
    /// A newer version made it.
    #[error("it is of format {0}, and this version knows {FORMAT}")]
    Newer(u32),
    /// A line is not what it should be.
    #[error("line {number}: {problem}")]
    Line {
        /// Which.
        number: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// It does not fit into memory.
    #[error("it is larger than {} MiB", BYTES_MAX >> 20)]
    TooLarge,
}

/// Writes a recording, line by line.
#[derive(Debug)]
pub struct Recorder<W: Write> {
    file: W,
    lines: u64,
}

impl<W: Write> Recorder<W> {
    /// Begins one.
    pub fn begin(mut file: W, header: &Header) -> io::Result<Self> {
        write_line(&mut file, header)?;
        Ok(Self { file, lines: 0 })
    }

    /// Adds what came `at` this time since the beginning.
    pub fn add(&mut self, at: Duration, news: &FeedNews) -> io::Result<()> {
        let (event, data) = match news {
            FeedNews::Connected => ("connected", Value::Null),
            FeedNews::Event(event) => (event.name(), serde_json::from_str(&event.data()?)?),
            FeedNews::Disconnected { cause, attempt, retry_in } => {
                let retry_in_ms = milliseconds(*retry_in);
                let data = json!({"cause": cause, "attempt": attempt, "retry_in_ms": retry_in_ms});
                ("disconnected", data)
            }
            FeedNews::Undecodable { name, error } => {
                ("undecodable", json!({"name": name, "error": error}))
            }
        };
        let line = Line { at_ms: milliseconds(at), event: event.to_owned(), data };
        write_line(&mut self.file, &line)?;
        self.lines += 1;
        Ok(())
    }

    /// How much was added.
    pub fn lines(&self) -> u64 {
        self.lines
    }
}

/// A line is whole on the disk before the next begins.
fn write_line(file: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    file.write_all(&bytes)?;
    file.flush()
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A piece of news and when it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// Since the beginning.
    pub at: Duration,
    /// What.
    pub news: FeedNews,
}

/// A recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// Where and when it was made.
    pub header: Header,
    /// In the order it came.
    pub heard: Vec<Heard>,
    /// Whether its last line was not written to its end.
    pub is_cut_off: bool,
}

impl Recording {
    /// Reads one.
    pub fn read(mut file: impl BufRead) -> Result<Self, RecordingError> {
        let mut line = Vec::new();
        let mut bytes = next_line(&mut file, &mut line)?;
        let header: Value = serde_json::from_slice(&line).unwrap_or_default();
        match header.get("rbee_recording").and_then(Value::as_u64) {
            Some(1) => {}
            Some(newer) => {
                return Err(RecordingError::Newer(u32::try_from(newer).unwrap_or(u32::MAX)));
            }
            None => return Err(RecordingError::NoHeader),
        }
        let header = serde_json::from_value(header)
            .map_err(|error| RecordingError::Line { number: 1, problem: error.to_string() })?;
        let mut recording = Self { header, heard: Vec::new(), is_cut_off: false };
        let mut number = 1;
        let mut last = Duration::ZERO;
        loop {
            number += 1;
            bytes += next_line(&mut file, &mut line)?;
            if bytes > BYTES_MAX {
                return Err(RecordingError::TooLarge);
            }
            if line.is_empty() {
                return Ok(recording);
            }
            let heard = match heard(&line) {
                Ok(heard) => heard,
                Err(_) if line.last() != Some(&b'\n') => {
                    recording.is_cut_off = true;
                    return Ok(recording);
                }
                Err(problem) => return Err(RecordingError::Line { number, problem }),
            };
            if let Some(heard) = heard {
                if heard.at < last {
                    let problem = "`at_ms` goes back".to_owned();
                    return Err(RecordingError::Line { number, problem });
                }
                last = heard.at;
                recording.heard.push(heard);
            }
        }
    }

    /// How long it is.
    pub fn length(&self) -> Duration {
        self.heard.last().map(|heard| heard.at).unwrap_or_default()
    }

    /// What the time of day was at a place in it. Behind its end it stands
    /// still, because nothing is known of what became older since.
    pub fn time(&self, at: Duration) -> Timestamp {
        let started_at = self.header.started_at;
        started_at.checked_add(at.min(self.length())).unwrap_or(started_at)
    }
}

fn next_line(file: &mut impl BufRead, line: &mut Vec<u8>) -> Result<u64, RecordingError> {
    line.clear();
    io::Read::take(file, LINE_BYTES_MAX).read_until(b'\n', line)?;
    Ok(line.len() as u64)
}

/// Reads a line; `None` for an event from a newer version.
fn heard(line: &[u8]) -> Result<Option<Heard>, String> {
    let text = |error: serde_json::Error| error.to_string();
    let Line { at_ms, event, data } = serde_json::from_slice(line).map_err(text)?;
    let news = match event.as_str() {
        "connected" => FeedNews::Connected,
        "disconnected" => {
            let Lost { cause, attempt, retry_in_ms } =
                serde_json::from_value(data).map_err(text)?;
            FeedNews::Disconnected { cause, attempt, retry_in: Duration::from_millis(retry_in_ms) }
        }
        "undecodable" => {
            let Undecodable { name, error } = serde_json::from_value(data).map_err(text)?;
            FeedNews::Undecodable { name, error }
        }
        name => match FeedEvent::parse(name, &data.to_string()).map_err(text)? {
            Some(event) => FeedNews::Event(Box::new(event)),
            None => return Ok(None),
        },
    };
    Ok(Some(Heard { at: Duration::from_millis(at_ms), news }))
}

/// How fast a recording is played: 1 as it was, 0 all at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed(f64);

impl std::str::FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_usable = |speed: &f64| *speed == 0.0 || (0.01..=1_000.0).contains(speed);
        let speed = text.parse().ok().filter(is_usable).map(Self);
        speed.ok_or_else(|| "must be 0.01 to 1000, or 0 for all at once".to_owned())
    }
}

/// Where the playing of a recording is. Behind its end time goes on as it does
/// everywhere.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began: Instant,
    speed: Speed,
    length: Duration,
}

impl Clock {
    /// Begins to play.
    pub fn start(recording: &Recording, speed: Speed) -> Self {
        Self { began: Instant::now(), speed, length: recording.length() }
    }

    /// The place that is reached at this time.
    pub fn place(&self, now: Instant) -> Duration {
        let end = self.began + self.played(self.length);
        if now >= end {
            return self.length + (now - end);
        }
        let played = now.saturating_duration_since(self.began).as_secs_f64() * self.speed.0;
        Duration::try_from_secs_f64(played).unwrap_or_default().min(self.length)
    }

    /// When this place is reached; `None` if that is too far away to say.
    pub fn when(&self, place: Duration) -> Option<Instant> {
        let behind = place.saturating_sub(self.length);
        let played = self.played(place.min(self.length));
        self.began.checked_add(played)?.checked_add(behind)
    }

    /// How long it takes to play this much.
    fn played(&self, length: Duration) -> Duration {
        if self.speed.0 == 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(length.as_secs_f64() / self.speed.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use protocol::fleet::Snapshot;

    use super::*;

    fn news() -> Vec<(u64, FeedNews)> {
        let snapshot = FeedEvent::Snapshot(Box::<Snapshot>::default());
        let lost = FeedNews::Disconnected {
            cause: "connection refused".to_owned(),
            attempt: 1,
            retry_in: Duration::from_millis(412),
        };
        let unread = FeedNews::Undecodable { name: "worker".to_owned(), error: "no id".to_owned() };
        vec![
            (0, FeedNews::Connected),
            (2, FeedNews::Event(Box::new(snapshot))),
            (700, FeedNews::Event(Box::new(FeedEvent::Lagged))),
            (800, unread),
            (9_000, lost),
        ]
    }

    fn recorded() -> String {
        let mut bytes = Vec::new();
        let header = Header::new("http://q:1", Timestamp::UNIX_EPOCH);
        let mut recorder = Recorder::begin(&mut bytes, &header).unwrap();
        for (at, news) in news() {
            recorder.add(Duration::from_millis(at), &news).unwrap();
        }
        assert_eq!(recorder.lines(), 5);
        String::from_utf8(bytes).unwrap()
    }

    fn read(text: &str) -> Result<Recording, RecordingError> {
        Recording::read(text.as_bytes())
    }

    #[test]
    fn what_was_recorded_is_what_is_played() {
        let recording = read(&recorded()).unwrap();
        let heard: Vec<_> =
            recording.heard.iter().map(|it| (milliseconds(it.at), it.news.clone())).collect();
        assert_eq!(heard, news());
        assert!(!recording.is_cut_off);
        assert_eq!(recording.length(), Duration::from_secs(9));
        assert_eq!(recording.time(Duration::from_secs(8)).as_second(), 8);
        assert_eq!(recording.time(Duration::from_secs(99)).as_second(), 9);
    }

    #[test]
    fn a_line_that_was_not_written_to_its_end_is_told_and_left_out() {
        let whole = recorded();
        let recording = read(&whole[..whole.len() - 10]).unwrap();
        assert!(recording.is_cut_off);
        assert_eq!(recording.heard.len(), 4);
        // Only the line's end is missing.
        let recording = read(whole.trim_end()).unwrap();
        assert_eq!((recording.is_cut_off, recording.heard.len()), (false, 5));
    }

    #[test]
    fn the_recording_of_the_readme_can_be_played() {
        let file = include_str!("../../assets/recordings/first-answer.ndjson");
        let recording = read(file).unwrap();
        let is_token = |heard: &&Heard| matches!(&heard.news, FeedNews::Event(event) if matches!(**event, FeedEvent::Token(_)));
        assert!(!recording.is_cut_off);
        assert!(recording.heard.iter().filter(is_token).count() > 100);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let header = recorded().lines().next().unwrap().to_owned();
        for (text, problem) in [
            (String::new(), "not a recording"),
            ("{\"v\":1}\n".to_owned(), "not a recording"),
            ("{\"rbee_recording\":2}\n".to_owned(), "format 2"),
            (format!("{header}\nnonsense\n{{}}\n"), "line 2"),
            (format!("{header}\n{{\"at_ms\":1,\"event\":\"worker\",\"data\":{{}}}}\n"), "line 2"),
            (
                format!(
                    "{header}\n{{\"at_ms\":5,\"event\":\"connected\"}}\n{{\"at_ms\":4,\"event\":\"connected\"}}\n"
                ),
                "line 3: `at_ms` goes back",
            ),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
        let newer = format!("{header}\n{{\"at_ms\":1,\"event\":\"weather\",\"data\":{{}}}}\n");
        assert!(read(&newer).unwrap().heard.is_empty());
    }

    #[test]
    fn the_clock_goes_at_its_speed_and_as_usual_behind_the_end() {
        let recording = read(&recorded()).unwrap();
        let seconds = Duration::from_secs;
        let clock = Clock::start(&recording, "2".parse().unwrap());
        assert_eq!(clock.place(clock.began + seconds(3)), seconds(6));
        assert_eq!(clock.when(seconds(6)), Some(clock.began + seconds(3)));
        // Half a second behind the end.
        let late = clock.began + seconds(5);
        assert_eq!(clock.place(late), Duration::from_millis(9_500));
        assert_eq!(clock.when(Duration::from_millis(9_500)), Some(late));
        let clock = Clock::start(&recording, "0".parse().unwrap());
        assert_eq!(clock.place(clock.began), seconds(9));
        assert_eq!(clock.when(seconds(9)), Some(clock.began));
        for bad in ["-1", "nan", "fast", "1e9"] {
            assert!(bad.parse::<Speed>().is_err(), "{bad}");
        }
    }
}
