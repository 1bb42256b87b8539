//! A process that was started earlier, found again without mistaking another one for it.
//!
//! A pid alone is not enough: the kernel gives it anew. A pid together with the time at which the
//! process started is, and a pidfd keeps naming that process once it is open.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use std::{fs, io};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use super::syscalls;

/// What is written down of a process to find it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// The process id in the host's pid namespace.
    pub pid: i32,
    /// When it started, in clock ticks since boot: field 22 of `/proc/PID/stat` (proc(5)).
    pub start_time: u64,
}

/// A process that is known to be the one that was written down.
#[derive(Debug)]
pub struct Handle {
    pid: Pid,
    descriptor: OwnedFd,
}

impl ProcessId {
    /// Writes down the running process `pid`.
    ///
    /// # Errors
    /// `NotFound` when it runs no more.
    pub fn of(pid: Pid) -> io::Result<Self> {
        Ok(Self {
            pid: pid.as_raw_nonzero().get(),
            start_time: start_time(pid)?,
        })
    }

    /// Finds the process again; `None` when it has ended.
    #[must_use]
    pub fn open(self) -> Option<Handle> {
        let pid = Pid::from_raw(self.pid)?;
        let descriptor = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // Read after the descriptor was opened: if it is the right process now, it is the one
        // that the descriptor names.
        (start_time(pid).ok()? == self.start_time)
            .then_some(Handle { pid, descriptor })
            .filter(Handle::is_alive)
    }
}

impl Handle {
    /// A process that its pidfd came with.
    pub(super) fn new(pid: Pid, descriptor: OwnedFd) -> Self {
        Self { pid, descriptor }
    }

    /// A child of this process that nobody has waited for: until then its pid is no other's.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn of_child(pid: Pid) -> io::Result<Self> {
        let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Self { pid, descriptor })
    }

    /// Whoever has this pid now: of a list that the kernel just gave.
    ///
    /// # Errors
    /// When nobody has it any more.
    pub fn of_pid(pid: Pid) -> io::Result<Self> {
        Self::of_child(pid)
    }

    /// The process id in the host's pid namespace.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends the signal with this number; a process that has just ended is no error.
    ///
    /// # Errors
    /// `EPERM` for a process of somebody else.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        match syscalls::send_signal(self.descriptor.as_fd(), signal) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            result => result,
        }
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.wait(Some(Duration::ZERO))
    }

    /// Waits for its end, at most for `limit`; whether it has ended.
    pub fn wait(&self, limit: Option<Duration>) -> bool {
        let limit = limit.map(|limit| Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        });
        let mut set = [PollFd::new(&self.descriptor, PollFlags::IN)];
        matches!(poll(&mut set, limit.as_ref()), Ok(1..))
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Every process that `root`, or one below it, is the parent of.
#[must_use]
pub fn below(root: Pid) -> Vec<ProcessId> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers =
        entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    let mut all: Vec<(i32, ProcessId)> = numbers
        .filter_map(|pid| {
            let [parent, start_time] = fields(pid, [PARENT, START_TIME]).ok()?;
            let pid = pid.as_raw_nonzero().get();
            Some((i32::try_from(parent).ok()?, ProcessId { pid, start_time }))
        })
        .collect();
    let mut parents = HashSet::from([root.as_raw_nonzero().get()]);
    let mut found = Vec::new();
    loop {
        let (new, others) = all
            .into_iter()
            .partition(|(parent, _)| parents.contains(parent));
        all = others;
        let new: Vec<(i32, ProcessId)> = new;
        if new.is_empty() {
            return found;
        }
        parents.extend(new.iter().map(|(_, process)| process.pid));
        found.extend(new.into_iter().map(|(_, process)| process));
    }
}

fn start_time(pid: Pid) -> io::Result<u64> {
    fields(pid, [START_TIME]).map(|[start_time]| start_time)
}

/// Positions of fields of `/proc/PID/stat` behind the name (proc(5)).
const PARENT: usize = 1;
const START_TIME: usize = 19;

fn fields<const COUNT: usize>(pid: Pid, positions: [usize; COUNT]) -> io::Result<[u64; COUNT]> {
    let stat = fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
    // The name in parentheses may hold anything, a parenthesis too: the last one ends it.
    let after_name = stat.iter().rposition(|&byte| byte == b')');
    let fields = after_name.and_then(|end| std::str::from_utf8(&stat[end + 1..]).ok());
    let parse = |fields: &str| -> Option<[u64; COUNT]> {
        let all: Vec<&str> = fields.split_ascii_whitespace().collect();
        let wanted = positions
            .iter()
            .map(|&position| all.get(position)?.parse().ok());
        wanted.collect::<Option<Vec<u64>>>()?.try_into().ok()
    };
    fields
        .and_then(parse)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_process_has_started_is_below_it() {
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "(sleep 100; :) & sleep 100; :"])
            .stdin(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(shell.id().cast_signed()).unwrap();
        let start = std::time::Instant::now();
        let mut found = below(pid);
        while found.len() < 3 && start.elapsed() < Duration::from_secs(10) {
            found = below(pid);
        }
        let own = below(rustix::process::getpid());
        assert!(found.len() == 3 && !found.iter().any(|one| one.pid == shell.id().cast_signed()));
        assert!(found.iter().all(|process| own.contains(process)));
        for process in found {
            process.open().unwrap().signal(libc::SIGKILL).unwrap();
        }
        shell.kill().unwrap();
        shell.wait().unwrap();
    }

    #[test]
    fn a_process_is_found_again_until_it_ends() {
        let mut child = std::process::Command::new("sleep")
            .arg("100")
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        let id = ProcessId::of(pid).unwrap();
        let other = ProcessId {
            start_time: id.start_time + 1,
            ..id
        };
        assert!(other.open().is_none());
        let handle = id.open().unwrap();
        assert!(handle.is_alive());
        handle.signal(libc::SIGKILL).unwrap();
        assert!(handle.wait(Some(Duration::from_secs(5))));
        child.wait().unwrap();
        assert!(id.open().is_none());
    }
}
