//! What a container is: the content of its `config.json`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use packer::Digest;
use serde::{Deserialize, Serialize};

use super::id::ContainerId;
use super::name::ContainerName;
use super::resources::Resources;
use super::security::Security;
use crate::network::PortMapping;
use crate::sandbox::capability::CapabilitySet;
use crate::sandbox::handle::ProcessId;
use crate::sandbox::spec::{ConfigFile, Isolation, Network, Propagation, Traits};

/// Everything that was decided when the container was created. Only its limits may change later.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The id.
    pub id: ContainerId,
    /// The name.
    pub name: ContainerName,
    /// When it was created, in nanoseconds since 1970.
    pub created: u64,
    /// The command that is about to start it; `None` if it was only created.
    pub creator: Option<ProcessId>,
    /// The image as the user named it, completed.
    pub image: String,
    /// The image's id.
    pub image_id: Digest,
    /// The image's files.
    pub tree: PathBuf,
    /// How many of `arguments` come from the entry point.
    pub entrypoint: usize,
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// The working directory.
    pub directory: String,
    /// Whether the image names it and not the user; then it is made if it is missing.
    #[serde(default)]
    pub make_directory: bool,
    /// The user as it was typed or as the image says; empty is root.
    pub user: String,
    /// What that means in this image.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Files of the image's that know both, where the image's own do not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<ConfigFile>,
    /// Lines of `/etc/hosts` that were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Kernel parameters by their path below `/proc/sys`, and their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<(String, String)>,
    /// Permission bits that new files do not get; `None` is 022.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// How readily the kernel kills its processes when memory runs out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_score_adjustment: Option<i32>,
    /// The supplementary groups.
    pub groups: Vec<u32>,
    /// The host name inside; `None` is the host's.
    pub hostname: Option<String>,
    /// The most capabilities that a process may have.
    pub bounding: CapabilitySet,
    /// The capabilities that a user other than root starts with.
    pub ambient: CapabilitySet,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Whether standard input is passed on.
    pub interactive: bool,
    /// Whether our own init is its first process.
    pub init: bool,
    /// Whether `/` is read-only.
    pub read_only: bool,
    /// How many bytes what it writes to `/` may take in memory; `None` writes to the disk.
    #[serde(default)]
    pub memory_upper: Option<u64>,
    /// Whether it is removed when it ends.
    pub remove: bool,
    /// What it may use.
    #[serde(default)]
    pub resources: Resources,
    /// How it is shut in.
    #[serde(default)]
    pub security: Security,
    /// After how many seconds it is killed.
    #[serde(default)]
    pub time_limit: Option<u64>,
    /// What it is shut in with.
    #[serde(default)]
    pub isolation: Isolation,
    /// How it is connected.
    pub network: Network,
    /// Ports that were asked for.
    pub ports: Vec<PortMapping>,
    /// Ports of the program that nobody named and that are published on the loopback addresses.
    pub implied_ports: Vec<u16>,
    /// Directories that the image calls volumes: they are there even if no layer has them. What is
    /// written into them lives as long as the container.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// Volumes and temporary file systems.
    pub mounts: Vec<Volume>,
    /// Free text by key.
    pub labels: BTreeMap<String, String>,
    /// The signal that `stop` sends first, by number.
    pub stop_signal: i32,
    /// How long `stop` waits before it kills, in seconds.
    pub stop_timeout: u64,
}

impl Record {
    /// What its processes have only where somebody asks for it.
    #[must_use]
    pub fn traits(&self) -> Traits {
        Traits {
            umask: self.umask,
            oom_score_adjustment: self.oom_score_adjustment,
            ..Traits::default()
        }
    }
}

/// Something that is mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Volume {
    /// A path of the host.
    Bind {
        /// Absolute.
        source: PathBuf,
        /// Absolute, inside.
        target: String,
        /// Whether it can only be read.
        read_only: bool,
        /// What few ask for.
        #[serde(default, skip_serializing_if = "VolumeOptions::is_usual")]
        options: VolumeOptions,
    },
    /// A volume that has a name and outlives the container.
    Named {
        /// The name.
        name: String,
        /// Where its files are.
        source: PathBuf,
        /// Absolute, inside.
        target: String,
        /// Whether it can only be read.
        read_only: bool,
        /// What few ask for.
        #[serde(default, skip_serializing_if = "VolumeOptions::is_usual")]
        options: VolumeOptions,
    },
    /// A file system in memory.
    Tmpfs {
        /// Absolute, inside.
        target: String,
        /// Mount options.
        options: Vec<String>,
    },
}

/// What few ask for of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeOptions {
    /// None of its files is executed.
    pub no_exec: bool,
    /// Set-uid bits count.
    pub suid: bool,
    /// Devices can be opened.
    pub dev: bool,
    /// How mounts travel between it and the host's, and whether those below it do too.
    pub propagation: Option<(Propagation, bool)>,
    /// The container's user becomes the owner of its files.
    pub own: bool,
    /// The image's files are not copied into it.
    pub no_copy: bool,
}

impl VolumeOptions {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Volume {
    /// Where it is mounted, inside.
    #[must_use]
    pub fn target(&self) -> &str {
        match self {
            Self::Bind { target, .. } | Self::Named { target, .. } | Self::Tmpfs { target, .. } => {
                target
            }
        }
    }
}
