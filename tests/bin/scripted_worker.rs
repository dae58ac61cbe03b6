//! The real worker program around an engine without a model.
//!
//! Its "model file" is a script (see `worker::engine::scripted`), so a test
//! chooses what a worker says, how fast and how it breaks by the model it asks
//! for. Every token that is computed, whether or not anybody reads it, is one
//! byte more in the file `<script>.said`. Where there is a file
//! `<script>.helper`, the worker has a helper process that nobody asks nicely.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    process::{Command, ExitCode},
};

use worker::{
    engine::{Engine, EngineError, ModelInfo, SlotIndex, SlotStep, StepOutput, scripted::Script},
    load::{LoadOptions, Loaded},
    program,
};

fn main() -> ExitCode {
    program::main(|options, _progress| load(options))
}

fn load(options: &LoadOptions) -> Result<Loaded, String> {
    let path = options.path.display();
    let text = fs::read_to_string(&options.path).map_err(|error| format!("{path}: {error}"))?;
    let script = Script::parse(&text).map_err(|error| format!("{path}: {error}"))?;
    if options.path.with_extension("helper").exists() {
        let helper = "trap '' TERM; while :; do sleep 1; done";
        let started = Command::new("sh").args(["-c", helper]).spawn();
        started.map_err(|error| format!("cannot start a helper: {error}"))?;
    }
    let loaded = Script { slots: options.slots, ..script }.load();
    let said = OpenOptions::new()
        .create(true)
        .append(true)
        .open(options.path.with_extension("said"))
        .map_err(|error| format!("{path}: {error}"))?;
    Ok(Loaded { engine: Box::new(Counted { engine: loaded.engine, said }), ..loaded })
}

/// An engine that writes down how much it computed.
struct Counted {
    engine: Box<dyn Engine>,
    said: File,
}

impl Engine for Counted {
    fn info(&self) -> &ModelInfo {
        self.engine.info()
    }

    fn slots(&self) -> usize {
        self.engine.slots()
    }

    fn chunk_tokens(&self) -> usize {
        self.engine.chunk_tokens()
    }

    fn step(&mut self, work: &[SlotStep<'_>]) -> Result<Vec<StepOutput>, EngineError> {
        let outputs = self.engine.step(work)?;
        let written = self.said.write_all(&vec![b'.'; outputs.len()]);
        written.map_err(|error| EngineError::Failed(format!("cannot count: {error}")))?;
        Ok(outputs)
    }

    fn clear(&mut self, slot: SlotIndex) {
        self.engine.clear(slot);
    }
}
