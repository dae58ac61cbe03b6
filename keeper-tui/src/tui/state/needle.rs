//! A word that is looked for in text.

use std::ops::Range;

use super::log::{Entry, Log};

/// The word. One without a capital finds capitals as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Needle {
    text: String,
    exact: bool,
}

impl Needle {
    /// `None` when there is nothing to look for.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let exact = text.chars().any(char::is_uppercase);
        (!text.is_empty()).then(|| Self { text: text.to_owned(), exact })
    }

    /// As it was typed.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Where it stands in a text. Letters beyond ASCII must be as they were
    /// typed: their other case may be of another length.
    pub(crate) fn ranges(&self, hay: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(range) = self.after(hay, from) {
            from = range.end;
            found.push(range);
        }
        found
    }

    /// Whether it stands in a text.
    pub(crate) fn is_in(&self, hay: &str) -> bool {
        self.after(hay, 0).is_some()
    }

    /// Whether it stands in a line, or in what is known about it: its level,
    /// who said it, its job and its machine.
    pub(crate) fn is_in_line(&self, entry: &Entry) -> bool {
        let said = &entry.said;
        self.is_in(&entry.text)
            || self.is_in(&said.actor)
            || (!said.actor.is_empty() && self.is_in(said.level()))
            || said.job.as_ref().is_some_and(|job| self.is_in(job.as_str()))
            || said.hive.as_ref().is_some_and(|hive| self.is_in(hive.as_str()))
    }

    fn after(&self, hay: &str, from: usize) -> Option<Range<usize>> {
        let rest = hay.get(from..)?;
        if self.exact {
            let at = from + rest.find(&self.text)?;
            return Some(at..at + self.text.len());
        }
        let (hay, needle) = (rest.as_bytes(), self.text.as_bytes());
        let at = hay.windows(needle.len()).position(|it| it.eq_ignore_ascii_case(needle))?;
        Some(from + at..from + at + needle.len())
    }
}

/// Which of the lines that hold a word one is at, and how many there are.
pub(crate) fn tally(
    log: &Log,
    needle: &Needle,
    at: Option<u64>,
    shown: impl Fn(&Entry) -> bool,
) -> (Option<usize>, usize) {
    let (mut place, mut count) = (None, 0);
    for (number, _) in log.numbered().filter(|(_, it)| shown(it) && needle.is_in(&it.text)) {
        count += 1;
        if Some(number) == at {
            place = Some(count);
        }
    }
    (place, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_letters_find_capitals_and_capitals_only_themselves() {
        let found = |needle: &str, hay: &str| Needle::new(needle).unwrap().ranges(hay);
        let one = |range: Range<usize>| std::iter::once(range).collect::<Vec<_>>();
        assert_eq!(found("cache", "Cache, cache"), [0..5, 7..12]);
        assert_eq!(found("Cache", "Cache, cache"), one(0..5));
        assert_eq!(found("ü", "für Über"), one(1..3));
        assert_eq!(found("aa", "aaaa"), [0..2, 2..4]);
        assert!(found("longer than the text", "text").is_empty());
        assert_eq!(Needle::new(""), None);
    }
}
