//! Where the connection to the queen stands.
//!
//! ```text
//! connecting ─▶ syncing ─▶ live ⇄ lost
//!      └─▶ unreached ─┘▲            │
//!                      └────────────┘
//! ```
//!
//! Nothing is shown as live before the queen has said what is: a connection
//! alone proves only that somebody listens there.

use std::time::Duration;

use protocol::Timestamp;

/// The states and what belongs to each.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Connection {
    /// The first attempt is on its way.
    Connecting,
    /// No attempt has succeeded yet.
    Unreached(Wait),
    /// She answers; what she knows is on its way.
    Syncing {
        /// A resumed feed has nothing to say when nothing changed meanwhile:
        /// at this time its silence means that what is known still holds.
        until: Duration,
        /// What is about to be over.
        outage: Option<Outage>,
    },
    /// What is shown is what is.
    Live,
    /// What is shown is what was.
    Lost(Outage, Wait),
}

/// Waiting for the next attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wait {
    /// One sentence.
    pub(crate) cause: String,
    /// How many attempts in a row have failed.
    pub(crate) attempt: u32,
    /// When the next is made.
    pub(crate) retry_at: Duration,
}

/// Since when the queen is lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outage {
    /// On the dashboard's clock.
    pub(crate) since: Duration,
    /// By the time of day.
    pub(crate) at: Timestamp,
}

impl Connection {
    /// Whether what is shown is what is.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self, Self::Live)
    }

    /// The word for it.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Unreached(_) => "not reached",
            Self::Syncing { .. } => "connected",
            Self::Live => "live",
            Self::Lost(..) => "DISCONNECTED",
        }
    }
}
