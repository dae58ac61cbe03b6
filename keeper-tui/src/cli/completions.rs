//! `completions`: what a shell needs to complete our command line, and the
//! answers to it.

use std::{env, ffi::OsString, io::Write as _, path::Path};

use clap::CommandFactory as _;
use clap_complete::{
    CompleteEnv,
    env::{Bash, EnvCompleter, Fish, Zsh},
};

use super::{
    args::{Cli, Shell},
    exit::{Exit, Failure, Outcome},
    output::Output,
};

/// Set by the shell's part when it asks.
const ASKS: &str = "RBEE_COMPLETE";
const PROGRAM: &str = "rbee-keeper";

/// `completions SHELL`: the shell's part, to be read by it at its start.
pub fn completions(out: &mut Output, shell: Shell) -> Outcome {
    let shell: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let mut script = Vec::new();
    shell
        .write_registration(ASKS, PROGRAM, PROGRAM, &program(), &mut script)
        .map_err(|error| Failure::local("completions", &error))?;
    out.answer_text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// What the shell has to call: this program as it was called.
fn program() -> String {
    let called = env::args_os().next().unwrap_or_default();
    let is_path = Path::new(&called).components().count() > 1;
    let path = if is_path { env::current_exe().ok() } else { None };
    path.map_or_else(|| PROGRAM.to_owned(), |path| path.to_string_lossy().into_owned())
}

/// Answers the shell, if it is the shell that asks.
pub fn answer(args: &[OsString]) -> Option<Exit> {
    env::var_os(ASKS)?;
    let here = env::current_dir().ok();
    let shells = CompleteEnv::with_factory(Cli::command).var(ASKS).bin(PROGRAM);
    match shells.try_complete(args.iter().cloned(), here.as_deref()) {
        Ok(true) => Some(Exit::Done),
        Ok(false) => None,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{}", error.to_string().trim_end());
            Some(Exit::Failed)
        }
    }
}
