//! How answers are made: the settings of the view `infer`.

use protocol::{
    ModelRef,
    operation::{self, Operation, QueenOperation},
};

use super::infer::Target;

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
        assert!(sampling.get(Setting::TopP).is_some_and(|it| (0.0..0.06).contains(&it)));
    }
}
