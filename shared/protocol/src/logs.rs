//! The log of a worker, page by page.
//!
//! A page says where the next one begins, so whoever follows a log asks again
//! and misses nothing, however long it was away, and nobody holds a connection
//! open for a log that says nothing.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{ApiError, ErrorCode, WorkerId, suggest::nearest};

/// Lines of a page when nobody says how many.
pub const LINES_DEFAULT: u32 = 200;
/// Lines of a page at most.
pub const LINES_MAX: u32 = 1_000;

/// Which page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuery {
    /// How many lines at most.
    pub lines: u32,
    /// The `next` of the page before; without one, the newest lines.
    pub after: Option<String>,
    /// Whether to wait a few seconds for something new when there is nothing.
    pub follow: bool,
}

impl Default for LogQuery {
    fn default() -> Self {
        Self { lines: LINES_DEFAULT, after: None, follow: false }
    }
}

impl LogQuery {
    /// Reads the parameters of a URL.
    pub fn parse(parameters: &HashMap<String, String>) -> Result<Self, ApiError> {
        let refuse = |code, message: String| Err(ApiError::new(code, message));
        let mut query = Self::default();
        for (name, value) in parameters {
            match (name.as_str(), value.as_str()) {
                ("lines", value) => match value.parse() {
                    Ok(lines @ 1..=LINES_MAX) => query.lines = lines,
                    _ => {
                        let message = format!("parameter `lines` must be 1 to {LINES_MAX}");
                        return refuse(ErrorCode::InvalidField, message);
                    }
                },
                ("after", value) => query.after = Some(value.to_owned()),
                ("follow", "true") => query.follow = true,
                ("follow", "false") => query.follow = false,
                ("follow", _) => {
                    let message = "parameter `follow` must be true or false".to_owned();
                    return refuse(ErrorCode::InvalidField, message);
                }
                (name, _) => {
                    let known = ["lines", "after", "follow"];
                    let hint = match nearest(name, known) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("parameters: {}", known.join(", ")),
                    };
                    let name: String = name.chars().take(80).collect();
                    let error =
                        refuse(ErrorCode::UnknownField, format!("unknown parameter {name:?}"));
                    return error.map_err(|error| error.with_hint(hint));
                }
            }
        }
        Ok(query)
    }

    /// The parameters of a URL.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = vec![("lines", self.lines.to_string())];
        parameters.extend(self.after.clone().map(|after| ("after", after)));
        parameters.push(("follow", self.follow.to_string()));
        parameters
    }
}

/// Where a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    /// The process's standard output and error.
    Output,
    /// The worker's own log.
    Log,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Where it was written.
    pub source: LogSource,
    /// What it says.
    pub text: String,
}

/// A page of a worker's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPage {
    /// Whose log.
    pub worker_id: WorkerId,
    /// Where the process's output is, on its machine.
    pub log_file: String,
    /// The lines, oldest first.
    pub lines: Vec<LogLine>,
    /// Where the next page begins.
    pub next: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(parameters: &[(&str, &str)]) -> Result<LogQuery, ApiError> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        LogQuery::parse(&parameters.iter().map(own).collect())
    }

    #[test]
    fn a_query_survives_its_url() {
        let query = LogQuery { lines: 7, after: Some("3:a:9".to_owned()), follow: true };
        let parameters = query.parameters();
        let borrowed: Vec<_> = parameters.iter().map(|(name, value)| (*name, &**value)).collect();
        assert_eq!(parsed(&borrowed), Ok(query));
        assert_eq!(parsed(&[]), Ok(LogQuery::default()));
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        for (parameter, said) in [
            (("lines", "0"), "`lines`"),
            (("lines", "1001"), "1 to 1000"),
            (("follow", "yes"), "`follow`"),
            (("folow", "true"), "folow"),
        ] {
            let error = parsed(&[parameter]).unwrap_err();
            assert!(error.message.contains(said), "{error}");
        }
        assert_eq!(parsed(&[("folow", "")]).unwrap_err().hint.unwrap(), "did you mean `follow`?");
    }
}
