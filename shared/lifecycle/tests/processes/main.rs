//! Launching, finding and stopping real processes.
//!
//! `cfg(test)` is always set here; it tells the lints that what helps the
//! tests is a test too and may unwrap.

#[cfg(test)]
mod detached;
#[cfg(test)]
mod helpers;
#[cfg(test)]
mod launching;
#[cfg(test)]
mod readiness;
#[cfg(test)]
mod stopping;
