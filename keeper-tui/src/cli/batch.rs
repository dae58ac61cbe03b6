//! `-`: the commands on standard input, one a line.
//!
//! A line is what stands behind the program's name in a shell, with the
//! shell's quotes and comments and none of its other powers. Lines are carried
//! out as they arrive, so that another program can write them one by one.

use std::{
    io::{BufRead as _, Read as _},
    time::Instant,
};

use clap::{CommandFactory as _, FromArgMatches as _, parser::ValueSource};
use protocol::deadline::Deadline;

use super::{
    Cx,
    args::{Cli, Command, InferArgs, Options},
    dispatch,
    exit::{Exit, Failure, Outcome, Stop},
    explained, overtime, permitted, terminal, voice,
};

/// A prompt of the largest size still fits.
const LINE_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// How many failed lines are named in the end.
const LINES_NAMED: usize = 10;

/// Whether standard input is something that commands come from. A closed one
/// and `/dev/null` are not: a command without input is still a command.
pub fn is_on_stdin() -> bool {
    use rustix::fs::FileType;
    rustix::fs::fstat(std::io::stdin()).is_ok_and(|stat| {
        matches!(
            FileType::from_raw_mode(stat.st_mode),
            FileType::RegularFile | FileType::Fifo | FileType::Socket
        )
    })
}

/// `-`
pub async fn batch(cx: &mut Cx) -> Outcome {
    let whole = cx.options.clone();
    let mut tally = Tally::default();
    let mut number = 0;
    let exit = loop {
        number += 1;
        let Some(line) = next_line(number).await? else { break tally.exit() };
        let outcome = match understood(&line, &whole) {
            Ok(None) => continue,
            Ok(Some(Line::Help(text))) => cx.out.answer_text(&text).map(|()| Exit::Done),
            Ok(Some(Line::Command(options, command))) => carry_out(cx, *options, *command).await,
            Err(failure) => Err(failure.into()),
        };
        let exit = told(cx, number, outcome)?;
        cx.job = None;
        tally.count(number, exit);
        let is_asked_for = matches!(exit, Exit::Interrupted | Exit::Terminated);
        if is_asked_for || (exit != Exit::Done && !whole.keep_going) {
            break exit;
        }
    };
    cx.out.speak(voice(&whole), terminal::looks(whole.color));
    if let Some(summary) = tally.summary(whole.keep_going) {
        cx.out.hint(&summary)?;
    }
    Ok(exit)
}

async fn carry_out(cx: &mut Cx, options: Options, command: Command) -> Outcome {
    cx.out.speak(voice(&options), terminal::looks(options.color));
    cx.deadline = options.timeout.map(|budget| Deadline::after(budget, Instant::now()));
    cx.options = options;
    let deadline = cx.deadline;
    let outcome = tokio::select! {
        biased;
        outcome = dispatch(cx, command) => outcome,
        error = overtime(deadline) => Err(error.into()),
    };
    outcome.map_err(|stop| explained(stop, cx.queen_is_here))
}

/// Says what went wrong, and in which line.
fn told(cx: &mut Cx, number: u64, outcome: Outcome) -> Outcome {
    let failure = match outcome {
        Ok(Exit::Done) => return Ok(Exit::Done),
        Ok(exit) => {
            let message = format!("line {number}: ended with {}", exit.code());
            cx.out.hint(&message)?;
            return Ok(exit);
        }
        Err(Stop::ReaderGone) => return Err(Stop::ReaderGone),
        Err(Stop::Failed(failure)) => failure,
    };
    let message = format!("line {number}: {}", failure.message);
    let failure = Failure { message, ..failure };
    let job = cx.job.take();
    cx.out.failure(job.as_ref(), &failure)?;
    Ok(failure.exit)
}

/// The next line; `None` at the end.
async fn next_line(number: u64) -> Outcome<Option<String>> {
    // On a thread of its own, because whoever writes the lines may take their
    // time, and Ctrl-C must be heard meanwhile.
    let read = tokio::task::spawn_blocking(|| {
        let mut line = Vec::new();
        let mut stdin = std::io::stdin().lock().take(LINE_BYTES_MAX + 1);
        stdin.read_until(b'\n', &mut line).map(|_| line)
    });
    let unreadable = |what: String| Failure::usage(format!("line {number} of stdin {what}"));
    let line = match read.await {
        Ok(Ok(line)) => line,
        Ok(Err(error)) => return Err(unreadable(format!("cannot be read: {error}")).into()),
        Err(error) => return Err(Failure::local("internal", &error).into()),
    };
    if line.len() as u64 > LINE_BYTES_MAX {
        return Err(unreadable("is longer than 2 MiB".to_owned()).into());
    }
    match String::from_utf8(line) {
        Ok(line) => Ok((!line.is_empty()).then_some(line)),
        Err(_) => Err(unreadable("is not UTF-8".to_owned()).into()),
    }
}

/// What a line asks for.
#[derive(Debug)]
enum Line {
    /// To be told how to ask.
    Help(String),
    /// This.
    Command(Box<Options>, Box<Command>),
}

/// Reads a line; `None` for one that asks for nothing.
fn understood(line: &str, whole: &Options) -> Result<Option<Line>, Failure> {
    let words = shlex::split(line)
        .ok_or_else(|| Failure::usage("a quote is opened and not closed, or `\\` is last"))?;
    if words.is_empty() {
        return Ok(None);
    }
    // A line that was copied from a shell.
    let program = "rbee-keeper".to_owned();
    let words = words.into_iter().skip_while(|word| *word == program);
    let matches = match Cli::command()
        .try_get_matches_from(std::iter::once(program.clone()).chain(words))
    {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => return Ok(Some(Line::Help(error.to_string()))),
        Err(error) => {
            let text = error.to_string();
            return Err(Failure::usage(text.strip_prefix("error: ").unwrap_or(&text).trim_end()));
        }
    };
    let cli = Cli::from_arg_matches(&matches)
        .map_err(|error| Failure::usage(error.to_string().trim_end()))?;
    let says = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let options = cli.options.within(whole, says);
    let command = cli.command.unwrap_or(Command::Status { watch: false });
    let takes_stdin = match &command {
        Command::Batch => true,
        Command::Infer(args) => reads_stdin(args),
        _ => false,
    };
    if takes_stdin {
        return Err(Failure::usage("standard input is where the commands come from")
            .with_hint("a prompt has to stand in its line, quoted"));
    }
    permitted(&options, &command)?;
    Ok(Some(Line::Command(Box::new(options), Box::new(command))))
}

fn reads_stdin(args: &InferArgs) -> bool {
    args.prompt == "-"
}

/// How the lines went so far.
#[derive(Debug, Default)]
struct Tally {
    done: u64,
    failed: Vec<u64>,
    first: Option<Exit>,
}

impl Tally {
    fn count(&mut self, number: u64, exit: Exit) {
        if exit == Exit::Done {
            self.done += 1;
        } else {
            self.failed.push(number);
            self.first.get_or_insert(exit);
        }
    }

    fn exit(&self) -> Exit {
        match self.first {
            None => Exit::Done,
            Some(first) if self.done == 0 => first,
            Some(_) => Exit::Partly,
        }
    }

    fn summary(&self, keep_going: bool) -> Option<String> {
        let last = self.failed.last()?;
        if !keep_going {
            return Some(format!("stopped at line {last}; --keep-going goes on"));
        }
        let all = self.done + self.failed.len() as u64;
        let named = self.failed.iter().take(LINES_NAMED).map(u64::to_string);
        let named = named.collect::<Vec<_>>().join(", ");
        let more = if self.failed.len() > LINES_NAMED { ", …" } else { "" };
        Some(format!("{} of {all} commands failed: lines {named}{more}", self.failed.len()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::output::Format;

    fn whole(line: &str) -> Options {
        Cli::try_parse_from(line.split_whitespace()).unwrap().options
    }

    fn command(line: &str) -> (Options, Command) {
        match understood(line, &whole("rbee-keeper --queen http://q:1 -o json --yes -")) {
            Ok(Some(Line::Command(options, command))) => (*options, *command),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_line_is_what_stands_behind_the_programs_name_in_a_shell() {
        let (_, it) = command("infer 'Once upon a \"time\"' --stop \"a b\"  # a comment\n");
        let Command::Infer(args) = it else { panic!("{it:?}") };
        assert_eq!(
            (args.prompt.as_str(), &args.stop[..]),
            ("Once upon a \"time\"", &["a b".to_owned()][..])
        );
        assert!(matches!(command("rbee-keeper worker list").1, Command::Worker(_)));
        for nothing in ["", "\n", "   \n", "# a comment\n"] {
            assert!(understood(nothing, &whole("rbee-keeper")).unwrap().is_none(), "{nothing:?}");
        }
    }

    #[test]
    fn what_a_line_does_not_say_is_as_it_was_said_for_all() {
        let (options, _) = command("status");
        assert_eq!((options.output, options.yes), (Format::Json, true));
        assert_eq!(options.queen.unwrap().as_str(), "http://q:1");
        let (options, _) = command("status -o name --queen http://other:2 --timeout 5s");
        assert_eq!(options.output, Format::Name);
        assert_eq!(options.queen.unwrap().as_str(), "http://other:2");
        assert!(options.timeout.is_some());
        let (options, _) = command("-o human status");
        assert_eq!(options.output, Format::Human);
    }

    #[test]
    fn a_line_that_cannot_be_meant_says_what_is_wrong_with_it() {
        for (line, what) in [
            ("infer 'open", "quote"),
            ("frobnicate", "frobnicate"),
            ("infer -", "where the commands come from"),
            ("-", "where the commands come from"),
        ] {
            let failure = understood(line, &whole("rbee-keeper")).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains(what), "{line}: {failure:?}");
        }
    }

    #[test]
    fn read_only_lets_a_batch_look_and_nothing_else() {
        let whole = whole("rbee-keeper --read-only -");
        assert!(understood("worker list", &whole).is_ok());
        for line in [
            "worker spawn --model demo",
            "queen stop",
            "infer x",
            "job cancel job-1",
            "job retry job-1",
        ] {
            assert_eq!(understood(line, &whole).unwrap_err().exit, Exit::NotAllowed, "{line}");
        }
    }

    #[test]
    fn a_batch_ends_as_its_first_failure_and_partly_when_some_of_it_was_done() {
        let exit = |exits: &[Exit]| {
            let mut tally = Tally::default();
            exits.iter().zip(1..).for_each(|(exit, number)| tally.count(number, *exit));
            tally.exit()
        };
        assert_eq!(exit(&[]), Exit::Done);
        assert_eq!(exit(&[Exit::Done, Exit::Done]), Exit::Done);
        assert_eq!(exit(&[Exit::NotFound, Exit::Usage]), Exit::NotFound);
        assert_eq!(exit(&[Exit::NotFound, Exit::Done]), Exit::Partly);
    }

    #[test]
    fn the_failed_lines_are_named() {
        let mut tally = Tally::default();
        [Exit::Done, Exit::Failed, Exit::Usage]
            .iter()
            .zip(1..)
            .for_each(|(exit, n)| tally.count(n, *exit));
        assert_eq!(tally.summary(true).unwrap(), "2 of 3 commands failed: lines 2, 3");
        assert_eq!(Tally::default().summary(true), None);
    }
}
