//! Our own init (`--init`): the container's first process that stays, passes signals on to the
//! program and buries processes that nobody waits for.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

use super::super::failure::{Context, Failure};
use super::super::landlock::Scopes;
use super::super::program::{self, Surroundings};
use super::super::spec::{Filter, Process};
use super::super::syscalls::{self, Fork};

/// Signals that are passed on: all that a user may send and that does not tell about ourselves.
fn passed_on() -> Vec<i32> {
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
                .and_then(|()| let_go(&signals))
                .and_then(|()| program::filter(&own, around.status()));
            if let Err(failure) = ready {
                return failure;
            }
            std::process::exit(supervise(child, &signals))
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

/// Closes everything but null and the signals. The end of file on the status socket then says that
/// the program runs, and the program's output ends when the program does.
fn let_go(signals: &OwnedFd) -> Result<(), Failure> {
    let null = std::fs::File::open("/dev/null").context(|| "cannot open /dev/null".to_owned())?;
    // It is one of those that are closed.
    let null = std::mem::ManuallyDrop::new(null);
    syscalls::keep_only([null.as_fd(), null.as_fd(), null.as_fd()], signals.as_fd())
        .context(|| "cannot close descriptors".to_owned())
}

/// Until the child ends: its exit code, or 128 and the signal.
fn supervise(child: Pid, signals: &impl AsFd) -> i32 {
    loop {
        let mut set = [PollFd::new(signals, PollFlags::IN)];
        let _ = poll(&mut set, None);
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
