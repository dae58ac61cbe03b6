//! Other machines: looked at, installed, connected, updated, left, all through
//! the system's `ssh`.
//!
//! ```text
//! ssh_test ── check ── facts        a machine as it is
//! install, update ── programs       what is put there, and undone if it does not run
//! tunnel ── link, heartbeats        the connection, and the hive behind it
//! store                             which machines are ours
//! ```

mod check;
mod facts;
mod heartbeats;
mod install;
mod link;
mod programs;
mod scripts;
mod store;
mod tunnel;

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use client::Daemon;
use config::{Config, Reach, SshTarget};
use daemon::jobs::{Failure, JobHandle};
use lifecycle::ssh::{SshError, SshFault};
use protocol::{
    ApiError, ErrorCode, HiveId,
    fleet::HiveRecord,
    operation::{HiveInstall, HiveUninstall, HiveUpdate, SshTest},
};
use secrecy::SecretString;

use self::{
    store::Store,
    tunnel::{Told, Tunnel},
};
use crate::{fleet::FleetHandle, hives::Hives};

/// The machines that are reached over ssh. Cheap to clone.
#[derive(Clone)]
pub struct Machines {
    shared: Arc<Shared>,
}

struct Shared {
    fleet: FleetHandle,
    hives: Hives,
    /// What the operator's files say of machines behind ssh.
    configured: BTreeMap<HiveId, SshTarget>,
    store: Store,
    tunnels: Mutex<HashMap<HiveId, Tunnel>>,
    /// Held while something is done to a machine, one lock for each.
    busy: Mutex<HashMap<HiveId, Arc<tokio::sync::Mutex<()>>>>,
}

impl Machines {
    /// Connects to every machine that was installed from here, and to those of
    /// the files whose token is known.
    pub fn new(
        fleet: FleetHandle,
        hives: Hives,
        config: &Config,
        queen_dir: &Path,
    ) -> Result<Self, ApiError> {
        let configured = config.hives.iter().filter_map(|(id, entry)| match &entry.reach {
            Reach::Ssh(target) => Some((id.clone(), target.clone())),
            Reach::Http { .. } => None,
        });
        let machines = Self {
            shared: Arc::new(Shared {
                fleet,
                hives,
                configured: configured.collect(),
                store: Store::new(queen_dir),
                tunnels: Mutex::default(),
                busy: Mutex::default(),
            }),
        };
        for (id, machine) in machines.shared.store.all() {
            let target = machines.target(&id, None)?;
            machines.shared.fleet.hive_at(&id, &target.to_string());
            if machine.installed_at.is_none() {
                machines.shared.fleet.hive_out_of_reach(&id, UNFINISHED);
                continue;
            }
            // One machine whose token cannot be read must not keep the queen
            // from all others.
            match machines.shared.store.token(&id) {
                Ok(token) => drop(machines.connect(&id, target, token, true)?),
                Err(error) => machines.shared.fleet.hive_out_of_reach(&id, &error.message),
            }
        }
        for (id, target) in &machines.shared.configured {
            let Some(file) = &target.token_file else { continue };
            if machines.shared.store.get(id).is_none() {
                let token = config::read_token(file).map_err(|error| {
                    ApiError::new(ErrorCode::HiveUnreachable, format!("hive '{id}': {error}"))
                })?;
                machines.connect(id, target.clone(), token, false)?;
            }
        }
        Ok(machines)
    }

    /// Whether the hive is one of a machine behind ssh.
    pub fn has(&self, id: &HiveId) -> bool {
        self.shared.configured.contains_key(id) || self.is_installed(id)
    }

    /// Whether its hive was put there from here.
    pub fn is_installed(&self, id: &HiveId) -> bool {
        self.shared.store.get(id).is_some()
    }

    /// Ends every connection.
    pub fn close(&self) {
        self.tunnels().drain().for_each(|(_, tunnel)| tunnel.close());
    }

    /// What single fields of these operations cannot say, at the POST.
    pub fn check_test(&self, it: &SshTest) -> Result<(), ApiError> {
        parsed(&it.alias, it.ssh.as_deref(), it.host_key.as_deref(), None)
    }

    /// As [`Machines::check_test`].
    pub fn check_install(&self, it: &HiveInstall) -> Result<(), ApiError> {
        let path = it.binary_path.as_deref();
        parsed(&it.alias, it.ssh.as_deref(), it.host_key.as_deref(), path)
    }

    /// As [`Machines::check_test`]; and only what is there can be replaced.
    pub fn check_update(&self, it: &HiveUpdate) -> Result<(), ApiError> {
        parsed(&it.alias, None, None, it.binary_path.as_deref())?;
        self.check_there(&it.alias)
    }

    /// As [`Machines::check_update`].
    pub fn check_uninstall(&self, it: &HiveUninstall) -> Result<(), ApiError> {
        parsed(&it.alias, None, None, None)?;
        self.check_there(&it.alias)
    }

    fn check_there(&self, id: &HiveId) -> Result<(), ApiError> {
        if self.shared.store.get(id).is_some() {
            return Ok(());
        }
        self.shared.hives.record(id)?;
        let message = format!("no hive was installed on '{id}' from here");
        Err(ApiError::new(ErrorCode::Conflict, message)
            .with_hint(format!("rbee-keeper hive install {id}")))
    }

    /// The way to a worker, if its machine is behind ssh.
    pub async fn worker(&self, id: &HiveId, url: &str) -> Option<Result<Daemon, ApiError>> {
        let tunnel = self.tunnel(id)?;
        Some(tunnel.worker(url).await)
    }

    /// Starts the machine's hive.
    pub async fn start(&self, id: &HiveId, job: &JobHandle) -> Result<HiveRecord, Failure> {
        let _alone = self.alone(id, job).await?;
        let tunnel = self.installed(id)?;
        let connection = job.unless_cancelled(tunnel.connection()).await??;
        self.start_there(id, &connection, job).await?;
        self.live(id, &tunnel, job).await
    }

    /// Stops the machine's hive with its workers.
    pub async fn stop(&self, id: &HiveId, job: &JobHandle) -> Result<(), Failure> {
        let _alone = self.alone(id, job).await?;
        let tunnel = self.installed(id)?;
        let connection = job.unless_cancelled(tunnel.connection()).await??;
        self.stop_there(id, &connection, "stop", job).await?;
        self.shared.hives.is_not_running(id);
        Ok(())
    }

    /// Where a machine is: as the operation says, as it was installed, as the
    /// files say, as ssh knows the alias. Where it was installed the files
    /// still count for what a command line cannot say.
    fn target(&self, id: &HiveId, named: Option<&str>) -> Result<SshTarget, ApiError> {
        if let Some(named) = named {
            return ssh_field(named);
        }
        if let Some(target) = self.shared.configured.get(id) {
            return Ok(target.clone());
        }
        if let Some(machine) = self.shared.store.get(id) {
            return Ok(machine.target);
        }
        ssh_field(id.as_str())
    }

    fn connect(
        &self,
        id: &HiveId,
        target: SshTarget,
        token: SecretString,
        is_managed: bool,
    ) -> Result<Tunnel, ApiError> {
        let told = Told { fleet: self.shared.fleet.clone(), hives: self.shared.hives.clone() };
        let tunnel = Tunnel::start(id.clone(), target, token, is_managed, told)?;
        if is_managed {
            self.shared.store.sockets_are_in(id, tunnel.sockets());
        }
        if let Some(before) = self.tunnels().insert(id.clone(), tunnel.clone()) {
            before.close();
        }
        Ok(tunnel)
    }

    /// The tunnel to a machine that was installed from here.
    fn installed(&self, id: &HiveId) -> Result<Tunnel, ApiError> {
        let not = |message: String| {
            Err(ApiError::new(ErrorCode::Conflict, message)
                .with_hint(format!("rbee-keeper hive install {id}")))
        };
        match self.shared.store.get(id) {
            Some(machine) if machine.installed_at.is_none() => {
                not(format!("hive '{id}': {UNFINISHED}"))
            }
            Some(_) => self.tunnel(id).ok_or_else(|| {
                ApiError::new(ErrorCode::Internal, format!("hive '{id}' has no connection"))
            }),
            None => not(format!("no hive was installed on '{id}' from here")),
        }
    }

    fn tunnel(&self, id: &HiveId) -> Option<Tunnel> {
        self.tunnels().get(id).cloned()
    }

    fn tunnels(&self) -> std::sync::MutexGuard<'_, HashMap<HiveId, Tunnel>> {
        // Only whole tunnels are put in and taken out.
        self.shared.tunnels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One job at a time does something to a machine.
    async fn alone(
        &self,
        id: &HiveId,
        job: &JobHandle,
    ) -> Result<tokio::sync::OwnedMutexGuard<()>, Failure> {
        let lock = {
            let mut busy = self.shared.busy.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(busy.entry(id.clone()).or_default())
        };
        if let Ok(guard) = Arc::clone(&lock).try_lock_owned() {
            return Ok(guard);
        }
        job.narrate("wait", format!("another job works on '{id}'; this one is next")).await;
        job.unless_cancelled(lock.lock_owned()).await
    }
}

/// An installation that was interrupted.
const UNFINISHED: &str = "its installation did not come to its end";

fn ssh_field(text: &str) -> Result<SshTarget, ApiError> {
    text.parse().map_err(|error: config::values::InvalidValue| {
        ApiError::new(ErrorCode::InvalidField, format!("field `ssh`: {error}"))
            .with_hint("write it as [user@]host[:port]")
    })
}

fn parsed(
    alias: &HiveId,
    ssh: Option<&str>,
    host_key: Option<&str>,
    binary_path: Option<&str>,
) -> Result<(), ApiError> {
    let refuse = |message: &str, hint: &str| {
        Err(ApiError::new(ErrorCode::InvalidField, message).with_hint(hint))
    };
    if alias.is_localhost() {
        return refuse(
            "field `alias`: 'localhost' is this machine, where nothing is installed over ssh",
            "rbee-keeper hive start",
        );
    }
    ssh.map(ssh_field).transpose()?;
    if host_key.is_some_and(|key| !is_fingerprint(key)) {
        return refuse(
            "field `host_key` must be a fingerprint such as `SHA256:` and 43 letters and digits",
            "`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` there prints it",
        );
    }
    if binary_path.is_some_and(|path| !path.starts_with('/') || path.contains('\0')) {
        return refuse(
            "field `binary_path` must be an absolute path on the queen's machine",
            "name the folder that has rbee-hive and llm-worker-rbee in it",
        );
    }
    Ok(())
}

fn is_fingerprint(text: &str) -> bool {
    let digest = text.strip_prefix("SHA256:").unwrap_or_default();
    digest.len() == 43 && digest.chars().all(|c| c.is_ascii_alphanumeric() || "+/".contains(c))
}

/// An error of ssh's as the operator is told it.
fn ssh_error(id: &HiveId, error: SshError) -> ApiError {
    let code = match error.fault {
        SshFault::UnknownHostKey => ErrorCode::HostKeyUnknown,
        SshFault::Script | SshFault::Forward => ErrorCode::PreflightFailed,
        _ => ErrorCode::HiveUnreachable,
    };
    let hint = match (error.fault, error.hint) {
        (SshFault::UnknownHostKey, _) => {
            Some(format!("look at it and accept it: rbee-keeper hive ssh-test {id}"))
        }
        (_, hint) => hint,
    };
    ApiError { code, message: format!("'{id}': {}", error.message), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_cannot_be_meant_is_refused_by_name() {
        let id: HiveId = "gpu-1".parse().unwrap();
        let key = format!("SHA256:{}", "a".repeat(43));
        assert_eq!(parsed(&id, Some("ada@box:22"), Some(&key), Some("/opt/rbee")), Ok(()));
        for (ssh, host_key, path, field) in [
            (Some("-oProxyCommand=x"), None, None, "`ssh`"),
            (None, Some("SHA256:$(id)"), None, "`host_key`"),
            (None, None, Some("relative"), "`binary_path`"),
        ] {
            let error = parsed(&id, ssh, host_key, path).unwrap_err();
            assert!(error.message.contains(field) && error.hint.is_some(), "{error:?}");
        }
        assert!(parsed(&HiveId::localhost(), None, None, None).is_err());
    }
}
