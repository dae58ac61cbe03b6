//! What is selected in a list: an object by its id, never a row.
//!
//! Rows come and go under the cursor. Whatever happens to the list, the
//! selection stays on its object, and moves to a neighbour only when the object
//! is no more.

use std::{cell::Cell, collections::BTreeMap, ops::Bound};

/// The selection of one list.
#[derive(Debug, Clone)]
pub(crate) struct Selection<K> {
    id: Option<K>,
    /// The first row shown, kept from frame to frame so that the list scrolls
    /// only when it must.
    pub(crate) offset: Cell<usize>,
    /// How many rows were last drawn.
    pub(crate) height: Cell<usize>,
}

impl<K> Default for Selection<K> {
    fn default() -> Self {
        Self { id: None, offset: Cell::new(0), height: Cell::new(0) }
    }
}

impl<K: Ord + Clone> Selection<K> {
    /// The selected object.
    pub(crate) fn id(&self) -> Option<&K> {
        self.id.as_ref()
    }

    /// Selects this object.
    pub(crate) fn select(&mut self, id: K) {
        self.id = Some(id);
    }

    /// Makes sure that what is selected exists: the neighbour of what is no
    /// more, or `first` when nothing was selected.
    pub(crate) fn settle<V>(&mut self, list: &BTreeMap<K, V>, first: impl Fn() -> Option<K>) {
        match &self.id {
            Some(id) if list.contains_key(id) => {}
            Some(id) => {
                let after = list.range((Bound::Excluded(id), Bound::Unbounded)).next();
                let near = after.or_else(|| list.last_key_value()).map(|(id, _)| id.clone());
                self.id = near;
            }
            None => self.id = first(),
        }
    }

    /// Moves in the order of the ids, back when negative, no further than the
    /// ends.
    pub(crate) fn step<V>(&mut self, list: &BTreeMap<K, V>, by: i64) {
        let Some(id) = &self.id else { return };
        let count = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
        let Some(skip) = count.checked_sub(1) else { return };
        let found = if by < 0 {
            let before = list.range((Bound::Unbounded, Bound::Excluded(id)));
            before.rev().nth(skip).or_else(|| list.first_key_value())
        } else {
            let after = list.range((Bound::Excluded(id), Bound::Unbounded));
            { after }.nth(skip).or_else(|| list.last_key_value())
        };
        if let Some((id, _)) = found {
            self.id = Some(id.clone());
        }
    }

    /// Makes sure that what is selected is one of these.
    pub(crate) fn settle_among<'a>(&mut self, mut keys: impl Iterator<Item = &'a K> + Clone)
    where
        K: 'a,
    {
        if !keys.clone().any(|key| self.id.as_ref() == Some(key))
            && let Some(first) = keys.next()
        {
            self.id = Some(first.clone());
        }
    }

    /// Moves in the order of these, no further than the ends.
    pub(crate) fn step_among<'a>(&mut self, keys: impl Iterator<Item = &'a K> + Clone, by: i64)
    where
        K: 'a,
    {
        let Some(at) = keys.clone().position(|key| self.id.as_ref() == Some(key)) else { return };
        let last = keys.clone().count().saturating_sub(1);
        let by = isize::try_from(by).unwrap_or(if by < 0 { isize::MIN } else { isize::MAX });
        let mut keys = keys;
        if let Some(key) = keys.nth(at.saturating_add_signed(by).min(last)) {
            self.id = Some(key.clone());
        }
    }

    /// How many rows a page has.
    pub(crate) fn page(&self) -> i64 {
        i64::try_from(self.height.get().max(2)).unwrap_or(2) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(ids: &[u32]) -> BTreeMap<u32, ()> {
        ids.iter().map(|id| (*id, ())).collect()
    }

    #[test]
    fn the_selection_stays_on_its_object_while_rows_come_and_go() {
        let mut selection = Selection::default();
        selection.settle(&list(&[10, 20, 30]), || Some(10));
        selection.step(&list(&[10, 20, 30]), 1);
        selection.settle(&list(&[5, 10, 15, 20, 30]), || None);
        assert_eq!(selection.id(), Some(&20));
    }

    #[test]
    fn what_is_no_more_hands_the_selection_to_its_neighbour() {
        let mut selection = Selection::default();
        selection.select(20);
        selection.settle(&list(&[10, 30]), || None);
        assert_eq!(selection.id(), Some(&30));
        selection.settle(&list(&[10]), || None);
        assert_eq!(selection.id(), Some(&10));
        selection.settle(&list(&[]), || None);
        assert_eq!(selection.id(), None);
    }

    #[test]
    fn moving_stops_at_the_ends() {
        let ids = list(&[1, 2, 3]);
        let mut selection = Selection::default();
        selection.select(2);
        selection.step(&ids, 9);
        assert_eq!(selection.id(), Some(&3));
        selection.step(&ids, -9);
        assert_eq!(selection.id(), Some(&1));
    }
}
