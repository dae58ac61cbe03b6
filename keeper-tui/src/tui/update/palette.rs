//! The palette: what is typed after `:`.
//!
//! It understands the names of the actions, what has an id, and everything the
//! command line understands: its words are read by the command line's own
//! parser, so a command means the same in both places.

use clap::{CommandFactory, Parser, error::ErrorKind};
use protocol::operation::{
    HiveOperation, HiveRefreshCapabilities, HiveStart, ModelDelete, ModelDownload, Operation,
    QueenOperation, WorkerDelete, WorkerSpawn,
};

use super::{deeds, dialogs, drill, keys, machines, toast};
use crate::{
    cli::args::{self, Cli, Command, Machine, checked, shell_word},
    text::one_line,
    tui::{
        actions::{self, ACTIONS, Target, Verb, available},
        effect::Effect,
        keymap::Action,
        state::{
            Model, Now, View,
            dialog::{Candidate, Dialog, Palette},
            filter::{fuzzy, matcher},
            line::Line,
        },
        theme::Tone,
    },
};

/// Commands remembered.
const HISTORY_MAX: usize = 50;
/// Rows offered at once.
const FOUND_MAX: usize = 50;

/// What a command comes to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Parsed {
    /// This operation.
    Operation {
        /// What is done.
        verb: Verb,
        /// What is asked of the queen.
        operation: Operation,
        /// What it says is worth reading.
        opens: bool,
    },
    /// An action on these.
    Do(Verb, Vec<Target>),
    /// A view.
    Show(View),
    /// A thing.
    Go(Target),
    /// A machine to be added; the operator chooses when none is named.
    Add(Option<Machine>),
}

/// Opens the palette.
pub(super) fn open(model: &mut Model) {
    let mut palette = Palette::default();
    typed(model, &mut palette);
    model.ui.dialog = Some(Dialog::Palette(palette));
}

/// The line is another: what could be meant?
pub(super) fn typed(model: &Model, palette: &mut Palette) {
    palette.problem = None;
    palette.at = None;
    palette.found = find(model, palette.line.text());
}

/// Moves through what could be meant.
pub(super) fn step(model: &Model, palette: &mut Palette, by: i64) {
    // Up from an empty line is what was run before.
    if by < 0 && palette.at.is_none() && palette.line.text().is_empty() {
        if let Some(last) = model.ui.palette_history.last() {
            palette.line = Line::new(last);
            typed(model, palette);
        }
        return;
    }
    let last = palette.found.len().saturating_sub(1);
    palette.at = match (palette.at, by < 0) {
        _ if palette.found.is_empty() => None,
        (None, true) | (Some(0), true) => None,
        (None, false) => Some(0),
        (Some(at), true) => Some(at - 1),
        (Some(at), false) => Some((at + 1).min(last)),
    };
}

/// The rest of the line as it would be completed.
pub(crate) fn ghost(palette: &Palette) -> Option<&str> {
    let chosen = palette.found.get(palette.at.unwrap_or(0))?;
    chosen.text.strip_prefix(palette.line.text()).filter(|rest| !rest.is_empty())
}

/// Puts the chosen row, or else the best, into the line.
pub(super) fn complete(model: &Model, palette: &mut Palette) {
    if let Some(chosen) = palette.found.get(palette.at.unwrap_or(0)) {
        palette.line = Line::new(&chosen.text.clone());
        typed(model, palette);
    }
}

/// Everything that could be meant by `text`, the best first.
fn find(model: &Model, text: &str) -> Vec<Candidate> {
    let mut all = arguments(model, text);
    if all.is_empty() {
        all = everything(model);
    }
    if text.trim().is_empty() {
        let history = model.ui.palette_history.iter().rev();
        let before = history.map(|it| candidate(it, "run before", None)).take(5);
        return before.chain(all).take(FOUND_MAX).collect();
    }
    let mut matcher = matcher();
    let mut scored: Vec<(u32, Candidate)> = all
        .into_iter()
        .filter_map(|it| {
            let score = fuzzy(text.trim(), &it.text, &mut matcher)?;
            // What begins as it is typed comes before what only has the letters.
            let begins = if it.text.starts_with(text) { 10_000 } else { 0 };
            Some((score + begins, it))
        })
        .collect();
    scored.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| x.text.cmp(&y.text)));
    scored.into_iter().map(|(_, it)| it).take(FOUND_MAX).collect()
}

fn candidate(text: &str, what: &str, off: Option<String>) -> Candidate {
    Candidate { text: text.to_owned(), what: what.to_owned(), off }
}

/// Verbs first, then what has an id.
fn everything(model: &Model) -> Vec<Candidate> {
    let mut all = Vec::new();
    let targets = model.targets();
    let kind = targets.first().map(Target::kind);
    for row in ACTIONS.iter().filter(|row| Some(row.kind) == kind) {
        let first = targets.first().map(ToString::to_string).unwrap_or_default();
        let whom = if targets.len() > 1 {
            format!("{} {}", targets.len(), row.kind.words().1)
        } else {
            first
        };
        let reasons = targets.iter().map(|target| available(model, row.verb, target));
        let off = reasons.reduce(Result::or).and_then(Result::err).map(|it| it.to_string());
        all.push(candidate(row.name, &format!("{whom}: {}", row.what), off));
    }
    for binding in model.keymap.bindings() {
        if let Some(name) = binding.action.name()
            && !all.iter().any(|it: &Candidate| it.text == name)
        {
            all.push(candidate(name, binding.what, None));
        }
    }
    let verbs = commands(&Cli::command());
    for (name, about) in verbs {
        if !all.iter().any(|it| it.text == name) {
            all.push(candidate(&name, &about, None));
        }
    }
    for row in ACTIONS.iter().filter(|row| Some(row.kind) != kind) {
        if !all.iter().any(|it| it.text == row.name) {
            all.push(candidate(row.name, row.what, None));
        }
    }
    all.extend(objects(model).map(|target| {
        let (one, _) = target.kind().words();
        candidate(target.id(), one, None)
    }));
    all
}

/// The command line's verbs that come to something here.
fn commands(command: &clap::Command) -> Vec<(String, String)> {
    let about = |it: &clap::Command| it.get_about().map(ToString::to_string).unwrap_or_default();
    let groups = ["queen", "hive", "worker", "model", "job"];
    let mut all = vec![];
    for group in command.get_subcommands().filter(|it| groups.contains(&it.get_name())) {
        for verb in group.get_subcommands() {
            all.push((format!("{} {}", group.get_name(), verb.get_name()), about(verb)));
        }
    }
    all
}

fn objects(model: &Model) -> impl Iterator<Item = Target> {
    let fleet = &model.fleet;
    let hives = fleet.hives.keys().cloned().map(Target::Hive);
    let workers = fleet.workers.keys().cloned().map(Target::Worker);
    let jobs = fleet.jobs.keys().rev().cloned().map(Target::Job);
    let models = model.models.listed().keys().cloned();
    let models = models.map(|(id, hive)| Target::Model(hive, id));
    hives.chain(workers).chain(models).chain(jobs)
}

/// What can stand in the place of the last word.
fn arguments(model: &Model, text: &str) -> Vec<Candidate> {
    let Some((before, _)) = text.rsplit_once(' ') else { return Vec::new() };
    let words: Vec<&str> = before.split_whitespace().collect();
    let fleet = &model.fleet;
    let with = |values: Vec<(String, String, Option<String>)>| {
        let line = |(value, what, off): (String, String, Option<String>)| {
            candidate(&format!("{before} {value}"), &what, off)
        };
        values.into_iter().map(line).collect::<Vec<_>>()
    };
    let plain = |values: Vec<String>, what: &str| {
        with(values.into_iter().map(|it| (shell_word(&it), what.to_owned(), None)).collect())
    };
    match words.last() {
        Some(&"--hive") => {
            return plain(fleet.hives.keys().map(ToString::to_string).collect(), "hive");
        }
        Some(&("--model" | "-m")) => return plain(dialogs::models(model), "model"),
        Some(&"--device") => {
            let mut ids: Vec<String> = fleet.devices.keys().map(|it| it.1.to_string()).collect();
            ids.sort();
            ids.dedup();
            return plain(ids, "device");
        }
        _ => {}
    }
    let name = words.iter().take(2).copied().collect::<Vec<_>>().join(" ");
    let Some(row) = ACTIONS.iter().find(|row| row.name == name) else { return Vec::new() };
    let fitting = objects(model).filter(|target| target.kind() == row.kind);
    with(
        fitting
            .map(|target| {
                let off = available(model, row.verb, &target).err().map(|it| it.to_string());
                let mut words = shell_word(target.id());
                // The same model may be on several machines.
                if let Target::Model(hive, _) = &target {
                    words.push_str(&format!(" --hive {}", shell_word(hive.as_str())));
                }
                (words, row.what.to_owned(), off)
            })
            .collect(),
    )
}

/// Runs what is typed, or the row that was moved to.
pub(super) fn run(model: &mut Model, mut palette: Palette, now: Now, effects: &mut Vec<Effect>) {
    let chosen = palette.at.and_then(|at| palette.found.get(at));
    let text = chosen.map_or_else(|| palette.line.text().trim(), |it| it.text.as_str()).to_owned();
    if text.is_empty() {
        return;
    }
    match meant(model, &text) {
        Ok(meant) => {
            model.ui.palette_history.retain(|it| *it != text);
            model.ui.palette_history.push(text);
            if model.ui.palette_history.len() > HISTORY_MAX {
                model.ui.palette_history.remove(0);
            }
            match meant {
                Meant::Key(action) => keys::act(model, action, now, effects),
                Meant::Parsed(parsed) => carry_out(model, parsed, now, effects),
            }
        }
        Err(problem) => {
            palette.problem = Some(problem);
            model.ui.dialog = Some(Dialog::Palette(palette));
        }
    }
}

enum Meant {
    Key(Action),
    Parsed(Parsed),
}

fn meant(model: &Model, text: &str) -> Result<Meant, String> {
    if let Some(binding) = model.keymap.bindings().iter().find(|it| it.action.name() == Some(text))
    {
        return Ok(Meant::Key(binding.action));
    }
    let words = shlex::split(text).ok_or_else(|| "a quote is not closed".to_owned())?;
    if let [id] = words.as_slice()
        && let Some(target) = objects(model).find(|it| it.id() == id)
    {
        return Ok(Meant::Parsed(Parsed::Go(target)));
    }
    if let Some(done) = action(model, &words)? {
        return Ok(Meant::Parsed(done));
    }
    parse(&words).map(Meant::Parsed)
}

/// An action of the table, on what is named or else on what is selected.
fn action(model: &Model, words: &[String]) -> Result<Option<Parsed>, String> {
    let [group, verb, ids @ ..] = words else { return Ok(None) };
    let name = format!("{group} {verb}");
    let mut rows = ACTIONS.iter().filter(|row| row.name == name).peekable();
    if rows.peek().is_none() || ids.iter().any(|id| id.starts_with('-')) {
        return Ok(None);
    }
    if ids.is_empty() && name == "hive install" {
        return Ok(Some(Parsed::Add(None)));
    }
    if ids.is_empty() {
        let targets = model.targets();
        let kind = targets.first().map(Target::kind);
        if let Some(row) = rows.clone().find(|row| Some(row.kind) == kind) {
            return Ok(Some(Parsed::Do(row.verb, targets)));
        }
        if name.starts_with("queen ") {
            return Ok(rows.next().map(|row| Parsed::Do(row.verb, vec![Target::Queen])));
        }
        return Ok(None);
    }
    // A model is named with its machine, which the command line's own words do.
    for row in rows.filter(|row| row.kind != actions::Kind::Model) {
        let find = |id: &String| objects(model).find(|it| it.kind() == row.kind && it.id() == id);
        let found: Vec<Option<Target>> = ids.iter().map(find).collect();
        if let Some(targets) = found.iter().cloned().collect::<Option<Vec<Target>>>() {
            return Ok(Some(Parsed::Do(row.verb, targets)));
        }
        let is_own = row.kind == actions::Kind::Worker || row.kind == actions::Kind::Job;
        if is_own && let Some((id, _)) = ids.iter().zip(&found).find(|(_, it)| it.is_none()) {
            return Err(format!("there is no {} `{}`", row.kind.words().0, one_line(id)));
        }
    }
    Ok(None)
}

/// Reads words as the command line would.
pub(super) fn parse(words: &[String]) -> Result<Parsed, String> {
    let line = std::iter::once("rbee-keeper").chain(words.iter().map(String::as_str));
    let cli = Cli::try_parse_from(line).map_err(|error| explain(&error))?;
    let operation = |verb, operation: HiveOperation, opens| {
        let operation = checked(operation.into()).map_err(|failure| failure.message)?;
        Ok(Parsed::Operation { verb, operation, opens })
    };
    let queen = |verb, operation: QueenOperation| {
        Ok(Parsed::Operation { verb, operation: operation.into(), opens: false })
    };
    match cli.command {
        None | Some(Command::Status { .. }) => Ok(Parsed::Show(View::Fleet)),
        Some(Command::Infer(args)) => {
            let infer = args.operation(args.prompt.clone());
            let asked = checked(QueenOperation::from(infer).into());
            let operation = asked.map_err(|failure| failure.message)?;
            Ok(Parsed::Operation { verb: Verb::Ask, operation, opens: true })
        }
        Some(Command::Queen(args::Queen::Start)) => {
            Ok(Parsed::Do(Verb::StartQueen, vec![Target::Queen]))
        }
        Some(Command::Queen(args::Queen::Stop { keep_hives: false })) => {
            Ok(Parsed::Do(Verb::StopQueen, vec![Target::Queen]))
        }
        Some(Command::Hive(args::Hive::Start(it))) => {
            queen(Verb::StartHive, HiveStart { alias: it.alias }.into())
        }
        Some(Command::Hive(args::Hive::Stop(it))) => {
            Ok(Parsed::Do(Verb::StopHive, vec![Target::Hive(it.alias)]))
        }
        Some(Command::Hive(args::Hive::Refresh(it))) => {
            queen(Verb::RefreshHive, HiveRefreshCapabilities { alias: it.alias }.into())
        }
        Some(Command::Hive(args::Hive::Update {
            alias,
            binary_path: None,
            allow_downgrade: false,
        })) => Ok(Parsed::Do(Verb::UpdateHive, vec![Target::Hive(alias)])),
        Some(Command::Hive(args::Hive::Discover)) => Ok(Parsed::Add(None)),
        Some(Command::Hive(args::Hive::Install(it))) if is_plain(&it) => {
            Ok(Parsed::Add(Some(it.reach.machine)))
        }
        Some(Command::Hive(args::Hive::List)) => Ok(Parsed::Show(View::Fleet)),
        Some(Command::Hive(args::Hive::Get(it) | args::Hive::Status(it))) => {
            Ok(Parsed::Go(Target::Hive(it.alias)))
        }
        Some(Command::Worker(args::Worker::Spawn(it))) => {
            operation(Verb::Spawn, WorkerSpawn::from(&*it).into(), false)
        }
        Some(Command::Worker(args::Worker::List { .. })) => Ok(Parsed::Show(View::Workers)),
        Some(Command::Worker(args::Worker::Get { id } | args::Worker::Logs { id, .. })) => {
            Ok(Parsed::Go(Target::Worker(id)))
        }
        Some(Command::Worker(args::Worker::Delete { id, confirm })) => match confirm {
            Some(confirm) if confirm == id => operation(
                Verb::DeleteWorker,
                WorkerDelete { hive_id: None, worker_id: id }.into(),
                false,
            ),
            _ => Ok(Parsed::Do(Verb::DeleteWorker, vec![Target::Worker(id)])),
        },
        Some(Command::Model(args::Model::Download { model, hive, revision })) => operation(
            Verb::Download,
            ModelDownload { hive_id: hive, model, revision }.into(),
            false,
        ),
        Some(Command::Model(args::Model::Delete { model, confirm })) => match confirm {
            Some(confirm) if confirm == model.id => operation(
                Verb::DeleteModel,
                ModelDelete { hive_id: model.hive, id: model.id }.into(),
                false,
            ),
            _ => Ok(Parsed::Do(Verb::DeleteModel, vec![Target::Model(model.hive, model.id)])),
        },
        Some(Command::Job(args::Job::List { .. })) => Ok(Parsed::Show(View::Jobs)),
        Some(Command::Job(args::Job::Logs { id } | args::Job::Attach { id })) => {
            Ok(Parsed::Go(Target::Job(id)))
        }
        Some(Command::Job(args::Job::Retry { id })) => {
            Ok(Parsed::Do(Verb::Retry, vec![Target::Job(id)]))
        }
        Some(Command::Job(args::Job::Cancel { ids })) => {
            Ok(Parsed::Do(Verb::Cancel, ids.into_iter().map(Target::Job).collect()))
        }
        Some(_) => {
            let line: Vec<String> = words.iter().map(|it| shell_word(it)).collect();
            Err(format!("only at the shell: rbee-keeper {}", line.join(" ")))
        }
    }
}

/// Whether it says no more than which machine: a key that is to be trusted is
/// looked at first.
fn is_plain(install: &args::InstallArgs) -> bool {
    install.binary_path.is_none() && install.reach.ssh.is_none() && install.reach.host_key.is_none()
}

/// One sentence of what the parser has to say.
fn explain(error: &clap::Error) -> String {
    let text = error.to_string();
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::DisplayVersion
    ) {
        return "that is not a whole command".to_owned();
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let useful = lines.take_while(|line| !line.starts_with("Usage:"));
    let joined = useful.collect::<Vec<_>>().join("; ");
    one_line(joined.trim_start_matches("error: ")).into_owned()
}

fn carry_out(model: &mut Model, parsed: Parsed, now: Now, effects: &mut Vec<Effect>) {
    match parsed {
        Parsed::Operation { verb, operation, opens } => {
            deeds::begin_operation(model, verb, operation, opens, now);
        }
        Parsed::Do(verb, targets) => dialogs::start(model, verb, targets, now, effects),
        Parsed::Show(view) => drill::jump(model, view, now),
        Parsed::Go(target) => go(model, target, now),
        Parsed::Add(None) => machines::pick(model, now),
        Parsed::Add(Some(machine)) => {
            if let Err(reason) = machines::confirm(model, machine) {
                toast(model, deeds::cannot(&reason), Tone::Warn, now);
            }
        }
    }
}

/// Shows a thing where it is listed.
fn go(model: &mut Model, target: Target, now: Now) {
    let is_there = match &target {
        Target::Hive(id) => model.fleet.hives.contains_key(id),
        Target::Worker(id) => model.fleet.workers.contains_key(id),
        // A job that is not listed any more may still have a stream.
        _ => true,
    };
    if !is_there {
        return toast(model, format!("There is no {target}"), Tone::Warn, now);
    }
    match target {
        Target::Hive(id) => {
            model.ui.hives.select(id);
            drill::jump(model, View::Fleet, now);
        }
        Target::Worker(id) => {
            model.ui.workers.select(id);
            drill::jump(model, View::Workers, now);
        }
        Target::Job(id) => drill::deeper(model, View::Job(id), now),
        Target::Model(hive, id) => {
            model.ui.models.select((id, hive));
            drill::jump(model, View::Models, now);
        }
        Target::Device(..) | Target::Queen => {}
    }
}
