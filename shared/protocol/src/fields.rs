//! Reading a JSON object into a checked type, with errors that a person can
//! act on: what was being read, which field, and what is right.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{ApiError, ErrorCode, suggest::nearest};

/// A field's name is echoed up to this length.
const NAME_SHOWN_MAX: usize = 80;
/// A reason is echoed up to this length; it may quote the value.
const REASON_SHOWN_MAX: usize = 300;

/// Reads a body that must be a JSON object; `what` names it in errors.
pub fn read_body<T: DeserializeOwned>(what: &str, body: &[u8]) -> Result<T, ApiError> {
    read(what, json(body)?)
}

/// Reads any JSON. serde_json's own words may quote the body; the place of
/// the fault is enough.
pub(crate) fn json(body: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = format!("the body is not JSON (line {line}, column {column})");
        ApiError::new(ErrorCode::BadRequest, message)
    })
}

/// Reads a value; `what` names it in errors.
pub(crate) fn read<T: DeserializeOwned>(what: &str, value: Value) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.into_inner().to_string();
        describe(what, &path, &reason)
    })
}

/// Turns serde's words into ours.
fn describe(what: &str, path: &str, reason: &str) -> ApiError {
    // serde puts names between backticks.
    let named: Vec<&str> = reason.split('`').skip(1).step_by(2).collect();
    let first = named.first().copied().unwrap_or_default();
    if reason.starts_with("missing field") {
        let message = format!("`{what}` needs the field `{first}`");
        return ApiError::new(ErrorCode::MissingField, message);
    }
    if reason.starts_with("unknown field") {
        return unknown(what, first, named.get(1..).unwrap_or_default());
    }
    let field = if path == "." { what } else { path };
    let reason: String = reason.chars().take(REASON_SHOWN_MAX).collect();
    ApiError::new(ErrorCode::InvalidField, format!("field `{field}`: {reason}"))
}

fn unknown(what: &str, field: &str, known: &[&str]) -> ApiError {
    let field: String = field.chars().take(NAME_SHOWN_MAX).collect();
    let error = ApiError::new(ErrorCode::UnknownField, format!("`{what}` has no field {field:?}"));
    match nearest(&field, known.iter().copied()) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None if known.is_empty() => error.with_hint(format!("`{what}` has no fields")),
        None => error.with_hint(format!("fields: {}", known.join(", "))),
    }
}
