//! Reading: moving in a text, looking for words in it, and having it another
//! way.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use protocol::job::Level;

use super::toast;
use crate::tui::{
    effect::Effect,
    keymap::Action,
    state::{
        Model, Now,
        needle::Needle,
        reading::{Ask, Asked, Reading},
        window::{Find, LogWindow},
    },
    theme::Tone,
};

/// The longest word that can be typed.
const WORD_MAX: usize = 200;
/// Further than any text is long.
const END: i64 = i64::MAX;

/// Does something with the window on a text and with the text.
fn with<R>(
    model: &mut Model,
    reading: Reading,
    act: impl FnOnce(&mut LogWindow, &Model) -> R,
) -> R {
    let mut window = model.ui.windows.on(reading).clone();
    let result = act(&mut window, model);
    *model.ui.windows.on_mut(reading) = window;
    result
}

/// Moves in a text, by lines where the bar is on one and by rows elsewhere.
pub(super) fn step(model: &mut Model, reading: Reading, by: i64) {
    with(model, reading, |window, model| {
        let Some(log) = model.log(reading) else { return };
        let shown = |entry: &_| model.shows(reading, entry);
        match (reading, by) {
            (_, END) => window.follow(),
            (Reading::Events, by) => window.step(log, by, shown),
            (_, by) => window.scroll(log, by, shown),
        }
    });
}

/// Does what a key of a text asks for.
pub(super) fn act(model: &mut Model, action: Action, now: Now, effects: &mut Vec<Effect>) {
    let Some(reading) = model.reading() else { return };
    let window = model.ui.windows.on_mut(reading);
    match action {
        Action::Find => ask(model, reading, Asked::Find),
        Action::Only => ask(model, reading, Asked::Only),
        Action::NextMatch => lead(model, reading, true, now),
        Action::PreviousMatch => lead(model, reading, false, now),
        Action::ToggleWrap => {
            window.wraps = !window.wraps;
            window.column = 0;
        }
        Action::ToggleTimes => window.times = !window.times,
        Action::Left => window.sideways(-1),
        Action::Right => window.sideways(1),
        Action::Follow => window.follow(),
        Action::Pause => {
            with(model, reading, |window, model| match model.log(reading) {
                Some(log) if window.place == Default::default() => {
                    window.hold(log, |entry| model.shows(reading, entry));
                }
                _ => window.follow(),
            });
        }
        Action::Level => {
            let next = match window.level {
                Level::Debug | Level::Info => Level::Warn,
                Level::Warn => Level::Error,
                Level::Error => Level::Info,
            };
            window.level = next;
            window.follow();
        }
        Action::Full => model.ui.full = !model.ui.full,
        Action::Page => page(model, reading, now, effects),
        _ => {}
    }
}

fn ask(model: &mut Model, reading: Reading, asked: Asked) {
    let window = model.ui.windows.on(reading);
    let before = match asked {
        Asked::Find => window.find.as_ref().map(|find| &find.needle),
        Asked::Only => window.only.as_ref(),
    };
    let text = before.map(|it| it.as_str().to_owned()).unwrap_or_default();
    model.ui.ask = Some(Ask { asked, reading, text });
}

/// A key while a word is typed. What it finds is marked while it grows.
pub(super) fn type_key(model: &mut Model, key: KeyEvent) {
    let Some(ask) = &mut model.ui.ask else { return };
    edit(&mut ask.text, key);
    if ask.asked == Asked::Find {
        let needle = Needle::new(&ask.text);
        let reading = ask.reading;
        model.ui.windows.on_mut(reading).find = needle.map(|needle| Find { needle, at: None });
    }
}

/// A key in one line of text.
pub(super) fn edit(text: &mut String, key: KeyEvent) {
    let held = key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    match key.code {
        KeyCode::Backspace => {
            text.pop();
        }
        KeyCode::Char('u') if held => text.clear(),
        KeyCode::Char('w') if held => {
            let kept = text.trim_end().rfind(' ').map_or(0, |at| at + 1);
            text.truncate(kept);
        }
        KeyCode::Char(c) if !held && text.len() < WORD_MAX => text.push(c),
        _ => {}
    }
}

/// The word is typed.
pub(super) fn accept(model: &mut Model, now: Now) {
    let Some(ask) = model.ui.ask.take() else { return };
    let needle = Needle::new(&ask.text);
    let window = model.ui.windows.on_mut(ask.reading);
    match ask.asked {
        Asked::Only => {
            window.only = needle;
            window.follow();
        }
        Asked::Find => {
            window.find = needle.map(|needle| Find { needle, at: None });
            if window.find.is_some() {
                lead(model, ask.reading, false, now);
            }
        }
    }
}

/// The word is not wanted after all.
pub(super) fn abandon(model: &mut Model) {
    if let Some(ask) = model.ui.ask.take()
        && ask.asked == Asked::Find
    {
        model.ui.windows.on_mut(ask.reading).find = None;
    }
}

/// To the next line with the word, or the one before. The first time it is the
/// newest on the screen or above it, or else the first below.
fn lead(model: &mut Model, reading: Reading, forward: bool, now: Now) {
    let found = with(model, reading, |window, model| {
        let find = window.find.as_ref()?;
        let log = model.log(reading)?;
        let shown = |entry: &_| model.shows(reading, entry);
        let has =
            |entry: &crate::tui::state::log::Entry| find.needle.is_in(&entry.text) && shown(entry);
        let newer = |from: u64| log.from(from).find(|(_, it)| has(it)).map(|it| it.0);
        let older = |from: u64| log.back_from(from).find(|(_, it)| has(it)).map(|it| it.0);
        let next = match (find.at, forward) {
            (Some(at), true) => newer(at + 1),
            (Some(at), false) => older(at.checked_sub(1)?),
            (None, _) => {
                let lowest = match window.place {
                    crate::tui::state::window::Place::Held { number, .. } => number,
                    crate::tui::state::window::Place::Follow => u64::MAX,
                };
                older(lowest).or_else(|| newer(lowest.saturating_add(1)))
            }
        }?;
        window.lead_to(log, next, shown);
        if let Some(find) = &mut window.find {
            find.at = Some(next);
        }
        if reading == Reading::Events {
            window.cursor = Some(next);
        }
        Some(())
    });
    if found.is_none() {
        let key = model.keymap.label(Action::Find);
        let find = model.ui.windows.on(reading).find.as_ref();
        let text = match find {
            None => format!("Nothing is looked for; {key} looks for a word"),
            Some(Find { needle, at: None }) => format!("`{}` is not in it", needle.as_str()),
            Some(Find { needle, .. }) if forward => {
                format!("`{}` is not further down", needle.as_str())
            }
            Some(Find { needle, .. }) => format!("`{}` is not further up", needle.as_str()),
        };
        toast(model, text, Tone::Quiet, now);
    }
}

/// One thing less in the way: the whole screen, the word, the filter.
pub(super) fn back_out(model: &mut Model) -> bool {
    if std::mem::take(&mut model.ui.full) {
        return true;
    }
    let Some(reading) = model.reading() else { return false };
    let window = model.ui.windows.on_mut(reading);
    if window.find.take().is_some() {
        return true;
    }
    if window.only.take().is_some() || window.level != Level::Info {
        window.level = Level::Info;
        return true;
    }
    false
}

fn page(model: &mut Model, reading: Reading, now: Now, effects: &mut Vec<Effect>) {
    let Some(log) = model.log(reading).filter(|log| !log.is_empty()) else {
        toast(model, "There is nothing to read yet", Tone::Quiet, now);
        return;
    };
    let mut text = String::with_capacity(log.bytes());
    if log.dropped() > 0 {
        text.push_str(&format!("({} older lines were dropped)\n", log.dropped()));
    }
    for (_, entry) in log.numbered().filter(|(_, entry)| model.shows(reading, entry)) {
        let said = &entry.said;
        if let Some(at) = said.at {
            text.push_str(&at.to_zoned(model.zone.clone()).strftime("%F %T ").to_string());
        }
        if !said.actor.is_empty() {
            text.push_str(&format!("{:<8} {:<5} ", said.actor, said.level()));
        }
        text.push_str(&entry.text);
        text.push('\n');
    }
    effects.push(Effect::Page(text));
}
