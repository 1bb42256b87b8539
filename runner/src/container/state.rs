//! What became of a container: the content of its `state.json`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::network::PortMapping;
use crate::sandbox::cgroup::Cgroup;
use crate::sandbox::handle::{Handle, ProcessId};

/// Written by the monitor when the container starts and when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The container's first process.
    pub process: ProcessId,
    /// The process that watches it: the `run` command itself, or a detached monitor.
    pub monitor: ProcessId,
    /// When it started, in nanoseconds since 1970.
    pub started: u64,
    /// The ports that are open on the host.
    pub ports: Vec<PortMapping>,
    /// Its control group, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<Cgroup>,
    /// The root directory of one that has no namespaces of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// How it ended; `None` while it runs.
    pub exit: Option<Exit>,
}

impl State {
    /// Whether its processes stand still.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.cgroup.as_ref().is_some_and(Cgroup::is_frozen)
    }
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The program's exit code, or 128 and the signal that ended it.
    pub code: u8,
    /// When, in nanoseconds since 1970; 0 when nobody saw it.
    pub finished: u64,
}

/// What can be said of a container now.
#[derive(Debug)]
pub enum Status {
    /// It has not been started.
    Created,
    /// It runs; this is its first process.
    Running(Handle),
    /// It has ended.
    Exited(Exit),
}

/// What is reported of a container whose monitor was killed, which kills the container: the
/// exit code of SIGKILL.
pub(super) const UNSEEN: Exit = Exit {
    code: 137,
    finished: 0,
};

impl Status {
    pub(crate) fn of(state: Option<&State>) -> Self {
        match state {
            None => Self::Created,
            Some(State {
                exit: Some(exit), ..
            }) => Self::Exited(*exit),
            Some(state) => state
                .process
                .open()
                .map_or(Self::Exited(UNSEEN), Self::Running),
        }
    }

    /// The word that podman uses for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running(_) => "running",
            Self::Exited(_) => "exited",
        }
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Running(_))
    }
}
