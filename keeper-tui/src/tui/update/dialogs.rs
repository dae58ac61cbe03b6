//! What is in front: opened, moved in, answered.

use protocol::{JobId, operation::is_destructive};

use super::{
    command, copy, deeds, drill, lists, machines, palette, toast,
    typing::{LINE_MAX, edit},
};
use crate::tui::{
    actions::{self, Kind, Reason, Slot, Target, Verb, available, command_line},
    effect::Effect,
    keymap::Action,
    state::{
        Model, Now, View,
        dialog::{Confirm, Dialog, Field, Form, Menu},
        line::Line,
    },
    theme::Tone,
};

/// The answers a question takes: the key, what is done, what it is called.
pub(crate) fn choices(verb: Verb) -> &'static [(char, Verb, &'static str)] {
    match verb {
        Verb::Stop => &[('d', Verb::Stop, "drain first, then stop"), ('s', Verb::Kill, "stop now")],
        Verb::Restart => &[('d', Verb::Restart, "drain first, then restart")],
        Verb::Kill => &[('s', Verb::Kill, "stop now")],
        Verb::Cancel => &[('y', Verb::Cancel, "yes, cancel")],
        Verb::Retry => &[('y', Verb::Retry, "yes, once more")],
        Verb::InstallHive => &[('y', Verb::InstallHive, "yes, install it")],
        Verb::UpdateHive => &[('y', Verb::UpdateHive, "yes, update it")],
        Verb::StopHive => &[('y', Verb::StopHive, "yes, stop it")],
        Verb::StopQueen => &[('y', Verb::StopQueen, "yes, stop her")],
        _ => &[],
    }
}

/// What a key means for what is selected.
pub(super) fn slot(model: &mut Model, slot: Slot, now: Now, effects: &mut Vec<Effect>) {
    let targets = model.targets();
    let Some(kind) = targets.first().map(Target::kind) else { return };
    match actions::rows(kind).find(|row| row.slot == Some(slot)) {
        Some(row) => start(model, row.verb, targets, now, effects),
        None if slot == Slot::Ask => drill::jump(model, View::Infer, now),
        None => {
            let key = model.keymap.label(Action::ShowActions);
            let text = format!("There is no such action for a {}; {key} shows all", kind.words().0);
            toast(model, text, Tone::Quiet, now);
        }
    }
}

/// Begins an action: at once, or with what has to be asked or told first.
pub(super) fn start(
    model: &mut Model,
    verb: Verb,
    targets: Vec<Target>,
    now: Now,
    effects: &mut Vec<Effect>,
) {
    let able: Vec<Result<(), Reason>> =
        targets.iter().map(|target| available(model, verb, target)).collect();
    let Some(first) = targets.first().cloned() else { return };
    if able.iter().all(Result::is_err) {
        if let Some(Err(reason)) = able.first() {
            toast(model, deeds::cannot(reason), Tone::Warn, now);
        }
        return;
    }
    match (verb, first) {
        (Verb::Ask, target) => ask(model, &target, now),
        (Verb::Logs, Target::Worker(id)) => {
            drill::deeper(model, View::Worker(id), now);
        }
        (Verb::Attach, Target::Job(id)) => {
            model.streams.mend_one(&id);
            drill::deeper(model, View::Job(id), now);
        }
        (Verb::Spawn, target) => model.ui.dialog = Some(Dialog::Form(spawn_form(model, &target))),
        (Verb::Download, Target::Hive(hive)) => {
            model.ui.dialog = Some(Dialog::Form(download_form(model, hive)));
        }
        (Verb::InstallHive, Target::Hive(alias)) if targets.len() == 1 => {
            model.ui.dialog =
                Some(Dialog::Confirm(machines::question(model, machines::install(alias, None))));
        }
        // The same once more would show the same key once more.
        (Verb::Retry, Target::Job(job))
            if targets.len() == 1 && is(model, &job, "hive_install") =>
        {
            effects.push(Effect::ReadRequest(job));
        }
        (Verb::StartQueen, _) => deeds::launch(model, now, effects),
        (
            Verb::Stop
            | Verb::Kill
            | Verb::Restart
            | Verb::Cancel
            | Verb::StopHive
            | Verb::InstallHive
            | Verb::UpdateHive
            | Verb::StopQueen,
            _,
        ) => {
            let confirm = Confirm { verb, targets, name: None, operation: None };
            model.ui.dialog = Some(Dialog::Confirm(confirm));
        }
        (Verb::Retry, _) if targets.iter().any(|target| takes_away(model, target)) => {
            let confirm = Confirm { verb, targets, name: None, operation: None };
            model.ui.dialog = Some(Dialog::Confirm(confirm));
        }
        (Verb::DeleteWorker | Verb::DeleteModel, target) => {
            let name = match targets.len() {
                1 => target.id().to_owned(),
                count => format!("{count} {}", target.kind().words().1),
            };
            let name = Some((name, Line::default()));
            let confirm = Confirm { verb, targets, name, operation: None };
            model.ui.dialog = Some(Dialog::Confirm(confirm));
        }
        _ => deeds::begin(model, verb, &targets, now),
    }
}

/// Whether a job, done once more, would take something away.
fn takes_away(model: &Model, target: &Target) -> bool {
    let Target::Job(id) = target else { return false };
    // What is not known could do anything.
    model.fleet.jobs.get(id).is_none_or(|job| is_destructive(&job.operation))
}

fn is(model: &Model, job: &JobId, operation: &str) -> bool {
    model.fleet.jobs.get(job).is_some_and(|job| job.operation == operation)
}

fn ask(model: &mut Model, target: &Target, now: Now) {
    let asked = &mut model.infer.first;
    match target {
        Target::Worker(id) => {
            if let Some(worker) = model.fleet.workers.get(id) {
                asked.model = worker.model.clone();
                asked.worker = Some(id.clone());
            }
        }
        Target::Model(_, name) => {
            asked.model = name.clone();
            asked.worker = None;
        }
        _ => {}
    }
    drill::jump(model, View::Infer, now);
}

/// What models are known by name.
pub(super) fn models(model: &Model) -> Vec<String> {
    let workers = model.fleet.workers.values().map(|it| it.model.to_string());
    let jobs =
        model.fleet.jobs.values().filter_map(|it| it.model.as_ref().map(ToString::to_string));
    let on_disk = model.models.listed().keys().map(|(id, _)| id.to_string());
    let mut names: Vec<String> = workers.chain(jobs).chain(on_disk).collect();
    names.sort();
    names.dedup();
    names.insert(0, "demo".to_owned());
    names
}

fn spawn_form(model: &Model, target: &Target) -> Form {
    let (hive, device, name) = match target {
        Target::Hive(hive) => (hive.clone(), "", ""),
        Target::Device(hive, device) => (hive.clone(), device.as_str(), ""),
        Target::Model(hive, name) => (hive.clone(), "", name.as_str()),
        _ => (Default::default(), "", ""),
    };
    let devices = model.fleet.devices.values().filter(|it| it.hive_id == hive);
    let devices = devices.map(|it| it.id.to_string()).collect();
    let field = |name, default, value: &str, choices| Field {
        name,
        default,
        line: Line::new(value),
        choices,
    };
    let fields = vec![
        field("model", "demo, org/repo or org/repo:Q4_K_M", name, models(model)),
        field("device", "the best that fits", device, devices),
        field("slots", "as the hive says", "", Vec::new()),
        field("threads", "three quarters of the free cores", "", Vec::new()),
        field("context-length", "what the model was made for", "", Vec::new()),
    ];
    Form { verb: Verb::Spawn, hive, fields, at: 0, problem: None }
}

fn download_form(model: &Model, hive: protocol::HiveId) -> Form {
    let field = |name, default, choices| Field { name, default, line: Line::default(), choices };
    let fields = vec![
        field("model", "org/repo or org/repo:Q4_K_M", models(model)),
        field("revision", "main", Vec::new()),
    ];
    Form { verb: Verb::Download, hive, fields, at: 0, problem: None }
}

/// The command line of a form as it is filled in.
pub(crate) fn form_line(form: &Form) -> String {
    form_words(form)
        .iter()
        .map(|word| crate::cli::args::shell_word(word))
        .collect::<Vec<_>>()
        .join(" ")
}

fn form_words(form: &Form) -> Vec<String> {
    let mut words: Vec<String> = match form.verb {
        Verb::Download => vec!["model".into(), "download".into(), form.value("model").to_owned()],
        _ => {
            vec!["worker".into(), "spawn".into(), "--model".into(), form.value("model").to_owned()]
        }
    };
    words.extend(["--hive".to_owned(), form.hive.to_string()]);
    for field in form.fields.iter().filter(|it| it.name != "model") {
        let value = field.line.text().trim();
        if !value.is_empty() {
            words.extend([format!("--{}", field.name), value.to_owned()]);
        }
    }
    words
}

/// Opens the menu of everything that can be done.
pub(super) fn action_menu(model: &mut Model) {
    let targets = model.targets();
    let Some(kind) = targets.first().map(Target::kind) else { return };
    let first = actions::rows(kind).position(|row| is_able(model, row.verb, &targets));
    model.ui.dialog = Some(Dialog::Actions(Menu { targets, at: first.unwrap_or(0) }));
}

/// Whether it can be done with at least one of them.
fn is_able(model: &Model, verb: Verb, targets: &[Target]) -> bool {
    targets.iter().any(|target| available(model, verb, target).is_ok())
}

/// Moves in what is in front. `false`: there is nothing that can be moved in.
pub(super) fn step(model: &mut Model, by: i64) -> bool {
    let Some(mut dialog) = model.ui.dialog.take() else { return false };
    match &mut dialog {
        Dialog::Actions(menu) => {
            let kind = menu.targets.first().map_or(Kind::Queen, Target::kind);
            menu.at = moved(menu.at, by, actions::rows(kind).count());
        }
        Dialog::Copy(menu) => menu.at = moved(menu.at, by, copy::CHOICES.len()),
        Dialog::Sort(name, at) => *at = moved(*at, by, lists::columns(model, *name).len()),
        Dialog::Palette(palette) => palette::step(model, palette, by),
        Dialog::Machine(pick) => machines::step(model, pick, by),
        Dialog::Alerts(first) => *first = moved(*first, by, model.deeds.alerts.len()),
        Dialog::Commands(first) => *first = moved(*first, by, model.deeds.commands.len()),
        Dialog::Filter(name, ..) => {
            let name = *name;
            crate::tui::state::lists::with_list!(model, name, |list, records| {
                list.step(records, by);
            });
        }
        Dialog::Confirm(_) | Dialog::Form(_) | Dialog::ByUrl => {}
    }
    model.ui.dialog = Some(dialog);
    true
}

fn moved(at: usize, by: i64, count: usize) -> usize {
    let step = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
    let to = if by < 0 { at.saturating_sub(step) } else { at.saturating_add(step) };
    to.min(count.saturating_sub(1))
}

/// A letter or a text key for what is in front.
pub(super) fn type_key(
    model: &mut Model,
    key: crossterm::event::KeyEvent,
    now: Now,
    effects: &mut Vec<Effect>,
) {
    let letter = match key.code {
        crossterm::event::KeyCode::Char(c) => Some(c),
        _ => None,
    };
    let Some(mut dialog) = model.ui.dialog.take() else { return };
    match &mut dialog {
        Dialog::Actions(menu) => {
            let kind = menu.targets.first().map_or(Kind::Queen, Target::kind);
            if let Some(row) =
                actions::rows(kind).find(|row| Some(model.keymap.letter(row)) == letter)
            {
                let targets = std::mem::take(&mut menu.targets);
                return start(model, row.verb, targets, now, effects);
            }
        }
        Dialog::Copy(menu) => {
            if let Some(at) = copy::CHOICES.iter().position(|it| Some(it.0) == letter) {
                return copy::copy(model, &menu.targets, at, now, effects);
            }
        }
        Dialog::Sort(name, _) => {
            let columns = lists::columns(model, *name);
            if let Some(at) = columns.iter().position(|it| Some(it.0) == letter) {
                return lists::sort_by(model, *name, at);
            }
        }
        Dialog::Confirm(Confirm { name: Some((_, line)), .. }) => {
            edit(&mut line.input, key, LINE_MAX);
        }
        Dialog::Form(form) => {
            form.problem = None;
            if let Some(field) = form.fields.get_mut(form.at) {
                edit(&mut field.line.input, key, LINE_MAX);
            }
        }
        Dialog::Filter(name, line, _) => {
            edit(&mut line.input, key, crate::tui::state::filter::FILTER_MAX);
            lists::set_filter(model, *name, line.text().to_owned());
        }
        Dialog::Palette(palette) => {
            if edit(&mut palette.line.input, key, LINE_MAX) {
                palette::typed(model, palette);
            }
        }
        Dialog::Machine(pick) => machines::type_key(pick, key),
        Dialog::Confirm(_) | Dialog::Alerts(_) | Dialog::Commands(_) | Dialog::ByUrl => {}
    }
    model.ui.dialog = Some(dialog);
}

/// Text that came in at once.
pub(super) fn paste(model: &mut Model, text: &str) {
    let text = crate::text::one_line(text);
    let Some(mut dialog) = model.ui.dialog.take() else { return };
    let input = match &mut dialog {
        Dialog::Confirm(Confirm { name: Some((_, line)), .. }) => Some(&mut line.input),
        Dialog::Form(form) => form.fields.get_mut(form.at).map(|field| &mut field.line.input),
        Dialog::Filter(_, line, _) => Some(&mut line.input),
        Dialog::Palette(palette) => Some(&mut palette.line.input),
        Dialog::Machine(pick) => Some(&mut pick.line.input),
        _ => None,
    };
    if let Some(input) = input
        && input.lines().iter().map(String::len).sum::<usize>() + text.len() <= LINE_MAX
    {
        input.insert_str(&text);
    }
    match &mut dialog {
        Dialog::Filter(name, line, _) => {
            lists::set_filter(model, *name, line.text().to_owned());
        }
        Dialog::Palette(palette) => palette::typed(model, palette),
        Dialog::Machine(pick) => machines::typed(pick),
        _ => {}
    }
    model.ui.dialog = Some(dialog);
}

/// The answer to a question.
pub(super) fn choose(model: &mut Model, key: char, now: Now, effects: &mut Vec<Effect>) {
    let Some(Dialog::Confirm(confirm)) = &model.ui.dialog else { return };
    let Some((_, verb, _)) = choices(confirm.verb).iter().find(|it| it.0 == key) else { return };
    let (targets, operation) = (confirm.targets.clone(), confirm.operation.clone());
    model.ui.dialog = None;
    match operation {
        Some(operation) => deeds::begin_operation(model, *verb, operation, false, now),
        None => commit(model, *verb, &targets, now, effects),
    }
}

fn commit(model: &mut Model, verb: Verb, targets: &[Target], now: Now, effects: &mut Vec<Effect>) {
    if verb == Verb::StopQueen {
        let line = command_line(model, verb, targets);
        command(model, line, now);
        toast(model, "Stopping the queen; she lets running work finish", Tone::Working, now);
        effects.push(Effect::StopQueen);
        return;
    }
    deeds::begin(model, verb, targets, now);
    clear_marks(model, targets);
}

/// What was acted on does not stay marked for the next action.
fn clear_marks(model: &mut Model, targets: &[Target]) {
    let ui = &mut model.ui;
    for target in targets {
        let _was_marked = match target {
            Target::Hive(id) => ui.hives.marks.remove(id),
            Target::Worker(id) => ui.workers.marks.remove(id),
            Target::Job(id) => ui.jobs.marks.remove(id),
            Target::Model(hive, id) => ui.models.marks.remove(&(id.clone(), hive.clone())),
            Target::Device(..) | Target::Queen => false,
        };
    }
}

/// Enter.
pub(super) fn accept(model: &mut Model, now: Now, effects: &mut Vec<Effect>) {
    let Some(dialog) = model.ui.dialog.take() else { return };
    match dialog {
        Dialog::Actions(menu) => {
            let kind = menu.targets.first().map_or(Kind::Queen, Target::kind);
            let Some(row) = actions::rows(kind).nth(menu.at) else { return };
            start(model, row.verb, menu.targets, now, effects);
        }
        Dialog::Copy(menu) => copy::copy(model, &menu.targets, menu.at, now, effects),
        Dialog::Sort(name, at) => lists::sort_by(model, name, at),
        Dialog::Filter(name, _, before) => lists::keep_filter(model, name, before),
        Dialog::Palette(palette) => palette::run(model, palette, now, effects),
        Dialog::Confirm(confirm) => match &confirm.name {
            Some((name, line)) if line.text().trim() == name => {
                commit(model, confirm.verb, &confirm.targets, now, effects);
            }
            // Enter does nothing before the name is right.
            _ => model.ui.dialog = Some(Dialog::Confirm(confirm)),
        },
        Dialog::Form(mut form) => match palette::parse(&form_words(&form)) {
            Ok(palette::Parsed::Operation { verb, operation, .. }) => {
                deeds::begin_operation(model, verb, operation, false, now);
            }
            Ok(_) => {}
            Err(problem) => {
                form.problem = Some(problem);
                model.ui.dialog = Some(Dialog::Form(form));
            }
        },
        Dialog::Machine(pick) => machines::accept(model, pick),
        it @ (Dialog::Alerts(_) | Dialog::Commands(_) | Dialog::ByUrl) => {
            model.ui.dialog = Some(it)
        }
    }
}

/// Tab.
pub(super) fn complete(model: &mut Model) {
    let Some(mut dialog) = model.ui.dialog.take() else { return };
    match &mut dialog {
        Dialog::Form(form) => {
            let completion = form.fields.get(form.at).and_then(|field| {
                let typed = !field.line.text().is_empty();
                field.completion().filter(|_| typed).map(str::to_owned)
            });
            match completion {
                Some(text) => {
                    if let Some(field) = form.fields.get_mut(form.at) {
                        field.line = Line::new(&text);
                    }
                }
                None => form.at = (form.at + 1) % form.fields.len().max(1),
            }
        }
        Dialog::Palette(palette) => palette::complete(model, palette),
        Dialog::Machine(pick) => machines::complete(model, pick),
        _ => {}
    }
    model.ui.dialog = Some(dialog);
}

/// Another field of a form.
pub(super) fn turn_field(model: &mut Model, by: isize) {
    if let Some(Dialog::Form(form)) = &mut model.ui.dialog {
        let count = form.fields.len().max(1);
        form.at = form.at.wrapping_add_signed(by).wrapping_add(count) % count;
    }
}

/// Escape.
pub(super) fn dismiss(model: &mut Model) {
    if let Some(Dialog::Filter(name, _, before)) = model.ui.dialog.take() {
        lists::set_filter(model, name, before);
    }
}
