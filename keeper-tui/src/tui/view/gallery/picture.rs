//! A drawn frame as text that a person can compare with another.
//!
//! ```text
//!   │▌ ● gpu-1  ready      what the terminal shows
//! fg│c g        ggggg      r g y c b m, in capitals the bright ones
//! as│***########*****      * bold  . dim  _ underlined  # reverse, …
//! ```
//!
//! The lines below a row are left out where they would be empty.

use std::fmt::Write as _;

use ratatui::{
    Terminal,
    backend::TestBackend,
    buffer::{Buffer, Cell},
    style::{Color, Modifier},
};
use unicode_width::UnicodeWidthStr;

use crate::tui::{
    fixture::Stage,
    theme::{Palette, Theme},
    view::view,
};

/// The longest list of examples for one look.
const EXAMPLES: usize = 72;

/// What is on the screen.
pub(in crate::tui::view) fn frame(stage: &Stage) -> Buffer {
    let (width, height) = stage.model.size;
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let draw = |frame: &mut ratatui::Frame<'_>| {
        view(&stage.model, frame, stage.now);
    };
    terminal.draw(draw).unwrap();
    terminal.backend().buffer().clone()
}

/// The cells of each row; the second half of a wide character is none.
pub(super) fn rows(buffer: &Buffer) -> Vec<Vec<&Cell>> {
    let row = |cells| {
        let mut covered = 0;
        let is_seen = |cell: &&Cell| {
            let is_seen = covered == 0;
            covered = if is_seen { columns(cell) } else { covered } - 1;
            is_seen
        };
        <[Cell]>::iter(cells).filter(is_seen).collect()
    };
    buffer.content.chunks(usize::from(buffer.area.width).max(1)).map(row).collect()
}

/// How wide it is drawn.
pub(super) fn columns(cell: &Cell) -> usize {
    // Nearly all of them, and half of the time of a test.
    if cell.symbol().len() == 1 { 1 } else { cell.symbol().width().max(1) }
}

/// The text of a row.
pub(super) fn words(cells: &[&Cell]) -> String {
    cells.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned()
}

fn line(cells: &[&Cell], sign: impl Fn(&Cell) -> String) -> String {
    cells.iter().map(|cell| sign(cell)).collect::<String>().trim_end().to_owned()
}

/// Only the text.
pub(in crate::tui::view) fn text(buffer: &Buffer) -> String {
    let rows = rows(buffer);
    rows.iter().map(|row| words(row)).collect::<Vec<_>>().join("\n")
}

/// What somebody reads.
pub(in crate::tui::view) fn shown(stage: &Stage) -> String {
    text(&frame(stage))
}

/// The text, and below each row how it looks.
pub(in crate::tui::view) fn text_and_style(buffer: &Buffer) -> String {
    let mut shown = Vec::new();
    for row in rows(buffer) {
        shown.push(format!("  │{}", words(&row)));
        // A wide character has a letter for each of its columns.
        let each = |cell: &Cell, sign: char| sign.to_string().repeat(columns(cell));
        let colours = line(&row, |cell| each(cell, colour_sign(cell.fg)));
        let modifiers = line(&row, |cell| each(cell, modifier_sign(cell.modifier)));
        for (name, signs) in [("fg", colours), ("as", modifiers)] {
            if !signs.is_empty() {
                shown.push(format!("{name}│{signs}"));
            }
        }
    }
    shown.join("\n")
}

fn colour_sign(colour: Color) -> char {
    match colour {
        Color::Reset => ' ',
        Color::Red => 'r',
        Color::Green => 'g',
        Color::Yellow => 'y',
        Color::Blue => 'b',
        Color::Magenta => 'm',
        Color::Cyan => 'c',
        Color::LightRed => 'R',
        Color::LightGreen => 'G',
        Color::LightYellow => 'Y',
        Color::LightCyan => 'C',
        other => panic!("{other:?} is not one of the terminal's own colours that themes use"),
    }
}

fn modifier_sign(modifier: Modifier) -> char {
    let has = |it| modifier.contains(it);
    match (has(Modifier::REVERSED), has(Modifier::BOLD), has(Modifier::DIM)) {
        _ if has(Modifier::UNDERLINED) => '_',
        (false, false, false) => ' ',
        (false, true, false) => '*',
        (false, false, true) => '.',
        (false, true, true) => ':',
        (true, false, false) => '%',
        (true, true, false) => '#',
        (true, false, true) => '=',
        (true, true, true) => '@',
    }
}

/// What each look on the screen is in the other themes, with examples.
pub(in crate::tui::view) fn looks(stage: &mut Stage) -> String {
    let before = stage.model.theme;
    let frames: Vec<Buffer> = palettes()
        .map(|(_, palette)| {
            stage.model.theme = Theme { palette, ascii: false };
            frame(stage)
        })
        .collect();
    stage.model.theme = before;
    let mut found: Vec<(Vec<String>, Vec<String>)> = Vec::new();
    let width = usize::from(stage.model.size.0);
    for row in 0..usize::from(stage.model.size.1) {
        let mut last: Option<(Vec<String>, String)> = None;
        for at in row * width..(row + 1) * width {
            let looks: Vec<String> = frames.iter().map(|it| look(&it.content[at])).collect();
            let symbol = frames[0].content[at].symbol();
            match &mut last {
                Some((here, text)) if *here == looks => text.push_str(symbol),
                _ => note(&mut found, last.replace((looks, symbol.to_owned()))),
            }
        }
        note(&mut found, last);
    }
    found.sort();
    let mut shown = format!("{:<13}", "");
    for (name, _) in palettes() {
        write!(shown, "{name:<20}").unwrap();
    }
    for (number, (looks, texts)) in found.iter().enumerate() {
        write!(shown, "\nlook {:<8}", number + 1).unwrap();
        looks.iter().for_each(|look| write!(shown, "{look:<20}").unwrap());
        write!(shown, "{}", examples(texts)).unwrap();
    }
    shown.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// All that have a look of their own.
pub(super) fn palettes() -> impl Iterator<Item = (&'static str, Palette)> {
    Palette::NAMES.into_iter().filter_map(|(name, palette)| Some((name, palette?)))
}

fn note(found: &mut Vec<(Vec<String>, Vec<String>)>, run: Option<(Vec<String>, String)>) {
    let Some((looks, text)) = run else { return };
    let text = text.trim_matches(|c: char| c == ' ' || ('─'..='╿').contains(&c)).to_owned();
    if looks.iter().all(|it| it == "plain") || text.is_empty() {
        return;
    }
    match found.iter_mut().find(|(known, _)| *known == looks) {
        Some((_, texts)) if texts.contains(&text) => {}
        Some((_, texts)) => texts.push(text),
        None => found.push((looks, vec![text])),
    }
}

fn look(cell: &Cell) -> String {
    let colour = match cell.fg {
        Color::Reset => String::new(),
        colour => format!("{colour:?}").to_lowercase().replace("light", "light "),
    };
    let modifiers = [
        (Modifier::BOLD, "bold"),
        (Modifier::DIM, "dim"),
        (Modifier::UNDERLINED, "line"),
        (Modifier::REVERSED, "rev"),
    ];
    let named = modifiers.into_iter().filter(|(it, _)| cell.modifier.contains(*it));
    let words: Vec<&str> =
        std::iter::once(colour.as_str()).chain(named.map(|(_, name)| name)).collect();
    let text = words.join(" ").trim().to_owned();
    if text.is_empty() { "plain".to_owned() } else { text }
}

fn examples(texts: &[String]) -> String {
    let mut shown = String::new();
    for (index, text) in texts.iter().enumerate() {
        let gap = if shown.is_empty() { "" } else { " ¦ " };
        if shown.chars().count() + gap.len() + text.chars().count() > EXAMPLES && index > 0 {
            write!(shown, "{gap}and {} more", texts.len() - index).unwrap();
            break;
        }
        shown.push_str(gap);
        shown.push_str(text);
    }
    shown
}
