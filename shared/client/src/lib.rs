//! The only code that makes HTTP calls between rbee's programs.
//!
//! A [`Daemon`] is an address with its credentials. Plain calls answer once
//! and in bounded time; the three streams differ in what a broken connection
//! means:
//!
//! | stream | when the connection breaks | ends |
//! |---|---|---|
//! | [`JobStream`] | resumes where it was, gives up after [`Limits::patience`] | with the job |
//! | [`FeedStream`] | says so, reconnects for ever | never |
//! | [`InferenceStream`] | ends with an error; the caller resumes it or not | with the answer |
//!
//! None of them spawns a task or keeps a queue: a stream reads while it is
//! polled, and dropping it closes its connection.
//!
//! This crate decides nothing about the fleet and shows nothing to a person;
//! its errors are sentences that can be shown as they are.

mod backoff;
mod daemon;
mod error;
mod feed;
mod inference;
mod jobs;
mod limits;
mod sse;
mod transport;

pub use daemon::Daemon;
pub use error::{ClientError, ConnectFault, Peer, Silence};
pub use feed::{FeedHandle, FeedItem, FeedOptions, FeedStream, TokenFilter};
pub use inference::{InferenceItem, InferenceStream};
pub use jobs::{JobItem, JobStream};
pub use limits::Limits;
