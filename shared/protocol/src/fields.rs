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
        return with_example(ApiError::new(ErrorCode::MissingField, message), what, first);
    }
    if reason.starts_with("unknown field") {
        return unknown(what, first, named.get(1..).unwrap_or_default());
    }
    let field = if path == "." { what } else { path };
    let shown: String = reason.chars().take(REASON_SHOWN_MAX).collect();
    let error = ApiError::new(ErrorCode::InvalidField, format!("field `{field}`: {shown}"));
    let is_variant = reason.starts_with("unknown variant");
    let known = named.get(1..).filter(|_| is_variant).unwrap_or_default();
    match nearest(first, known.iter().copied()) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None => with_example(error, what, field),
    }
}

/// Shows what would be right, where there is one value that explains it.
fn with_example(error: ApiError, what: &str, field: &str) -> ApiError {
    // Of `messages[0].role`, the whole `messages` is shown.
    let top = field.split(['.', '[']).next().unwrap_or_default();
    match example(what, top) {
        Some(example) => error.with_hint(format!("such as \"{top}\":{example}")),
        None => error,
    }
}

/// A right value of a field, as JSON.
fn example(what: &str, field: &str) -> Option<&'static str> {
    Some(match field {
        "alias" | "hive_id" => r#""localhost""#,
        "binary_path" => r#""/opt/rbee/bin""#,
        "context_length" => "4096",
        "device" => r#""CPU-0""#,
        "health_status" => r#""healthy""#,
        "hub" | "stream" => "true",
        "id" if what.starts_with("model_") => r#""demo""#,
        "id" | "worker_id" => r#""wk-3f9a""#,
        "max_tokens" => "256",
        "messages" => r#"[{"role":"user","content":"Hello"}]"#,
        "min_p" => "0.05",
        "model" => r#""demo""#,
        "prompt" => r#""Once upon a time""#,
        "repetition_penalty" => "1.1",
        "revision" => r#""main""#,
        "seed" => "42",
        "slots" => "2",
        "stop" => r#"["END"]"#,
        "temperature" => "0.7",
        "timestamp" => r#""2026-01-31T12:00:00Z""#,
        "top_k" => "40",
        "top_p" => "0.9",
        "worker" => r#""cpu""#,
        _ => return None,
    })
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
