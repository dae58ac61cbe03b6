//! What is copied of a selection, and how it gets to the clipboard.
//!
//! The terminal is asked to put it there (OSC 52), which works over SSH as
//! well. A terminal cannot say whether it did, and takes no more than a
//! limit; what is too long, or a terminal that knows no such thing, goes to a
//! file instead, and the toast says which it was.

use serde_json::Value;

use super::toast;
use crate::{
    cli::args::shell_word,
    tui::{
        actions::Target,
        effect::Effect,
        state::{
            Model, Now,
            dialog::{Dialog, Menu},
            rows::{Cell, Row},
        },
        theme::Tone,
    },
};

/// The longest text a terminal takes: common terminals stop at 100,000 bytes
/// of base64.
pub(super) const OSC52_MAX: usize = 74_994;

/// The menu: the letter, what is copied.
pub(crate) const CHOICES: [(char, &str); 4] = [
    ('y', "the id"),
    ('j', "everything about it, as JSON"),
    ('c', "the command line"),
    ('l', "the line of the table"),
];

/// Opens the menu.
pub(super) fn menu(model: &mut Model) {
    let targets = model.targets();
    if !targets.is_empty() {
        model.ui.dialog = Some(Dialog::Copy(Menu { targets, at: 0 }));
    }
}

/// Copies this choice of the menu.
pub(super) fn copy(
    model: &mut Model,
    targets: &[Target],
    choice: usize,
    now: Now,
    effects: &mut Vec<Effect>,
) {
    let Some((letter, what)) = CHOICES.get(choice) else { return };
    let text = text(model, targets, *letter);
    let what = what.replace(" about it", "");
    if model.can_copy && text.len() <= OSC52_MAX {
        toast(model, format!("Copied {what} ({} bytes, OSC 52)", text.len()), Tone::Good, now);
        effects.push(Effect::Copy(text));
    } else {
        effects.push(Effect::CopyToFile(text));
    }
}

fn text(model: &Model, targets: &[Target], letter: char) -> String {
    if letter == 'j' {
        let mut records: Vec<Value> = targets.iter().map(|it| json(model, it)).collect();
        let one = if records.len() == 1 { records.pop() } else { None };
        let value = one.unwrap_or(Value::Array(records));
        return serde_json::to_string_pretty(&value).unwrap_or_default();
    }
    let line = |target: &Target| match letter {
        'c' => command(model, target),
        'l' => row(model, target),
        _ => target.id().to_owned(),
    };
    targets.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn json(model: &Model, target: &Target) -> Value {
    let fleet = &model.fleet;
    let value = match target {
        Target::Hive(id) => serde_json::to_value(fleet.hives.get(id)),
        Target::Worker(id) => serde_json::to_value(fleet.workers.get(id)),
        Target::Device(hive, id) => {
            serde_json::to_value(fleet.devices.get(&(hive.clone(), id.clone())))
        }
        Target::Model(hive, id) => {
            serde_json::to_value(fleet.models.get(&(hive.clone(), id.clone())))
        }
        Target::Job(id) => serde_json::to_value(fleet.jobs.get(id)),
        Target::Queen => serde_json::to_value(&fleet.queen),
    };
    value.unwrap_or_default()
}

/// The command that shows it.
fn command(model: &Model, target: &Target) -> String {
    let id = shell_word(target.id());
    let line = match target {
        Target::Hive(_) => format!("hive get {id}"),
        Target::Worker(_) => format!("worker get {id}"),
        Target::Device(hive, _) => format!("hive get {}", shell_word(hive.as_str())),
        Target::Model(hive, _) => format!("model get {id} --hive {}", shell_word(hive.as_str())),
        Target::Job(_) => format!("job attach {id}"),
        Target::Queen => "queen status".to_owned(),
    };
    format!("{} {line}", model.program)
}

fn row(model: &Model, target: &Target) -> String {
    fn cells<R: Row>(row: Option<&R>) -> Option<String> {
        let row = row?;
        let cells = R::FIELDS.iter().map(|field| match (field.cell)(row) {
            Cell::Text(text) => crate::text::one_line(&text).into_owned(),
            Cell::Figure(figure) => figure.map_or_else(|| "—".to_owned(), |it| it.to_string()),
        });
        Some(cells.collect::<Vec<_>>().join("\t"))
    }
    let fleet = &model.fleet;
    let line = match target {
        Target::Model(hive, id) => cells(model.models.listed().get(&(id.clone(), hive.clone()))),
        Target::Hive(id) => cells(fleet.hives.get(id)),
        Target::Worker(id) => cells(fleet.workers.get(id)),
        Target::Device(hive, id) => cells(fleet.devices.get(&(hive.clone(), id.clone()))),
        Target::Job(id) => cells(fleet.jobs.get(id)),
        Target::Queen => None,
    };
    line.unwrap_or_else(|| target.to_string())
}
