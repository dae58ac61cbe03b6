//! What the size of the screen decides, for those who draw and for those who
//! ask for what is drawn.

/// Below this the screen is a plain list.
const TINY: (u16, u16) = (60, 15);
/// From this size on the view `fleet` shows everything at once.
const LARGE: (u16, u16) = (160, 45);

/// Rows of the view `fleet` on a large screen that the jobs have.
pub(crate) const JOBS_ROWS: u16 = 7;

/// Whether there is no room for frames.
pub(crate) fn is_tiny((width, height): (u16, u16)) -> bool {
    width < TINY.0 || height < TINY.1
}

/// Whether the screen has room for everything at once.
pub(crate) fn is_large((width, height): (u16, u16)) -> bool {
    width >= LARGE.0 && height >= LARGE.1
}

/// Of these rows, those of the machines; below them is what is said and
/// generated.
pub(crate) fn upper(rows: u16) -> u16 {
    rows * 11 / 20
}

/// Rows for the answers on a large screen of this height, when nothing needs
/// attention: header, tabs, status and footer are not theirs, nor is the frame.
pub(crate) fn answers(screen: u16) -> u16 {
    let rows = screen.saturating_sub(4 + JOBS_ROWS);
    (rows - upper(rows)).saturating_sub(2)
}
