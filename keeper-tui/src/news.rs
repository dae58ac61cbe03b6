//! What the queen's feed says, from a connection or from a recording of one.

use std::time::Duration;

use client::FeedItem;
use protocol::fleet::FeedEvent;

/// One piece of news of the feed.
#[derive(Debug, Clone, PartialEq)]
pub enum FeedNews {
    /// The queen answers; what she knows follows.
    Connected,
    /// Something changed.
    Event(Box<FeedEvent>),
    /// The connection is gone, or could not be made.
    Disconnected {
        /// One sentence.
        cause: String,
        /// How many attempts in a row have failed.
        attempt: u32,
        /// How long until the next.
        retry_in: Duration,
    },
    /// The queen said something that is not understood.
    Undecodable {
        /// What it was called.
        name: String,
        /// What is wrong with it.
        error: String,
    },
}

impl From<FeedItem> for FeedNews {
    fn from(item: FeedItem) -> Self {
        match item {
            FeedItem::Connected => Self::Connected,
            FeedItem::Event(event) => Self::Event(Box::new(event)),
            FeedItem::Disconnected { error, attempt, retry_in } => {
                Self::Disconnected { cause: error.one_line(), attempt, retry_in }
            }
            FeedItem::Undecodable { name, error } => Self::Undecodable { name, error },
        }
    }
}
