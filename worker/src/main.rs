//! `llm-worker-rbee`: one model, one process.

use std::process::ExitCode;

use worker::{load::load, program};

fn main() -> ExitCode {
    program::main(|options, progress| load(options, progress).map_err(|error| error.to_string()))
}
