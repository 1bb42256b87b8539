//! What a process in a container is: what it runs, as whom, and what it may do.

use serde::{Deserialize, Serialize};

use super::super::capability::CapabilitySet;
use super::super::landlock::Scopes;
use super::super::seccomp::custom::Instruction;
use super::super::seccomp::listener::Listener;

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
    /// Its capabilities.
    pub capabilities: Capabilities,
    /// Whether it may open as many files as may be had without privilege, unless `rlimits` say
    /// something else.
    pub most_descriptors: bool,
    /// What only few processes have.
    pub traits: Traits,
    /// The size of the terminal it gets, as rows and columns; `None` for no terminal.
    pub terminal: Option<(u16, u16)>,
    /// Its resource limits; of the others it has the caller's.
    pub rlimits: Vec<Rlimit>,
    /// The system calls that it may make.
    pub filter: Filter,
    /// What it reaches only among the processes that it has started, where the kernel knows that.
    pub scopes: Scopes,
    /// Whether it sees the processes of the host, and so must not reach into them.
    pub beside_host: bool,
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
    /// The same, installed in a special way.
    Special(Box<SpecialFilter>),
}

/// A filter that is installed with flags, or that hands system calls to another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecialFilter {
    /// What decides.
    pub program: Vec<Instruction>,
    /// `SECCOMP_FILTER_FLAG_LOG` and the like.
    pub flags: u64,
    /// Who is asked about some calls, if anybody is.
    pub listener: Option<Listener>,
}

impl Filter {
    /// Who is asked about some calls.
    #[must_use]
    pub fn listener(&self) -> Option<&Listener> {
        match self {
            Self::Special(special) => special.listener.as_ref(),
            Self::Baked | Self::Open | Self::Program(_) => None,
        }
    }
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

/// The capabilities of a process (capabilities(7)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// The most that the process and its children may ever have.
    pub bounding: CapabilitySet,
    /// What it has.
    pub effective: CapabilitySet,
    /// What it may take.
    pub permitted: CapabilitySet,
    /// What a program with file capabilities may inherit.
    pub inheritable: CapabilitySet,
    /// What every program that it starts has.
    pub ambient: CapabilitySet,
}

impl Capabilities {
    /// Those of a process of `uid`: root has all of `bounding`, anybody else has `ambient`.
    #[must_use]
    pub fn of_user(uid: u32, bounding: CapabilitySet, ambient: CapabilitySet) -> Self {
        let (kept, inherited) = if uid == 0 {
            (bounding, CapabilitySet::EMPTY)
        } else {
            (ambient, ambient)
        };
        Self {
            bounding,
            effective: kept,
            permitted: kept,
            inheritable: inherited,
            ambient: inherited,
        }
    }
}

/// What a process has only where somebody asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traits {
    /// Permission bits that new files do not get; `None` is 022.
    pub umask: Option<u32>,
    /// How readily the kernel kills it when memory runs out (proc(5), `oom_score_adj`).
    pub oom_score_adjustment: Option<i32>,
    /// Its class and priority for input and output, as ioprio_set(2) takes them.
    pub io_priority: Option<i32>,
    /// How it is scheduled.
    pub scheduler: Option<Scheduler>,
    /// Its execution domain (personality(2)).
    pub personality: Option<u32>,
    /// Its SELinux label.
    pub selinux: Option<String>,
}

/// How a process is scheduled (sched_setattr(2)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduler {
    /// The policy's number.
    pub policy: u32,
    /// Flags.
    pub flags: u64,
    /// For `SCHED_OTHER` and `SCHED_BATCH`.
    pub nice: i32,
    /// For `SCHED_FIFO` and `SCHED_RR`.
    pub priority: u32,
    /// For `SCHED_DEADLINE`, nanoseconds.
    pub runtime: u64,
    /// For `SCHED_DEADLINE`, nanoseconds.
    pub deadline: u64,
    /// For `SCHED_DEADLINE`, nanoseconds.
    pub period: u64,
}
