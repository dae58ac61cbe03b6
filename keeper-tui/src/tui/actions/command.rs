//! The command line that does the same as what was done here.

use std::fmt::Write as _;

use protocol::operation::{
    DeviceSelector, EngineKind, HiveOperation, Infer, Operation, QueenOperation,
};

use super::{Step, Target, Verb};
use crate::{cli::args::shell_word, tui::state::Model};

/// The command line for doing `verb` with all of `targets`, quoted for the
/// shell.
pub(crate) fn command_line(model: &Model, verb: Verb, targets: &[Target]) -> String {
    let mut cancelled = String::new();
    let mut lines = Vec::new();
    // What is not done is not in the line, unless nothing is.
    let able = |target: &&Target| super::available(model, verb, target).is_ok();
    let is_any = targets.iter().any(|target| able(&target));
    for target in targets.iter().filter(|target| !is_any || able(target)) {
        let steps = super::steps(model, verb, target).unwrap_or_default();
        for step in &steps {
            match step {
                Step::Cancel(job) => {
                    let _ = write!(cancelled, " {}", shell_word(job.as_str()));
                }
                Step::Submit(operation) => lines.push(operation_line(&model.program, operation)),
                Step::Again(job) => {
                    lines.push(format!("{} job retry {}", model.program, shell_word(job.as_str())));
                }
            }
        }
        if steps.is_empty() {
            lines.push(by_hand(model, verb, target));
        }
    }
    if !cancelled.is_empty() {
        lines.insert(0, format!("{} job cancel{cancelled}", model.program));
    }
    lines.join(" && ")
}

/// What is done on the screen, or needs to be told more.
fn by_hand(model: &Model, verb: Verb, target: &Target) -> String {
    let program = &model.program;
    let id = shell_word(target.id());
    match (verb, target) {
        (Verb::Ask, Target::Worker(worker)) => {
            let name = model.fleet.workers.get(worker).map_or("MODEL", |it| it.model.as_str());
            format!("{program} infer --model {} --worker-id {id} PROMPT", shell_word(name))
        }
        (Verb::Ask, Target::Model(hive, _)) => {
            format!("{program} infer --model {id} --hive {} PROMPT", shell_word(hive.as_str()))
        }
        (Verb::Logs, _) => format!("{program} worker logs {id}"),
        (Verb::Attach, _) => format!("{program} job attach {id}"),
        (Verb::Spawn, Target::Device(hive, _)) => {
            let hive = shell_word(hive.as_str());
            format!("{program} worker spawn --model MODEL --hive {hive} --device {id}")
        }
        (Verb::Spawn, Target::Model(hive, _)) => {
            format!("{program} worker spawn --model {id} --hive {}", shell_word(hive.as_str()))
        }
        (Verb::Spawn, _) => format!("{program} worker spawn --model MODEL --hive {id}"),
        (Verb::Download, _) => format!("{program} model download MODEL --hive {id}"),
        // Only a queen of this machine can be started, so no address is named.
        (Verb::StartQueen, _) => "rbee-keeper queen start".to_owned(),
        (Verb::StopQueen, _) => format!("{program} queen stop"),
        _ => program.clone(),
    }
}

/// The command line for one operation.
pub(crate) fn operation_line(program: &str, operation: &Operation) -> String {
    let mut line = program.to_owned();
    match operation {
        Operation::Queen(operation) => queen(&mut line, operation),
        Operation::Hive(operation) => hive(&mut line, operation),
    }
    line
}

fn word(line: &mut String, text: &str) {
    line.push(' ');
    line.push_str(&shell_word(text));
}

fn flag(line: &mut String, name: &str, value: Option<impl ToString>) {
    if let Some(value) = value {
        let _ = write!(line, " --{name}");
        word(line, &value.to_string());
    }
}

fn queen(line: &mut String, operation: &QueenOperation) {
    let (mut ssh, mut host_key) = (None, None);
    let (verb, alias) = match operation {
        QueenOperation::Infer(it) => return infer(line, it),
        QueenOperation::Status(_) => return line.push_str(" status"),
        QueenOperation::HiveList(_) => return line.push_str(" hive list"),
        QueenOperation::HiveStart(it) => ("start", &it.alias),
        QueenOperation::HiveStop(it) => ("stop", &it.alias),
        QueenOperation::HiveGet(it) => ("get", &it.alias),
        QueenOperation::HiveStatus(it) => ("status", &it.alias),
        QueenOperation::HiveRefreshCapabilities(it) => ("refresh", &it.alias),
        QueenOperation::SshTest(it) => ("test", &it.alias),
        QueenOperation::HiveInstall(it) => {
            (ssh, host_key) = (it.ssh.as_ref(), it.host_key.as_ref());
            ("install", &it.alias)
        }
        QueenOperation::HiveUninstall(it) => ("uninstall", &it.alias),
        QueenOperation::HiveUpdate(it) => ("update", &it.alias),
    };
    let _ = write!(line, " hive {verb}");
    word(line, alias.as_str());
    flag(line, "ssh", ssh);
    flag(line, "host-key", host_key);
}

fn infer(line: &mut String, infer: &Infer) {
    line.push_str(" infer");
    let messages = infer.messages.as_deref().unwrap_or_default();
    let prompt = infer.prompt.as_deref().or(messages.last().map(|it| it.content.as_str()));
    flag(line, "model", Some(&infer.model));
    flag(line, "hive", infer.hive_id.as_ref());
    flag(line, "worker-id", infer.worker_id.as_ref());
    flag(line, "device", infer.device.as_ref());
    flag(line, "max-tokens", Some(infer.max_tokens));
    flag(line, "temperature", Some(infer.temperature));
    flag(line, "top-p", infer.top_p);
    flag(line, "top-k", infer.top_k);
    flag(line, "min-p", infer.min_p);
    flag(line, "repetition-penalty", infer.repetition_penalty);
    flag(line, "seed", infer.seed);
    infer.stop.iter().for_each(|stop| flag(line, "stop", Some(stop)));
    if infer.messages.is_some() {
        line.push_str(" --chat");
    }
    if !infer.stream {
        line.push_str(" --no-stream");
    }
    // A prompt may begin like a flag.
    line.push_str(" --");
    word(line, prompt.unwrap_or_default());
}

fn hive(line: &mut String, operation: &HiveOperation) {
    match operation {
        HiveOperation::WorkerSpawn(it) => {
            line.push_str(" worker spawn");
            flag(line, "model", Some(&it.model));
            flag(line, "hive", Some(&it.hive_id));
            let device = it.device.as_ref().map(|device| match device {
                DeviceSelector::Id(id) => id.to_string(),
                DeviceSelector::Index(index) => index.to_string(),
            });
            flag(line, "device", device);
            let engine = it.worker.map(|engine| match engine {
                EngineKind::Cpu => "cpu",
                EngineKind::Cuda => "cuda",
                EngineKind::Metal => "metal",
            });
            flag(line, "worker", engine);
            flag(line, "slots", it.slots);
            flag(line, "threads", it.threads);
            flag(line, "context-length", it.context_length);
        }
        HiveOperation::WorkerList(it) => {
            line.push_str(" worker list");
            flag(line, "hive", it.hive_id.as_ref());
        }
        HiveOperation::WorkerGet(it) => {
            line.push_str(" worker get");
            word(line, it.worker_id.as_str());
        }
        HiveOperation::WorkerDelete(it) => {
            line.push_str(" worker delete");
            word(line, it.worker_id.as_str());
            flag(line, "confirm", Some(&it.worker_id));
        }
        HiveOperation::ModelDownload(it) => {
            line.push_str(" model download");
            word(line, it.model.as_str());
            flag(line, "hive", Some(&it.hive_id));
            flag(line, "revision", it.revision.as_ref());
        }
        HiveOperation::ModelList(it) => {
            line.push_str(" model list");
            flag(line, "hive", it.hive_id.as_ref());
        }
        HiveOperation::ModelGet(it) => {
            line.push_str(" model get");
            word(line, it.id.as_str());
            flag(line, "hive", Some(&it.hive_id));
        }
        HiveOperation::ModelDelete(it) => {
            line.push_str(" model delete");
            word(line, it.id.as_str());
            flag(line, "hive", Some(&it.hive_id));
            flag(line, "confirm", Some(&it.id));
        }
    }
}
