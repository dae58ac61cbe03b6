//! What the whole does, told by real processes.
//!
//! Every stream that is read to its end is held to the invariants by the
//! harness: numbers without a hole, nothing twice, one end and it is last.
//! Every cluster that is closed is held to the others: one process to a
//! worker, and none left behind.

#[cfg(test)]
mod architecture;
#[cfg(test)]
mod batch;
#[cfg(test)]
mod cancel;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod dashboard;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod http;
#[cfg(test)]
mod https;
#[cfg(test)]
mod integrated;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod main_job;
#[cfg(test)]
mod models;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod protocol_forms;
#[cfg(test)]
mod queue;
#[cfg(test)]
mod readers;
#[cfg(test)]
mod ssh;
#[cfg(test)]
mod supervision;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod watch;
