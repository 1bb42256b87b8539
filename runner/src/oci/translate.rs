//! From a configuration to what the sandbox has to know.

use std::path::{Path, PathBuf};

use super::config::{self, Config, IdMapping, Linux};
use super::mount_options;
use crate::container::user;
use crate::profiles;
use crate::sandbox::capability::CapabilitySet;
use crate::sandbox::landlock::Scopes;
use crate::sandbox::parameters;
use crate::sandbox::spec::{
    Begin, Capabilities, Carried, DEFAULT_DEVICES, Device, DeviceKind, Directory, Extent, Filter,
    Isolation, Listed, Namespace, Namespaces, Network, Process, Propagation, Resource, Rlimit,
    Rootfs, Scheduler, Spec, System, Told, Traits,
};

/// The specification of the container that `config`, which lies in `bundle`, describes; compiled seccomp
/// profiles are kept in the folder `profiles`.
///
/// # Errors
/// One line that names the field.
pub fn spec(
    config: &Config,
    bundle: &Path,
    no_pivot: bool,
    profiles: &Path,
    told: Told,
) -> anyhow::Result<Spec> {
    let linux = config.linux.clone().unwrap_or_default();
    let namespaces = namespaces(&linux)?;
    let has = |kind| {
        namespaces.has_new(kind) || namespaces.joined.iter().any(|(joined, _)| *joined == kind)
    };
    anyhow::ensure!(
        has(Namespace::Mount),
        "linux.namespaces lists no mount namespace: the host's own mounts would change"
    );
    anyhow::ensure!(
        has(Namespace::Uts) || config.hostname.is_none() && config.domainname.is_none(),
        "hostname and domainname need a uts namespace in linux.namespaces"
    );
    let process = config.process.as_ref();
    let process = process.ok_or_else(|| anyhow::anyhow!("process is missing"))?;
    let (users, groups) = ids(&linux, &namespaces)?;
    let network = if namespaces.has_new(Namespace::Network) {
        Network::None
    } else {
        Network::Host
    };
    let root = root(config, &linux, bundle, no_pivot)?;
    Ok(Spec {
        isolation: Isolation::Namespaces,
        hostname: config.hostname.clone().filter(|name| !name.is_empty()),
        domainname: config.domainname.clone().filter(|name| !name.is_empty()),
        users,
        groups,
        parameters: parameters(&linux, &namespaces)?,
        files: Vec::new(),
        directories: Vec::new(),
        mounts: config
            .mounts
            .iter()
            .flatten()
            .map(|mount| mount_options::mount(mount, bundle, linux.mount_label.as_deref()))
            .collect::<anyhow::Result<_>>()?,
        read_only: config
            .root
            .as_ref()
            .is_some_and(|root| root.readonly == Some(true)),
        masked: linux.masked_paths.clone().unwrap_or_default(),
        protected: linux.readonly_paths.clone().unwrap_or_default(),
        proc_options: Vec::new(),
        system: System::Listed(Box::new(listed(config, &linux)?)),
        network,
        own_cgroups: namespaces.has_new(Namespace::Cgroup),
        highest_pid: None,
        process: self::process(process, &linux, &root.path, profiles)?,
        rootfs: Rootfs::Directory(root),
        init: false,
        begin: Begin::WhenTold(Box::new(told)),
        carried: Carried::default(),
        namespaces,
    })
}

fn namespaces(linux: &Linux) -> anyhow::Result<Namespaces> {
    let mut found = Namespaces {
        new: Vec::new(),
        joined: Vec::new(),
        clocks: Vec::new(),
    };
    for entry in linux.namespaces.iter().flatten() {
        let twice = found.new.contains(&entry.kind)
            || found.joined.iter().any(|(kind, _)| *kind == entry.kind);
        anyhow::ensure!(!twice, "linux.namespaces lists {:?} twice", entry.kind);
        match &entry.path {
            Some(path) if !path.as_os_str().is_empty() => {
                found.joined.push((entry.kind, path.clone()));
            }
            _ => found.new.push(entry.kind),
        }
    }
    for (clock, offset) in linux.time_offsets.iter().flatten() {
        anyhow::ensure!(
            found.has_new(Namespace::Time),
            "linux.timeOffsets needs a new time namespace in linux.namespaces"
        );
        anyhow::ensure!(
            matches!(clock.as_str(), "monotonic" | "boottime"),
            "linux.timeOffsets: no clock is called \"{}\"",
            clock.escape_debug()
        );
        let entry = (clock.clone(), offset.secs, offset.nanosecs);
        found.clocks.push(entry);
    }
    Ok(found)
}

fn ids(linux: &Linux, namespaces: &Namespaces) -> anyhow::Result<(Vec<Extent>, Vec<Extent>)> {
    let (users, groups) = (extents(&linux.uid_mappings), extents(&linux.gid_mappings));
    if namespaces.has_new(Namespace::User) {
        anyhow::ensure!(
            !users.is_empty() && !groups.is_empty(),
            "a new user namespace needs linux.uidMappings and linux.gidMappings"
        );
        return Ok((users, groups));
    }
    let joins = namespaces
        .joined
        .iter()
        .any(|(kind, _)| *kind == Namespace::User);
    anyhow::ensure!(
        users.is_empty() && groups.is_empty() || joins,
        "linux.uidMappings and linux.gidMappings need a user namespace in linux.namespaces"
    );
    Ok((Vec::new(), Vec::new()))
}

/// The sandbox's form of a map.
pub(super) fn extents(mappings: &config::List<IdMapping>) -> Vec<Extent> {
    mappings
        .iter()
        .flatten()
        .map(|mapping| Extent {
            inside: mapping.inside,
            outside: mapping.outside,
            count: mapping.size,
        })
        .collect()
}

fn root(
    config: &Config,
    linux: &Linux,
    bundle: &Path,
    no_pivot: bool,
) -> anyhow::Result<Directory> {
    let root = config.root.as_ref();
    let root = root.ok_or_else(|| anyhow::anyhow!("root is missing"))?;
    let path: PathBuf = bundle.join(&root.path);
    anyhow::ensure!(
        path.is_dir(),
        "root.path: {} is no directory",
        path.display()
    );
    let propagation = match linux.rootfs_propagation.as_deref() {
        None | Some("") => Propagation::Private,
        Some(text) => Propagation::parse(text)
            .map(|(propagation, _)| propagation)
            .ok_or_else(|| {
                anyhow::anyhow!(
                    "linux.rootfsPropagation: \"{}\" is none",
                    text.escape_debug()
                )
            })?,
    };
    Ok(Directory {
        path: path.canonicalize()?,
        propagation,
        no_pivot,
    })
}

fn listed(config: &Config, linux: &Linux) -> anyhow::Result<Listed> {
    let binds_dev = config.mounts.iter().flatten().any(|mount| {
        let is_dev = mount.destination.trim_end_matches('/') == "/dev";
        let mut options = mount.options.iter().flatten();
        is_dev && options.any(|option| option == "bind" || option == "rbind")
    });
    Ok(Listed {
        // A /dev of the host's has its devices.
        devices: (!binds_dev).then(|| devices(linux)).transpose()?,
    })
}

fn parameters(linux: &Linux, namespaces: &Namespaces) -> anyhow::Result<Vec<(String, String)>> {
    let list = linux.sysctl.iter().flatten();
    let list = list.map(|(name, value)| match parameters::path(name, namespaces) {
        Ok(path) => Ok((path, value.clone())),
        Err(error) => Err(anyhow::anyhow!("linux.sysctl: {error}")),
    });
    list.collect()
}

fn devices(linux: &Linux) -> anyhow::Result<Vec<Device>> {
    let mut devices = Vec::new();
    for entry in linux.devices.iter().flatten() {
        anyhow::ensure!(
            entry.path.starts_with('/') && !entry.path.split('/').any(|name| name == ".."),
            "linux.devices: \"{}\" is no absolute path",
            entry.path.escape_debug()
        );
        devices.push(Device {
            path: entry.path.clone(),
            kind: entry.kind,
            major: entry.major.unwrap_or(0),
            minor: entry.minor.unwrap_or(0),
            mode: entry.file_mode.unwrap_or(0o666) & 0o7777,
            uid: entry.uid.unwrap_or(0),
            gid: entry.gid.unwrap_or(0),
        });
    }
    for (name, major, minor) in DEFAULT_DEVICES {
        let path = format!("/dev/{name}");
        if devices.iter().all(|device| device.path != path) {
            devices.push(Device {
                path,
                kind: DeviceKind::Character,
                major,
                minor,
                mode: 0o666,
                uid: 0,
                gid: 0,
            });
        }
    }
    Ok(devices)
}

/// The sandbox's form of a process of a container with this `linux`, whose root file system the host
/// sees as `root`, with compiled seccomp profiles in the folder `profiles`.
///
/// # Errors
/// One line that names the field.
pub fn process(
    process: &config::Process,
    linux: &Linux,
    root: &Path,
    profiles: &Path,
) -> anyhow::Result<Process> {
    let arguments = process.args.clone().unwrap_or_default();
    anyhow::ensure!(
        arguments.first().is_some_and(|name| !name.is_empty()),
        "process.args is empty: there is nothing to run"
    );
    anyhow::ensure!(
        process.cwd.starts_with('/'),
        "process.cwd: \"{}\" is no absolute path",
        process.cwd.escape_debug()
    );
    let user = &process.user;
    let capabilities = capabilities(process);
    let bounding = capabilities.bounding;
    let size = process
        .console_size
        .map_or((0, 0), |size| (size.height, size.width));
    Ok(Process {
        arguments,
        environment: environment(process, root),
        directory: process.cwd.clone(),
        make_directory: true,
        uid: user.uid,
        gid: user.gid,
        groups: user.additional_gids.clone().unwrap_or_default(),
        capabilities,
        no_new_privileges: process.no_new_privileges == Some(true),
        filter: filter(linux, bounding, profiles)?,
        // A configuration says by itself what it wants.
        scopes: Scopes::default(),
        beside_host: false,
        apparmor: profile(process.apparmor_profile.as_deref()),
        most_descriptors: false,
        rlimits: process
            .rlimits
            .iter()
            .flatten()
            .map(limit)
            .collect::<anyhow::Result<_>>()?,
        traits: traits(process, linux)?,
        terminal: (process.terminal == Some(true)).then_some(size),
    })
}

/// The variables, and a home if there is none: programs expect one, and it is the user's of the root
/// file system, as with the other runtimes.
fn environment(process: &config::Process, root: &Path) -> Vec<String> {
    let mut variables = process.env.clone().unwrap_or_default();
    // What has no value is no variable; no shell would keep it.
    variables.retain(|variable| variable.find('=').is_some_and(|at| at > 0));
    let is_home = |variable: &String| variable.starts_with("HOME=");
    if !variables.iter().any(is_home) {
        let found = user::find(root, &process.user.uid.to_string());
        let home = found.map_or_else(|_| "/".to_owned(), |user| user.home);
        variables.push(format!("HOME={home}"));
    }
    variables
}

fn capabilities(process: &config::Process) -> Capabilities {
    let named = process.capabilities.clone().unwrap_or_default();
    // One that this kernel does not know is passed over, as the specification says.
    let set = |names: &config::List<String>| {
        names
            .iter()
            .flatten()
            .filter_map(|name| CapabilitySet::parse(name))
            .fold(CapabilitySet::EMPTY, CapabilitySet::union)
    };
    let permitted = set(&named.permitted);
    let inheritable = set(&named.inheritable);
    Capabilities {
        bounding: set(&named.bounding),
        effective: set(&named.effective),
        // Only what is in both can be ambient (capabilities(7)).
        ambient: set(&named.ambient)
            .intersection(permitted)
            .intersection(inheritable),
        permitted,
        inheritable,
    }
}

/// The filter of system calls that the configuration describes; without one all are open. What was
/// compiled is kept in `profiles`.
fn filter(linux: &Linux, bounding: CapabilitySet, profiles: &Path) -> anyhow::Result<Filter> {
    let Some(profile) = &linux.seccomp else {
        return Ok(Filter::Open);
    };
    profiles::filter(profile.get().as_bytes(), bounding, profiles)
        .map_err(|error| anyhow::anyhow!("linux.seccomp: {error}"))
}

/// An AppArmor profile, if there is to be one.
fn profile(name: Option<&str>) -> Option<String> {
    name.filter(|name| !matches!(*name, "" | "unconfined"))
        .map(str::to_owned)
}

fn limit(limit: &config::Rlimit) -> anyhow::Result<Rlimit> {
    // RLIM_INFINITY.
    let finite = |number: u64| (number != u64::MAX).then_some(number);
    Ok(Rlimit {
        resource: Resource::parse(&limit.kind).ok_or_else(|| {
            let kind = limit.kind.escape_debug();
            anyhow::anyhow!("process.rlimits: there is no limit \"{kind}\"")
        })?,
        soft: finite(limit.soft),
        hard: finite(limit.hard),
    })
}

fn traits(process: &config::Process, linux: &Linux) -> anyhow::Result<Traits> {
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    Ok(Traits {
        umask: process.user.umask,
        oom_score_adjustment: process.oom_score_adj,
        io_priority: process.io_priority.as_ref().map(io_priority).transpose()?,
        scheduler: process.scheduler.as_ref().map(scheduler).transpose()?,
        personality: linux.personality.as_ref().map(personality).transpose()?,
        selinux: text(&process.selinux_label),
    })
}

/// ioprio_set(2): the class in the upper three of 16 bits.
fn io_priority(priority: &config::IoPriority) -> anyhow::Result<i32> {
    let classes = ["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"];
    let class = classes.iter().position(|known| *known == priority.class);
    let class = class
        .and_then(|class| i32::try_from(class + 1).ok())
        .ok_or_else(|| {
            let class = priority.class.escape_debug();
            anyhow::anyhow!("process.ioPriority: there is no class \"{class}\"")
        })?;
    anyhow::ensure!(
        (0..8).contains(&priority.priority),
        "process.ioPriority: the priority is 0 to 7, and not {}",
        priority.priority
    );
    Ok(class << 13 | priority.priority)
}

/// sched_setattr(2).
fn scheduler(scheduler: &config::Scheduler) -> anyhow::Result<Scheduler> {
    let policies = [
        ("SCHED_OTHER", 0),
        ("SCHED_FIFO", 1),
        ("SCHED_RR", 2),
        ("SCHED_BATCH", 3),
        ("SCHED_ISO", 4),
        ("SCHED_IDLE", 5),
        ("SCHED_DEADLINE", 6),
    ];
    let flags = [
        ("SCHED_FLAG_RESET_ON_FORK", 0x01),
        ("SCHED_FLAG_RECLAIM", 0x02),
        ("SCHED_FLAG_DL_OVERRUN", 0x04),
        ("SCHED_FLAG_KEEP_POLICY", 0x08),
        ("SCHED_FLAG_KEEP_PARAMS", 0x10),
        ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
        ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
    ];
    let unknown =
        |name: &str| anyhow::anyhow!("process.scheduler: \"{}\" is unknown", name.escape_debug());
    let mut bits = 0;
    for name in scheduler.flags.iter().flatten() {
        let flag = flags.iter().find(|(known, _)| known == name);
        bits |= flag.ok_or_else(|| unknown(name))?.1;
    }
    let policy = policies
        .iter()
        .find(|(known, _)| *known == scheduler.policy);
    Ok(Scheduler {
        policy: policy.ok_or_else(|| unknown(&scheduler.policy))?.1,
        flags: bits,
        nice: scheduler.nice,
        priority: scheduler.priority,
        runtime: scheduler.runtime,
        deadline: scheduler.deadline,
        period: scheduler.period,
    })
}

fn personality(personality: &config::Personality) -> anyhow::Result<u32> {
    match personality.domain.as_str() {
        "LINUX" => Ok(0),
        "LINUX32" => Ok(8),
        other => anyhow::bail!(
            "linux.personality: no domain is called \"{}\"",
            other.escape_debug()
        ),
    }
}

#[cfg(test)]
mod tests;
