//! What a container is, as one plain value: everything that the sandbox has to know, resolved.
//!
//! Names are numbers here, paths are absolute, defaults are filled in. It travels as JSON from the
//! caller to the stage and stays there.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::capability::CapabilitySet;
use super::seccomp::custom::Instruction;

/// A container before it starts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// The host name inside; `None` keeps the host's (only with the host's network).
    pub hostname: Option<String>,
    /// The ids of the container's own user namespace, by user.
    pub users: Vec<Extent>,
    /// The ids of the container's own user namespace, by group.
    pub groups: Vec<Extent>,
    /// Where `/` comes from.
    pub rootfs: Rootfs,
    /// Files of ours that the container finds in place: `/etc/hosts` and the like.
    pub files: Vec<ConfigFile>,
    /// Directories that are made if they are missing; absolute, inside.
    pub directories: Vec<String>,
    /// Volumes and temporary file systems, in the order in which they are mounted.
    pub mounts: Vec<Mount>,
    /// Whether `/` is read-only.
    pub read_only: bool,
    /// Files and directories that it must not see; absolute, inside.
    pub masked: Vec<String>,
    /// Files and directories of the kernel that it must not change; absolute, inside.
    pub protected: Vec<String>,
    /// Options of its `/proc` (proc(5), "Mount options").
    pub proc_options: Vec<String>,
    /// How the container is connected.
    pub network: Network,
    /// Whether it sees its own control group as the root of all (cgroup_namespaces(7)).
    pub own_cgroups: bool,
    /// The highest process id inside (`kernel.pid_max`), where every pid namespace has its own: Linux
    /// 6.14 and later. Elsewhere nothing happens.
    pub highest_pid: Option<u64>,
    /// The first process.
    pub process: Process,
    /// Whether our own init is the first process and the program its child.
    pub init: bool,
}

/// A run of ids of a user namespace and what they are outside (user_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// The first id inside.
    pub inside: u32,
    /// The first id outside.
    pub outside: u32,
    /// How many ids follow one another.
    pub count: u32,
}

/// Where a container's `/` comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rootfs {
    /// The image's tree, which is never written.
    pub tree: PathBuf,
    /// The container's own folder, in which `upper` and `work` are made.
    pub folder: PathBuf,
    /// How the tree becomes writable.
    pub driver: Driver,
}

/// How an image's tree becomes a container's `/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// An overlay mount over the tree.
    Overlay,
    /// A copy of the tree, where the kernel or the file system has no overlay for us.
    Copy,
}

/// A file that is put into the container before it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigFile {
    /// Relative to `/`, without `..`: `etc/hosts`.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// The whole content.
    pub content: String,
}

/// Something that is mounted into the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mount {
    /// A file or directory of the host.
    Bind {
        /// Absolute, on the host.
        source: PathBuf,
        /// Absolute, inside; symbolic links in it are followed inside.
        target: String,
        /// Whether it can only be read.
        read_only: bool,
        /// Position of a descriptor of the mount, made by a caller with more rights, among
        /// those that travel with the specification.
        prepared: Option<usize>,
        /// Whether the image's files at `target` are copied into `source` if that is empty, as
        /// it is done for a new volume.
        fill: bool,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// Absolute, inside.
        target: String,
        /// Mount options in the order they were given: `size=64m`, `mode=1777`.
        options: Vec<String>,
        /// Whether it can only be read.
        read_only: bool,
        /// Whether programs in it may be executed.
        executable: bool,
    },
}

impl Mount {
    /// Where it is mounted, inside.
    #[must_use]
    pub fn target(&self) -> &str {
        match self {
            Self::Bind { target, .. } | Self::Tmpfs { target, .. } => target,
        }
    }
}

/// How a container is connected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// A network of its own with a loopback and one more address; published ports lead there.
    #[default]
    Private,
    /// A network of its own with nothing but the loopback.
    None,
    /// The host's network.
    Host,
}

/// A process in a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Process {
    /// The program, a path or a name that is looked for in `PATH`, and its arguments.
    pub arguments: Vec<String>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// Absolute.
    pub directory: String,
    /// Whether the directory is made if it is missing.
    pub make_directory: bool,
    /// The user id inside.
    pub uid: u32,
    /// The group id inside.
    pub gid: u32,
    /// The supplementary group ids inside.
    pub groups: Vec<u32>,
    /// The most that the process and its children may ever have.
    pub bounding: CapabilitySet,
    /// What a process that is not root starts with.
    pub ambient: CapabilitySet,
    /// The size of the terminal it gets, as rows and columns; `None` for no terminal.
    pub terminal: Option<(u16, u16)>,
    /// Its resource limits; of the others it has the caller's.
    pub rlimits: Vec<Rlimit>,
    /// The system calls that it may make.
    pub filter: Filter,
    /// Whether no program that it executes can give it more rights (prctl(2)).
    pub no_new_privileges: bool,
    /// The AppArmor profile that its program runs under, if one was named.
    pub apparmor: Option<String>,
}

/// Which system calls a process may make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// What our own profile says, which was compiled when this program was.
    #[default]
    Baked,
    /// Every one.
    Open,
    /// What this program of the kernel's decides.
    Program(Vec<Instruction>),
}

/// A limit of one resource of a process (getrlimit(2)). `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// Which.
    pub resource: Resource,
    /// What holds, which the process may raise to the other.
    pub soft: Option<u64>,
    /// The most that it may ever have.
    pub hard: Option<u64>,
}

/// A resource that can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "getrlimit(2) says what each is")]
pub enum Resource {
    As,
    Core,
    Cpu,
    Data,
    Fsize,
    Locks,
    Memlock,
    Msgqueue,
    Nice,
    Nofile,
    Nproc,
    Rss,
    Rtprio,
    Rttime,
    Sigpending,
    Stack,
}

impl Resource {
    /// Every one, with its name.
    pub const ALL: [(Self, &str); 16] = [
        (Self::As, "as"),
        (Self::Core, "core"),
        (Self::Cpu, "cpu"),
        (Self::Data, "data"),
        (Self::Fsize, "fsize"),
        (Self::Locks, "locks"),
        (Self::Memlock, "memlock"),
        (Self::Msgqueue, "msgqueue"),
        (Self::Nice, "nice"),
        (Self::Nofile, "nofile"),
        (Self::Nproc, "nproc"),
        (Self::Rss, "rss"),
        (Self::Rtprio, "rtprio"),
        (Self::Rttime, "rttime"),
        (Self::Sigpending, "sigpending"),
        (Self::Stack, "stack"),
    ];

    /// Reads `nofile`, or `RLIMIT_NOFILE` as the runtime specification writes it.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let name = name.strip_prefix("rlimit_").unwrap_or(&name);
        let found = Self::ALL.iter().find(|(_, known)| *known == name);
        found.map(|(resource, _)| *resource)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(resource, _)| *resource == self);
        found.map_or("", |(_, name)| name)
    }
}

/// A process that joins a running container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Join {
    /// The container's first process, seen from the host.
    pub pid: i32,
    /// When that process started, in clock ticks since boot: the pid may have been given anew.
    pub start_time: u64,
    /// What to run in it.
    pub process: Process,
    /// Whether the container sees its own control group as the root of all.
    pub own_cgroups: bool,
}
