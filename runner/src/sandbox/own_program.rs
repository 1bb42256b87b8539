//! This program as a file that nobody can write through `/proc/PID/exe`, whoever opens that
//! (CVE-2019-5736). All of our code that comes near a container is executed from such a file.
//!
//! It is a read-only mount of the program that exists nowhere in the file tree, or a sealed copy
//! in memory. The holder runs from one for as long as it lives, so the others take its.

use std::fs::{self, File};
use std::io::{self, Seek};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{
    CWD, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags, fcntl_add_seals, fstat, fstatvfs,
    memfd_create, open, stat,
};
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::net::SocketType;
use rustix::process::{WaitOptions, waitpid};
use rustix::thread::UnshareFlags;

use super::failure::{Context, Failure};
use super::syscalls::{self, MountChange};
use super::wire;

/// The read-only mount that the process `pid` was executed from, if it is one of this very program.
pub(super) fn of_process(pid: i32) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let program = open(format!("/proc/{pid}/exe"), flags, Mode::empty()).ok()?;
    let (found, ours) = (fstat(&program).ok()?, stat("/proc/self/exe").ok()?);
    let read_only = StatVfsMountFlags::RDONLY;
    (fstatvfs(&program).ok()?.f_flag.contains(read_only)
        && (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino))
        .then_some(program)
}

/// Makes such a file.
///
/// # Panics
/// When this process has threads.
pub(super) fn make() -> io::Result<OwnedFd> {
    match read_only_mount() {
        Ok(Some(program)) => Ok(program),
        // Not found at its path any more: it was replaced.
        Ok(None) => sealed_copy(),
        // No such namespaces here, or a kernel before 5.12.
        Err(_) => read_only_mount_beside().or_else(|_| sealed_copy()),
    }
}

/// The mount, made by another process that enters namespaces for it in which it owns the mounts. This
/// process would keep what is mounted there from being unmounted.
fn read_only_mount_beside() -> Result<OwnedFd, Failure> {
    let what = || "cannot open this program".to_owned();
    let (here, there) = wire::sockets(SocketType::STREAM)?;
    let send = || -> Result<(), Failure> {
        let with_own_user = UnshareFlags::NEWUSER | UnshareFlags::NEWNS;
        syscalls::unshare(UnshareFlags::NEWNS)
            .or_else(|_| syscalls::unshare(with_own_user))
            .context(what)?;
        let mount = read_only_mount().context(what)?;
        let mount = mount.ok_or_else(|| Failure::engine(what()))?;
        wire::send(&there, &(), &[mount.as_fd()])
    };
    let pid = syscalls::spawn(&mut || i32::from(send().is_err())).context(what)?;
    drop(there);
    let received = wire::receive::<()>(&here);
    let _ = waitpid(Some(pid), WaitOptions::empty());
    let ((), programs) = received?;
    let mut programs = programs.into_iter();
    programs.next().ok_or_else(|| Failure::engine(what()))
}

fn read_only_mount() -> io::Result<Option<OwnedFd>> {
    let path: PathBuf = fs::read_link("/proc/self/exe")?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = open_tree(CWD, &path, flags)?;
    let (found, ours) = (fstat(&mount)?, stat("/proc/self/exe")?);
    if (found.st_dev, found.st_ino) != (ours.st_dev, ours.st_ino) {
        return Ok(None);
    }
    let read_only = MountChange {
        set: libc::MOUNT_ATTR_RDONLY,
        ..MountChange::default()
    };
    syscalls::mount_set_attributes(mount.as_fd(), &read_only, false)?;
    Ok(Some(mount))
}

fn sealed_copy() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut copy = File::from(memfd_create("runner", flags)?);
    io::copy(&mut File::open("/proc/self/exe")?, &mut copy)?;
    copy.rewind()?;
    // Not the seal that also ends the writing of those who have begun, of whom there are none: the kernel
    // refuses it as busy while it holds a page itself for a moment (mm/memfd.c, memfd_wait_for_pins).
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE;
    fcntl_add_seals(&copy, seals)?;
    // Executed through a read-only descriptor: a file that is open for writing is busy.
    let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
    Ok(File::open(path)?.into())
}
