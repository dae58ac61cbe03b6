//! The operator's program: the dashboard, and the same operations as commands.
//!
//! It links no daemon and decides nothing about the fleet; it shows what the
//! queen says and asks her for things.

pub mod cli;
pub mod feed;
pub mod local;
pub mod news;
pub mod recording;
pub mod text;
pub mod tui;
