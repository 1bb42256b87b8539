//! Keepers: what stands in for a pid namespace where there is none, so that no process survives its
//! container.
//!
//! Two processes of ours stand between the caller and the program. Both are child subreapers
//! (prctl(2)): whatever a process of the container does to leave its parent, it comes back to the
//! nearest of them. When the program ends, or the caller, or what else they watch, they kill all that
//! is below them. There are two because one can be killed: then the other goes on with that.
//!
//! They stay outside of the container's root directory, with `CAP_KILL` and nothing else.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, PidfdFlags, WaitOptions, getpid, pidfd_open, set_child_subreaper,
    set_dumpable_behavior, wait,
};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use super::failure::{Context, Failure};
use super::handle::{self, ProcessId};
use super::init::supervisor;
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
    let begin = || -> Result<(OwnedFd, Fork), Failure> {
        set_child_subreaper(Some(getpid())).context(|| "prctl".to_owned())?;
        let signals = syscalls::signal_descriptor(&signals).context(|| "signalfd".to_owned())?;
        let fork = syscalls::fork().context(|| "cannot fork".to_owned())?;
        Ok((signals, fork))
    };
    match begin() {
        Err(failure) => failure,
        Ok((_, Fork::Child)) => work(),
        Ok((signals, Fork::Parent(child))) => {
            let kept: Vec<_> = watched.iter().copied().chain([signals.as_fd()]).collect();
            let code = match stand_beside(&kept) {
                Ok(()) => supervisor::supervise(child, &signals, watched),
                Err(_) => 125,
            };
            end_all();
            std::process::exit(code)
        }
    }
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
    rustix::thread::set_no_new_privs(true).context(|| "prctl".to_owned())?;
    supervisor::let_go(kept)
}

/// Kills every process below this one, and returns when there is none any more.
fn end_all() {
    while has_children() {
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
