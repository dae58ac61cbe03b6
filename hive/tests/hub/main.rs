//! Downloads through a whole hive, from a hub on loopback that can misbehave.
//!
//! `cfg(test)` is always set here; it tells the lints that what helps the
//! tests is part of them.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod double;
#[cfg(test)]
mod downloads;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod token;
