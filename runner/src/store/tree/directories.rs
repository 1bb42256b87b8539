//! The directories of the tree that entries are placed in, found without ever trusting a path.
//!
//! The kernel resolves each directory once, as if the tree were the root of the file system
//! (`openat2` with `RESOLVE_IN_ROOT`): a symbolic link in the tree, absolute or with `..`, leads to
//! a place in the tree. A few descriptors stay open, because a layer lists the files of a directory
//! together. Making a file changes the directory's time of modification, so a directory remembers
//! the time that it had when it was opened and gets it back when it is closed; no list of all
//! directories is needed in the end.
//!
//! Source: `openat2(2)`, Linux 5.6.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid,
};
use rustix::io::Errno;

use super::inodes::Inodes;
use crate::store::delete;

/// How many directories stay open: a usual process may have 1,024 files open.
const OPEN_LIMIT: usize = 192;
/// How often a resolution is repeated that a change elsewhere in the system disturbed.
const RETRIES: usize = 64;
/// A directory that no entry describes.
const IMPLIED_MODE: Mode = Mode::from_raw_mode(0o755);

/// A directory of the tree, open.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) fd: OwnedFd,
    path: Vec<u8>,
    inode: u64,
    modified: Cell<(i64, u32)>,
}

impl Directory {
    fn new(fd: OwnedFd, path: &[u8]) -> io::Result<Self> {
        let stat = rustix::fs::fstat(&fd)?;
        Ok(Self {
            fd,
            path: path.to_owned(),
            inode: stat.st_ino,
            modified: Cell::new(modified(&stat)),
        })
    }

    /// Sets the time that the directory gets when it is closed.
    pub(super) fn set_modified(&self, modified: (i64, u32)) {
        self.modified.set(modified);
    }

    fn close(&self) -> io::Result<()> {
        let times = timestamps(self.modified.get());
        Ok(rustix::fs::futimens(&self.fd, &times)?)
    }
}

/// The directories of one tree.
#[derive(Debug)]
pub(super) struct Directories {
    root: Rc<Directory>,
    /// The one that was used last is the last one.
    open: Vec<Rc<Directory>>,
    /// What the present layer made or touched, so that its own whiteouts leave it alone. `None` in
    /// the lowest layer, which has nothing to hide.
    touched: Option<Inodes>,
    /// The time of directories that no entry describes: that of the entry which needs them.
    implied: Option<(i64, u32)>,
    /// The owner of directories that no entry describes; `None` leaves them to the caller.
    owner: Option<(Uid, Gid)>,
}

impl Directories {
    pub(super) fn new(root: OwnedFd, owner: Option<(Uid, Gid)>) -> io::Result<Self> {
        own(&root, owner)?;
        Ok(Self {
            owner,
            root: Rc::new(Directory::new(root, b"")?),
            open: Vec::new(),
            touched: None,
            implied: None,
        })
    }

    /// Ends a layer: what comes from now on belongs to the next one.
    pub(super) fn end_layer(&mut self) -> io::Result<()> {
        self.close_all()?;
        self.touched.get_or_insert_default().clear();
        Ok(())
    }

    /// Sets the time of directories that no entry describes. The first one is also the root's.
    pub(super) fn set_implied(&mut self, modified: (i64, u32)) {
        if self.implied.replace(modified).is_none() {
            self.root.set_modified(modified);
        }
    }

    /// Notes that the present layer made or touched the inode that `inode` tells.
    pub(super) fn touch(
        &mut self,
        inode: impl FnOnce() -> rustix::io::Result<u64>,
    ) -> io::Result<()> {
        if let Some(touched) = &mut self.touched {
            touched.insert(inode()?);
        }
        Ok(())
    }

    /// The directory at `path`, or `None` where there is none.
    pub(super) fn find(&mut self, path: &[u8]) -> io::Result<Option<Rc<Directory>>> {
        if path.is_empty() {
            return Ok(Some(Rc::clone(&self.root)));
        }
        if let Some(at) = self.open.iter().rposition(|open| open.path == path) {
            let found = self.open.remove(at);
            self.open.push(Rc::clone(&found));
            return Ok(Some(found));
        }
        match self.resolve(path) {
            Ok(fd) => self.keep(fd, path).map(Some),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(Errno::NOSYS) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the kernel has no openat2: Linux 5.6 or a later one is needed",
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// The directory at `path`, made with all its parents where it is missing. Something else that
    /// is in the way, such as a link that leads nowhere, makes room.
    pub(super) fn enter(&mut self, path: &[u8]) -> io::Result<Rc<Directory>> {
        // Where it counts what a layer touches, each parent counts too.
        let known = self.open.iter().any(|open| open.path == path);
        if (known || path.is_empty() || self.touched.is_none())
            && let Some(found) = self.find(path)?
        {
            self.touch(|| Ok(found.inode))?;
            return Ok(found);
        }
        let (parent, name) = split(path);
        let directory = self.enter(parent)?;
        if self.touched.is_some() {
            let found = match delete::open(directory.fd.as_fd(), name) {
                Ok(fd) => Some(self.keep(fd, path)?),
                // A link: only the kernel knows where in the tree it leads.
                Err(Errno::LOOP | Errno::NOTDIR) => self.find(path)?,
                Err(Errno::NOENT) => None,
                Err(error) => return Err(error.into()),
            };
            if let Some(found) = found {
                self.touch(|| Ok(found.inode))?;
                return Ok(found);
            }
        }
        if self.clear_the_way(&directory, name)? {
            self.make(parent, name, path)
        } else {
            self.make_in(&directory, name, path)
        }
    }

    /// The directory that an entry describes: what is at `path` is one afterwards, and no link.
    pub(super) fn describe(&mut self, path: &[u8]) -> io::Result<Rc<Directory>> {
        if path.is_empty() {
            return Ok(Rc::clone(&self.root));
        }
        let (parent, name) = split(path);
        let directory = self.enter(parent)?;
        let made = self.make_in(&directory, name, path);
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made,
        }
        match delete::open(directory.fd.as_fd(), name) {
            Ok(fd) => {
                let found = match self.open.iter().find(|open| open.path == path) {
                    Some(found) => Rc::clone(found),
                    None => self.keep(fd, path)?,
                };
                self.touch(|| Ok(found.inode))?;
                Ok(found)
            }
            Err(Errno::NOTDIR | Errno::LOOP) => {
                self.clear_the_way(&directory, name)?;
                self.make(parent, name, path)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes something that is no directory at `path`; what is there already makes room.
    pub(super) fn create<T>(
        &mut self,
        path: &[u8],
        make: impl Fn(BorrowedFd<'_>, &[u8]) -> rustix::io::Result<T>,
    ) -> io::Result<(T, Rc<Directory>)> {
        let (parent, name) = split(path);
        let directory = self.enter(parent)?;
        match make(directory.fd.as_fd(), name) {
            Err(Errno::EXIST) => {}
            made => return Ok((made?, directory)),
        }
        self.clear_the_way(&directory, name)?;
        let directory = self.enter(parent)?;
        Ok((make(directory.fd.as_fd(), name)?, directory))
    }

    /// Removes what lower layers have at `path` (a whiteout).
    pub(super) fn hide(&mut self, path: &[u8]) -> io::Result<()> {
        let (parent, name) = split(path);
        if let (Some(directory), Some(touched)) = (self.find(parent)?, &self.touched) {
            hide(directory.fd.as_fd(), name, touched)?;
            self.forget()?;
        }
        Ok(())
    }

    /// Removes what lower layers have in the directory at `path` (an opaque whiteout).
    pub(super) fn hide_children(&mut self, path: &[u8]) -> io::Result<()> {
        if let (Some(directory), Some(touched)) = (self.find(path)?, &self.touched) {
            hide_children(directory.fd.as_fd(), touched)?;
            self.forget()?;
        }
        Ok(())
    }

    /// Closes everything and gives each directory its time back.
    pub(super) fn close_all(&mut self) -> io::Result<()> {
        self.forget()?;
        self.root.close()
    }

    /// Closes the directories whose paths may lead elsewhere now.
    fn forget(&mut self) -> io::Result<()> {
        self.open.drain(..).try_for_each(|open| open.close())
    }

    /// Removes `name` and says whether that changed where other paths lead; if so, no directory
    /// but the root is open afterwards.
    fn clear_the_way(&mut self, directory: &Directory, name: &[u8]) -> io::Result<bool> {
        let stat = match rustix::fs::statat(&directory.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(false),
            stat => stat?,
        };
        delete::remove(&directory.fd, name)?;
        let leads = matches!(
            FileType::from_raw_mode(stat.st_mode),
            FileType::Directory | FileType::Symlink
        );
        if leads {
            self.forget()?;
        }
        Ok(leads)
    }

    fn make(&mut self, parent: &[u8], name: &[u8], path: &[u8]) -> io::Result<Rc<Directory>> {
        let directory = self.enter(parent)?;
        self.make_in(&directory, name, path)
    }

    fn make_in(
        &mut self,
        directory: &Directory,
        name: &[u8],
        path: &[u8],
    ) -> io::Result<Rc<Directory>> {
        rustix::fs::mkdirat(&directory.fd, name, IMPLIED_MODE)?;
        let fd = delete::open(directory.fd.as_fd(), name)?;
        // The user's umask has no say in an image.
        rustix::fs::fchmod(&fd, IMPLIED_MODE)?;
        own(&fd, self.owner)?;
        let made = self.keep(fd, path)?;
        made.set_modified(self.implied.unwrap_or_default());
        self.touch(|| Ok(made.inode))?;
        Ok(made)
    }

    fn keep(&mut self, fd: OwnedFd, path: &[u8]) -> io::Result<Rc<Directory>> {
        let inode = rustix::fs::fstat(&fd)?.st_ino;
        if inode == self.root.inode {
            return Ok(Rc::clone(&self.root));
        }
        // One directory, two paths: only one of them may remember its time.
        if let Some(at) = self.open.iter().position(|open| open.inode == inode) {
            self.open.remove(at).close()?;
        }
        if self.open.len() == OPEN_LIMIT {
            self.open.remove(0).close()?;
        }
        let directory = Rc::new(Directory::new(fd, path)?);
        self.open.push(Rc::clone(&directory));
        Ok(directory)
    }

    fn resolve(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let mut last = Errno::AGAIN;
        for _ in 0..RETRIES {
            match rustix::fs::openat2(&self.root.fd, path, flags, Mode::empty(), inside) {
                Err(Errno::AGAIN | Errno::INTR) => last = Errno::AGAIN,
                result => return result,
            }
        }
        Err(last)
    }
}

/// The parent's path and the last name of a path that is not empty.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// Both times of a file: the one of its last reading is not kept in an image.
pub(super) fn timestamps((seconds, nanoseconds): (i64, u32)) -> Timestamps {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn modified(stat: &rustix::fs::Stat) -> (i64, u32) {
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    (stat.st_mtime, nanoseconds)
}

/// Removes `name` but for what the present layer touched in it.
fn hide(directory: BorrowedFd<'_>, name: &[u8], touched: &Inodes) -> io::Result<()> {
    let stat = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT | Errno::NAMETOOLONG) => return Ok(()),
        stat => stat?,
    };
    if !touched.contains(stat.st_ino) {
        return delete::remove(directory, name);
    }
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        let inner = delete::open(directory, name)?;
        hide_children(inner.as_fd(), touched)?;
        rustix::fs::futimens(&inner, &timestamps(modified(&stat)))?;
    }
    Ok(())
}

fn hide_children(directory: BorrowedFd<'_>, touched: &Inodes) -> io::Result<()> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        match entry.file_name().to_bytes() {
            b"." | b".." => {}
            name => hide(directory, name, touched)?,
        }
    }
    Ok(())
}

/// Gives a directory its owner. Whoever makes it may be somebody else: the real root in a user
/// namespace in which root is another id.
fn own(directory: impl AsFd, owner: Option<(Uid, Gid)>) -> io::Result<()> {
    if let Some((uid, gid)) = owner {
        rustix::fs::fchown(directory, Some(uid), Some(gid))?;
    }
    Ok(())
}
