//! Putting a hive on a machine, replacing it, taking it away.
//!
//! ```text
//! check ─▶ programs ─▶ do they run there? ─▶ the link says which build counts ─▶ start ─▶ its feed is live
//!                                                  ▲ back to the one before, if this one does not start
//! ```
//!
//! Every step looks first whether it is done already, so an installation that
//! was interrupted anywhere is taken up by running it again.

use std::time::{Duration, Instant};

use config::SshTarget;
use daemon::jobs::{Failure, JobHandle};
use lifecycle::ssh::{Connection, Reply, Script, SshError, Upload};
use protocol::{
    ApiError, ErrorCode, HiveId,
    fleet::HiveRecord,
    job::{JobEvent, Progress},
    model::{ModelRecord, ModelSource, ModelState},
    operation::{HiveInstall, HiveOperation, HiveUninstall, HiveUpdate, ModelDelete, ModelList},
};
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::sync::watch;

use super::{
    Machines,
    programs::{Program, Programs, Source},
    scripts::{self, BRIEF, LONG},
    ssh_error,
    store::Machine,
    tunnel::Tunnel,
};
use crate::hives;

/// Progress is told this often.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// What a purge does to a model.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Goes,
    /// The hub's cache is everybody's: what another tool put there, or the
    /// user, is theirs.
    Stays,
    /// It goes with the hive's own folder, or is not there.
    IsNone,
}

fn fate(model: &ModelRecord) -> Fate {
    match (model.source, model.state) {
        (ModelSource::Demo, _) | (_, ModelState::Available) => Fate::IsNone,
        // Only a download from here has asked for a revision.
        (ModelSource::Hub, _) if model.revision.is_some() => Fate::Goes,
        (ModelSource::Hub | ModelSource::File, _) => Fate::Stays,
    }
}

/// A build that lies there and is not used yet.
struct Staged {
    build: String,
    version: String,
    /// The build that counts now, and its version.
    old: Option<(String, String)>,
}

impl Machines {
    /// `hive_install`
    pub async fn install(&self, it: HiveInstall, job: &JobHandle) -> Result<(), Failure> {
        let id = &it.alias;
        let _alone = self.alone(id, job).await?;
        let target = self.target(id, it.ssh.as_deref())?;
        let programs = self.programs(id, it.binary_path.as_deref()).await?;
        self.shared.fleet.hive_at(id, &target.to_string());
        let outcome = self.put_there(id, &target, &programs, it.host_key.as_deref(), job).await;
        let hive = match outcome {
            Ok(hive) => hive,
            Err(failure) => {
                self.after_failure(id);
                return Err(failure);
            }
        };
        let summary = format!("hive '{id}' is installed and ready");
        job.result(summary, json!({ "hive": hive })).await;
        Ok(())
    }

    /// What a failed installation leaves: nothing of a machine where nothing
    /// was put, and else the word that it is unfinished.
    fn after_failure(&self, id: &HiveId) {
        match self.shared.store.get(id) {
            Some(machine) if machine.installed_at.is_none() => {
                self.shared.fleet.hive_out_of_reach(id, super::UNFINISHED);
            }
            Some(_) => {}
            None if self.shared.configured.contains_key(id) => self.shared.hives.not_installed(id),
            None => self.shared.hives.forget(id),
        }
    }

    async fn put_there(
        &self,
        id: &HiveId,
        target: &SshTarget,
        programs: &Programs,
        host_key: Option<&str>,
        job: &JobHandle,
    ) -> Result<HiveRecord, Failure> {
        let checked = self.check(id, target, host_key, job).await?;
        let port = target.hive_port.map(|port| port.get());
        if let Some(obstacle) = checked.facts.obstacle(&programs.wanted(port)) {
            return Err(
                ApiError { message: format!("'{id}': {}", obstacle.message), ..obstacle }.into()
            );
        }
        let before = self.shared.store.get(id).and_then(|machine| machine.installed_at);
        self.shared.store.put(id, &Machine { target: target.clone(), installed_at: before })?;
        let connection = &checked.connection;
        let staged = self.stage(id, connection, programs, job).await?;
        self.switch(id, connection, &staged, port, job).await?;
        let installed_at = Some(daemon::now());
        self.shared.store.put(id, &Machine { target: target.clone(), installed_at })?;
        let tunnel = match self.tunnel(id).filter(|tunnel| tunnel.target() == target) {
            Some(tunnel) => tunnel,
            None => self.connect(id, target.clone(), self.shared.store.token(id)?, true)?,
        };
        let hive = self.live(id, &tunnel, job).await?;
        self.tidy(connection, &staged).await;
        Ok(hive)
    }

    /// `hive_update`
    pub async fn update(&self, it: HiveUpdate, job: &JobHandle) -> Result<(), Failure> {
        let id = &it.alias;
        let _alone = self.alone(id, job).await?;
        let tunnel = self.installed(id)?;
        let programs = self.programs(id, it.binary_path.as_deref()).await?;
        let connection = job.unless_cancelled(tunnel.connection()).await??;
        let staged = self.stage(id, &connection, &programs, job).await?;
        if let Some((old, old_version)) = &staged.old {
            if *old == staged.build {
                job.narrate("hive_update", "this build is there already").await;
            }
            let is_older = version(&staged.version) < version(old_version);
            if is_older && !it.allow_downgrade {
                self.tidy_to(&connection, old).await;
                return Err(ApiError::new(
                    ErrorCode::Conflict,
                    format!("'{id}' has {old_version}, and {} is older", staged.version),
                )
                .with_hint("--allow-downgrade replaces it all the same")
                .into());
            }
        }
        let port = tunnel.target().hive_port.map(|port| port.get());
        self.switch(id, &connection, &staged, port, job).await?;
        let hive = self.live(id, &tunnel, job).await?;
        self.tidy(&connection, &staged).await;
        let summary = match &staged.old {
            Some((_, old)) if *old != staged.version => {
                format!("hive '{id}' is {} now; it was {old}", staged.version)
            }
            _ => format!("hive '{id}' is {} now", staged.version),
        };
        job.result(summary, json!({ "hive": hive })).await;
        Ok(())
    }

    /// `hive_uninstall`
    pub async fn uninstall(&self, it: HiveUninstall, job: &JobHandle) -> Result<(), Failure> {
        let id = &it.alias;
        let _alone = self.alone(id, job).await?;
        if !it.forget {
            self.remove_there(id, it.purge, job).await?;
        }
        if let Some(tunnel) = self.tunnels().remove(id) {
            tunnel.close();
        }
        self.shared.store.remove(id)?;
        if self.shared.configured.contains_key(id) {
            self.shared.hives.not_installed(id);
            self.shared.fleet.hive_link(id, None);
        } else {
            self.shared.hives.forget(id);
        }
        let summary = match it.forget {
            true => format!("'{id}' is forgotten; what is on it is left there"),
            false => format!("rbee is gone from '{id}'"),
        };
        let result = json!({ "alias": id, "purged": it.purge, "forgotten": it.forget });
        job.result(summary, result).await;
        Ok(())
    }

    async fn remove_there(&self, id: &HiveId, purge: bool, job: &JobHandle) -> Result<(), Failure> {
        if purge {
            self.purge_models(id, job).await?;
        }
        // An installation that came to no end has no tunnel.
        let target = self.target(id, None)?;
        let checked =
            self.check(id, &target, None, job).await.map_err(|failure| match failure {
                Failure::Error(error) if error.code == ErrorCode::HiveUnreachable => {
                    let way_out = "a machine that is gone for good is forgotten with --forget";
                    let hint = error.hint.clone().map(|hint| format!("{hint}; {way_out}"));
                    error.with_hint(hint.unwrap_or_else(|| way_out.to_owned())).into()
                }
                failure => failure,
            })?;
        self.stop_there(id, &checked.connection, "stop", job).await?;
        let purge = if purge { "yes" } else { "no" };
        self.script(id, &checked.connection, scripts::REMOVE, &[purge], LONG, job).await?;
        job.narrate("hive_uninstall", "removed the programs and everything they wrote").await;
        Ok(())
    }

    /// The models that the hive knows go by its own hand, which knows its
    /// cache and whether anybody uses them.
    async fn purge_models(&self, id: &HiveId, job: &JobHandle) -> Result<(), Failure> {
        let hive = self.shared.hives.link(id).map_err(|error| {
            let hint =
                format!("start it first (rbee-keeper hive start {id}), or leave out --purge");
            error.with_hint(hint)
        })?;
        let list = HiveOperation::ModelList(ModelList { hive_id: Some(id.clone()) });
        for model in hives::list(&*hive, list, "models", job).await? {
            let Ok(model) = serde_json::from_value::<ModelRecord>(model) else { continue };
            match fate(&model) {
                Fate::Goes => {
                    let delete = ModelDelete { hive_id: id.clone(), id: model.id };
                    hive.run(HiveOperation::ModelDelete(delete), job).await?;
                }
                Fate::Stays => {
                    let message = format!("{} stays: rbee did not download it", model.id);
                    job.narrate("hive_uninstall", message).await;
                }
                Fate::IsNone => {}
            }
        }
        Ok(())
    }

    /// Looks for the programs for a machine and reads them, which is the
    /// disk's time.
    pub(super) async fn programs(
        &self,
        id: &HiveId,
        named: Option<&str>,
    ) -> Result<Programs, ApiError> {
        let configured = self.shared.configured.get(id);
        let configured = configured.and_then(|target| target.binary_path.as_deref());
        let source = Source::new(named, configured);
        let found = tokio::task::spawn_blocking(move || Programs::find(source)).await;
        found.unwrap_or_else(|_| {
            Err(ApiError::new(ErrorCode::Internal, "looking for the programs crashed"))
        })
    }

    /// Brings every program there, and sees that they run.
    async fn stage(
        &self,
        id: &HiveId,
        connection: &Connection,
        programs: &Programs,
        job: &JobHandle,
    ) -> Result<Staged, Failure> {
        for program in &programs.all {
            let ask = [&programs.build, program.name, "ask", &program.sha256];
            let reply = self.script(id, connection, scripts::PUT, &ask, BRIEF, job).await?;
            if reply.is_yes("have") {
                job.narrate("upload", format!("{} is there already", program.name)).await;
            } else {
                self.upload(id, connection, &programs.build, program, job).await?;
            }
        }
        let reply =
            self.script(id, connection, scripts::STAGE, &[&programs.build], BRIEF, job).await?;
        let read = |key| reply.text(key).map(|text| bare_version(&text).to_owned());
        let version = read("version").unwrap_or_default();
        job.narrate("stage", format!("rbee-hive {version} runs there")).await;
        let is_build = |old: &String| !old.is_empty() && old.chars().all(|c| c.is_ascii_hexdigit());
        let old = reply.text("old").filter(is_build);
        let old = old.map(|old| (old, read("old_version").unwrap_or_default()));
        Ok(Staged { build: programs.build.clone(), version, old })
    }

    async fn upload(
        &self,
        id: &HiveId,
        connection: &Connection,
        build: &str,
        program: &Program,
        job: &JobHandle,
    ) -> Result<(), Failure> {
        let file = tokio::fs::File::open(&program.file).await.map_err(|error| {
            let file = program.file.display();
            ApiError::new(ErrorCode::Internal, format!("cannot read {file}: {error}"))
        })?;
        let began = Instant::now();
        let (sent, seen) = watch::channel(0);
        let mut progress = |bytes| {
            sent.send_replace(bytes);
        };
        let size = program.bytes.to_string();
        let args = [build, program.name, &size, &program.sha256];
        let upload = Upload { file, progress: &mut progress };
        let put = connection.run_with(scripts::PUT, &args, Some(upload), LONG);
        tokio::pin!(put);
        let put = async {
            let mut ticks = tokio::time::interval(PROGRESS_EVERY);
            let mut told = 0;
            loop {
                tokio::select! {
                    put = &mut put => return put,
                    _ = ticks.tick() => {
                        let done = *seen.borrow();
                        if done != told {
                            told = done;
                            job.emit(uploading(program, done, began.elapsed())).await;
                        }
                    }
                }
            }
        };
        job.unless_cancelled(put).await?.map_err(|error| ssh_error(id, error))?;
        job.emit(uploading(program, program.bytes, began.elapsed())).await;
        let ms = began.elapsed().as_millis();
        let message = format!("{}: {} bytes, sha256 checked, {ms} ms", program.name, program.bytes);
        job.narrate("upload", message).await;
        Ok(())
    }

    /// Lets the staged build count, and starts it. If it does not start, the
    /// one before counts again.
    async fn switch(
        &self,
        id: &HiveId,
        connection: &Connection,
        staged: &Staged,
        port: Option<u16>,
        job: &JobHandle,
    ) -> Result<(), Failure> {
        let is_new = staged.old.as_ref().is_none_or(|(old, _)| *old != staged.build);
        if is_new && staged.old.is_some() {
            // Its workers live on, and the next hive adopts them.
            self.stop_there(id, connection, "keep", job).await?;
        }
        self.activate(id, connection, &staged.build, port).await?;
        let started = self.start_there(id, connection, job).await;
        let (Err(failure), true, Some((old, _))) = (&started, is_new, &staged.old) else {
            return started;
        };
        if let Failure::Error(error) = failure {
            let message = format!("it does not start, so the build before counts again: {error}");
            job.warn("undo", message).await;
        }
        self.activate(id, connection, old, port).await?;
        // Not a part of the job any more: a cancel must not leave it stopped.
        let restarted = connection.run(scripts::START, &[id.as_str()], LONG).await;
        if let Err(error) = restarted {
            job.warn("undo", format!("the build before does not start either: {error}")).await;
        } else if let Some(tunnel) = self.tunnel(id) {
            let _ = tunnel.look().await;
        }
        started
    }

    async fn activate(
        &self,
        id: &HiveId,
        connection: &Connection,
        build: &str,
        port: Option<u16>,
    ) -> Result<(), ApiError> {
        let (port, token) = (port.unwrap_or(0).to_string(), self.shared.store.token(id)?);
        let args = [build, &port, token.expose_secret().trim()];
        let done = connection.run(scripts::ACTIVATE, &args, BRIEF).await;
        done.map(drop).map_err(|error| ssh_error(id, error))
    }

    pub(super) async fn start_there(
        &self,
        id: &HiveId,
        connection: &Connection,
        job: &JobHandle,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        let reply = self.script(id, connection, scripts::START, &[id.as_str()], LONG, job).await?;
        let how = match reply.raw("how") {
            Some("systemd") => "as a systemd unit of its user",
            _ => "as a process of its own",
        };
        let ms = began.elapsed().as_millis();
        job.narrate("hive_start", format!("hive '{id}' runs {how} after {ms} ms")).await;
        if let Some(user) = reply.text("unlingering") {
            let message = format!(
                "systemd may end it when {user} logs out; as root there: loginctl enable-linger {user}"
            );
            job.warn("hive_start", message).await;
        }
        Ok(())
    }

    /// `how` is `stop` or `keep`, which leaves the workers.
    pub(super) async fn stop_there(
        &self,
        id: &HiveId,
        connection: &Connection,
        how: &str,
        job: &JobHandle,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        let reply = self.script(id, connection, scripts::STOP, &[how], LONG, job).await?;
        let workers = if how == "keep" { "; its workers go on" } else { "" };
        let ms = began.elapsed().as_millis();
        let was = reply.text("was").unwrap_or_default();
        job.narrate("hive_stop", format!("hive '{id}' {was} after {ms} ms{workers}")).await;
        Ok(())
    }

    /// Finds the hive through the tunnel and waits for its feed.
    pub(super) async fn live(
        &self,
        id: &HiveId,
        tunnel: &Tunnel,
        job: &JobHandle,
    ) -> Result<HiveRecord, Failure> {
        job.unless_cancelled(tunnel.look()).await??;
        let record = self.shared.hives.until_ready(id, job).await?;
        job.narrate("hive_start", format!("hive '{id}' is ready at {}", record.url)).await;
        Ok(record)
    }

    async fn tidy(&self, connection: &Connection, staged: &Staged) {
        self.tidy_to(connection, &staged.build).await;
    }

    /// What stays behind is removed the next time.
    async fn tidy_to(&self, connection: &Connection, build: &str) {
        if let Err(error) = connection.run(scripts::TIDY, &[build], BRIEF).await {
            tracing::warn!(%error, "builds that do not count stay where they are");
        }
    }

    async fn script(
        &self,
        id: &HiveId,
        connection: &Connection,
        script: Script,
        args: &[&str],
        patience: Duration,
        job: &JobHandle,
    ) -> Result<Reply, Failure> {
        let reply: Result<Reply, SshError> =
            job.unless_cancelled(connection.run(script, args, patience)).await?;
        Ok(reply.map_err(|error| ssh_error(id, error))?)
    }
}

fn uploading(program: &Program, done: u64, elapsed: Duration) -> JobEvent {
    let seconds = elapsed.as_secs_f64();
    let rate = (seconds > 0.0 && done > 0).then(|| done as f64 / seconds);
    let left = program.bytes.saturating_sub(done) as f64;
    let progress = Progress {
        done,
        total: Some(program.bytes),
        unit: "bytes".to_owned(),
        rate,
        eta_s: rate.map(|rate| left / rate),
    };
    JobEvent::new(JobEvent::PROGRESS, format!("sending {}", program.name))
        .field("progress", json!(progress))
}

/// `0.1.0` of `rbee-hive 0.1.0`.
fn bare_version(text: &str) -> &str {
    text.rsplit(' ').next().unwrap_or(text)
}

/// A version as numbers, for telling which is older; what is no number is 0.
fn version(text: &str) -> Vec<u64> {
    let numbers = text.split(['-', '+']).next().unwrap_or_default().split('.');
    numbers.map(|number| number.parse().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_takes_what_was_downloaded_from_here_and_leaves_what_is_anybody_elses() {
        let model = |source: &str, state: &str, revision: Option<&str>| -> ModelRecord {
            serde_json::from_value(json!({
                "id": "org/repo:file.gguf", "hive_id": "box", "source": source, "repo": "org/repo",
                "revision": revision, "files": [], "bytes": 1, "state": state,
                "architecture": null, "parameters": null, "quantisation": null,
                "context_length": null, "memory_bytes_estimate": null, "used_by": [],
            }))
            .unwrap()
        };
        for (source, state, revision, fate_of_it) in [
            ("hub", "ready", Some("main"), Fate::Goes),
            ("hub", "partial", Some("main"), Fate::Goes),
            ("hub", "failed", Some("main"), Fate::Goes),
            ("hub", "ready", None, Fate::Stays),
            ("hub", "partial", None, Fate::Stays),
            ("file", "ready", None, Fate::Stays),
            ("hub", "available", Some("main"), Fate::IsNone),
            ("demo", "ready", None, Fate::IsNone),
        ] {
            assert_eq!(fate(&model(source, state, revision)), fate_of_it, "{source} {state}");
        }
    }

    #[test]
    fn versions_are_numbers() {
        assert!(version("0.9.0") < version("0.10.0"));
        assert!(version("0.1.0") < version("0.1.1-rc.1"));
        assert!(version("") < version("0.0.1"));
        assert_eq!(bare_version("rbee-hive 0.1.0"), "0.1.0");
    }
}
