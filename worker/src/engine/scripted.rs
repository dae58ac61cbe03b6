//! An engine without a model, for tests.
//!
//! It says what its script says, at the pace the script sets, whatever the
//! prompt, and breaks in the way and at the place the script names. The
//! end-to-end tests run the real worker program around it.
//!
//! A script is JSON, or simply the words to say:
//!
//! ```json
//! {"tokens": ["Hello", " world"], "repeat": true, "delay_ms": 20,
//!  "slots": 2, "context_length": 4096,
//!  "fault": {"kind": "exit", "after_tokens": 3, "code": 7}}
//! ```
//!
//! Prompts are tokenized into bytes. It refuses to be clever: no sampling
//! parameter changes what it says.

use std::{
    borrow::Cow,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use serde::Deserialize;

use super::{Engine, EngineError, ModelInfo, SlotIndex, SlotStep, StepOutput};
use crate::{
    load::Loaded,
    template::ChatTemplate,
    tokenizer::{Markers, Tokenizer, TokenizerError},
};

const SLOTS_MAX: usize = 64;
const CHUNK_TOKENS: usize = 128;
/// The token after the 256 bytes: the answer is over.
const END: u32 = 256;
const WORDS_START: u32 = END + 1;

/// What to say, how fast, and how to break.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// The answer to everything.
    pub tokens: Vec<String>,
    /// Begin again at the end instead of ending.
    pub repeat: bool,
    /// How long each token takes.
    pub delay_ms: u64,
    /// How long each chunk of a prompt takes.
    pub prefill_delay_ms: u64,
    /// How many sequences there can be.
    pub slots: usize,
    /// How many tokens each may hold.
    pub context_length: usize,
    /// How it breaks.
    pub fault: Option<Fault>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            tokens: words("Once upon a time there was a worker that always said the same."),
            repeat: false,
            delay_ms: 0,
            prefill_delay_ms: 0,
            slots: 1,
            context_length: 4096,
            fault: None,
        }
    }
}

/// One breakage; it happens once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// How it breaks.
    pub kind: FaultKind,
    /// After how many tokens, all requests together.
    #[serde(default)]
    pub after_tokens: u64,
    /// The exit code of [`FaultKind::Exit`].
    #[serde(default)]
    pub code: i32,
}

/// A way of breaking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The process aborts, as after a fault in native code.
    Abort,
    /// The process exits.
    Exit,
    /// The step never returns.
    Hang,
    /// The step panics.
    Panic,
    /// The step returns an error.
    Error,
}

/// Why an argument is not a script.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It is not the JSON of one.
    #[error("the script is not valid; give JSON such as {{\"tokens\":[\"Hello\"]}} or plain words")]
    Json(#[source] serde_json::Error),
    /// A number is out of range.
    #[error("the script needs 1 to {SLOTS_MAX} slots and a context of at least 2 tokens")]
    Range,
}

impl Script {
    /// A script that says `text`, word by word.
    pub fn saying(text: &str) -> Self {
        Self { tokens: words(text), ..Self::default() }
    }

    /// Reads an argument: JSON if it begins with `{`, else the words to say.
    pub fn parse(argument: &str) -> Result<Self, ScriptError> {
        let script: Self = if argument.trim_start().starts_with('{') {
            serde_json::from_str(argument).map_err(ScriptError::Json)?
        } else {
            Self::saying(argument)
        };
        let in_range = (1..=SLOTS_MAX).contains(&script.slots) && script.context_length >= 2;
        in_range.then_some(script).ok_or(ScriptError::Range)
    }

    /// The engine and the tokenizer that play this script.
    pub fn load(self) -> Loaded {
        let tokenizer = Arc::new(ScriptedTokenizer::new(&self.tokens));
        let engine = Box::new(ScriptedEngine::new(self));
        Loaded { engine, tokenizer, template: Arc::new(ChatTemplate::plain()) }
    }

    /// The same, held at a gate: a token is said only when it was allowed.
    pub fn load_gated(self) -> (Loaded, Gate) {
        let tokenizer = Arc::new(ScriptedTokenizer::new(&self.tokens));
        let turnstile = Arc::new(Turnstile::default());
        let mut engine = ScriptedEngine::new(self);
        engine.gate = Some(Arc::clone(&turnstile));
        let template = Arc::new(ChatTemplate::plain());
        (Loaded { engine: Box::new(engine), tokenizer, template }, Gate(turnstile))
    }
}

/// Words with the space in front, as most models cut them.
fn words(text: &str) -> Vec<String> {
    let text = text.trim();
    let starts = text.match_indices(' ').map(|(at, _)| at).filter(|at| *at > 0);
    let starts: Vec<usize> = [0].into_iter().chain(starts).chain([text.len()]).collect();
    let words = starts.windows(2).map(|pair| text[pair[0]..pair[1]].to_owned());
    words.filter(|word| !word.is_empty()).collect()
}

/// Lets a gated engine say tokens; dropping it lets it say all of them.
pub struct Gate(Arc<Turnstile>);

impl Gate {
    /// Lets `tokens` more through.
    pub fn allow(&self, tokens: u64) {
        self.0.allow(tokens);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.allow(u64::MAX);
    }
}

#[derive(Default)]
struct Turnstile {
    allowed: Mutex<u64>,
    changed: Condvar,
}

impl Turnstile {
    fn allow(&self, tokens: u64) {
        let mut allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
        *allowed = allowed.saturating_add(tokens);
        self.changed.notify_all();
    }

    fn pass(&self) {
        let allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_while(allowed, |allowed| *allowed == 0);
        let mut allowed = waited.unwrap_or_else(PoisonError::into_inner);
        if *allowed != u64::MAX {
            *allowed -= 1;
        }
    }
}

/// An [`Engine`] that plays a [`Script`].
pub struct ScriptedEngine {
    info: ModelInfo,
    script: Script,
    gate: Option<Arc<Turnstile>>,
    /// How many tokens each slot's answer has so far.
    said: Vec<usize>,
    said_ever: u64,
}

impl ScriptedEngine {
    fn new(script: Script) -> Self {
        let info = ModelInfo {
            architecture: "scripted".to_owned(),
            name: "scripted".to_owned(),
            parameters: 0,
            quantisation: "none".to_owned(),
            context_length: script.context_length,
            vocabulary: WORDS_START as usize + script.tokens.len(),
            file_bytes: 0,
            memory_bytes_estimate: 0,
        };
        Self { info, gate: None, said: vec![0; script.slots], said_ever: 0, script }
    }

    /// The logits that leave no choice but the next token of the script.
    fn next(&mut self, slot: SlotIndex) -> Vec<f32> {
        let said = &mut self.said[slot.0];
        let index = match self.script.tokens.len() {
            0 => None,
            count if self.script.repeat => Some(*said % count),
            count => Some(*said).filter(|said| *said < count),
        };
        *said += 1;
        self.said_ever += 1;
        let token = index.map_or(END as usize, |index| WORDS_START as usize + index);
        let mut logits = vec![-1e4; self.info.vocabulary];
        logits[token] = 1e4;
        logits
    }

    fn break_if_due(&mut self) -> Result<(), EngineError> {
        let said = self.said_ever;
        let Some(fault) = self.script.fault.take_if(|fault| fault.after_tokens <= said) else {
            return Ok(());
        };
        match fault.kind {
            FaultKind::Abort => std::process::abort(),
            #[expect(
                clippy::disallowed_methods,
                reason = "leaving without cleaning up is the point"
            )]
            FaultKind::Exit => std::process::exit(fault.code),
            FaultKind::Hang => loop {
                std::thread::park();
            },
            #[expect(clippy::panic, reason = "panicking is the point")]
            FaultKind::Panic => panic!("the script says to panic after {said} tokens"),
            FaultKind::Error => Err(EngineError::Failed("the script says so".to_owned())),
        }
    }
}

impl Engine for ScriptedEngine {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn slots(&self) -> usize {
        self.said.len()
    }

    fn chunk_tokens(&self) -> usize {
        CHUNK_TOKENS
    }

    fn step(&mut self, work: &[SlotStep<'_>]) -> Result<Vec<StepOutput>, EngineError> {
        let mut outputs = Vec::new();
        for step in work {
            if !step.wants_logits || step.tokens.len() > 1 {
                pause(self.script.prefill_delay_ms);
            }
            if step.wants_logits {
                if let Some(gate) = &self.gate {
                    gate.pass();
                }
                self.break_if_due()?;
                outputs.push(StepOutput { slot: step.slot, logits: self.next(step.slot) });
            }
        }
        if !outputs.is_empty() {
            pause(self.script.delay_ms);
        }
        Ok(outputs)
    }

    fn clear(&mut self, slot: SlotIndex) {
        if let Some(said) = self.said.get_mut(slot.0) {
            *said = 0;
        }
    }
}

fn pause(ms: u64) {
    if ms > 0 {
        std::thread::sleep(Duration::from_millis(ms));
    }
}

/// Bytes in, the words of a script out.
pub struct ScriptedTokenizer {
    bytes: Vec<Vec<u8>>,
}

impl ScriptedTokenizer {
    fn new(words: &[String]) -> Self {
        let bytes = (0..=u8::MAX).map(|byte| vec![byte]);
        let words = words.iter().map(|word| word.as_bytes().to_vec());
        Self { bytes: bytes.chain([Vec::new()]).chain(words).collect() }
    }
}

impl Tokenizer for ScriptedTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        Ok(text.bytes().map(u32::from).collect())
    }

    fn bytes(&self, token: u32) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], Vec::as_slice)
    }

    fn is_end(&self, token: u32) -> bool {
        token == END
    }

    fn vocabulary(&self) -> usize {
        self.bytes.len()
    }

    fn shield<'a>(&self, text: &'a str) -> Cow<'a, str> {
        Cow::Borrowed(text)
    }

    fn markers(&self) -> Markers {
        Markers::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_words_or_json_and_nothing_else() {
        assert_eq!(Script::parse("Hello big world").unwrap().tokens, ["Hello", " big", " world"]);
        let json =
            r#"{"tokens":["a"],"repeat":true,"fault":{"kind":"exit","after_tokens":3,"code":7}}"#;
        let script = Script::parse(json).unwrap();
        assert_eq!(script.fault, Some(Fault { kind: FaultKind::Exit, after_tokens: 3, code: 7 }));
        assert_eq!(script.slots, 1, "what is absent has a default");
        for bad in [r#"{"token":["a"]}"#, "{", r#"{"slots":0}"#, r#"{"slots":65}"#] {
            assert!(Script::parse(bad).is_err(), "{bad}");
        }
    }

    fn say(engine: &mut ScriptedEngine, slot: usize) -> Result<u32, EngineError> {
        let step =
            SlotStep { slot: SlotIndex(slot), tokens: &[1], position: 0, wants_logits: true };
        let logits = engine.step(&[step])?.remove(0).logits;
        Ok((0..).zip(logits).find(|(_, logit)| *logit > 0.0).unwrap().0)
    }

    #[test]
    fn every_slot_says_the_script_by_itself_and_ends() {
        let script = Script { slots: 2, ..Script::saying("a b") };
        let mut engine = ScriptedEngine::new(script);
        let said = [(0, 257), (1, 257), (0, 258), (0, END), (1, 258)];
        for (slot, token) in said {
            assert_eq!(say(&mut engine, slot), Ok(token));
        }
        engine.clear(SlotIndex(0));
        assert_eq!(say(&mut engine, 0), Ok(257));
    }

    #[test]
    fn a_fault_comes_at_its_place_and_once() {
        let fault = Some(Fault { kind: FaultKind::Error, after_tokens: 2, code: 0 });
        let mut engine = ScriptedEngine::new(Script { fault, repeat: true, ..Script::saying("a") });
        let outcomes: Vec<bool> = (0..4).map(|_| say(&mut engine, 0).is_ok()).collect();
        assert_eq!(outcomes, [true, true, false, true]);
    }
}
