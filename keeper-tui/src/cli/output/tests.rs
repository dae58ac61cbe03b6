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
    let output = Output::to(voice, (Box::new(out.clone()), look), (Box::new(err.clone()), look));
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
    let plain = "error: GPU-7 not found on hive 'localhost'\n  hint: available: CPU-0 (16 cores)\n";
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
