//! `[keys]`: the keys that the operator wants for the dashboard's actions.
//!
//! Which actions and which keys there are is the dashboard's to know, so they
//! are only read here. Nothing in this section is an error that keeps a program
//! from starting: what cannot be read is listed for whoever shows it.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::toml_section::Source;

/// `[keys.<context>]`, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeysConfig {
    /// What is wanted.
    pub wishes: Vec<KeyWish>,
    /// What is no wish at all: where it stands, and what would be one.
    pub malformed: Vec<(Place, String)>,
}

/// `action = "key"`, or `action = ["key", "key"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyWish {
    /// The section it stands in.
    pub context: Written,
    /// The action.
    pub action: Written,
    /// Its keys; without any it shall have none.
    pub keys: Vec<Written>,
}

/// A word and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The word.
    pub text: String,
    /// Its place.
    pub place: Place,
}

/// A place in a file, as compilers write it: `file:line:column`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// The character of the line, counted from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

impl KeysConfig {
    /// Reads what stands at `keys`.
    pub(crate) fn read(value: &Spanned<DeValue<'_>>, source: Source<'_>) -> Self {
        let mut keys = Self::default();
        let Some(contexts) = value.get_ref().as_table() else {
            keys.malformed(source, value, "`keys` must be sections such as [keys.tables]");
            return keys;
        };
        for (context, value) in in_order(contexts) {
            let Some(actions) = value.get_ref().as_table() else {
                let problem = format!(
                    "`{}` stands in no context; write it into a section such as [keys.tables]",
                    context.get_ref()
                );
                keys.malformed(source, context, &problem);
                continue;
            };
            for (action, value) in in_order(actions) {
                let wanted = match value.get_ref() {
                    DeValue::Array(values) => values.iter().collect(),
                    _ => vec![value],
                };
                let mut written = Vec::new();
                for key in &wanted {
                    match key.get_ref().as_str() {
                        Some(text) => written.push(Written::at(text, key, source)),
                        None => {
                            let problem = format!(
                                "`{}` must be a key such as \"x\", or a list of keys such as \
                                 [\"x\", \"Ctrl-x\"]",
                                action.get_ref()
                            );
                            keys.malformed(source, key, &problem);
                        }
                    }
                }
                // A list whose keys are all malformed does not mean: no key.
                if written.is_empty() && !wanted.is_empty() {
                    continue;
                }
                keys.wishes.push(KeyWish {
                    context: Written::at(context.get_ref(), context, source),
                    action: Written::at(action.get_ref(), action, source),
                    keys: written,
                });
            }
        }
        keys
    }

    fn malformed<T>(&mut self, source: Source<'_>, at: &Spanned<T>, problem: &str) {
        self.malformed.push((Place::of(source, at.span().start), problem.to_owned()));
    }
}

type Entry<'a> = (&'a Spanned<std::borrow::Cow<'a, str>>, &'a Spanned<DeValue<'a>>);

/// As it stands in the file: of two that want the same key the first gets it.
fn in_order<'a>(table: &'a DeTable<'a>) -> Vec<Entry<'a>> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

impl Written {
    fn at<T>(text: &str, at: &Spanned<T>, source: Source<'_>) -> Self {
        Self { text: text.to_owned(), place: Place::of(source, at.span().start) }
    }
}

impl Place {
    pub(crate) fn of(source: Source<'_>, offset: usize) -> Self {
        let before = source.text.get(..offset).unwrap_or(source.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Self { file: Path::to_owned(source.path), line: source.line(offset), column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn read(text: &str) -> KeysConfig {
        Config::parse(Path::new("/c/config.toml"), text).unwrap().keys
    }

    #[test]
    fn wishes_are_read_in_the_order_of_the_file_with_their_places() {
        let keys = read(
            "[queen]\n[keys.tables]\nsort = [\"s\", \"Ctrl-x\"]\nmark = \"ü\"\n\
             [keys.everywhere]\n  undo = []\n",
        );
        let told: Vec<_> = keys
            .wishes
            .iter()
            .map(|wish| {
                let keys: Vec<_> = wish.keys.iter().map(|key| key.text.as_str()).collect();
                (wish.context.text.as_str(), wish.action.text.as_str(), keys)
            })
            .collect();
        assert_eq!(
            told,
            [
                ("tables", "sort", vec!["s", "Ctrl-x"]),
                ("tables", "mark", vec!["ü"]),
                ("everywhere", "undo", vec![]),
            ]
        );
        assert_eq!(keys.wishes[0].keys[1].place.to_string(), "/c/config.toml:3:14");
        assert_eq!(keys.wishes[2].action.place.to_string(), "/c/config.toml:6:3");
        assert_eq!(keys.malformed, []);
    }

    #[test]
    fn what_is_no_wish_is_listed_and_stops_nobody() {
        let keys = read("[keys]\nsort = \"s\"\n[keys.tables]\nmark = 3\nundo = [\"u\", 4]\n");
        let told: Vec<_> = keys.malformed.iter().map(|(place, _)| place.line).collect();
        assert_eq!(told, [2, 4, 5]);
        assert!(keys.malformed[0].1.contains("[keys.tables]"), "{keys:?}");
        assert!(keys.malformed[1].1.contains("\"Ctrl-x\""), "{keys:?}");
        assert_eq!(keys.wishes.len(), 1, "the good one of two keys counts");
        assert_eq!(read("keys = true\n").malformed.len(), 1);
    }
}
