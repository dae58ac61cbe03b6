//! How many of the machine's cores a new worker gets.
//!
//! Workers whose threads together are more than the cores do not share them:
//! their pools spin while they wait for each other, and two workers that each
//! take both of two cores were measured at 6.5 tokens a second instead of 41.
//! A worker cannot change its threads while it runs, so what is handed out
//! stays out until the worker is gone.
//!
//! A worker that asks for no number gets three quarters of what is free,
//! rounded up in its favour: alone on two or three cores it gets all of them,
//! alone on sixteen it gets twelve and the next one still finds four. The
//! quarter costs the first little, because decoding waits for memory long
//! before it has used every core. Halving instead would be fairer to the
//! second and cost a worker that stays alone, as most do, half its speed on a
//! small machine.
//!
//! When none are left, a worker of one thread still comes in, if its model is
//! tiny or the operator says so: one thread has nobody to spin for, and the
//! system divides its core by time. Any other is refused with what would help;
//! started all the same it would slow down its neighbours as well.

/// Below this a model's matrices are so small that handing them to a second
/// thread costs more than it gains.
const TINY_MODEL_BYTES: u64 = 32 * 1024 * 1024;
/// The part of the free cores that is kept back for the next worker.
const KEPT_BACK: u32 = 4;

/// What a worker asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wish {
    pub(crate) model_bytes: u64,
    /// So many threads and no other number.
    pub(crate) threads: Option<u32>,
    /// The most for one that does not ask for a number.
    pub(crate) usual_max: Option<u32>,
}

/// What it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    pub(crate) threads: u32,
    /// What is left for others.
    pub(crate) left: u32,
    /// Nothing was free, and its one thread shares a core by time.
    pub(crate) is_shared: bool,
}

/// There are fewer free than it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooFew {
    pub(crate) free: u32,
}

/// The budget of a worker on a machine with `cores`, of which `handed_out`
/// have been given to others.
pub(crate) fn budget(wish: Wish, cores: u32, handed_out: u32) -> Result<Budget, TooFew> {
    let free = cores.saturating_sub(handed_out);
    let share = || (free - free / KEPT_BACK).min(wish.usual_max.unwrap_or(u32::MAX));
    let is_tiny = wish.model_bytes < TINY_MODEL_BYTES;
    let threads = wish.threads.unwrap_or_else(|| if is_tiny { 1 } else { share() });
    match threads {
        1.. if threads <= free => Ok(Budget { threads, left: free - threads, is_shared: false }),
        1 => Ok(Budget { threads, left: 0, is_shared: true }),
        _ => Err(TooFew { free }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LARGE: Wish = Wish { model_bytes: 5_000_000_000, threads: None, usual_max: None };
    const TINY: Wish = Wish { model_bytes: TINY_MODEL_BYTES - 1, ..LARGE };

    /// What large workers get, one after the other, until one is refused.
    fn threads(wish: Wish, cores: u32) -> Vec<u32> {
        let mut given: Vec<u32> = vec![];
        while let Ok(budget) = budget(wish, cores, given.iter().sum()) {
            given.push(budget.threads);
        }
        given
    }

    #[test]
    fn one_that_is_alone_gets_what_its_model_can_use_and_leaves_something_where_there_is_much() {
        assert_eq!(threads(LARGE, 1), [1]);
        assert_eq!(threads(LARGE, 2), [2]);
        assert_eq!(threads(LARGE, 4), [3, 1]);
        assert_eq!(threads(LARGE, 16), [12, 3, 1]);
    }

    #[test]
    fn a_usual_number_divides_the_machine_as_the_operator_likes() {
        let halves = Wish { usual_max: Some(8), ..LARGE };
        assert_eq!(threads(halves, 16), [8, 6, 2]);
        assert_eq!(threads(Wish { usual_max: Some(1), ..LARGE }, 2), [1, 1]);
    }

    #[test]
    fn a_number_that_is_asked_for_is_given_or_refused_and_never_changed() {
        let asked = |threads| Wish { threads: Some(threads), usual_max: Some(1), ..LARGE };
        assert_eq!(budget(asked(3), 4, 1).unwrap().threads, 3);
        assert_eq!(budget(asked(4), 4, 1), Err(TooFew { free: 3 }));
        assert_eq!(budget(Wish { threads: Some(2), ..TINY }, 4, 0).unwrap().threads, 2);
    }

    #[test]
    fn on_a_full_machine_one_thread_may_share_a_core_and_more_may_not() {
        let shares = Budget { threads: 1, left: 0, is_shared: true };
        assert_eq!(budget(TINY, 4, 4), Ok(shares));
        assert_eq!(budget(Wish { threads: Some(1), ..LARGE }, 4, 4), Ok(shares));
        assert_eq!(budget(LARGE, 4, 4), Err(TooFew { free: 0 }));
    }

    #[test]
    fn a_tiny_model_gets_one_thread_however_many_are_free() {
        assert_eq!(budget(TINY, 64, 0).unwrap().threads, 1);
        let larger = Wish { model_bytes: TINY_MODEL_BYTES, ..LARGE };
        assert_eq!(budget(larger, 64, 0).unwrap().threads, 48);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whoever_comes_and_goes_no_more_is_handed_out_than_there_is_but_to_those_that_share(
            cores in 1..64_u32,
            // Some: one comes; None: the oldest goes.
            steps in prop::collection::vec(
                prop::option::weighted(0.7, (0..2 * LARGE.model_bytes, prop::option::of(1..9_u32))),
                0..80
            )
        ) {
            let mut given: Vec<Budget> = vec![];
            for step in steps {
                let Some((model_bytes, threads)) = step else {
                    if !given.is_empty() { given.remove(0); }
                    continue;
                };
                let before = given.iter().map(|it| it.threads).sum();
                let wish = Wish { model_bytes, threads, usual_max: None };
                let Ok(budget) = budget(wish, cores, before) else { continue };
                if budget.is_shared {
                    prop_assert!(budget.threads == 1 && before >= cores);
                } else {
                    prop_assert_eq!(before + budget.threads + budget.left, cores);
                }
                given.push(budget);
            }
        }
    }
}
