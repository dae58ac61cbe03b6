//! What crosses a socket between rbee's programs: operations, events, records,
//! ids, routes and error codes.
//!
//! Parsing *is* the input validation: a value of one of these types has been
//! checked, and every refusal is an [`ApiError`] that names the field and the
//! remedy. This crate does no IO and knows no async runtime, so that keeper,
//! queen, hive and worker can all depend on it and on nothing of each other.

pub mod deadline;
pub mod error;
pub mod fields;
pub mod fleet;
pub mod ids;
pub mod inference;
pub mod job;
pub mod logs;
pub mod model;
pub mod operation;
pub mod routes;
pub mod suggest;

mod bounds;

pub use error::{ApiError, ErrorCode};
pub use ids::{DeviceId, HiveId, JobId, ModelRef, RequestId, WorkerId};
pub use jiff::Timestamp;
