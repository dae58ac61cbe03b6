//! What the two output streams can show: whether they are terminals, whether
//! colour is wanted, whether the locale is UTF-8, how wide the lines are.
//!
//! Decided once at the start from the environment, as a value, so that
//! rendering is a plain function of it.

use std::io::IsTerminal;

use clap::ValueEnum;
use unicode_width::UnicodeWidthStr;

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal that can.
    #[default]
    Auto,
    /// Also into files and pipes.
    Always,
    /// Nowhere.
    Never,
}

/// What one stream can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// A person looks at it: emoji and redrawn lines are allowed, and text
    /// from elsewhere must be made harmless.
    pub terminal: bool,
    /// Colours are wanted.
    pub color: bool,
    /// More than ASCII can be shown.
    pub unicode: bool,
    /// Lines are cut here.
    pub width: Option<usize>,
}

/// The environment variables that matter here.
#[derive(Debug, Clone, Copy, Default)]
struct Environment<'a> {
    no_color: Option<&'a str>,
    clicolor_force: Option<&'a str>,
    term: Option<&'a str>,
    locale: Option<&'a str>,
}

/// What stdout and stderr can show.
pub fn looks(choice: ColorChoice) -> (Look, Look) {
    let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    // The first that is set wins, as in the C library.
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable);
    let (no_color, force, term) =
        (variable("NO_COLOR"), variable("CLICOLOR_FORCE"), variable("TERM"));
    let environment = Environment {
        no_color: no_color.as_deref(),
        clicolor_force: force.as_deref(),
        term: term.as_deref(),
        locale: locale.as_deref(),
    };
    let stdout = std::io::stdout();
    let width = if stdout.is_terminal() { terminal_width() } else { None };
    (
        look(choice, environment, stdout.is_terminal(), width),
        look(choice, environment, std::io::stderr().is_terminal(), None),
    )
}

/// Whether this terminal can be drawn on.
pub fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

fn look(
    choice: ColorChoice,
    environment: Environment<'_>,
    terminal: bool,
    width: Option<usize>,
) -> Look {
    let forced = environment.clicolor_force.is_some_and(|force| force != "0");
    let color = match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if environment.no_color.is_some() => false,
        ColorChoice::Auto if forced => true,
        ColorChoice::Auto => terminal && environment.term != Some("dumb"),
    };
    let unicode = environment.locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    Look { terminal, color, unicode, width }
}

/// What a piece of text means, for those who see colours. It is never the only
/// thing that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// All well.
    Good,
    /// Worth a look.
    Warn,
    /// Wrong.
    Bad,
    /// Less important than the rest.
    Faint,
    /// A heading.
    Strong,
}

impl Look {
    /// `text` in its colour, if colours are wanted.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            _ if !self.color || text.is_empty() => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// What stands for a value that nobody knows.
    pub fn unknown(&self) -> &'static str {
        if self.unicode { "—" } else { "-" }
    }
}

/// The beginning of `text` that fits into `width` columns, with a mark where
/// it was cut.
pub fn cut(text: &str, width: usize, unicode: bool) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mark = if unicode { "…" } else { "~" };
    let mut cut = String::new();
    let mut used = 0;
    for c in text.chars() {
        let mut buffer = [0; 4];
        used += c.encode_utf8(&mut buffer).width();
        if used + 1 > width {
            break;
        }
        cut.push(c);
    }
    cut.push_str(mark);
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_beats_no_color_which_beats_force_which_beats_the_terminal() {
        let color = |choice, no_color, clicolor_force, terminal| {
            let environment = Environment { no_color, clicolor_force, ..Environment::default() };
            look(choice, environment, terminal, None).color
        };
        use ColorChoice::{Always, Auto, Never};
        assert!(color(Always, Some("1"), None, false));
        assert!(!color(Never, None, Some("1"), true));
        assert!(!color(Auto, Some("1"), Some("1"), true));
        assert!(color(Auto, None, Some("1"), false));
        assert!(!color(Auto, None, Some("0"), false));
        assert!(color(Auto, None, None, true));
        assert!(!color(Auto, None, None, false));
    }

    #[test]
    fn a_dumb_terminal_gets_no_colour_and_a_c_locale_only_ascii() {
        let environment =
            Environment { term: Some("dumb"), locale: Some("C"), ..Environment::default() };
        let dumb = look(ColorChoice::Auto, environment, true, None);
        assert!(!dumb.color && dumb.unknown() == "-");
        let environment = Environment { locale: Some("de_DE.UTF-8"), ..Environment::default() };
        assert_eq!(look(ColorChoice::Auto, environment, true, None).unknown(), "—");
    }

    #[test]
    fn a_cut_line_fits_and_says_that_it_was_cut() {
        assert_eq!(cut("abcdef", 6, true), "abcdef");
        assert_eq!(cut("abcdef", 4, true), "abc…");
        assert_eq!(cut("漢字漢字", 5, true), "漢字…");
        assert_eq!(cut("漢字漢字", 4, false), "漢~");
    }
}
