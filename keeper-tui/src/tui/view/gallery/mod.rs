//! The dashboard as pictures: every view, in every state, at every size and in
//! every theme.
//!
//! A state and a view make one file below `snapshots`: the text at each size,
//! at the usual one also how it looks, and then what each look is in the other
//! themes. Made anew, and then read as a diff, by
//!
//! ```text
//! INSTA_UPDATE=always INSTA_FORCE_PASS=1 cargo test -p keeper-tui --lib tui::view
//! ```

mod contrast;
mod invariants;
mod machines;
mod picture;
mod states;

use std::{collections::BTreeSet, fs, path::Path};

pub(super) use self::picture::{frame, shown, text_and_style};
use self::{
    picture::{looks, text},
    states::{STATES, State, View},
};
use crate::tui::theme::{Palette, Theme};

/// Below the least, the least, the usual one, and where there is room.
const SIZES: [(u16, u16); 5] = [(40, 10), (60, 15), (80, 24), (120, 30), (160, 45)];
const USUAL: (u16, u16) = (80, 24);
/// What the poorest terminal shows.
const POOR: Theme = Theme { palette: Palette::Mono, ascii: true };

#[test]
fn every_view_in_every_state_looks_as_it_did() {
    let mut made = BTreeSet::new();
    for state in STATES {
        for view in state.views {
            let mut settings = insta::Settings::clone_current();
            settings.set_snapshot_path(Path::new("snapshots").join(state.name));
            settings.set_prepend_module_to_snapshot(false);
            settings.set_omit_expression(true);
            settings.bind(|| insta::assert_snapshot!(view.0, picture(state, *view)));
            assert!(made.insert((state.name, view.0)), "{} {} is there twice", state.name, view.0);
        }
    }
    assert_eq!(made, kept(), "a file below `snapshots` that no state makes any more");
}

fn picture(state: &State, view: View) -> String {
    let mut parts = Vec::new();
    for size in SIZES {
        let stage = state.stage(view, size, Theme::default());
        let frame = frame(&stage);
        let shown = if size == USUAL { text_and_style(&frame) } else { text(&frame) };
        parts.push(format!("━━ {}x{}\n{shown}", size.0, size.1));
        if size == USUAL {
            let poor = state.stage(view, size, POOR);
            parts.push(format!("━━ {}x{} in ASCII\n{}", size.0, size.1, text(&self::frame(&poor))));
        }
    }
    let mut stage = state.stage(view, USUAL, Theme::default());
    parts.push(format!("━━ in every theme\n{}", looks(&mut stage)));
    parts.join("\n\n")
}

/// The files there are.
fn kept() -> BTreeSet<(&'static str, &'static str)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tui/view/gallery/snapshots");
    let mut found = BTreeSet::new();
    for dir in fs::read_dir(root).unwrap() {
        let dir = dir.unwrap();
        for file in fs::read_dir(dir.path()).unwrap() {
            let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
            let pair = (name(&dir.path()), name(&file.unwrap().path()));
            let known = STATES.iter().flat_map(|state| {
                state.views.iter().map(|view| (state.name, view.0)).collect::<Vec<_>>()
            });
            let known = known.into_iter().find(|it| it.0 == pair.0 && it.1 == pair.1);
            found.insert(known.unwrap_or_else(|| panic!("nothing makes {pair:?} any more")));
        }
    }
    found
}
