//! `worker_spawn`: from a model's name to a worker that serves it, told step
//! by step.

use std::time::{Duration, Instant};

use config::Nonce;
use daemon::jobs::{Failure, JobHandle};
use protocol::{
    ApiError, ErrorCode, WorkerId,
    fleet::{DeviceRecord, WorkerRecord, WorkerState},
    job::{JobEvent, Progress},
    operation::{Target, WorkerSpawn},
};
use serde_json::json;

use super::Hive;
use crate::{
    devices::{
        choice::{self, CUDA_WORKER, Choice, Wish},
        memory,
    },
    models::ModelFile,
    size::size,
    workers::{Admitted, History, Spec, launcher},
};

const EVENT: &str = "worker_spawn";
/// A person reads no faster, and every line is written to the job's log.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// A GPU runs several requests in one step; a processor gains little from it.
const SLOTS_CPU: u32 = 1;
const SLOTS_GPU: u32 = 4;

impl Hive {
    pub(super) async fn worker_spawn(
        &self,
        operation: WorkerSpawn,
        job: &JobHandle,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        // Until the worker is on the list of those who have the model.
        let id = WorkerId::generate();
        let claim = self.models.claim(&operation.model, &id);
        let (file, lease) = job.unless_cancelled(claim).await??;
        job.narrate(EVENT, found(&file)).await;

        let Choice { device, why } = self.choose(&operation, &file)?;
        job.narrate(EVENT, format!("device {}: {why}", choice::describe(&device))).await;
        check_threads(&operation, &device)?;

        let spec = self.spec(id, &operation, file, &device);
        let target = Target { worker_id: Some(spec.id.clone()), ..Target::default() };
        job.concerns(target).await;
        let Admitted { spec, cores, remarks } = self.workers.spawn(spec).await?;
        drop(lease);
        for remark in remarks {
            job.warn(EVENT, remark).await;
        }
        let outcome = job.unless_cancelled(self.until_ready(&spec, cores.as_deref(), job)).await;
        if let Err(Failure::Cancelled) = outcome {
            self.remove_unfinished(&spec.id, job).await;
        }
        let worker = outcome??;

        let took = began.elapsed().as_millis();
        job.emit(JobEvent::new(EVENT, ready(&worker, took)).field("elapsed_ms", took as u64)).await;
        let summary = format!("worker {} is ready on {}", worker.id, worker.device);
        job.result(summary, json!({ "worker": worker })).await;
        Ok(())
    }

    fn choose(&self, operation: &WorkerSpawn, file: &ModelFile) -> Result<Choice, ApiError> {
        let has_cuda_worker = lifecycle::locate(CUDA_WORKER).is_ok();
        let wish = Wish {
            device: operation.device.clone(),
            engine: operation.worker,
            memory_bytes: memory::estimate(
                file.bytes,
                operation.slots.unwrap_or(SLOTS_GPU),
                operation.context_length,
            ),
        };
        choice::choose(&self.devices.records(), &self.id, has_cuda_worker, &wish)
    }

    fn spec(
        &self,
        id: WorkerId,
        operation: &WorkerSpawn,
        file: ModelFile,
        device: &DeviceRecord,
    ) -> Spec {
        let is_cpu = device.id.is_cpu();
        let default_slots = if is_cpu { SLOTS_CPU } else { SLOTS_GPU };
        Spec {
            id,
            model: operation.model.clone(),
            model_bytes: file.bytes,
            device: device.id.clone(),
            device_uuid: None,
            slots: operation.slots.unwrap_or(default_slots),
            // As asked for; handed out when it is admitted.
            threads: operation.threads,
            context_length: operation.context_length,
            model_file: file.path,
            incarnation: 1,
            nonce: Nonce::fresh(),
            started_at: daemon::now(),
            history: History::default(),
        }
    }

    /// Tells what the worker does until it serves, or fails with the reason.
    async fn until_ready(
        &self,
        spec: &Spec,
        cores: Option<&str>,
        job: &JobHandle,
    ) -> Result<WorkerRecord, Failure> {
        let mut seen: Option<WorkerRecord> = None;
        let mut is_started = false;
        let mut told = Told::default();
        loop {
            let Some(worker) = self.workers.changed(&spec.id, seen.as_ref()).await else {
                let message = format!("worker {} was deleted before it was ready", spec.id);
                return Err(ApiError::new(ErrorCode::Conflict, message).into());
            };
            if let Some(pid) = worker.pid.filter(|_| !is_started) {
                is_started = true;
                job.emit(started(spec, cores, &worker, pid)).await;
            }
            match worker.state {
                WorkerState::Ready | WorkerState::Busy => return Ok(worker),
                WorkerState::Failed | WorkerState::Stopped => {
                    return Err(failed(&worker).into());
                }
                // One that served and fell before this task saw it comes
                // back by itself.
                WorkerState::Starting
                | WorkerState::Loading
                | WorkerState::Draining
                | WorkerState::BackingOff => {}
            }
            if let Some(event) = told.progress(worker.progress.as_ref(), Instant::now()) {
                job.emit(event).await;
            }
            seen = Some(worker);
        }
    }

    /// Nobody waits for the worker any more.
    async fn remove_unfinished(&self, id: &WorkerId, job: &JobHandle) {
        let Ok(worker) = self.workers.get(id) else { return };
        job.narrate(EVENT, format!("cancelled; stopping {id} and removing it")).await;
        if self.workers.tell_to_leave(id, false).await.is_ok() {
            self.workers.departure(worker).await;
        }
    }
}

/// What was last said of the progress.
#[derive(Default)]
struct Told {
    last: Option<(Instant, Progress)>,
}

impl Told {
    /// The line for it, unless one was said a moment ago.
    fn progress(&mut self, progress: Option<&Progress>, now: Instant) -> Option<JobEvent> {
        let progress = progress?;
        let is_due = self.last.as_ref().is_none_or(|(at, last)| {
            last != progress && now.saturating_duration_since(*at) >= PROGRESS_INTERVAL
        });
        if !is_due {
            return None;
        }
        self.last = Some((now, progress.clone()));
        // How far is in the progress, which every reader puts in its own words.
        let event = JobEvent::new(JobEvent::PROGRESS, "loading the model");
        Some(event.field("progress", serde_json::to_value(progress).unwrap_or_default()))
    }
}

/// What a worker on a GPU does on the processor is not worth a budget.
fn check_threads(operation: &WorkerSpawn, device: &DeviceRecord) -> Result<(), ApiError> {
    if operation.threads.is_none() || device.id.is_cpu() {
        return Ok(());
    }
    let message = format!("field `threads` is for CPU-0; this worker goes to {}", device.id);
    Err(ApiError::new(ErrorCode::InvalidField, message)
        .with_hint("leave `threads` out, or pass the device CPU-0"))
}

fn found(file: &ModelFile) -> String {
    format!("the model is {}, {}", file.path.display(), size(file.bytes))
}

fn started(spec: &Spec, cores: Option<&str>, worker: &WorkerRecord, pid: u32) -> JobEvent {
    let program = launcher::program(&spec.device);
    let with = cores.map(|cores| format!(", {cores}")).unwrap_or_default();
    let slots = slots(spec.slots);
    let message = format!("started {} as {program}, pid {pid}: {slots}{with}", spec.id);
    JobEvent::new(EVENT, message)
        .field("worker_id", spec.id.to_string())
        .field("pid", pid)
        .field("log_file", worker.log_file.clone().unwrap_or_default())
}

fn ready(worker: &WorkerRecord, took_ms: u128) -> String {
    let mut facts = vec![slots(worker.slots_total.unwrap_or_default())];
    facts.extend(worker.context_length.map(|tokens| format!("a context of {tokens} tokens")));
    facts.extend(worker.memory_bytes.map(size));
    let url = worker.url.as_deref().unwrap_or_default();
    format!("{} is ready after {took_ms} ms at {url}: {}", worker.id, facts.join(", "))
}

fn slots(count: u32) -> String {
    if count == 1 { "1 slot".to_owned() } else { format!("{count} slots") }
}

fn failed(worker: &WorkerRecord) -> ApiError {
    let exit = worker.last_exit.as_ref();
    let reason = exit.map_or("ended", |exit| exit.reason.as_str());
    let mut message = format!("worker {} {reason} before it was ready", worker.id);
    if let Some(last) = exit.and_then(|exit| exit.log_tail.last()) {
        message.push_str(&format!("; its log ends: {last}"));
    }
    let error = ApiError::new(ErrorCode::SpawnFailed, message);
    match &worker.log_file {
        Some(log_file) => error.with_hint(format!("the whole log is {log_file}")),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use protocol::fleet::ExitRecord;

    use super::*;
    use crate::workers::launcher::tests::{launcher, spec};

    fn worker() -> WorkerRecord {
        launcher(std::path::Path::new("/r")).record(&spec())
    }

    #[test]
    fn a_worker_that_dies_on_the_way_is_explained_by_its_exit_and_its_last_line() {
        let exit = ExitRecord {
            at: daemon::now(),
            code: None,
            signal: Some(9),
            reason: "was killed by signal 9 (SIGKILL)".to_owned(),
            log_tail: vec!["reading".to_owned(), "out of memory".to_owned()],
        };
        let error = failed(&WorkerRecord { last_exit: Some(exit), ..worker() });
        assert_eq!(error.code, ErrorCode::SpawnFailed);
        assert_eq!(
            error.message,
            "worker wk-1 was killed by signal 9 (SIGKILL) before it was ready; its log ends: out of memory"
        );
        assert!(error.hint.unwrap().ends_with("/hive/workers/wk-1/worker.log"));
    }

    #[test]
    fn progress_is_told_at_most_four_times_a_second_and_never_twice() {
        let at = |done| Progress {
            done,
            total: Some(200),
            unit: "bytes".to_owned(),
            rate: None,
            eta_s: None,
        };
        let began = Instant::now();
        let ms = |ms| began + Duration::from_millis(ms);
        let mut told = Told::default();
        assert!(told.progress(None, ms(0)).is_none());
        let event = told.progress(Some(&at(50)), ms(0)).unwrap();
        assert_eq!((event.message.as_str(), event.progress()), ("loading the model", Some(at(50))));
        assert!(told.progress(Some(&at(60)), ms(100)).is_none());
        assert!(told.progress(Some(&at(50)), ms(900)).is_none());
        assert!(told.progress(Some(&at(60)), ms(900)).is_some());
    }

    #[test]
    fn the_last_line_says_what_the_worker_has() {
        let worker = WorkerRecord {
            url: Some("http://127.0.0.1:9300".to_owned()),
            context_length: Some(256),
            memory_bytes: Some(45 * 1024 * 1024),
            ..worker()
        };
        assert_eq!(
            ready(&worker, 312),
            "wk-1 is ready after 312 ms at http://127.0.0.1:9300: 2 slots, a context of 256 tokens, 45 MiB"
        );
    }
}
