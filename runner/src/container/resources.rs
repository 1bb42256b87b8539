//! What a container may use: what was asked for, and how it is enforced on this machine.
//!
//! A limit that was asked for holds, or the container does not start, unless `--limits=best-effort` says
//! otherwise. The number of processes needs no cgroup: `RLIMIT_NPROC` is counted in each user
//! namespace (Linux 5.14), and every container has one of its own.

use std::path::Path;

use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

use super::folder::ContainerError;
use super::id::ContainerId;
use super::{Container, Status};
use crate::human::tell;
use crate::sandbox::Failure;
use crate::sandbox::cgroup::{Ceiling, Cgroup, Limits, Owned, Parent};
use crate::sandbox::handle::ProcessId;
use crate::sandbox::spec::{Isolation, Resource, Rlimit};
use crate::sandbox::userns::UserNamespace;

/// The default of `--pids-limit`, which is podman's.
pub const DEFAULT_PIDS: u64 = 2048;

/// Processes of ours that the kernel counts for the container's first user: its guard, and one that is
/// about to become an `exec`.
const OWN_PROCESSES: u64 = 2;

/// What a container may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Limits of the whole container.
    pub limits: Limits,
    /// Whether it starts without a limit that can not be enforced here.
    pub best_effort: bool,
    /// The cgroup in which the container's own is made, if the user named one.
    pub parent: Option<String>,
    /// Whether the container sees its own cgroup as the root of all.
    pub own_cgroups: bool,
    /// Limits of each process.
    pub rlimits: Vec<Rlimit>,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            limits: Limits {
                pids: Some(Ceiling::At(DEFAULT_PIDS)),
                ..Limits::default()
            },
            best_effort: false,
            parent: None,
            own_cgroups: true,
            rlimits: Vec::new(),
        }
    }
}

impl Resources {
    /// The limits that each process of a container of this kind starts with.
    #[must_use]
    pub fn rlimits(&self, isolation: Isolation) -> Vec<Rlimit> {
        let mut list = self.rlimits.clone();
        let is_nproc = |limit: &Rlimit| limit.resource == Resource::Nproc;
        if let Some(Ceiling::At(pids)) = self.limits.pids
            && !list.iter().any(is_nproc)
            && counts_processes(isolation)
        {
            // Nobody can have more than the caller.
            let most = rustix::process::getrlimit(rustix::process::Resource::Nproc).maximum;
            let pids = pids.saturating_add(OWN_PROCESSES);
            let limit = Some(most.map_or(pids, |most| most.min(pids)));
            list.push(Rlimit {
                resource: Resource::Nproc,
                soft: limit,
                hard: limit,
            });
        }
        list
    }

    /// Makes the cgroup in which the container `id` is about to start; `None` if it needs none.
    ///
    /// # Errors
    /// A [`Failure`] for a limit that can not be enforced here.
    pub fn group(
        &self,
        id: &ContainerId,
        runroot: &Path,
        namespace: Option<&UserNamespace>,
    ) -> Result<Option<Owned>, Failure> {
        let isolation = match namespace {
            Some(_) => Isolation::Namespaces,
            None => Isolation::Chroot,
        };
        if self.strict_limits(isolation).is_empty() && self.parent.is_none() {
            return Ok(self.free_group(id, runroot));
        }
        let parent = match &self.parent {
            Some(path) => Parent::named(path),
            None => Parent::find(runroot, namespace.map(UserNamespace::holder)),
        };
        let made = parent.and_then(|parent| {
            let limits = match self.best_effort {
                true => self.limits.only(&parent.controllers()),
                false => self.limits_in(&parent, isolation),
            };
            let group = Cgroup::make(&parent, id.as_str(), &limits)?;
            Ok((group, limits != self.limits_in(&parent, isolation)))
        });
        match made {
            Ok((group, is_less)) => {
                if is_less {
                    tell("runner: not every limit can be enforced here; the others hold");
                }
                Ok(Some(Owned::new(group)))
            }
            Err(failure) if self.best_effort => {
                tell(format_args!("runner: no limits hold: {}", failure.message));
                Ok(None)
            }
            Err(failure) => Err(Failure::engine(format!(
                "a limit can not be enforced: {}; leave it out, or give --limits=best-effort",
                failure.message
            ))),
        }
    }

    /// A group for a container that nobody limited, if it costs next to nothing: it makes `pause` and
    /// `stats` cheap, and its end quick.
    fn free_group(&self, id: &ContainerId, runroot: &Path) -> Option<Owned> {
        if geteuid().is_root() {
            // Root's first process can not be born in its group, and moving it takes long.
            return None;
        }
        let parent = Parent::known(runroot).filter(Parent::is_around_us)?;
        let limits = self.limits.only(&parent.controllers());
        Cgroup::make(&parent, id.as_str(), &limits)
            .ok()
            .map(Owned::new)
    }

    /// Limits for which there has to be a cgroup.
    fn strict_limits(&self, isolation: Isolation) -> Limits {
        let mut limits = self.limits.clone();
        if counts_processes(isolation) || self.is_default_where_nothing_counts(isolation) {
            limits.pids = None;
        }
        limits
    }

    /// Whether nobody asked for the limit of processes, and only a cgroup could enforce it.
    fn is_default_where_nothing_counts(&self, isolation: Isolation) -> bool {
        isolation == Isolation::Chroot && self.limits.pids == Some(Ceiling::At(DEFAULT_PIDS))
    }

    /// What is enforced by a group in `parent`: the number of processes only if it can.
    fn limits_in(&self, parent: &Parent, isolation: Isolation) -> Limits {
        let mut limits = self.limits.clone();
        if counts_processes(isolation) || self.is_default_where_nothing_counts(isolation) {
            let pids = self.limits.only(&parent.controllers()).pids;
            limits.pids = pids;
        }
        limits
    }
}

/// Whether the processes of a container are counted without a cgroup: those of root never are, and
/// those of a user whom the host has too are counted with the host's.
fn counts_processes(isolation: Isolation) -> bool {
    isolation == Isolation::Namespaces && counts_processes_per_namespace()
}

/// Whether `RLIMIT_NPROC` counts the processes of each user namespace for itself: since Linux 5.14.
fn counts_processes_per_namespace() -> bool {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
    matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (5, 14))
}

impl Container {
    /// The cgroup of a running container, which is made now if there is none yet.
    ///
    /// # Errors
    /// A [`Failure`] when there can be none on this machine.
    pub fn group(&self, runroot: &Path, limits: &Limits) -> Result<Cgroup, Failure> {
        let not_running = || Failure::engine(format!("{} does not run", self.record.name));
        let mut state = self.state().ok_or_else(not_running)?;
        let has = |group: &Cgroup| {
            let needed = limits.controllers();
            needed.iter().all(|one| group.folder_of(*one).is_some())
        };
        if let Some(group) = state.cgroup.as_ref().filter(|group| has(group)) {
            group.set(limits)?;
            return Ok(group.clone());
        }
        let isolation = self.record.isolation;
        let namespace = match isolation {
            Isolation::Namespaces => Some(UserNamespace::acquire(runroot)?),
            Isolation::Chroot => None,
        };
        let parent = Parent::find(runroot, namespace.as_ref().map(UserNamespace::holder))?;
        let all = self
            .record
            .resources
            .limits_in(&parent, isolation)
            .updated(limits);
        let group = Cgroup::make(&parent, self.record.id.as_str(), &all)?;
        let made = Owned::new(group.clone());
        group.adopt(state.process)?;
        if !matches!(self.status(), Status::Running(_)) {
            return Err(not_running());
        }
        state.cgroup = made.keep();
        self.write_state(&state)
            .map_err(|error| Failure::engine(error.to_string()))?;
        Ok(group)
    }

    /// The word that podman uses for what can be said of it.
    #[must_use]
    pub fn word(&self, status: &Status) -> &'static str {
        match status {
            Status::Running(_) if self.is_paused() => "paused",
            status => status.word(),
        }
    }

    /// Whether its processes stand still.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.state().is_some_and(|state| state.is_paused())
    }

    /// Lets the processes of a paused container go on, so that a signal reaches them.
    pub fn thaw(&self) {
        if let Some(group) = self.state().and_then(|state| state.cgroup)
            && group.is_frozen()
        {
            let _ = group.freeze(false);
        }
    }

    /// Writes other limits down, for the next start too.
    ///
    /// # Errors
    /// When the disk is full; the old ones hold then.
    pub fn write_limits(&mut self, limits: &Limits) -> Result<(), ContainerError> {
        self.record.resources.limits = self.record.resources.limits.updated(limits);
        self.write_record()
    }

    /// Its first process, as it was written down.
    #[must_use]
    pub fn process(&self) -> Option<ProcessId> {
        self.state().map(|state| state.process)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_processes_is_a_limit_of_each_process_too() {
        let mut resources = Resources::default();
        resources.limits.pids = Some(Ceiling::At(10));
        let list = resources.rlimits(Isolation::Namespaces);
        assert!(resources.rlimits(Isolation::Chroot).is_empty());
        if counts_processes_per_namespace() {
            assert_eq!(list.len(), 1);
            assert!(list[0].hard.is_some_and(|hard| hard <= 12));
        }
        resources.limits.pids = Some(Ceiling::Unlimited);
        assert!(resources.rlimits(Isolation::Namespaces).is_empty());
    }
}
