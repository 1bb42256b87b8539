//! Descriptors: what a program is started with, and what it leaves open.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::check;

/// Puts `descriptors` at the numbers 0, 1, 2, … and marks every other one close-on-exec, so that
/// the next program gets these and nothing else (close_range(2), kernel 5.11 for the flag).
pub(in crate::sandbox) fn place_descriptors(descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let count = RawFd::try_from(descriptors.len()).map_err(io::Error::other)?;
    // First out of the way, because a target number may be the source of a later one.
    let sources = descriptors
        .iter()
        .map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, count.max(64)))
        .collect::<Result<Vec<_>, _>>()?;
    for (target, source) in (0..count).zip(&sources) {
        // SAFETY: `source` is open. The program is about to be replaced and whoever owned the
        // target number before uses it no more.
        check(libc::c_long::from(unsafe {
            libc::dup2(source.as_raw_fd(), target)
        }))?;
    }
    close_on_exec_from(count)
}

/// Puts `stdio` at 0, 1 and 2 and closes every other descriptor but `kept`, for a process that goes
/// on without its past. Whoever owned them must not use or drop them any more: it ends by `exit`.
pub(in crate::sandbox) fn keep_only(
    stdio: [BorrowedFd<'_>; 3],
    kept: &[BorrowedFd<'_>],
) -> io::Result<()> {
    for (target, source) in (0..).zip(stdio) {
        // SAFETY: `source` is open; standard input, output and error have no owner.
        check(libc::c_long::from(unsafe {
            libc::dup2(source.as_raw_fd(), target)
        }))?;
    }
    let close = |first: RawFd, last: libc::c_uint| {
        // SAFETY: by contract nobody uses what is closed here.
        check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })
    };
    let mut kept: Vec<_> = kept.iter().map(AsRawFd::as_raw_fd).collect();
    kept.sort_unstable();
    let mut first = 3;
    for number in kept {
        if number > first {
            close(first, number.cast_unsigned() - 1)?;
        }
        first = first.max(number + 1);
    }
    close(first, libc::c_uint::MAX)?;
    Ok(())
}

/// Marks every descriptor from `first` on close-on-exec.
pub(in crate::sandbox) fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: marking closes nothing in this process; only a later execve does.
    check(unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    })?;
    Ok(())
}

/// Closes every descriptor from `first` on. For the beginning of a process only: nothing of it may
/// have an owner yet.
pub(crate) fn close_from(first: RawFd) -> io::Result<()> {
    // SAFETY: by contract no value owns any of these descriptors.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) })?;
    Ok(())
}

/// Takes ownership of a descriptor that this program was started with.
///
/// Must be called at most once for each number, before anything else could have opened one.
pub(in crate::sandbox) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the number is checked to be open by the flag call below, and by contract it is one
    // that the starting process placed for us and that nothing else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    if let Err(error) = rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC) {
        std::mem::forget(fd);
        return Err(error.into());
    }
    Ok(fd)
}

/// A copy of a descriptor that this program was started with and that nobody owns (fcntl(2)).
pub(crate) fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the kernel only looks the number up; what it returns is new and ours.
    let copy = check(libc::c_long::from(unsafe {
        libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3)
    }))?;
    let copy = RawFd::try_from(copy).map_err(io::Error::other)?;
    // SAFETY: the kernel just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Asks the disk to begin with `length` bytes of `file` from `offset` on, and does not wait: what says
/// that they are there is still fsync(2) (sync_file_range(2)).
pub(crate) fn start_writing(file: impl AsFd, offset: u64, length: u64) {
    let (Ok(offset), Ok(length)) = (offset.try_into(), length.try_into()) else {
        return;
    };
    let file = file.as_fd().as_raw_fd();
    // SAFETY: four numbers, which the kernel checks. A file system that cannot do it loses some time.
    let _ = unsafe { libc::sync_file_range(file, offset, length, libc::SYNC_FILE_RANGE_WRITE) };
}

/// Makes `fd` non-blocking.
pub(crate) fn set_non_blocking(fd: impl AsFd) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(fd, true)?)
}

/// Lets the kernel choose the port of a socket that is bound to an address only when it connects,
/// so that many connections may have the same one (ip(7), `IP_BIND_ADDRESS_NO_PORT`).
pub(crate) fn choose_port_at_connect(socket: impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the kernel reads one int behind the pointer.
    check(libc::c_long::from(unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            4,
        )
    }))?;
    Ok(())
}
