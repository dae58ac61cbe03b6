//! `llm-worker-rbee`: one model, one process.

use std::process::ExitCode;

use worker::{inspect, load::load, program};

fn main() -> ExitCode {
    daemon::build::stamp(daemon::build::Stamp {
        git_sha: build_stamp::git_sha!(),
        built_at: build_stamp::built_at!(),
    });
    // Not clap's subcommand: beside it no flag of a worker could be required.
    if std::env::args_os().nth(1).is_some_and(|first| first == "inspect") {
        return inspect::main();
    }
    program::main(|options, progress| load(options, progress).map_err(|error| error.to_string()))
}
