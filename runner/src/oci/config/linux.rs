//! `linux` of a configuration (config-linux.md).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{IdMapping, List};
use crate::sandbox::spec::{DeviceKind, Namespace};

/// `linux`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Linux {
    /// The ids of a new user namespace, by user.
    pub uid_mappings: List<IdMapping>,
    /// By group.
    pub gid_mappings: List<IdMapping>,
    /// Kernel parameters, with dots or slashes.
    pub sysctl: Option<BTreeMap<String, String>>,
    /// What it may use.
    pub resources: Option<Resources>,
    /// The filter of system calls, as it is written.
    pub seccomp: Option<Box<RawValue>>,
    /// Where its control group lies.
    pub cgroups_path: Option<String>,
    /// The namespaces that it does not share with the caller.
    pub namespaces: List<NamespaceEntry>,
    /// Devices beside the default ones.
    pub devices: List<DeviceEntry>,
    /// How mounts travel: `shared`, `slave`, `private`, `unbindable`, also with an `r` before.
    pub rootfs_propagation: Option<String>,
    /// What must not be seen.
    pub masked_paths: List<String>,
    /// What must not be changed.
    pub readonly_paths: List<String>,
    /// The SELinux label of mounts.
    pub mount_label: Option<String>,
    /// The execution domain.
    pub personality: Option<Personality>,
    /// What the clocks of a new time namespace are ahead.
    pub time_offsets: Option<BTreeMap<String, TimeOffset>>,
}

/// One of `linux.namespaces`.
#[derive(Debug, Clone, Deserialize)]
pub struct NamespaceEntry {
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: Namespace,
    /// One that is there already; a new one if there is none.
    pub path: Option<PathBuf>,
}

/// One of `linux.devices`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceEntry {
    /// Absolute, inside.
    pub path: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: DeviceKind,
    /// Its number.
    pub major: Option<u32>,
    /// Its number.
    pub minor: Option<u32>,
    /// Permission bits.
    pub file_mode: Option<u32>,
    /// The owner inside.
    pub uid: Option<u32>,
    /// The group inside.
    pub gid: Option<u32>,
}

/// `linux.personality`.
#[derive(Debug, Clone, Deserialize)]
pub struct Personality {
    /// `LINUX` or `LINUX32`.
    pub domain: String,
}

/// One of `linux.timeOffsets`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct TimeOffset {
    /// Seconds.
    #[serde(default)]
    pub secs: i64,
    /// Nanoseconds.
    #[serde(default)]
    pub nanosecs: u32,
}

/// `linux.resources`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// Which devices may be opened.
    pub devices: List<DeviceAccess>,
    /// Memory.
    pub memory: Option<Memory>,
    /// Time of processors.
    pub cpu: Option<Cpu>,
    /// The number of processes.
    pub pids: Option<Pids>,
    /// Reading and writing of devices.
    #[serde(rename = "blockIO")]
    pub block_io: Option<BlockIo>,
    /// Files of the second version of cgroups.
    pub unified: Option<BTreeMap<String, String>>,
    /// Huge pages.
    pub hugepage_limits: List<HugePages>,
    /// The class and priority of packets.
    pub network: Option<Network>,
    /// RDMA devices.
    pub rdma: Option<BTreeMap<String, Rdma>>,
}

/// One of `linux.resources.devices`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct DeviceAccess {
    /// Whether it opens.
    #[serde(default)]
    pub allow: bool,
    /// `a`, `b` or `c`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Its number.
    pub major: Option<i64>,
    /// Its number.
    pub minor: Option<i64>,
    /// Some of `r`, `w` and `m`.
    pub access: Option<String>,
}

/// `linux.resources.memory`, in bytes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// The most.
    pub limit: Option<i64>,
    /// What is left when memory is scarce.
    pub reservation: Option<i64>,
    /// With swap.
    pub swap: Option<i64>,
    /// What the kernel takes for it.
    pub kernel: Option<i64>,
    /// What it takes for TCP.
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: Option<i64>,
    /// How readily it is swapped out.
    pub swappiness: Option<i64>,
    /// Whether nobody is killed for want of it.
    #[serde(rename = "disableOOMKiller")]
    pub disable_oom_killer: Option<bool>,
}

/// `linux.resources.cpu`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cpu {
    /// Its part when time is scarce.
    pub shares: Option<u64>,
    /// Microseconds in each period.
    pub quota: Option<i64>,
    /// Microseconds.
    pub period: Option<u64>,
    /// Which processors.
    pub cpus: Option<String>,
    /// Which memory nodes.
    pub mems: Option<String>,
    /// Microseconds by which the quota may be exceeded now and then.
    pub burst: Option<u64>,
    /// Microseconds of real-time scheduling in each period.
    pub realtime_runtime: Option<i64>,
    /// That period, in microseconds.
    pub realtime_period: Option<u64>,
    /// Whether it gets only what nobody else wants.
    pub idle: Option<i64>,
}

/// `linux.resources.pids`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Pids {
    /// The most.
    pub limit: Option<i64>,
}

/// `linux.resources.blockIO`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockIo {
    /// Its part when there is much to do.
    pub weight: Option<u64>,
    /// That of its own processes beside groups below it.
    pub leaf_weight: Option<u64>,
    /// The same by device.
    pub weight_device: List<WeightDevice>,
    /// Bytes read in a second.
    pub throttle_read_bps_device: List<ThrottleDevice>,
    /// Bytes written in a second.
    pub throttle_write_bps_device: List<ThrottleDevice>,
    /// Reads in a second.
    #[serde(rename = "throttleReadIOPSDevice")]
    pub throttle_read_iops_device: List<ThrottleDevice>,
    /// Writes in a second.
    #[serde(rename = "throttleWriteIOPSDevice")]
    pub throttle_write_iops_device: List<ThrottleDevice>,
}

/// One of `weightDevice`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightDevice {
    /// Its number.
    pub major: u32,
    /// Its number.
    pub minor: u32,
    /// Its part of the device's time.
    pub weight: Option<u64>,
    /// That of its own processes.
    pub leaf_weight: Option<u64>,
}

/// One of the `throttle` lists.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct ThrottleDevice {
    /// Its number.
    pub major: u32,
    /// Its number.
    pub minor: u32,
    /// The most in a second.
    pub rate: u64,
}

/// One of `linux.resources.hugepageLimits`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HugePages {
    /// As the kernel's files are called: `2MB`.
    pub page_size: String,
    /// Bytes.
    pub limit: u64,
}

/// `linux.resources.network`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// The class of its packets.
    #[serde(rename = "classID")]
    pub class_id: Option<u32>,
    /// Their priority by interface.
    pub priorities: List<NetworkPriority>,
}

/// One of its `priorities`.
#[derive(Debug, Clone, Deserialize)]
pub struct NetworkPriority {
    /// The interface.
    pub name: String,
    /// The priority.
    pub priority: u32,
}

/// One of `linux.resources.rdma`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rdma {
    /// The most handles.
    pub hca_handles: Option<u32>,
    /// The most objects.
    pub hca_objects: Option<u32>,
}
