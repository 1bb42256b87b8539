//! Removing a directory with everything in it, however deep it is.
//!
//! An image may nest directories deeper than a process may have files open. What lies too deep is
//! moved up to the top and met again there, so a fixed number of descriptors is enough. No link is
//! followed and no path is looked up twice.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

/// How deep one descent goes; two descriptors a level.
const DEPTH: usize = 32;

/// Removes `name` from `parent`: a file, a link, or a directory with everything in it.
///
/// # Errors
/// What the kernel says; `NotFound` when there is no such name.
pub(super) fn remove(parent: impl AsFd, name: &[u8]) -> io::Result<()> {
    match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        result => return Ok(result?),
    }
    let top = open(parent.as_fd(), name)?;
    let mut moved = 0;
    loop {
        empty(top.as_fd(), top.as_fd(), DEPTH, &mut moved)?;
        match rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR) {
            // What was moved up is here now.
            Err(Errno::NOTEMPTY) => {}
            result => return Ok(result?),
        }
    }
}

/// Opens a directory to list it and to reach what is in it.
///
/// # Errors
/// What the kernel says; `ELOOP` or `ENOTDIR` for anything but a directory.
pub(super) fn open(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

fn empty(
    top: BorrowedFd<'_>,
    directory: BorrowedFd<'_>,
    depth: usize,
    moved: &mut u64,
) -> io::Result<()> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        if entry.file_type() != FileType::Directory {
            match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
                // Not every file system says in a listing what a name is.
                Err(Errno::ISDIR) => {}
                result => {
                    result?;
                    continue;
                }
            }
        }
        if depth == 0 {
            move_up(top, directory, name, moved)?;
            continue;
        }
        let inner = open(directory, name)?;
        empty(top, inner.as_fd(), depth - 1, moved)?;
        rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

fn move_up(
    top: BorrowedFd<'_>,
    directory: BorrowedFd<'_>,
    name: &[u8],
    moved: &mut u64,
) -> io::Result<()> {
    loop {
        *moved += 1;
        let place = format!("deep-{moved}");
        match rustix::fs::renameat_with(directory, name, top, place, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            result => return Ok(result?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_tree_deeper_than_the_open_files_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let parent = File::open(folder.path()).unwrap();
        std::fs::create_dir(folder.path().join("top")).unwrap();
        std::fs::write(folder.path().join("top/deep-1"), "").unwrap();
        let mut at = open(parent.as_fd(), b"top").unwrap();
        for _ in 0..1100 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = open(at.as_fd(), b"d").unwrap();
        }
        drop(at);
        remove(&parent, b"top").unwrap();
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_link_is_removed_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let parent = File::open(folder.path()).unwrap();
        std::fs::create_dir_all(folder.path().join("kept/inside")).unwrap();
        std::fs::create_dir(folder.path().join("gone")).unwrap();
        std::os::unix::fs::symlink("../kept", folder.path().join("gone/link")).unwrap();
        remove(&parent, b"gone").unwrap();
        assert!(folder.path().join("kept/inside").exists());
        assert_eq!(
            remove(&parent, b"gone").unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
