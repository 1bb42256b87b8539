//! Signals: sent, waited for, and as a program expects them.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::check;

/// Sends a signal, also one of the real-time signals, for which rustix has no safe type
/// (pidfd_send_signal(2)).
pub(in crate::sandbox) fn send_signal(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let information: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: no information is passed; the kernel checks the number.
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            signal,
            information,
            0,
        )
    })?;
    Ok(())
}

/// Sends a signal to every process that this one may send one to, but for itself (kill(2), -1).
pub(in crate::sandbox) fn signal_everything(signal: i32) -> io::Result<()> {
    // SAFETY: the call touches no memory.
    check(libc::c_long::from(unsafe { libc::kill(-1, signal) })).map(drop)
}

/// Blocks `signals` for this process and returns a descriptor that delivers them instead
/// (signalfd(2)), non-blocking.
pub(crate) fn signal_descriptor(signals: &[libc::c_int]) -> io::Result<OwnedFd> {
    let set = signal_set(signals);
    // SAFETY: `set` is initialized; the kernel copies it.
    let fd = unsafe {
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    check(libc::c_long::from(fd))?;
    // SAFETY: the kernel just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn signal_set(signals: &[libc::c_int]) -> libc::sigset_t {
    // SAFETY: an all-zero set is valid storage, which sigemptyset then initializes; sigaddset
    // only writes into it.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for &signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        set
    }
}

/// The next signal that a [`signal_descriptor`] holds, `None` when there is none.
pub(crate) fn next_signal(fd: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    let mut buffer = [0_u8; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::read(fd, &mut buffer) {
        // `ssi_signo` is the first field of signalfd_siginfo.
        Ok(read) if read == buffer.len() => {
            let number = [buffer[0], buffer[1], buffer[2], buffer[3]];
            Ok(Some(i32::from_ne_bytes(number)))
        }
        Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Unblocks every signal and gives each its default action, as a program expects to start.
///
/// The Rust runtime ignores SIGPIPE, and a shell's background jobs ignore INT and QUIT; none of
/// that is the container's business.
pub(in crate::sandbox) fn reset_signals() {
    let empty = signal_set(&[]);
    // SAFETY: SIG_DFL runs no code of ours; numbers that may not be changed are refused by the
    // kernel without effect.
    unsafe {
        for signal in 1..=libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut());
    }
}

/// Lets every signal through again.
pub(crate) fn unblock_signals() {
    let empty = signal_set(&[]);
    // SAFETY: `empty` is initialized; the kernel copies it.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut()) };
}
