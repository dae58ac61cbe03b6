//! The prompt, whom it is put to, and the answers that are being generated.

use std::time::Duration;

use protocol::{
    JobId, ModelRef, Timestamp, WorkerId,
    operation::{self, Operation, QueenOperation},
};
use ratatui::style::{Modifier, Style};
use ratatui_textarea::{TextArea, WrapMode};

use super::Model;

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

/// How a text is generated, as it goes into the operation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sampling(operation::Infer);

/// A line of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    /// Who answers.
    Model,
    /// On which worker.
    Worker,
    /// Who answers as well.
    SecondModel,
    /// On which worker.
    SecondWorker,
    /// A figure of the sampling.
    MaxTokens,
    /// A figure of the sampling.
    Temperature,
    /// A figure of the sampling.
    TopP,
    /// A figure of the sampling.
    TopK,
    /// A figure of the sampling.
    MinP,
    /// A figure of the sampling.
    RepetitionPenalty,
    /// Makes the same text again.
    Seed,
}

impl Setting {
    /// In their order.
    pub(crate) const ALL: [Self; 11] = [
        Self::Model,
        Self::Worker,
        Self::SecondModel,
        Self::SecondWorker,
        Self::MaxTokens,
        Self::Temperature,
        Self::TopP,
        Self::TopK,
        Self::MinP,
        Self::RepetitionPenalty,
        Self::Seed,
    ];

    /// What it is called; for a figure its name on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Worker => "worker",
            Self::SecondModel => "compare with",
            Self::SecondWorker => "its worker",
            Self::MaxTokens => "max_tokens",
            Self::Temperature => "temperature",
            Self::TopP => "top_p",
            Self::TopK => "top_k",
            Self::MinP => "min_p",
            Self::RepetitionPenalty => "repetition_penalty",
            Self::Seed => "seed",
        }
    }

    /// The one before or after it, no further than the ends.
    pub(crate) fn moved(self, by: i64) -> Self {
        let last = Self::ALL.len() - 1;
        let at = Self::ALL.iter().position(|it| *it == self).unwrap_or(0);
        let step = isize::try_from(by).unwrap_or(if by < 0 { isize::MIN } else { isize::MAX });
        Self::ALL.get(at.saturating_add_signed(step).min(last)).copied().unwrap_or(self)
    }

    /// How far one key changes a figure.
    fn step(self) -> f64 {
        match self {
            Self::MaxTokens => 64.0,
            Self::TopK => 10.0,
            Self::Seed => 1.0,
            Self::Temperature => 0.1,
            _ => 0.05,
        }
    }
}

impl Default for Sampling {
    fn default() -> Self {
        Self(operation::Infer::new("", ModelRef::demo()))
    }
}

impl Sampling {
    /// A figure as it is; `None` is whatever the worker does by itself.
    pub(crate) fn get(&self, setting: Setting) -> Option<f64> {
        let it = &self.0;
        match setting {
            Setting::MaxTokens => Some(f64::from(it.max_tokens)),
            Setting::Temperature => Some(it.temperature),
            Setting::TopP => it.top_p,
            Setting::TopK => it.top_k.map(f64::from),
            Setting::MinP => it.min_p,
            Setting::RepetitionPenalty => it.repetition_penalty,
            Setting::Seed => it.seed.map(|seed| seed as f64),
            _ => None,
        }
    }

    /// A figure as text.
    pub(crate) fn show(&self, setting: Setting) -> String {
        match (setting, self.0.seed, self.get(setting)) {
            (Setting::Seed, Some(seed), _) => seed.to_string(),
            (_, _, Some(value)) => format!("{}", (value * 1000.0).round() / 1000.0),
            (_, _, None) => "default".to_owned(),
        }
    }

    /// Sets a figure as it was typed; nothing typed is the default. What the
    /// queen would not take is refused in her words.
    pub(crate) fn set(&mut self, setting: Setting, typed: &str) -> Result<(), String> {
        let typed = typed.trim();
        let mut fields = serde_json::json!({"operation": "infer", "prompt": "", "model": "demo"});
        if let (false, Some(fields)) = (typed.is_empty(), fields.as_object_mut()) {
            let value = serde_json::from_str(typed).unwrap_or_else(|_| typed.into());
            fields.insert(setting.name().to_owned(), value);
        }
        let read = Operation::parse(fields.to_string().as_bytes());
        let Operation::Queen(QueenOperation::Infer(read)) =
            read.map_err(|error| error.one_line())?
        else {
            return Ok(());
        };
        match setting {
            Setting::MaxTokens => self.0.max_tokens = read.max_tokens,
            Setting::Temperature => self.0.temperature = read.temperature,
            Setting::TopP => self.0.top_p = read.top_p,
            Setting::TopK => self.0.top_k = read.top_k,
            Setting::MinP => self.0.min_p = read.min_p,
            Setting::RepetitionPenalty => self.0.repetition_penalty = read.repetition_penalty,
            Setting::Seed => self.0.seed = read.seed,
            _ => {}
        }
        Ok(())
    }

    /// One step up or down, from where the worker begins by itself.
    pub(crate) fn nudge(&mut self, setting: Setting, by: i64) {
        let start = match setting {
            Setting::TopP | Setting::RepetitionPenalty => 1.0,
            _ => 0.0,
        };
        let value = self.get(setting).unwrap_or(start) + by as f64 * setting.step();
        let value = (value * 1000.0).round() / 1000.0;
        // A step over the edge stays where it is.
        drop(self.set(setting, &format!("{value}")));
    }

    /// The operation for one of those that are asked.
    pub(crate) fn operation(&self, prompt: &str, target: &Target) -> Operation {
        let infer = operation::Infer {
            prompt: Some(prompt.to_owned()),
            model: target.model.clone(),
            worker_id: target.worker.clone(),
            ..self.0.clone()
        };
        Operation::from(QueenOperation::from(infer))
    }
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
        models.extend(self.models.records.keys().map(|(model, _)| model.clone()));
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
    prompt.set_placeholder_text("Ask something. Enter sends, Ctrl-j begins a new line.");
    prompt.set_placeholder_style(Style::new().add_modifier(Modifier::DIM));
    prompt.set_wrap_mode(WrapMode::WordOrGlyph);
    prompt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_the_queen_would_refuse_is_refused_here_in_her_words() {
        let mut sampling = Sampling::default();
        sampling.set(Setting::Temperature, "1.5").unwrap();
        assert_eq!(sampling.get(Setting::Temperature), Some(1.5));
        let refused = sampling.set(Setting::Temperature, "9").unwrap_err();
        assert!(refused.contains("temperature"), "{refused}");
        assert!(sampling.set(Setting::Seed, "many").is_err());
        assert_eq!(sampling.get(Setting::Temperature), Some(1.5), "it stays as it was");
        sampling.set(Setting::Seed, "18446744073709551615").unwrap();
        assert_eq!(sampling.show(Setting::Seed), "18446744073709551615");
        sampling.set(Setting::Seed, "").unwrap();
        assert_eq!(sampling.show(Setting::Seed), "default");
    }

    #[test]
    fn steps_stay_within_what_is_allowed() {
        let mut sampling = Sampling::default();
        for _ in 0..100 {
            sampling.nudge(Setting::TopP, -1);
            sampling.nudge(Setting::Temperature, 1);
        }
        assert_eq!(sampling.show(Setting::Temperature), "2");
        assert!(sampling.get(Setting::TopP).is_some_and(|it| it >= 0.0 && it < 0.06));
    }

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
