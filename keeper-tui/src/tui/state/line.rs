//! One line that is being typed.

use ratatui::style::Style;
use ratatui_textarea::TextArea;

/// One line that is being typed.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// The line.
    pub(crate) input: TextArea<'static>,
}

impl Default for Line {
    fn default() -> Self {
        Self::new("")
    }
}

impl Line {
    /// With this in it, the cursor at its end.
    pub(crate) fn new(text: &str) -> Self {
        let mut input = TextArea::new(vec![text.to_owned()]);
        input.set_cursor_line_style(Style::new());
        input.move_cursor(ratatui_textarea::CursorMove::End);
        Self { input }
    }

    /// What is typed.
    pub(crate) fn text(&self) -> &str {
        self.input.lines().first().map_or("", String::as_str)
    }

    /// Where the cursor is, in letters.
    pub(crate) fn cursor(&self) -> usize {
        self.input.cursor().1
    }
}
