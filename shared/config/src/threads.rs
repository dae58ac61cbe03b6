//! How many threads a worker's engine takes, in its environment.
//!
//! The matrix code runs on two pools, rayon's and candle's own, and both read
//! their size from the environment when they first wake. A process cannot
//! change its own environment safely once it has threads, so whoever launches
//! a worker says it there.

use std::num::NonZeroUsize;

/// Read by candle's pool first.
pub const CANDLE: &str = "CANDLE_NUM_THREADS";
/// Read by rayon's pool, and by candle's as a fallback.
pub const RAYON: &str = "RAYON_NUM_THREADS";

/// The variables that make a worker take `threads`.
pub fn environment(threads: NonZeroUsize) -> [(&'static str, String); 2] {
    [(CANDLE, threads.to_string()), (RAYON, threads.to_string())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_pools_are_told() {
        let four = NonZeroUsize::new(4).unwrap();
        assert_eq!(environment(four).map(|(_, value)| value), ["4", "4"]);
    }
}
