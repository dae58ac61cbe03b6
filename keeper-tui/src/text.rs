//! Makes text that came from elsewhere safe to put on a terminal.
//!
//! Tokens, narration, names and errors are written by models and machines. A
//! terminal would obey what is in them: move the cursor, set the clipboard,
//! show letters in another order. Everything that is printed goes through
//! [`sanitise`] first, with or without a dashboard. It does not judge what a
//! text says, only what it would do.

use std::{borrow::Cow, iter::Peekable, str::Chars};

/// What may stay: everything that puts one visible thing where the cursor is,
/// the line feed and the tab.
///
/// Escape sequences go away whole, with what they carry; a carriage return
/// goes away because it would overwrite what stands on the line.
pub fn sanitise(text: &str) -> Cow<'_, str> {
    let is_clean = |c: char| c == '\n' || c == '\t' || !(c.is_control() || acts(c));
    if text.chars().all(is_clean) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\u{9b}' => skip_control_sequence(&mut chars),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => skip_string(&mut chars),
            '\u{2028}' | '\u{2029}' => clean.push(' '),
            c if is_clean(c) => clean.push(c),
            _ => {}
        }
    }
    Cow::Owned(clean)
}

/// [`sanitise`] for a place that has one line and where columns must stay in
/// place: line feeds and tabs become spaces, and emoji go away because
/// terminals do not agree how wide they are.
pub fn one_line(text: &str) -> Cow<'_, str> {
    let clean = sanitise(text);
    if !clean.chars().any(|c| c == '\n' || c == '\t' || is_emoji(c)) {
        return clean;
    }
    let mut line = String::with_capacity(clean.len());
    for c in clean.chars() {
        match c {
            '\n' | '\t' => line.push(' '),
            c if is_emoji(c) => {}
            // The space that stood between an emoji and its word.
            ' ' if line.is_empty() => {}
            c => line.push(c),
        }
    }
    Cow::Owned(line)
}

/// Characters that are not controls to Unicode and still do something:
/// direction marks, characters of no width, variation selectors, tags.
fn acts(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Pictures that a terminal may draw two columns wide.
fn is_emoji(c: char) -> bool {
    matches!(c,
        '\u{231a}' | '\u{231b}' | '\u{23e9}'..='\u{23fa}'
        | '\u{2600}'..='\u{2712}' | '\u{2714}'..='\u{2716}' | '\u{2718}'..='\u{27bf}'
        | '\u{2b05}'..='\u{2b07}' | '\u{2b1b}' | '\u{2b1c}' | '\u{2b50}' | '\u{2b55}'
        | '\u{20e3}'
        | '\u{1f000}'..='\u{1faff}')
}

/// After an ESC: the rest of its sequence.
fn skip_escape(chars: &mut Peekable<Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            skip_control_sequence(chars);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            chars.next();
            skip_string(chars);
        }
        // ESC, intermediates, one final character.
        Some(' '..='/') => {
            while chars.next_if(|c| matches!(c, ' '..='/')).is_some() {}
            chars.next_if(|c| matches!(c, '0'..='~'));
        }
        Some('0'..='~') => {
            chars.next();
        }
        _ => {}
    }
}

/// After a CSI: parameters, intermediates, one final character.
fn skip_control_sequence(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| matches!(c, ' '..='?')).is_some() {}
    chars.next_if(|c| matches!(c, '@'..='~'));
}

/// After an OSC, DCS, SOS, PM or APC: everything up to its end. One without an
/// end loses only its beginning, so that it cannot swallow an answer.
fn skip_string(chars: &mut Peekable<Chars<'_>>) {
    let mut ahead = chars.clone();
    while let Some(c) = ahead.next() {
        let ended = match c {
            '\u{07}' | '\u{9c}' => true,
            '\u{1b}' => ahead.next_if_eq(&'\\').is_some(),
            _ => false,
        };
        if ended {
            *chars = ahead;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escape_sequences_go_away_with_what_they_carry() {
        for (hostile, clean) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]52;c;aGVsbG8=\u{07}copied", "copied"),
            ("\u{1b}]8;;http://evil\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}[2Jgone", "gone"),
            ("\u{9b}2Jgone", "gone"),
            ("\u{9d}0;title\u{9c}text", "text"),
            ("\u{1b}(0line", "line"),
            ("\u{1b}]0;never ended", "0;never ended"),
            ("a\rb", "ab"),
            ("a\r\nb", "a\nb"),
            ("bell\u{07}", "bell"),
        ] {
            assert_eq!(sanitise(hostile), clean, "{hostile:?}");
        }
    }

    #[test]
    fn text_that_would_be_shown_as_other_text_is_shown_as_it_is() {
        assert_eq!(sanitise("user\u{202e}nimda"), "usernimda");
        assert_eq!(sanitise("pay\u{200b}pal"), "paypal");
        assert_eq!(sanitise("a\u{e0041}\u{e0042}b"), "ab");
    }

    #[test]
    fn ordinary_text_is_not_even_copied() {
        for text in ["", "plain", "tab\tand\nline", "Ünïcødé 漢字 ✓", "a → b · c"] {
            assert!(matches!(sanitise(text), Cow::Borrowed(_)), "{text:?}");
        }
    }

    #[test]
    fn a_table_cell_is_one_line_without_emoji_but_with_its_words() {
        assert_eq!(one_line("🚀 Spawning worker…"), "Spawning worker…");
        assert_eq!(one_line("⚠️  two\nlines"), "two lines");
        assert_eq!(one_line("✓ done"), "✓ done");
    }

    proptest! {
        #[test]
        fn nothing_that_acts_comes_through(text in any::<String>()) {
            let clean = sanitise(&text).into_owned();
            prop_assert!(clean.chars().all(|c| c == '\n' || c == '\t' || !(c.is_control() || acts(c))));
            prop_assert_eq!(sanitise(&clean).into_owned(), clean.clone());
            let line = one_line(&text).into_owned();
            prop_assert!(!line.chars().any(|c| c.is_control() || is_emoji(c)));
            prop_assert_eq!(one_line(&line).into_owned(), line.clone());
        }

        #[test]
        fn sequences_put_together_at_random_never_leave_a_control(
            parts in prop::collection::vec(
                prop::sample::select(vec!["\u{1b}", "[", "]", "\\", "\u{9c}", "\u{07}", "P", ";", "5", "m", "x", "\r", "\n"]),
                0..40,
            )
        ) {
            let clean = sanitise(&parts.concat()).into_owned();
            prop_assert!(!clean.chars().any(|c| c.is_control() && c != '\n'));
        }
    }
}
