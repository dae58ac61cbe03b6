//! The prompt, and the answer that is being generated for it.

use std::time::Duration;

use protocol::{JobId, ModelRef, Timestamp};
use ratatui::style::{Modifier, Style};
use ratatui_textarea::{TextArea, WrapMode};

/// What the view `infer` keeps.
#[derive(Debug, Clone)]
pub(crate) struct Infer {
    /// What is being typed.
    pub(crate) prompt: TextArea<'static>,
    /// Who shall answer.
    pub(crate) model: ModelRef,
    /// Where the newest question stands.
    pub(crate) turn: Turn,
    /// Tells one submission from another.
    pub(crate) tickets: u64,
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Turn {
    /// Nothing was asked yet.
    Unasked,
    /// The queen was asked and has not answered.
    Sending {
        /// Of this submission.
        ticket: u64,
        /// What was asked.
        prompt: String,
        /// When, on the dashboard's clock.
        since: Duration,
    },
    /// The queen said no.
    Refused {
        /// One sentence.
        cause: String,
    },
    /// It is a job; what it says is in its stream.
    Accepted {
        /// The job.
        job: JobId,
        /// What was asked.
        prompt: String,
        /// When it was accepted, on the queen's clock.
        at: Timestamp,
    },
}

impl Default for Infer {
    fn default() -> Self {
        Self { prompt: empty_prompt(), model: ModelRef::demo(), turn: Turn::Unasked, tickets: 0 }
    }
}

impl Infer {
    /// The job of the newest question.
    pub(crate) fn job(&self) -> Option<&JobId> {
        match &self.turn {
            Turn::Accepted { job, .. } => Some(job),
            _ => None,
        }
    }

    /// What is typed, as one text.
    pub(crate) fn text(&self) -> String {
        self.prompt.lines().join("\n")
    }

    /// Begins an empty prompt.
    pub(crate) fn clear(&mut self) {
        self.prompt = empty_prompt();
    }
}

fn empty_prompt() -> TextArea<'static> {
    let mut prompt = TextArea::default();
    // The box underlines the cursor's line and colours its placeholder unless told otherwise.
    prompt.set_cursor_line_style(Style::new());
    prompt.set_placeholder_text("Ask something. Enter sends, Ctrl-j begins a new line.");
    prompt.set_placeholder_style(Style::new().add_modifier(Modifier::DIM));
    prompt.set_wrap_mode(WrapMode::WordOrGlyph);
    prompt
}
