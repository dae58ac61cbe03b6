//! The one place where an [`ApiError`] becomes an HTTP answer.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use protocol::{ApiError, ErrorCode, error::ErrorBody};

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
    Refusal::new(ErrorCode::RouteNotFound, format!("no route {path:?}"))
}

/// What a daemon answers to a method that a path does not have.
pub async fn method_not_allowed(method: http::Method) -> Refusal {
    Refusal::new(ErrorCode::MethodNotAllowed, format!("{method} is not possible here"))
}
