//! What the workers of each machine come to, kept as they change: with ten
//! thousand of them nobody can add them up for every frame.

use std::collections::BTreeMap;

use protocol::{
    HiveId,
    fleet::{WorkerRecord, WorkerState},
};

/// The workers of one machine that are not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Crew {
    /// All of them.
    pub(crate) alive: usize,
    /// Those that can be given work.
    pub(crate) serving: usize,
    /// Those on their way to it.
    pub(crate) starting: usize,
    /// Those without a free slot.
    pub(crate) busy: usize,
    /// Requests that those who serve can run at once.
    pub(crate) slots: u64,
    /// Requests that they run now.
    pub(crate) slots_busy: u64,
    /// Those that generate.
    generating: usize,
    /// Whole thousandths: sums of fractions would drift.
    millitokens: u64,
}

impl Crew {
    /// Tokens per second of all together; unknown when nobody generates.
    pub(crate) fn speed(&self) -> Option<f64> {
        (self.generating > 0).then_some(self.millitokens as f64 / 1000.0)
    }

    fn add(&mut self, worker: &WorkerRecord) {
        let one = Self::from(worker);
        self.alive += one.alive;
        self.serving += one.serving;
        self.starting += one.starting;
        self.busy += one.busy;
        self.slots += one.slots;
        self.slots_busy += one.slots_busy;
        self.generating += one.generating;
        self.millitokens += one.millitokens;
    }

    fn remove(&mut self, worker: &WorkerRecord) {
        let one = Self::from(worker);
        self.alive = self.alive.saturating_sub(one.alive);
        self.serving = self.serving.saturating_sub(one.serving);
        self.starting = self.starting.saturating_sub(one.starting);
        self.busy = self.busy.saturating_sub(one.busy);
        self.slots = self.slots.saturating_sub(one.slots);
        self.slots_busy = self.slots_busy.saturating_sub(one.slots_busy);
        self.generating = self.generating.saturating_sub(one.generating);
        self.millitokens = self.millitokens.saturating_sub(one.millitokens);
    }
}

impl From<&WorkerRecord> for Crew {
    fn from(worker: &WorkerRecord) -> Self {
        if worker.state.is_ended() {
            return Self::default();
        }
        let slots = worker.slots_busy.zip(worker.slots_total);
        let (slots_busy, slots) = slots.filter(|_| worker.state.is_serving()).unwrap_or_default();
        let speed = worker.tokens_per_second.filter(|it| it.is_finite() && *it >= 0.0);
        Self {
            alive: 1,
            serving: usize::from(worker.state.is_serving()),
            starting: usize::from(worker.state.is_coming()),
            busy: usize::from(worker.state == WorkerState::Busy),
            slots: u64::from(slots),
            slots_busy: u64::from(slots_busy),
            generating: usize::from(speed.is_some()),
            millitokens: speed.map_or(0, |speed| (speed.min(1e9) * 1000.0) as u64),
        }
    }
}

/// All machines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    crews: BTreeMap<HiveId, Crew>,
}

impl Totals {
    /// Of these workers.
    pub(crate) fn of<'a>(workers: impl Iterator<Item = &'a WorkerRecord>) -> Self {
        let mut totals = Self::default();
        for worker in workers {
            totals.add(worker);
        }
        totals
    }

    /// The workers of a machine.
    pub(crate) fn crew(&self, hive: &HiveId) -> Crew {
        self.crews.get(hive).copied().unwrap_or_default()
    }

    /// Machine by machine.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&HiveId, &Crew)> {
        self.crews.iter()
    }

    /// A worker is there now.
    pub(crate) fn add(&mut self, worker: &WorkerRecord) {
        match self.crews.get_mut(&worker.hive_id) {
            Some(crew) => crew.add(worker),
            None => {
                self.crews.insert(worker.hive_id.clone(), Crew::from(worker));
            }
        }
    }

    /// A worker is no more, or not as it was.
    pub(crate) fn remove(&mut self, worker: &WorkerRecord) {
        if let Some(crew) = self.crews.get_mut(&worker.hive_id) {
            crew.remove(worker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture::worker;

    #[test]
    fn what_came_and_went_leaves_the_same_sum_as_what_is_there() {
        let (one, mut two) = (
            worker("wk-1", "gpu-1", WorkerState::Busy),
            worker("wk-2", "gpu-1", WorkerState::Ready),
        );
        let mut totals = Totals::of([&one, &two].into_iter());
        assert_eq!(totals.crew(&one.hive_id).speed(), Some(82.6));
        totals.remove(&two);
        two.state = WorkerState::Failed;
        totals.add(&two);
        assert_eq!(totals, Totals::of([&one, &two].into_iter()));
        assert_eq!(totals.crew(&one.hive_id).alive, 1);
        totals.remove(&one);
        assert_eq!(totals.crew(&one.hive_id).speed(), None, "unknown, and not a zero");
    }
}
