//! The flags that limit what a container may use, for `run`, `create` and `update`.

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use rustix::fs::FileType;

use crate::config::containers::Defaults;
use crate::container::resources::{DEFAULT_PIDS, Resources};
use crate::human;
use crate::sandbox::cgroup::{Ceiling, Device, Limits, Rate, Special};
use crate::sandbox::spec::{Resource, Rlimit};

/// The period in which processor time is counted, in microseconds.
const PERIOD: u64 = 100_000;

/// The least memory that a process can start in, in bytes: docker's.
const LEAST_MEMORY: u64 = 6 << 20;

// Limits that can be changed while the container runs.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct LimitArguments {
    /// The most memory: 512m, 1g.
    #[arg(short, long, value_name = "SIZE", allow_hyphen_values = true)]
    memory: Option<String>,

    /// The most memory and swap together; -1 for as much swap as there is [default: twice the memory].
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_swap: Option<String>,

    /// How much memory is left to it when memory is scarce.
    #[arg(long, value_name = "SIZE")]
    memory_reservation: Option<String>,

    /// How many processors' time it may take: 1.5.
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<f64>,

    /// Its part of the processors' time when that is scarce, beside 1024 of others.
    #[arg(short, long, value_name = "SHARES")]
    cpu_shares: Option<u64>,

    /// The microseconds of processor time in each period; -1 for no limit.
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    cpu_quota: Option<i64>,

    /// The period, in microseconds [default: 100000].
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<u64>,

    /// The processors that it may run on: 0-2,4.
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,

    /// The memory nodes that it may use.
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,

    /// The most processes and threads; -1 for no limit [default: 2048].
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pids_limit: Option<i64>,

    /// Its part of the devices' time when that is scarce: 10 to 1000.
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u64>,

    #[command(flatten)]
    special: SpecialArguments,
}

// What few ask for.
#[derive(Debug, Clone, Default, Args)]
struct SpecialArguments {
    /// Its part of one device's time: /dev/sda:200.
    #[arg(long, value_name = "DEVICE:WEIGHT")]
    blkio_weight_device: Vec<String>,

    /// How many bytes are read from a device in a second: /dev/sda:1mb.
    #[arg(long, value_name = "DEVICE:RATE")]
    device_read_bps: Vec<String>,

    /// How many bytes are written to a device in a second.
    #[arg(long, value_name = "DEVICE:RATE")]
    device_write_bps: Vec<String>,

    /// How often a device is read in a second: /dev/sda:100.
    #[arg(long, value_name = "DEVICE:RATE")]
    device_read_iops: Vec<String>,

    /// How often a device is written to in a second.
    #[arg(long, value_name = "DEVICE:RATE")]
    device_write_iops: Vec<String>,

    /// How readily its memory is swapped out: 0 to 100, or -1 for the kernel's way [first version of cgroups].
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    memory_swappiness: Option<i64>,

    /// Let who wants more memory than there is wait, and kill nobody [first version of cgroups].
    #[arg(long)]
    oom_kill_disable: bool,

    /// The period of real-time scheduling, in microseconds [first version of cgroups].
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_rt_period: Option<u64>,

    /// Real-time scheduling in each period, in microseconds [first version of cgroups].
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_rt_runtime: Option<i64>,
}

impl SpecialArguments {
    fn read(&self) -> anyhow::Result<Vec<Special>> {
        let mut list = Vec::new();
        for text in &self.blkio_weight_device {
            let (device, weight) = of_device("--blkio-weight-device", text)?;
            let weight = weight
                .parse()
                .ok()
                .filter(|weight| (10..=1000).contains(weight));
            let weight = weight.with_context(|| {
                format!("--blkio-weight-device {}: 10 to 1000", text.escape_debug())
            })?;
            list.push(Special::DeviceWeight(device, weight));
        }
        for (flag, texts, rate) in [
            ("--device-read-bps", &self.device_read_bps, Rate::ReadBytes),
            (
                "--device-write-bps",
                &self.device_write_bps,
                Rate::WriteBytes,
            ),
            ("--device-read-iops", &self.device_read_iops, Rate::Reads),
            ("--device-write-iops", &self.device_write_iops, Rate::Writes),
        ] {
            for text in texts {
                let (device, most) = of_device(flag, text)?;
                list.push(Special::Throttle(device, rate, size(flag, most)?));
            }
        }
        match self.memory_swappiness {
            None | Some(-1) => {}
            Some(value) => {
                let value = u64::try_from(value).ok().filter(|value| *value <= 100);
                let value = value.context("--memory-swappiness: 0 to 100, or -1")?;
                list.push(Special::Swappiness(value));
            }
        }
        list.extend(self.oom_kill_disable.then_some(Special::NoOomKiller));
        list.extend(self.cpu_rt_period.map(Special::RealtimePeriod));
        list.extend(self.cpu_rt_runtime.map(Special::RealtimeRuntime));
        Ok(list)
    }
}

/// The numbers of the device in `/dev/sda:VALUE`, and the value.
fn of_device<'a>(flag: &str, text: &'a str) -> anyhow::Result<(Device, &'a str)> {
    let shown = text.escape_debug();
    let (path, value) = text
        .rsplit_once(':')
        .with_context(|| format!("{flag} {shown}: DEVICE:NUMBER is expected"))?;
    let found = rustix::fs::stat(path)
        .map_err(std::io::Error::from)
        .with_context(|| format!("{flag} {shown}: {}", path.escape_debug()))?;
    let is_device = FileType::from_raw_mode(found.st_mode) == FileType::BlockDevice;
    ensure!(
        is_device,
        "{flag} {shown}: {} is no block device",
        path.escape_debug()
    );
    let numbers = (
        rustix::fs::major(found.st_rdev),
        rustix::fs::minor(found.st_rdev),
    );
    Ok((Device(numbers.0, numbers.1), value))
}

// What `run` and `create` take beside those.
#[derive(Debug, Args)]
pub(super) struct ResourceArguments {
    #[command(flatten)]
    limits: LimitArguments,

    /// What happens when a limit can not be enforced on this machine [default: strict].
    #[arg(long = "limits", value_enum, value_name = "HOW")]
    enforcement: Option<Enforcement>,

    /// Limit a resource of each process: nofile=1024:2048; host for the limits of this shell.
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,

    /// Which cgroups the container sees: private (its own) or host.
    #[arg(long, value_name = "MODE")]
    cgroupns: Option<String>,

    /// The cgroup in which the container's own is made.
    #[arg(long, value_name = "PATH")]
    cgroup_parent: Option<String>,
}

/// What happens when a limit can not be enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Enforcement {
    /// The container does not start.
    Strict,
    /// It starts without that limit, and a line says so.
    BestEffort,
}

impl ResourceArguments {
    /// What was asked for, and what the configuration says for the rest.
    pub(super) fn read(&self, defaults: &Defaults) -> anyhow::Result<Resources> {
        let mut limits = self.limits.read()?;
        let default = defaults.pids_limit.map_or(Ceiling::At(DEFAULT_PIDS), pids);
        limits.pids.get_or_insert(default);
        // The last of a name counts, and those of the command line come last.
        let mut rlimits: Vec<Rlimit> = Vec::new();
        // Those of the caller are what every process has unless something else is said.
        let usual = match self.ulimit.iter().any(|text| text == "host") {
            true => &[][..],
            false => defaults.ulimits.as_slice(),
        };
        let own = self.ulimit.iter().filter(|text| *text != "host");
        for text in usual.iter().chain(own) {
            let limit = ulimit(text)?;
            rlimits.retain(|known| known.resource != limit.resource);
            rlimits.push(limit);
        }
        let mode = self.cgroupns.as_ref().or(defaults.cgroupns.as_ref());
        let own_cgroups = match mode.map(String::as_str) {
            None | Some("private" | "") => true,
            Some("host") => false,
            Some(other) => bail!("--cgroupns {}: private or host", other.escape_debug()),
        };
        let best_effort = self.enforcement.map(|how| how == Enforcement::BestEffort);
        Ok(Resources {
            limits,
            best_effort: best_effort.unwrap_or(defaults.best_effort),
            parent: self.cgroup_parent.clone(),
            own_cgroups,
            rlimits,
        })
    }
}

impl LimitArguments {
    /// What was asked for, and nothing else.
    pub(super) fn read(&self) -> anyhow::Result<Limits> {
        let memory = ceiling("--memory", self.memory.as_deref())?;
        if let Some(Ceiling::At(memory)) = memory {
            ensure!(
                memory >= LEAST_MEMORY,
                "--memory {memory}: at least 6m is needed to start a program"
            );
        }
        let both = ceiling("--memory-swap", self.memory_swap.as_deref())?;
        if let Some(Ceiling::At(both)) = both {
            match memory {
                Some(Ceiling::At(memory)) if memory > both => {
                    bail!("--memory-swap counts memory and swap together: give at least --memory")
                }
                Some(_) => {}
                None => bail!("--memory-swap counts memory and swap together: give --memory too"),
            }
        }
        ensure!(
            self.cpus.is_none() || (self.cpu_quota.is_none() && self.cpu_period.is_none()),
            "--cpus is short for --cpu-quota and --cpu-period: give it or them"
        );
        if let Some(weight) = self.blkio_weight {
            let range = 10..=1000;
            ensure!(
                range.contains(&weight),
                "--blkio-weight {weight}: 10 to 1000"
            );
        }
        for list in [&self.cpuset_cpus, &self.cpuset_mems].into_iter().flatten() {
            let is_list = list
                .bytes()
                .all(|byte| byte.is_ascii_digit() || b",-".contains(&byte));
            ensure!(
                is_list && !list.is_empty(),
                "\"{}\" is no list of numbers such as 0-2,4",
                list.escape_debug()
            );
        }
        Ok(Limits {
            memory,
            memory_and_swap: both,
            memory_reservation: self
                .memory_reservation
                .as_deref()
                .map(|text| size("--memory-reservation", text))
                .transpose()?,
            cpu_shares: self.cpu_shares.filter(|shares| *shares > 0),
            cpu_quota: match self.cpus {
                Some(cpus) => Some(quota(cpus)?),
                None => self.cpu_quota.map(Ceiling::of),
            },
            cpu_period: self.cpu_period.or(self.cpus.map(|_| PERIOD)),
            cpus: self.cpuset_cpus.clone(),
            mems: self.cpuset_mems.clone(),
            pids: self.pids_limit.map(pids),
            io_weight: self.blkio_weight,
            devices: None,
            unified: std::collections::BTreeMap::new(),
            special: self.special.read()?,
        })
    }
}

/// podman takes 0 for no limit too.
fn pids(number: i64) -> Ceiling {
    match number {
        ..=0 => Ceiling::Unlimited,
        number => Ceiling::of(number),
    }
}

fn ceiling(flag: &str, text: Option<&str>) -> anyhow::Result<Option<Ceiling>> {
    match text {
        None => Ok(None),
        Some("-1") => Ok(Some(Ceiling::Unlimited)),
        Some(text) => Ok(Some(Ceiling::At(size(flag, text)?))),
    }
}

fn size(flag: &str, text: &str) -> anyhow::Result<u64> {
    human::parse_size(text).with_context(|| {
        let shown = text.escape_debug();
        format!("{flag} {shown}: a number with one of the letters b, k, m, g, t is expected")
    })
}

fn quota(cpus: f64) -> anyhow::Result<Ceiling> {
    // The kernel takes no less than a millisecond in a period.
    ensure!(
        (0.01..=10_000.0).contains(&cpus),
        "--cpus {cpus}: 0.01 at least"
    );
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "checked above"
    )]
    let quota = (cpus * PERIOD as f64).round() as u64;
    Ok(Ceiling::At(quota))
}

/// `nofile=1024:2048`, `core=0`, `nproc=-1`.
fn ulimit(text: &str) -> anyhow::Result<Rlimit> {
    let wrong = || {
        format!(
            "--ulimit {}: NAME=SOFT[:HARD] is expected, with a name such as nofile",
            text.escape_debug()
        )
    };
    let (name, values) = text.split_once('=').with_context(wrong)?;
    let resource = Resource::parse(name).with_context(wrong)?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number = |text: &str| match text {
        "-1" | "unlimited" => Some(None),
        text => text.parse::<u64>().ok().map(Some),
    };
    let (soft, hard) = (
        number(soft).with_context(wrong)?,
        number(hard).with_context(wrong)?,
    );
    let is_above = match (soft, hard) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(soft), Some(hard)) => soft > hard,
    };
    ensure!(
        !is_above,
        "--ulimit {}: the soft limit is above the hard one",
        text.escape_debug()
    );
    Ok(Rlimit {
        resource,
        soft,
        hard,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_podman_reads_them() {
        let limits = LimitArguments {
            memory: Some("64m".to_owned()),
            memory_swap: Some("-1".to_owned()),
            cpus: Some(1.5),
            pids_limit: Some(0),
            ..LimitArguments::default()
        };
        let limits = limits.read().unwrap();
        assert_eq!(limits.memory, Some(Ceiling::At(64 << 20)));
        assert_eq!(limits.memory_and_swap, Some(Ceiling::Unlimited));
        assert_eq!(limits.cpu_quota, Some(Ceiling::At(150_000)));
        assert_eq!(limits.pids, Some(Ceiling::Unlimited));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |change: &dyn Fn(&mut LimitArguments)| {
            let mut arguments = LimitArguments::default();
            change(&mut arguments);
            arguments.read().unwrap_err().to_string()
        };
        let text = |text: &str| Some(text.to_owned());
        assert!(refused(&|limits| limits.memory = text("1k")).contains("6m"));
        assert!(refused(&|limits| limits.memory = text("much")).contains("--memory much"));
        assert!(refused(&|limits| limits.memory_swap = text("1g")).contains("--memory too"));
        assert!(refused(&|limits| limits.cpus = Some(0.0)).contains("--cpus 0"));
        assert!(refused(&|limits| limits.blkio_weight = Some(5)).contains("10 to 1000"));
        assert!(refused(&|limits| limits.cpuset_cpus = text("0\nx")).contains("no list"));
        for limit in ["nofile", "x=1", "nofile=a", "nofile=2:1", "nofile=-1:5"] {
            assert!(ulimit(limit).is_err(), "{limit}");
        }
        let limit = ulimit("RLIMIT_NOFILE=5:unlimited").unwrap();
        assert_eq!((limit.soft, limit.hard), (Some(5), None));
    }
}
