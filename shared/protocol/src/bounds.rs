//! Ranges of numbers, checked while a field is being read, so that the error
//! carries the field's name (the parser adds the path) and the range.

use std::fmt::Display;

use serde::{Deserialize, Deserializer, de::Error};

fn check<E: Error, T: PartialOrd + Display>(value: T, low: T, high: T) -> Result<T, E> {
    // NaN compares false with everything, so it is refused here as well.
    if value >= low && value <= high {
        Ok(value)
    } else {
        Err(E::custom(format_args!("must be between {low} and {high}, got {value}")))
    }
}

macro_rules! bounds {
    (required: $($name:ident: $type:ty = $low:literal ..= $high:literal;)+) => {$(
        pub(crate) fn $name<'de, D: Deserializer<'de>>(d: D) -> Result<$type, D::Error> {
            check(<$type>::deserialize(d)?, $low, $high)
        }
    )+};
    (optional: $($name:ident: $type:ty = $low:literal ..= $high:literal;)+) => {$(
        pub(crate) fn $name<'de, D: Deserializer<'de>>(d: D) -> Result<Option<$type>, D::Error> {
            Option::<$type>::deserialize(d)?.map(|value| check(value, $low, $high)).transpose()
        }
    )+};
}

bounds! { required:
    max_tokens: u32 = 1..=1_048_576;
    temperature: f64 = 0.0..=2.0;
}

bounds! { optional:
    fraction: f64 = 0.0..=1.0;
    top_k: u32 = 0..=1_048_576;
    repetition_penalty: f64 = 0.1..=10.0;
    slots: u32 = 1..=64;
    context_length: u32 = 16..=1_048_576;
    threads: u32 = 1..=1_024;
}

/// At most this many stop strings, each at most this long: they are compared
/// against every token.
const STOP_STRINGS_MAX: usize = 16;
const STOP_STRING_BYTES_MAX: usize = 256;

pub(crate) fn stop<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    let stop = match OneOrMany::deserialize(d)
        .map_err(|_| D::Error::custom("must be a string or a list of strings"))?
    {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    };
    if stop.len() > STOP_STRINGS_MAX {
        return Err(D::Error::custom(format_args!("at most {STOP_STRINGS_MAX} stop strings")));
    }
    match stop.iter().find(|s| s.is_empty() || s.len() > STOP_STRING_BYTES_MAX) {
        Some(_) => Err(D::Error::custom(format_args!(
            "each stop string must be 1 to {STOP_STRING_BYTES_MAX} bytes long"
        ))),
        None => Ok(stop),
    }
}
