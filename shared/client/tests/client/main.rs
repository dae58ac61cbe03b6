//! The client against a server that does exactly what a test tells it to,
//! down to the byte at which it hangs up.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what cannot be set up or does not come is a failed test"
)]

mod calls;
mod feed;
mod inference;
mod jobs;
mod support;
