//! Actions on their way: what is asked of the queen next, and how it ended.

use protocol::{JobId, job::JobState, operation::Operation};

use super::{command, drill, toast};
use crate::tui::{
    actions::{Kind, Reason, Step, Target, Verb, available, command_line, operation_line, steps},
    effect::Effect,
    state::{
        Launch, Model, Now, View,
        deeds::{Alert, DEEDS_MAX, Deed, RUNS_AT_ONCE, Run, RunState},
    },
    theme::Tone,
};

/// What it is called while it is under way, and once it is done.
fn words(verb: Verb) -> (&'static str, &'static str) {
    match verb {
        Verb::Ask => ("Asking", "answered"),
        Verb::Restart => ("Restarting", "restarted"),
        Verb::Stop | Verb::StopHive | Verb::StopQueen => ("Stopping", "stopped"),
        Verb::Kill => ("Killing", "killed"),
        Verb::DeleteWorker | Verb::DeleteModel => ("Deleting", "deleted"),
        Verb::Logs => ("Reading", "read"),
        Verb::Spawn => ("Spawning", "spawned"),
        Verb::Download => ("Downloading", "downloaded"),
        Verb::StartHive | Verb::StartQueen => ("Starting", "started"),
        Verb::InstallHive => ("Installing", "installed"),
        Verb::UpdateHive => ("Updating", "updated"),
        Verb::RefreshHive => ("Refreshing", "refreshed"),
        Verb::Attach => ("Opening", "opened"),
        Verb::Cancel => ("Cancelling", "cancelled"),
        Verb::Retry => ("Retrying", "done once more"),
    }
}

/// Does `verb` with each of `targets` that it can be done with; the others
/// are told.
pub(super) fn begin(model: &mut Model, verb: Verb, targets: &[Target], now: Now) {
    let Some(kind) = targets.first().map(Target::kind) else { return };
    let runs: Vec<Run> = targets
        .iter()
        .map(|target| {
            let planned = available(model, verb, target).and_then(|()| steps(model, verb, target));
            let (steps, state) = match planned {
                Ok(steps) => (steps, RunState::Waiting),
                Err(reason) => (Vec::new(), RunState::Failed(reason.to_string())),
            };
            Run { target: target.to_string(), steps: steps.into(), state }
        })
        .collect();
    // What has become needless while the question stood there is no failure.
    if runs.iter().all(|run| run.state.is_over()) {
        let reason = targets.first().map(|target| available(model, verb, target));
        if let Some(Err(reason)) = reason {
            toast(model, cannot(&reason), Tone::Quiet, now);
        }
        return;
    }
    let line = command_line(model, verb, targets);
    push(model, Deed { verb, kind, runs, since: now.monotonic, opens: false }, line, now);
}

/// Does one operation that was put together elsewhere.
pub(super) fn begin_operation(
    model: &mut Model,
    verb: Verb,
    operation: Operation,
    opens: bool,
    now: Now,
) {
    if model.is_read_only {
        return toast(model, cannot(&Reason::ReadOnly), Tone::Warn, now);
    }
    if !model.connection.is_live() {
        return toast(model, cannot(&Reason::QueenAway), Tone::Warn, now);
    }
    let about = operation.target();
    let named = about.model.map(|it| it.to_string()).or(about.worker_id.map(|it| it.to_string()));
    let target = match (named, about.hive_id) {
        (Some(named), Some(hive)) => format!("{named} on {hive}"),
        (Some(named), None) => named,
        (None, Some(hive)) => hive.to_string(),
        (None, None) => operation.name().to_owned(),
    };
    let line = operation_line(&model.program, &operation);
    let steps = [Step::Submit(operation)].into();
    let runs = vec![Run { target, steps, state: RunState::Waiting }];
    let deed = Deed { verb, kind: Kind::Job, runs, since: now.monotonic, opens };
    push(model, deed, line, now);
}

/// One sentence for why it is not done.
pub(super) fn cannot(reason: &Reason) -> String {
    format!("Not now: {reason}")
}

fn push(model: &mut Model, deed: Deed, line: String, now: Now) {
    if model.deeds.running.len() >= DEEDS_MAX {
        let text = format!("{DEEDS_MAX} actions are under way; wait for one of them to end");
        return toast(model, text, Tone::Warn, now);
    }
    command(model, line, now);
    let (doing, _) = words(deed.verb);
    let text = match deed.runs.as_slice() {
        [run] => format!("{doing} {}", run.target),
        runs => format!("{doing} {} {}", runs.len(), deed.kind.words().1),
    };
    toast(model, text, Tone::Working, now);
    model.deeds.running.push(deed);
}

/// The queen answered a request.
pub(super) fn answered(model: &mut Model, ticket: u64, result: Result<JobId, String>, now: Now) {
    let (mut open, mut renamed) = (None, None);
    for deed in &mut model.deeds.running {
        for run in &mut deed.runs {
            if run.state != RunState::Asking(ticket) {
                continue;
            }
            run.state = match &result {
                Ok(job) => {
                    if deed.opens {
                        open = Some(job.clone());
                    }
                    if deed.verb == Verb::Retry {
                        run.target = format!("{} as {}", run.target, job.short());
                        renamed = Some(format!("Retrying {}", run.target));
                    }
                    RunState::Running { job: job.clone(), since: now.monotonic }
                }
                Err(cause) => RunState::Failed(cause.clone()),
            };
        }
    }
    // The old id alone would hide that another job is at work.
    if let Some(text) = renamed {
        toast(model, text, Tone::Working, now);
    }
    if let Some(job) = open {
        drill::deeper(model, View::Job(job), now);
    }
}

/// The queen answered a cancellation.
pub(super) fn cancel_answered(model: &mut Model, id: &JobId, result: &Result<(), String>) {
    for run in model.deeds.running.iter_mut().flat_map(|deed| &mut deed.runs) {
        if matches!(&run.state, RunState::Cancelling(job) if job == id) {
            match result {
                Err(cause) => run.state = RunState::Failed(cause.clone()),
                // The last step is over when the job is, a step on the way when it was heard.
                Ok(()) if !run.steps.is_empty() => run.state = RunState::Waiting,
                Ok(()) => {}
            }
        }
    }
}

/// How long a job that the queen accepted may stay out of her feed.
const UNSEEN_MAX: std::time::Duration = std::time::Duration::from_secs(30);

/// How the job of a run ended; `None` while it has not.
fn end_of(
    model: &Model,
    id: &JobId,
    since: std::time::Duration,
    now: Now,
) -> Option<Result<(), String>> {
    let Some(job) = model.fleet.jobs.get(id) else {
        let is_lost =
            now.monotonic.saturating_sub(since) > UNSEEN_MAX && model.connection.is_live();
        return is_lost.then(|| Err("nothing was heard of its end".to_owned()));
    };
    match job.state {
        JobState::Done => Some(Ok(())),
        JobState::Cancelled => Some(Err("it was cancelled".to_owned())),
        JobState::Failed => Some(Err(job
            .error
            .as_ref()
            .map_or_else(|| "it failed".to_owned(), protocol::ApiError::one_line))),
        JobState::Queued | JobState::Running => None,
    }
}

/// Goes on with everything that can go on, and tells what has ended.
pub(super) fn advance(model: &mut Model, now: Now, effects: &mut Vec<Effect>) {
    if model.deeds.running.is_empty() {
        return;
    }
    let mut running = std::mem::take(&mut model.deeds.running);
    for deed in &mut running {
        for run in &mut deed.runs {
            run.state = match &run.state {
                RunState::Running { job, since } => match end_of(model, job, *since, now) {
                    Some(Ok(())) => RunState::Waiting,
                    Some(Err(cause)) => RunState::Failed(cause),
                    None => continue,
                },
                RunState::Cancelling(job) if model.is_ended(job) => RunState::Waiting,
                _ => continue,
            };
        }
        let busy = |run: &&Run| !run.state.is_over() && run.state != RunState::Waiting;
        let mut free = RUNS_AT_ONCE.saturating_sub(deed.runs.iter().filter(busy).count());
        for run in deed.runs.iter_mut().filter(|run| run.state == RunState::Waiting) {
            match run.steps.front() {
                None => run.state = RunState::Done,
                Some(_) if free == 0 => {}
                Some(_) => {
                    free -= 1;
                    if let Some(step) = run.steps.pop_front() {
                        run.state = ask(model, step, effects);
                    }
                }
            }
        }
    }
    let (ended, running): (Vec<Deed>, Vec<Deed>) =
        running.into_iter().partition(|deed| deed.runs.iter().all(|run| run.state.is_over()));
    model.deeds.running = running;
    for deed in ended {
        tell(model, &deed, now);
    }
}

fn ask(model: &mut Model, step: Step, effects: &mut Vec<Effect>) -> RunState {
    match step {
        Step::Submit(operation) => {
            let ticket = model.deeds.ticket();
            effects.push(Effect::Act { ticket, operation });
            RunState::Asking(ticket)
        }
        Step::Again(job) => {
            let ticket = model.deeds.ticket();
            effects.push(Effect::ActAgain { ticket, job });
            RunState::Asking(ticket)
        }
        Step::Cancel(job) => {
            effects.push(Effect::Cancel(job.clone()));
            RunState::Cancelling(job)
        }
    }
}

fn shows_key(model: &Model, alias: &str) -> bool {
    alias.parse().is_ok_and(|alias| model.shown_key(&alias).is_some())
}

/// One line for all of it; in the history a line for each that failed.
fn tell(model: &mut Model, deed: &Deed, now: Now) {
    let (_, done) = words(deed.verb);
    let failed: Vec<(&str, &str)> = deed
        .runs
        .iter()
        .filter_map(|run| match &run.state {
            RunState::Failed(cause) => Some((run.target.as_str(), cause.as_str())),
            _ => None,
        })
        .collect();
    let took = now.monotonic.saturating_sub(deed.since).as_secs_f64();
    let all = deed.runs.len();
    let (text, tone) = match (deed.runs.as_slice(), failed.as_slice()) {
        ([run], []) => (format!("{} {done} in {took:.1} s", run.target), Tone::Good),
        (_, []) => (format!("{all} {} {done} in {took:.1} s", deed.kind.words().1), Tone::Good),
        ([_], [(target, _), ..]) if deed.verb == Verb::InstallHive && shows_key(model, target) => {
            let text =
                format!("{target} shows a key that is not known: install it again to see it");
            (text, Tone::Warn)
        }
        ([_], [(target, cause), ..]) => (format!("{target} was not {done}: {cause}"), Tone::Bad),
        (_, [(target, cause), rest @ ..]) => {
            let more = match rest.len() {
                0 => String::new(),
                more => format!(", and {more} more (! shows them)"),
            };
            let part = all - failed.len();
            (format!("Partly done: {part} of {all} {done}; {target}: {cause}{more}"), Tone::Bad)
        }
    };
    if failed.len() > 1 {
        let at = model.queen_time(now);
        for (target, cause) in &failed {
            let text = format!("{target} was not {done}: {cause}");
            model.deeds.alert(Alert { at, text, tone: Tone::Bad });
        }
    }
    toast(model, text, tone, now);
}

/// Launches a queen on this machine.
pub(super) fn launch(model: &mut Model, now: Now, effects: &mut Vec<Effect>) {
    let launch = Launch { lines: Vec::new(), since: now.monotonic, failed: None };
    model.launch = Some(launch);
    command(model, "rbee-keeper queen start".to_owned(), now);
    effects.push(Effect::StartQueen);
}
