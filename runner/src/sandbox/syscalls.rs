//! The system calls that have no safe wrapper in `rustix`, each with the reason why it is safe as
//! it is called here. Nothing else in this crate is `unsafe`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

mod descriptors;
mod filter;
mod landlock;
mod memory;
mod process;
mod signals;

pub(crate) use descriptors::{
    choose_port_at_connect, close_from, duplicate, set_non_blocking, start_writing,
};
pub(super) use descriptors::{close_on_exec_from, inherited, keep_only, place_descriptors};
pub(super) use filter::{attach_device_filter, install_filter, install_filter_with_listener};
pub(super) use landlock::{
    LandlockHandled, landlock_allow_below, landlock_restrict, landlock_ruleset, landlock_version,
};
pub(super) use memory::let_go;
#[cfg(all(target_env = "musl", target_pointer_width = "64"))]
pub(super) use memory::protect_constants;
#[cfg(test)]
pub(super) use memory::{map_privately, read_byte, write_byte};
pub(super) use process::{
    Fork, ForkInto, end, execute, execute_descriptor, fork, fork_into, spawn, unshare,
};
pub(crate) use signals::{next_signal, signal_descriptor, unblock_signals};
pub(super) use signals::{reset_signals, send_signal, signal_everything};

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// What changes about a mount (mount_setattr(2)).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MountChange<'a> {
    pub(super) set: u64,
    pub(super) clear: u64,
    /// One of `MS_PRIVATE` and the like; 0 leaves it as it is.
    pub(super) propagation: u64,
    /// The user namespace whose ids the files have.
    pub(super) id_map: Option<BorrowedFd<'a>>,
}

/// Changes the attributes of the mount behind `mount` (mount_setattr(2), kernel 5.12), and of the
/// mounts below it if `recursive`.
pub(super) fn mount_set_attributes(
    mount: BorrowedFd<'_>,
    change: &MountChange<'_>,
    recursive: bool,
) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: change.set | change.id_map.map_or(0, |_| libc::MOUNT_ATTR_IDMAP),
        attr_clr: change.clear,
        propagation: change.propagation,
        userns_fd: change
            .id_map
            .map_or(0, |fd| u64::try_from(fd.as_raw_fd()).unwrap_or(0)),
    };
    let recursive = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the kernel reads the structure during the call only.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    })?;
    Ok(())
}

/// The user namespace that the namespace behind `fd` belongs to, or for a user namespace its
/// parent (ioctl_ns(2)).
pub(super) fn namespace_parent(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: this ioctl takes no argument and returns a new descriptor.
    let parent = check(libc::c_long::from(unsafe {
        libc::ioctl(fd.as_raw_fd(), libc::NS_GET_PARENT)
    }))?;
    let parent = RawFd::try_from(parent).map_err(io::Error::other)?;
    // SAFETY: the kernel just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(parent) })
}

/// The user outside who made the user namespace behind `fd` (ioctl_ns(2)).
pub(super) fn namespace_owner(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let mut uid: libc::uid_t = 0;
    // SAFETY: the kernel writes one uid_t behind the pointer.
    check(libc::c_long::from(unsafe {
        libc::ioctl(fd.as_raw_fd(), libc::NS_GET_OWNER_UID, &raw mut uid)
    }))?;
    Ok(uid)
}

/// The class and priority of this process for input and output (ioprio_set(2)).
pub(super) fn set_io_priority(priority: i32) -> io::Result<()> {
    const PROCESS: libc::c_int = 1;
    // SAFETY: three numbers, which the kernel checks.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, PROCESS, 0, priority) })?;
    Ok(())
}

/// How this process is scheduled (sched_setattr(2)).
pub(super) fn set_scheduler(scheduler: &super::spec::Scheduler) -> io::Result<()> {
    /// `struct sched_attr` of linux/sched/types.h, in its first version.
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    let attributes = Attributes {
        size: u32::try_from(size_of::<Attributes>()).map_err(io::Error::other)?,
        policy: scheduler.policy,
        flags: scheduler.flags,
        nice: scheduler.nice,
        priority: scheduler.priority,
        runtime: scheduler.runtime,
        deadline: scheduler.deadline,
        period: scheduler.period,
    };
    // SAFETY: the kernel reads `size` bytes of the structure during the call only.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) })?;
    Ok(())
}

/// The execution domain of this process (personality(2)).
pub(super) fn set_personality(domain: u32) -> io::Result<()> {
    // SAFETY: one number, which the kernel checks.
    check(libc::c_long::from(unsafe {
        libc::personality(libc::c_ulong::from(domain))
    }))?;
    Ok(())
}

/// Takes a session keyring that is nobody else's (keyctl(2), `KEYCTL_JOIN_SESSION_KEYRING`).
pub(super) fn leave_keyring() -> io::Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    let anonymous: *const libc::c_char = std::ptr::null();
    // SAFETY: without a name the kernel makes a new keyring and reads nothing.
    check(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, anonymous) })?;
    Ok(())
}
