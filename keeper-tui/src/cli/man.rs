//! `man`: the manual, from the one table of commands.

use std::{fs, path::Path};

use clap::CommandFactory as _;
use serde_json::json;

use super::{
    args::{Cli, exit_codes},
    exit::{Exit, Failure, Outcome},
    output::{Block, Output, Report},
};

/// `man [DIR]`: the first page as an answer, or all pages as files.
pub fn man(out: &mut Output, dir: Option<&Path>) -> Outcome {
    let Some(dir) = dir else {
        let mut page = Vec::new();
        let man = clap_mangen::Man::new(command());
        man.render(&mut page).map_err(|error| Failure::local("man", &error))?;
        out.answer_text(&String::from_utf8_lossy(&page))?;
        return Ok(Exit::Done);
    };
    let unwritable = |error: &std::io::Error| {
        Failure::new(
            Exit::Failed,
            "man",
            format!("cannot write pages to {}: {error}", dir.display()),
        )
    };
    fs::create_dir_all(dir).map_err(|error| unwritable(&error))?;
    clap_mangen::generate_to(command(), dir).map_err(|error| unwritable(&error))?;
    let dir = dir.display().to_string();
    let report = Report {
        document: json!({ "dir": dir }),
        names: vec![dir.clone()],
        blocks: vec![Block::Line(format!("the manual is in {dir}: man {dir}/rbee-keeper.1"))],
        exit: Exit::Done,
    };
    out.report(None, &report)?;
    Ok(report.exit)
}

fn command() -> clap::Command {
    // A page about help is no help.
    Cli::command().disable_help_subcommand(true).after_long_help(exit_codes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_the_first_one_has_the_exit_codes() {
        let dir = tempfile::tempdir().unwrap();
        clap_mangen::generate_to(command(), dir.path()).unwrap();
        let first = fs::read_to_string(dir.path().join("rbee-keeper.1")).unwrap();
        assert!(first.contains("interrupted (Ctrl") && first.contains("partly done"), "{first}");
        for command in Cli::command().get_subcommands() {
            let page = dir.path().join(format!("rbee-keeper-{}.1", command.get_name()));
            assert!(page.is_file(), "{}", page.display());
        }
    }
}
