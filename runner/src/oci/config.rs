//! `config.json` of the OCI runtime specification 1.2, as far as it is about Linux.
//!
//! Names and shapes are the specification's. What is unknown is passed over, as it says
//! (config.md, "Extensibility"); `null` is as good as nothing, as programs in Go write it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::sandbox::spec::Hook;

mod linux;

pub use linux::*;

/// A list that may be left out.
pub type List<T> = Option<Vec<T>>;

/// The longest configuration: Kubernetes keeps its objects below 1.5 MiB, and nothing writes more.
const LONGEST: u64 = 16 << 20;

/// A whole configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The version of the specification that it follows.
    pub oci_version: String,
    /// The container's process.
    pub process: Option<Process>,
    /// The root file system.
    pub root: Option<Root>,
    /// The host name inside.
    pub hostname: Option<String>,
    /// The NIS domain inside.
    pub domainname: Option<String>,
    /// Mounts, in the order in which they are made.
    pub mounts: List<Mount>,
    /// Programs to run at points of the life.
    pub hooks: Option<Hooks>,
    /// Words of others.
    pub annotations: Option<BTreeMap<String, String>>,
    /// What is only about Linux.
    pub linux: Option<Linux>,
}

/// `root`.
#[derive(Debug, Clone, Deserialize)]
pub struct Root {
    /// Absolute, or relative to the bundle.
    pub path: PathBuf,
    /// Whether `/` can only be read.
    pub readonly: Option<bool>,
}

/// `process`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Whether it gets a terminal.
    pub terminal: Option<bool>,
    /// The size of that.
    pub console_size: Option<ConsoleSize>,
    /// Who it runs as.
    #[serde(default)]
    pub user: User,
    /// The program and its arguments.
    pub args: List<String>,
    /// `NAME=value`.
    pub env: List<String>,
    /// The working directory, absolute.
    #[serde(default)]
    pub cwd: String,
    /// Sets of capabilities by name.
    pub capabilities: Option<Capabilities>,
    /// Limits of resources.
    pub rlimits: List<Rlimit>,
    /// Whether it can get no more privileges.
    pub no_new_privileges: Option<bool>,
    /// The AppArmor profile.
    pub apparmor_profile: Option<String>,
    /// How readily the kernel kills it.
    pub oom_score_adj: Option<i32>,
    /// The SELinux label.
    pub selinux_label: Option<String>,
    /// Input and output priority.
    pub io_priority: Option<IoPriority>,
    /// Scheduling.
    pub scheduler: Option<Scheduler>,
}

/// `process.consoleSize`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct ConsoleSize {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

/// `process.user`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The user id inside.
    #[serde(default)]
    pub uid: u32,
    /// The group id inside.
    #[serde(default)]
    pub gid: u32,
    /// Permission bits that new files do not get.
    pub umask: Option<u32>,
    /// Supplementary groups.
    pub additional_gids: List<u32>,
}

/// `process.capabilities`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Capabilities {
    /// The most it may ever have.
    pub bounding: List<String>,
    /// What it has.
    pub effective: List<String>,
    /// What programs with file capabilities inherit.
    pub inheritable: List<String>,
    /// What it may take.
    pub permitted: List<String>,
    /// What every program that it starts has.
    pub ambient: List<String>,
}

/// One of `process.rlimits`.
#[derive(Debug, Clone, Deserialize)]
pub struct Rlimit {
    /// `RLIMIT_NOFILE` and the like.
    #[serde(rename = "type")]
    pub kind: String,
    /// How far it may be raised.
    pub hard: u64,
    /// What counts.
    pub soft: u64,
}

/// `process.ioPriority`.
#[derive(Debug, Clone, Deserialize)]
pub struct IoPriority {
    /// `IOPRIO_CLASS_BE` and the like.
    pub class: String,
    /// 0 to 7.
    #[serde(default)]
    pub priority: i32,
}

/// `process.scheduler`.
#[derive(Debug, Clone, Deserialize)]
pub struct Scheduler {
    /// `SCHED_OTHER` and the like.
    pub policy: String,
    /// For the ordinary policies.
    #[serde(default)]
    pub nice: i32,
    /// For the real-time policies.
    #[serde(default)]
    pub priority: u32,
    /// `SCHED_FLAG_RESET_ON_FORK` and the like.
    pub flags: List<String>,
    /// For `SCHED_DEADLINE`, nanoseconds.
    #[serde(default)]
    pub runtime: u64,
    /// For `SCHED_DEADLINE`, nanoseconds.
    #[serde(default)]
    pub deadline: u64,
    /// For `SCHED_DEADLINE`, nanoseconds.
    #[serde(default)]
    pub period: u64,
}

/// One of `mounts`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Where, inside.
    pub destination: String,
    /// The type of the file system.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// What is mounted; a relative path is so to the bundle.
    pub source: Option<String>,
    /// Options as of mount(8).
    pub options: List<String>,
    /// Whose files are whose in it, by user.
    pub uid_mappings: List<IdMapping>,
    /// By group.
    pub gid_mappings: List<IdMapping>,
}

/// One of a map of ids.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct IdMapping {
    /// The first id inside.
    #[serde(rename = "containerID")]
    pub inside: u32,
    /// The first id outside.
    #[serde(rename = "hostID")]
    pub outside: u32,
    /// How many follow one another.
    pub size: u32,
}

/// `hooks`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hooks {
    /// On the host, when the namespaces are there; the older name of the next.
    pub prestart: List<Hook>,
    /// On the host, when the namespaces are there.
    pub create_runtime: List<Hook>,
    /// Inside, before its root is entered.
    pub create_container: List<Hook>,
    /// Inside, before the program.
    pub start_container: List<Hook>,
    /// On the host, after the program has started.
    pub poststart: List<Hook>,
    /// On the host, after the container was deleted.
    pub poststop: List<Hook>,
}

impl Config {
    /// Reads `config.json` in the folder `bundle`, and gives its text too.
    ///
    /// # Errors
    /// When it can not be read, or is no configuration of version 1.
    pub fn read(bundle: &Path) -> anyhow::Result<(Self, Vec<u8>)> {
        let text = read_bounded(&bundle.join("config.json"))?;
        Ok((Self::parse(&text)?, text))
    }

    /// Reads the text of a configuration.
    ///
    /// # Errors
    /// When it is none of version 1.
    pub fn parse(text: &[u8]) -> anyhow::Result<Self> {
        let config: Self = serde_json::from_slice(text)
            .map_err(|error| anyhow::anyhow!("config.json is no configuration: {error}"))?;
        anyhow::ensure!(
            config.oci_version.starts_with("1."),
            "config.json follows version \"{}\" of the runtime specification; this is a runtime for \
             version 1",
            config.oci_version.escape_debug()
        );
        Ok(config)
    }
}

impl Process {
    /// Reads the file of `exec --process`.
    ///
    /// # Errors
    /// When it can not be read or is no process.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        serde_json::from_slice(&read_bounded(path)?)
            .map_err(|error| anyhow::anyhow!("{} is no process: {error}", path.display()))
    }
}

fn read_bounded(path: &Path) -> anyhow::Result<Vec<u8>> {
    use std::io::Read;
    let what = || format!("cannot read {}", path.display());
    let context = |error: std::io::Error| {
        anyhow::anyhow!("{}: {}", what(), crate::sandbox::failure::describe(&error))
    };
    let mut text = Vec::new();
    let file = fs::File::open(path).map_err(context)?;
    file.take(LONGEST + 1)
        .read_to_end(&mut text)
        .map_err(context)?;
    anyhow::ensure!(
        text.len() as u64 <= LONGEST,
        "{} is longer than {LONGEST} bytes",
        path.display()
    );
    Ok(text)
}
