//! What the scripted worker says. A script is a model: a test spawns a worker
//! with it, and asks for it by its path.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::{Value, json};

/// A script in a file.
#[derive(Debug, Clone)]
pub struct Script {
    path: PathBuf,
}

impl Script {
    /// It is called a model, because that is what a hive takes for one.
    pub(crate) fn write(dir: &Path, name: &str, script: &Value) -> anyhow::Result<Self> {
        let path = dir.join(format!("{name}.gguf"));
        fs::write(&path, script.to_string())
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path })
    }

    /// Words that end by themselves, as fast as they can be said.
    pub fn words(text: &str) -> Value {
        json!({ "tokens": text.split_inclusive(' ').collect::<Vec<_>>() })
    }

    /// Numbered words that never end, one every `delay_ms`.
    pub fn endless(delay_ms: u64) -> Value {
        let tokens: Vec<String> = (0..1000).map(|n| format!("w{n} ")).collect();
        json!({
            "tokens": tokens, "repeat": true, "delay_ms": delay_ms, "context_length": 1_000_000
        })
    }

    /// What `endless` says in its first `count` tokens.
    pub fn endless_text(count: usize) -> String {
        (0..count).map(|n| format!("w{} ", n % 1000)).collect()
    }

    /// The model's name.
    pub fn model(&self) -> String {
        self.path.display().to_string()
    }

    /// Gives its workers a helper process of their own, which ignores SIGTERM.
    pub fn with_helper(self) -> anyhow::Result<Self> {
        fs::write(self.path.with_extension("helper"), "")?;
        Ok(self)
    }

    /// Says something else from the next start of a worker on.
    pub fn rewrite(&self, script: &Value) -> anyhow::Result<()> {
        Ok(fs::write(&self.path, script.to_string())?)
    }

    /// How many tokens its workers have computed, read by anybody or not.
    pub fn said(&self) -> u64 {
        fs::metadata(self.path.with_extension("said")).map_or(0, |it| it.len())
    }
}
