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
use rustix::mount::{MountPropagationFlags, OpenTreeFlags, mount_change, open_tree};
use rustix::thread::UnshareFlags;

use super::syscalls::{self, MountChange};

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

/// Makes such a file. In a user namespace that does not own this process's mounts, it leaves the
/// process in a mount namespace of its own.
pub(super) fn make() -> io::Result<OwnedFd> {
    if let Ok(Some(program)) = read_only_mount() {
        return Ok(program);
    }
    let in_own_namespace = || -> io::Result<Option<OwnedFd>> {
        syscalls::unshare(UnshareFlags::NEWNS)?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private)?;
        read_only_mount()
    };
    match in_own_namespace() {
        Ok(Some(program)) => Ok(program),
        // Not found at its path any more (it was replaced), or a kernel before 5.12.
        Ok(None) | Err(_) => sealed_copy(),
    }
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
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&copy, seals)?;
    // Executed through a read-only descriptor: a file that is open for writing is busy.
    let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
    Ok(File::open(path)?.into())
}
