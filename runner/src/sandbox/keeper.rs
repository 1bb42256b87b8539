//! Keepers: what stands in for a pid namespace where there is none, so that no process survives its
//! container.
//!
//! Two processes of ours stand between the caller and the program. Both are child subreapers
//! (prctl(2)): whatever a process of the container does to leave its parent, it comes back to the
//! nearest of them. When the program ends, or the caller, or what else they watch, they kill all that
//! is below them. There are two because one can be killed: then the other goes on with that.
//!
//! They stay outside of the container's root directory, with `CAP_KILL` and nothing else. Each confines its
//! signals to what it has started (Landlock, Linux 6.12), so that it can end all of that with one call, during
//! which the kernel makes no process; without that it looks for them, and a program that makes processes faster
//! than they are found can go on for a while.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, PidfdFlags, WaitOptions, getpid, getppid, pidfd_open, set_child_subreaper,
    set_dumpable_behavior, test_kill_process, wait,
};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use super::failure::{Context, Failure};
use super::handle::{self, ProcessId};
use super::init::supervisor;
use super::landlock::{self, Scopes};
use super::syscalls::{self, Fork};

/// How often the processes below are looked for until all of them stand still: a program that makes
/// processes faster than they are found is killed as it goes.
const ROUNDS: usize = 100;

/// How long killed processes are given before they are looked for again.
const PATIENCE: Duration = Duration::from_millis(50);

/// Becomes the two keepers of what `work` becomes in a process below them. Each ends when one of
/// `watched` does. Returns only if something failed.
pub(super) fn main(watched: &[BorrowedFd<'_>], work: impl FnOnce() -> Failure) -> Failure {
    let outer = match pidfd_open(getpid(), PidfdFlags::empty()).context(|| "pidfd".to_owned()) {
        Ok(outer) => outer,
        Err(failure) => return failure,
    };
    keep(watched, || {
        let watched: Vec<_> = watched.iter().copied().chain([outer.as_fd()]).collect();
        keep(&watched, work)
    })
}

/// Becomes the keeper of what `work` becomes.
fn keep(watched: &[BorrowedFd<'_>], work: impl FnOnce() -> Failure) -> Failure {
    let mut signals = supervisor::passed_on();
    signals.push(libc::SIGCHLD);
    let begin = || -> Result<(bool, OwnedFd, Fork), Failure> {
        let is_confined = confine_signals()?;
        set_child_subreaper(Some(getpid())).context(|| "prctl".to_owned())?;
        let signals = syscalls::signal_descriptor(&signals).context(|| "signalfd".to_owned())?;
        let fork = syscalls::fork().context(|| "cannot fork".to_owned())?;
        Ok((is_confined, signals, fork))
    };
    match begin() {
        Err(failure) => failure,
        Ok((_, _, Fork::Child)) => work(),
        Ok((is_confined, signals, Fork::Parent(child))) => {
            let kept: Vec<_> = watched.iter().copied().chain([signals.as_fd()]).collect();
            let code = match stand_beside(&kept) {
                Ok(()) => supervisor::supervise(child, &signals, watched),
                Err(_) => 125,
            };
            end_all(is_confined);
            std::process::exit(code)
        }
    }
}

/// Confines the signals of this process to itself and what it starts; whether that can be had.
fn confine_signals() -> Result<bool, Failure> {
    rustix::thread::set_no_new_privs(true).context(|| "prctl".to_owned())?;
    let scopes = Scopes {
        signals: true,
        ..Scopes::default()
    };
    landlock::restrict(scopes).context(|| "cannot install the Landlock rules".to_owned())?;
    // Too much hangs on it to believe a version: our parent is root's, and out of reach by now.
    let parent = getppid().map(test_kill_process);
    Ok(landlock::has_scopes() && parent == Some(Err(Errno::PERM)))
}

/// Gives up everything that a keeper does not need.
fn stand_beside(kept: &[BorrowedFd<'_>]) -> Result<(), Failure> {
    let _ = rustix::thread::set_name(c"runner-keeper");
    // Where root has no such capability, no process of the container can change its user either.
    let own = capabilities(None).context(|| "capabilities".to_owned())?;
    let kept_ones = own.permitted & CapabilitySet::KILL;
    let sets = CapabilitySets {
        effective: kept_ones,
        permitted: kept_ones,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).context(|| "cannot give up capabilities".to_owned())?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "prctl".to_owned())?;
    supervisor::let_go(kept)
}

/// Kills every process below this one, and returns when there is none any more. One that `is_confined`
/// reaches no other process with a signal.
fn end_all(is_confined: bool) {
    while has_children() {
        if is_confined {
            // To every process that it reaches but itself (kill(2), -1).
            let _ = syscalls::signal_everything(libc::SIGKILL);
        }
        for process in stop_all() {
            if let Some(handle) = process.open() {
                let _ = handle.signal(libc::SIGKILL);
            }
        }
        let start = std::time::Instant::now();
        while start.elapsed() < PATIENCE && has_children() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Stops every process below this one, because what stands still makes no new ones; all of them.
fn stop_all() -> HashSet<ProcessId> {
    let mut all = HashSet::new();
    for _ in 0..ROUNDS {
        let found = handle::below(getpid());
        let new: Vec<_> = found.into_iter().filter(|one| !all.contains(one)).collect();
        if new.is_empty() {
            break;
        }
        for process in new {
            if let Some(handle) = process.open() {
                let _ = handle.signal(libc::SIGSTOP);
            }
            all.insert(process);
        }
    }
    all
}

/// Buries the dead; whether a child is left.
fn has_children() -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}
