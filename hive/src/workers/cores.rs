//! How many of the machine's cores a new worker gets.
//!
//! Workers whose threads together are more than the cores do not share them:
//! their pools spin while they wait for each other, and two workers that each
//! take both of two cores were measured at 6.5 tokens a second instead of 41.
//! A worker cannot change its threads while it runs, so what is handed out
//! stays out until the worker is gone. That is why nobody gets all: a new
//! worker gets half of what is free, and the next ones find something left.
//! Half is also what decoding can use, because the cores that a system counts
//! are mostly two per real one, and memory is slower than either.

/// Below this a model's matrices are so small that handing them to a second
/// thread costs more than it gains.
const TINY_MODEL_BYTES: u64 = 32 * 1024 * 1024;

/// What a worker gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    pub(crate) threads: u32,
    /// Nothing was free, and it gets the one thread that it cannot do without.
    pub(crate) is_oversold: bool,
}

/// The budget of a worker for a model of `model_bytes` on a machine with
/// `cores`, of which `handed_out` have been given to others.
pub(crate) fn budget(model_bytes: u64, cores: u32, handed_out: u32) -> Budget {
    let free = cores.saturating_sub(handed_out);
    let threads = if model_bytes < TINY_MODEL_BYTES { 1 } else { free.div_ceil(2).max(1) };
    Budget { threads, is_oversold: free == 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LARGE: u64 = 5_000_000_000;

    /// What so many large workers get, one after the other.
    fn threads(cores: u32, workers: usize) -> Vec<u32> {
        let mut given: Vec<u32> = vec![];
        for _ in 0..workers {
            given.push(budget(LARGE, cores, given.iter().sum()).threads);
        }
        given
    }

    #[test]
    fn two_workers_on_two_cores_get_one_each() {
        assert_eq!(threads(2, 2), [1, 1]);
        assert_eq!(threads(16, 5), [8, 4, 2, 1, 1]);
        assert_eq!(threads(1, 1), [1]);
    }

    #[test]
    fn a_tiny_model_gets_one_thread_however_many_are_free() {
        assert_eq!(budget(TINY_MODEL_BYTES - 1, 64, 0).threads, 1);
        assert_eq!(budget(TINY_MODEL_BYTES, 64, 0).threads, 32);
    }

    #[test]
    fn one_worker_too_many_gets_one_thread_and_it_is_said() {
        let budget = budget(LARGE, 4, 4);
        assert_eq!(budget, Budget { threads: 1, is_oversold: true });
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whoever_comes_and_goes_more_than_there_is_is_handed_out_only_one_by_one(
            cores in 1..64_u32,
            // Some(size): one comes; None: the oldest goes.
            steps in prop::collection::vec(prop::option::weighted(0.7, 0..2 * LARGE), 0..80)
        ) {
            let mut given: Vec<u32> = vec![];
            for step in steps {
                let Some(size) = step else {
                    if !given.is_empty() { given.remove(0); }
                    continue;
                };
                let before: u32 = given.iter().sum();
                let budget = budget(size, cores, before);
                prop_assert!(budget.threads >= 1);
                if before < cores {
                    prop_assert!(before + budget.threads <= cores && !budget.is_oversold);
                } else {
                    prop_assert_eq!(budget, Budget { threads: 1, is_oversold: true });
                }
                given.push(budget.threads);
            }
        }
    }
}
