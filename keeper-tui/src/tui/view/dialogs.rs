//! What is in front of the view: menus, questions, forms, histories.

use protocol::HiveId;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{
    context::Ctx,
    history, machines, palette,
    popup::{broken, chosen, popup, typed},
    widgets::{UNKNOWN, bytes, safe, short_model, word},
};
use crate::tui::{
    actions::{self, Kind, Target, Verb, available, command_line, jobs_on, operation_line},
    keymap::{Action, Context},
    state::{
        Model,
        dialog::{Confirm, Dialog, Form, Menu},
    },
    theme::Tone,
    update::{copy, dialogs, lists},
};

/// Targets that a question names one by one.
const NAMED_MAX: usize = 8;

/// Draws what is in front.
pub(super) fn draw(ctx: &Ctx<'_>, area: Rect, buffer: &mut Buffer) {
    let Some(dialog) = &ctx.model.ui.dialog else { return };
    match dialog {
        // It stands in the status line.
        Dialog::Filter(..) => {}
        Dialog::Palette(it) => palette::draw(ctx, area, buffer, it),
        Dialog::Alerts(first) => history::alerts(ctx, area, buffer, *first),
        Dialog::Commands(first) => history::commands(ctx, area, buffer, *first),
        dialog => {
            let (title, note, lines) = content(ctx.model, dialog);
            popup(area, buffer, &title, &note, &lines);
        }
    }
}

/// What a dialog says when there is no room for a frame.
pub(super) fn plain<'a>(ctx: &Ctx<'_>) -> Vec<Line<'a>> {
    let Some(dialog) = &ctx.model.ui.dialog else { return Vec::new() };
    match dialog {
        Dialog::Filter(_, line, _) => {
            vec![Line::from([vec![word("/", Tone::Accent)], typed(line, "")].concat())]
        }
        Dialog::Palette(it) => palette::plain(it),
        Dialog::Alerts(first) => ctx
            .model
            .deeds
            .alerts
            .iter()
            .rev()
            .skip(*first)
            .map(|it| Line::from(safe(&it.text, it.tone)))
            .collect(),
        Dialog::Commands(first) => {
            let lines = ctx.model.deeds.commands.iter().rev().skip(*first);
            lines.map(|(_, line)| Line::from(safe(line, Tone::Plain))).collect()
        }
        // What can be answered comes first, in case there is no room for more.
        Dialog::Confirm(it) => {
            let mut lines = vec![Line::from(word(title(it), Tone::Strong))];
            lines.extend(answers(ctx.model, it).1);
            lines.extend(consequences(ctx.model, it));
            lines.extend(it.operation.iter().flat_map(machines::told));
            lines.iter().flat_map(|line| broken(line, ctx.model.size.0)).collect()
        }
        dialog => {
            let (title, _, mut lines) = content(ctx.model, dialog);
            lines.insert(0, Line::from(word(title, Tone::Strong)));
            lines.iter().flat_map(|line| broken(line, ctx.model.size.0)).collect()
        }
    }
}

fn content<'a>(model: &Model, dialog: &Dialog) -> (String, String, Vec<Line<'a>>) {
    match dialog {
        Dialog::Actions(it) => menu(model, it),
        Dialog::Confirm(it) => confirm(model, it),
        Dialog::Form(it) => form(model, it),
        Dialog::Copy(it) => {
            let rows = copy::CHOICES.iter().map(|(letter, what)| (*letter, *what, None));
            (
                format!("Copy of {}", names(&it.targets)),
                letter_or_enter(model),
                rows_of(rows, it.at),
            )
        }
        Dialog::Sort(name, at) => {
            let columns = lists::columns(model, *name);
            let rows = columns.into_iter().map(|(letter, name, here)| {
                let here = here.map(|descending| if descending { "↓" } else { "↑" }.to_owned());
                (letter, name, here)
            });
            ("Sort by".to_owned(), "the same again turns it around".to_owned(), rows_of(rows, *at))
        }
        Dialog::Machine(it) => machines::pick(model, it),
        Dialog::ByUrl => machines::by_url(model),
        Dialog::Filter(..) | Dialog::Palette(_) | Dialog::Alerts(_) | Dialog::Commands(_) => {
            (String::new(), String::new(), Vec::new())
        }
    }
}

fn rows_of<'a>(
    rows: impl Iterator<Item = (char, &'static str, Option<String>)>,
    at: usize,
) -> Vec<Line<'a>> {
    let row = |(index, (letter, what, note)): (usize, (char, &'static str, Option<String>))| {
        let line = vec![
            word(format!("{letter}  "), Tone::Accent),
            Span::raw(what),
            word(note.map(|it| format!("  {it}")).unwrap_or_default(), Tone::Quiet),
        ];
        chosen(line, index == at)
    };
    rows.enumerate().map(row).collect()
}

fn names(targets: &[Target]) -> String {
    match targets {
        [one] => one.to_string(),
        targets => {
            let word = targets.first().map_or("", |it| it.kind().words().1);
            format!("{} {word}", targets.len())
        }
    }
}

fn letter_or_enter(model: &Model) -> String {
    format!("letter or {}", model.keymap.label_in(Context::Menu, Action::Accept))
}

fn menu<'a>(model: &Model, menu: &Menu) -> (String, String, Vec<Line<'a>>) {
    let kind = menu.targets.first().map_or(Kind::Queen, Target::kind);
    let rows = actions::rows(kind).enumerate().map(|(index, row)| {
        let off: Vec<_> = menu
            .targets
            .iter()
            .filter_map(|target| available(model, row.verb, target).err())
            .collect();
        let is_off = off.len() == menu.targets.len();
        let tone = if is_off { Tone::Quiet } else { Tone::Plain };
        let letter = model.keymap.letter(row);
        let mut spans = vec![
            word(format!("{letter}  "), if is_off { Tone::Quiet } else { Tone::Accent }),
            word(format!("{:<15} ", row.name), tone),
            word(row.what, tone),
        ];
        match off.first() {
            Some(reason) if is_off => spans.push(word(format!("  — {reason}"), Tone::Warn)),
            Some(_) => spans.push(word(
                format!("  — not for {} of {}", off.len(), menu.targets.len()),
                Tone::Warn,
            )),
            None => {}
        }
        chosen(spans, index == menu.at)
    });
    (format!("Actions  {}", names(&menu.targets)), letter_or_enter(model), rows.collect())
}

fn title(confirm: &Confirm) -> String {
    let what = match confirm.verb {
        Verb::Stop | Verb::StopHive | Verb::StopQueen => "Stop",
        Verb::Kill => "Kill",
        Verb::Restart => "Restart",
        Verb::Cancel => "Cancel",
        Verb::Retry => "Retry",
        Verb::UpdateHive => "Update",
        Verb::InstallHive => "Put a hive on",
        _ => "Delete",
    };
    match confirm.targets.as_slice() {
        [one] if confirm.verb == Verb::InstallHive => format!("{what} {one}?"),
        [one @ (Target::Job(_) | Target::Worker(_) | Target::Hive(_))] => {
            format!("{what} {} {one}?", one.kind().words().0)
        }
        targets => format!("{what} {}?", names(targets)),
    }
}

fn confirm<'a>(model: &Model, confirm: &Confirm) -> (String, String, Vec<Line<'a>>) {
    let mut lines = consequences(model, confirm);
    lines.extend(confirm.operation.iter().flat_map(machines::told));
    lines.push(Line::default());
    let (note, answers) = answers(model, confirm);
    lines.extend(answers);
    let line = match &confirm.operation {
        Some(operation) => operation_line(&model.program, operation),
        None => command_line(model, confirm.verb, &confirm.targets),
    };
    lines.push(Line::from(safe(&format!("Same as: {line}"), Tone::Quiet)));
    (title(confirm), note, lines)
}

fn consequences<'a>(model: &Model, confirm: &Confirm) -> Vec<Line<'a>> {
    let named = confirm.targets.iter().take(NAMED_MAX);
    let mut lines: Vec<Line<'_>> =
        named.map(|target| consequence(model, confirm.verb, target)).collect();
    if let Some(more) = confirm.targets.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        lines.push(Line::from(word(format!("and {more} more"), Tone::Quiet)));
    }
    lines
}

/// How it is answered, and what Enter does.
fn answers<'a>(model: &Model, confirm: &Confirm) -> (String, Vec<Line<'a>>) {
    let Some((name, line)) = &confirm.name else {
        let mut spans = Vec::new();
        for (key, _, what) in dialogs::choices(confirm.verb) {
            spans.push(word(format!("[{}]", answer(model, *key)), Tone::Accent));
            spans.push(Span::raw(format!(" {what}   ")));
        }
        let keep = model.keymap.label_in(Context::Dialog, Action::Dismiss);
        spans.push(word(format!("[{keep}]"), Tone::Accent));
        let is_new = matches!(confirm.verb, Verb::InstallHive | Verb::UpdateHive);
        spans.push(Span::raw(if is_new { " leave it" } else { " keep" }));
        return ("Enter does nothing here".to_owned(), vec![Line::from(spans)]);
    };
    let ask = vec![Span::raw("Type "), safe(name, Tone::Strong), Span::raw(" to delete:")];
    let mut spans = vec![word("› ", Tone::Accent)];
    spans.extend(typed(line, name.strip_prefix(line.text()).unwrap_or("")));
    if !name.starts_with(line.text()) {
        spans.push(word("  ▲ another name", Tone::Warn));
    }
    let lines = vec![Line::from(ask), Line::from(spans)];
    let key = model.keymap.label_in(Context::Name, Action::Accept);
    (format!("{key} does nothing before the name is right"), lines)
}

/// The key of an answer.
fn answer(model: &Model, choice: char) -> String {
    model.keymap.label_in(Context::Dialog, Action::Choose(choice))
}

/// What becomes of one target.
fn consequence<'a>(model: &Model, verb: Verb, target: &Target) -> Line<'a> {
    let mut spans = vec![safe(&target.to_string(), Tone::Strong), Span::raw("  ")];
    if let Err(reason) = available(model, verb, target) {
        spans.push(word(format!("stays as it is: {reason}"), Tone::Warn));
        return Line::from(spans);
    }
    let fleet = &model.fleet;
    match target {
        Target::Worker(id) => {
            let Some(worker) = fleet.workers.get(id) else { return Line::from(spans) };
            spans.push(safe(short_model(&worker.model), Tone::Plain));
            spans.push(Span::raw("  "));
            let streams = jobs_on(model, id).count();
            let known = |n: Option<u32>| n.map_or_else(|| UNKNOWN.to_owned(), |n| n.to_string());
            match (worker.slots_busy, worker.slots_total) {
                // Its last heartbeat may be older than its newest stream.
                (Some(0), _) if streams > 0 => {}
                (Some(0), _) => spans.push(Span::raw("idle")),
                (None, None) => spans.push(Span::raw(worker.state.as_str().replace('_', " "))),
                (busy, total) => {
                    let slots = format!("{} of {} slots busy", known(busy), known(total));
                    spans.push(Span::raw(slots));
                }
            }
            spans.push(cut(model, verb, streams));
        }
        Target::Hive(_) if verb == Verb::InstallHive => {
            spans.push(Span::raw("gets the queen's programs over ssh, and its hive is started"));
        }
        Target::Hive(_) if verb == Verb::UpdateHive => {
            spans.push(Span::raw("gets the queen's programs over ssh; its workers go on"));
        }
        Target::Hive(id) => spans.extend(crew(model, id)),
        Target::Job(id) => {
            if let Some(job) = fleet.jobs.get(id) {
                spans.push(safe(&job.operation, Tone::Plain));
                spans.push(Span::raw(format!("  {}  ", job.state.as_str())));
                spans.push(safe(job.last_message.as_deref().unwrap_or_default(), Tone::Quiet));
            } else {
                spans.push(Span::raw("still running"));
            }
        }
        Target::Model(hive, id) => {
            let users = fleet.workers.values().filter(|worker| {
                worker.hive_id == *hive && worker.model == *id && !worker.state.is_ended()
            });
            match users.count() {
                0 => spans.push(Span::raw("no worker runs it")),
                n => spans.push(word(format!("{n} workers run it"), Tone::Warn)),
            }
        }
        Target::Queen => {
            let running = fleet.jobs.values().filter(|it| !it.state.is_ended()).count();
            spans.push(Span::raw(format!("{running} jobs are running; she lets them finish")));
        }
        Target::Device(..) => {}
    }
    Line::from(spans)
}

/// What becomes of the streams of a worker.
fn cut<'a>(model: &Model, verb: Verb, streams: usize) -> Span<'a> {
    let many = if streams == 1 { "1 stream".to_owned() } else { format!("{streams} streams") };
    match (verb, streams) {
        (_, 0) => Span::raw(""),
        (Verb::Stop, _) => {
            let (drain, stop) = (answer(model, 'd'), answer(model, 's'));
            word(format!("  {many}: {drain} lets finish, {stop} will CUT"), Tone::Warn)
        }
        (Verb::Kill, _) => word(format!("  {many} will be CUT"), Tone::Bad),
        _ => word(format!("  {many} can finish first"), Tone::Warn),
    }
}

fn crew<'a>(model: &Model, hive: &HiveId) -> Vec<Span<'a>> {
    let workers = model.fleet.workers.values();
    let alive: Vec<_> = workers.filter(|it| it.hive_id == *hive && !it.state.is_ended()).collect();
    let streams: usize = alive.iter().map(|it| jobs_on(model, &it.id).count()).sum();
    let workers = match alive.len() {
        0 => "no workers".to_owned(),
        1 => "1 worker ends with it".to_owned(),
        n => format!("{n} workers end with it"),
    };
    let mut spans = vec![Span::raw(workers)];
    if streams > 0 {
        let many = if streams == 1 { "1 stream".to_owned() } else { format!("{streams} streams") };
        spans.push(word(format!("  {many} may be CUT"), Tone::Bad));
    }
    spans
}

fn form<'a>(model: &Model, form: &Form) -> (String, String, Vec<Line<'a>>) {
    let mut lines = Vec::new();
    for (index, field) in form.fields.iter().enumerate() {
        let is_here = index == form.at;
        let mut spans = vec![word(format!("{:<15}", field.name), Tone::Quiet)];
        if is_here {
            let done = field.line.text().len();
            let rest = field.completion().filter(|_| done > 0);
            let rest = rest.and_then(|it| it.get(done..)).unwrap_or("").to_owned();
            spans.extend(typed(&field.line, &rest));
        } else {
            spans.push(safe(field.line.text(), Tone::Plain));
        }
        if field.line.text().is_empty() {
            spans.push(word(format!(" {}", field.default), Tone::Quiet));
        }
        lines.push(chosen(spans, is_here));
    }
    let known = form.fields.get(form.at).map(|it| it.choices.join("  ")).unwrap_or_default();
    if !known.is_empty() {
        lines.push(Line::from(safe(&format!("  known: {known}"), Tone::Quiet)));
    }
    lines.push(Line::default());
    if form.verb == Verb::Spawn {
        lines.extend(arithmetic(model, form));
    }
    if let Some(problem) = &form.problem {
        lines.push(Line::from(safe(&format!("✗ {problem}"), Tone::Bad)));
    }
    let line = dialogs::form_line(form);
    lines.push(Line::from(safe(&format!("Same as: {} {line}", model.program), Tone::Quiet)));
    let what = if form.verb == Verb::Spawn { "Start a worker" } else { "Fetch a model" };
    let key = model.keymap.label_in(Context::Form, Action::Accept);
    (format!("{what} on {}", form.hive), format!("{key} does it"), lines)
}

/// What is free where, and what the model took elsewhere.
fn arithmetic<'a>(model: &Model, form: &Form) -> Vec<Line<'a>> {
    let wanted = form.value("device");
    let like = form.model().and_then(|name| {
        let mut same = model.fleet.workers.values().filter(|worker| worker.model == name);
        same.find_map(|worker| Some((worker.id.clone(), worker.memory_bytes?)))
    });
    let devices = model.fleet.devices.values().filter(|device| {
        device.hive_id == form.hive && (wanted.is_empty() || device.id.as_str() == wanted)
    });
    devices
        .take(4)
        .map(|device| {
            let free = device
                .memory_total_bytes
                .zip(device.memory_used_bytes)
                .map(|(total, used)| total.saturating_sub(used));
            let text = format!(
                "{}: {} free of {}",
                device.id,
                bytes(free),
                bytes(device.memory_total_bytes)
            );
            let mut spans = vec![Span::raw(text)];
            if let (Some((worker, needed)), Some(free)) = (&like, free) {
                let fits = *needed <= free;
                let verdict = if fits { "it fits" } else { "it does not fit" };
                spans.push(word(
                    format!("; {worker} took {}: {verdict}", bytes(Some(*needed))),
                    if fits { Tone::Good } else { Tone::Warn },
                ));
            }
            Line::from(spans)
        })
        .collect()
}
