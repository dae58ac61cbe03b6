//! The operator's keys in the place of the table's.
//!
//! Whatever is wrong with a wish, the dashboard opens: what cannot be meant
//! keeps its default key and is told with its place. A key that the operator
//! takes for one action is no longer another's, and nobody is locked in: what
//! leads out of a place that takes all keys never loses its last one.

use std::{borrow::Cow, fmt, sync::Arc};

use config::{KeyWish, KeysConfig, Place, Written};
use crossterm::event::KeyCode;
use protocol::suggest::nearest;

use super::{Action, Binding, Context, KEYMAP, Key};
use crate::tui::{actions, state::rows, update::copy};

/// What keys do, as the operator wants it.
#[derive(Debug, Clone)]
pub struct Keymap(Arc<[Binding]>);

/// Something about a wish that should be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// What is wrong, what becomes of it, and what would be right.
    pub text: String,
    /// The wish is granted all the same.
    pub is_granted: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// One line of [`Keymap::listed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Where it holds.
    pub context: &'static str,
    /// What is done.
    pub action: &'static str,
    /// Its keys, as they are written.
    pub keys: Vec<String>,
    /// The keys it has where nobody wants others.
    pub usual: Vec<String>,
    /// What it does.
    pub what: &'static str,
}

impl Default for Keymap {
    fn default() -> Self {
        Self(KEYMAP.into())
    }
}

impl Keymap {
    /// The table with these wishes in it, and what became of them.
    pub fn read(config: &KeysConfig) -> (Self, Vec<Problem>) {
        let mut draft = Draft::default();
        for (place, text) in &config.malformed {
            draft.problem(place, text.clone());
        }
        for wish in &config.wishes {
            draft.take(wish);
        }
        let bindings = draft.settle();
        draft.problems.sort_by(|a, b| a.place.cmp(&b.place));
        (Self(bindings.into()), draft.problems)
    }

    /// All of it.
    pub(crate) fn bindings(&self) -> &[Binding] {
        &self.0
    }

    /// All of it, for people and programs.
    pub fn listed(&self) -> Vec<Listed> {
        let names = |keys: &[Key]| keys.iter().map(|key| key.name()).collect();
        let pairs = self.0.iter().zip(KEYMAP);
        pairs
            .map(|(binding, usual)| Listed {
                context: binding.context.name(),
                action: binding.action.id(),
                keys: names(&binding.keys),
                usual: names(&usual.keys),
                what: binding.what,
            })
            .collect()
    }

    /// The first key of an action, if it has any.
    pub(crate) fn first_key(&self, action: Action) -> Option<String> {
        self.0.iter().filter(|it| it.action == action).find_map(Binding::key_label)
    }

    /// What to type for an action: its first key, or what the palette calls it.
    pub(crate) fn label(&self, action: Action) -> String {
        self.first_key(action).unwrap_or_else(|| spelled(action))
    }

    /// The same where an action has keys in several contexts.
    pub(crate) fn label_in(&self, context: Context, action: Action) -> String {
        let bound = self.0.iter().find(|it| it.context == context && it.action == action);
        bound.and_then(Binding::key_label).unwrap_or_else(|| spelled(action))
    }

    /// The same as it is written, for a sentence.
    pub(crate) fn name_in(&self, context: Context, action: Action) -> String {
        let bound = self.0.iter().find(|it| it.context == context && it.action == action);
        let key = bound.and_then(|it| it.keys.first());
        key.map_or_else(|| spelled(action), |key| key.name())
    }

    /// The letter of an action in its menu: the key it has outside, unless
    /// that is another's there.
    pub(crate) fn letter(&self, row: &actions::Row) -> char {
        let usual = row.slot.and_then(|slot| {
            let bound = self.0.iter().find(|it| it.action == Action::Do(slot))?;
            bound.keys.iter().find_map(|key| key.typed().filter(|_| key.half().is_none()))
        });
        let is_free = |letter: &char| {
            let others = actions::rows(row.kind).filter(|it| it.verb != row.verb);
            let in_menu = self.0.iter().filter(|it| it.context == Context::Menu);
            others.into_iter().all(|it| it.letter != *letter)
                && in_menu.flat_map(|it| it.keys.iter()).all(|key| key.typed() != Some(*letter))
        };
        usual.filter(is_free).unwrap_or(row.letter)
    }
}

fn spelled(action: Action) -> String {
    action.name().map_or_else(|| "no key".to_owned(), |name| format!(":{name}"))
}

/// A key that is taken, for which binding of the table, and where that is
/// wanted.
struct Taken {
    binding: usize,
    key: Key,
    place: Place,
}

/// The table while wishes are taken in.
#[derive(Default)]
struct Draft {
    taken: Vec<Taken>,
    /// Bindings that shall have no key.
    unbound: Vec<usize>,
    problems: Vec<Problem>,
}

impl Draft {
    fn problem(&mut self, place: &Place, text: String) {
        self.problems.push(Problem { place: place.clone(), text, is_granted: false });
    }

    fn take(&mut self, wish: &KeyWish) {
        let (at, binding) = match meant(&wish.context, &wish.action) {
            Ok(found) => found,
            Err((place, text)) => return self.problem(&place, text),
        };
        if wish.keys.is_empty() {
            if is_way_out(binding) {
                let text = format!(
                    "`{}` in [keys.{}] is the way out of there and needs a key; it keeps {}",
                    binding.action.id(),
                    binding.context.name(),
                    names(&binding.keys),
                );
                self.problem(&wish.action.place, text);
            } else {
                self.unbound.push(at);
            }
            return;
        }
        let mut refused = Vec::new();
        for key in &wish.keys {
            match self.accept(binding, key) {
                Ok(accepted) => {
                    let place = key.place.clone();
                    self.taken.push(Taken { binding: at, key: accepted, place });
                }
                Err(text) => refused.push((&key.place, text)),
            }
        }
        let has_none = refused.len() == wish.keys.len();
        if let Some((_, text)) = refused.last_mut().filter(|_| has_none) {
            let (id, kept) = (binding.action.id(), names(&binding.keys));
            text.push_str(&format!("; `{id}` keeps {kept}"));
        }
        refused.into_iter().for_each(|(place, text)| self.problem(place, text));
    }

    /// Whether a binding can have a key; or why not.
    fn accept(&mut self, binding: &Binding, written: &Written) -> Result<Key, String> {
        let key = Key::parse(&written.text)?;
        let (name, context) = (key.name(), binding.context);
        if context.is_typing() && key.typed().is_some() {
            return Err(format!(
                "{name:?} could not be typed any more in [keys.{}]; hold Ctrl: \"Ctrl-x\"",
                context.name()
            ));
        }
        let is_question = matches!(context, Context::Dialog | Context::Offer);
        if is_question && key == Key::code(KeyCode::Enter) {
            return Err("\"Enter\" answers no question, so that nothing happens by habit; a \
                        letter does"
                .to_owned());
        }
        if context == Context::Menu && key.typed().is_some_and(is_menu_letter) {
            return Err(format!("{name:?} chooses a row in some menu; take another key"));
        }
        let before = self.taken.iter().find(|it| {
            KEYMAP.get(it.binding).is_some_and(|it| it.context == context) && it.key.collides(key)
        });
        if let Some(before) = before {
            let other = KEYMAP.get(before.binding).map_or("", |it| it.action.id());
            return Err(format!(
                "{name:?} is bound twice in [keys.{}]: line {} has it for `{other}`",
                context.name(),
                before.place.line
            ));
        }
        if let Some(whose) = key.kept_by() {
            self.problems.push(Problem {
                place: written.place.clone(),
                text: format!(
                    "{name:?} may never arrive: {whose} keep it; it is bound all the same"
                ),
                is_granted: true,
            });
        }
        Ok(key)
    }

    /// The table, once all wishes are taken in.
    fn settle(&mut self) -> Vec<Binding> {
        let mut left_out = Vec::new();
        let mut bindings: Vec<Binding> = Vec::with_capacity(KEYMAP.len());
        for (at, usual) in KEYMAP.iter().enumerate() {
            let mut keys: Vec<Key> =
                self.taken.iter().filter(|it| it.binding == at).map(|it| it.key).collect();
            if keys.is_empty() && !self.unbound.contains(&at) {
                keys = usual.keys.to_vec();
                keys.retain(|key| self.taker(usual, *key).is_none());
                if keys.is_empty() {
                    left_out.push(at);
                }
            }
            bindings.push(Binding { keys: Cow::Owned(keys), ..usual.clone() });
        }
        for at in left_out {
            let Some(usual) = KEYMAP.get(at) else { continue };
            let taker = usual.keys.iter().find_map(|key| self.taker(usual, *key));
            let Some((place, taker)) = taker.map(|it| (it.place.clone(), it.binding)) else {
                continue;
            };
            let (id, context, kept) = (usual.action.id(), usual.context, names(&usual.keys));
            if is_way_out(usual) {
                let text = format!(
                    "{kept} is the way out in [keys.{}], for `{id}`, and stays it",
                    context.name()
                );
                self.problem(&place, text);
                for binding in bindings.iter_mut().filter(|it| it.context == context) {
                    binding
                        .keys
                        .to_mut()
                        .retain(|key| !usual.keys.iter().any(|it| it.collides(*key)));
                }
                if let Some(binding) = bindings.get_mut(at) {
                    binding.keys = usual.keys.clone();
                }
                // Who wanted it has what it usually has, as far as that is free.
                let has_none = bindings.get(taker).is_some_and(|it| it.keys.is_empty());
                let mut default = KEYMAP.get(taker).filter(|_| has_none).map(|it| it.keys.to_vec());
                for other in bindings.iter().filter(|it| it.context == context) {
                    let is_free = |key: &Key| !other.keys.iter().any(|it| it.collides(*key));
                    default.iter_mut().for_each(|keys| keys.retain(is_free));
                }
                if let (Some(default), Some(binding)) = (default, bindings.get_mut(taker)) {
                    binding.keys = Cow::Owned(default);
                }
            } else {
                let other = KEYMAP.get(taker).map_or("", |it| it.action.id());
                let text = format!(
                    "{kept} is `{other}` now, which leaves `{id}` in [keys.{}] without a key; give \
                     it one, or say so: {id} = []",
                    context.name()
                );
                self.problems.push(Problem { place, text, is_granted: true });
            }
        }
        bindings
    }

    fn taker(&self, binding: &Binding, key: Key) -> Option<&Taken> {
        self.taken.iter().find(|it| {
            it.key.collides(key)
                && KEYMAP.get(it.binding).is_some_and(|it| it.context == binding.context)
        })
    }
}

fn names(keys: &[Key]) -> String {
    keys.iter().map(|key| format!("{:?}", key.name())).collect::<Vec<_>>().join(" ")
}

/// Whether there is no other way out of what takes all keys.
pub(super) fn is_way_out(binding: &Binding) -> bool {
    matches!(
        (binding.context, binding.action),
        (_, Action::Dismiss | Action::LeavePrompt | Action::DropWord | Action::Quit)
            | (Context::Help, Action::ToggleHelp)
    )
}

fn is_menu_letter(letter: char) -> bool {
    let of_actions = actions::ACTIONS.iter().map(|row| row.letter);
    let of_copies = copy::CHOICES.iter().map(|it| it.0);
    of_actions.chain(of_copies).chain(rows::letters()).any(|it| it == letter)
}

/// The binding that a wish is about; or what is wrong, and where.
fn meant(
    context: &Written,
    action: &Written,
) -> Result<(usize, &'static Binding), (Place, String)> {
    let of_context = |name: &str| {
        let name = name.to_owned();
        KEYMAP.iter().enumerate().filter(move |(_, it)| it.context.name() == name)
    };
    if of_context(&context.text).next().is_none() {
        let mut known: Vec<_> = KEYMAP.iter().map(|it| it.context.name()).collect();
        known.dedup();
        let hint = match nearest(&context.text, known.iter().copied()) {
            Some(near) => format!("did you mean [keys.{near}]?"),
            None => "`rbee-keeper config keys` lists them".to_owned(),
        };
        let text = format!("there is no context `{}`; {hint}", context.text);
        return Err((context.place.clone(), text));
    }
    if let Some(found) = of_context(&context.text).find(|(_, it)| it.action.id() == action.text) {
        return Ok(found);
    }
    let elsewhere = KEYMAP.iter().find(|it| it.action.id() == action.text);
    let here = of_context(&context.text).map(|(_, it)| it.action.id());
    let hint = match (elsewhere, nearest(&action.text, here)) {
        (Some(there), _) => format!("it is one of [keys.{}]", there.context.name()),
        (None, Some(near)) => format!("did you mean `{near}`?"),
        (None, None) => match nearest(&action.text, KEYMAP.iter().map(|it| it.action.id())) {
            Some(near) => {
                let there = KEYMAP.iter().find(|it| it.action.id() == near);
                let there = there.map_or("", |it| it.context.name());
                format!("did you mean `{near}` of [keys.{there}]?")
            }
            None => "`rbee-keeper config keys` lists the actions".to_owned(),
        },
    };
    let text = format!("there is no action `{}` in [keys.{}]; {hint}", action.text, context.text);
    Err((action.place.clone(), text))
}
