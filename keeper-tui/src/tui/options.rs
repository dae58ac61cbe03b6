//! What the terminal can show, read from the environment once.

use super::theme::Theme;

/// How the dashboard looks and how often it draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    pub(super) theme: Theme,
    pub(super) over_ssh: bool,
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
        Self {
            theme: Theme {
                mono: set("NO_COLOR").is_some() || term == "dumb",
                ascii: !is_utf8 || is_poor,
            },
            over_ssh: set("SSH_CONNECTION").is_some(),
            read_only: false,
        }
    }

    /// Without colours, whatever the environment says.
    #[must_use]
    pub fn without_colour(mut self) -> Self {
        self.theme.mono = true;
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
        self.theme.mono = false;
        self
    }
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
        assert_eq!(options(&[utf8, ("TERM", "xterm")]), Options::default());
        assert!(options(&[utf8, ("NO_COLOR", "1")]).theme.mono);
        assert!(!options(&[utf8, ("NO_COLOR", "")]).theme.mono);
        assert!(options(&[("LANG", "C")]).theme.ascii);
        assert!(options(&[utf8, ("LC_ALL", "POSIX")]).theme.ascii);
        assert!(options(&[utf8, ("TERM", "linux")]).theme.ascii);
        assert!(options(&[utf8, ("SSH_CONNECTION", "1 2 3 4")]).over_ssh);
    }
}
