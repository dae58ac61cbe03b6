//! What can go wrong between two programs, as sentences for the operator.

use std::{fmt, sync::Arc, time::Duration};

use protocol::{ApiError, JobId};

/// Whom we talk to, as an error names it: `queen at http://127.0.0.1:8500`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    name: Option<&'static str>,
    url: Arc<str>,
    way_is_down: Option<&'static str>,
}

impl Peer {
    pub(crate) fn new(url: &str) -> Self {
        Self { name: None, url: url.into(), way_is_down: None }
    }

    pub(crate) fn named(self, name: &'static str) -> Self {
        Self { name: Some(name), ..self }
    }

    /// Reached through something else, whose refusal says nothing about the
    /// daemon: only that, in these words, the way to it is down.
    pub(crate) fn behind(self, way_is_down: &'static str) -> Self {
        Self { way_is_down: Some(way_is_down), ..self }
    }

    pub(crate) fn way_is_down(&self) -> Option<&'static str> {
        self.way_is_down
    }

    /// The base address.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => write!(f, "{name} at {}", self.url),
            None => f.write_str(&self.url),
        }
    }
}

/// Why no connection came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectFault {
    /// The machine is there, nobody listens.
    Refused,
    /// Nothing came back in time.
    TimedOut(Duration),
    /// The host's name is not known.
    UnknownHost,
    /// There is no trusting who answers, in the words of TLS.
    Untrusted(String),
    /// Anything else, in the system's words.
    Other(String),
}

impl fmt::Display for ConnectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused the connection"),
            Self::TimedOut(after) => {
                write!(f, "did not accept a connection within {}", Seconds(*after))
            }
            Self::UnknownHost => f.write_str("cannot be found: its name does not resolve"),
            Self::Untrusted(cause) => {
                write!(f, "shows a TLS certificate that is not trusted here: {cause}")
            }
            Self::Other(cause) => write!(f, "cannot be reached: {cause}"),
        }
    }
}

/// Why a call or a stream failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The daemon refused, in its own words.
    #[error(transparent)]
    Api(ApiError),
    /// No connection came about; the daemon has seen nothing of the call.
    #[error("{peer} {fault}")]
    Unreachable {
        /// Whom we called.
        peer: Peer,
        /// What happened.
        fault: ConnectFault,
    },
    /// The connection stands and the daemon is silent.
    #[error("{peer} {} {}", .silence.as_str(), Seconds(*.after))]
    TimedOut {
        /// Whom we called.
        peer: Peer,
        /// What we waited for.
        silence: Silence,
        /// How long we waited.
        after: Duration,
    },
    /// The connection ended in the middle of something.
    #[error("{peer} broke off: {reason}")]
    Broken {
        /// Whom we called.
        peer: Peer,
        /// What was missing.
        reason: String,
    },
    /// One of our daemons sent what this build cannot read.
    #[error("{peer} sent {what} that cannot be read: {problem}")]
    Undecodable {
        /// Whom we called.
        peer: Peer,
        /// What we tried to read.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The answer is none of our daemons'.
    #[error(
        "{peer} answered {status} with something that is not rbee's: {excerpt:?}; is another program listening there?"
    )]
    Foreign {
        /// Whom we called.
        peer: Peer,
        /// The HTTP status.
        status: u16,
        /// How the body begins, harmless to print.
        excerpt: String,
    },
    /// The address cannot be called at all.
    #[error("{address:?} is not a daemon's address: {reason}")]
    Address {
        /// What was given, without any credentials in it.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A request could not be put together on this side.
    #[error("cannot call {peer}: {reason}")]
    Setup {
        /// Whom we meant to call.
        peer: Peer,
        /// What is wrong.
        reason: String,
    },
    /// The deadline of the call has passed on our own clock.
    #[error(transparent)]
    Deadline(ApiError),
    /// A job's stream broke and did not come back.
    #[error(
        "lost sight of job {job} after event {last_event} and tried for {} to find it again; it may still be running: rbee-keeper job attach {job}",
        Seconds(*.waited)
    )]
    GaveUp {
        /// The job.
        job: JobId,
        /// The last event that was delivered.
        last_event: u64,
        /// How long it was tried.
        waited: Duration,
        /// What went wrong the last time.
        #[source]
        cause: Box<ClientError>,
    },
}

/// What a silent daemon owes us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// An answer.
    Answer,
    /// The next byte of a stream.
    Stream,
}

impl Silence {
    fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "did not answer within",
            Self::Stream => "said nothing for",
        }
    }
}

impl ClientError {
    /// Whether no connection came about, so that the daemon has seen nothing.
    pub fn is_connect(&self) -> bool {
        matches!(self.root(), Self::Unreachable { .. })
    }

    /// Whether nobody listens there.
    pub fn is_refused(&self) -> bool {
        matches!(self.root(), Self::Unreachable { fault: ConnectFault::Refused, .. })
    }

    /// Whether it could not prove who it is.
    pub fn is_untrusted(&self) -> bool {
        matches!(self.root(), Self::Unreachable { fault: ConnectFault::Untrusted(_), .. })
    }

    /// Whether time ran out: the daemon's or the whole call's.
    pub fn is_timeout(&self) -> bool {
        matches!(
            self.root(),
            Self::TimedOut { .. }
                | Self::Deadline(_)
                | Self::Unreachable { fault: ConnectFault::TimedOut(_), .. }
        )
    }

    /// What the daemon itself said, if it said something.
    pub fn api(&self) -> Option<&ApiError> {
        match self.root() {
            Self::Api(error) | Self::Deadline(error) => Some(error),
            _ => None,
        }
    }

    /// The error with its remedy and its cause, in one line.
    pub fn one_line(&self) -> String {
        match self {
            Self::Api(error) | Self::Deadline(error) => error.one_line(),
            Self::GaveUp { cause, .. } => format!("{self} ({})", cause.one_line()),
            _ => self.to_string().replace(['\r', '\n'], " "),
        }
    }

    /// Whether the connection failed, rather than the daemon refusing.
    pub(crate) fn is_connection_fault(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Broken { .. })
    }

    fn root(&self) -> &Self {
        match self {
            Self::GaveUp { cause, .. } => cause.root(),
            _ => self,
        }
    }
}

/// A duration as a person says it: `45 s`, `0.2 s`.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0.as_secs_f64() * 10.0).round() / 10.0;
        write!(f, "{tenths} s")
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use protocol::ErrorCode;

    use super::*;

    fn queen() -> Peer {
        Peer::new("http://127.0.0.1:8500").named("queen")
    }

    fn refused() -> ClientError {
        ClientError::Unreachable { peer: queen(), fault: ConnectFault::Refused }
    }

    #[test]
    fn errors_read_like_sentences() {
        assert_eq!(refused().to_string(), "queen at http://127.0.0.1:8500 refused the connection");
        let silent = ClientError::TimedOut {
            peer: Peer::new("http://10.0.0.7:9000"),
            silence: Silence::Stream,
            after: Duration::from_secs(45),
        };
        assert_eq!(silent.to_string(), "http://10.0.0.7:9000 said nothing for 45 s");
    }

    #[test]
    fn an_error_that_gave_up_still_tells_why_and_what_to_do() {
        let lost = ClientError::GaveUp {
            job: "job-1".parse().unwrap(),
            last_event: 7,
            waited: Duration::from_millis(30_040),
            cause: Box::new(refused()),
        };
        assert!(lost.is_connect() && lost.is_refused() && !lost.is_timeout());
        assert_eq!(lost.source().unwrap().to_string(), refused().to_string());
        assert_eq!(
            lost.one_line(),
            "lost sight of job job-1 after event 7 and tried for 30 s to find it again; it may \
             still be running: rbee-keeper job attach job-1 (queen at http://127.0.0.1:8500 \
             refused the connection)"
        );
    }

    #[test]
    fn one_line_carries_the_daemons_hint() {
        let error = ApiError::new(ErrorCode::QueueFull, "the queue is full").with_hint("wait");
        assert_eq!(ClientError::Api(error.clone()).one_line(), "the queue is full (wait)");
        assert_eq!(ClientError::Api(error.clone()).api(), Some(&error));
    }
}
