//! Typing into a text field.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui_textarea::{CursorMove, Input, TextArea};

/// The longest line that can be typed into a dialog.
pub(super) const LINE_MAX: usize = 4_096;

/// What a text field understands besides its bound keys: text and moving in
/// it, and none of the control keys that multiplexers keep for themselves. The
/// answer is whether the text may be another.
pub(super) fn edit(input: &mut TextArea<'static>, key: KeyEvent, limit: usize) -> bool {
    let held = key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    match key.code {
        KeyCode::Up => input.move_cursor(CursorMove::Up),
        KeyCode::Down => input.move_cursor(CursorMove::Down),
        KeyCode::Left => input.move_cursor(CursorMove::Back),
        KeyCode::Right => input.move_cursor(CursorMove::Forward),
        KeyCode::Home => input.move_cursor(CursorMove::Head),
        KeyCode::End => input.move_cursor(CursorMove::End),
        KeyCode::Char('w') if held => return input.delete_word(),
        KeyCode::Char('u') if held => return input.delete_line_by_head(),
        KeyCode::Char(_) if held => {}
        KeyCode::Char(_) if input.lines().iter().map(String::len).sum::<usize>() >= limit => {}
        KeyCode::Char(_) | KeyCode::Backspace | KeyCode::Delete => {
            return input.input_without_shortcuts(Input::from(key));
        }
        _ => {}
    }
    false
}
