//! Questions to the person at the terminal.

use std::{
    fmt::Display,
    io::{BufRead, IsTerminal},
};

use super::{
    Cx,
    exit::{Failure, Outcome},
};

/// What Enter means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usually {
    /// Go on.
    Yes,
    /// Leave it.
    No,
}

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// Go on.
    Yes,
    /// Leave it.
    No,
    /// There is nobody to ask.
    Nobody,
}

impl Cx {
    /// Lets a deletion go on only if `--confirm` names its target again, or
    /// the person at the terminal says yes.
    pub async fn confirm_delete<T: Display + PartialEq>(
        &mut self,
        question: &str,
        id: &T,
        confirm: Option<&T>,
    ) -> Outcome<()> {
        match confirm {
            Some(confirmed) if confirmed == id => return Ok(()),
            Some(confirmed) => {
                let message = format!("--confirm: {confirmed} is not {id}");
                return Err(Failure::usage(message).with_hint("nothing was deleted").into());
            }
            None => {}
        }
        match self.ask(question, Usually::No).await? {
            Answered::Yes => Ok(()),
            Answered::No => {
                Err(Failure::usage("not confirmed").with_hint("nothing was deleted").into())
            }
            Answered::Nobody => {
                let message =
                    format!("deleting {id} needs a confirmation and stdin is not a terminal");
                Err(Failure::usage(message).with_hint(format!("add --confirm {id}")).into())
            }
        }
    }

    /// Asks on stderr. `--yes` has answered already, and without a terminal
    /// nobody can.
    pub async fn ask(&mut self, question: &str, usually: Usually) -> Outcome<Answered> {
        if self.options.yes {
            return Ok(Answered::Yes);
        }
        if !std::io::stdin().is_terminal() {
            return Ok(Answered::Nobody);
        }
        let choice = match usually {
            Usually::Yes => "[Y/n]",
            Usually::No => "[y/N]",
        };
        loop {
            self.out.ask(&format!("{question} {choice} "))?;
            // On a thread of its own, so that Ctrl-C is heard meanwhile.
            let line = tokio::task::spawn_blocking(|| {
                let mut line = String::new();
                std::io::stdin().lock().read_line(&mut line).map(|read| (read, line))
            });
            match line.await {
                // Ctrl-D is no answer, so it is not a yes.
                Ok(Ok((0, _))) => return Ok(Answered::No),
                Ok(Ok((_, line))) => {
                    self.out.answered();
                    if let Some(answered) = understand(&line, usually) {
                        return Ok(answered);
                    }
                }
                Ok(Err(error)) => {
                    let message = format!("cannot read the answer from stdin: {error}");
                    return Err(Failure::usage(message).into());
                }
                Err(error) => return Err(Failure::local("internal", &error).into()),
            }
        }
    }
}

fn understand(line: &str, usually: Usually) -> Option<Answered> {
    match (line.trim().to_ascii_lowercase().as_str(), usually) {
        ("y" | "yes", _) | ("", Usually::Yes) => Some(Answered::Yes),
        ("n" | "no", _) | ("", Usually::No) => Some(Answered::No),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enter_means_what_it_usually_means_and_nonsense_nothing() {
        assert_eq!(understand("\n", Usually::Yes), Some(Answered::Yes));
        assert_eq!(understand("\n", Usually::No), Some(Answered::No));
        assert_eq!(understand(" Y \n", Usually::No), Some(Answered::Yes));
        assert_eq!(understand("no\n", Usually::Yes), Some(Answered::No));
        assert_eq!(understand("perhaps\n", Usually::Yes), None);
    }
}
