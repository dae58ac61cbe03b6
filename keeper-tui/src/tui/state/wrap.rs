//! Breaks a line into rows that fit a width, at spaces where it can.

use std::ops::Range;

use unicode_width::UnicodeWidthChar;

/// How far apart tab stops are when text is drawn.
pub(crate) const TAB: usize = 4;

/// The columns a character takes; a tab is drawn as [`TAB`] spaces.
fn columns(c: char) -> usize {
    if c == '\t' { TAB } else { c.width().unwrap_or(0) }
}

/// The rows of `line`, as ranges of its bytes. There is always at least one.
/// A word longer than a row is cut; the space at which a row breaks is shown
/// on neither.
pub(crate) fn wrap(line: &str, width: u16) -> Vec<Range<usize>> {
    let width = usize::from(width.max(1));
    let mut rows = Vec::new();
    let mut start = 0;
    let mut used = 0;
    // Where the row may break: the end of what stays, the start of what goes on,
    // and the columns that go on are counted again from there.
    let mut space: Option<(usize, usize)> = None;
    let mut after_space = 0;
    for (at, c) in line.char_indices() {
        let wide = columns(c);
        if used + wide > width && at > start && c == ' ' {
            rows.push(start..at);
            start = at + 1;
            used = 0;
            space = None;
            after_space = 0;
            continue;
        }
        // What goes on after a space may itself be too long with this letter.
        while used + wide > width && at > start {
            let (end, next) = space.take().unwrap_or((at, at));
            rows.push(start..end);
            start = next;
            used = if next < at { after_space } else { 0 };
            after_space = 0;
        }
        used += wide;
        if c == ' ' {
            space = Some((at, at + 1));
            after_space = 0;
        } else if space.is_some() {
            after_space += wide;
        }
    }
    if start < line.len() || rows.is_empty() {
        rows.push(start..line.len());
    }
    rows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_width::UnicodeWidthStr;

    use super::*;

    fn rows(line: &str, width: u16) -> Vec<&str> {
        wrap(line, width).into_iter().map(|range| &line[range]).collect()
    }

    #[test]
    fn rows_break_at_spaces_and_cut_only_words_that_do_not_fit() {
        assert_eq!(rows("the three causes", 9), ["the three", "causes"]);
        assert_eq!(rows("a abcdefghij b", 4), ["a", "abcd", "efgh", "ij b"]);
        assert_eq!(rows("", 4), [""]);
        assert_eq!(rows("漢字漢字", 4), ["漢字", "漢字"]);
    }

    proptest! {
        #[test]
        fn no_row_is_too_wide_and_no_letter_is_lost(line in "[a-z 漢é]{0,60}", width in 2u16..30) {
            let rows = rows(&line, width);
            for row in &rows {
                prop_assert!(row.width() <= usize::from(width), "{:?}", row);
            }
            let letters = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            prop_assert_eq!(letters(&rows.concat()), letters(&line));
        }
    }
}
