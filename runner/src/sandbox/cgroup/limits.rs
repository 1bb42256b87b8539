//! What may be limited, and how each version of cgroups is told so.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::controller::{Controller, Version};
use super::devices::{self, DeviceRule};
use super::special::{Special, device_weight};

/// The most of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ceiling {
    /// As much as the parent has.
    Unlimited,
    /// So much.
    At(u64),
}

impl Ceiling {
    /// As the runtime specification writes it: a negative number is no limit.
    #[must_use]
    pub fn of(number: i64) -> Self {
        u64::try_from(number).map_or(Self::Unlimited, Self::At)
    }

    fn text(self, version: Version) -> String {
        match (self, version) {
            (Self::At(number), _) => number.to_string(),
            (Self::Unlimited, Version::Two) => "max".to_owned(),
            (Self::Unlimited, Version::One) => "-1".to_owned(),
        }
    }
}

impl fmt::Display for Ceiling {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text(Version::Two))
    }
}

/// What a container may use; what is `None` is not limited. The units are those of the runtime
/// specification (config-linux.md, "Control groups").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Ceiling>,
    /// Memory and swap together, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_and_swap: Option<Ceiling>,
    /// How much memory is left to it when memory is scarce, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<u64>,
    /// Its part of the processors' time when that is scarce: 2 to 262,144, usually 1,024.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_shares: Option<u64>,
    /// Processor time in each period, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_quota: Option<Ceiling>,
    /// The period, in microseconds: usually 100,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_period: Option<u64>,
    /// Processors, as a list: `0-2,4`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<String>,
    /// Memory nodes, as a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mems: Option<String>,
    /// Processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<Ceiling>,
    /// Its part of the devices' time: 10 to 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_weight: Option<u64>,
    /// Which devices may be opened, the last rule that fits counts; `None` is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<Vec<DeviceRule>>,
    /// Files of the second version by name, as they are to be written.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unified: BTreeMap<String, String>,
    /// What few ask for; the last of a kind counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub special: Vec<Special>,
}

/// The period of the processors' scheduler that the kernel starts with, in microseconds.
const PERIOD: u64 = 100_000;

/// One file to write.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) what: &'static str,
    pub(super) controller: Controller,
    pub(super) file: String,
    pub(super) value: String,
    /// What to do when the kernel does not have the file.
    pub(super) missing: Missing,
}

/// What a file is worth that a kernel may have been built without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The limit can not be enforced without it.
    Refuse,
    /// It only adds to another limit: swap on a machine that has none.
    Ignore,
}

impl Setting {
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let file = std::fs::File::options()
            .write(true)
            .open(folder.join(&self.file));
        match file {
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && self.missing == Missing::Ignore =>
            {
                Ok(())
            }
            // One write: the kernel takes each for a whole value.
            file => file?.write_all(self.value.as_bytes()),
        }
    }
}

impl Limits {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The controllers that are needed.
    #[must_use]
    pub fn controllers(&self) -> Vec<Controller> {
        let mut found: Vec<_> = self
            .settings(Version::Two)
            .iter()
            .map(|setting| setting.controller)
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// What of it these controllers can enforce.
    #[must_use]
    pub fn only(&self, controllers: &[Controller]) -> Self {
        let has = |controller: Controller| controllers.contains(&controller);
        let (cpu, memory) = (has(Controller::Cpu), has(Controller::Memory));
        let cpuset = has(Controller::Cpuset);
        let mut unified = self.unified.clone();
        unified.retain(|file, _| controller_of(file).is_none_or(has));
        Self {
            memory: self.memory.filter(|_| memory),
            memory_and_swap: self.memory_and_swap.filter(|_| memory),
            memory_reservation: self.memory_reservation.filter(|_| memory),
            cpu_shares: self.cpu_shares.filter(|_| cpu),
            cpu_quota: self.cpu_quota.filter(|_| cpu),
            cpu_period: self.cpu_period.filter(|_| cpu),
            cpus: self.cpus.clone().filter(|_| cpuset),
            mems: self.mems.clone().filter(|_| cpuset),
            pids: self.pids.filter(|_| has(Controller::Pids)),
            io_weight: self.io_weight.filter(|_| has(Controller::Io)),
            devices: self.devices.clone(),
            unified,
            special: {
                let mut special = self.special.clone();
                special.retain(|limit| has(limit.setting(Version::Two).controller));
                special
            },
        }
    }

    /// These limits, with those of `newer` in the place of older ones.
    #[must_use]
    pub fn updated(&self, newer: &Self) -> Self {
        let mut unified = self.unified.clone();
        unified.extend(newer.unified.clone());
        let special = [self.special.as_slice(), &newer.special].concat();
        Self {
            memory: newer.memory.or(self.memory),
            memory_and_swap: newer.memory_and_swap.or(self.memory_and_swap),
            memory_reservation: newer.memory_reservation.or(self.memory_reservation),
            cpu_shares: newer.cpu_shares.or(self.cpu_shares),
            cpu_quota: newer.cpu_quota.or(self.cpu_quota),
            cpu_period: newer.cpu_period.or(self.cpu_period),
            cpus: newer.cpus.clone().or_else(|| self.cpus.clone()),
            mems: newer.mems.clone().or_else(|| self.mems.clone()),
            pids: newer.pids.or(self.pids),
            io_weight: newer.io_weight.or(self.io_weight),
            devices: newer.devices.clone().or_else(|| self.devices.clone()),
            unified,
            special,
        }
    }

    /// The files to write, in order.
    pub(super) fn settings(&self, version: Version) -> Vec<Setting> {
        let mut list = Vec::new();
        self.memory(version, &mut list);
        self.cpu(version, &mut list);
        let mut add = |what, controller, file: &str, value: String| {
            list.push(Setting {
                what,
                controller,
                file: file.to_owned(),
                value,
                missing: Missing::Refuse,
            });
        };
        if let Some(cpus) = &self.cpus {
            add(
                "processors",
                Controller::Cpuset,
                "cpuset.cpus",
                cpus.clone(),
            );
        }
        if let Some(mems) = &self.mems {
            add(
                "memory nodes",
                Controller::Cpuset,
                "cpuset.mems",
                mems.clone(),
            );
        }
        if let Some(pids) = self.pids {
            // The first version calls it "max" too.
            let text = pids.text(Version::Two);
            add(
                "the number of processes",
                Controller::Pids,
                "pids.max",
                text,
            );
        }
        if let Some(weight) = self.io_weight {
            let file = match version {
                Version::One => "blkio.bfq.weight",
                Version::Two => "io.weight",
            };
            let weight = device_weight(weight, version);
            let what = "the weight of reading and writing";
            add(what, Controller::Io, file, weight.to_string());
        }
        if let (Version::One, Some(rules)) = (version, &self.devices) {
            for (file, value) in devices::lines(rules) {
                add("devices", Controller::Devices, file, value);
            }
        }
        for (file, value) in &self.unified {
            // Files of other controllers are there or not, like those of "cgroup.".
            let controller = controller_of(file).unwrap_or(Controller::Freezer);
            add("a cgroup file", controller, file, value.clone());
        }
        list.extend(self.special.iter().map(|limit| limit.setting(version)));
        list
    }

    fn memory(&self, version: Version, list: &mut Vec<Setting>) {
        let mut add = |what, file: &str, value: String, missing| {
            list.push(Setting {
                what,
                controller: Controller::Memory,
                file: file.to_owned(),
                value,
                missing,
            });
        };
        let file = |one, two| match version {
            Version::One => one,
            Version::Two => two,
        };
        if let Some(memory) = self.memory {
            let name = file("memory.limit_in_bytes", "memory.max");
            add("memory", name, memory.text(version), Missing::Refuse);
        }
        if let Some(both) = self.swap() {
            let (name, value) = match (version, both, self.memory) {
                (Version::One, both, _) => ("memory.memsw.limit_in_bytes", both),
                // The second version counts swap alone.
                (Version::Two, Ceiling::At(both), Some(Ceiling::At(memory))) => {
                    ("memory.swap.max", Ceiling::At(both.saturating_sub(memory)))
                }
                (Version::Two, both, _) => ("memory.swap.max", both),
            };
            let missing = match self.memory_and_swap {
                Some(Ceiling::At(_)) => Missing::Refuse,
                _ => Missing::Ignore,
            };
            add("swap", name, value.text(version), missing);
        }
        if let Some(low) = self.memory_reservation {
            let name = file("memory.soft_limit_in_bytes", "memory.low");
            add("memory", name, low.to_string(), Missing::Refuse);
        }
    }

    /// Memory and swap together: twice the memory if nothing was said, as with podman.
    fn swap(&self) -> Option<Ceiling> {
        self.memory_and_swap.or(match self.memory {
            Some(Ceiling::At(memory)) => Some(Ceiling::At(memory.saturating_mul(2))),
            _ => None,
        })
    }

    fn cpu(&self, version: Version, list: &mut Vec<Setting>) {
        let what = "processor time";
        let mut add = |file: &str, value: String| {
            list.push(Setting {
                what,
                controller: Controller::Cpu,
                file: file.to_owned(),
                value,
                missing: Missing::Refuse,
            });
        };
        if let Some(shares) = self.cpu_shares {
            match version {
                Version::One => add("cpu.shares", shares.to_string()),
                Version::Two => add("cpu.weight", weight_of(shares).to_string()),
            }
        }
        let quota = self.cpu_quota.map(|quota| quota.text(version));
        match (version, quota, self.cpu_period) {
            (_, None, None) => {}
            (Version::One, quota, period) => {
                if let Some(period) = period {
                    add("cpu.cfs_period_us", period.to_string());
                }
                if let Some(quota) = quota {
                    add("cpu.cfs_quota_us", quota);
                }
            }
            (Version::Two, quota, period) => {
                let quota = quota.unwrap_or_else(|| "max".to_owned());
                add("cpu.max", format!("{quota} {}", period.unwrap_or(PERIOD)));
            }
        }
    }
}

/// The controller that a file of the second version belongs to.
fn controller_of(file: &str) -> Option<Controller> {
    file.split('.').next().and_then(Controller::parse)
}

/// From shares (2…262,144, usually 1,024) to a weight (1…10,000): the runtimes' common formula.
fn weight_of(shares: u64) -> u64 {
    1 + shares.clamp(2, 262_144).saturating_sub(2) * 9_999 / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(limits: &Limits, version: Version) -> Vec<String> {
        let settings = limits.settings(version);
        let line = |setting: &Setting| format!("{}={}", setting.file, setting.value);
        settings.iter().map(line).collect()
    }

    #[test]
    fn each_version_is_told_in_its_own_words() {
        let limits = Limits {
            memory: Some(Ceiling::At(1000)),
            memory_and_swap: Some(Ceiling::At(1500)),
            memory_reservation: Some(500),
            cpu_shares: Some(1024),
            cpu_quota: Some(Ceiling::At(50_000)),
            cpu_period: None,
            cpus: Some("0-1".to_owned()),
            mems: None,
            pids: Some(Ceiling::Unlimited),
            io_weight: Some(1000),
            devices: None,
            unified: BTreeMap::from([("memory.high".to_owned(), "900".to_owned())]),
            special: Vec::new(),
        };
        assert_eq!(
            written(&limits, Version::Two),
            [
                "memory.max=1000",
                "memory.swap.max=500",
                "memory.low=500",
                "cpu.weight=39",
                "cpu.max=50000 100000",
                "cpuset.cpus=0-1",
                "pids.max=max",
                "io.weight=10000",
                "memory.high=900",
            ]
        );
        assert_eq!(
            written(&limits, Version::One)[..7],
            [
                "memory.limit_in_bytes=1000",
                "memory.memsw.limit_in_bytes=1500",
                "memory.soft_limit_in_bytes=500",
                "cpu.shares=1024",
                "cpu.cfs_quota_us=50000",
                "cpuset.cpus=0-1",
                "pids.max=max",
            ]
        );
        use Controller::{Cpu, Cpuset, Io, Memory, Pids};
        assert_eq!(limits.controllers(), [Cpu, Cpuset, Memory, Pids, Io]);
    }

    #[test]
    fn swap_is_as_much_as_memory_unless_something_else_is_said() {
        let mut limits = Limits {
            memory: Some(Ceiling::At(64)),
            ..Limits::default()
        };
        assert_eq!(
            written(&limits, Version::Two),
            ["memory.max=64", "memory.swap.max=64"]
        );
        limits.memory_and_swap = Some(Ceiling::Unlimited);
        assert_eq!(
            written(&limits, Version::Two),
            ["memory.max=64", "memory.swap.max=max"]
        );
        assert_eq!(
            written(&limits, Version::One)[1],
            "memory.memsw.limit_in_bytes=-1"
        );
        assert!(Limits::default().is_empty() && !limits.is_empty());
    }

    #[test]
    fn newer_limits_take_the_place_of_older_ones() {
        let older = Limits {
            memory: Some(Ceiling::At(64)),
            pids: Some(Ceiling::At(5)),
            ..Limits::default()
        };
        let newer = Limits {
            pids: Some(Ceiling::Unlimited),
            ..Limits::default()
        };
        let both = older.updated(&newer);
        assert_eq!(both.memory, Some(Ceiling::At(64)));
        assert_eq!(both.pids, Some(Ceiling::Unlimited));
        assert_eq!([weight_of(2), weight_of(262_144)], [1, 10_000]);
    }
}
