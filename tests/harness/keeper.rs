//! The operator's program as a shell script runs it: no terminal, its streams
//! read by somebody.

use std::process::Stdio;

use anyhow::Context as _;
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdout},
};

use crate::{Cluster, PATIENCE};

/// How a command of the keeper went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The answer.
    pub stdout: String,
    /// Narration, warnings, errors.
    pub stderr: String,
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
}

impl Output {
    /// The one JSON document of `-o json`.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("not JSON: {self:?}"))
    }

    /// The lines of `-o ndjson`.
    pub fn json_lines(&self) -> anyhow::Result<Vec<Value>> {
        let lines = self.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>();
        lines.with_context(|| format!("not JSON lines: {self:?}"))
    }

    /// This, if it went well.
    pub fn succeeded(self) -> anyhow::Result<Self> {
        anyhow::ensure!(self.code == Some(0), "exit code {:?}: {self:#?}", self.code);
        Ok(self)
    }
}

/// A command of the keeper that runs in a process group of its own, as one
/// started from a shell does.
#[derive(Debug)]
pub struct Following {
    child: Child,
    group: Pid,
    stdout: BufReader<ChildStdout>,
    read: String,
}

impl Cluster {
    /// Runs `rbee-keeper --no-tui …` to its end.
    pub async fn keeper(&self, args: &[&str]) -> anyhow::Result<Output> {
        self.keeper_with(args, &[]).await
    }

    /// The same with more in its environment.
    pub async fn keeper_with(&self, args: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Output> {
        let mut command = self.keeper_command(args);
        command.envs(env.iter().copied());
        ended(command).await
    }

    /// The same without `--no-tui`, as a shell asks for completions.
    pub async fn keeper_bare(&self, args: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Output> {
        let mut command = self.command("rbee-keeper");
        command.args(args).envs(env.iter().copied()).stdin(Stdio::null());
        ended(command).await
    }

    /// Runs `rbee-keeper --no-tui …` with `input` as its standard input.
    pub async fn keeper_reading(&self, args: &[&str], input: &str) -> anyhow::Result<Output> {
        let file = self.paths().data_dir.join("stdin");
        std::fs::write(&file, input)?;
        let mut command = self.keeper_command(args);
        command.stdin(std::fs::File::open(&file)?);
        ended(command).await
    }

    /// Starts `rbee-keeper --no-tui …` and lets it run.
    pub fn keeper_running(&self, args: &[&str]) -> anyhow::Result<Following> {
        let mut command = tokio::process::Command::from(self.keeper_command(args));
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let group = pid.and_then(Pid::from_raw).context("it has ended at once")?;
        let stdout = BufReader::new(child.stdout.take().context("stdout is piped")?);
        Ok(Following { child, group, stdout, read: String::new() })
    }

    fn keeper_command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.command("rbee-keeper");
        command.arg("--no-tui").args(args).stdin(Stdio::null());
        command
    }
}

async fn ended(command: std::process::Command) -> anyhow::Result<Output> {
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.with_context(|| format!("{command:?} does not end"))??;
    Ok(Output {
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
        code: output.status.code(),
    })
}

impl Following {
    /// Its process.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("it has ended")
    }

    /// Reads stdout until it holds `text`.
    pub async fn until_it_says(&mut self, text: &str) -> anyhow::Result<()> {
        let read = tokio::time::timeout(PATIENCE, async {
            while !self.read.contains(text) {
                let bytes = self.stdout.fill_buf().await?;
                anyhow::ensure!(!bytes.is_empty(), "it ended");
                self.read.push_str(std::str::from_utf8(bytes)?);
                let count = bytes.len();
                self.stdout.consume(count);
            }
            Ok(())
        });
        let read = read.await.unwrap_or_else(|_| Err(anyhow::anyhow!("it does not come")));
        read.with_context(|| format!("waiting for {text:?} after {:?}", self.read))
    }

    /// Ctrl-C: the terminal signals the whole group in the foreground.
    pub fn interrupt(&self) -> anyhow::Result<()> {
        Ok(rustix::process::kill_process_group(self.group, Signal::INT)?)
    }

    /// Its end.
    pub async fn output(mut self) -> anyhow::Result<Output> {
        let mut stderr = String::new();
        let mut errors = self.child.stderr.take().context("stderr is piped")?;
        let ended = tokio::time::timeout(PATIENCE, async {
            let rest = self.stdout.read_to_string(&mut self.read);
            tokio::try_join!(rest, errors.read_to_string(&mut stderr), self.child.wait())
        });
        let (_, _, status) = ended.await.context("it does not end")??;
        Ok(Output { stdout: self.read, stderr, code: status.code() })
    }
}
