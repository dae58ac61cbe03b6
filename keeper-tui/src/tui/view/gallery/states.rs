//! Every view, and every state that one can be in.

use std::time::Duration;

use crossterm::event::KeyCode;
use protocol::{
    JobId, ModelRef, WorkerId,
    fleet::{Change, ExitRecord, FeedEvent, HiveState, Narration, WorkerRecord, WorkerState},
    job::{EndMarker, JobEvent, JobRecord, JobState, Level, Progress},
};
use serde_json::json;

use super::machines;
use crate::tui::{
    fixture::{Stage, at, busy_fleet, empty_fleet, hive, id, job, stranger, worker},
    message::{FeedNews, JobNews, Message},
    theme::Theme,
};

/// A view by its name, and the keys that lead to it.
pub(super) type View = (&'static str, &'static str);

/// All of them.
pub(super) const VIEWS: &[View] = &[
    ("fleet", "1"),
    ("workers", "2"),
    ("devices", "3"),
    ("models", "4"),
    ("jobs", "5"),
    ("job", "5jl"),
    ("infer", "6"),
    ("events", "7"),
    ("queen", "8"),
    ("hive", "1jj\n"),
    ("hive_workers", "1jj\n]"),
    ("hive_devices", "1jj\n]]"),
    ("hive_models", "1jj\n]]]"),
    ("hive_jobs", "1jj\n]]]]"),
    ("hive_log", "1jjl"),
    ("worker", "2jj\n"),
    ("device", "3j\n"),
    ("hive_worker", "1jj\n]\n"),
];

/// Those that are there without anything to show in them.
const WITHOUT_A_FLEET: &[View] = &[
    // Where one is already; there 1 starts something.
    ("fleet", ""),
    ("workers", "2"),
    ("devices", "3"),
    ("models", "4"),
    ("jobs", "5"),
    ("infer", "6"),
    ("events", "7"),
    ("queen", "8"),
];

/// The tables.
const TABLES: &[View] =
    &[("fleet", "1"), ("workers", "2"), ("devices", "3"), ("models", "4"), ("jobs", "5")];

const FLEET: &[View] = &[("fleet", "1")];
const WORKERS: &[View] = &[("workers", "2")];
const INFER: &[View] = &[("infer", "6")];
const EVENTS: &[View] = &[("events", "7")];
const ANSWER: &[View] = &[("infer", "6"), ("job", "5jl")];
/// Before there is anything to open.
const START: &[View] = &[("start", "")];

/// A state: how things are, where that is to be seen, and what happens while
/// somebody looks.
pub(super) struct State {
    /// What it is called.
    pub(super) name: &'static str,
    /// Where it is to be seen.
    pub(super) views: &'static [View],
    before: fn(&mut Stage),
    after: fn(&mut Stage),
}

impl State {
    /// The dashboard in this state.
    pub(super) fn stage(&self, view: View, size: (u16, u16), theme: Theme) -> Stage {
        let mut stage = Stage::with_theme(size, theme);
        (self.before)(&mut stage);
        stage.type_keys(view.1);
        (self.after)(&mut stage);
        stage
    }
}

const fn state(
    name: &'static str,
    views: &'static [View],
    before: fn(&mut Stage),
    after: fn(&mut Stage),
) -> State {
    State { name, views, before, after }
}

/// All of them.
pub(super) const STATES: &[State] = &[
    // Usual days.
    state("busy", VIEWS, Stage::fill, looked),
    state("empty", WITHOUT_A_FLEET, empty, nothing),
    // Before there is a machine, and with a strange one.
    state("first_run", START, machines::first_run, nothing),
    state("first_run_without_hosts", START, machines::first_run_without_hosts, nothing),
    state("first_run_with_many_hosts", START, machines::first_run_with_many_hosts, nothing),
    state(
        "adding_a_machine",
        &[
            ("which", "2"),
            ("by_name", "2gpu-2"),
            ("unknown_name", "2local"),
            ("question", "2gpu-2\n"),
            ("by_url", "3"),
        ],
        machines::first_run,
        nothing,
    ),
    state("unknown_host_key", &[("question", "Aada@gpu-9\n")], machines::unknown_key, nothing),
    state(
        "other_versions",
        &[("fleet", "1"), ("hive", "1\n"), ("worker", "2\n"), ("queen", "8")],
        machines::other_versions,
        nothing,
    ),
    // Before the queen has said anything.
    state("first_contact", START, nothing, nothing),
    state("unreached_refused", START, nothing, |stage| {
        away(stage, "queen at http://127.0.0.1:8500 refused the connection");
    }),
    state("unreached_unknown_host", START, nothing, |stage| {
        away(stage, "queen at http://queen.lan:8500 cannot be found: its name does not resolve");
    }),
    state("unreached_not_let_in", START, nothing, |stage| {
        away(stage, "the token is missing or wrong; hint: set RBEE_TOKEN (unauthorized)");
    }),
    state("unreached_another_program", START, nothing, |stage| away(stage, FOREIGN)),
    state("queen_starts", START, nothing, |stage| {
        away(stage, "queen at http://127.0.0.1:8500 refused the connection");
        stage.type_keys("y");
        stage.send(Message::StartLine("launching queen-rbee on 127.0.0.1:8500".to_owned()));
        stage.send(Message::StartLine("🐝 waiting until she answers".to_owned()));
    }),
    state("queen_does_not_start", START, nothing, |stage| {
        away(stage, "queen at http://127.0.0.1:8500 refused the connection");
        stage.type_keys("y");
        stage.send(Message::StartLine("launching queen-rbee on 127.0.0.1:8500".to_owned()));
        let cause = "port 8500 is taken by another program".to_owned();
        stage.send(Message::StartEnded(Err(cause)));
    }),
    // While she is away.
    state("lost", VIEWS, Stage::fill, |stage| {
        looked(stage);
        stage.disconnect();
    }),
    state("lost_unavailable", FLEET, Stage::fill, |stage| {
        away(stage, "the queen is stopping; hint: try again in 2 s (unavailable)");
    }),
    state("lost_to_another_program", FLEET, Stage::fill, |stage| away(stage, FOREIGN)),
    state("lost_silent", FLEET, Stage::fill, |stage| {
        away(stage, "queen at http://127.0.0.1:8500 said nothing for 15 s");
    }),
    state("back", FLEET, Stage::fill, |stage| {
        stage.disconnect();
        stage.news(FeedNews::Connected);
        stage.feed(FeedEvent::Snapshot(Box::new(busy_fleet())));
    }),
    state("undecodable", FLEET, Stage::fill, undecodable),
    state("undecodable_in_alerts", FLEET, Stage::fill, |stage| {
        undecodable(stage);
        stage.type_keys("!");
    }),
    state("lagged", FLEET, Stage::fill, |stage| {
        stage.feed(FeedEvent::Lagged);
    }),
    state("recording", FLEET, Stage::fill, |stage| {
        stage.model.source = crate::tui::state::Source::Recording { is_cut_off: false };
    }),
    // Machines, workers and jobs that are not well.
    state(
        "silent_machines",
        &[
            ("fleet", "1"),
            ("workers", "2"),
            ("devices", "3"),
            ("hive_lost", "1\n"),
            ("hive_late", "1jj\n"),
            ("hive_stale", "1jjj\n"),
            ("device", "3j\n"),
        ],
        silent_machines,
        Stage::models,
    ),
    state(
        "crash_loop",
        &[("fleet", "1"), ("workers", "2"), ("worker", "2\n"), ("hive", "1jj\n")],
        crash_loop,
        nothing,
    ),
    state("failed_job", &[("fleet", "1"), ("jobs", "5jj"), ("job", "5jjl")], Stage::fill, nothing),
    state("stopped_listening", ANSWER, Stage::fill, |stage| {
        let job = asked(stage);
        stage.stream(job.as_str(), &["The three usual ", "causes"]);
        let broken = "queen at http://127.0.0.1:8500 broke off: the stream is garbled";
        stage.send(Message::Job { job, news: vec![JobNews::Broken(broken.to_owned())] });
    }),
    state("cancelled_job", ANSWER, Stage::fill, |stage| {
        let job = asked(stage);
        stage.stream(job.as_str(), &["The three usual ", "causes"]);
        stage.send(Message::Job { job, news: vec![JobNews::End(EndMarker::Cancelled)] });
    }),
    // Downloads.
    state(
        "downloads",
        &[("models", "4"), ("hive", "1jj\n"), ("hive_models", "1jj\n]]]"), ("jobs", "5")],
        downloads,
        |stage| {
            stage.models();
            stage.pass(Duration::from_secs(12));
            goes_on(stage);
        },
    ),
    state("resumed_download", &[("job", "5l")], Stage::fill, |stage| {
        let said = JobEvent {
            actor: Some("hive".to_owned()),
            at: Some(at(3)),
            ..JobEvent::new("download", "resumed model.gguf at 61 %")
        };
        stage.feed(FeedEvent::Narration(Narration { job_id: id("job-0000a9f0"), event: said }));
    }),
    state("models_not_told", &[("models", "4"), ("hive_models", "1jj\n]]]")], Stage::fill, nothing),
    // Answers.
    state("waiting_for_a_slot", ANSWER, Stage::fill, |stage| {
        let job = asked(stage);
        let said = JobEvent {
            actor: Some("queen".to_owned()),
            at: Some(stage.now.wall),
            ..JobEvent::new("queue", "queued, 3rd of 5")
        };
        events(stage, job, vec![said]);
        stage.pass(Duration::from_secs(12));
    }),
    state("streaming", ANSWER, Stage::fill, |stage| {
        let job = asked(stage);
        stage.stream(
            job.as_str(),
            &["The three usual causes of ", "a stalled decode ", "are\n", "漢字 \u{1b}[2J", "and"],
        );
    }),
    state("answered", ANSWER, Stage::fill, |stage| {
        let job = asked(stage);
        stage.stream(job.as_str(), &["Because ", "it ", "is."]);
        let stats = json!({
            "prompt_tokens": 38, "generated_tokens": 256, "finish_reason": "length",
            "time_to_first_token_ms": 240.2, "tokens_per_second": 41.3,
        });
        let result = JobEvent::result("256 tokens", json!({ "stats": stats }));
        let news = vec![
            JobNews::Event { number: 99, event: Box::new(result) },
            JobNews::End(EndMarker::Done),
        ];
        stage.send(Message::Job { job, news });
    }),
    state("refused", INFER, Stage::fill, |stage| {
        stage.type_keys("Why?\n");
        let result = Err("the queue is full: 64 of 64; hint: try again later".to_owned());
        stage.send(Message::Submitted { ticket: 1, result });
    }),
    state("compared", INFER, Stage::fill, compared),
    state("settings", INFER, Stage::fill, |stage| {
        compared(stage);
        (0..3).for_each(|_| drop(stage.key(KeyCode::Tab)));
        stage.type_keys("G\n1234");
    }),
    // Texts.
    state(
        "paused",
        &[("events", "7"), ("fleet", "1\t"), ("hive_log", "1jjl"), ("job", "5jl\t")],
        Stage::fill,
        |stage| {
            stage.stream("job-00007f3c", &["The three usual ", "causes"]);
            stage.type_keys("p");
            (0..312).for_each(|n| say(stage, &format!("layer {n} of 312 is loaded")));
        },
    ),
    state("dropped_lines", &[("job", "5jl")], Stage::fill, |stage| {
        let lines = (0..10_050).map(|n| JobEvent::new("step", format!("line {n}")));
        events(stage, id("job-00007f3c"), lines.collect());
    }),
    state("found", EVENTS, Stage::fill, |stage| {
        stage.type_keys("/me\n");
    }),
    state("sought", EVENTS, Stage::fill, |stage| {
        stage.type_keys("&worker\nwt/do");
    }),
    state("not_found", EVENTS, Stage::fill, |stage| {
        stage.type_keys("&xx\nf");
    }),
    // Tables.
    state("no_match", TABLES, Stage::fill, |stage| {
        stage.models();
        stage.type_keys("/gpuu\n");
    }),
    state("filtered", WORKERS, Stage::fill, |stage| {
        stage.type_keys(" ot/gpu-1\n");
    }),
    state("typing_a_filter", WORKERS, Stage::fill, |stage| {
        stage.type_keys(" ot/gpu-1");
    }),
    state("typing_a_wrong_filter", WORKERS, Stage::fill, |stage| {
        stage.type_keys("/vram>20");
    }),
    // What stands in front.
    state(
        "read_only",
        &[("fleet", "1a"), ("workers", "2a"), ("models", "4a"), ("jobs", "5a"), ("infer", "6")],
        |stage| {
            stage.fill();
            stage.model.is_read_only = true;
        },
        Stage::models,
    ),
    state(
        "actions",
        &[("worker", "2a"), ("lost_worker", "2jjja"), ("queen", "8a")],
        Stage::fill,
        nothing,
    ),
    state(
        "questions",
        &[
            ("stop_workers", "2*x"),
            ("kill_worker", "2X"),
            ("delete_worker", "2Dwk"),
            ("delete_worker_wrong", "2Dwk-9"),
            ("stop_hive", "1jjx"),
            ("cancel_job", "5jx"),
        ],
        Stage::fill,
        nothing,
    ),
    state(
        "form",
        &[("spawn", "1jj+meta\t"), ("spawn_wrong", "1jj+tinyllama\n")],
        Stage::fill,
        nothing,
    ),
    state("palette", &[("words", "2:worker"), ("wrong", ":wrkrs list\n")], Stage::fill, nothing),
    state(
        "menus",
        &[("copy", "2y"), ("sort", "2oto"), ("commands", "2xd:worker spawn --model demo\n@")],
        Stage::fill,
        nothing,
    ),
    state("alerts", WORKERS, Stage::fill, |stage| {
        stage.type_keys("jjjx!");
    }),
    state("help", FLEET, Stage::fill, |stage| {
        stage.type_keys("?");
    }),
];

const FOREIGN: &str = "queen at http://127.0.0.1:8500 answered 200 with something that is not \
     rbee's: \"<!doctype html><title>nginx</title>\"; is another program listening there?";

fn nothing(_: &mut Stage) {}

fn empty(stage: &mut Stage) {
    stage.connect(empty_fleet());
}

/// Everything there is to see in a view has come in.
fn looked(stage: &mut Stage) {
    stage.models();
    stage.stream(
        "job-00007f3c",
        &[
            "The three usual ",
            "causes of a stalled decode ",
            "are a full KV cache,\n",
            "a worker that lost its GPU, and a client that stopped reading.",
        ],
    );
}

fn away(stage: &mut Stage, cause: &str) {
    stage.news(FeedNews::Disconnected {
        cause: cause.to_owned(),
        attempt: 3,
        retry_in: Duration::from_secs(2),
    });
    stage.pass(Duration::from_millis(700));
}

fn undecodable(stage: &mut Stage) {
    stage.news(FeedNews::Undecodable {
        name: "hive".to_owned(),
        error: "missing field `url` at line 1 column 42".to_owned(),
    });
}

fn silent_machines(stage: &mut Stage) {
    stage.fill();
    for (name, state, seen, reason) in [
        ("gpu-1", HiveState::Late, 12, "silent for longer than 10 s"),
        ("gpu-2", HiveState::Stale, 18, "silent for longer than 15 s"),
        ("attic", HiveState::Lost, 250, "connection refused"),
    ] {
        stage.feed(FeedEvent::Hive(Change::from(hive(name, state, seen, Some(reason)))));
    }
    stage.pass(Duration::from_secs(20));
}

fn crash_loop(stage: &mut Stage) {
    stage.fill();
    let worker = WorkerRecord {
        restarts: Some(3),
        retry_at: Some(at(40)),
        last_exit: Some(ExitRecord {
            at: at(2),
            code: Some(101),
            signal: None,
            reason: "the process ended by itself".to_owned(),
            log_tail: (1..=5).map(|n| format!("line {n} of what it said last")).collect(),
        }),
        ..worker("wk-02", "gpu-1", WorkerState::BackingOff)
    };
    stage.feed(FeedEvent::Worker(Change::from(worker)));
}

/// A job that fetches a model.
fn download(name: &str, model: &str, hive: &str, progress: Progress) -> JobRecord {
    JobRecord {
        hive_id: Some(id(hive)),
        model: Some(id::<ModelRef>(model)),
        worker_id: None::<WorkerId>,
        progress: Some(progress),
        ..job(name, "model_download", JobState::Running, 104)
    }
}

fn fetched(done: u64, total: Option<u64>) -> Progress {
    Progress {
        done: done << 20,
        total: total.map(|it| it << 20),
        unit: "bytes".to_owned(),
        rate: Some(112e6),
        eta_s: total.map(|total| (total - done) as f64 / 107.0),
    }
}

const UNKNOWN_SIZE: (&str, &str) = ("job-0000a1f1", "org/of-unknown-size-GGUF:Q8_0");
const KNOWN_SIZE: (&str, &str) = ("job-0000a1f2", "org/of-known-size-GGUF:Q8_0");
const STALLED: (&str, &str) = ("job-0000a1f3", "org/stalled-GGUF:Q8_0");

fn downloads(stage: &mut Stage) {
    let mut fleet = busy_fleet();
    fleet.jobs.retain(|job| job.operation != "model_download");
    fleet.jobs.extend([
        download(UNKNOWN_SIZE.0, UNKNOWN_SIZE.1, "gpu-1", fetched(700, None)),
        download(KNOWN_SIZE.0, KNOWN_SIZE.1, "gpu-1", fetched(18_000, Some(30_000))),
        download(STALLED.0, STALLED.1, "gpu-1", fetched(512, Some(4_096))),
    ]);
    stage.connect(fleet);
}

/// Two of the three come further.
fn goes_on(stage: &mut Stage) {
    for (it, progress) in
        [(UNKNOWN_SIZE, fetched(900, None)), (KNOWN_SIZE, fetched(18_400, Some(30_000)))]
    {
        let job = download(it.0, it.1, "gpu-1", progress);
        stage.feed(FeedEvent::Job(Change::from(job)));
    }
}

/// An answer that somebody waits for: asked for in the view of prompts, begun
/// by somebody else elsewhere.
fn asked(stage: &mut Stage) -> JobId {
    if stage.model.ui.view != crate::tui::state::View::Infer {
        return id("job-00007f3c");
    }
    stage.type_keys("What are the usual causes?\n");
    stage.send(Message::Submitted { ticket: 1, result: Ok(stranger()) });
    stranger()
}

fn events(stage: &mut Stage, job: JobId, events: Vec<JobEvent>) {
    let news = (1..).zip(events);
    let news = news.map(|(number, event)| JobNews::Event { number, event: Box::new(event) });
    stage.send(Message::Job { job, news: news.collect() });
}

fn compared(stage: &mut Stage) {
    stage.type_keys("Why?");
    stage.key(KeyCode::Esc);
    stage.type_keys("ci\n");
    for (ticket, job) in [(1, "job-00007f3c"), (2, "job-00009999")] {
        stage.send(Message::Submitted { ticket, result: Ok(id(job)) });
        stage.stream(job, &["Because ", "it ", "is."]);
    }
}

fn say(stage: &mut Stage, text: &str) {
    let event = JobEvent {
        actor: Some("worker".to_owned()),
        at: Some(stage.now.wall),
        ..JobEvent::new("load", text).level(Level::Info)
    };
    stage.feed(FeedEvent::Narration(Narration { job_id: id("job-00007f3c"), event }));
}
