//! Where everything goes that a command says.
//!
//! **stdout is the answer; stderr is narration, progress and warnings.** With
//! `-o ndjson` all of it is stdout, one object a line, and the last line is
//! always a `result` or an `error`; with `-o json` stdout is one document.
//!
//! Nothing else in the command line writes to a stream, so nothing else can
//! forget to make foreign text harmless or to handle a reader that left.

mod lines;

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use clap::ValueEnum;
use protocol::{
    JobId, Timestamp,
    job::{JobEvent, Level, Progress},
};
use serde_json::{Map, Value, json};

pub use self::lines::progress_text;
use self::lines::{clock, event_text, failure_text, log_line, shown};
use super::{
    changes::Line,
    exit::{Exit, Failure, Outcome, Stop},
    table::Table,
    terminal::{Look, Tone},
};
use crate::text;

/// `--output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For a person.
    #[default]
    Human,
    /// For a person with a wide terminal: more columns.
    Wide,
    /// Only names and ids, one a line.
    Name,
    /// One JSON document at the end.
    Json,
    /// One JSON object a line, as things happen.
    Ndjson,
}

/// Into a file, progress is a line now and then.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);
/// On a terminal it is redrawn, and faster than this nobody reads.
const PROGRESS_REDRAW: Duration = Duration::from_millis(100);
/// Back to the beginning of the line, and nothing behind it.
const CLEAR_LINE: &str = "\r\x1b[K";
/// The version of the ndjson lines. Within it fields are added, never changed.
const NDJSON_VERSION: u32 = 1;

/// A piece of an answer for a person.
#[derive(Debug, Clone)]
pub enum Block {
    /// A line.
    Line(String),
    /// A table.
    Table(Table),
}

/// What a command has to answer, in every format.
#[derive(Debug, Clone)]
pub struct Report {
    /// `json`, `ndjson`.
    pub document: Value,
    /// `name`.
    pub names: Vec<String>,
    /// `human`, `wide`.
    pub blocks: Vec<Block>,
    /// What the caller is told.
    pub exit: Exit,
}

impl Report {
    /// An answer of one line.
    pub fn line(document: Value, names: Vec<String>, line: impl Into<String>) -> Self {
        Self { document, names, blocks: vec![Block::Line(line.into())], exit: Exit::Done }
    }
}

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Voice {
    /// In which form.
    pub format: Format,
    /// Only the answer.
    pub quiet: bool,
    /// Also what is for someone looking for a cause.
    pub verbose: bool,
}

/// Both streams.
pub struct Output {
    voice: Voice,
    stdout: Stream,
    stderr: Stream,
    sequence: u64,
    /// What stands on the last line of stdout, so that nothing is put behind it.
    inside_line: bool,
    /// A question stands at the end of stderr and nobody has pressed Enter.
    is_asking: bool,
    progress: Option<ProgressShown>,
}

struct Stream {
    writer: Box<dyn Write + Send + Sync>,
    look: Look,
}

struct ProgressShown {
    at: Instant,
    /// It is on the screen now and will be drawn over.
    drawn: bool,
}

impl Output {
    /// The process's own streams.
    pub fn new(voice: Voice, (stdout, stderr): (Look, Look)) -> Self {
        Self::to(voice, (Box::new(io::stdout()), stdout), (Box::new(io::stderr()), stderr))
    }

    fn to(
        voice: Voice,
        (stdout, stdout_look): (Box<dyn Write + Send + Sync>, Look),
        (stderr, stderr_look): (Box<dyn Write + Send + Sync>, Look),
    ) -> Self {
        Self {
            voice,
            stdout: Stream { writer: stdout, look: stdout_look },
            stderr: Stream { writer: stderr, look: stderr_look },
            sequence: 0,
            inside_line: false,
            is_asking: false,
            progress: None,
        }
    }

    /// From now on otherwise.
    pub fn speak(&mut self, voice: Voice, (stdout, stderr): (Look, Look)) {
        self.voice = voice;
        self.stdout.look = stdout;
        self.stderr.look = stderr;
    }

    /// In which form the answer is wanted.
    pub fn format(&self) -> Format {
        self.voice.format
    }

    /// A step of our own, for stderr.
    pub fn say(&mut self, message: &str) -> Outcome<()> {
        self.narrate(None, &JobEvent::new("keeper", message))
    }

    /// What a job says.
    pub fn narrate(&mut self, job: Option<&JobId>, event: &JobEvent) -> Outcome<()> {
        let level = event.level.unwrap_or_default();
        if level == Level::Debug && !self.voice.verbose {
            return Ok(());
        }
        if self.voice.format == Format::Ndjson {
            return self.event_line("narration", job, event);
        }
        if self.voice.quiet && level < Level::Warn {
            return Ok(());
        }
        let line = event_text(event, &self.stderr.look, self.voice.verbose);
        self.err(&format!("{line}\n"))
    }

    /// How far a job is.
    pub fn progress(&mut self, job: &JobId, event: &JobEvent, progress: &Progress) -> Outcome<()> {
        if self.voice.format == Format::Ndjson {
            return self.event_line("progress", Some(job), event);
        }
        if self.voice.quiet {
            return Ok(());
        }
        let look = self.stderr.look;
        let pause = if look.terminal { PROGRESS_REDRAW } else { PROGRESS_EVERY };
        let is_last = progress.total == Some(progress.done);
        let is_due = self.progress.as_ref().is_none_or(|shown| shown.at.elapsed() >= pause);
        if !is_due && !is_last {
            return Ok(());
        }
        let line = format!("{}  {}", event_text(event, &look, false), progress_text(progress));
        if look.terminal {
            self.err(&line)?;
        } else {
            self.err(&format!("{line}\n"))?;
        }
        self.progress = Some(ProgressShown { at: Instant::now(), drawn: look.terminal });
        Ok(())
    }

    /// A piece of generated text, flushed at once.
    pub fn token(&mut self, job: &JobId, event: &JobEvent) -> Outcome<()> {
        match self.voice.format {
            Format::Human | Format::Wide => self.answer_text(&event.message),
            Format::Ndjson => self.event_line("token", Some(job), event),
            Format::Name | Format::Json => Ok(()),
        }
    }

    /// Text of the answer as it stands.
    pub fn answer_text(&mut self, text: &str) -> Outcome<()> {
        if text.is_empty() {
            return Ok(());
        }
        let shown =
            if self.stdout.look.terminal { text::sanitise(text) } else { text.into() }.into_owned();
        self.inside_line = !shown.ends_with('\n');
        self.out(&shown)
    }

    /// Ends the answer's last line, if it has no end yet.
    pub fn end_line(&mut self) -> Outcome<()> {
        if !self.inside_line {
            return Ok(());
        }
        self.inside_line = false;
        self.out("\n")
    }

    /// The answer.
    pub fn report(&mut self, job: Option<&JobId>, report: &Report) -> Outcome<()> {
        let text = match self.voice.format {
            Format::Human | Format::Wide => self.blocks(&report.blocks),
            Format::Name => report.names.iter().map(|name| self.answer_line(name)).collect(),
            Format::Json => format!("{:#}\n", report.document),
            Format::Ndjson => {
                let mut fields = Map::new();
                fields.insert("result".to_owned(), report.document.clone());
                return self.line("result", job, None, fields);
            }
        };
        self.end_line()?;
        self.out(&text)
    }

    /// Why there is no answer. Written with the last strength: what goes wrong
    /// now can be told to nobody.
    pub fn failure(&mut self, job: Option<&JobId>, failure: &Failure) -> Outcome<()> {
        let Failure { code, message, hint, .. } = failure;
        let document = json!({"code": code, "message": message, "hint": hint});
        let written = match self.voice.format {
            Format::Human | Format::Wide | Format::Name => {
                // It may be stdout itself that has failed.
                let _ = self.end_line();
                let text = failure_text(failure, &self.stderr.look);
                return self.err(&text);
            }
            Format::Json => self.out(&format!("{:#}\n", json!({ "error": document }))),
            Format::Ndjson => {
                let mut fields = Map::new();
                fields.insert("error".to_owned(), document);
                self.line("error", job, None, fields)
            }
        };
        if let Err(Stop::Failed(_)) = written {
            self.write_err(&failure_text(failure, &self.stderr.look));
        }
        written
    }

    /// An event of a job's log, as an answer.
    pub fn log(&mut self, job: &JobId, event: &JobEvent) -> Outcome<()> {
        let is_token = event.is_token();
        match self.voice.format {
            Format::Human | Format::Wide if is_token => self.answer_text(&event.message),
            Format::Human | Format::Wide => {
                self.end_line()?;
                let line = self.answer_line(&log_line(event));
                self.out(&line)
            }
            Format::Ndjson if is_token => self.event_line("token", Some(job), event),
            Format::Ndjson => self.event_line("narration", Some(job), event),
            Format::Name | Format::Json => Ok(()),
        }
    }

    /// A change, as an answer of its own.
    pub fn change(&mut self, line: &Line) -> Outcome<()> {
        let look = self.stdout.look;
        let text = look.paint(line.tone, &shown(&line.text, &look));
        self.out(&format!("{} {text}\n", look.paint(Tone::Faint, &clock(line.at))))
    }

    /// An event of the fleet, in `ndjson`.
    pub fn event(
        &mut self,
        kind: &str,
        job: Option<&JobId>,
        at: Timestamp,
        fields: Map<String, Value>,
    ) -> Outcome<()> {
        self.line(kind, job, Some(at), fields)
    }

    /// A word beside the answer, on stderr in every format.
    pub fn hint(&mut self, line: &str) -> Outcome<()> {
        if self.voice.quiet {
            return Ok(());
        }
        let line = shown(line, &self.stderr.look);
        self.err(&format!("{line}\n"))
    }

    /// A question, on stderr. The answer's Enter ends the line.
    pub fn ask(&mut self, question: &str) -> Outcome<()> {
        self.err(question)?;
        self.is_asking = true;
        Ok(())
    }

    /// The answer is there.
    pub fn answered(&mut self) {
        self.is_asking = false;
    }

    fn blocks(&self, blocks: &[Block]) -> String {
        let wide = self.voice.format == Format::Wide;
        blocks
            .iter()
            .map(|block| match block {
                Block::Line(line) => self.answer_line(line),
                Block::Table(table) => table.render(&self.stdout.look, wide),
            })
            .collect()
    }

    fn answer_line(&self, line: &str) -> String {
        let line = shown(line, &self.stdout.look);
        format!("{line}\n")
    }

    fn event_line(&mut self, kind: &str, job: Option<&JobId>, event: &JobEvent) -> Outcome<()> {
        let fields = match serde_json::to_value(event) {
            Ok(Value::Object(mut fields)) => {
                fields.remove("at");
                fields
            }
            _ => Map::new(),
        };
        self.line(kind, job, event.at, fields)
    }

    fn line(
        &mut self,
        kind: &str,
        job: Option<&JobId>,
        at: Option<Timestamp>,
        fields: Map<String, Value>,
    ) -> Outcome<()> {
        self.sequence += 1;
        let at = at.unwrap_or_else(Timestamp::now);
        // Written by hand, because a map would put what every line begins with
        // in alphabetical order among the rest.
        let mut line = format!(
            r#"{{"v":{NDJSON_VERSION},"seq":{},"ts":"{at:.3}","kind":"{kind}","job":{}"#,
            self.sequence,
            Value::from(job.map(JobId::as_str)),
        );
        for (name, value) in fields {
            line.push_str(&format!(",{}:{value}", Value::from(name)));
        }
        self.out(&format!("{line}}}\n"))
    }

    fn out(&mut self, text: &str) -> Outcome<()> {
        if self.stdout.look.terminal {
            self.clear_progress()?;
        }
        let writer = &mut self.stdout.writer;
        writer
            .write_all(text.as_bytes())
            .and_then(|()| writer.flush())
            .map_err(|error| Stop::from_output(&error))
    }

    fn err(&mut self, text: &str) -> Outcome<()> {
        self.clear_progress()?;
        // On one terminal the two streams share a cursor.
        if self.inside_line && self.stdout.look.terminal && self.stderr.look.terminal {
            self.end_line()?;
        }
        if std::mem::take(&mut self.is_asking) {
            self.write_err("\n");
        }
        self.write_err(text);
        Ok(())
    }

    fn clear_progress(&mut self) -> Outcome<()> {
        if let Some(shown) = &mut self.progress
            && std::mem::take(&mut shown.drawn)
        {
            self.write_err(CLEAR_LINE);
        }
        Ok(())
    }

    /// Nobody has to listen to the narration for the answer to be right, so a
    /// stderr that cannot be written is let be.
    fn write_err(&mut self, text: &str) {
        let writer = &mut self.stderr.writer;
        let _ = writer.write_all(text.as_bytes()).and_then(|()| writer.flush());
    }
}

#[cfg(test)]
mod tests;
