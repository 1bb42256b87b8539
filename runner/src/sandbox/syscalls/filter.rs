//! Programs that the kernel runs to decide: about system calls, and about devices.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::check;

/// Installs a seccomp filter for this thread (seccomp(2)). The caller has set no-new-privileges, or
/// still has the capability that does without.
pub(in crate::sandbox) fn install_filter(
    program: &[libc::sock_filter],
    flags: u64,
) -> io::Result<libc::c_long> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies `len` instructions from `filter` during the call, and both come
    // from one slice.
    check(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    })
}

/// Installs a seccomp filter that hands system calls to whoever has the descriptor that is returned
/// (`SECCOMP_FILTER_FLAG_NEW_LISTENER`).
pub(in crate::sandbox) fn install_filter_with_listener(
    program: &[libc::sock_filter],
    flags: u64,
) -> io::Result<OwnedFd> {
    let listener = install_filter(program, flags | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
    let listener = RawFd::try_from(listener).map_err(io::Error::other)?;
    // SAFETY: the kernel just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(listener) })
}

/// Puts a program that decides about devices at the control group behind `group` (bpf(2)).
pub(in crate::sandbox) fn attach_device_filter(
    group: BorrowedFd<'_>,
    program: &[u64],
) -> io::Result<()> {
    /// The beginning of `union bpf_attr` for `BPF_PROG_LOAD`; the rest is 0.
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        code: u64,
        license: u64,
    }
    /// The same for `BPF_PROG_ATTACH`.
    #[repr(C)]
    struct Attach {
        target: u32,
        program: u32,
        point: u32,
        flags: u32,
    }
    const LOAD: libc::c_int = 5;
    const ATTACH: libc::c_int = 8;
    const CGROUP_DEVICE_PROGRAM: u32 = 15;
    const CGROUP_DEVICE: u32 = 6;
    const ALLOW_MULTI: u32 = 2;
    let load = Load {
        kind: CGROUP_DEVICE_PROGRAM,
        count: u32::try_from(program.len()).map_err(io::Error::other)?,
        code: program.as_ptr().addr() as u64,
        license: c"Apache-2.0".as_ptr().addr() as u64,
    };
    // SAFETY: the kernel reads the structure, `count` instructions and a string that ends, all of
    // which live during the call; it returns a new descriptor.
    let loaded =
        check(unsafe { libc::syscall(libc::SYS_bpf, LOAD, &raw const load, size_of::<Load>()) })?;
    let loaded = RawFd::try_from(loaded).map_err(io::Error::other)?;
    // SAFETY: the kernel just opened it for us.
    let loaded = unsafe { OwnedFd::from_raw_fd(loaded) };
    let number = |fd: BorrowedFd<'_>| fd.as_raw_fd().cast_unsigned();
    let attach = Attach {
        target: number(group),
        program: number(loaded.as_fd()),
        point: CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    // SAFETY: the kernel reads the structure during the call only.
    check(unsafe {
        libc::syscall(
            libc::SYS_bpf,
            ATTACH,
            &raw const attach,
            size_of::<Attach>(),
        )
    })?;
    Ok(())
}
