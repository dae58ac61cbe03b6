//! The thread that owns the engine and its slots.
//!
//! One turn of the loop: free the slots of requests that have ended, fill free
//! slots from the queue, compute one step for every busy slot, hand out what
//! came of it. A prompt takes part chunk by chunk, so a long one does not keep
//! the others from going on.
//!
//! Only an operating-system thread will do: a step takes as long as it takes.
//!
//! A failed step ends the requests that stood in it. A panic, or failures one
//! after the other, end all requests and leave the engine broken for good: its
//! state is unknown, and a new process is cheap. The thread itself goes on, so
//! that cancelling and asking still work.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use protocol::{ApiError, ErrorCode, inference::InferenceEvent};

use super::{Health, Shared, log::End, registry::Admitted, sequence::Work};
use crate::{
    engine::{Engine, EngineError, SlotIndex, SlotStep, StepOutput},
    load::panic_message,
    tokenizer::Tokenizer,
};

/// So many failed steps in a row say that it is the engine and not a request.
const FAILURES_MAX: u32 = 3;

pub(super) struct Driver {
    shared: Arc<Shared>,
    engine: Box<dyn Engine>,
    tokenizer: Arc<dyn Tokenizer>,
    slots: Vec<Option<Admitted>>,
    failures: u32,
}

/// What became of a step.
enum Outcome {
    Computed(Vec<StepOutput>),
    Failed(EngineError),
    Panicked(String),
}

/// What a step has added.
#[derive(Default)]
struct Gain {
    tokens: u64,
    /// How long each of those took that are the first of their request.
    first_after: Vec<Duration>,
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        engine: Box<dyn Engine>,
        tokenizer: Arc<dyn Tokenizer>,
    ) -> Self {
        let slots = (0..engine.slots()).map(|_| None).collect();
        Self { shared, engine, tokenizer, slots, failures: 0 }
    }

    /// Runs until the last handle is gone.
    pub(super) fn run(mut self) {
        // However this thread ends, nobody may wait for it for ever.
        let _last_words = LastWords(Arc::clone(&self.shared));
        while self.prepare() {
            let outcome = self.step();
            self.settle(outcome);
        }
    }

    /// Waits until some slot has work; `false` when it is time to go.
    fn prepare(&mut self) -> bool {
        let mut state = self.shared.state();
        loop {
            let now = Instant::now();
            for (index, slot) in self.slots.iter_mut().enumerate() {
                if let Some(admitted) = slot {
                    admitted.enforce_deadline(now);
                }
                if slot.as_ref().is_some_and(|admitted| admitted.log.end().is_some()) {
                    *slot = None;
                    self.engine.clear(SlotIndex(index));
                    state.registry.release();
                }
                if slot.is_none() {
                    *slot = state.registry.next(now);
                }
            }
            state.registry.sweep(now);
            state.registry.expire(now);
            state.tokens_held = self.tokens_held();
            self.shared.publish(&state);
            if state.closed {
                return false;
            }
            if self.slots.iter().any(Option::is_some) {
                state.step_started = Some(now);
                return true;
            }
            state = self.shared.wait(state, now);
        }
    }

    fn step(&mut self) -> Outcome {
        let chunk = self.engine.chunk_tokens();
        let busy = self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let Work { tokens, position, wants_logits } = slot.as_ref()?.sequence.work(chunk);
            Some(SlotStep { slot: SlotIndex(index), tokens, position, wants_logits })
        });
        let work: Vec<SlotStep<'_>> = busy.collect();
        let engine = &mut self.engine;
        match catch_unwind(AssertUnwindSafe(|| engine.step(&work))) {
            Ok(Ok(outputs)) => Outcome::Computed(outputs),
            Ok(Err(error)) => Outcome::Failed(error),
            Err(panic) => Outcome::Panicked(panic_message(&*panic)),
        }
    }

    fn settle(&mut self, outcome: Outcome) {
        let now = Instant::now();
        let gain = match outcome {
            Outcome::Computed(outputs) => {
                self.failures = 0;
                self.hand_out(&outputs, now)
            }
            Outcome::Failed(error) => {
                self.failures += 1;
                tracing::error!(%error, failures = self.failures, "a step failed");
                let error = ApiError::new(ErrorCode::Internal, error.to_string());
                for admitted in self.slots.iter().flatten() {
                    admitted.log.finish(End::Error(error.clone()), now);
                }
                if self.failures >= FAILURES_MAX {
                    self.shared.break_down("step after step failed", now);
                }
                Gain::default()
            }
            Outcome::Panicked(message) => {
                tracing::error!(%message, "the engine panicked");
                self.shared.break_down(&format!("it crashed ({message})"), now);
                Gain::default()
            }
        };
        let mut state = self.shared.state();
        state.step_started = None;
        state.rate.add(gain.tokens, now);
        gain.first_after.into_iter().for_each(|took| state.first_tokens.note(took));
        state.tokens_held = self.tokens_held();
    }

    /// What the engine's slots hold.
    fn tokens_held(&self) -> usize {
        self.slots.iter().flatten().map(|admitted| admitted.sequence.held()).sum()
    }

    /// Moves every sequence on.
    fn hand_out(&mut self, outputs: &[StepOutput], now: Instant) -> Gain {
        let chunk = self.engine.chunk_tokens();
        let mut gain = Gain::default();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(Admitted { log, sequence, .. }) = slot else { continue };
            let output = outputs.iter().find(|output| output.slot == SlotIndex(index));
            let work = sequence.work(chunk);
            if work.wants_logits && output.is_none() {
                let error = ApiError::new(ErrorCode::Internal, "the engine gave no logits");
                log.finish(End::Error(error), now);
                continue;
            }
            let (computed, logits) = (work.tokens.len(), output.map(|o| o.logits.as_slice()));
            let had_token = sequence.first_token_after().is_some();
            match sequence.computed(computed, logits, &*self.tokenizer, now) {
                Err(error) => {
                    let error = ApiError::new(ErrorCode::Internal, error.to_string());
                    log.finish(End::Error(error), now);
                }
                Ok(advance) => {
                    if let Some(event) = advance.event {
                        gain.tokens += 1;
                        if !had_token {
                            gain.first_after.extend(sequence.first_token_after());
                        }
                        log.push(event);
                    }
                    if let Some(reason) = advance.finish {
                        log.push(InferenceEvent::Stats { fields: sequence.stats(reason) });
                        log.finish(End::Done, now);
                    }
                }
            }
        }
        gain
    }
}

/// Ends what is left when the thread ends, even by a panic of its own.
struct LastWords(Arc<Shared>);

impl Drop for LastWords {
    fn drop(&mut self) {
        let reason = "its thread has ended";
        let mut state = self.0.state();
        let error = ApiError::new(ErrorCode::Unavailable, "the worker has stopped");
        state.registry.end_all(&error, Instant::now());
        while state.registry.in_slots() > 0 {
            state.registry.release();
        }
        state.registry.set_health(Health::Broken { reason: reason.to_owned() });
        self.0.publish(&state);
    }
}
