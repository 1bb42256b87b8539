//! What a container is, as one plain value: everything that the sandbox has to know, resolved.
//!
//! Names are numbers here, paths are absolute, defaults are filled in. It travels as JSON from the
//! caller to the stage and stays there.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

mod process;

pub use process::{
    Capabilities, Filter, Process, Resource, Rlimit, Scheduler, SpecialFilter, Traits,
};

/// A container before it starts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// What it is shut in with.
    pub isolation: Isolation,
    /// The namespaces that it is made in; the network's is said by `network`.
    pub namespaces: Namespaces,
    /// The host name inside; `None` keeps the host's (only with the host's network).
    pub hostname: Option<String>,
    /// The name of the NIS domain inside; `None` keeps the host's.
    pub domainname: Option<String>,
    /// The ids of the container's own user namespace, by user.
    pub users: Vec<Extent>,
    /// The ids of the container's own user namespace, by group.
    pub groups: Vec<Extent>,
    /// Where `/` comes from.
    pub rootfs: Rootfs,
    /// Kernel parameters by their path below `/proc/sys`, and their values.
    pub parameters: Vec<(String, String)>,
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
    /// What lies at `/dev`, `/proc` and `/sys`.
    pub system: System,
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
    /// Who starts the program, and when.
    pub begin: Begin,
    /// Descriptors that travel with the specification.
    pub carried: Carried,
}

/// What a container is shut in with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// A user namespace of its own, and with it all other kinds.
    #[default]
    Namespaces,
    /// A copy of the image's files as its root directory (chroot(2)), and what else can be had by a
    /// root to whom the kernel gives no user namespace.
    Chroot,
}

impl Isolation {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Chroot => "chroot",
        }
    }
}

impl Spec {
    /// Whether the container has no namespace of its own at all.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.isolation == Isolation::Chroot && self.namespaces.new.is_empty()
    }
}

/// Positions of descriptors among those that travel to a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// What the program finds open at 3, 4, …
    pub passed: Vec<usize>,
}

/// When the program of a container that is set up starts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Begin {
    /// At once. It ends with the process that started it.
    AtOnce,
    /// When somebody says so, and nobody keeps watch over it.
    WhenTold(Box<Told>),
}

/// The character devices that every container has, all of them harmless: name, major and minor number
/// (config-linux.md, "Default Devices"; Documentation/admin-guide/devices.txt of Linux).
pub const DEFAULT_DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// What happens around a container that somebody else starts (runtime.md, "Lifecycle").
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Told {
    /// Position of the listening socket through which the word to start comes, among the
    /// descriptors that travel with the specification.
    pub gate: usize,
    /// Whether it leaves the caller's session keyring for a new one.
    pub new_keyring: bool,
    /// Whether the caller has something to do when the namespaces are there.
    pub pause: bool,
    /// Programs of the host that are run inside before the root file system is entered.
    pub create_hooks: Vec<Hook>,
    /// Programs of the container that are run right before its own.
    pub start_hooks: Vec<Hook>,
    /// What the hooks read, as JSON, without the process id.
    pub state: serde_json::Map<String, serde_json::Value>,
}

/// A program that is run at a point of a container's life (config.md, "POSIX-platform Hooks").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Absolute.
    pub path: PathBuf,
    /// The arguments, the program's name included; just that if there is none.
    #[serde(default)]
    pub args: Vec<String>,
    /// `NAME=value`.
    #[serde(default)]
    pub env: Vec<String>,
    /// Seconds after which it is killed.
    #[serde(default)]
    pub timeout: Option<u64>,
}

/// A kind of namespace (namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Namespace {
    /// Mounts.
    Mount,
    /// Process ids.
    Pid,
    /// Interfaces, addresses, ports.
    Network,
    /// Message queues and shared memory.
    Ipc,
    /// The host's name.
    Uts,
    /// User and group ids, and capabilities.
    User,
    /// The root of the control groups.
    Cgroup,
    /// The monotonic and the boot-time clock.
    Time,
}

/// The namespaces of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// Those that are made for it.
    pub new: Vec<Namespace>,
    /// Those that are there already, and a file that stands for each.
    pub joined: Vec<(Namespace, PathBuf)>,
    /// What a clock of a new time namespace is ahead: its name, seconds and nanoseconds.
    pub clocks: Vec<(String, i64, u32)>,
}

impl Namespaces {
    /// A container's own, of every kind but time.
    #[must_use]
    pub fn private() -> Self {
        use Namespace::{Cgroup, Ipc, Mount, Pid, User, Uts};
        Self {
            new: vec![User, Mount, Pid, Ipc, Uts, Cgroup],
            joined: Vec::new(),
            clocks: Vec::new(),
        }
    }

    /// What a root gets to whom the kernel gives no user namespace.
    #[must_use]
    pub fn without_users() -> Self {
        let mut namespaces = Self::private();
        namespaces.new.retain(|kind| *kind != Namespace::User);
        namespaces
    }

    /// No namespace of its own.
    #[must_use]
    pub fn none() -> Self {
        Self {
            new: Vec::new(),
            joined: Vec::new(),
            clocks: Vec::new(),
        }
    }

    /// Whether one of this kind is made.
    #[must_use]
    pub fn has_new(&self, kind: Namespace) -> bool {
        self.new.contains(&kind)
    }
}

/// What lies at `/dev`, `/proc` and `/sys` of a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum System {
    /// What every container of this engine has.
    Standard,
    /// What the list of mounts says, and this.
    Listed(Box<Listed>),
}

/// What a specification says about devices and kernel files beside its mounts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Devices that are made; `None` leaves `/dev` alone.
    pub devices: Option<Vec<Device>>,
}

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Absolute, inside.
    pub path: String,
    /// What it is.
    pub kind: DeviceKind,
    /// Its numbers.
    pub major: u32,
    /// Its numbers.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// The user id inside that owns it.
    pub uid: u32,
    /// The group id inside that owns it.
    pub gid: u32,
}

/// The kind of a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceKind {
    /// A character device.
    #[serde(rename = "c", alias = "u")]
    Character,
    /// A block device.
    #[serde(rename = "b")]
    Block,
    /// A named pipe.
    #[serde(rename = "p")]
    Fifo,
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
pub enum Rootfs {
    /// An image's tree, with a layer over it.
    Image(ImageTree),
    /// A directory as it is.
    Directory(Directory),
}

/// A directory that becomes `/`, and what is written there is written into it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Directory {
    /// Absolute, on the host.
    pub path: PathBuf,
    /// How mounts travel between the container and the host.
    pub propagation: Propagation,
    /// Whether the host's root is left by moving the directory over it and not by pivot_root(2),
    /// which a root file system in memory does not allow.
    pub no_pivot: bool,
}

/// How mounts travel between a mount and its copies (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    /// Not at all.
    Private,
    /// From the original to the copy.
    Slave,
    /// In both directions.
    Shared,
    /// Not at all, and it can not be copied either.
    Unbindable,
}

impl Propagation {
    /// Each with the word for it (mount(8)); an `r` before it means all below too.
    pub const WORDS: [(&str, Self); 4] = [
        ("private", Self::Private),
        ("shared", Self::Shared),
        ("slave", Self::Slave),
        ("unbindable", Self::Unbindable),
    ];

    /// What such a word means, and whether all below go with it.
    #[must_use]
    pub fn parse(word: &str) -> Option<(Self, bool)> {
        let find = |word: &str| Self::WORDS.iter().find(|(known, _)| *known == word);
        let alone = find(word).map(|(_, propagation)| (*propagation, false));
        let recursive = || {
            let word = word.strip_prefix('r')?;
            find(word).map(|(_, propagation)| (*propagation, true))
        };
        alone.or_else(recursive)
    }
}

/// An image's tree that becomes a container's `/`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImageTree {
    /// The image's tree, which is never written.
    pub tree: PathBuf,
    /// The container's own folder, in which `upper` and `work` are made, if they are on the disk.
    pub folder: PathBuf,
    /// How the tree becomes writable.
    pub driver: Driver,
    /// Whether what the container writes goes when it ends. Then nothing of it has to reach the disk.
    pub temporary: bool,
}

/// How an image's tree becomes a container's `/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// An overlay mount over the tree.
    Overlay,
    /// The same, and what is written stays in memory: at most so many bytes, gone when the container ends.
    Memory(u64),
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
        /// What may be done with its files.
        access: Access,
        /// How mounts travel between it and the host's; not at all if nothing is said.
        propagation: Option<(Propagation, bool)>,
        /// Whether the container's user becomes the owner of its files.
        own: bool,
        /// Position of a descriptor of the mount, made by a caller with more rights, among
        /// those that travel with the specification.
        prepared: Option<usize>,
        /// Whether it is a volume of ours; the image's files at `target` are copied into one that is
        /// empty.
        named: bool,
        /// Whether they are not.
        no_copy: bool,
    },
    /// A file system in memory.
    Tmpfs {
        /// Absolute, inside.
        target: String,
        /// Mount options in the order they were given: `size=64m`, `mode=1777`.
        options: Vec<String>,
        /// What may be done with its files.
        access: Access,
        /// Whether it begins with what the image has at `target`.
        copy_up: bool,
    },
    /// A mount with everything said about it.
    Listed(Box<ListedMount>),
}

/// What may be done with the files of a mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Access {
    /// They can only be read.
    pub read_only: bool,
    /// None is executed.
    pub no_exec: bool,
    /// Set-uid bits count.
    pub suid: bool,
    /// Devices can be opened.
    pub dev: bool,
}

/// A mount as the runtime specification lists it (config.md, "Mounts").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedMount {
    /// Absolute, inside.
    pub target: String,
    /// What is mounted.
    pub what: Mounted,
    /// Attributes of the mount alone.
    pub attributes: Attributes,
    /// Attributes of the mount and all below it.
    pub recursive: Attributes,
    /// How mounts travel, and whether that is so for all below it too.
    pub propagation: Vec<(Propagation, bool)>,
    /// Position of a descriptor of the mount, made by a caller with more rights, among those that
    /// travel with the specification.
    pub prepared: Option<usize>,
    /// Whether what is at the target is copied into it.
    pub copy_up: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mounted {
    /// A file or directory of the host.
    Path {
        /// Absolute, on the host.
        source: PathBuf,
        /// Whether with the mounts below it.
        recursive: bool,
    },
    /// A new file system.
    FileSystem {
        /// Its type.
        kind: String,
        /// What the list of mounts shows as its device.
        source: String,
        /// Its own options.
        options: Vec<(String, Option<String>)>,
    },
    /// The control groups, as far as the container has its own.
    Cgroups,
}

/// Attributes of a mount as mount_setattr(2) takes them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Bits that are set.
    pub set: u64,
    /// Bits that are cleared before.
    pub clear: u64,
}

impl Mount {
    /// Where it is mounted, inside.
    #[must_use]
    pub fn target(&self) -> &str {
        match self {
            Self::Bind { target, .. } | Self::Tmpfs { target, .. } => target,
            Self::Listed(mount) => &mount.target,
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

/// A process that joins a running container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Join {
    /// The container's first process, seen from the host.
    pub pid: i32,
    /// When that process started, in clock ticks since boot: the pid may have been given anew.
    pub start_time: u64,
    /// What to run in it.
    pub process: Process,
    /// The root directory of a container that has no namespaces of its own.
    pub root: Option<PathBuf>,
    /// Whether the container sees its own control group as the root of all.
    pub own_cgroups: bool,
    /// Whether it ends with the process that started it.
    pub bound: bool,
    /// Descriptors that travel with this.
    pub carried: Carried,
}
