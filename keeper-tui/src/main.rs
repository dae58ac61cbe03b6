//! `rbee-keeper`: the operator's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    keeper_tui::cli::main()
}
