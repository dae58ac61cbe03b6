//! What a request brings: its body and its headers, within limits.

use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use protocol::{ApiError, ErrorCode, deadline::Deadline, routes};

/// The largest body.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Reads a request's body, if it says it is JSON and is not too long.
pub async fn read_json(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(ApiError::new(
            ErrorCode::UnsupportedMediaType,
            "the body must be application/json",
        )
        .with_hint("send the header `Content-Type: application/json`"));
    }
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::new(
            ErrorCode::BodyTooLarge,
            format!("the body is larger than {BODY_BYTES_MAX} bytes"),
        )
        .with_hint("shorten the prompt or the conversation")),
        Err(error) => Err(ApiError::new(
            ErrorCode::RequestTimeout,
            format!("the body did not arrive whole: {error}"),
        )),
    }
}

/// The caller's deadline, if it sent one.
pub fn deadline(headers: &HeaderMap) -> Result<Option<Deadline>, ApiError> {
    text(headers, routes::DEADLINE_HEADER)?
        .map(|value| Deadline::from_header(value, Instant::now()))
        .transpose()
}

/// A header as text, if it was sent.
pub fn text<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, ApiError> {
    let unreadable =
        |_| ApiError::new(ErrorCode::BadRequest, format!("header {name} must be plain ASCII"));
    headers.get(name).map(|value| value.to_str().map_err(unreadable)).transpose()
}
