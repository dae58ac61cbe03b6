//! `ssh_test`: everything that a hive on a machine will need, tried one after
//! the other, each step told with its time.

use std::time::{Duration, Instant};

use client::Daemon;
use config::SshTarget;
use daemon::jobs::{Failure, JobHandle};
use lifecycle::ssh::{Connection, HostKey, Pulse, SshError, SshFault, argv::Forward};
use protocol::{ApiError, ErrorCode, HiveId, fleet::HiveRecord, job::JobEvent, operation::SshTest};
use serde_json::{Value, json};

use super::{
    Machines,
    facts::{Facts, is_plain_path},
    heartbeats,
    scripts::{self, BRIEF},
    ssh_error, tunnel,
};

/// A machine that has been looked at; the connection lasts as long as this.
pub(super) struct Checked {
    pub(super) connection: Connection,
    pub(super) facts: Facts,
    steps: Vec<Value>,
    _pulse: Pulse,
    _sockets: tempfile::TempDir,
}

/// One step: said when it is done, and kept for the result.
struct Steps<'a> {
    job: &'a JobHandle,
    done: Vec<Value>,
}

impl Steps<'_> {
    async fn done(&mut self, step: &str, began: Instant, detail: impl Into<String>) {
        let (ms, detail) = (began.elapsed().as_millis() as u64, detail.into());
        let message = format!("{step}: {detail} ({ms} ms)");
        self.job.emit(JobEvent::new("preflight", message).field("step", step)).await;
        self.done.push(json!({"step": step, "ms": ms, "detail": detail}));
    }
}

impl Machines {
    /// Whether a machine can be used; of one that is installed also whether it
    /// is well.
    pub async fn test(&self, it: SshTest, job: &JobHandle) -> Result<(), Failure> {
        let id = &it.alias;
        let target = self.target(id, it.ssh.as_deref())?;
        let checked = self.check(id, &target, it.host_key.as_deref(), job).await?;
        let mut problems = Vec::new();
        if self.shared.store.get(id).is_some() {
            problems = self.diagnose(id, &checked.facts, job).await;
        } else {
            let port = target.hive_port.map(|port| port.get());
            let found = self.programs(id, None).await;
            match found.map(|programs| checked.facts.obstacle(&programs.wanted(port))) {
                Ok(None) => {}
                Ok(Some(error)) | Err(error) => problems.push(error.one_line()),
            }
        }
        for problem in &problems {
            job.warn("preflight", problem.clone()).await;
        }
        let result = json!({
            "alias": id, "target": target, "steps": checked.steps, "facts": checked.facts,
            "problems": problems,
        });
        let summary = match problems.as_slice() {
            [] => format!("'{id}' ({target}) can be used"),
            [one] => format!("'{id}' ({target}): {one}"),
            many => format!("'{id}' ({target}) has {} problems", many.len()),
        };
        job.result(summary, result).await;
        Ok(())
    }

    /// What is wrong with a hive that is installed.
    async fn diagnose(&self, id: &HiveId, facts: &Facts, job: &JobHandle) -> Vec<String> {
        let mut problems = Vec::new();
        let ours = daemon::build::VERSION;
        match &facts.hive {
            None => problems.push(format!("its programs are gone (rbee-keeper hive install {id})")),
            Some(hive) if !hive.running => {
                problems.push(format!("its hive does not run (rbee-keeper hive start {id})"));
            }
            Some(hive) => {
                let version = hive.version.as_deref().unwrap_or("unknown");
                job.narrate("preflight", format!("hive: runs, version {version}")).await;
                if version != ours {
                    problems.push(format!(
                        "its hive is {version} and the queen is {ours} (rbee-keeper hive update {id})"
                    ));
                }
            }
        }
        if let Some(tunnel) = self.tunnel(id) {
            tunnel.hurry();
        }
        let record: Option<HiveRecord> = self.shared.hives.record(id).ok();
        match record.and_then(|record| record.link) {
            Some(link) => {
                let trip = link.round_trip_ms.map(|ms| format!(", {ms} ms there and back"));
                let state = format!("link: {}{}", link.state.as_str(), trip.unwrap_or_default());
                job.narrate("preflight", state).await;
                problems.extend(link.reason.map(|reason| format!("its link is down: {reason}")));
            }
            None => problems.push("the queen keeps no link to it".to_owned()),
        }
        problems
    }

    /// Connects, looks, and tries the tunnel both ways.
    pub(super) async fn check(
        &self,
        id: &HiveId,
        target: &SshTarget,
        host_key: Option<&str>,
        job: &JobHandle,
    ) -> Result<Checked, Failure> {
        let sockets = tunnel::sockets()?;
        let mut steps = Steps { job, done: Vec::new() };
        let began = Instant::now();
        let opened = open(id, target, host_key, sockets.path(), job);
        let (connection, mut pulse) = job.unless_cancelled(opened).await??;
        steps.done("login", began, target.to_string()).await;

        let began = Instant::now();
        let beat = pulse.beat().await.map_err(|error| ssh_error(id, error))?;
        steps.done("echo", began, format!("{:.1} ms", beat.as_secs_f64() * 1000.0)).await;

        let began = Instant::now();
        let port = target.hive_port.map_or(protocol::routes::HIVE_PORT, |port| port.get());
        let port = format!("{port:04X}");
        let args = [port.as_str()];
        let look = connection.run(scripts::FACTS, &args, BRIEF);
        let reply = job.unless_cancelled(look).await?.map_err(|error| ssh_error(id, error))?;
        let facts = Facts::read(&reply, daemon::now().as_second());
        steps.done("system", began, describe(&facts)).await;
        for remark in facts.remarks() {
            job.narrate("preflight", remark).await;
        }

        let began = Instant::now();
        let both_ways = self.both_ways(id, &connection, sockets.path());
        job.unless_cancelled(both_ways).await??;
        steps.done("tunnel", began, "there and back").await;
        Ok(Checked { connection, facts, steps: steps.done, _pulse: pulse, _sockets: sockets })
    }

    /// From a socket here to one there, and from that back to a port here, in
    /// one request.
    async fn both_ways(
        &self,
        id: &HiveId,
        connection: &Connection,
        sockets: &std::path::Path,
    ) -> Result<(), ApiError> {
        let failed = |error: SshError| ssh_error(id, error);
        let token = secrecy::SecretString::from(uuid::Uuid::new_v4().to_string());
        let here = heartbeats::listen(id.clone(), self.shared.fleet.clone(), &token).await?;
        let reply = connection.run(scripts::LOOP, &[], BRIEF).await.map_err(failed)?;
        let folder = reply.raw("dir").filter(|dir| is_plain_path(dir)).ok_or_else(|| {
            ApiError::new(ErrorCode::PreflightFailed, "its folder for temporary files is no path")
                .with_hint("its TMPDIR must be an absolute path of letters and digits")
        })?;
        let there = format!("{folder}/socket");
        let socket = sockets.join("loop");
        let port = here.local_addr().port();
        let tried = async {
            connection.forward(&Forward::FromSocket { there: there.clone(), port }).await?;
            connection.forward(&Forward::ToSocket { socket: socket.clone(), there }).await
        };
        let mut answered = tried.await.map_err(failed);
        if answered.is_ok() {
            let through = Daemon::new("http://127.0.0.1").map(|it| it.through_socket(&socket));
            answered = match through {
                Ok(daemon) => daemon.health().await.map(drop),
                Err(error) => Err(error),
            }
            .map_err(|error| {
                ApiError::new(
                    ErrorCode::PreflightFailed,
                    format!("'{id}': nothing comes back through the tunnel: {}", error.one_line()),
                )
                .with_hint("its sshd must allow AllowTcpForwarding and AllowStreamLocalForwarding")
            });
        }
        // Left behind it would do no harm; it is in the folder for such things.
        let _ = connection.run(scripts::UNLOOP, &[folder], BRIEF).await;
        here.close(Duration::ZERO).await;
        answered
    }
}

/// Logs in. The key of a machine that is not known yet is shown, and noted
/// when the operation names its fingerprint.
async fn open(
    id: &HiveId,
    target: &SshTarget,
    host_key: Option<&str>,
    dir: &std::path::Path,
    job: &JobHandle,
) -> Result<(Connection, Pulse), ApiError> {
    let unknown = match Connection::open(target, dir).await {
        Ok(opened) => return Ok(opened),
        Err(error) if error.fault == SshFault::UnknownHostKey => error,
        Err(error) => return Err(ssh_error(id, error)),
    };
    let key = HostKey::look(target, dir).await.map_err(|error| ssh_error(id, error))?;
    let Some(fingerprint) = host_key else {
        let message = format!("{}; it shows {} {}", unknown.message, key.kind, key.fingerprint);
        return Err(ApiError::new(ErrorCode::HostKeyUnknown, message)
            .with_hint(format!("if that is its key, add: --host-key {}", key.fingerprint)));
    };
    let file = key.accept(target, fingerprint).await.map_err(|error| ssh_error(id, error))?;
    let noted = format!("noted the {} key {} in {}", key.kind, key.fingerprint, file.display());
    job.narrate("host_key", noted).await;
    Connection::open(target, dir).await.map_err(|error| ssh_error(id, error))
}

fn describe(facts: &Facts) -> String {
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    let disk = facts.disk_free_bytes.map(|free| format!("{} GiB free", free >> 30));
    let clock = facts.clock_seconds.map(|seconds| format!("clock {seconds:+} s"));
    [
        format!("{} {}", known(&facts.os), known(&facts.arch)),
        known(&facts.libc),
        disk.unwrap_or_else(|| "disk unknown".to_owned()),
        facts.gpu_driver.clone().unwrap_or_else(|| "no GPU driver".to_owned()),
        clock.unwrap_or_else(|| "clock unknown".to_owned()),
        if facts.has_systemd { "systemd".to_owned() } else { "no user systemd".to_owned() },
    ]
    .join(", ")
}
