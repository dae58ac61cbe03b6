//! Every decision of the dashboard: what happened goes in, what shall be done
//! comes out. Nothing here waits, reads a clock or touches the world.

pub(crate) mod copy;
mod deeds;
pub(crate) mod dialogs;
mod drill;
mod feed;
mod infer;
mod keys;
pub(crate) mod lists;
mod machines;
mod mouse;
pub(crate) mod palette;
mod reading;
mod seen;
pub(crate) mod session;
mod settings;
mod typing;

use std::{collections::BTreeSet, time::Duration};

use protocol::{JobId, WorkerId, job::Level, logs::LogLine};

pub(crate) use self::seen::is_seen;
use super::{
    address,
    effect::Effect,
    keymap::{self, Context},
    message::{JobNews, Message},
    sizes,
    state::{
        Launch, Model, Now, Pane, Source, Toast, View,
        connection::Connection,
        deeds::Alert,
        infer::{Target, Turn},
        streams::Broken,
        worker_log::WorkerLog,
    },
    theme::Tone,
};
use crate::text::{one_line, sanitise};

/// How long a toast stays.
const TOAST: Duration = Duration::from_secs(4);
/// Lines kept of a launch.
const LAUNCH_LINES: usize = 200;
/// Answers shown beside each other at most: each is a connection of its own.
const STREAMS_MAX: usize = 16;
/// Rows that each of them needs: its head and two lines of its text.
const STREAM_ROWS: u16 = 3;

/// Takes one message in.
pub(crate) fn update(model: &mut Model, message: Message, now: Now) -> Vec<Effect> {
    let mut effects = Vec::new();
    match message {
        Message::Key(key) => {
            lists::arrange(model, now);
            keys::key(model, key, now, &mut effects);
        }
        Message::Paste(text) => paste(model, &text),
        Message::Mouse { mouse, at } => {
            lists::arrange(model, now);
            mouse::mouse(model, mouse, at, now);
        }
        Message::Resize { width, height } => model.size = (width, height),
        Message::Tick => lists::arrange(model, now),
        Message::Moved(url) => model.address = address(&url),
        Message::Feed(news) => feed::news(model, news, now),
        Message::Job { job, news } => job_news(model, &job, news, now),
        Message::Submitted { ticket, result } => submitted(model, ticket, result, now),
        Message::Acted { ticket, result } => deeds::answered(model, ticket, result, now),
        Message::Cancelled { job, result } => deeds::cancel_answered(model, &job, &result),
        Message::QueenStopping(result) => {
            if let Err(cause) = result {
                toast(model, format!("The queen was not stopped: {cause}"), Tone::Bad, now);
            }
        }
        Message::CopiedToFile(result) => match result {
            Ok(path) => toast(
                model,
                format!("Too long for the terminal: copied to {path}"),
                Tone::Good,
                now,
            ),
            Err(cause) => toast(model, format!("Nothing was copied: {cause}"), Tone::Bad, now),
        },
        Message::Request(result) => machines::request_read(model, result, now),
        Message::Hosts(result) => machines::hosts_read(model, result, now),
        Message::Build(result) => match result {
            Ok(build) => model.queen.build = Some(build),
            Err(cause) => note(model, "build", &cause, now),
        },
        Message::Measured(result) => {
            if let Err(cause) = &result {
                note(model, "link", cause, now);
            }
            model.queen.measured(result.ok(), now.monotonic);
        }
        Message::WorkerLog { worker, result } => worker_log(model, &worker, result),
        Message::Paged(result) => {
            if let Err(cause) = result {
                toast(model, cause, Tone::Bad, now);
            }
        }
        Message::ConfigEdited(result) => settings::edited(model, result, now),
        Message::Noticed(notices) => settings::noticed(model, notices, now),
        Message::StartLine(line) => start_line(model, &line, now),
        Message::StartEnded(result) => start_ended(model, result, now, &mut effects),
        Message::RecordingEnded => recording_ended(model, now),
    }
    elapse(model, now);
    deeds::advance(model, now, &mut effects);
    follow(model, &mut effects);
    ask(model, now, &mut effects);
    effects
}

/// Asks for what is on the screen and comes by no feed.
fn ask(model: &mut Model, now: Now, effects: &mut Vec<Effect>) {
    machines::ask(model, effects);
    let live = model.connection.is_live();
    let view = &model.ui.view;
    if live && *view == View::Queen && model.queen.measure_at.is_some_and(|at| at <= now.monotonic)
    {
        model.queen.measure_at = None;
        effects.push(Effect::Measure);
        if model.queen.build.is_none() {
            effects.push(Effect::ReadBuild);
        }
    }
    let wanted = match view {
        View::Worker(worker) if live => Some(worker),
        _ => None,
    };
    let read = model.worker_log.as_ref().filter(|it| it.broken.is_none()).map(|it| &it.worker);
    match wanted {
        Some(worker) if read != Some(worker) => {
            let broken = model.worker_log.as_ref().is_some_and(|it| it.worker == *worker);
            if !broken {
                effects.push(Effect::ReadLog(worker.clone()));
                model.worker_log = Some(WorkerLog::new(worker.clone()));
            }
        }
        None if model.worker_log.is_some() && live => {
            effects.push(Effect::LeaveLog);
            model.worker_log = None;
        }
        _ => {}
    }
}

fn worker_log(model: &mut Model, worker: &WorkerId, result: Result<Vec<LogLine>, String>) {
    let Some(log) = model.worker_log.as_mut().filter(|it| it.worker == *worker) else { return };
    match result {
        Ok(lines) => log.read(lines),
        Err(cause) => log.broken = Some(one_line(&cause).into_owned()),
    }
}

/// Writes down what went wrong.
fn note(model: &mut Model, what: &str, cause: &str, now: Now) {
    let at = model.queen_time(now);
    model.queen.note(at, what, Level::Error, &one_line(cause));
}

/// What the passing of time alone changes.
fn elapse(model: &mut Model, now: Now) {
    if model.ui.toast.as_ref().is_some_and(|toast| toast.until <= now.monotonic) {
        model.ui.toast = None;
    }
    if let Connection::Syncing { until, .. } = model.connection
        && until <= now.monotonic
        && model.is_known
    {
        feed::became_live(model, now);
    }
}

fn recording_ended(model: &mut Model, now: Now) {
    if model.source == (Source::Recording { is_cut_off: true }) {
        let text = "The recording breaks off here: its last line was not written to its end";
        toast(model, text, Tone::Warn, now);
    } else {
        toast(model, "The recording ends here", Tone::Good, now);
    }
    model.source = Source::Over;
}

/// Shows a line for a while.
fn toast(model: &mut Model, text: impl Into<String>, tone: Tone, now: Now) {
    let text = one_line(&text.into()).into_owned();
    if !matches!(tone, Tone::Quiet | Tone::Working) {
        let at = model.queen_time(now);
        model.deeds.alert(Alert { at, text: text.clone(), tone });
    }
    show(model, &text, tone, now);
}

/// The same for what is among the alerts already.
fn show(model: &mut Model, text: &str, tone: Tone, now: Now) {
    let text = one_line(text).into_owned();
    model.ui.toast = Some(Toast { text, tone, until: now.monotonic + TOAST });
}

/// Notes the command line of what is done.
fn command(model: &mut Model, line: String, now: Now) {
    let at = model.queen_time(now);
    model.queen.note(at, "you", Level::Info, &one_line(&line));
    model.deeds.command(at, line);
}

/// Follows exactly the jobs whose text is on the screen.
fn follow(model: &mut Model, effects: &mut Vec<Effect>) {
    let wanted = wanted(model);
    for job in model.following.difference(&wanted) {
        effects.push(Effect::Unfollow(job.clone()));
    }
    for job in wanted.difference(&model.following) {
        let after = model.streams.job(job).map_or(0, |stream| stream.after);
        effects.push(Effect::Follow { job: job.clone(), after });
    }
    model.following = wanted;
}

fn wanted(model: &Model) -> BTreeSet<JobId> {
    if !model.connection.is_live() {
        return BTreeSet::new();
    }
    let is_open = |job: &JobId| {
        model.streams.job(job).is_none_or(|it| it.end.is_none() && it.broken.is_none())
    };
    let shown: Vec<&JobId> = match &model.ui.view {
        View::Job(job) => vec![job],
        View::Infer => model.infer.targets().filter_map(Target::job).collect(),
        View::Fleet if sizes::is_large(model.size) => {
            shown_streams(model, sizes::answers(model.size.1)).collect()
        }
        _ => Vec::new(),
    };
    shown.into_iter().filter(|job| is_open(job)).cloned().collect()
}

/// The answers that are being generated, the newest first.
pub(crate) fn streams(model: &Model) -> impl Iterator<Item = &JobId> {
    let running = model.fleet.jobs.iter().rev();
    running.filter(|(_, job)| job.operation == "infer" && !job.state.is_ended()).map(|(id, _)| id)
}

/// As many of them as fit into these rows.
pub(crate) fn shown_streams(model: &Model, rows: u16) -> impl Iterator<Item = &JobId> {
    streams(model).take(usize::from(rows / STREAM_ROWS).clamp(1, STREAMS_MAX))
}

fn paste(model: &mut Model, text: &str) {
    if model.ui.dialog.is_some() {
        return dialogs::paste(model, text);
    }
    if keymap::contexts(model).contains(&Context::Prompt) && text.len() <= keys::PROMPT_MAX {
        model.infer.prompt.insert_str(sanitise(&text.replace('\r', "\n")));
    }
}

fn job_news(model: &mut Model, job: &JobId, news: Vec<JobNews>, now: Now) {
    let hive = model.fleet.jobs.get(job).and_then(|it| it.hive_id.clone());
    let time = model.queen_time(now);
    for news in news {
        match news {
            JobNews::Event { number, event } => {
                model.streams.followed(job, hive.clone(), number, &event, time);
            }
            JobNews::End(end) => model.streams.job_mut(job).end = Some(end),
            JobNews::Broken(cause) => {
                let cause = one_line(&cause).into_owned();
                model.streams.job_mut(job).broken = Some(Broken { cause, at: now.wall });
            }
        }
    }
}

fn submitted(model: &mut Model, ticket: u64, result: Result<JobId, String>, now: Now) {
    let at = model.queen_time(now);
    let awaits = |target: &&mut Target| matches!(&target.turn, Turn::Sending { ticket: awaited, .. } if *awaited == ticket);
    let Some(target) = model.infer.targets_mut().find(awaits) else { return };
    let Turn::Sending { prompt, .. } = &target.turn else { return };
    match result {
        Ok(job) => {
            target.turn = Turn::Accepted { job, prompt: prompt.clone(), at };
            model.infer.clear();
            model.ui.windows.begin();
        }
        Err(cause) => {
            target.turn = Turn::Refused { cause: one_line(&cause).into_owned() };
            if model.ui.view == View::Infer {
                model.ui.focus = Pane::Prompt;
            }
        }
    }
}

fn start_line(model: &mut Model, line: &str, now: Now) {
    let launch = model.launch.get_or_insert_with(|| Launch {
        lines: Vec::new(),
        since: now.monotonic,
        failed: None,
    });
    launch.lines.push(one_line(line).into_owned());
    if launch.lines.len() > LAUNCH_LINES {
        launch.lines.remove(0);
    }
}

fn start_ended(model: &mut Model, result: Result<(), String>, now: Now, effects: &mut Vec<Effect>) {
    match result {
        Ok(()) => {
            model.launch = None;
            toast(model, "The queen is up", Tone::Good, now);
            effects.push(Effect::Retry);
        }
        Err(cause) => {
            if let Some(launch) = &mut model.launch {
                launch.failed = Some(one_line(&cause).into_owned());
            }
        }
    }
}

#[cfg(test)]
mod action_tests;
#[cfg(test)]
mod machine_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod view_tests;
