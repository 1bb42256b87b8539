//! Mounting into a root file system that an image made, which is not to be trusted.
//!
//! Every target is first resolved to a descriptor *inside* that root (openat2(2),
//! `RESOLVE_IN_ROOT`), missing parts are made on the way, and the mount is attached to the
//! descriptor. No path is walked twice, so nothing can be swapped between check and use.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat2};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::syscalls::{self, MountChange};

/// Attributes of nearly every mount of a container.
pub(super) const PLAIN: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// How many levels a target may have; deeper ones are nobody's honest wish.
const DEEPEST: usize = 256;

/// A directory that is the root of everything resolved in it.
#[derive(Debug)]
pub(super) struct Root(OwnedFd);

/// What a mount target has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
}

impl Root {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Opens what is at `path`, following symbolic links inside this root.
    pub(super) fn resolve(&self, path: &str) -> io::Result<OwnedFd> {
        Ok(self.open_inside(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// Opens what is at `path`, where no part of it may be a symbolic link.
    pub(super) fn resolve_plain(&self, path: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let path = path.trim_start_matches('/');
        Ok(openat2(&self.0, path, flags, Mode::empty(), resolve)?)
    }

    fn open_inside(&self, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let path = path.trim_start_matches('/');
        let path = if path.is_empty() { "." } else { path };
        // EAGAIN: something was renamed meanwhile; the kernel asks to try again.
        for _ in 0..64 {
            match openat2(&self.0, path, flags, mode, resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return result,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Opens the mount target at `path`, and makes it and what leads to it where it is missing.
    pub(super) fn target(&self, path: &str, kind: Kind) -> io::Result<OwnedFd> {
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        if names.len() > DEEPEST || names.contains(&"..") {
            return Err(io::Error::from(Errno::INVAL));
        }
        let Some((last, parents)) = names.split_last() else {
            return self.resolve("/");
        };
        match self.resolve(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let mut walked = String::new();
        for name in parents {
            self.make(&walked, name, Kind::Directory)?;
            walked.push('/');
            walked.push_str(name);
        }
        self.make(&walked, last, kind)?;
        self.resolve(path)
    }

    /// Makes `name` in the directory at `parent` unless something is there.
    fn make(&self, parent: &str, name: &str, kind: Kind) -> io::Result<()> {
        let path = format!("{parent}/{name}");
        match self.resolve(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other.map(drop),
        }
        let parent = self.resolve(parent)?;
        let made = match kind {
            Kind::Directory => mkdirat(&parent, name, Mode::from_raw_mode(0o755)),
            Kind::File => make_file(&parent, name, 0o644).map(drop),
        };
        match made {
            // A link that leads nowhere: nothing can be mounted there.
            Err(Errno::EXIST) => Err(io::Error::from(Errno::NOENT)),
            other => Ok(other?),
        }
    }
}

impl From<OwnedFd> for Root {
    fn from(directory: OwnedFd) -> Self {
        Self(directory)
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Makes a new regular file, which must not be there.
pub(super) fn make_file(folder: impl AsFd, name: &str, mode: u32) -> Result<OwnedFd, Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(mode))
}

/// Whether `fd` is a directory or anything else.
pub(super) fn kind_of(fd: impl AsFd) -> io::Result<Kind> {
    let kind = FileType::from_raw_mode(fstat(fd)?.st_mode);
    Ok(if kind == FileType::Directory {
        Kind::Directory
    } else {
        Kind::File
    })
}

/// The type of a proc file system (`PROC_SUPER_MAGIC`, linux/magic.h).
const PROC: i64 = 0x9fa0;

/// Whether `fd` is a file or a directory of a proc file system.
pub(super) fn is_on_proc(fd: impl AsFd) -> io::Result<bool> {
    Ok(rustix::fs::fstatfs(fd)?.f_type == PROC)
}

/// A new mount of the file system type `name`, attached nowhere yet.
pub(super) fn new_mount(
    name: &str,
    options: &[(&str, Option<&str>)],
    attributes: MountAttrFlags,
) -> io::Result<OwnedFd> {
    new_mount_of(name, name, options, attributes)
}

/// The same, of the device `source`, or what the list of mounts shows as such.
pub(super) fn new_mount_of(
    name: &str,
    source: &str,
    options: &[(&str, Option<&str>)],
    attributes: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let context = fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", source)?;
    for (key, value) in options {
        match value {
            Some(value) => fsconfig_set_string(&context, *key, *value)?,
            None => fsconfig_set_flag(&context, *key)?,
        }
    }
    fsconfig_create(&context)?;
    Ok(fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        attributes,
    )?)
}

/// A second mount of what is behind `fd`, and of the mounts below it if `recursive`, attached
/// nowhere yet.
pub(super) fn clone_mount(fd: impl AsFd, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(open_tree(fd, "", flags)?)
}

/// Takes rights away from the mount behind `mount` and those below it. Safe on any mount: it can
/// only forbid more.
pub(super) fn restrict(mount: impl AsFd, attributes: MountAttrFlags) -> io::Result<()> {
    let change = MountChange {
        set: u64::from(attributes.bits()),
        ..MountChange::default()
    };
    syscalls::mount_set_attributes(mount.as_fd(), &change, true)
}

/// Attaches `mount` over `target`.
pub(super) fn attach(mount: impl AsFd, target: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, "", target, "", flags)?)
}

/// Opens a path of the host.
pub(super) fn open_host(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(
        CWD,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// Opens a path of the host that was resolved before. A part of it that is a symbolic link by now
/// was swapped, perhaps by a container that may write there (as in CVE-2021-30465).
pub(super) fn open_resolved(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    Ok(openat2(
        CWD,
        path,
        flags,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS,
    )?)
}

/// The mode, owner and times of what is behind `fd`.
pub(super) fn attributes(fd: impl AsFd) -> io::Result<rustix::fs::Stat> {
    Ok(rustix::fs::statat(fd, "", AtFlags::EMPTY_PATH)?)
}
