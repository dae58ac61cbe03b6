//! How many processor threads a worker takes.
//!
//! Workers that share a machine must share its cores: two workers with two
//! threads each on two cores are six times slower than with one each, because
//! the engine's pools spin.
//!
//! The pools read their size from the environment. A hive says it there; for
//! whoever starts a worker by hand, [`ensure`] starts the program anew in place
//! when the environment does not say what is wanted.

use std::{io, num::NonZeroUsize};

use config::threads::{CANDLE, RAYON, environment};

/// Below this a model's matrices are so small that handing them to a second
/// thread costs more than it gains.
const TINY_MODEL_BYTES: u64 = 32 << 20;

/// Why the number of threads could not be set.
#[derive(Debug, thiserror::Error)]
pub enum ThreadsError {
    /// The program could not be started anew.
    #[error("could not restart with {threads} threads; set {CANDLE} and {RAYON} and start again")]
    Restart {
        /// How many were wanted.
        threads: NonZeroUsize,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

/// How many threads suit a model of `file_bytes` when `cores` may be used.
pub fn recommended(file_bytes: u64, cores: NonZeroUsize) -> NonZeroUsize {
    if file_bytes < TINY_MODEL_BYTES { NonZeroUsize::MIN } else { cores }
}

/// How many threads the engine of this process takes.
pub fn in_force() -> usize {
    let from = |name| std::env::var(name).ok().and_then(|value| value.parse::<NonZeroUsize>().ok());
    from(CANDLE).map_or_else(candle_core::utils::get_num_threads, NonZeroUsize::get)
}

/// Sees to it that the engine takes `threads`. Call it first in `main`: it
/// replaces the process by itself, same arguments, same id, if the environment
/// says anything else, and returns only when it does not.
pub fn ensure(threads: NonZeroUsize) -> Result<(), ThreadsError> {
    let wanted = environment(threads);
    let set = wanted.iter().all(|(name, value)| std::env::var(name).as_ref() == Ok(value));
    if set {
        return Ok(());
    }
    Err(ThreadsError::Restart { threads, source: restart(&wanted) })
}

#[cfg(unix)]
fn restart(environment: &[(&str, String)]) -> io::Error {
    use std::os::unix::process::CommandExt;

    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let mut arguments = std::env::args_os();
    let mut command = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).envs(environment.iter().map(|(name, value)| (name, value))).exec()
}

#[cfg(not(unix))]
fn restart(_environment: &[(&str, String)]) -> io::Error {
    io::Error::from(io::ErrorKind::Unsupported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tiny_model_gets_one_thread_and_a_large_one_all_cores() {
        let four = NonZeroUsize::new(4).unwrap();
        assert_eq!(recommended(3 << 20, four).get(), 1);
        assert_eq!(recommended(700 << 20, four), four);
    }
}
