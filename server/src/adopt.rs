//! Taking over a descriptor that was handed in (`fd:N`, `LISTEN_FDS`). It is the only place of this
//! crate with `unsafe`, and has to be: that a bare number is a descriptor, and that nobody else in the
//! process owns it, is a promise of whoever started it, which no safe wrapper can check.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Returns a copy of descriptor `number` that is closed on exec, and closes the original unless it
/// is one of the standard three. `EBADF` if there is none.
///
/// To be called before the process opens anything of its own, which could get that number.
pub(crate) fn descriptor(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl is asked about a number and no pointer, and says so if it is no descriptor;
    // every type that stands for a descriptor would already claim that it is one.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    if number > libc::STDERR_FILENO {
        // SAFETY: it was just copied, so it is open, and nobody in this process owns it: the user
        // named it as handed in, and the process has opened nothing of its own yet.
        drop(unsafe { OwnedFd::from_raw_fd(number) });
    }
    // SAFETY: the kernel has just made it, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}
