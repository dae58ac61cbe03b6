//! Another machine, through the system's `ssh`: keys, agents, jump hosts and
//! known hosts work as the user has them.
//!
//! ```text
//! Connection::open ── one ssh process, its control socket in a folder of ours
//!    │  Pulse         its life: an echo from the other side, or why it ended
//!    ├─ run           a constant script there; data goes over stdin
//!    └─ forward       a unix socket here to a port there, and the other way
//! ```
//!
//! No shell ever reads data: the only command line that another machine is
//! sent is [`script::BOOTSTRAP`], a constant; the script and what it works on
//! follow over stdin. Nothing listens on a port of ours either: both ends of a
//! forward of ours are sockets in folders that only their user can enter.
//! What the machine prints is text, cut and cleaned before anybody sees it.

pub mod argv;
pub mod connection;
pub mod effective;
pub mod fault;
pub mod host_key;
pub mod script;
pub mod text;

pub use connection::{Connection, Pulse, Upload};
pub use fault::{SshError, SshFault};
pub use host_key::HostKey;
pub use script::{Reply, Script};
