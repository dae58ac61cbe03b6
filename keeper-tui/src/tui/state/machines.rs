//! Machines that could be added: what the operator's ssh knows, and what is
//! typed.

use protocol::{ErrorCode, HiveId, fleet::HiveState};

use super::{Model, line::Line};

/// The hosts that `~/.ssh/config` names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts {
    /// Their names; unknown before they were read.
    pub(crate) names: Option<Vec<String>>,
    /// Why they could not be read, the last time.
    pub(crate) problem: Option<String>,
    /// Somebody reads them, or has.
    pub(crate) is_asked: bool,
}

/// A machine is being chosen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pick {
    /// What is typed.
    pub(crate) line: Line,
    /// The row that was moved to.
    pub(crate) at: Option<usize>,
    /// What is wrong with what was typed.
    pub(crate) problem: Option<String>,
}

impl Model {
    /// Whether nothing is there yet: no machine but the queen's own, and that
    /// one was never heard of.
    pub(crate) fn is_first_run(&self) -> bool {
        self.connection.is_live()
            && self.fleet.workers.is_empty()
            && self.fleet.hives.values().all(|hive| {
                hive.id.is_localhost()
                    && hive.state == HiveState::Offline
                    && hive.last_seen_at.is_none()
            })
    }

    /// Whether the queen is on the machine of whoever sits here, as far as her
    /// address tells. Her ssh is the operator's own only then.
    pub(crate) fn is_queen_here(&self) -> bool {
        ["127.", "localhost:", "[::1]"].iter().any(|it| self.address.starts_with(it))
    }

    /// The hosts that could be added, the machines left out that are there.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        let names = self.hosts.names.iter().flatten().map(String::as_str);
        names.filter(|name| {
            let id: Result<HiveId, _> = name.parse();
            id.is_ok_and(|id| {
                let hive = self.fleet.hives.get(&id);
                hive.is_none_or(|hive| hive.state == HiveState::Offline) && !id.is_localhost()
            })
        })
    }

    /// Those of them that fit what is typed.
    pub(crate) fn hosts_like(&self, typed: &str) -> impl Iterator<Item = &str> {
        self.hosts().filter(move |name| name.contains(typed))
    }

    /// The fingerprint of the key that a machine showed when it was last asked
    /// to take a hive and its key was not known.
    pub(crate) fn shown_key(&self, alias: &HiveId) -> Option<String> {
        let mut jobs = self.fleet.jobs.values().rev();
        let last = jobs
            .find(|job| job.operation == "hive_install" && job.hive_id.as_ref() == Some(alias))?;
        let error = last.error.as_ref().filter(|it| it.code == ErrorCode::HostKeyUnknown)?;
        let words = error.message.split_whitespace();
        words.rev().find(|word| word.starts_with("SHA256:")).map(str::to_owned)
    }
}
