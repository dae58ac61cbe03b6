//! keeper-tui
