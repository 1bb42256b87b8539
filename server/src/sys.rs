//! The few system calls for which there is no safe wrapper among our dependencies: signals that
//! are waited for instead of handled, children of PID 1, descriptors that were handed in, and the
//! limit on descriptors. Every `unsafe` of the crate is here.

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

/// A signal that the server reacts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `SIGTERM` or `SIGINT`, with its number: stop.
    Stop(i32),
    /// `SIGCHLD`: a child, perhaps one that was orphaned to PID 1, has ended.
    Child,
}

/// The signals the server reacts to, blocked so that they can be waited for.
///
/// A blocked signal stays pending even for PID 1, for which the kernel otherwise discards every
/// signal that has no handler; so none is lost between start and the first [`Signals::wait`].
#[derive(Clone, Copy)]
pub struct Signals(libc::sigset_t);

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signals(TERM, INT, CHLD)")
    }
}

impl Signals {
    /// Blocks the signals in this thread and every thread that it starts later: call it first.
    pub fn block() -> io::Result<Signals> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset initializes the whole set, and the other calls get that set and
        // valid signal numbers.
        let set = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            let mut set = set.assume_init();
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGCHLD] {
                libc::sigaddset(&mut set, signal);
            }
            let failed = libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut());
            if failed != 0 {
                return Err(io::Error::from_raw_os_error(failed));
            }
            set
        };
        Ok(Signals(set))
    }

    /// Waits for the next signal, or `None` when `limit` has passed or the wait was interrupted.
    pub fn wait(&self, limit: Option<Duration>) -> io::Result<Option<Signal>> {
        // The cast cannot lose anything that matters: a limit beyond the range of time_t is for ever.
        let time = limit.map(|limit| libc::timespec {
            tv_sec: limit.as_secs().try_into().unwrap_or(i32::MAX.into()),
            tv_nsec: limit.subsec_nanos().into(),
        });
        let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: the set is initialized, `time` is null or points to a live timespec, and a null
        // siginfo is allowed.
        let number = unsafe { libc::sigtimedwait(&self.0, ptr::null_mut(), time) };
        match number {
            libc::SIGCHLD => Ok(Some(Signal::Child)),
            number if number > 0 => Ok(Some(Signal::Stop(number))),
            _ => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::EAGAIN) => Ok(None),
                error if error.kind() == io::ErrorKind::Interrupted => Ok(None),
                error => Err(error),
            },
        }
    }
}

/// Collects every child that has ended, and says how many there were. For PID 1, which inherits
/// the orphans of its namespace and would otherwise keep them as zombies.
pub fn reap_children() -> usize {
    let mut reaped = 0;
    // SAFETY: waitpid may be given a null status pointer; WNOHANG makes it return at once.
    while unsafe { libc::waitpid(-1, ptr::null_mut(), libc::WNOHANG) } > 0 {
        reaped += 1;
    }
    reaped
}

/// Takes over a descriptor that was handed in by whoever started this process: returns a copy that
/// is closed on exec, and closes the original unless it is one of the standard three. `EBADF` if
/// there is none.
pub fn adopt_descriptor(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC only reads the number, and the descriptor that it returns is new and
    // owned by nobody else. The original is owned by nobody in this process: it was named by the
    // user as handed in, and is adopted before the process opens anything of its own.
    unsafe {
        let copy = libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3);
        if copy < 0 {
            return Err(io::Error::last_os_error());
        }
        if number > libc::STDERR_FILENO {
            libc::close(number);
        }
        Ok(OwnedFd::from_raw_fd(copy))
    }
}

/// Raises the soft limit on open descriptors to the hard one and returns it.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls get a pointer to a live rlimit.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return Err(io::Error::last_os_error());
        }
        let wanted = libc::rlimit {
            rlim_cur: limit.rlim_max,
            ..limit
        };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &wanted) == 0 {
            limit = wanted;
        }
    }
    Ok(limit.rlim_cur)
}
