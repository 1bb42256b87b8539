//! Landlock: what a process and its children may reach, whoever they are.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::check;

/// What a Landlock ruleset decides about (`struct landlock_ruleset_attr` of linux/landlock.h). A kernel
/// that is older than a field takes a zero in it.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::sandbox) struct LandlockHandled {
    /// Access to files: what no rule allows is forbidden.
    pub(in crate::sandbox) files: u64,
    /// The same for the ports of TCP (Linux 6.7).
    pub(in crate::sandbox) ports: u64,
    /// What is confined to the processes that are restricted (Linux 6.12).
    pub(in crate::sandbox) scoped: u64,
}

/// The version of Landlock that this kernel has (landlock_create_ruleset(2),
/// `LANDLOCK_CREATE_RULESET_VERSION`).
pub(in crate::sandbox) fn landlock_version() -> io::Result<u32> {
    const VERSION: u32 = 1;
    let nothing: *const LandlockHandled = std::ptr::null();
    // SAFETY: with this flag the kernel reads no memory.
    let version = check(unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, VERSION)
    })?;
    u32::try_from(version).map_err(io::Error::other)
}

/// A ruleset without a rule (landlock_create_ruleset(2)).
pub(in crate::sandbox) fn landlock_ruleset(handled: &LandlockHandled) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads as many bytes as the structure has, during the call only.
    let ruleset = check(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::from_ref(handled),
            size_of::<LandlockHandled>(),
            0,
        )
    })?;
    let ruleset = RawFd::try_from(ruleset).map_err(io::Error::other)?;
    // SAFETY: the kernel just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(ruleset) })
}

/// Allows this access to all files below `directory` (landlock_add_rule(2)).
pub(in crate::sandbox) fn landlock_allow_below(
    ruleset: &OwnedFd,
    directory: &OwnedFd,
    access: u64,
) -> io::Result<()> {
    /// `struct landlock_path_beneath_attr` of linux/landlock.h.
    #[repr(C, packed)]
    struct Beneath {
        access: u64,
        directory: libc::c_int,
    }
    const PATH_BENEATH: libc::c_int = 1;
    let rule = Beneath {
        access,
        directory: directory.as_raw_fd(),
    };
    // SAFETY: the kernel reads one such structure, during the call only.
    check(unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            PATH_BENEATH,
            &raw const rule,
            0,
        )
    })
    .map(drop)
}

/// Puts this thread under a ruleset (landlock_restrict_self(2)). The caller has set no-new-privileges,
/// or still has the capability that does without.
pub(in crate::sandbox) fn landlock_restrict(ruleset: &OwnedFd) -> io::Result<()> {
    // SAFETY: a descriptor and no flags.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) })?;
    Ok(())
}
