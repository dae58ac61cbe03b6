//! The documented forms of an operation, turned into the canonical one.
//!
//! | form | example |
//! |---|---|
//! | canonical | `{"operation":"worker_get","worker_id":"wk-1"}` |
//! | nested | `{"operation":{"WorkerGet":{"worker_id":"wk-1"}}}` |
//! | typed | `{"type":"WorkerGet","worker_id":"wk-1"}` |
//! | unit | `{"operation":"Status"}` |

use serde_json::{Map, Value};

use super::EXAMPLE;
use crate::{ApiError, ErrorCode};

/// The operation's name in snake_case, and its fields without the tag.
pub fn normalise(value: Value) -> Result<(String, Map<String, Value>), ApiError> {
    let Value::Object(mut object) = value else {
        return Err(no_operation("the body must be a JSON object"));
    };
    match (object.remove("operation"), object.remove("type")) {
        (Some(_), Some(_)) => Err(no_operation("`operation` and `type` exclude each other")),
        (Some(Value::String(name)), None) | (None, Some(Value::String(name))) => {
            Ok((snake_case(&name), object))
        }
        (Some(Value::Object(nested)), None) => unnest(nested, &object),
        (None, None) => Err(no_operation("the body holds no `operation`")),
        (Some(_), None) => Err(no_operation("field `operation` must be a name")),
        (None, Some(_)) => Err(no_operation("field `type` must be a name")),
    }
}

fn unnest(
    nested: Map<String, Value>,
    beside: &Map<String, Value>,
) -> Result<(String, Map<String, Value>), ApiError> {
    let mut entries = nested.into_iter();
    match (entries.next(), entries.next(), beside.is_empty()) {
        (Some((name, Value::Object(fields))), None, true) => Ok((snake_case(&name), fields)),
        (Some((name, Value::Null)), None, true) => Ok((snake_case(&name), Map::new())),
        _ => Err(no_operation(
            "field `operation` must be a name, or one name with its fields and nothing beside it",
        )),
    }
}

fn no_operation(message: &str) -> ApiError {
    ApiError::new(ErrorCode::BadRequest, message).with_hint(EXAMPLE)
}

/// `WorkerSpawn` and `worker_spawn` are the same name.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for (at, c) in name.chars().enumerate() {
        if c.is_ascii_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}
