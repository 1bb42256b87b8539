//! The control group of a container: where its configuration says, with the limits it names.

use std::collections::BTreeMap;

use anyhow::{bail, ensure};

use super::config::{BlockIo, DeviceAccess, Linux, Resources};
use super::state::is_rootless;
use crate::sandbox::cgroup::{
    Ceiling, Cgroup, Device, DeviceKind, DeviceRule, Limits, Owned, Parent, Rate, Special,
};

/// Where groups are made for which no place is named.
const USUAL: &str = "runner-oci";

/// What every container may open (config-linux.md, "Default Devices"), beside making any device,
/// which alone opens nothing: kind, numbers and access.
const OPEN: [(DeviceKind, Option<u32>, Option<u32>, &str); 11] = [
    (DeviceKind::Character, None, None, "m"),
    (DeviceKind::Block, None, None, "m"),
    (DeviceKind::Character, Some(1), Some(3), "rwm"),
    (DeviceKind::Character, Some(1), Some(5), "rwm"),
    (DeviceKind::Character, Some(1), Some(7), "rwm"),
    (DeviceKind::Character, Some(1), Some(8), "rwm"),
    (DeviceKind::Character, Some(1), Some(9), "rwm"),
    (DeviceKind::Character, Some(5), Some(0), "rwm"),
    (DeviceKind::Character, Some(5), Some(1), "rwm"),
    (DeviceKind::Character, Some(5), Some(2), "rwm"),
    (DeviceKind::Character, Some(136), None, "rwm"),
];

/// The group of a container that is being created.
#[derive(Debug)]
pub enum Group {
    /// It has none.
    None,
    /// One that was made, and that goes if the container is not created after all.
    Own(Owned),
    /// A scope of systemd's, which goes when its last process has ended. This process is in it.
    Scope(Cgroup),
}

impl Group {
    /// The group itself.
    #[must_use]
    pub fn cgroup(&self) -> Option<&Cgroup> {
        match self {
            Self::None => None,
            Self::Own(owned) => owned.group(),
            Self::Scope(group) => Some(group),
        }
    }

    /// It goes with the container from now on.
    pub fn keep(self) {
        if let Self::Own(owned) = self {
            let _ = owned.keep();
        }
    }
}

/// Makes the group of the container `id`. There is none for a user who has no part of the tree,
/// if nothing is limited.
///
/// # Errors
/// When a limit can not be enforced here.
pub fn make(linux: &Linux, id: &str, systemd: bool) -> anyhow::Result<Group> {
    let none = Resources::default();
    let mut limits = limits(linux.resources.as_ref().unwrap_or(&none))?;
    if is_rootless() {
        // Without real privilege no device can be made, so none has to be closed.
        limits.devices = None;
    }
    let path = linux.cgroups_path.clone().filter(|path| !path.is_empty());
    if systemd {
        let (slice, unit) = scope(path.as_deref(), id)?;
        return Ok(Group::Scope(Cgroup::in_scope(&unit, &slice, &limits)?));
    }
    let path = path.unwrap_or_else(|| format!("{USUAL}/{id}"));
    ensure!(
        !path.contains(':'),
        "linux.cgroupsPath: \"{}\" is for systemd, and --systemd-cgroup is missing",
        path.escape_debug()
    );
    let (parent, name) = path
        .trim_end_matches('/')
        .rsplit_once('/')
        .unwrap_or(("", &path));
    let parent = if parent.is_empty() { USUAL } else { parent };
    let made = Parent::named(parent).and_then(|parent| Cgroup::make(&parent, name, &limits));
    match made {
        // It was there, and belongs to somebody else.
        Ok(group) if is_rootless() && !is_ours(&group) => {
            ensure!(
                limits.is_empty(),
                "no limit can be enforced here: the cgroups are not ours"
            );
            Ok(Group::None)
        }
        Ok(group) => Ok(Group::Own(Owned::new(group))),
        Err(_) if is_rootless() && limits.is_empty() => Ok(Group::None),
        Err(failure) => bail!(failure),
    }
}

/// The slice and the scope that `slice:prefix:name` stands for, as runc and crun read it.
fn scope(path: Option<&str>, id: &str) -> anyhow::Result<(String, String)> {
    let usual = format!(":{USUAL}:{id}");
    let path = path.unwrap_or(&usual);
    let parts: Vec<_> = path.split(':').collect();
    let [slice, prefix, name] = parts[..] else {
        bail!(
            "linux.cgroupsPath: \"{}\" is no slice:prefix:name, as --systemd-cgroup asks for",
            path.escape_debug()
        );
    };
    let slice = match (slice, is_rootless()) {
        ("", true) => "user.slice",
        ("", false) => "system.slice",
        (named, _) => named,
    };
    let unit = match prefix {
        "" => format!("{name}.scope"),
        prefix => format!("{prefix}-{name}.scope"),
    };
    Ok((slice.to_owned(), unit))
}

/// Whether we may move processes into the group.
fn is_ours(group: &Cgroup) -> bool {
    let processes = group.main().join("cgroup.procs");
    rustix::fs::access(processes, rustix::fs::Access::WRITE_OK).is_ok()
}

/// What `resources` limit. A 0 is no limit, as programs in Go write it.
///
/// # Errors
/// When a device has no kind that is known.
pub fn limits(resources: &Resources) -> anyhow::Result<Limits> {
    let memory = resources.memory.clone().unwrap_or_default();
    let cpu = resources.cpu.clone().unwrap_or_default();
    let ceiling = |number: Option<i64>| number.filter(|number| *number != 0).map(Ceiling::of);
    let some = |number: Option<u64>| number.filter(|number| *number != 0);
    let text = |text: Option<String>| text.filter(|text| !text.is_empty());
    let mut rules = vec![DeviceRule {
        allow: false,
        kind: DeviceKind::All,
        major: None,
        minor: None,
        access: "rwm".to_owned(),
    }];
    for access in resources.devices.iter().flatten() {
        rules.push(rule(access)?);
    }
    rules.extend(OPEN.map(|(kind, major, minor, access)| DeviceRule {
        allow: true,
        kind,
        major,
        minor,
        access: access.to_owned(),
    }));
    Ok(Limits {
        memory: ceiling(memory.limit),
        memory_and_swap: ceiling(memory.swap),
        memory_reservation: some(
            memory
                .reservation
                .and_then(|number| u64::try_from(number).ok()),
        ),
        cpu_shares: some(cpu.shares),
        cpu_quota: ceiling(cpu.quota),
        cpu_period: some(cpu.period),
        cpus: text(cpu.cpus),
        mems: text(cpu.mems),
        pids: ceiling(resources.pids.as_ref().and_then(|pids| pids.limit)),
        io_weight: some(resources.block_io.as_ref().and_then(|io| io.weight)),
        devices: Some(rules),
        unified: unified(resources)?,
        special: special(resources)?,
    })
}

/// Files of the second version. Their names are only names: the folder is the container's own group.
fn unified(resources: &Resources) -> anyhow::Result<BTreeMap<String, String>> {
    let files = resources.unified.clone().unwrap_or_default();
    let wrong = files.keys().find(|name| !is_file_name(name));
    ensure!(
        wrong.is_none(),
        "linux.resources.unified: \"{}\" is no file of a cgroup",
        wrong
            .map(|name| name.escape_debug().to_string())
            .unwrap_or_default()
    );
    Ok(files)
}

/// As every controller names its files: `memory.max`, `hugetlb.2MB.max`.
fn is_file_name(name: &str) -> bool {
    let is_word = |part: &str| {
        let mut letters = part.bytes();
        !part.is_empty() && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
    };
    name.contains('.') && name.split('.').all(is_word)
}

/// What few ask for. A 0 is no limit here too, unless it means something.
fn special(resources: &Resources) -> anyhow::Result<Vec<Special>> {
    let some = |number: Option<u64>| number.filter(|number| *number != 0);
    let bytes = |number: Option<i64>| some(number.and_then(|number| u64::try_from(number).ok()));
    let mut list = Vec::new();
    if let Some(memory) = &resources.memory {
        let swappiness = memory
            .swappiness
            .and_then(|value| u64::try_from(value).ok());
        list.extend(swappiness.map(Special::Swappiness));
        list.extend((memory.disable_oom_killer == Some(true)).then_some(Special::NoOomKiller));
        list.extend(bytes(memory.kernel).map(Special::KernelMemory));
        list.extend(bytes(memory.kernel_tcp).map(Special::KernelTcpMemory));
    }
    if let Some(cpu) = &resources.cpu {
        // The kernel takes no runtime that is longer than the period.
        list.extend(some(cpu.realtime_period).map(Special::RealtimePeriod));
        let runtime = cpu.realtime_runtime.filter(|time| *time != 0);
        list.extend(runtime.map(Special::RealtimeRuntime));
        list.extend(some(cpu.burst).map(Special::Burst));
        list.extend(cpu.idle.filter(|idle| *idle != 0).map(Special::Idle));
    }
    if let Some(io) = &resources.block_io {
        list.extend(block_io(io));
    }
    for pages in resources.hugepage_limits.iter().flatten() {
        ensure!(
            is_file_name(&format!("hugetlb.{}", pages.page_size)) && !pages.page_size.contains('.'),
            "linux.resources.hugepageLimits: \"{}\" is no size of pages",
            pages.page_size.escape_debug()
        );
        list.push(Special::HugePages(pages.page_size.clone(), pages.limit));
    }
    for (device, most) in resources.rdma.iter().flatten() {
        let (handles, objects) = (most.hca_handles, most.hca_objects);
        list.push(Special::Rdma(device.clone(), handles, objects));
    }
    if let Some(network) = &resources.network {
        list.extend(
            network
                .class_id
                .filter(|class| *class != 0)
                .map(Special::NetworkClass),
        );
        for entry in network.priorities.iter().flatten() {
            list.push(Special::NetworkPriority(entry.name.clone(), entry.priority));
        }
    }
    Ok(list)
}

fn block_io(io: &BlockIo) -> Vec<Special> {
    let some = |number: Option<u64>| number.filter(|number| *number != 0);
    let mut list: Vec<_> = some(io.leaf_weight)
        .map(Special::LeafWeight)
        .into_iter()
        .collect();
    for entry in io.weight_device.iter().flatten() {
        let device = Device(entry.major, entry.minor);
        list.extend(some(entry.weight).map(|weight| Special::DeviceWeight(device, weight)));
        let leaf = some(entry.leaf_weight);
        list.extend(leaf.map(|weight| Special::DeviceLeafWeight(device, weight)));
    }
    for (entries, rate) in [
        (&io.throttle_read_bps_device, Rate::ReadBytes),
        (&io.throttle_write_bps_device, Rate::WriteBytes),
        (&io.throttle_read_iops_device, Rate::Reads),
        (&io.throttle_write_iops_device, Rate::Writes),
    ] {
        let entries = entries.iter().flatten();
        list.extend(
            entries
                .map(|entry| Special::Throttle(Device(entry.major, entry.minor), rate, entry.rate)),
        );
    }
    list
}

fn rule(access: &DeviceAccess) -> anyhow::Result<DeviceRule> {
    let kind = match access.kind.as_deref().unwrap_or("a") {
        "" | "a" => DeviceKind::All,
        "c" | "u" => DeviceKind::Character,
        "b" => DeviceKind::Block,
        other => bail!(
            "linux.resources.devices: no device is of type \"{}\"",
            other.escape_debug()
        ),
    };
    // -1 is any, as runc has it.
    let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
    Ok(DeviceRule {
        allow: access.allow,
        kind,
        major: number(access.major),
        minor: number(access.minor),
        access: access
            .access
            .clone()
            .filter(|access| !access.is_empty())
            .unwrap_or_else(|| "rwm".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_named_as_others_name_it() {
        let (slice, unit) = scope(Some("machine.slice:libpod:0123"), "x").unwrap();
        assert_eq!(
            (slice.as_str(), unit.as_str()),
            ("machine.slice", "libpod-0123.scope")
        );
        assert!(scope(Some("/plain/path"), "x").is_err());
        assert!(scope(None, "x").unwrap().1.ends_with("-x.scope"));
    }

    #[test]
    fn zero_is_no_limit_and_devices_are_closed_first() {
        let text = r#"{"memory":{"limit":0,"swap":-1},"pids":{"limit":0},"cpu":{"shares":0,"quota":5},
            "devices":[{"allow":true,"type":"b","major":8,"minor":-1,"access":"r"}]}"#;
        let limits = limits(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(limits.memory, None);
        assert_eq!(limits.memory_and_swap, Some(Ceiling::Unlimited));
        assert_eq!((limits.pids, limits.cpu_shares), (None, None));
        assert_eq!(limits.cpu_quota, Some(Ceiling::At(5)));
        let rules = limits.devices.unwrap();
        assert!(!rules[0].allow && rules[1].minor.is_none() && rules.len() == 2 + OPEN.len());
    }
}
