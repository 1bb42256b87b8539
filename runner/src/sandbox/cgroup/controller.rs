//! The parts of the kernel that control groups, and the files by which they do it.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A version of the interface. A machine may have both ("hybrid"): a controller then belongs to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One tree for each controller (`cgroup-v1`).
    One,
    /// One tree for all (`cgroup-v2`).
    Two,
}

/// A controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Controller {
    /// Time of processors.
    Cpu,
    /// Counts time of processors; a part of `cpu` in the second version, and often in the first.
    Cpuacct,
    /// Which processors.
    Cpuset,
    /// Memory and swap.
    Memory,
    /// The number of processes and threads.
    Pids,
    /// Reading and writing of devices; `blkio` in the first version.
    Io,
    /// Makes processes stand still; a part of every group in the second version.
    Freezer,
    /// Which devices may be opened; a program at the group in the second version.
    Devices,
    /// Huge pages.
    Hugetlb,
    /// Devices for remote access to memory.
    Rdma,
    /// The class of packets; only in the first version.
    NetCls,
    /// The priority of packets; only in the first version.
    NetPrio,
}

impl Controller {
    /// All that we use.
    pub const ALL: [Self; 12] = [
        Self::Cpu,
        Self::Cpuacct,
        Self::Cpuset,
        Self::Memory,
        Self::Pids,
        Self::Io,
        Self::Freezer,
        Self::Devices,
        Self::Hugetlb,
        Self::Rdma,
        Self::NetCls,
        Self::NetPrio,
    ];

    /// Its name in `version`.
    #[must_use]
    pub fn name(self, version: Version) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Cpuset => "cpuset",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Io if version == Version::One => "blkio",
            Self::Io => "io",
            Self::Freezer => "freezer",
            Self::Devices => "devices",
            Self::Hugetlb => "hugetlb",
            Self::Rdma => "rdma",
            Self::NetCls => "net_cls",
            Self::NetPrio => "net_prio",
        }
    }

    /// Whether an `update` may be about it.
    #[must_use]
    pub fn is_usual(self) -> bool {
        !matches!(
            self,
            Self::Hugetlb | Self::Rdma | Self::NetCls | Self::NetPrio
        )
    }

    /// The one with this name in the second version.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|one| one.name(Version::Two) == name)
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name(Version::Two))
    }
}

/// A new cpuset group of the first version takes no process before it was told which processors
/// and memory nodes it has (cpuset(7)).
pub(super) fn inherit_cpus(folder: &Path) -> io::Result<()> {
    let Some(parent) = folder.parent() else {
        return Ok(());
    };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if fs::read_to_string(folder.join(file))?.trim().is_empty() {
            fs::write(folder.join(file), fs::read(parent.join(file))?)?;
        }
    }
    Ok(())
}
