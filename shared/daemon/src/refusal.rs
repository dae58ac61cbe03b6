//! The one place where an [`ApiError`] becomes an HTTP answer.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use protocol::{ApiError, ErrorCode, error::ErrorBody, routes};

/// An error on its way out. Handlers return `Result<_, Refusal>` and use `?`.
#[derive(Debug)]
pub struct Refusal(pub ApiError);

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl Refusal {
    /// A refusal without a hint.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(ApiError::new(code, message))
    }
}

/// Seconds after which a refused client may try again; short, because queues
/// and drains here move within seconds.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("2");

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::warn!(code = %self.0.code, message = %self.0.message, "refused");
        }
        let mut response = (status, Json(ErrorBody { error: self.0 })).into_response();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }
}

/// What a daemon answers on a path it does not have.
pub async fn route_not_found(uri: http::Uri) -> Refusal {
    let path: String = uri.path().chars().take(120).collect();
    let error = ApiError::new(ErrorCode::RouteNotFound, format!("no route {path:?}"));
    Refusal(match routes::owner(uri.path()) {
        Some(owner) => error.with_hint(format!("this daemon does not have it; {owner}")),
        None => error,
    })
}

/// What a daemon answers to a method that a path does not have.
pub async fn method_not_allowed(method: http::Method) -> Refusal {
    let message = format!("{method} is not possible here");
    Refusal(
        ApiError::new(ErrorCode::MethodNotAllowed, message)
            .with_hint("the header Allow names the methods that are"),
    )
}

/// A query parameter that means nothing here.
pub fn unknown_parameter(name: &str, known: &str) -> ApiError {
    let name: String = name.chars().take(40).collect();
    ApiError::new(ErrorCode::UnknownField, format!("unknown parameter {name:?}"))
        .with_hint(format!("known: {known}"))
}
