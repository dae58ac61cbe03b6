//! What is typed after `/`: words that a row must hold.
//!
//! ```text
//! llama gpu-1        both, anywhere in the row
//! !failed            not this
//! state:ready        in this column
//! tok/s>40           a figure
//! ~lm31              the letters in this order
//! ```

use std::cmp::Ordering;

use nucleo_matcher::{
    Config, Matcher, Utf32Str,
    pattern::{AtomKind, CaseMatching, Normalization, Pattern},
};

use super::rows::{Cell, Row};

/// The longest filter that can be typed.
pub(crate) const FILTER_MAX: usize = 200;

/// One word of a filter.
#[derive(Debug, Clone, PartialEq)]
struct Term {
    is_not: bool,
    field: Option<String>,
    test: Test,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Holds(String),
    Fuzzy(String),
    Compares(Ordering, f64),
}

/// A filter that was understood.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Filter {
    terms: Vec<Term>,
}

impl Filter {
    /// Reads a filter for rows of this kind. A half-typed one says what is
    /// wrong with it.
    pub(crate) fn parse<R: Row>(text: &str) -> Result<Self, String> {
        let terms: Result<Vec<Term>, String> = text.split_whitespace().map(term::<R>).collect();
        Ok(Self { terms: terms? })
    }

    /// Whether everything passes.
    pub(crate) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether a row holds all of it.
    pub(crate) fn accepts<R: Row>(&self, row: &R, matcher: &mut Matcher) -> bool {
        self.terms.iter().all(|term| term.accepts(row, matcher) != term.is_not)
    }
}

/// One for a whole list: it holds memory to compare in.
pub(crate) fn matcher() -> Matcher {
    Matcher::new(Config::DEFAULT)
}

fn term<R: Row>(word: &str) -> Result<Term, String> {
    let (is_not, word) = match word.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    if let Some(letters) = word.strip_prefix('~') {
        let test = Test::Fuzzy(letters.to_owned());
        return Ok(Term { is_not, field: None, test });
    }
    let Some((name, sign, value)) = split(word) else {
        return Ok(Term { is_not, field: None, test: Test::Holds(word.to_lowercase()) });
    };
    let known = || R::FIELDS.iter().map(|it| it.name).collect::<Vec<_>>().join(", ");
    // What looks like a field and is none may be a part of a name: `org/repo:Q4`.
    if !R::FIELDS.iter().any(|it| it.name == name) {
        return if sign == ':' {
            Ok(Term { is_not, field: None, test: Test::Holds(word.to_lowercase()) })
        } else {
            Err(format!("there is no column `{name}` here; known: {}", known()))
        };
    }
    let test = match sign {
        ':' => Test::Holds(value.to_lowercase()),
        sign => {
            let figure = value
                .parse()
                .map_err(|_| format!("`{name}{sign}` needs a figure, such as {name}{sign}20"))?;
            let order = if sign == '>' { Ordering::Greater } else { Ordering::Less };
            Test::Compares(order, figure)
        }
    };
    Ok(Term { is_not, field: Some(name.to_owned()), test })
}

fn split(word: &str) -> Option<(&str, char, &str)> {
    let at = word.find([':', '>', '<'])?;
    let sign = word.get(at..)?.chars().next()?;
    Some((word.get(..at)?, sign, word.get(at + 1..)?)).filter(|(name, ..)| !name.is_empty())
}

impl Term {
    fn accepts<R: Row>(&self, row: &R, matcher: &mut Matcher) -> bool {
        let wanted = |name: &str| self.field.as_deref().is_none_or(|field| field == name);
        R::FIELDS.iter().filter(|field| wanted(field.name)).any(|field| {
            match (&self.test, (field.cell)(row)) {
                (Test::Holds(text), Cell::Text(cell)) => cell.to_lowercase().contains(text),
                (Test::Holds(text), Cell::Figure(Some(figure))) => {
                    self.field.is_some() && figure.to_string().starts_with(text)
                }
                (Test::Fuzzy(text), Cell::Text(cell)) => fuzzy(text, &cell, matcher).is_some(),
                (Test::Compares(order, limit), Cell::Figure(Some(figure))) => {
                    figure.partial_cmp(limit) == Some(*order)
                }
                _ => false,
            }
        })
    }
}

/// How well the letters of `pattern` are found in `text` in their order.
pub(crate) fn fuzzy(pattern: &str, text: &str, matcher: &mut Matcher) -> Option<u32> {
    let pattern =
        Pattern::new(pattern, CaseMatching::Ignore, Normalization::Smart, AtomKind::Fuzzy);
    let mut letters = Vec::new();
    pattern.score(Utf32Str::new(text, &mut letters), matcher)
}

#[cfg(test)]
mod tests {
    use protocol::fleet::{WorkerRecord, WorkerState};

    use super::*;
    use crate::tui::fixture::worker;

    fn accepts(filter: &str) -> bool {
        let worker = worker("wk-02", "gpu-1", WorkerState::Ready);
        let filter = Filter::parse::<WorkerRecord>(filter).unwrap();
        filter.accepts(&worker, &mut matcher())
    }

    #[test]
    fn all_words_must_be_there_and_a_column_can_be_named() {
        for yes in [
            "",
            "LLAMA gpu-1",
            "!failed",
            "state:ready",
            "tok/s>40 tok/s<42",
            "~lm31",
            "gguf:q4_k",
            "slots:2",
            "!~zzz",
        ] {
            assert!(accepts(yes), "{yes}");
        }
        for no in ["llama gpu-2", "!ready", "state:llama", "tok/s>42", "~zx9", "!gpu-1", "up>3"] {
            assert!(Filter::parse::<WorkerRecord>(no).is_err() || !accepts(no), "{no}");
        }
    }

    #[test]
    fn a_mistake_names_the_column_and_the_remedy() {
        let error = Filter::parse::<WorkerRecord>("vram>20").unwrap_err();
        assert!(error.contains("`vram`") && error.contains("memory"), "{error}");
        let error = Filter::parse::<WorkerRecord>("memory>big").unwrap_err();
        assert!(error.contains("memory>20"), "{error}");
    }
}
