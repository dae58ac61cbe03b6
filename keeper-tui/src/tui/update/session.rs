//! The dashboard as it was left, and as it is opened again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lists;
use crate::tui::state::{
    Model, Pane, View,
    filter::FILTER_MAX,
    lists::{ListName, read_list, with_list},
    rows::Row,
    selection::{Selection, Sort},
};

/// What is kept of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// The view.
    view: View,
    /// The tables, each by its name.
    lists: BTreeMap<ListName, Kept>,
}

/// What is kept of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    filter: String,
    sort: Option<KeptSort>,
    /// The id of the selected row, in whatever form it has in that table.
    selected: Option<Value>,
}

/// By the name of the column, because its place may be another in the next
/// version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct KeptSort {
    column: String,
    descending: bool,
}

impl Session {
    /// What is kept of the dashboard as it is.
    pub(crate) fn of(model: &Model) -> Self {
        let kept = |name| read_list!(model, name, |list, records| kept(list, records));
        Self {
            view: model.ui.view.clone(),
            lists: ListName::ALL.into_iter().map(|name| (name, kept(name))).collect(),
        }
    }
}

fn kept<K: Ord + Clone + Serialize, R: Row>(list: &Selection<K>, _: &BTreeMap<K, R>) -> Kept {
    let sort = list.sort.and_then(|sort| {
        let column = R::FIELDS.get(sort.field)?.name.to_owned();
        Some(KeptSort { column, descending: sort.descending })
    });
    let selected = list.selected_or_awaited().and_then(|id| serde_json::to_value(id).ok());
    Kept { filter: list.filter.clone(), sort, selected }
}

/// Before anything is known: what can be as it was is as it was.
pub(crate) fn restore(model: &mut Model, session: Session) {
    let Session { view, lists: kept } = session;
    model.ui.focus = view.panes().first().copied().unwrap_or(Pane::List);
    model.ui.view = view;
    for (name, kept) in kept {
        with_list!(model, name, |list, records| put_back(list, records, kept));
    }
    lists::narrow(model);
}

fn put_back<K, R>(list: &mut Selection<K>, records: &BTreeMap<K, R>, kept: Kept)
where
    K: Ord + Clone + for<'de> Deserialize<'de>,
    R: Row,
{
    if kept.filter.len() <= FILTER_MAX {
        list.filter = kept.filter;
    }
    list.sort = kept.sort.and_then(|sort| {
        let field = R::FIELDS.iter().position(|it| it.name == sort.column)?;
        Some(Sort { field, descending: sort.descending })
    });
    list.await_id(kept.selected.and_then(|id| serde_json::from_value(id).ok()));
    list.changed();
    list.arrange(records, false);
}

/// The queen has said what there is: a view of something that is no more gives
/// way to the table it was in.
pub(super) fn arrive(model: &mut Model) {
    let fleet = &model.fleet;
    let is_there = match &model.ui.view {
        View::Hive(hive, _) => fleet.hives.contains_key(hive),
        View::Worker(worker) => fleet.workers.contains_key(worker),
        View::Device(hive, device) => fleet.devices.contains_key(&(hive.clone(), device.clone())),
        View::Job(job) => fleet.jobs.contains_key(job),
        _ => true,
    };
    if !is_there {
        model.ui.view = model.ui.view.root();
        model.ui.focus = Pane::List;
        lists::narrow(model);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::{
        fixture::{Stage, busy_fleet, empty_fleet, id},
        state::HiveTab,
    };

    const SIZE: (u16, u16) = (80, 24);

    /// Left, written down, read again, and opened before a queen is there.
    fn reopened(stage: &Stage) -> Stage {
        let text = serde_json::to_string(&Session::of(&stage.model)).unwrap();
        let mut opened = Stage::new(SIZE);
        restore(&mut opened.model, serde_json::from_str(&text).unwrap());
        opened
    }

    #[test]
    fn a_session_is_opened_as_it_was_left() {
        let mut stage = Stage::busy(SIZE);
        stage.models();
        stage.type_keys("2/gpu\nosOj");
        stage.type_keys("4j");
        stage.type_keys("1j\n]]");
        let before = &stage.model;
        assert_eq!(before.ui.view, View::Hive(id("edge-7"), HiveTab::Devices));

        let mut opened = reopened(&stage);
        opened.connect(busy_fleet());
        opened.models();
        let after = &opened.model;
        assert_eq!(after.ui.view, before.ui.view);
        assert_eq!(after.ui.workers.filter, "gpu");
        assert_eq!(after.ui.workers.sort, before.ui.workers.sort);
        assert!(after.ui.workers.sort.is_some_and(|sort| sort.descending));
        assert_eq!(after.ui.workers.id(), before.ui.workers.id());
        assert_eq!(after.ui.hives.id(), Some(&id("edge-7")));
        assert_eq!(after.ui.models.id(), before.ui.models.id());
        assert_eq!(Session::of(after), Session::of(before));
    }

    #[test]
    fn what_is_no_more_gives_way_to_its_table_and_to_another_row() {
        let mut stage = Stage::busy(SIZE);
        stage.type_keys("2j\n");
        assert!(matches!(stage.model.ui.view, View::Worker(_)));
        let mut opened = reopened(&stage);
        opened.connect(empty_fleet());
        assert_eq!(opened.model.ui.view, View::Workers);
        assert_eq!(opened.model.ui.workers.id(), None);
    }

    #[test]
    fn a_session_without_a_queen_forgets_nothing_of_the_one_before() {
        let mut stage = Stage::busy(SIZE);
        stage.type_keys("5jj/llama\n");
        let opened = reopened(&stage);
        assert_eq!(Session::of(&opened.model), Session::of(&stage.model));
    }

    #[test]
    fn a_row_that_comes_back_later_does_not_take_the_cursor() {
        let mut stage = Stage::busy(SIZE);
        stage.type_keys("2G");
        let left = stage.model.ui.workers.id().cloned().unwrap();
        let mut opened = reopened(&stage);
        let mut fleet = busy_fleet();
        fleet.workers.retain(|worker| worker.id != left);
        opened.connect(fleet);
        let here = opened.model.ui.workers.id().cloned();
        opened.connect(busy_fleet());
        assert_eq!(opened.model.ui.workers.id().cloned(), here);
    }
}
