//! How a command ends: one set of exit codes, and the only place that maps
//! errors to them.
//!
//! Scripts branch on these numbers, so they never change their meaning.

use std::{error::Error, io, process::ExitCode};

use client::ClientError;
use protocol::{ApiError, ErrorCode};

/// What the program tells its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It was done; for a status, all is well.
    Done,
    /// The operation failed.
    Failed,
    /// It cannot be meant, or it needed an answer and nobody could be asked.
    Usage,
    /// There is no such thing.
    NotFound,
    /// It is not allowed.
    NotAllowed,
    /// The queen cannot be reached.
    QueenUnreachable,
    /// A hive or a worker cannot be reached.
    FleetUnreachable,
    /// `--timeout` has passed.
    Timeout,
    /// Some of it was done.
    Partly,
    /// It is there, and not well.
    Degraded,
    /// Ctrl-C.
    Interrupted,
    /// SIGTERM or SIGHUP.
    Terminated,
}

impl Exit {
    /// Every code with its meaning, as `help exit-codes` shows them.
    pub const ALL: [(Self, &str); 12] = [
        (Self::Done, "done; for a status command: healthy"),
        (Self::Failed, "the operation failed"),
        (Self::Usage, "bad usage, or a question came up and stdin is not a terminal"),
        (Self::NotFound, "not found; for a status command: absent"),
        (Self::NotAllowed, "not allowed"),
        (Self::QueenUnreachable, "the queen cannot be reached"),
        (Self::FleetUnreachable, "a hive or a worker cannot be reached"),
        (Self::Timeout, "--timeout has passed"),
        (Self::Partly, "partly done"),
        (Self::Degraded, "for a status command: degraded"),
        (Self::Interrupted, "interrupted (Ctrl-C)"),
        (Self::Terminated, "terminated (SIGTERM, SIGHUP)"),
    ];

    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::NotAllowed => 4,
            Self::QueenUnreachable => 5,
            Self::FleetUnreachable => 6,
            Self::Timeout => 7,
            Self::Partly => 8,
            Self::Degraded => 9,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<&ErrorCode> for Exit {
    fn from(code: &ErrorCode) -> Self {
        match code {
            ErrorCode::BadRequest
            | ErrorCode::BodyTooLarge
            | ErrorCode::InvalidField
            | ErrorCode::MissingField
            | ErrorCode::UnknownField => Self::Usage,
            ErrorCode::JobNotFound
            | ErrorCode::HiveNotFound
            | ErrorCode::WorkerNotFound
            | ErrorCode::ModelNotFound
            | ErrorCode::DeviceNotFound
            | ErrorCode::RequestNotFound
            | ErrorCode::NoWorker => Self::NotFound,
            ErrorCode::Unauthorized
            | ErrorCode::ForbiddenOrigin
            | ErrorCode::HubForbidden
            | ErrorCode::HostKeyUnknown => Self::NotAllowed,
            ErrorCode::HiveUnreachable | ErrorCode::WorkerLost => Self::FleetUnreachable,
            ErrorCode::DeadlineExceeded => Self::Timeout,
            // The rest says that the request was understood and not carried
            // out, or that the two programs are of different versions.
            ErrorCode::BadCursor
            | ErrorCode::RouteNotFound
            | ErrorCode::MethodNotAllowed
            | ErrorCode::RequestTimeout
            | ErrorCode::Conflict
            | ErrorCode::PreflightFailed
            | ErrorCode::StaleIncarnation
            | ErrorCode::CursorInFuture
            | ErrorCode::UnsupportedMediaType
            | ErrorCode::UnknownOperation
            | ErrorCode::NotAHiveOperation
            | ErrorCode::UnsupportedOperation
            | ErrorCode::ContextExceeded
            | ErrorCode::QueueFull
            | ErrorCode::ModelUnusable
            | ErrorCode::ModelUnreadable
            | ErrorCode::HubUnreachable
            | ErrorCode::HubDishonest
            | ErrorCode::WrongBytes
            | ErrorCode::DiskFull
            | ErrorCode::SpawnFailed
            | ErrorCode::Internal
            | ErrorCode::Unavailable
            | ErrorCode::Other(_) => Self::Failed,
        }
    }
}

/// Why a command did not do what it was asked, as the operator is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What the caller is told.
    pub exit: Exit,
    /// The stable machine word.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self { exit, code: code.to_owned(), message: message.into(), hint: None }
    }

    /// Something that cannot be meant.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// A fault of this machine: `what` was tried, and the whole chain of
    /// causes is told, because its end is what can be acted on.
    pub fn local(code: &str, error: &dyn Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        Self::new(Exit::Failed, code, message)
    }

    /// Adds the remedy.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let ApiError { code, message, hint } = error;
        Self { exit: Exit::from(&code), code: code.as_str().to_owned(), message, hint }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        if let ClientError::Api(error) | ClientError::Deadline(error) = error {
            return error.into();
        }
        let (exit, code) = match &error {
            ClientError::Address { .. } | ClientError::Setup { .. } => (Exit::Usage, "usage"),
            ClientError::Undecodable { .. } => (Exit::Failed, "undecodable"),
            // A stream that was given up says why in its cause.
            ClientError::GaveUp { .. } => match error.api() {
                Some(cause) => (Exit::from(&cause.code), cause.code.as_str()),
                None => (Exit::QueenUnreachable, "queen_unreachable"),
            },
            _ => (Exit::QueenUnreachable, "queen_unreachable"),
        };
        Self::new(exit, code, error.one_line())
    }
}

/// Why a command stopped before its end.
#[derive(Debug)]
pub enum Stop {
    /// It failed, and the operator is to be told.
    Failed(Failure),
    /// Nobody reads our output any more, as in `| head -1`. That is neither an
    /// error nor worth a word.
    ReaderGone,
}

impl<T: Into<Failure>> From<T> for Stop {
    fn from(failure: T) -> Self {
        Self::Failed(failure.into())
    }
}

impl Stop {
    /// Our own output could not be written.
    pub fn from_output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::ReaderGone
        } else {
            Self::Failed(Failure::new(
                Exit::Failed,
                "output",
                format!("cannot write the output: {error}"),
            ))
        }
    }
}

/// What a command comes to.
pub type Outcome<T = Exit> = Result<T, Stop>;

#[cfg(test)]
mod tests {
    use super::*;

    fn exit_of(code: &str) -> u8 {
        let code: ErrorCode = serde_json::from_value(code.into()).unwrap();
        Failure::from(ApiError::new(code, "x")).exit.code()
    }

    #[test]
    fn every_error_code_ends_with_its_documented_exit_code() {
        for (code, exit) in [
            ("invalid_field", 2),
            ("missing_field", 2),
            ("bad_request", 2),
            ("job_not_found", 3),
            ("hive_not_found", 3),
            ("worker_not_found", 3),
            ("model_not_found", 3),
            ("device_not_found", 3),
            ("no_worker", 3),
            ("unauthorized", 4),
            ("forbidden_origin", 4),
            ("hive_unreachable", 6),
            ("worker_lost", 6),
            ("deadline_exceeded", 7),
            ("queue_full", 1),
            ("spawn_failed", 1),
            ("internal", 1),
            ("context_exceeded", 1),
            ("a_code_from_a_newer_version", 1),
        ] {
            assert_eq!(exit_of(code), exit, "{code}");
        }
    }

    #[test]
    fn a_queen_that_is_not_there_is_5_and_an_address_that_is_none_is_2() {
        let queen = ClientError::Address { address: "x".to_owned(), reason: "y".to_owned() };
        assert_eq!(Failure::from(queen).exit, Exit::Usage);
        let gave_up = ClientError::GaveUp {
            job: "job-1".parse().unwrap(),
            last_event: 3,
            waited: std::time::Duration::from_secs(30),
            cause: Box::new(ClientError::Api(ApiError::new(ErrorCode::JobNotFound, "gone"))),
        };
        assert_eq!(Failure::from(gave_up).exit, Exit::NotFound);
    }

    #[test]
    fn the_list_of_exit_codes_is_complete_and_in_order() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|(exit, _)| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 130, 143]);
    }

    #[test]
    fn a_reader_that_left_is_no_failure_and_a_full_disk_is_one() {
        let gone = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(matches!(Stop::from_output(&gone), Stop::ReaderGone));
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(
            matches!(Stop::from_output(&full), Stop::Failed(failure) if failure.exit == Exit::Failed)
        );
    }
}
