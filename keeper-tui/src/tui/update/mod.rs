//! Every decision of the dashboard: what happened goes in, what shall be done
//! comes out. Nothing here waits, reads a clock or touches the world.

mod feed;
mod keys;

use protocol::JobId;
use std::{collections::BTreeSet, time::Duration};

use super::{
    effect::Effect,
    keymap::{self, Context},
    message::{JobNews, Message},
    state::{Launch, Model, Now, Pane, Source, Toast, View, connection::Connection, infer::Turn},
    theme::Tone,
};
use crate::text::{one_line, sanitise};

/// How long a toast stays.
const TOAST: Duration = Duration::from_secs(4);
/// Lines kept of a launch.
const LAUNCH_LINES: usize = 200;
/// Streams shown beside each other on a large screen.
pub(crate) const STREAMS_SHOWN: usize = 3;
/// From this size on the fleet shows them.
pub(crate) const LARGE: (u16, u16) = (160, 45);

/// Takes one message in.
pub(crate) fn update(model: &mut Model, message: Message, now: Now) -> Vec<Effect> {
    let mut effects = Vec::new();
    match message {
        Message::Key(key) => keys::key(model, key, now, &mut effects),
        Message::Paste(text) => paste(model, &text),
        Message::Resize { width, height } => model.size = (width, height),
        Message::Tick => {}
        Message::Feed(news) => feed::news(model, news, now),
        Message::Job { job, news } => job_news(model, &job, news, now),
        Message::Submitted { ticket, result } => submitted(model, ticket, result, now),
        Message::Cancelled { job, result } => {
            if let Err(cause) = result {
                let text = format!("{} was not cancelled: {cause}", job.short());
                toast(model, text, Tone::Bad, now);
            }
        }
        Message::StartLine(line) => start_line(model, &line, now),
        Message::StartEnded(result) => start_ended(model, result, now, &mut effects),
        Message::RecordingEnded => recording_ended(model, now),
    }
    elapse(model, now);
    follow(model, &mut effects);
    effects
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
    model.ui.toast = Some(Toast { text, tone, until: now.monotonic + TOAST });
}

/// Shows a view, with the focus on its first pane.
fn show(model: &mut Model, view: View, now: Now) {
    if let View::Job(job) = &view {
        model.ui.read.insert(job.clone());
    }
    if model.ui.view != view {
        model.ui.job_text.follow();
        model.ui.job_narration.follow();
    }
    model.ui.focus = view.panes().first().copied().unwrap_or(Pane::List);
    model.ui.view = view;
    model.ui.view_since = now.monotonic;
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
        View::Infer => model.infer.job().into_iter().collect(),
        View::Fleet if is_large(model.size) => shown_streams(model).collect(),
        View::Fleet | View::Workers | View::Devices | View::Jobs => Vec::new(),
    };
    shown.into_iter().filter(|job| is_open(job)).cloned().collect()
}

/// Whether the screen has room for everything at once.
pub(crate) fn is_large((width, height): (u16, u16)) -> bool {
    width >= LARGE.0 && height >= LARGE.1
}

/// The newest answers that are being generated.
pub(crate) fn shown_streams(model: &Model) -> impl Iterator<Item = &JobId> {
    let running = model.fleet.jobs.iter().rev();
    running
        .filter(|(_, job)| job.operation == "infer" && !job.state.is_ended())
        .map(|(id, _)| id)
        .take(STREAMS_SHOWN)
}

fn paste(model: &mut Model, text: &str) {
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
                model.streams.job_mut(job).broken = Some(one_line(&cause).into_owned());
            }
        }
    }
}

fn submitted(model: &mut Model, ticket: u64, result: Result<JobId, String>, now: Now) {
    let Turn::Sending { ticket: awaited, prompt, .. } = &model.infer.turn else { return };
    if *awaited != ticket {
        return;
    }
    let prompt = prompt.clone();
    model.infer.turn = match result {
        Ok(job) => {
            model.infer.clear();
            model.ui.job_text.follow();
            model.ui.job_narration.follow();
            Turn::Accepted { job, prompt, at: model.queen_time(now) }
        }
        Err(cause) => {
            if model.ui.view == View::Infer {
                model.ui.focus = Pane::Prompt;
            }
            Turn::Refused { cause: one_line(&cause).into_owned() }
        }
    };
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
mod tests;
