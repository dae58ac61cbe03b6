//! A fleet of real processes for one test, in the words of the domain.
//!
//! ```text
//! Cluster ── its own directories, its own ports, its own copy of the programs
//!    │  keeper(["infer", …])     the operator's program, as a script runs it
//!    │  submit, read, raw        the documented wire, without our own client
//!    │  record, processes, kill  the processes, each by what its record says
//!    └─ Drop                     ends all of it, and fails if anything is left
//! Machine    another machine: a real sshd on loopback with a home folder of its own
//! Impostor   somebody who answers in the place of a queen, and not as she would
//! Network    a network namespace for one, with a cable that can be pulled
//! OtherHive  a hive that was not installed from here; TlsProxy, what stands before one
//! Script     what a worker says, how fast, and how it breaks
//! Terminal   the dashboard on a terminal that a test can read
//! wait_for   a condition, never a duration
//! ```
//!
//! Nothing here builds a program and nothing signals a process by its name.

mod api;
mod cluster;
mod impostor;
mod keeper;
mod machine;
mod network;
mod other_hive;
mod processes;
mod script;
mod skip;
mod terminal;
mod tls;
mod transcript;
mod wait;

pub use api::Answer;
pub use cluster::{Cluster, Setup};
pub use impostor::{Impostor, Says};
pub use keeper::{Following, Output};
pub use machine::{Machine, MachineSetup, Place};
pub use network::Network;
pub use other_hive::{OtherHive, write_token};
pub use processes::Daemon;
pub use script::Script;
pub use skip::skip;
pub use terminal::{Modes, Terminal};
pub use tls::{Authority, TlsProxy};
pub use transcript::Transcript;
pub use wait::{PATIENCE, Seen, wait_for, wait_within};
