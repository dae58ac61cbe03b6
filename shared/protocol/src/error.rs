//! One error shape for every daemon, and the only place that knows which HTTP
//! status a code answers with.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal;)+) => {
        /// The stable machine word of an error.
        ///
        /// Codes are added, never renamed. A code this build does not know is
        /// kept as [`ErrorCode::Other`], so an older keeper can still show a
        /// newer queen's error.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)+
            /// A code from a newer version.
            Other(String),
        }

        impl ErrorCode {
            /// The word on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)+
                    Self::Other(name) => name,
                }
            }

            /// The HTTP status this code answers with.
            pub fn http_status(&self) -> u16 {
                match self {
                    $(Self::$variant => $status,)+
                    Self::Other(_) => 500,
                }
            }

            fn from_name(name: String) -> Self {
                match name.as_str() {
                    $($name => Self::$variant,)+
                    _ => Self::Other(name),
                }
            }
        }
    };
}

error_codes! {
    /// The body is not JSON, or holds no operation.
    BadRequest = "bad_request", 400;
    /// `Last-Event-ID` or `after` is not a position in this log.
    BadCursor = "bad_cursor", 400;
    /// A token is required and none (or a wrong one) was sent.
    Unauthorized = "unauthorized", 401;
    /// The `Host` or `Origin` header says that a web page is asking.
    ForbiddenOrigin = "forbidden_origin", 403;
    /// No such path.
    RouteNotFound = "route_not_found", 404;
    /// No such job.
    JobNotFound = "job_not_found", 404;
    /// No such hive.
    HiveNotFound = "hive_not_found", 404;
    /// No such worker.
    WorkerNotFound = "worker_not_found", 404;
    /// No such model on the machine.
    ModelNotFound = "model_not_found", 404;
    /// No such device on the hive.
    DeviceNotFound = "device_not_found", 404;
    /// No such inference request on the worker.
    RequestNotFound = "request_not_found", 404;
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", 405;
    /// The hub does not let this hive's token read the model.
    HubForbidden = "hub_forbidden", 403;
    /// Something was sent too slowly.
    RequestTimeout = "request_timeout", 408;
    /// The object is not in a state that allows this.
    Conflict = "conflict", 409;
    /// The message belongs to an older life of its sender.
    StaleIncarnation = "stale_incarnation", 409;
    /// The cursor lies after the newest event.
    CursorInFuture = "cursor_in_future", 409;
    /// The model's last download failed, or its files are not what they were.
    ModelUnusable = "model_unusable", 409;
    /// The body is over the limit.
    BodyTooLarge = "body_too_large", 413;
    /// The body is not `application/json`.
    UnsupportedMediaType = "unsupported_media_type", 415;
    /// Right shape, wrong value.
    InvalidField = "invalid_field", 422;
    /// A field that must be there is not.
    MissingField = "missing_field", 422;
    /// A field that means nothing here.
    UnknownField = "unknown_field", 422;
    /// No operation has this name.
    UnknownOperation = "unknown_operation", 422;
    /// An operation for the queen was sent to a hive.
    NotAHiveOperation = "not_a_hive_operation", 422;
    /// An operation that this daemon's version does not carry out.
    UnsupportedOperation = "unsupported_operation", 422;
    /// The prompt does not fit the model's context.
    ContextExceeded = "context_exceeded", 422;
    /// The model's file is not one that a worker can read.
    ModelUnreadable = "model_unreadable", 422;
    /// The queue for this is full.
    QueueFull = "queue_full", 429;
    /// Nobody runs the model.
    NoWorker = "no_worker", 404;
    /// The worker died or broke off.
    WorkerLost = "worker_lost", 502;
    /// The hive does not answer.
    HiveUnreachable = "hive_unreachable", 502;
    /// The model hub does not answer, or broke off.
    HubUnreachable = "hub_unreachable", 502;
    /// The model hub says what cannot be true, so nothing it says is used.
    HubDishonest = "hub_dishonest", 502;
    /// What was fetched is not what the hub's listing says; it was removed.
    WrongBytes = "wrong_bytes", 502;
    /// A worker could not be started.
    SpawnFailed = "spawn_failed", 500;
    /// A fault of ours.
    Internal = "internal", 500;
    /// There is no room for the model.
    DiskFull = "disk_full", 507;
    /// Not ready yet, or shutting down.
    Unavailable = "unavailable", 503;
    /// The deadline of the call has passed.
    DeadlineExceeded = "deadline_exceeded", 504;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from_name)
    }
}

/// A refusal as every daemon sends it and every client shows it: what is
/// wrong in one sentence, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// The stable machine word.
    pub code: ErrorCode,
    /// One sentence for a person; names the field where there is one.
    pub message: String,
    /// The remedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl ApiError {
    /// An error without a hint.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// Adds the remedy.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The error and its remedy in one line, as it stands in an end marker.
    pub fn one_line(&self) -> String {
        let line = match &self.hint {
            Some(hint) => format!("{} ({hint})", self.message),
            None => self.message.clone(),
        };
        line.replace(['\r', '\n'], " ")
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

/// The body of every answer that is not 2xx: `{"error":{…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ApiError,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_its_word_on_the_wire_and_an_unknown_one_survives() {
        for (word, code, status) in [
            ("disk_full", ErrorCode::DiskFull, 507),
            ("wrong_bytes", ErrorCode::WrongBytes, 502),
            ("hub_dishonest", ErrorCode::HubDishonest, 502),
            ("hub_unreachable", ErrorCode::HubUnreachable, 502),
            ("hub_forbidden", ErrorCode::HubForbidden, 403),
            ("model_unreadable", ErrorCode::ModelUnreadable, 422),
            ("model_unusable", ErrorCode::ModelUnusable, 409),
            ("moon_phase", ErrorCode::Other("moon_phase".to_owned()), 500),
        ] {
            let json = format!("\"{word}\"");
            assert_eq!(serde_json::from_str::<ErrorCode>(&json).unwrap(), code);
            assert_eq!(serde_json::to_string(&code).unwrap(), json);
            assert_eq!(code.http_status(), status, "{word}");
        }
    }
}
