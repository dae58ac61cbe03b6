//! A text in the operator's own pager or editor.

use std::{io::Write, path::Path, process::Stdio};

use tokio::process::Command;

/// A program of the operator's choice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice {
    /// Asked for in this order; the first that is set is used.
    variables: &'static [&'static str],
    /// When none is set.
    usual: &'static str,
}

/// What shows texts.
const PAGER: Choice = Choice { variables: &["PAGER", "VISUAL", "EDITOR"], usual: "less" };
/// What edits them.
pub(crate) const EDITOR: Choice = Choice { variables: &["VISUAL", "EDITOR"], usual: "vi" };

impl Choice {
    /// The program. As everywhere, it may have arguments.
    fn program(self, variable: impl Fn(&str) -> Option<String>) -> String {
        let mut variables = self.variables.iter();
        let set = variables.find_map(|name| variable(name).filter(|it| !it.is_empty()));
        set.unwrap_or_else(|| self.usual.to_owned())
    }
}

/// Shows a text until the operator is done with it. The terminal must be the
/// shell's.
pub(crate) async fn show(text: &str) -> Result<(), String> {
    let file = file(text).map_err(|error| format!("cannot write the text to a file: {error}"))?;
    open(PAGER, file.path()).await
}

/// Opens a file until the operator is done with it. The terminal must be the
/// shell's.
pub(crate) async fn open(choice: Choice, file: &Path) -> Result<(), String> {
    let program = choice.program(|name| std::env::var(name).ok());
    let variable = choice.variables.first().copied().unwrap_or_default();
    run(&program, file, variable).await
}

/// In a file that only the operator can read.
fn file(text: &str) -> std::io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix("rbee-").suffix(".txt").tempfile()?;
    file.write_all(text.as_bytes())?;
    file.flush()?;
    Ok(file)
}

async fn run(program: &str, file: &Path, variable: &str) -> Result<(), String> {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{program} \"$1\"")).arg("sh").arg(file);
    let status = command.stdin(Stdio::inherit()).status().await;
    match status {
        Ok(status) if status.success() => Ok(()),
        // Ctrl-C in a pager is a way to leave it.
        Ok(status) if status.code().is_none() => Ok(()),
        Ok(status) => {
            Err(format!("{program} failed ({status}); ${variable} names another program"))
        }
        Err(error) => Err(format!("cannot run {program}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pager_comes_before_the_editor_and_less_is_always_there() {
        let with = |choice: Choice, set: &'static [(&str, &str)]| {
            choice.program(move |name| {
                set.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(with(PAGER, &[("EDITOR", "vi"), ("PAGER", "less -R")]), "less -R");
        assert_eq!(with(PAGER, &[("EDITOR", "vi"), ("PAGER", "")]), "vi");
        assert_eq!(with(EDITOR, &[("EDITOR", "ed"), ("VISUAL", "code -w")]), "code -w");
        assert_eq!(with(EDITOR, &[("PAGER", "less")]), "vi");
        assert_eq!(with(PAGER, &[]), "less");
    }

    #[tokio::test]
    async fn the_program_gets_the_text_in_a_file_and_its_failure_is_told() {
        let text = file("seventeen elephants\n").unwrap();
        let copy = tempfile::NamedTempFile::new().unwrap();
        let program = format!("tee {} <", copy.path().display());
        run(&program, text.path(), "PAGER").await.unwrap();
        assert_eq!(std::fs::read_to_string(copy.path()).unwrap(), "seventeen elephants\n");
        let error = run("exit 3;", text.path(), "PAGER").await.unwrap_err();
        assert!(error.contains("$PAGER"), "{error}");
    }
}
