//! What holds of every picture, whatever is on it.

use std::{
    collections::HashSet,
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use protocol::fleet::{HiveState, WorkerState};
use ratatui::{
    buffer::{Buffer, Cell},
    layout::Rect,
    style::{Color, Modifier},
};

use super::{
    POOR, SIZES,
    picture::{columns, frame, palettes, rows, words},
    states::{STATES, State, View},
};
use crate::{
    text::one_line,
    tui::{
        fixture::Stage,
        state::{dialog::Dialog, lists::read_list},
        theme::{Palette, Theme},
    },
};

/// Others than those that pictures are kept of: next to nothing, one below
/// each step, and more than there is to show.
const MORE_SIZES: [(u16, u16); 8] =
    [(1, 1), (7, 3), (59, 15), (60, 14), (79, 24), (119, 30), (120, 29), (200, 60)];

/// Faults that are shown when there are any.
const SHOWN: usize = 20;

#[test]
fn whatever_is_shown_fits_and_says_what_it_means_without_colours() {
    let cases: Vec<(&State, View)> = STATES
        .iter()
        .flat_map(|state| state.views.iter().map(move |view| (state, *view)))
        .collect();
    // All views in all states in all themes at all sizes take a while on one core.
    let next = AtomicUsize::new(0);
    let walk = || {
        let mut faults = Vec::new();
        while let Some((state, view)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            in_every_theme_and_size(state, *view, &mut faults);
        }
        faults
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let faults: Vec<String> = thread::scope(|scope| {
        let walks: Vec<_> = (0..threads).map(|_| scope.spawn(walk)).collect();
        walks.into_iter().flat_map(|walk| walk.join().unwrap()).collect()
    });
    let shown = faults.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(faults.is_empty(), "{} faults, among them\n{shown}", faults.len());
}

fn in_every_theme_and_size(state: &State, view: View, faults: &mut Vec<String>) {
    for size in SIZES.into_iter().chain(MORE_SIZES) {
        let mut stage = state.stage(view, size, Theme::default());
        let kinds = kinds_of_cells(&frame(&stage));
        let mut note = |checked: Result<(), String>, theme: Theme| {
            if let Err(fault) = checked {
                faults.push(format!("{}/{} at {size:?} in {theme:?}: {fault}", state.name, view.0));
            }
        };
        for theme in themes() {
            // A theme looks at one cell at a time, so it has to see each kind only once.
            let mut themed = kinds.clone();
            theme.finish(&mut themed);
            note(is_harmless(&themed, theme), theme);
            note(keeps_what_is_said(&kinds, &themed, theme), theme);
        }
        for theme in [Theme::default(), POOR] {
            stage.model.theme = theme;
            let frame = frame(&stage);
            let rows = rows(&frame);
            note(fits(&rows, size), theme);
            note(is_harmless(&kinds_of_cells(&frame), theme), theme);
            note(says_its_states(&stage, &rows), theme);
            note(shows_the_selection(&stage, &rows), theme);
        }
    }
}

fn themes() -> impl Iterator<Item = Theme> {
    palettes().flat_map(|(_, palette)| [false, true].map(|ascii| Theme { palette, ascii }))
}

/// One of each kind of cell on a screen.
fn kinds_of_cells(frame: &Buffer) -> Buffer {
    let mut seen = HashSet::new();
    let cells = frame.content.iter().filter(|cell| seen.insert(*cell)).cloned();
    let content: Vec<Cell> = cells.collect();
    let width = u16::try_from(content.len()).unwrap();
    Buffer { area: Rect { width, height: 1, ..Rect::default() }, content }
}

/// What is reversed stays reversed, and only glyphs change, each for one.
fn keeps_what_is_said(before: &Buffer, after: &Buffer, theme: Theme) -> Result<(), String> {
    for (before, after) in before.content.iter().zip(&after.content) {
        let reversed = |cell: &Cell| cell.modifier.contains(Modifier::REVERSED);
        ensure(reversed(before) == reversed(after), || format!("reversed: {before:?}"))?;
        let is_same = before.symbol() == after.symbol();
        ensure(is_same || theme.ascii && !before.symbol().is_ascii(), || format!("{before:?}"))?;
    }
    Ok(())
}

/// Every row is exactly as wide as the terminal.
fn fits(rows: &[Vec<&Cell>], (width, height): (u16, u16)) -> Result<(), String> {
    ensure(rows.len() == usize::from(height), || format!("{} rows", rows.len()))?;
    for row in rows {
        let used: usize = row.iter().map(|cell| columns(cell)).sum();
        ensure(used == usize::from(width), || format!("{used} columns in {:?}", words(row)))?;
    }
    Ok(())
}

/// Nothing that a terminal would obey, draw in two ways, or cannot draw.
fn is_harmless(frame: &Buffer, theme: Theme) -> Result<(), String> {
    for cell in &frame.content {
        let (symbol, colour) = (cell.symbol(), cell.fg);
        let ok = |holds: bool, what: &str| ensure(holds, || format!("{what}: {symbol:?}"));
        ok(cell.bg == Color::Reset, "a background")?;
        ok(!symbol.chars().any(char::is_control), "a control character")?;
        // Takes emoji away, and whatever else does something.
        ok(symbol.is_ascii() || one_line(symbol) == symbol, "an emoji")?;
        ok(!theme.ascii || symbol.is_ascii(), "beyond ASCII")?;
        ok(theme.palette != Palette::Mono || colour == Color::Reset, "a colour")?;
        let indexed = matches!(colour, Color::Rgb(..) | Color::Indexed(_));
        ok(!indexed, "a colour that is not the terminal's own")?;
    }
    Ok(())
}

const SIGNS: [char; 11] = ['●', '◐', '▲', '✗', '◌', '✓', '*', '~', '!', 'x', '?'];

/// Wherever a sign stands before the name of something, its word is there too.
fn says_its_states(stage: &Stage, rows: &[Vec<&Cell>]) -> Result<(), String> {
    let fleet = &stage.model.fleet;
    let mut named: Vec<(&str, Vec<&str>)> = Vec::new();
    for hive in fleet.hives.values() {
        // Whole sentences say what is wrong in words of their own.
        let mut words = vec![hive.state.as_str(), "does not answer", "the queen", "has not told"];
        if hive.state == HiveState::Ready {
            words.extend(["busy", "loading"]);
        }
        named.push((hive.id.as_str(), words));
    }
    for worker in fleet.workers.values() {
        let words = match worker.state {
            WorkerState::Loading => vec!["load"],
            WorkerState::BackingOff => vec!["backing off"],
            // Beside its machine, one that serves says so by its slots.
            state if state.is_serving() => vec![state.as_str(), "2/4"],
            state => vec![state.as_str()],
        };
        named.push((worker.id.as_str(), words));
    }
    for job in fleet.jobs.values() {
        named.push((job.id.short(), vec![job.state.as_str()]));
    }
    // There may be no room for a word, or something before it.
    if stage.model.size.0 < 20 || is_covered(stage) {
        return Ok(());
    }
    for line in rows.iter().map(|row| words(row)) {
        for (name, words) in &named {
            let Some((before, _)) = line.split_once(&format!("{name} ")) else { continue };
            let Some(sign) = before.strip_suffix(' ').and_then(|it| it.chars().last()) else {
                continue;
            };
            let is_first = !before.chars().rev().skip(2).any(char::is_alphanumeric);
            let is_named = SIGNS.contains(&sign) && is_first;
            let says = words.iter().any(|word| line.contains(word));
            ensure(!is_named || says, || format!("no word for the state in {line:?}"))?;
        }
    }
    Ok(())
}

/// Whether something stands in front of the view.
fn is_covered(stage: &Stage) -> bool {
    let ui = &stage.model.ui;
    ui.help.is_some() || ui.dialog.as_ref().is_some_and(|it| !matches!(it, Dialog::Filter(..)))
}

/// The selected row has its bar, and is reversed where keys are aimed at it.
fn shows_the_selection(stage: &Stage, rows: &[Vec<&Cell>]) -> Result<(), String> {
    let model = &stage.model;
    let Some(name) = model.list_in_view() else { return Ok(()) };
    let has_selection = read_list!(model, name, |list, _records| list.id().is_some());
    let (width, height) = model.size;
    if is_covered(stage) || !has_selection || width < 20 || height < 8 {
        return Ok(());
    }
    let bar = if model.theme.ascii { ">" } else { "▌" };
    let is_plain_list = height < 15 || width < 60;
    let wanted = if is_plain_list { Modifier::BOLD } else { Modifier::REVERSED };
    let is_selected = |row: &&Vec<&Cell>| {
        row.windows(2).any(|pair| {
            let [sign, text] = pair else { return false };
            sign.symbol() == bar && text.modifier.contains(wanted)
        })
    };
    let selected = rows.iter().filter(is_selected).count();
    ensure(selected == 1, || format!("{selected} rows are shown as selected"))
}

fn ensure(holds: bool, fault: impl Fn() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(fault()) }
}
