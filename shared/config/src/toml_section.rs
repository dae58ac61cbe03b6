//! Reading one table of a TOML file key by key, so that a mistake is answered
//! with its line and with what would have been right.
//!
//! Asking for a key makes it a known one; what was never asked for is a typo,
//! and [`Section::finish`] says so. Nothing here knows what the keys mean.

use std::{fmt::Display, ops::RangeInclusive, path::Path, str::FromStr};

use protocol::suggest::nearest;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::ConfigError;

/// The text being read and the file it came from.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) path: &'a Path,
    pub(crate) text: &'a str,
}

impl Source<'_> {
    /// The refusal of what stands at `offset`.
    pub(crate) fn refuse(&self, offset: usize, problem: impl Display) -> ConfigError {
        ConfigError::invalid(self.path, self.line(offset), problem.to_string())
    }

    /// The line of what stands at `offset`, counted from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        before.iter().filter(|&&byte| byte == b'\n').count() + 1
    }
}

/// A table of the file, or the absence of one, which is a table without keys.
pub(crate) struct Section<'a> {
    source: Source<'a>,
    /// How a message names the place: empty for the file itself, else
    /// ` in [queen]`.
    place: String,
    table: Option<&'a DeTable<'a>>,
    known: Vec<&'static str>,
}

/// A value and where it stands, for the checks that need two values.
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) offset: usize,
}

impl<'a> Section<'a> {
    /// The file itself.
    pub(crate) fn root(source: Source<'a>, table: &'a DeTable<'a>) -> Self {
        Self { source, place: String::new(), table: Some(table), known: Vec::new() }
    }

    /// The table `[name]`.
    pub(crate) fn section(&mut self, name: &'static str) -> Result<Section<'a>, ConfigError> {
        let table = match self.take(name) {
            Some(value) => Some(self.table_of(name, value)?),
            None => None,
        };
        Ok(self.inner(name, table))
    }

    /// The tables `[name.<key>]`, each with its key.
    pub(crate) fn sections<K>(
        &mut self,
        name: &'static str,
    ) -> Result<Vec<(Located<K>, Section<'a>)>, ConfigError>
    where
        K: FromStr<Err: Display>,
    {
        let Some(value) = self.take(name) else { return Ok(Vec::new()) };
        let mut sections = Vec::new();
        for (key, value) in self.table_of(name, value)? {
            let offset = key.span().start;
            let value_of_key = key.get_ref().parse().map_err(|problem| {
                let problem = format!("the name of a section [{name}.…] {problem}");
                self.source.refuse(offset, problem)
            })?;
            let full_name = format!("{name}.{}", key.get_ref());
            let table = self.table_of(&full_name, value)?;
            let key = Located { value: value_of_key, offset };
            sections.push((key, self.inner(&full_name, Some(table))));
        }
        Ok(sections)
    }

    /// A string that parses; `what` says what would: "an address such as …".
    pub(crate) fn parsed<T: FromStr>(
        &mut self,
        key: &'static str,
        what: &str,
    ) -> Result<Option<Located<T>>, ConfigError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let parsed = value.get_ref().as_str().and_then(|text| text.parse().ok());
        let parsed = parsed.ok_or_else(|| self.must_be(key, what, value))?;
        Ok(Some(Located { value: parsed, offset: value.span().start }))
    }

    /// A whole number within `range`.
    pub(crate) fn integer(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, ConfigError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let number = value.get_ref().as_integer().and_then(|integer| {
            // What does not fit the type is out of the range as well.
            let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok()?;
            range.contains(&number).then_some(number)
        });
        let what = || format!("a whole number from {} to {}", range.start(), range.end());
        number.map(Some).ok_or_else(|| self.must_be(key, &what(), value))
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, key: &'static str) -> Result<Option<bool>, ConfigError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let boolean = value.get_ref().as_bool();
        boolean.map(Some).ok_or_else(|| self.must_be(key, "true or false", value))
    }

    /// Whatever stands there.
    pub(crate) fn untyped(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.take(key)
    }

    /// Refuses the first key that nobody asked for.
    pub(crate) fn finish(self) -> Result<(), ConfigError> {
        let unknown = self
            .table
            .into_iter()
            .flatten()
            .filter(|(key, _)| !self.known.contains(&key.get_ref().as_ref()))
            .min_by_key(|(key, _)| key.span().start);
        let Some((key, value)) = unknown else { return Ok(()) };
        let name = key.get_ref();
        // A top-level table is a section to the person who wrote it.
        let is_section = self.place.is_empty() && value.get_ref().is_table();
        let quoted =
            |name: &str| if is_section { format!("[{name}]") } else { format!("`{name}`") };
        let hint = match nearest(name, self.known.iter().copied()) {
            Some(meant) => format!("did you mean {}?", quoted(meant)),
            None => {
                let known: Vec<_> = self.known.iter().copied().map(quoted).collect();
                format!("known are {}", known.join(", "))
            }
        };
        let kind = if is_section { "section" } else { "key" };
        let problem = format!("unknown {kind} {}{}; {hint}", quoted(name), self.place);
        Err(self.source.refuse(key.span().start, problem))
    }

    fn take(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.table.and_then(|table| table.get(key))
    }

    fn inner(&self, name: &str, table: Option<&'a DeTable<'a>>) -> Section<'a> {
        Section { source: self.source, place: format!(" in [{name}]"), table, known: Vec::new() }
    }

    fn table_of(
        &self,
        name: &str,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Result<&'a DeTable<'a>, ConfigError> {
        value.get_ref().as_table().ok_or_else(|| {
            let problem = format!("`{name}` must be a section [{name}], got {}", shown(value));
            self.source.refuse(value.span().start, problem)
        })
    }

    fn must_be(&self, key: &str, what: &str, value: &Spanned<DeValue<'_>>) -> ConfigError {
        let problem = format!("`{key}`{} must be {what}, got {}", self.place, shown(value));
        self.source.refuse(value.span().start, problem)
    }
}

/// The offending value as a person wrote it, if it is short.
fn shown(value: &Spanned<DeValue<'_>>) -> String {
    const ECHO_MAX: usize = 80;
    match value.get_ref() {
        DeValue::String(text) if text.len() <= ECHO_MAX => format!("{text:?}"),
        DeValue::Integer(number) if number.as_str().len() <= ECHO_MAX => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::String(_) => "a long string".to_owned(),
        other => format!("a value of type {}", other.type_str()),
    }
}
