//! What another machine prints: text, never an instruction.

/// How much of a line is worth showing.
const LINE_CHARS: usize = 300;

/// `text` as one short line without anything that a terminal would obey or
/// that turns the order of letters around.
pub fn one_line(text: &str) -> String {
    let is_harmless = |c: char| !c.is_control() && !is_invisible(c);
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let words = words.map(|word| word.chars().filter(|c| is_harmless(*c)).collect::<String>());
    let mut line = String::new();
    for word in words.filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
        if line.len() > 4 * LINE_CHARS {
            break;
        }
    }
    match line.char_indices().nth(LINE_CHARS) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// Bidirectional marks, zero-width letters and tags.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_prints_cannot_move_a_cursor_or_turn_letters_around() {
        assert_eq!(one_line("a\u{1b}[2J\u{7}b\r\nc\td"), "a [2J b c d");
        assert_eq!(one_line("x\u{202e}y\u{200b}z\u{e0041}"), "xyz");
        assert_eq!(one_line(&"é".repeat(9_000)).chars().count(), LINE_CHARS + 1);
        assert_eq!(one_line(" \n"), "");
    }
}
