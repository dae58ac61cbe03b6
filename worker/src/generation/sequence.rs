//! The way of one request through its slot, as a plain state machine.
//!
//! ```text
//!   Prefilling { done } ──chunk──▶ Prefilling ──last chunk──▶ Decoding { last }
//!                                                               │  ▲
//!                                                               └──┘ token
//! ```
//!
//! Every step asks [`Sequence::work`] what to compute and hands what came out
//! to [`Sequence::computed`], which says what the reader gets and whether that
//! was the end.
//!
//! Each token that adds to the answer is one event, its text empty while bytes
//! are held back. The token by which the model ends adds nothing and is no
//! event, unless text is still held back then: it carries that text.
//!
//! It refuses to know engines, threads, clocks and logs.

use std::time::{Duration, Instant};

use protocol::inference::{FinishReason, InferenceEvent, InferenceStats, Sampling};

use crate::{
    sampling::{Sampler, SamplingError},
    text::TextStream,
    tokenizer::Tokenizer,
};

/// What to compute next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Work<'a> {
    pub(super) tokens: &'a [u32],
    pub(super) position: usize,
    pub(super) wants_logits: bool,
}

/// What one computation led to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Advance {
    pub(super) event: Option<InferenceEvent>,
    pub(super) finish: Option<FinishReason>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// This many tokens of the prompt have been computed.
    Prefilling { done: usize },
    /// This token has been chosen and not yet computed.
    Decoding { last: u32 },
}

/// One request in its slot.
#[derive(Debug, Clone)]
pub(super) struct Sequence {
    stage: Stage,
    prompt: Vec<u32>,
    generated: u32,
    max_tokens: u32,
    context_length: usize,
    sampler: Sampler,
    text: TextStream,
    accepted_at: Instant,
    first_at: Option<Instant>,
    last_at: Option<Instant>,
}

impl Sequence {
    /// A sequence that begins; `prompt` has at least one token and leaves room
    /// for one in the context.
    pub(super) fn new(
        prompt: Vec<u32>,
        sampling: &Sampling,
        seed_if_absent: u64,
        context_length: usize,
        accepted_at: Instant,
    ) -> Self {
        let mut sampler = Sampler::new(sampling, seed_if_absent);
        prompt.iter().for_each(|token| sampler.saw(*token));
        Self {
            stage: Stage::Prefilling { done: 0 },
            prompt,
            generated: 0,
            max_tokens: sampling.max_tokens.max(1),
            context_length,
            sampler,
            text: TextStream::new(&sampling.stop),
            accepted_at,
            first_at: None,
            last_at: None,
        }
    }

    /// What to compute next, at most `chunk` tokens.
    pub(super) fn work(&self, chunk: usize) -> Work<'_> {
        let position = self.held();
        match &self.stage {
            Stage::Prefilling { done } => {
                let end = self.prompt.len().min(done + chunk);
                Work {
                    tokens: &self.prompt[*done..end],
                    position,
                    wants_logits: end == self.prompt.len(),
                }
            }
            Stage::Decoding { last } => {
                Work { tokens: std::slice::from_ref(last), position, wants_logits: true }
            }
        }
    }

    /// How many tokens its slot holds.
    pub(super) fn held(&self) -> usize {
        match self.stage {
            Stage::Prefilling { done } => done,
            Stage::Decoding { .. } => self.prompt.len() + self.generated as usize - 1,
        }
    }

    /// How long its first token took, once it is there.
    pub(super) fn first_token_after(&self) -> Option<Duration> {
        self.first_at.map(|first| first.saturating_duration_since(self.accepted_at))
    }

    /// Takes what came of `tokens` tokens of work: logits if they were wanted.
    pub(super) fn computed(
        &mut self,
        tokens: usize,
        logits: Option<&[f32]>,
        tokenizer: &dyn Tokenizer,
        now: Instant,
    ) -> Result<Advance, SamplingError> {
        if let Stage::Prefilling { done } = &mut self.stage {
            *done += tokens;
        }
        let Some(logits) = logits else { return Ok(Advance { event: None, finish: None }) };
        let token = self.sampler.sample(logits)?;
        if tokenizer.is_end(token) {
            let held = self.text.finish();
            let event = (!held.is_empty()).then(|| self.event(token, held, now));
            return Ok(Advance { event, finish: Some(FinishReason::Stop) });
        }
        self.sampler.saw(token);
        self.stage = Stage::Decoding { last: token };
        let piece = self.text.push(tokenizer.bytes(token));
        let mut message = piece.text;
        let finish =
            if piece.stopped { Some(FinishReason::Stop) } else { self.limit_reached_by_one_more() };
        if finish.is_some() {
            message.push_str(&self.text.finish());
        }
        Ok(Advance { event: Some(self.event(token, message, now)), finish })
    }

    fn limit_reached_by_one_more(&self) -> Option<FinishReason> {
        let generated = self.generated + 1;
        if generated >= self.max_tokens {
            Some(FinishReason::Length)
        } else if self.prompt.len() + generated as usize >= self.context_length {
            Some(FinishReason::ContextFull)
        } else {
            None
        }
    }

    fn event(&mut self, id: u32, message: String, now: Instant) -> InferenceEvent {
        let index = self.generated;
        self.generated += 1;
        self.first_at.get_or_insert(now);
        self.last_at = Some(now);
        InferenceEvent::Token { message, id, index }
    }

    /// What it cost.
    pub(super) fn stats(&self, finish_reason: FinishReason) -> InferenceStats {
        let since = |from: Instant, to: Instant| to.saturating_duration_since(from);
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        let rate = self.first_at.zip(self.last_at).and_then(|(first, last)| {
            let seconds = since(first, last).as_secs_f64();
            (self.generated >= 2 && seconds > 0.0).then(|| f64::from(self.generated - 1) / seconds)
        });
        InferenceStats {
            prompt_tokens: u32::try_from(self.prompt.len()).unwrap_or(u32::MAX),
            generated_tokens: self.generated,
            finish_reason,
            time_to_first_token_ms: self.first_token_after().map(ms),
            tokens_per_second: rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::scripted::Script;

    /// Says `words` with a prompt of `prompt` tokens; one word a second.
    fn run(
        words: &[&str],
        prompt: usize,
        sampling: &Sampling,
        context: usize,
    ) -> (Vec<String>, InferenceStats) {
        let script =
            Script { tokens: words.iter().map(|w| (*w).to_owned()).collect(), ..Script::default() };
        let loaded = script.load();
        let (tokenizer, mut engine) = (loaded.tokenizer, loaded.engine);
        let start = Instant::now();
        let mut sequence = Sequence::new(vec![65; prompt], sampling, 0, context, start);
        let mut messages = Vec::new();
        for second in 1.. {
            let work = sequence.work(4);
            let step = crate::engine::SlotStep {
                slot: crate::engine::SlotIndex(0),
                tokens: work.tokens,
                position: work.position,
                wants_logits: work.wants_logits,
            };
            let tokens = work.tokens.len();
            let logits = engine.step(&[step]).unwrap().pop().map(|output| output.logits);
            let now = start + Duration::from_secs(second);
            let advance = sequence.computed(tokens, logits.as_deref(), &*tokenizer, now).unwrap();
            if let Some(InferenceEvent::Token { message, index, .. }) = advance.event {
                assert_eq!(index as usize, messages.len(), "indices are dense");
                messages.push(message);
            }
            if let Some(reason) = advance.finish {
                return (messages, sequence.stats(reason));
            }
        }
        unreachable!("the loop has no other end")
    }

    fn limits(max_tokens: u32, stop: &[&str]) -> Sampling {
        Sampling {
            max_tokens,
            stop: stop.iter().map(|s| (*s).to_owned()).collect(),
            ..Sampling::default()
        }
    }

    #[test]
    fn a_prompt_goes_in_chunks_and_only_the_last_wants_logits() {
        let mut sequence =
            Sequence::new((0..10).collect(), &Sampling::default(), 0, 100, Instant::now());
        let loaded = Script::default().load();
        let mut seen = Vec::new();
        for _ in 0..2 {
            let work = sequence.work(4);
            let tokens = work.tokens.len();
            seen.push((work.tokens.to_vec(), work.position, work.wants_logits));
            sequence.computed(tokens, None, &*loaded.tokenizer, Instant::now()).unwrap();
        }
        assert_eq!(seen, [(vec![0, 1, 2, 3], 0, false), (vec![4, 5, 6, 7], 4, false)]);
        assert_eq!(sequence.work(4), Work { tokens: &[8, 9], position: 8, wants_logits: true });
    }

    #[test]
    fn the_model_ends_and_the_cost_is_told() {
        let (messages, stats) = run(&["a", " b", " c"], 9, &limits(99, &[]), 100);
        assert_eq!(messages, ["a", " b", " c"]);
        assert_eq!(stats.finish_reason, FinishReason::Stop);
        assert_eq!((stats.prompt_tokens, stats.generated_tokens), (9, 3));
        assert_eq!(stats.time_to_first_token_ms, Some(3000.0), "three chunks of prompt");
        assert_eq!(stats.tokens_per_second, Some(1.0));
    }

    #[test]
    fn an_answer_of_one_token_has_no_speed_and_an_empty_one_no_first_token() {
        let (messages, stats) = run(&["a", "b"], 1, &limits(1, &[]), 100);
        assert_eq!((messages.len(), stats.finish_reason), (1, FinishReason::Length));
        assert_eq!(stats.tokens_per_second, None);
        let (messages, stats) = run(&[], 1, &limits(5, &[]), 100);
        assert_eq!((messages.len(), stats.generated_tokens), (0, 0));
        assert_eq!(stats.time_to_first_token_ms, None);
    }

    #[test]
    fn a_full_context_ends_the_answer_in_time() {
        let (messages, stats) = run(&["a"; 50], 10, &limits(99, &[]), 13);
        assert_eq!(stats.finish_reason, FinishReason::ContextFull);
        assert_eq!(messages.len(), 3, "prompt and answer fill the context exactly");
    }

    #[test]
    fn a_stop_string_over_tokens_is_counted_and_not_shown() {
        let (messages, stats) = run(&["one", " E", "ND", " two"], 1, &limits(99, &[" END"]), 100);
        assert_eq!(messages, ["one", "", ""]);
        assert_eq!((stats.generated_tokens, stats.finish_reason), (3, FinishReason::Stop));
    }

    #[test]
    fn held_back_text_comes_with_the_last_token_whatever_ends_the_answer() {
        let (by_model, stats) = run(&["one", " E"], 1, &limits(99, &[" END"]), 100);
        assert_eq!(by_model, ["one", "", " E"], "the end token carries it");
        assert_eq!(stats.generated_tokens, 3);
        let (by_length, _) = run(&["one", " E", "x"], 1, &limits(2, &[" END"]), 100);
        assert_eq!(by_length, ["one", " E"]);
    }
}
