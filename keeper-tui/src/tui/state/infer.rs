//! The prompt, whom it is put to, and the answers that are being generated.

use std::time::Duration;

use protocol::{JobId, ModelRef, Timestamp, WorkerId};
use ratatui::style::{Modifier, Style};
use ratatui_textarea::{TextArea, WrapMode};

use super::{
    Model,
    sampling::{Sampling, Setting},
};

/// Prompts that can be had again.
const HISTORY: usize = 100;

/// What the view `infer` keeps.
#[derive(Debug, Clone)]
pub(crate) struct Infer {
    /// What is being typed.
    pub(crate) prompt: TextArea<'static>,
    /// Who shall answer.
    pub(crate) first: Target,
    /// Who shall answer as well, beside the first.
    pub(crate) second: Option<Target>,
    /// How the answers are made.
    pub(crate) sampling: Sampling,
    /// Which setting is selected.
    pub(crate) setting: Setting,
    /// A setting that is being typed.
    pub(crate) typed: Option<String>,
    /// Tells one submission from another.
    pub(crate) tickets: u64,
    history: Vec<String>,
    recalled: Option<usize>,
}

/// One of those that are asked.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The model.
    pub(crate) model: ModelRef,
    /// Only this worker; else whichever the queen chooses.
    pub(crate) worker: Option<WorkerId>,
    /// Where its newest answer stands.
    pub(crate) turn: Turn,
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

impl Target {
    /// A model, on whichever worker.
    pub(crate) fn new(model: ModelRef) -> Self {
        Self { model, worker: None, turn: Turn::Unasked }
    }

    /// The job of the newest question.
    pub(crate) fn job(&self) -> Option<&JobId> {
        match &self.turn {
            Turn::Accepted { job, .. } => Some(job),
            _ => None,
        }
    }
}

impl Default for Infer {
    fn default() -> Self {
        Self {
            prompt: empty_prompt(),
            first: Target::new(ModelRef::demo()),
            second: None,
            sampling: Sampling::default(),
            setting: Setting::Model,
            typed: None,
            tickets: 0,
            history: Vec::new(),
            recalled: None,
        }
    }
}

impl Infer {
    /// The job of the newest question.
    pub(crate) fn job(&self) -> Option<&JobId> {
        self.first.job()
    }

    /// The job of the other answer.
    pub(crate) fn second_job(&self) -> Option<&JobId> {
        self.second.as_ref()?.job()
    }

    /// Those that are asked.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &Target> {
        std::iter::once(&self.first).chain(&self.second)
    }

    /// The same, to write into.
    pub(crate) fn targets_mut(&mut self) -> impl Iterator<Item = &mut Target> {
        std::iter::once(&mut self.first).chain(&mut self.second)
    }

    /// Asks this model beside the first, or nobody.
    pub(crate) fn compare_with(&mut self, model: Option<ModelRef>) {
        self.second = model.map(|model| {
            let turn = self.second.take().map_or(Turn::Unasked, |it| it.turn);
            Target { turn, ..Target::new(model) }
        });
    }

    /// What is typed, as one text.
    pub(crate) fn text(&self) -> String {
        self.prompt.lines().join("\n")
    }

    /// Begins an empty prompt.
    pub(crate) fn clear(&mut self) {
        self.prompt = empty_prompt();
        self.recalled = None;
    }

    /// Remembers what was asked.
    pub(crate) fn remember(&mut self, prompt: &str) {
        if self.history.last().is_none_or(|last| last != prompt) {
            self.history.push(prompt.to_owned());
        }
        if self.history.len() > HISTORY {
            self.history.remove(0);
        }
    }

    /// Brings back an older prompt, or a newer one; beyond the newest is an
    /// empty prompt. `false` when there is none further.
    pub(crate) fn recall(&mut self, older: bool) -> bool {
        let next = match (self.recalled, older) {
            (None, true) => self.history.len().checked_sub(1),
            (Some(at), true) => at.checked_sub(1),
            (Some(at), false) => Some(at + 1),
            (None, false) => None,
        };
        let Some(next) = next else { return false };
        self.prompt = empty_prompt();
        self.recalled = self.history.get(next).map(|text| {
            self.prompt.insert_str(text);
            next
        });
        true
    }

    /// Whether what is typed was asked before, word for word.
    pub(crate) fn is_recalled(&self) -> bool {
        let text = self.text();
        text.is_empty()
            || self.recalled.and_then(|at| self.history.get(at)).is_some_and(|it| *it == text)
    }
}

impl Model {
    /// Models that somebody runs or has on disk, and the one every hive
    /// carries.
    pub(crate) fn models_to_ask(&self) -> Vec<ModelRef> {
        let serving = self.fleet.workers.values().filter(|worker| !worker.state.is_ended());
        let mut models: Vec<ModelRef> = serving.map(|worker| worker.model.clone()).collect();
        models.extend(self.models.listed().keys().map(|(model, _)| model.clone()));
        models.push(ModelRef::demo());
        models.sort();
        models.dedup();
        models
    }

    /// Workers that run a model, and nobody in particular.
    pub(crate) fn workers_to_ask(&self, model: &ModelRef) -> Vec<Option<WorkerId>> {
        let workers = self.fleet.workers.values();
        let running = workers.filter(|it| it.model == *model && !it.state.is_ended());
        std::iter::once(None).chain(running.map(|it| Some(it.id.clone()))).collect()
    }

    /// The value of a setting, as text.
    pub(crate) fn setting(&self, setting: Setting) -> String {
        let infer = &self.infer;
        let worker = |target: &Target| {
            target.worker.as_ref().map_or_else(|| "any".to_owned(), ToString::to_string)
        };
        match setting {
            Setting::Model => infer.first.model.to_string(),
            Setting::Worker => worker(&infer.first),
            Setting::SecondModel => {
                infer.second.as_ref().map_or_else(|| "nobody".to_owned(), |it| it.model.to_string())
            }
            Setting::SecondWorker => infer.second.as_ref().map_or_else(|| "—".to_owned(), worker),
            figure => infer.sampling.show(figure),
        }
    }

    /// The next value of a setting, or the one before.
    pub(crate) fn nudge(&mut self, setting: Setting, by: i64) {
        match setting {
            Setting::Model => {
                let models = self.models_to_ask();
                let target = &mut self.infer.first;
                target.model = turned(&models, &target.model, by);
                target.worker = None;
            }
            Setting::SecondModel => {
                let mut models: Vec<Option<ModelRef>> = vec![None];
                models.extend(self.models_to_ask().into_iter().map(Some));
                let now = self.infer.second.as_ref().map(|it| it.model.clone());
                let next = turned(&models, &now, by);
                self.infer.compare_with(next);
            }
            Setting::Worker => {
                let workers = self.workers_to_ask(&self.infer.first.model);
                let target = &mut self.infer.first;
                target.worker = turned(&workers, &target.worker, by);
            }
            Setting::SecondWorker => {
                let Some(model) = self.infer.second.as_ref().map(|it| it.model.clone()) else {
                    return;
                };
                let workers = self.workers_to_ask(&model);
                if let Some(target) = &mut self.infer.second {
                    target.worker = turned(&workers, &target.worker, by);
                }
            }
            figure => self.infer.sampling.nudge(figure, by),
        }
    }

    /// Sets a setting as it was typed.
    pub(crate) fn set(&mut self, setting: Setting, typed: &str) -> Result<(), String> {
        let typed = typed.trim();
        let model = || typed.parse::<ModelRef>().map_err(|error| error.to_string());
        match setting {
            Setting::Model => {
                self.infer.first.model = model()?;
                self.infer.first.worker = None;
            }
            Setting::SecondModel if typed.is_empty() => self.infer.second = None,
            Setting::SecondModel => {
                let model = model()?;
                self.infer.compare_with(Some(model));
            }
            Setting::Worker | Setting::SecondWorker => {
                let worker = if typed.is_empty() || typed == "any" {
                    None
                } else {
                    let id = typed.parse::<WorkerId>().map_err(|error| error.to_string())?;
                    let known = self.fleet.workers.contains_key(&id);
                    Some(known.then_some(id).ok_or_else(|| format!("there is no worker {typed}"))?)
                };
                let target = match setting {
                    Setting::Worker => Some(&mut self.infer.first),
                    _ => self.infer.second.as_mut(),
                };
                if let Some(target) = target {
                    target.worker = worker;
                }
            }
            figure => self.infer.sampling.set(figure, typed)?,
        }
        Ok(())
    }
}

/// The neighbour of a value; after the last comes the first.
fn turned<T: Clone + PartialEq>(values: &[T], now: &T, by: i64) -> T {
    let count = i64::try_from(values.len()).unwrap_or(i64::MAX).max(1);
    let at = values.iter().position(|it| it == now);
    let next = match at.and_then(|at| i64::try_from(at).ok()) {
        Some(at) => (at + by).rem_euclid(count),
        None => 0,
    };
    let next = usize::try_from(next).ok().and_then(|next| values.get(next));
    next.cloned().unwrap_or_else(|| now.clone())
}

fn empty_prompt() -> TextArea<'static> {
    let mut prompt = TextArea::default();
    // The box underlines the cursor's line and colours its placeholder unless told otherwise.
    prompt.set_cursor_line_style(Style::new());
    prompt.set_placeholder_style(Style::new().add_modifier(Modifier::DIM));
    prompt.set_wrap_mode(WrapMode::WordOrGlyph);
    prompt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_come_back_the_newest_first() {
        let mut infer = Infer::default();
        ["one", "two", "two"].into_iter().for_each(|it| infer.remember(it));
        assert!(infer.recall(true));
        assert_eq!(infer.text(), "two");
        assert!(infer.recall(true));
        assert_eq!(infer.text(), "one");
        assert!(!infer.recall(true), "there is none before the first");
        assert!(infer.recall(false) && infer.recall(false));
        assert_eq!(infer.text(), "", "and after the last an empty one");
    }
}
