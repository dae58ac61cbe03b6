//! What is selected and marked in a list, and which rows it shows: objects by
//! their ids, never rows.
//!
//! Rows come and go under the cursor. Whatever happens to the list, the
//! selection stays on its object, and moves to a neighbour only when the object
//! is no more or a filter hides it.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    ops::{Bound, Range},
};

use protocol::{HiveId, suggest::nearest};
use ratatui::layout::Rect;

use super::{
    filter::{Filter, matcher},
    rows::{Cell as Content, Row},
};
use crate::text::one_line;

/// Rows that are looked through for what may have been meant.
const SUGGEST_ROWS: usize = 200;

/// What a list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sort {
    /// The column, by its place.
    pub(crate) field: usize,
    /// The largest first.
    pub(crate) descending: bool,
}

/// The selection of one list.
#[derive(Debug, Clone)]
pub(crate) struct Selection<K> {
    id: Option<K>,
    /// What was selected when the dashboard was left; selected again if it is
    /// among the first rows there are.
    awaited: Option<K>,
    /// What actions are aimed at instead of the selected object.
    pub(crate) marks: BTreeSet<K>,
    /// Where the range begins that is being marked.
    pub(crate) range: Option<K>,
    /// The filter as it was typed.
    pub(crate) filter: String,
    /// Only what is on this machine is listed.
    pub(crate) scope: Option<HiveId>,
    /// What it is sorted by; `None` is the order of the ids.
    pub(crate) sort: Option<Sort>,
    /// The order of the ids is from the last to the first.
    newest_first: bool,
    /// What is shown in which order, when that is not everything by its id.
    order: Option<Vec<K>>,
    /// The order has to be made again.
    is_stale: bool,
    /// The key that clears the filter.
    pub(crate) clears: String,
    /// What to say when nothing passes the filter.
    pub(crate) no_match: Option<String>,
    /// The first row shown, kept from frame to frame so that the list scrolls
    /// only when it must.
    pub(crate) offset: Cell<usize>,
    /// How many rows were last drawn.
    pub(crate) height: Cell<usize>,
    /// Where they and the heading above them were drawn.
    pub(crate) area: Cell<Rect>,
    /// The columns of each heading.
    pub(crate) headings: RefCell<Vec<(Range<u16>, &'static str)>>,
    /// Which ones.
    seen: RefCell<Vec<K>>,
}

impl<K> Default for Selection<K> {
    fn default() -> Self {
        Self {
            id: None,
            awaited: None,
            marks: BTreeSet::new(),
            range: None,
            filter: String::new(),
            scope: None,
            sort: None,
            newest_first: false,
            order: None,
            is_stale: false,
            clears: "Esc".to_owned(),
            no_match: None,
            offset: Cell::new(0),
            height: Cell::new(0),
            area: Cell::default(),
            headings: RefCell::default(),
            seen: RefCell::default(),
        }
    }
}

impl<K: Ord + Clone> Selection<K> {
    /// Of a list that begins with the last id.
    pub(crate) fn newest_first() -> Self {
        Self { newest_first: true, ..Self::default() }
    }

    /// The selected object.
    pub(crate) fn id(&self) -> Option<&K> {
        self.id.as_ref()
    }

    /// Selects this object.
    pub(crate) fn select(&mut self, id: K) {
        self.awaited = None;
        self.id = Some(id);
    }

    /// Selects this object as soon as there is any.
    pub(crate) fn await_id(&mut self, id: Option<K>) {
        self.awaited = id;
    }

    /// The selected object, or the one that shall be.
    pub(crate) fn selected_or_awaited(&self) -> Option<&K> {
        self.awaited.as_ref().or(self.id.as_ref())
    }

    fn take_awaited<V>(&mut self, list: &BTreeMap<K, V>) {
        if !list.is_empty()
            && let Some(id) = self.awaited.take().filter(|id| list.contains_key(id))
        {
            self.id = Some(id);
        }
    }

    /// The rows in the order they are shown.
    pub(crate) fn shown<'a, V>(
        &'a self,
        list: &'a BTreeMap<K, V>,
    ) -> impl Iterator<Item = (&'a K, &'a V)> + Clone {
        let is_natural = self.order.is_none();
        let arranged = self.order.iter().flatten().filter_map(|id| list.get_key_value(id));
        let forward = (is_natural && !self.newest_first).then(|| list.iter());
        let backward = (is_natural && self.newest_first).then(|| list.iter().rev());
        arranged.chain(forward.into_iter().flatten()).chain(backward.into_iter().flatten())
    }

    fn is_listed<V: Row>(&self, row: &V) -> bool {
        self.scope.as_ref().is_none_or(|scope| row.hive() == Some(scope))
    }

    /// How many there are without the filter.
    pub(crate) fn total<V: Row>(&self, list: &BTreeMap<K, V>) -> usize {
        if self.scope.is_none() {
            return list.len();
        }
        list.values().filter(|row| self.is_listed(*row)).count()
    }

    /// What has to be done again at the next [`arrange`](Self::arrange).
    pub(crate) fn changed(&mut self) {
        self.is_stale = true;
    }

    /// Whether rows can change places by themselves.
    pub(crate) fn is_sorted(&self) -> bool {
        self.sort.is_some()
    }

    /// Makes the order again if it is old. While it is held, rows stay in
    /// their places: the gone leave, the new come last.
    pub(crate) fn arrange<V: Row>(&mut self, list: &BTreeMap<K, V>, held: bool) {
        if !self.is_stale {
            return;
        }
        self.is_stale = held;
        self.take_awaited(list);
        let filter = Filter::parse::<V>(&self.filter).unwrap_or_default();
        if filter.is_empty() && self.sort.is_none() && self.scope.is_none() {
            self.order = None;
            self.no_match = None;
            self.is_stale = false;
            return self.settle(list);
        }
        let mut matcher = matcher();
        let mut accepted: Vec<(&K, &V)> =
            if self.newest_first { list.iter().rev().collect() } else { list.iter().collect() };
        accepted.retain(|(_, row)| self.is_listed(*row));
        let total = accepted.len();
        accepted.retain(|(_, row)| filter.accepts(*row, &mut matcher));
        let is_hidden = accepted.is_empty() && !filter.is_empty();
        self.no_match = is_hidden.then(|| self.nothing(total, list));
        match (&self.order, self.sort) {
            (Some(before), _) if held => {
                let places: BTreeMap<&K, usize> =
                    before.iter().enumerate().map(|(at, id)| (id, at)).collect();
                accepted.sort_by_key(|(id, _)| places.get(id).copied().unwrap_or(usize::MAX));
            }
            (_, Some(sort)) => sort_rows(&mut accepted, sort),
            (_, None) => {}
        }
        let at =
            self.id.as_ref().and_then(|id| self.order.as_ref()?.iter().position(|it| it == id));
        let order: Vec<K> = accepted.into_iter().map(|(id, _)| id.clone()).collect();
        if self.id.as_ref().is_none_or(|id| !order.contains(id)) {
            let near = at.unwrap_or(0).min(order.len().saturating_sub(1));
            self.id = order.get(near).cloned();
        }
        self.order = Some(order);
    }

    fn nothing<V: Row>(&self, total: usize, list: &BTreeMap<K, V>) -> String {
        format!("{} {} clears", no_match(&self.filter, total, list), self.clears)
    }

    /// Makes sure that what is selected exists: the neighbour of what is no
    /// more, or the first when nothing was selected.
    pub(crate) fn settle<V>(&mut self, list: &BTreeMap<K, V>) {
        self.take_awaited(list);
        if self.id.as_ref().is_some_and(|id| list.contains_key(id)) {
            return;
        }
        let near = match (&self.id, &self.order) {
            (Some(id), Some(order)) => {
                let at = order.iter().position(|it| it == id).unwrap_or(0);
                let after = order.iter().skip(at);
                let before = order.iter().take(at).rev();
                after.chain(before).find(|id| list.contains_key(*id)).cloned()
            }
            (Some(id), None) => {
                let after = list.range((Bound::Excluded(id), Bound::Unbounded)).next();
                after.or_else(|| list.last_key_value()).map(|(id, _)| id.clone())
            }
            (None, _) => self.shown(list).next().map(|(id, _)| id.clone()),
        };
        self.id = near;
    }

    /// Moves in the order that is shown, back when negative, no further than
    /// the ends.
    pub(crate) fn step<V>(&mut self, list: &BTreeMap<K, V>, by: i64) {
        let Some(id) = &self.id else { return };
        let count = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
        let at = self.shown(list).position(|(it, _)| it == id);
        let last = self.shown(list).count().saturating_sub(1);
        let to = match at {
            Some(at) if by < 0 => at.saturating_sub(count),
            Some(at) => at.saturating_add(count).min(last),
            None => 0,
        };
        let found = self.shown(list).nth(to).map(|(id, _)| id.clone());
        if found.is_some() {
            self.id = found;
        }
    }

    /// Marks the selected object, or unmarks it.
    pub(crate) fn toggle_mark(&mut self) {
        if let Some(id) = &self.id
            && !self.marks.remove(id)
        {
            self.marks.insert(id.clone());
        }
    }

    /// Everything between two rows, both included, in the order shown.
    pub(crate) fn between<V>(&self, list: &BTreeMap<K, V>, from: &K, to: &K) -> Vec<K> {
        let place = |id: &K| self.shown(list).position(|(it, _)| it == id);
        let (Some(a), Some(b)) = (place(from), place(to)) else { return Vec::new() };
        let ids = self.shown(list).skip(a.min(b)).take(a.abs_diff(b) + 1);
        ids.map(|(id, _)| id.clone()).collect()
    }

    /// Takes the marks off what is no more, and says how many that were.
    pub(crate) fn drop_dead_marks<V>(&mut self, list: &BTreeMap<K, V>) -> usize {
        let before = self.marks.len();
        self.marks.retain(|id| list.contains_key(id));
        if self.range.as_ref().is_some_and(|id| !list.contains_key(id)) {
            self.range = None;
        }
        before - self.marks.len()
    }

    /// Notes which rows were drawn.
    pub(crate) fn note_seen<'a>(&self, rows: impl Iterator<Item = &'a K>)
    where
        K: 'a,
    {
        let mut seen = self.seen.borrow_mut();
        seen.clear();
        seen.extend(rows.cloned());
    }

    /// Whether a row was drawn that `what` accepts.
    pub(crate) fn seen_any(&self, what: impl Fn(&K) -> bool) -> bool {
        self.seen.borrow().iter().any(what)
    }

    /// Whether this row was drawn.
    pub(crate) fn is_seen(&self, id: &K) -> bool {
        self.seen_any(|seen| seen == id)
    }

    /// How many rows a page has.
    pub(crate) fn page(&self) -> i64 {
        i64::try_from(self.height.get().max(2)).unwrap_or(2) - 1
    }
}

/// Says so, and what may have been meant.
fn no_match<K, V: Row>(filter: &str, total: usize, list: &BTreeMap<K, V>) -> String {
    let mut text = format!("0 of {total} match `{}`.", one_line(filter));
    let words: BTreeSet<String> = list
        .values()
        .take(SUGGEST_ROWS)
        .flat_map(|row| V::FIELDS.iter().map(move |field| (field.cell)(row)))
        .filter_map(|cell| match cell {
            Content::Text(text) => Some(text.to_lowercase()),
            Content::Figure(_) => None,
        })
        .flat_map(|text| {
            let parts = text.split([' ', '/', ':', '.']).map(str::to_owned);
            parts.collect::<Vec<_>>()
        })
        .collect();
    if let Some(near) = nearest(filter.trim(), words.iter().map(String::as_str)) {
        text.push_str(&format!(" Did you mean `{near}`?"));
    }
    text
}

/// By a column; what is unknown stays last either way.
fn sort_rows<K, V: Row>(rows: &mut [(&K, &V)], sort: Sort) {
    let Some(field) = V::FIELDS.get(sort.field) else { return };
    rows.sort_by(|(_, a), (_, b)| {
        let (a, b) = ((field.cell)(a), (field.cell)(b));
        let order = a.compare(&b);
        if sort.descending && !a.is_unknown() && !b.is_unknown() { order.reverse() } else { order }
    });
}

#[cfg(test)]
mod tests {
    use protocol::{
        WorkerId,
        fleet::{WorkerRecord, WorkerState},
    };

    use super::*;
    use crate::tui::fixture::{id, worker};

    fn list(ids: &[u32]) -> BTreeMap<u32, ()> {
        ids.iter().map(|id| (*id, ())).collect()
    }

    #[test]
    fn the_selection_stays_on_its_object_while_rows_come_and_go() {
        let mut selection = Selection::default();
        selection.settle(&list(&[10, 20, 30]));
        selection.step(&list(&[10, 20, 30]), 1);
        selection.settle(&list(&[5, 10, 15, 20, 30]));
        assert_eq!(selection.id(), Some(&20));
    }

    #[test]
    fn what_is_no_more_hands_the_selection_to_its_neighbour() {
        let mut selection = Selection::default();
        selection.select(20);
        selection.settle(&list(&[10, 30]));
        assert_eq!(selection.id(), Some(&30));
        selection.settle(&list(&[10]));
        assert_eq!(selection.id(), Some(&10));
        selection.settle(&list(&[]));
        assert_eq!(selection.id(), None);
    }

    #[test]
    fn moving_stops_at_the_ends_and_the_newest_can_be_on_top() {
        let ids = list(&[1, 2, 3]);
        let mut selection = Selection::default();
        selection.select(2);
        selection.step(&ids, 9);
        assert_eq!(selection.id(), Some(&3));
        selection.step(&ids, -9);
        assert_eq!(selection.id(), Some(&1));
        let mut selection = Selection::newest_first();
        selection.settle(&ids);
        assert_eq!(selection.id(), Some(&3));
        selection.step(&ids, 1);
        assert_eq!(selection.id(), Some(&2));
    }

    fn workers(speeds: &[(&str, Option<f64>)]) -> BTreeMap<WorkerId, WorkerRecord> {
        let record = |(name, speed): &(&str, Option<f64>)| {
            let worker = worker(name, "gpu-1", WorkerState::Ready);
            (id(name), WorkerRecord { tokens_per_second: *speed, ..worker })
        };
        speeds.iter().map(record).collect()
    }

    fn names(
        selection: &Selection<WorkerId>,
        list: &BTreeMap<WorkerId, WorkerRecord>,
    ) -> Vec<String> {
        selection.shown(list).map(|(id, _)| id.to_string()).collect()
    }

    #[test]
    fn a_held_order_lets_nothing_move_under_the_cursor() {
        let field = WorkerRecord::FIELDS.iter().position(|it| it.name == "tok/s").unwrap();
        let mut selection = Selection {
            sort: Some(Sort { field, descending: true }),
            is_stale: true,
            ..Selection::default()
        };
        let before = workers(&[("wk-1", Some(1.0)), ("wk-2", Some(2.0)), ("wk-3", None)]);
        selection.arrange(&before, false);
        assert_eq!(names(&selection, &before), ["wk-2", "wk-1", "wk-3"]);
        let after = workers(&[("wk-0", Some(9.0)), ("wk-1", Some(5.0)), ("wk-2", Some(2.0))]);
        selection.changed();
        selection.arrange(&after, true);
        assert_eq!(names(&selection, &after), ["wk-2", "wk-1", "wk-0"]);
        selection.arrange(&after, false);
        assert_eq!(names(&selection, &after), ["wk-0", "wk-1", "wk-2"]);
    }

    #[test]
    fn what_a_filter_hides_cannot_stay_selected() {
        let list = workers(&[("wk-1", None), ("wk-2", None), ("wk-3", None)]);
        let mut selection = Selection::default();
        selection.select(id("wk-1"));
        selection.filter = "wk-3".to_owned();
        selection.changed();
        selection.arrange(&list, false);
        assert_eq!(selection.id(), Some(&id("wk-3")));
        selection.filter = "gpu-11".to_owned();
        selection.changed();
        selection.arrange(&list, false);
        assert_eq!(selection.id(), None);
        let said = selection.no_match.unwrap();
        assert_eq!(said, "0 of 3 match `gpu-11`. Did you mean `gpu-1`? Esc clears");
    }
}
