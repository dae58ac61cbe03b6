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

/// A choice of colours, all of them among the terminal's own 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Palette {
    /// As the terminal has them.
    #[default]
    Dark,
    /// For a bright background, on which yellow and cyan are hard to read.
    Light,
    /// Bright and bold, nothing dim.
    HighContrast,
    /// Nothing is told by red and green alone: blue, yellow and magenta.
    ColourBlind,
    /// No colours, only bold, dim and reverse.
    Mono,
}

impl Palette {
    /// What each is called in the configuration.
    pub(crate) const NAMES: [(&str, Option<Self>); 6] = [
        ("auto", None),
        ("dark", Some(Self::Dark)),
        ("light", Some(Self::Light)),
        ("high-contrast", Some(Self::HighContrast)),
        ("colour-blind", Some(Self::ColourBlind)),
        ("mono", Some(Self::Mono)),
    ];

    /// How a cell looks that was drawn in the usual colours.
    fn look(self, colour: Color, modifier: Modifier) -> (Color, Modifier) {
        let dim = modifier.contains(Modifier::DIM);
        let colour = match (self, colour) {
            (Self::Mono, _) => Color::Reset,
            (Self::Light, Color::Yellow) => Color::Magenta,
            (Self::Light, Color::Cyan) => Color::Blue,
            (Self::HighContrast, Color::Green) => Color::LightGreen,
            (Self::HighContrast, Color::Cyan) => Color::LightCyan,
            (Self::HighContrast, Color::Yellow) => Color::LightYellow,
            (Self::HighContrast, Color::Red) => Color::LightRed,
            (Self::ColourBlind, Color::Green) => Color::Blue,
            (Self::ColourBlind, Color::Red) => Color::Magenta,
            (_, colour) => colour,
        };
        let modifier = match (self, colour) {
            (Self::HighContrast, Color::Reset) => modifier - Modifier::DIM,
            (Self::HighContrast, _) if !dim => modifier | Modifier::BOLD,
            (Self::HighContrast, _) => modifier - Modifier::DIM,
            // A state that another palette tells by its colour.
            (Self::ColourBlind, Color::Magenta) => modifier | Modifier::BOLD,
            _ => modifier,
        };
        (colour, modifier)
    }
}

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Theme {
    /// The colours.
    pub(crate) palette: Palette,
    /// Nothing beyond ASCII.
    pub(crate) ascii: bool,
}

impl Theme {
    /// Takes from a drawn frame what the terminal cannot show.
    pub(crate) fn finish(self, buffer: &mut Buffer) {
        if self == Self::default() {
            return;
        }
        for cell in &mut buffer.content {
            (cell.fg, cell.modifier) = self.palette.look(cell.fg, cell.modifier);
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

#[cfg(test)]
mod tests {
    use super::*;

    const TONES: [Tone; 8] = [
        Tone::Plain,
        Tone::Good,
        Tone::Working,
        Tone::Warn,
        Tone::Bad,
        Tone::Quiet,
        Tone::Accent,
        Tone::Strong,
    ];

    #[test]
    fn what_differs_in_colour_differs_in_every_palette_that_has_colours() {
        for (name, palette) in Palette::NAMES {
            let palette = palette.unwrap_or_default();
            let states = [Tone::Good, Tone::Working, Tone::Warn, Tone::Bad];
            let looks = states.map(|tone| {
                let style = tone.style();
                palette.look(style.fg.unwrap_or(Color::Reset), style.add_modifier)
            });
            for (index, look) in looks.iter().enumerate() {
                let before = looks.get(..index).unwrap_or_default();
                assert!(palette == Palette::Mono || !before.contains(look), "{name}");
            }
        }
    }

    #[test]
    fn high_contrast_dims_nothing_and_mono_colours_nothing() {
        for tone in TONES {
            let style = tone.style();
            let colour = style.fg.unwrap_or(Color::Reset);
            let (_, modifier) = Palette::HighContrast.look(colour, style.add_modifier);
            assert!(!modifier.contains(Modifier::DIM), "{tone:?}");
            assert_eq!(Palette::Mono.look(colour, style.add_modifier).0, Color::Reset);
        }
    }
}
