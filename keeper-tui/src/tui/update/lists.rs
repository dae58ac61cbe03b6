//! Marks, filters and orders of the tables.

use std::{collections::BTreeMap, time::Duration};

use super::toast;
use crate::{
    text::one_line,
    tui::{
        keymap::Action,
        state::{
            Model, Now, View,
            dialog::Dialog,
            filter::Filter,
            line::Line,
            lists::{ListName, Undo, read_list, with_list},
            rows::Row,
            selection::{Selection, Sort},
        },
        theme::Tone,
    },
};

/// After a key that moves the cursor rows stay in their places for this long.
const HOLD: Duration = Duration::from_secs(2);
/// How many changes can be undone.
const UNDO_MAX: usize = 50;

/// Brings the rows of the tables into their order. Rows are not moved while
/// somebody is aiming at one.
pub(crate) fn arrange(model: &mut Model, now: Now) {
    let held = now.monotonic < model.ui.held_until || is_asking(model);
    for name in ListName::ALL {
        with_list!(model, name, |list, records| list.arrange(records, held));
    }
}

/// Whether something is in front that was opened for a row.
fn is_asking(model: &Model) -> bool {
    model.ui.dialog.as_ref().is_some_and(|it| !matches!(it, Dialog::Sort(..) | Dialog::Filter(..)))
}

/// The records of these tables may be others now.
pub(super) fn changed(model: &mut Model, names: &[ListName]) {
    for name in names {
        with_list!(model, name, |list, _records| list.changed());
    }
}

/// Lists only what belongs to the view: in one machine's, what is on it.
pub(super) fn narrow(model: &mut Model) {
    let scope = match &model.ui.view {
        View::Hive(hive, _) => Some(hive.clone()),
        _ => None,
    };
    for name in ListName::ALL {
        // The machines themselves are not listed by machine.
        let scope = scope.clone().filter(|_| name != ListName::Hives);
        with_list!(model, name, |list, records| {
            if list.scope != scope {
                list.scope = scope;
                // A mark that is out of sight would be acted on unseen.
                list.marks.clear();
                list.range = None;
                list.changed();
                list.arrange(records, false);
            }
        });
    }
}

/// Keeps what is selected and marked in these tables on something that exists.
/// The answer is how many marks were taken away.
pub(super) fn settle(model: &mut Model, names: &[ListName]) -> usize {
    let mut dropped = 0;
    for name in names {
        with_list!(model, name, |list, records| {
            list.settle(records);
            if !list.marks.is_empty() || list.range.is_some() {
                dropped += list.drop_dead_marks(records);
            }
        });
    }
    dropped
}

/// The cursor was moved.
pub(super) fn hold(model: &mut Model, now: Now) {
    model.ui.held_until = now.monotonic + HOLD;
}

fn remember(model: &mut Model, undo: Undo) {
    if model.ui.undo.last() == Some(&undo) {
        return;
    }
    if model.ui.undo.len() >= UNDO_MAX {
        model.ui.undo.remove(0);
    }
    model.ui.undo.push(undo);
}

fn remember_marks(model: &mut Model, name: ListName) {
    let undo = match name {
        ListName::Hives => Undo::Hives(model.ui.hives.marks.clone()),
        ListName::Workers => Undo::Workers(model.ui.workers.marks.clone()),
        ListName::Devices => Undo::Devices(model.ui.devices.marks.clone()),
        ListName::Models => Undo::Models(model.ui.models.marks.clone()),
        ListName::Jobs => Undo::Jobs(model.ui.jobs.marks.clone()),
    };
    remember(model, undo);
}

/// Undoes the last filter, order or marks.
pub(super) fn undo(model: &mut Model, now: Now) {
    let Some(undo) = model.ui.undo.pop() else {
        return toast(model, "Nothing to undo", Tone::Quiet, now);
    };
    let what = match undo {
        Undo::Filter(name, filter) => {
            set_filter(model, name, filter);
            "filter"
        }
        Undo::Sort(name, sort) => {
            set_sort(model, name, sort);
            "order"
        }
        Undo::Hives(marks) => {
            model.ui.hives.marks = marks;
            "marks"
        }
        Undo::Workers(marks) => {
            model.ui.workers.marks = marks;
            "marks"
        }
        Undo::Devices(marks) => {
            model.ui.devices.marks = marks;
            "marks"
        }
        Undo::Models(marks) => {
            model.ui.models.marks = marks;
            "marks"
        }
        Undo::Jobs(marks) => {
            model.ui.jobs.marks = marks;
            "marks"
        }
    };
    settle(model, &ListName::ALL);
    toast(model, format!("The {what} is as before"), Tone::Quiet, now);
}

/// Marks or unmarks the selected row and goes to the next.
pub(super) fn mark(model: &mut Model) {
    let Some(name) = model.list_in_view() else { return };
    remember_marks(model, name);
    with_list!(model, name, |list, records| {
        list.range = None;
        list.toggle_mark();
        list.step(records, 1);
    });
}

/// Begins a range at the selected row, or marks everything from there to here.
pub(super) fn mark_range(model: &mut Model, now: Now) {
    let Some(name) = model.list_in_view() else { return };
    remember_marks(model, name);
    let began = with_list!(model, name, |list, records| {
        match (list.range.take(), list.id().cloned()) {
            (Some(from), Some(to)) => {
                let ids = list.between(records, &from, &to);
                list.marks.extend(ids);
                false
            }
            (None, Some(id)) => {
                list.marks.insert(id.clone());
                list.range = Some(id);
                true
            }
            _ => false,
        }
    });
    if began {
        let key = model.keymap.label(Action::MarkRange);
        let text = format!("Range begins here; {key} at the other end marks it");
        toast(model, text, Tone::Quiet, now);
    }
}

/// Marks everything that is shown; when it all is, nothing.
pub(super) fn mark_all(model: &mut Model) {
    let Some(name) = model.list_in_view() else { return };
    remember_marks(model, name);
    with_list!(model, name, |list, records| {
        let ids: Vec<_> = list.shown(records).map(|(id, _)| id.clone()).collect();
        if ids.iter().all(|id| list.marks.contains(id)) {
            list.marks.clear();
        } else {
            list.marks.extend(ids);
        }
        list.range = None;
    });
}

/// Takes one thing away that stands between here and the view before: marks,
/// then the filter. `false` when there is nothing.
pub(super) fn clear_one(model: &mut Model) -> bool {
    let Some(name) = model.list_in_view() else { return false };
    let (marks, filter) = read_list!(model, name, |list, _records| (
        !list.marks.is_empty() || list.range.is_some(),
        list.filter.clone()
    ));
    if marks {
        remember_marks(model, name);
        with_list!(model, name, |list, _records| {
            list.marks.clear();
            list.range = None;
        });
        return true;
    }
    if filter.is_empty() {
        return false;
    }
    remember(model, Undo::Filter(name, filter));
    set_filter(model, name, String::new());
    true
}

/// Filters a table by this.
pub(super) fn set_filter(model: &mut Model, name: ListName, filter: String) {
    with_list!(model, name, |list, records| {
        list.filter = filter;
        list.changed();
        list.arrange(records, false);
    });
}

/// Begins to type a filter.
pub(super) fn type_filter(model: &mut Model) {
    let Some(name) = model.list_in_view() else { return };
    let before = read_list!(model, name, |list, _records| list.filter.clone());
    model.ui.dialog = Some(Dialog::Filter(name, Line::new(&before), before));
}

/// The filter is kept as it is typed.
pub(super) fn keep_filter(model: &mut Model, name: ListName, before: String) {
    let now = read_list!(model, name, |list, _records| list.filter.clone());
    if now != before {
        remember(model, Undo::Filter(name, before));
    }
}

/// Whether the rows of a table can change places by themselves.
pub(crate) fn is_sorted(model: &Model, name: ListName) -> bool {
    read_list!(model, name, |list, _records| list.is_sorted())
}

/// Whether it is not just everything in its usual order.
pub(crate) fn is_special(model: &Model, name: ListName) -> bool {
    read_list!(model, name, |list, _records| {
        !list.filter.is_empty() || !list.marks.is_empty() || list.sort.is_some()
    })
}

/// A title with how many there are, and with whatever makes it not all of them
/// in their usual order.
pub(crate) fn title(model: &Model, name: ListName, what: &str) -> String {
    fn of<K: Ord + Clone, R: Row>(list: &Selection<K>, records: &BTreeMap<K, R>) -> String {
        let mut text = if list.filter.is_empty() {
            list.total(records).to_string()
        } else {
            let shown = list.shown(records).count();
            format!("{shown} of {}  /{}", list.total(records), one_line(&list.filter))
        };
        if !list.marks.is_empty() {
            text.push_str(&format!("  {} marked", list.marks.len()));
        }
        if let Some(sort) = list.sort
            && let Some(field) = R::FIELDS.get(sort.field)
        {
            let arrow = if sort.descending { "↓" } else { "↑" };
            text.push_str(&format!("  by {} {arrow}", field.name));
        }
        text
    }
    let rest = read_list!(model, name, |list, records| of(list, records));
    format!("{what}  {rest}")
}

/// How many rows a table shows of how many, or what is wrong with its filter.
pub(crate) fn filtered(model: &Model, name: ListName) -> Result<(usize, usize), String> {
    fn of<K: Ord + Clone, R: Row>(
        list: &Selection<K>,
        records: &BTreeMap<K, R>,
    ) -> Result<(usize, usize), String> {
        Filter::parse::<R>(&list.filter)?;
        Ok((list.shown(records).count(), list.total(records)))
    }
    read_list!(model, name, |list, records| of(list, records))
}

/// What the columns of a table are called, with their letters.
pub(crate) fn columns(model: &Model, name: ListName) -> Vec<(char, &'static str, Option<bool>)> {
    fn of<K: Ord + Clone, R: Row>(
        list: &Selection<K>,
        _: &BTreeMap<K, R>,
    ) -> Vec<(char, &'static str, Option<bool>)> {
        let here = |at| list.sort.filter(|sort| sort.field == at).map(|sort| sort.descending);
        R::FIELDS.iter().enumerate().map(|(at, it)| (it.letter, it.name, here(at))).collect()
    }
    read_list!(model, name, |list, records| of(list, records))
}

/// Sorts by this column; the other way round if it is sorted by it already.
pub(super) fn sort_by(model: &mut Model, name: ListName, field: usize) {
    let before = read_list!(model, name, |list, _records| list.sort);
    let descending = before.is_some_and(|sort| sort.field == field && !sort.descending);
    remember(model, Undo::Sort(name, before));
    set_sort(model, name, Some(Sort { field, descending }));
}

/// Turns the order around.
pub(super) fn reverse(model: &mut Model, now: Now) {
    let Some(name) = model.list_in_view() else { return };
    match read_list!(model, name, |list, _records| list.sort) {
        Some(sort) => {
            remember(model, Undo::Sort(name, Some(sort)));
            set_sort(model, name, Some(Sort { descending: !sort.descending, ..sort }));
        }
        None => {
            let key = model.keymap.label(Action::SortMenu);
            let text = format!("Not sorted by a column yet; {key} chooses one");
            toast(model, text, Tone::Quiet, now);
        }
    }
}

fn set_sort(model: &mut Model, name: ListName, sort: Option<Sort>) {
    with_list!(model, name, |list, records| {
        list.sort = sort;
        list.changed();
        list.arrange(records, false);
    });
}
