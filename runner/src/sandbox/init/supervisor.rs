//! Our own init (`--init`): the container's first process that stays, passes signals on to the
//! program and buries processes that nobody waits for.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

use super::super::failure::{Context, Failure};
use super::super::landlock::Scopes;
use super::super::program::{self, Surroundings};
use super::super::spec::{Filter, Process};
use super::super::syscalls::{self, Fork};

/// Signals that are passed on: all that a user may send and that does not tell about ourselves.
pub(in crate::sandbox) fn passed_on() -> Vec<i32> {
    let own = [libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD];
    let faults = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGABRT,
    ];
    (1..=31)
        .filter(|signal| !own.contains(signal) && !faults.contains(signal))
        .collect()
}

/// Starts the program as a child and stays until it ends. Returns only if it could not start.
pub(super) fn main(process: &Process, around: Surroundings) -> Failure {
    let mut watched = passed_on();
    watched.push(libc::SIGCHLD);
    let signals = match syscalls::signal_descriptor(&watched).context(|| "signalfd".to_owned()) {
        Ok(signals) => signals,
        Err(failure) => return failure,
    };
    match syscalls::fork().context(|| "cannot fork".to_owned()) {
        Err(failure) => failure,
        Ok(Fork::Child) => program::start(process, around),
        Ok(Fork::Parent(child)) => {
            let own = own_process(process);
            if let Err(failure) = program::confine(&own, around.status()) {
                return failure;
            }
            let _ = rustix::thread::set_name(c"runner-init");
            let ready = program::bind_to_caller(around.status())
                .and_then(|()| let_go(&[signals.as_fd()]))
                .and_then(|()| program::filter(&own, around.status()));
            if let Err(failure) = ready {
                return failure;
            }
            std::process::exit(supervise(child, &signals, &[]))
        }
    }
}

/// What this process is, beside the program: nobody is asked about the calls of our own code, which
/// would wait for an answer with every signal, and it has to reach the program.
fn own_process(process: &Process) -> Process {
    let mut own = process.clone();
    own.scopes = Scopes::default();
    if own.filter.listener().is_some() {
        own.filter = Filter::Baked;
    }
    own
}

/// Closes everything but null and what is `kept`. The end of file on the status socket then says that
/// the program runs, and the program's output ends when the program does.
pub(in crate::sandbox) fn let_go(kept: &[BorrowedFd<'_>]) -> Result<(), Failure> {
    let null = std::fs::File::open("/dev/null").context(|| "cannot open /dev/null".to_owned())?;
    // It is one of those that are closed.
    let null = std::mem::ManuallyDrop::new(null);
    syscalls::keep_only([null.as_fd(), null.as_fd(), null.as_fd()], kept)
        .context(|| "cannot close descriptors".to_owned())
}

/// Until the child ends: its exit code, or 128 and the signal. What ends one of `others` is as if
/// the child had been killed.
pub(in crate::sandbox) fn supervise(
    child: Pid,
    signals: &impl AsFd,
    others: &[BorrowedFd<'_>],
) -> i32 {
    loop {
        let mut set = vec![PollFd::new(signals, PollFlags::IN)];
        let ends = PollFlags::IN | PollFlags::RDHUP;
        set.extend(others.iter().map(|other| PollFd::new(other, ends)));
        let _ = poll(&mut set, None);
        let has_ended = |other: &PollFd<'_>| !other.revents().is_empty();
        if set[1..].iter().any(has_ended) {
            return 128 + libc::SIGKILL;
        }
        while let Ok(Some(number)) = syscalls::next_signal(signals.as_fd()) {
            if number == libc::SIGCHLD {
                if let Some(code) = bury(child) {
                    return code;
                }
            } else if let Some(signal) = Signal::from_named_raw(number) {
                let _ = kill_process(child, signal);
            }
        }
    }
}

/// Buries every dead process; the exit code if the child is among them.
fn bury(child: Pid) -> Option<i32> {
    let mut code = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == child {
            let by_signal = || status.terminating_signal().map(|signal| 128 + signal);
            code = status.exit_status().or_else(by_signal);
        }
    }
    code
}
