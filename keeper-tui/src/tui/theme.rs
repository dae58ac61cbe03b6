//! What colours and signs mean, in one place.
//!
//! Only the terminal's own 16 colours are used, and never a background, so
//! that every theme of every terminal stays readable. A state is always a
//! sign and a word as well: colour is the third way to say it, not the only.
//! What a poorer terminal cannot show is taken away at the end, from the drawn
//! frame, so that no view has to think of it.

use ratatui::{
    buffer::Buffer,
    style::{Color, Modifier, Style},
};

/// What a piece of the screen means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing in particular.
    Plain,
    /// As it should be.
    Good,
    /// At work, and not there yet.
    Working,
    /// Worth a look.
    Warn,
    /// Broken.
    Bad,
    /// Titles, units, what is known anyway.
    Quiet,
    /// Keys, and where one is.
    Accent,
    /// Headings.
    Strong,
}

impl Tone {
    /// How it looks.
    pub(crate) fn style(self) -> Style {
        let style = Style::new();
        match self {
            Self::Plain => style,
            Self::Good => style.fg(Color::Green),
            Self::Working => style.fg(Color::Cyan),
            Self::Warn => style.fg(Color::Yellow),
            Self::Bad => style.fg(Color::Red),
            Self::Quiet => style.add_modifier(Modifier::DIM),
            Self::Accent => style.fg(Color::Cyan).add_modifier(Modifier::BOLD),
            Self::Strong => style.add_modifier(Modifier::BOLD),
        }
    }
}

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Theme {
    /// No colours, only bold, dim and reverse.
    pub(crate) mono: bool,
    /// Nothing beyond ASCII.
    pub(crate) ascii: bool,
}

impl Theme {
    /// Takes from a drawn frame what the terminal cannot show.
    pub(crate) fn finish(self, buffer: &mut Buffer) {
        if !(self.mono || self.ascii) {
            return;
        }
        for cell in &mut buffer.content {
            if self.mono {
                cell.fg = Color::Reset;
            }
            if self.ascii && !cell.symbol().is_ascii() {
                let sign = cell.symbol().chars().next().map_or("?", ascii_sign);
                cell.set_symbol(sign);
            }
        }
    }
}

/// The nearest thing in ASCII.
fn ascii_sign(c: char) -> &'static str {
    match c {
        '●' => "*",
        '◐' => "~",
        '▲' => "!",
        '✗' => "x",
        '◌' => "?",
        '✓' => "+",
        '▌' | '›' | '→' | '»' => ">",
        '▁' | '·' | '…' => ".",
        '▂' => "_",
        '▃' | '—' | '–' | '─' => "-",
        '▄' => "=",
        '▅' => "+",
        '▆' => "*",
        '▇' | '█' => "#",
        '│' => "|",
        '┌' | '┐' | '└' | '┘' | '├' | '┤' => "+",
        '↑' => "^",
        '↓' => "v",
        '↵' => "E",
        '‹' => "<",
        '‘' | '’' => "'",
        '“' | '”' | '«' => "\"",
        _ => "?",
    }
}
