//! Keys as they are written, shown and typed.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use protocol::suggest::nearest;

/// A key as it is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    code: KeyCode,
    ctrl: bool,
    alt: bool,
    twice: bool,
}

/// Keys with names: as it is written, as it is shown where there is little
/// room.
const NAMED: &[(KeyCode, &str, &str)] = &[
    (KeyCode::Enter, "Enter", "Enter"),
    (KeyCode::Esc, "Esc", "Esc"),
    (KeyCode::Tab, "Tab", "Tab"),
    (KeyCode::BackTab, "S-Tab", "S-Tab"),
    (KeyCode::Up, "Up", "↑"),
    (KeyCode::Down, "Down", "↓"),
    (KeyCode::Left, "Left", "Left"),
    (KeyCode::Right, "Right", "Right"),
    (KeyCode::PageUp, "PgUp", "PgUp"),
    (KeyCode::PageDown, "PgDn", "PgDn"),
    (KeyCode::Home, "Home", "Home"),
    (KeyCode::End, "End", "End"),
    (KeyCode::Insert, "Ins", "Ins"),
    (KeyCode::Delete, "Del", "Del"),
    (KeyCode::Backspace, "Backspace", "Backspace"),
    (KeyCode::Char(' '), "Space", "Space"),
];
/// The highest function key.
const F_MAX: u8 = 12;
/// Letters that, held with Ctrl, a terminal sends as another key.
const SENT_AS: &[(char, &str)] = &[('i', "Tab"), ('m', "Enter")];
/// What terminals, multiplexers and shells keep for themselves.
const OTHERS: &str = "abghnopqst ";

impl Key {
    pub(super) const fn char(c: char) -> Self {
        Self::code(KeyCode::Char(c))
    }

    pub(super) const fn ctrl(c: char) -> Self {
        Self { ctrl: true, ..Self::char(c) }
    }

    pub(super) const fn twice(c: char) -> Self {
        Self { twice: true, ..Self::char(c) }
    }

    pub(super) const fn code(code: KeyCode) -> Self {
        Self { code, ctrl: false, alt: false, twice: false }
    }

    /// Reads a key as a person writes it; or says what would be one.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (ctrl, alt, rest) = held(text);
        let mut chars = rest.chars();
        let mut key = match (chars.next(), chars.next(), chars.next()) {
            (Some(c), None, _) if !c.is_control() => Self::char(c),
            (Some(a), Some(b), None) if a == b && !ctrl && !alt => Self::twice(a),
            _ => Self::code(named(text, rest)?),
        };
        (key.ctrl, key.alt) = (ctrl, alt);
        if ctrl {
            key.code = match key.code {
                KeyCode::Char(c) if c.is_ascii_alphabetic() || c == ' ' => {
                    KeyCode::Char(c.to_ascii_lowercase())
                }
                KeyCode::Char(_) => {
                    return Err(format!(
                        "{text:?} is nothing that terminals send; Ctrl goes with a letter or Space"
                    ));
                }
                code => code,
            };
            let sent = SENT_AS.iter().find(|it| KeyCode::Char(it.0) == key.code && !alt);
            if let Some((_, name)) = sent {
                return Err(format!("a terminal sends {text:?} as {name}; write {name:?}"));
            }
        }
        Ok(key)
    }

    /// As it is written.
    pub(crate) fn name(self) -> String {
        self.text("Ctrl-", |(_, name, _)| name)
    }

    /// As it is shown.
    pub(crate) fn label(self) -> String {
        self.text("^", |(_, _, label)| label)
    }

    fn text(
        self,
        ctrl: &str,
        part: impl Fn(&(KeyCode, &'static str, &'static str)) -> &'static str,
    ) -> String {
        let held = [(self.ctrl, ctrl), (self.alt, "Alt-")];
        let held: String = held.iter().filter(|(is_held, _)| *is_held).map(|it| it.1).collect();
        let named = NAMED.iter().find(|it| it.0 == self.code && !self.twice);
        match (named, self.code) {
            (Some(named), _) => format!("{held}{}", part(named)),
            (None, KeyCode::Char(c)) if self.twice => format!("{c}{c}"),
            (None, KeyCode::Char(c)) => format!("{held}{c}"),
            (None, other) => format!("{held}{other}"),
        }
    }

    /// Whether a key that was pressed is this one, or half of it.
    pub(super) fn is_pressed(self, event: &KeyEvent) -> bool {
        let held = |modifier| event.modifiers.contains(modifier);
        self.code == event.code
            && self.ctrl == held(KeyModifiers::CONTROL)
            && self.alt == held(KeyModifiers::ALT)
    }

    /// What is typed twice for it.
    pub(super) fn half(self) -> Option<char> {
        self.typed().filter(|_| self.twice)
    }

    /// The letter that it types where a text is typed.
    pub(crate) fn typed(self) -> Option<char> {
        match self.code {
            KeyCode::Char(c) if !self.ctrl && !self.alt => Some(c),
            _ => None,
        }
    }

    /// Whether one of them hides the other.
    pub(super) fn collides(self, other: Self) -> bool {
        Self { twice: false, ..self } == Self { twice: false, ..other }
    }

    /// Who takes it before it comes here, if somebody usually does.
    pub(super) fn kept_by(self) -> Option<&'static str> {
        match self.code {
            KeyCode::F(_) => Some("terminals and window managers"),
            _ if self.alt => Some("zellij and window managers"),
            KeyCode::Char(c) if self.ctrl && OTHERS.contains(c) => {
                Some("tmux, screen, zellij or the terminal")
            }
            _ => None,
        }
    }
}

/// Which keys are held, and what is left: `Ctrl-x`, `C-x`, `^x`, `Alt-x`.
fn held(text: &str) -> (bool, bool, &str) {
    let (mut ctrl, mut alt, mut rest) = (false, false, text);
    loop {
        let is_longer = |after: &&str| !after.is_empty();
        let ctrls = ["Ctrl-", "ctrl-", "Ctrl+", "ctrl+", "C-", "^"];
        let alts = ["Alt-", "alt-", "Alt+", "alt+", "M-", "A-"];
        if let Some(after) = stripped(rest, &ctrls).filter(is_longer).filter(|_| !ctrl) {
            (ctrl, rest) = (true, after);
        } else if let Some(after) = stripped(rest, &alts).filter(is_longer).filter(|_| !alt) {
            (alt, rest) = (true, after);
        } else {
            return (ctrl, alt, rest);
        }
    }
}

fn stripped<'a>(text: &'a str, prefixes: &[&str]) -> Option<&'a str> {
    prefixes.iter().find_map(|prefix| text.strip_prefix(prefix))
}

fn named(text: &str, name: &str) -> Result<KeyCode, String> {
    let also = [
        ("Escape", KeyCode::Esc),
        ("Return", KeyCode::Enter),
        ("BackTab", KeyCode::BackTab),
        ("Shift-Tab", KeyCode::BackTab),
        ("PageUp", KeyCode::PageUp),
        ("PageDown", KeyCode::PageDown),
        ("Insert", KeyCode::Insert),
        ("Delete", KeyCode::Delete),
    ];
    let known = NAMED
        .iter()
        .map(|(code, name, _)| (*name, *code))
        .chain(NAMED.iter().map(|(code, _, label)| (*label, *code)))
        .chain(also);
    if let Some((_, code)) = known.clone().find(|(it, _)| it.eq_ignore_ascii_case(name)) {
        return Ok(code);
    }
    let function = name.strip_prefix(['F', 'f']).and_then(|number| number.parse().ok());
    if let Some(number) = function.filter(|number| (1..=F_MAX).contains(number)) {
        return Ok(KeyCode::F(number));
    }
    let hint = match nearest(name, known.map(|it| it.0)) {
        Some(near) => format!("did you mean {near:?}?"),
        None => "a key is a character, a name such as \"Space\" or \"PgDn\", or \"Ctrl-x\"".into(),
    };
    Err(format!("{text:?} is no key; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_as_people_write_it() {
        for (text, key) in [
            ("x", Key::char('x')),
            ("X", Key::char('X')),
            ("^", Key::char('^')),
            ("-", Key::char('-')),
            ("ü", Key::char('ü')),
            ("gg", Key::twice('g')),
            ("Ctrl-x", Key::ctrl('x')),
            ("C-X", Key::ctrl('x')),
            ("^x", Key::ctrl('x')),
            ("ctrl+space", Key::ctrl(' ')),
            ("Alt-x", Key { alt: true, ..Key::char('x') }),
            ("space", Key::char(' ')),
            ("PageDown", Key::code(KeyCode::PageDown)),
            ("F5", Key::code(KeyCode::F(5))),
        ] {
            assert_eq!(Key::parse(text), Ok(key), "{text}");
            assert_eq!(Key::parse(&key.name()), Ok(key), "{text} is written as it is read");
            assert_eq!(Key::parse(&key.label()), Ok(key), "{text} is shown as it is read");
        }
    }

    #[test]
    fn what_is_no_key_is_told_with_what_would_be_one() {
        for (text, hint) in [
            ("Entr", "did you mean \"Enter\"?"),
            ("F13", "is no key"),
            ("xyz", "a key is a character"),
            ("", "is no key"),
            ("Ctrl-1", "Ctrl goes with a letter"),
            ("Ctrl-i", "write \"Tab\""),
            ("^m", "write \"Enter\""),
        ] {
            let said = Key::parse(text).unwrap_err();
            assert!(said.contains(hint), "{text}: {said}");
        }
    }
}
