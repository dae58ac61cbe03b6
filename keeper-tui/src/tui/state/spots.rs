//! What was drawn where, for whoever points at it.

use std::cell::RefCell;

use ratatui::layout::{Position, Rect};

use super::{HiveTab, Pane, View, reading::Reading};

/// Something that can be pointed at. Tables note their own rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spot {
    /// The name of a view.
    View(View),
    /// The name of a part of one machine.
    Tab(HiveTab),
    /// A text that is read.
    Text(Reading),
    /// Another pane.
    Pane(Pane),
}

/// Everything of the last frame.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spots(RefCell<Vec<(Rect, Spot)>>);

impl Spots {
    /// A frame begins.
    pub(crate) fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    /// This is drawn here.
    pub(crate) fn note(&self, area: Rect, spot: Spot) {
        self.0.borrow_mut().push((area, spot));
    }

    /// What is drawn there.
    pub(crate) fn at(&self, at: Position) -> Option<Spot> {
        let spots = self.0.borrow();
        spots.iter().rev().find(|(area, _)| area.contains(at)).map(|(_, spot)| spot.clone())
    }
}
