//! What a container uses.

use std::fs;
use std::path::Path;

use rustix::process::Pid;

use super::super::handle::{self, ProcessId};
use super::controller::Controller;
use super::{Cgroup, Version};

/// What a container uses at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time until now, in microseconds.
    pub cpu: u64,
    /// Of that, time in its programs and time in the kernel, if its group counts them.
    pub cpu_split: Option<(u64, u64)>,
    /// Memory, in bytes.
    pub memory: u64,
    /// The most memory that it may have, in bytes; the machine's if it has no limit.
    pub memory_limit: u64,
    /// The most memory that it had, in bytes, if its group counts that.
    pub memory_peak: Option<u64>,
    /// Processes and threads.
    pub pids: u64,
    /// The most of those, if there is a limit.
    pub pids_limit: Option<u64>,
    /// Bytes read from devices.
    pub read: u64,
    /// Bytes written to devices.
    pub written: u64,
}

impl Usage {
    /// What the container with the first process `first` uses: as its group counts it, and for what
    /// no group counts, the sum over its processes.
    #[must_use]
    pub fn of(group: Option<&Cgroup>, first: ProcessId) -> Self {
        let mut usage = Self::of_processes(&processes_of(first));
        usage.memory_limit = machine_memory();
        if let Some(group) = group {
            usage.count(group);
        }
        usage
    }

    fn count(&mut self, group: &Cgroup) {
        let number = |controller, file: &str| -> Option<u64> {
            read(group.folder_of(controller)?, file)?
                .trim()
                .parse()
                .ok()
        };
        let line = |controller, file: &str, key: &str| -> Option<u64> {
            field(&read(group.folder_of(controller)?, file)?, key)
        };
        let (memory, limit) = match group.version() {
            Version::One => ("memory.usage_in_bytes", "memory.limit_in_bytes"),
            Version::Two => ("memory.current", "memory.max"),
        };
        // Files that were read are kept in memory as long as nobody else wants it.
        let cache = match group.version() {
            Version::One => "total_inactive_file",
            Version::Two => "inactive_file",
        };
        if let Some(memory) = number(Controller::Memory, memory) {
            let cache = line(Controller::Memory, "memory.stat", cache).unwrap_or(0);
            self.memory = memory.saturating_sub(cache);
        }
        if let Some(limit) = number(Controller::Memory, limit) {
            self.memory_limit = self.memory_limit.min(limit);
        }
        if let Some(pids) = number(Controller::Pids, "pids.current") {
            self.pids = pids;
        }
        self.pids_limit = number(Controller::Pids, "pids.max");
        match group.version() {
            Version::One => {
                self.memory_peak = number(Controller::Memory, "memory.max_usage_in_bytes");
                if let Some(nanoseconds) = number(Controller::Cpuacct, "cpuacct.usage") {
                    self.cpu = nanoseconds / 1000;
                }
                let ticks = |key| line(Controller::Cpuacct, "cpuacct.stat", key);
                let split = ticks("user").zip(ticks("system"));
                self.cpu_split = split.map(|(user, system)| (user * TICK, system * TICK));
            }
            Version::Two => {
                self.memory_peak = number(Controller::Memory, "memory.peak");
                let time = |key| line(Controller::Cpu, "cpu.stat", key);
                self.cpu = time("usage_usec").unwrap_or(self.cpu);
                self.cpu_split = time("user_usec").zip(time("system_usec"));
                let folder = group.folder_of(Controller::Io);
                if let Some(text) = folder.and_then(|at| read(at, "io.stat")) {
                    (self.read, self.written) = (sum(&text, "rbytes="), sum(&text, "wbytes="));
                }
            }
        }
    }

    fn of_processes(processes: &[Pid]) -> Self {
        let mut usage = Self::default();
        for pid in processes {
            let folder = format!("/proc/{}", pid.as_raw_nonzero());
            let folder = Path::new(&folder);
            let status = read(folder, "status").unwrap_or_default();
            usage.memory += status_field(&status, "RssAnon:") * 1024;
            usage.memory += status_field(&status, "RssShmem:") * 1024;
            usage.pids += status_field(&status, "Threads:");
            usage.cpu += read(folder, "stat")
                .and_then(|stat| cpu_time(&stat))
                .unwrap_or(0);
            let io = read(folder, "io").unwrap_or_default();
            usage.read += field(&io, "read_bytes:").unwrap_or(0);
            usage.written += field(&io, "write_bytes:").unwrap_or(0);
        }
        usage
    }
}

/// The processes in the pid namespace of a container's first process, itself first.
#[must_use]
pub fn processes_of(first: ProcessId) -> Vec<Pid> {
    let our_namespace = || fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    if first.open().is_none() {
        return Vec::new();
    }
    let Some(own) = namespace(first.pid).filter(|own| *own != our_namespace()) else {
        // It has none of its own, or we may not look: then it is what is below its first process.
        let Some(pid) = Pid::from_raw(first.pid) else {
            return Vec::new();
        };
        let below = handle::below(pid).into_iter();
        let below = below.filter_map(|process| Pid::from_raw(process.pid));
        return std::iter::once(pid).chain(below).collect();
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut found: Vec<i32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| namespace(*pid).as_ref() == Some(&own))
        .collect();
    found.sort_by_key(|pid| (*pid != first.pid, *pid));
    found.into_iter().filter_map(Pid::from_raw).collect()
}

fn read(folder: &Path, file: &str) -> Option<String> {
    fs::read_to_string(folder.join(file)).ok()
}

/// The number behind `key` in lines of `key number`.
fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(' ')?;
        (found == key).then(|| value.trim().parse().ok())?
    })
}

/// A field of `/proc/PID/status` (proc(5)).
fn status_field(text: &str, key: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    let number = value.and_then(|value| value.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

/// The sum of what stands behind `key` in every line.
fn sum(text: &str, key: &str) -> u64 {
    let words = text.split_whitespace();
    words
        .filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok())
        .sum()
}

/// A tick of the kernel's clock for users, in microseconds.
const TICK: u64 = 10_000;

/// User and system time of `/proc/PID/stat`, in microseconds: fields 14 and 15 (proc(5)), in ticks.
fn cpu_time(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) * TICK)
}

/// The memory of this machine, in bytes.
fn machine_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    status_field(&text, "MemTotal:") * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_the_kernels_files() {
        let status = "Name:\tx\nRssAnon:\t     12 kB\nThreads:\t3\n";
        assert_eq!(status_field(status, "RssAnon:"), 12);
        assert_eq!(status_field(status, "Threads:"), 3);
        assert_eq!(field("usage_usec 17\nuser_usec 4\n", "user_usec"), Some(4));
        let io = "8:0 rbytes=10 wbytes=1 rios=1\n8:16 rbytes=5 wbytes=0 rios=2\n";
        assert_eq!((sum(io, "rbytes="), sum(io, "wbytes=")), (15, 1));
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 1 0 9 1 1";
        assert_eq!(cpu_time(stat), Some(70_000));
    }

    #[test]
    fn this_process_is_one_of_its_own_namespace() {
        let own = ProcessId::of(rustix::process::getpid()).unwrap();
        let all = processes_of(own);
        assert_eq!(all.first(), Some(&rustix::process::getpid()));
        let usage = Usage::of(None, own);
        assert!(usage.memory > 0 && usage.pids > 0 && usage.memory_limit > usage.memory);
    }
}
