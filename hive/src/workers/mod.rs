//! The worker processes of this machine.
//!
//! ```text
//!               launch failed                     gave up, exited
//!   Launching ───────────────▶ Ended ◀──────────────────────────────┐
//!    ▲ │ process is there        ▲                                   │
//!    │ ▼                         │ exited, and enough is enough      │
//!    │Starting ──▶ Loading ──▶ Serving ──────────▶ Leaving ────────────┤
//!    │ └────────────┴────────────│── asked ────────▲                ▼
//!    │                           ▼ exited           asked: forgotten with its folder
//!    └─ there is room ────── BackingOff ◀─┐
//!                                └────────┘ there is none
//! ```
//!
//! | stage | there is a process | the record says |
//! |---|---|---|
//! | Launching | perhaps | `starting` |
//! | Starting | yes; it has not answered | `starting` |
//! | Loading | yes; it reads its model | `loading`, with progress |
//! | Serving | yes | `ready`, `busy`, or `draining` when told by others |
//! | BackingOff | no; it has served and is started again | `backing_off`, with when |
//! | Leaving | yes, unless launching is not over | `draining` when it was asked |
//! | Ended | no | `stopped` or `failed`, with how it ended |
//!
//! [`lifecycle`] decides and touches nothing. [`supervisor`] is the one task
//! that owns all workers and carries out what was decided; everybody else
//! holds its [`handle`]. Each worker has one
//! task of its own ([`attendant`]) that holds its process and asks how it is;
//! [`launcher`] knows command lines and files.
//!
//! Before a worker starts, [`admission`] checks the memory and hands out
//! [`cores`]; before it starts again, the memory once more.
//!
//! A worker belongs to its folder, not to this process: it is written down
//! before it starts, and a hive that comes back adopts it, or goes on with it
//! where the last one stopped: its wait, its count of restarts, how it ended.
//! Nothing is ever launched for a worker that may have a process. What ends
//! unasked after it has served is started again as [`restart`] says; one that
//! never served, or ended too often, stays to be looked at until it is
//! deleted.

mod admission;
mod attendant;
mod cores;
pub(crate) mod handle;
pub(crate) mod launcher;
mod lifecycle;
pub(crate) mod logs;
mod restart;
mod spec;
mod supervisor;

pub use self::restart::RestartPolicy;
pub(crate) use self::{
    admission::Admitted,
    handle::Workers,
    launcher::Launcher,
    spec::{History, Spec},
    supervisor::Means,
};
