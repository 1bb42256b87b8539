//! Copying a directory tree with everything that belongs to its files: content, mode, owner, times
//! and hard links. By descriptor, without ever following a symbolic link.
//!
//! It stands in for the overlay where the kernel has none for us, and fills a new volume with the
//! image's files.

use std::collections::HashMap;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, chownat, fchmod,
    fchown, futimens, ioctl_ficlone, linkat, mkdirat, mknodat, openat, readlinkat, statat,
    symlinkat, utimensat,
};
use rustix::io::Errno;

use super::spec::Extent;

/// Who owns the copy of a file: the same as the file, or what its owner's ids stand for.
#[derive(Debug, Default)]
pub(super) struct Owners {
    users: Vec<Extent>,
    groups: Vec<Extent>,
}

impl Owners {
    /// Ids outside of these extents become those inside; any other stays.
    pub(super) fn unmapped((users, groups): (Vec<Extent>, Vec<Extent>)) -> Self {
        Self { users, groups }
    }

    /// What the copy of a file with these attributes has.
    pub(super) fn of(&self, mut stat: Stat) -> Stat {
        let find = |extents: &[Extent], id: u32| {
            let inside = |extent: &Extent| {
                let offset = id.checked_sub(extent.outside)?;
                (offset < extent.count).then_some(extent.inside + offset)
            };
            extents.iter().find_map(inside).unwrap_or(id)
        };
        stat.st_uid = find(&self.users, stat.st_uid);
        stat.st_gid = find(&self.groups, stat.st_gid);
        stat
    }
}

/// What a copy keeps in mind on its way.
struct Copy<'a> {
    owners: &'a Owners,
    linked: Linked,
}

/// Files with more than one name: device and inode → where the first name was copied to.
type Linked = HashMap<(u64, u64), (OwnedFd, std::ffi::CString)>;

/// Copies what is in the directory `source` into the directory `target`, which is there.
pub(super) fn tree(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    owners: &Owners,
) -> io::Result<()> {
    let source = open_directory(source, c".")?;
    let target = open_directory(target, c".")?;
    let mut copy = Copy {
        owners,
        linked: Linked::new(),
    };
    directory(&source, &target, &mut copy)
}

fn open_directory(at: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, name, flags, Mode::empty())
}

fn directory(source: &OwnedFd, target: &OwnedFd, copy: &mut Copy<'_>) -> io::Result<()> {
    for entry in Dir::read_from(source)? {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            copy_entry(source, target, name, copy)?;
        }
    }
    let stat = copy.owners.of(rustix::fs::fstat(source)?);
    own(target, &stat)?;
    Ok(futimens(target, &times(&stat))?)
}

fn copy_entry(
    source: &OwnedFd,
    target: &OwnedFd,
    name: &CStr,
    copy: &mut Copy<'_>,
) -> io::Result<()> {
    let stat = copy
        .owners
        .of(statat(source, name, AtFlags::SYMLINK_NOFOLLOW)?);
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind == FileType::Directory {
        mkdirat(target, name, Mode::from_raw_mode(0o700))?;
        let inner = (open_directory(source, name)?, open_directory(target, name)?);
        return directory(&inner.0, &inner.1, copy);
    }
    if stat.st_nlink > 1 {
        if let Some((folder, first)) = copy.linked.get(&(stat.st_dev, stat.st_ino)) {
            return Ok(linkat(
                folder,
                first.as_c_str(),
                target,
                name,
                AtFlags::empty(),
            )?);
        }
        let place = (target.try_clone()?, name.to_owned());
        copy.linked.insert((stat.st_dev, stat.st_ino), place);
    }
    match kind {
        FileType::RegularFile => copy_file(source, target, name, &stat),
        FileType::Symlink => {
            let link = readlinkat(source, name, Vec::new())?;
            symlinkat(link.as_c_str(), target, name)?;
            own_entry(target, name, &stat)
        }
        FileType::Fifo => {
            mknodat(
                target,
                name,
                kind,
                Mode::from_raw_mode(stat.st_mode & 0o7777),
                0,
            )?;
            own_entry(target, name, &stat)
        }
        // Sockets and devices have no content; no image tree of ours has any.
        _ => Ok(()),
    }
}

fn copy_file(source: &OwnedFd, target: &OwnedFd, name: &CStr, stat: &Stat) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut from = File::from(openat(source, name, flags, Mode::empty())?);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut to = File::from(openat(target, name, flags, Mode::from_raw_mode(0o600))?);
    if ioctl_ficlone(&to, &from).is_err() {
        io::copy(&mut from, &mut to)?;
    }
    own(&to, stat)?;
    Ok(futimens(&to, &times(stat))?)
}

/// Makes this user and group the owner of `top` and of everything below it.
pub(super) fn own_all(top: BorrowedFd<'_>, uid: u32, gid: u32) -> io::Result<()> {
    let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    chownat(top, c"", owner.0, owner.1, AtFlags::EMPTY_PATH)?;
    match open_directory(top, c".") {
        Ok(directory) => own_below(&directory, owner),
        // It is a file.
        Err(Errno::NOTDIR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn own_below(directory: &OwnedFd, owner: (Option<Uid>, Option<Gid>)) -> io::Result<()> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        chownat(directory, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)?;
        match open_directory(directory, name) {
            Ok(below) => own_below(&below, owner)?,
            Err(Errno::NOTDIR | Errno::LOOP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Owner first: a change of owner takes the set-uid bit away.
fn own(target: impl AsFd, stat: &Stat) -> io::Result<()> {
    let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fchown(&target, Some(owner.0), Some(owner.1))?;
    Ok(fchmod(&target, Mode::from_raw_mode(stat.st_mode & 0o7777))?)
}

fn own_entry(target: &OwnedFd, name: &CStr, stat: &Stat) -> io::Result<()> {
    let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    chownat(
        target,
        name,
        Some(owner.0),
        Some(owner.1),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    Ok(utimensat(
        target,
        name,
        &times(stat),
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

/// The times of `stat` in the form in which they are set.
pub(super) fn times(stat: &Stat) -> Timestamps {
    let time = |seconds: i64, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_from_inside_a_namespace_becomes_what_it_is_there() {
        let ids = |outside| {
            vec![Extent {
                inside: 0,
                outside,
                count: 65_536,
            }]
        };
        let owners = Owners::unmapped((ids(0x7000_0000), ids(200_000)));
        let of = |uid, gid| {
            let mut stat = rustix::fs::stat("/").unwrap();
            (stat.st_uid, stat.st_gid) = (uid, gid);
            let stat = owners.of(stat);
            (stat.st_uid, stat.st_gid)
        };
        assert_eq!(of(0x7000_0000, 200_000), (0, 0));
        assert_eq!(of(0x7000_03e8, 265_535), (1000, 65_535));
        assert_eq!(of(1000, 265_536), (1000, 265_536));
    }
}
