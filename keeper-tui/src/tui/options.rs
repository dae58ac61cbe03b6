//! What the terminal can show, read from the environment once.

use std::time::Duration;

use protocol::suggest::nearest;

use super::theme::{Palette, Theme};

/// How the dashboard looks and how often it draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    pub(super) theme: Theme,
    pub(super) over_ssh: bool,
    pub(super) can_copy: bool,
    pub(super) frame: Option<Duration>,
    pub(super) read_only: bool,
}

impl Options {
    /// As this process's environment says.
    pub fn from_environment() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    /// As these variables say.
    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let term = set("TERM").unwrap_or_default();
        // The first of these that is set decides, as in the C library.
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        let is_utf8 = locale.contains("utf-8") || locale.contains("utf8");
        let is_poor = matches!(term.as_str(), "linux" | "dumb");
        let palette = if set("NO_COLOR").is_some() || term == "dumb" {
            Palette::Mono
        } else if set("COLORFGBG").is_some_and(|it| is_bright(&it)) {
            Palette::Light
        } else {
            Palette::Dark
        };
        Self {
            theme: Theme { palette, ascii: !is_utf8 || is_poor },
            over_ssh: set("SSH_CONNECTION").is_some(),
            can_copy: !is_poor,
            frame: None,
            read_only: false,
        }
    }

    /// Without colours, whatever the environment says.
    #[must_use]
    pub fn without_colour(mut self) -> Self {
        self.theme.palette = Palette::Mono;
        self
    }

    /// Nothing is changed by it.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// With colours, whatever the environment says.
    #[must_use]
    pub fn with_colour(mut self) -> Self {
        if self.theme.palette == Palette::Mono {
            self.theme.palette = Palette::Dark;
        }
        self
    }

    /// In the theme of this name. Without colours it stays without them:
    /// `NO_COLOR` is said of a terminal, a theme of all terminals.
    pub fn with_theme(mut self, name: &str) -> Result<Self, String> {
        let Some((_, palette)) = Palette::NAMES.into_iter().find(|(it, _)| *it == name) else {
            let names = Palette::NAMES.map(|(name, _)| name);
            let hint = match nearest(name, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("themes: {}", names.join(", ")),
            };
            return Err(format!("there is no theme `{name}`; {hint}"));
        };
        if let (Some(palette), false) = (palette, self.theme.palette == Palette::Mono) {
            self.theme.palette = palette;
        }
        Ok(self)
    }

    /// With nothing beyond ASCII.
    #[must_use]
    pub fn in_ascii(mut self) -> Self {
        self.theme.ascii = true;
        self
    }

    /// With at most this many frames a second.
    #[must_use]
    pub fn with_fps(mut self, fps: u32) -> Self {
        self.frame = Duration::from_secs(1).checked_div(fps);
        self
    }
}

/// Whether `COLORFGBG` names a bright background: `0;15`, or with something in
/// between.
fn is_bright(colours: &str) -> bool {
    matches!(colours.rsplit(';').next(), Some("7" | "15"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(variables: &[(&str, &str)]) -> Options {
        Options::read(|name| {
            variables.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_says_what_the_terminal_can_show() {
        let utf8 = ("LANG", "de_DE.UTF-8");
        let xterm = Options { can_copy: true, ..Options::default() };
        assert_eq!(options(&[utf8, ("TERM", "xterm")]), xterm);
        assert!(!options(&[utf8, ("TERM", "linux")]).can_copy);
        assert!(options(&[utf8, ("NO_COLOR", "1")]).theme.palette == Palette::Mono);
        assert_eq!(options(&[utf8, ("NO_COLOR", "")]).theme.palette, Palette::Dark);
        assert!(options(&[("LANG", "C")]).theme.ascii);
        assert!(options(&[utf8, ("LC_ALL", "POSIX")]).theme.ascii);
        assert!(options(&[utf8, ("TERM", "linux")]).theme.ascii);
        assert_eq!(options(&[utf8, ("COLORFGBG", "0;default;15")]).theme.palette, Palette::Light);
        assert_eq!(options(&[utf8, ("COLORFGBG", "15;0")]).theme.palette, Palette::Dark);
        assert!(options(&[utf8, ("SSH_CONNECTION", "1 2 3 4")]).over_ssh);
    }

    #[test]
    fn a_theme_is_chosen_by_its_name_and_no_colour_stays_without() {
        let named = |name: &str| Options::default().with_theme(name).map(|it| it.theme.palette);
        assert_eq!(named("light"), Ok(Palette::Light));
        assert_eq!(named("auto"), Ok(Palette::Dark));
        assert!(named("lihgt").unwrap_err().contains("did you mean `light`?"));
        assert!(named("solarized").unwrap_err().contains("high-contrast"));
        let without = options(&[("LANG", "C.UTF-8"), ("NO_COLOR", "1")]);
        assert_eq!(without.with_theme("light").unwrap().theme.palette, Palette::Mono);
    }
}
