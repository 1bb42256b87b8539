//! Limits that few ask for. Each is one file, in each version another; what a version has no file for
//! can not be limited there, and the kernel's answer says so.

use serde::{Deserialize, Serialize};

use super::controller::{Controller, Version};
use super::limits::{Missing, Setting};

/// One such limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Special {
    /// How much is read from or written to a device in a second.
    Throttle(Device, Rate, u64),
    /// The part of a device's time when that is scarce: 10 to 1,000.
    DeviceWeight(Device, u64),
    /// That of the group's own processes beside groups below it. Kernels before 5.0 had it.
    LeafWeight(u64),
    /// The same of one device.
    DeviceLeafWeight(Device, u64),
    /// How readily memory is swapped out: 0 to 100.
    Swappiness(u64),
    /// Who wants more memory than there is waits, and is not killed.
    NoOomKiller,
    /// Memory that the kernel takes for it, in bytes.
    KernelMemory(u64),
    /// The part of that for TCP, in bytes.
    KernelTcpMemory(u64),
    /// Microseconds of real-time scheduling in each period.
    RealtimeRuntime(i64),
    /// That period, in microseconds.
    RealtimePeriod(u64),
    /// Whether it gets only the time that nobody else wants: 0 or 1.
    Idle(i64),
    /// Microseconds by which a period's quota may be exceeded with what others left.
    Burst(u64),
    /// Bytes of huge pages of a size such as `2MB`.
    HugePages(String, u64),
    /// Handles and objects of an RDMA device.
    Rdma(String, Option<u32>, Option<u32>),
    /// The class of its packets for tc(8).
    NetworkClass(u32),
    /// The priority of its packets on an interface.
    NetworkPriority(String, u32),
}

/// A device by its numbers, major and minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device(pub u32, pub u32);

/// What of a device is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    /// Bytes that are read.
    ReadBytes,
    /// Bytes that are written.
    WriteBytes,
    /// Reads.
    Reads,
    /// Writes.
    Writes,
}

impl Rate {
    /// Its file in the first version, and its key in the second.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::ReadBytes => ("blkio.throttle.read_bps_device", "rbps"),
            Self::WriteBytes => ("blkio.throttle.write_bps_device", "wbps"),
            Self::Reads => ("blkio.throttle.read_iops_device", "riops"),
            Self::Writes => ("blkio.throttle.write_iops_device", "wiops"),
        }
    }
}

impl Special {
    /// The file to write.
    pub(super) fn setting(&self, version: Version) -> Setting {
        let (what, controller) = self.what();
        let (file, value) = self.line(version);
        Setting {
            what,
            controller,
            file,
            value,
            missing: Missing::Refuse,
        }
    }

    fn what(&self) -> (&'static str, Controller) {
        match self {
            Self::Throttle(..) => ("reading and writing", Controller::Io),
            Self::DeviceWeight(..) | Self::LeafWeight(_) | Self::DeviceLeafWeight(..) => {
                ("the weight of reading and writing", Controller::Io)
            }
            Self::Swappiness(_) => ("swappiness", Controller::Memory),
            Self::NoOomKiller => ("killing for want of memory", Controller::Memory),
            Self::KernelMemory(_) => ("kernel memory", Controller::Memory),
            Self::KernelTcpMemory(_) => ("kernel memory for TCP", Controller::Memory),
            Self::RealtimeRuntime(_) | Self::RealtimePeriod(_) => {
                ("real-time scheduling", Controller::Cpu)
            }
            Self::Idle(_) | Self::Burst(_) => ("processor time", Controller::Cpu),
            Self::HugePages(..) => ("huge pages", Controller::Hugetlb),
            Self::Rdma(..) => ("RDMA", Controller::Rdma),
            Self::NetworkClass(_) => ("the class of packets", Controller::NetCls),
            Self::NetworkPriority(..) => ("the priority of packets", Controller::NetPrio),
        }
    }

    /// The name of the file and what is written to it.
    fn line(&self, version: Version) -> (String, String) {
        let is_first = version == Version::One;
        let one_of = |one: &'static str, two: &'static str| if is_first { one } else { two };
        let (file, value) = match self {
            Self::Throttle(Device(major, minor), rate, most) => {
                let (file, key) = rate.names();
                let key = if is_first { "" } else { key };
                let equals = one_of("", "=");
                let line = format!("{major}:{minor} {key}{equals}{most}");
                (one_of(file, "io.max"), line)
            }
            Self::DeviceWeight(Device(major, minor), weight) => {
                let weight = device_weight(*weight, version);
                let line = format!("{major}:{minor} {weight}");
                (one_of("blkio.bfq.weight_device", "io.weight"), line)
            }
            Self::LeafWeight(weight) => ("blkio.leaf_weight", weight.to_string()),
            Self::DeviceLeafWeight(Device(major, minor), weight) => {
                let line = format!("{major}:{minor} {weight}");
                ("blkio.leaf_weight_device", line)
            }
            Self::Swappiness(value) => ("memory.swappiness", value.to_string()),
            Self::NoOomKiller => ("memory.oom_control", "1".to_owned()),
            Self::KernelMemory(bytes) => ("memory.kmem.limit_in_bytes", bytes.to_string()),
            Self::KernelTcpMemory(bytes) => ("memory.kmem.tcp.limit_in_bytes", bytes.to_string()),
            Self::RealtimeRuntime(time) => ("cpu.rt_runtime_us", time.to_string()),
            Self::RealtimePeriod(time) => ("cpu.rt_period_us", time.to_string()),
            Self::Idle(idle) => ("cpu.idle", idle.to_string()),
            Self::Burst(time) => (
                one_of("cpu.cfs_burst_us", "cpu.max.burst"),
                time.to_string(),
            ),
            Self::HugePages(size, bytes) => {
                let end = one_of("limit_in_bytes", "max");
                return (format!("hugetlb.{size}.{end}"), bytes.to_string());
            }
            Self::Rdma(device, handles, objects) => {
                let most = |number: &Option<u32>| {
                    number.map_or_else(|| "max".to_owned(), |number| number.to_string())
                };
                let (handles, objects) = (most(handles), most(objects));
                let line = format!("{device} hca_handle={handles} hca_object={objects}");
                ("rdma.max", line)
            }
            Self::NetworkClass(class) => ("net_cls.classid", class.to_string()),
            Self::NetworkPriority(interface, priority) => {
                ("net_prio.ifpriomap", format!("{interface} {priority}"))
            }
        };
        (file.to_owned(), value)
    }
}

/// From 10…1,000 to 1…10,000 in the second version, as the runtimes agree.
pub(super) fn device_weight(weight: u64, version: Version) -> u64 {
    match version {
        Version::One => weight,
        Version::Two => 1 + weight.saturating_sub(10) * 9_999 / 990,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_a_file_of_its_own() {
        let disk = Device(8, 0);
        for (special, one, two) in [
            (
                Special::Throttle(disk, Rate::WriteBytes, 1000),
                "blkio.throttle.write_bps_device=8:0 1000",
                "io.max=8:0 wbps=1000",
            ),
            (
                Special::DeviceWeight(disk, 1000),
                "blkio.bfq.weight_device=8:0 1000",
                "io.weight=8:0 10000",
            ),
            (Special::Burst(5), "cpu.cfs_burst_us=5", "cpu.max.burst=5"),
            (
                Special::HugePages("2MB".to_owned(), 7),
                "hugetlb.2MB.limit_in_bytes=7",
                "hugetlb.2MB.max=7",
            ),
            (
                Special::Rdma("mlx5_1".to_owned(), Some(3), None),
                "rdma.max=mlx5_1 hca_handle=3 hca_object=max",
                "rdma.max=mlx5_1 hca_handle=3 hca_object=max",
            ),
        ] {
            for (version, expected) in [(Version::One, one), (Version::Two, two)] {
                let (file, value) = special.line(version);
                assert_eq!(format!("{file}={value}"), expected);
            }
        }
    }
}
