//! Where everything goes that a command says.
//!
//! **stdout is the answer; stderr is narration, progress and warnings.** With
//! `-o ndjson` all of it is stdout, one object a line, and the last line is
//! always a `result` or an `error`; with `-o json` stdout is one document.
//!
//! Nothing else in the command line writes to a stream, so nothing else can
//! forget to make foreign text harmless or to handle a reader that left.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use clap::ValueEnum;
use jiff::tz::TimeZone;
use protocol::{
    JobId, Timestamp,
    job::{JobEvent, Level, Progress},
};
use serde_json::{Map, Value, json};

use super::{
    changes::Line,
    exit::{Exit, Failure, Outcome, Stop},
    table::{self, Table},
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

/// Foreign text as a stream may show it: harmless on a terminal, without
/// pictures anywhere else.
fn shown(line: &str, look: &Look) -> String {
    if look.terminal && look.unicode {
        text::sanitise(line).replace('\n', " ")
    } else {
        text::one_line(line).trim_start().to_owned()
    }
}

fn event_text(event: &JobEvent, look: &Look, verbose: bool) -> String {
    let message = shown(&event.message, look);
    let tone = match event.level.unwrap_or_default() {
        Level::Debug => Tone::Faint,
        Level::Info => Tone::Plain,
        Level::Warn => Tone::Warn,
        Level::Error => Tone::Bad,
    };
    let word = match event.level.unwrap_or_default() {
        Level::Warn => "warning: ",
        Level::Error => "error: ",
        Level::Debug | Level::Info => "",
    };
    let actor = event.actor.as_deref().unwrap_or("keeper");
    let mut prefix = format!("{:<7}", shown(actor, look));
    if verbose {
        let at = event.at.unwrap_or_else(Timestamp::now);
        prefix = format!("{} {prefix}", clock(at));
    }
    format!(
        "{} {}",
        look.paint(Tone::Faint, &prefix),
        look.paint(tone, &format!("{word}{message}"))
    )
}

/// The time of day where the operator sits.
fn clock(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string()
}

/// One line of a job's log.
fn log_line(event: &JobEvent) -> String {
    let at = event.at.map_or_else(String::new, |at| format!("{} ", clock(at)));
    let actor = event.actor.as_deref().unwrap_or("queen");
    format!("{at}{actor:<7} {}", event.message)
}

/// How far something is: `61%  18.4 GiB/30.1 GiB  112.0 MiB/s  eta 1m44s`.
pub fn progress_text(progress: &Progress) -> String {
    let quantity = |units: u64| match progress.unit.as_str() {
        "bytes" => table::bytes(units),
        unit => format!("{units} {unit}"),
    };
    let mut parts = Vec::new();
    if let Some(fraction) = progress.fraction() {
        parts.push(format!("{:.0}%", (fraction * 100.0).floor()));
    }
    parts.push(match progress.total {
        Some(total) if progress.unit == "bytes" => {
            format!("{}/{}", quantity(progress.done), quantity(total))
        }
        Some(total) => format!("{}/{}", progress.done, quantity(total)),
        None => quantity(progress.done),
    });
    // A rate or a time of a hostile or broken sender must not become a panic.
    let finite = |value: Option<f64>| value.filter(|it| it.is_finite() && (0.0..1e15).contains(it));
    if let Some(rate) = finite(progress.rate) {
        parts.push(format!("{}/s", quantity(rate.round() as u64)));
    }
    if let Some(eta) = finite(progress.eta_s) {
        parts.push(format!("eta {}", table::duration(Duration::from_secs(eta.round() as u64))));
    }
    parts.join("  ")
}

fn failure_text(failure: &Failure, look: &Look) -> String {
    // A launch's failure ends with the lines of its log, so line ends stay.
    let message = text::sanitise(&failure.message);
    let pictures = look.terminal && look.unicode;
    // Whoever pressed Ctrl-C is not told that this was an error.
    let is_asked_for = matches!(failure.exit, Exit::Interrupted | Exit::Terminated);
    let mut text = if is_asked_for {
        format!("{message}\n")
    } else if pictures {
        format!("❌ {} {message}\n", look.paint(Tone::Bad, "Error:"))
    } else {
        format!("{} {message}\n", look.paint(Tone::Bad, "error:"))
    };
    if let Some(hint) = &failure.hint {
        let hint = text::sanitise(hint);
        text.push_str(&if pictures {
            format!("💡 {hint}\n")
        } else {
            format!("  hint: {hint}\n")
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Captured {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    const PIPE: Look = Look { terminal: false, color: false, unicode: true, width: None };
    const TERMINAL: Look = Look { terminal: true, color: false, unicode: true, width: Some(80) };

    fn output(format: Format, look: Look) -> (Output, Captured, Captured) {
        let (out, err) = (Captured::default(), Captured::default());
        let voice = Voice { format, ..Voice::default() };
        let output =
            Output::to(voice, (Box::new(out.clone()), look), (Box::new(err.clone()), look));
        (output, out, err)
    }

    fn job() -> JobId {
        "job-1".parse().unwrap()
    }

    fn not_found() -> Failure {
        Failure::new(Exit::NotFound, "device_not_found", "GPU-7 not found on hive 'localhost'")
            .with_hint("available: CPU-0 (16 cores)")
    }

    #[test]
    fn the_answer_is_stdout_and_everything_else_is_stderr() {
        let (mut output, out, err) = output(Format::Human, PIPE);
        let mut spawn = JobEvent::new("worker_spawn", "🚀 Spawning worker…");
        spawn.actor = Some("hive".to_owned());
        output.narrate(Some(&job()), &spawn).unwrap();
        output.token(&job(), &JobEvent::token("Once", 0)).unwrap();
        output.token(&job(), &JobEvent::token(" upon", 1)).unwrap();
        output.end_line().unwrap();
        assert_eq!(out.text(), "Once upon\n");
        assert_eq!(err.text(), "hive    Spawning worker…\n");
    }

    #[test]
    fn a_text_that_ends_with_a_line_end_gets_no_second_one() {
        let (mut output, out, _) = output(Format::Human, PIPE);
        output.answer_text("a\n").unwrap();
        output.end_line().unwrap();
        assert_eq!(out.text(), "a\n");
    }

    #[test]
    fn tokens_are_harmless_on_a_terminal_and_untouched_in_a_pipe() {
        let hostile = JobEvent::token("a\u{1b}]0;title\u{7}\tb\n", 0);
        let (mut output_a, out, _) = output(Format::Human, TERMINAL);
        output_a.token(&job(), &hostile).unwrap();
        assert_eq!(out.text(), "a\tb\n");
        let (mut output_b, out, _) = output(Format::Human, PIPE);
        output_b.token(&job(), &hostile).unwrap();
        assert_eq!(out.text(), hostile.message);
    }

    #[test]
    fn an_error_has_pictures_on_a_terminal_and_words_elsewhere() {
        assert_eq!(
            failure_text(&not_found(), &TERMINAL),
            "❌ Error: GPU-7 not found on hive 'localhost'\n💡 available: CPU-0 (16 cores)\n"
        );
        let plain =
            "error: GPU-7 not found on hive 'localhost'\n  hint: available: CPU-0 (16 cores)\n";
        assert_eq!(failure_text(&not_found(), &PIPE), plain);
        assert_eq!(failure_text(&not_found(), &Look { unicode: false, ..TERMINAL }), plain);
    }

    #[test]
    fn an_interrupted_command_says_what_became_of_its_job_and_not_that_it_failed() {
        let interrupted = Failure::new(Exit::Interrupted, "interrupted", "job-1 is cancelled");
        assert_eq!(failure_text(&interrupted, &TERMINAL), "job-1 is cancelled\n");
        let (mut output, _, err) = output(Format::Human, TERMINAL);
        output.ask("Start one here? [Y/n] ").unwrap();
        output.failure(None, &interrupted).unwrap();
        assert_eq!(err.text(), "Start one here? [Y/n] \njob-1 is cancelled\n");
    }

    #[test]
    fn every_ndjson_line_is_numbered_and_the_last_is_a_result_or_an_error() {
        let (mut output, out, err) = output(Format::Ndjson, PIPE);
        output.say("No queen is running").unwrap();
        output.narrate(Some(&job()), &JobEvent::new("infer", "queued")).unwrap();
        output.token(&job(), &JobEvent::token("Hi", 0)).unwrap();
        output.report(Some(&job()), &Report::line(json!({"text": "Hi"}), vec![], "")).unwrap();
        let lines: Vec<Value> =
            out.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["narration", "narration", "token", "result"]);
        for (line, sequence) in lines.iter().zip(1..) {
            assert_eq!((&line["v"], &line["seq"]), (&json!(1), &json!(sequence)));
            assert!(line["ts"].as_str().unwrap().parse::<Timestamp>().is_ok());
        }
        assert_eq!(lines[2]["message"], "Hi");
        assert_eq!(lines[2]["job"], "job-1");
        assert_eq!(err.text(), "");
    }

    #[test]
    fn errors_are_json_when_json_was_asked_for() {
        let expected = json!({
            "code": "device_not_found",
            "message": "GPU-7 not found on hive 'localhost'",
            "hint": "available: CPU-0 (16 cores)",
        });
        let (mut json, out, _) = output(Format::Json, PIPE);
        json.failure(None, &not_found()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&out.text()).unwrap()["error"], expected);
        let (mut ndjson, out, _) = output(Format::Ndjson, PIPE);
        ndjson.failure(Some(&job()), &not_found()).unwrap();
        let line: Value = serde_json::from_str(&out.text()).unwrap();
        assert_eq!((&line["kind"], &line["error"]), (&json!("error"), &expected));
    }

    #[test]
    fn progress_is_one_line_drawn_over_on_a_terminal() {
        let (mut output, _, err) = output(Format::Human, TERMINAL);
        let progress = Progress {
            done: 50,
            total: Some(200),
            unit: "bytes".to_owned(),
            rate: Some(f64::INFINITY),
            eta_s: Some(104.0),
        };
        output.progress(&job(), &JobEvent::new("progress", "downloading"), &progress).unwrap();
        output.say("done").unwrap();
        let expected =
            format!("keeper  downloading  25%  50 B/200 B  eta 1m44s{CLEAR_LINE}keeper  done\n");
        assert_eq!(err.text(), expected);
    }

    #[test]
    fn names_are_one_a_line() {
        let (mut output, out, _) = output(Format::Name, PIPE);
        let names = vec!["wk-1".to_owned(), "wk-2".to_owned()];
        output.report(None, &Report::line(json!([]), names, "2 workers")).unwrap();
        assert_eq!(out.text(), "wk-1\nwk-2\n");
    }
}
