//! Flattening an image: its layers, one after the other, become one tree of files.
//!
//! One tree is one lower directory for overlay, so a look-up costs the same however many layers an
//! image had, and whiteouts are gone once and for all. The layers come from strangers: nothing in
//! them may name, read or change anything outside of the tree. Every entry is placed through the
//! descriptor of its directory ([`directories`]), which the kernel resolved inside of the tree.
//!
//! Source: OCI image specification 1.1, `layer.md`.

use std::io::{self, BufRead};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};

mod attributes;
mod directories;
mod entry;
mod inodes;
mod pax;
#[cfg(test)]
mod tests;

pub use attributes::{MAPPED_IDS, Owners};

use directories::{Directories, split};
use entry::{Entries, Entry, Kind};

use super::error::advice;
use super::sync;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What the file system aufs kept for itself; old layers still have it.
const AUFS: &[u8] = b".wh..wh.";

/// Why a layer could not be placed.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The tar ends before its last entry does.
    #[error("the layer ends in the middle of an entry: the archive is cut short")]
    Truncated,
    /// The bytes are no tar, or one that readers would understand differently.
    #[error("the layer is no tar archive that can be read: it has a wrong {0}")]
    NotTar(&'static str),
    /// An entry that no layer may have.
    #[error("the layer's entry \"{name}\" {reason}")]
    Entry {
        /// The entry's path.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An entry that the file system did not take.
    #[error("the layer's entry \"{name}\" cannot be placed: {cause}{}", advice(.cause))]
    Place {
        /// The entry's path.
        name: String,
        /// Why not.
        cause: io::Error,
    },
    /// The layer could not be read.
    #[error("the layer cannot be read: {0}")]
    Read(io::Error),
    /// The layer itself could not be written down.
    #[error("the layer cannot be kept: {0}")]
    Keep(io::Error),
    /// The tree's own folder failed.
    #[error("the tree of the image cannot be written: {0}")]
    Tree(io::Error),
}

impl LayerError {
    fn entry(path: &[u8], reason: impl Into<String>) -> Self {
        Self::Entry {
            name: path.escape_ascii().to_string(),
            reason: reason.into(),
        }
    }
}

/// A tree in the making.
#[derive(Debug)]
pub(super) struct Tree {
    directories: Directories,
    owners: Owners,
    made: u64,
}

impl Tree {
    /// A tree below the empty directory `root`, which is root's and readable by all unless a layer
    /// says otherwise.
    pub(super) fn new(root: OwnedFd, owners: Owners) -> Result<Self, LayerError> {
        rustix::fs::fchmod(&root, Mode::from_raw_mode(0o755))
            .map_err(|error| LayerError::Tree(error.into()))?;
        let directories = Directories::new(root, owners.of_root()).map_err(LayerError::Tree)?;
        Ok(Self {
            directories,
            owners,
            made: 0,
        })
    }

    /// Places one layer, given as an uncompressed tar, on top of those before it. Reads to the end,
    /// past the archive's own.
    pub(super) fn place_layer(&mut self, layer: impl BufRead) -> Result<(), LayerError> {
        let mut entries = Entries::new(layer);
        while let Some(entry) = entries.next()? {
            self.place(&entry, &mut entries)?;
        }
        self.directories.end_layer().map_err(LayerError::Tree)?;
        entries.drain()
    }

    /// Ends the tree and tells how many entries were placed.
    pub(super) fn finish(mut self) -> Result<u64, LayerError> {
        self.directories.close_all().map_err(LayerError::Tree)?;
        Ok(self.made)
    }

    fn place<R: BufRead>(
        &mut self,
        entry: &Entry,
        entries: &mut Entries<R>,
    ) -> Result<(), LayerError> {
        let fail = |cause: io::Error| LayerError::Place {
            name: entry.path.escape_ascii().to_string(),
            cause,
        };
        self.directories.set_implied(entry.modified);
        if self.whiteout(entry)? {
            return Ok(());
        }
        if entry.path.is_empty() && entry.kind != Kind::Directory {
            return Err(LayerError::entry(
                b"/",
                "replaces the root of the tree with something that is no directory",
            ));
        }
        self.made += 1;
        match entry.kind {
            Kind::File => self.file(entry, entries),
            Kind::Directory => {
                let owner = self.owners.of(entry)?;
                let directory = self.directories.describe(&entry.path).map_err(fail)?;
                directory.set_modified(entry.modified);
                attributes::clear(&directory.fd)
                    .and_then(|()| attributes::set(&directory.fd, entry, owner))
                    .map_err(fail)
            }
            Kind::Symlink => self.name(entry, |directory, name| {
                rustix::fs::symlinkat(&entry.link, directory, name)
            }),
            Kind::Fifo => self.name(entry, |directory, name| {
                rustix::fs::mkfifoat(directory, name, Mode::empty())?;
                rustix::fs::chmodat(
                    directory,
                    name,
                    Mode::from_raw_mode(entry.mode),
                    AtFlags::empty(),
                )
            }),
            Kind::HardLink => self.hard_link(entry),
            // Nobody but the host's root can make one, and a container has a /dev of its own.
            Kind::Device => Ok(()),
        }
    }

    /// Applies `entry` if it is a whiteout, and says whether it was one.
    fn whiteout(&mut self, entry: &Entry) -> Result<bool, LayerError> {
        let (parent, name) = split(&entry.path);
        let applied = if name == OPAQUE {
            self.directories.hide_children(parent)
        } else if entry
            .path
            .split(|&byte| byte == b'/')
            .any(|part| part.starts_with(AUFS))
        {
            Ok(())
        } else if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            if matches!(hidden, b"" | b"." | b"..") {
                return Err(LayerError::entry(&entry.path, "is a whiteout of no name"));
            }
            let path = [parent, hidden].join(&b'/');
            self.directories
                .hide(path.strip_prefix(b"/").unwrap_or(&path))
        } else {
            return Ok(false);
        };
        applied.map_err(|cause| LayerError::Place {
            name: entry.path.escape_ascii().to_string(),
            cause,
        })?;
        Ok(true)
    }

    fn file<R: BufRead>(
        &mut self,
        entry: &Entry,
        entries: &mut Entries<R>,
    ) -> Result<(), LayerError> {
        let fail = |cause: io::Error| LayerError::Place {
            name: entry.path.escape_ascii().to_string(),
            cause,
        };
        let owner = self.owners.of(entry)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Special bits would be gone when the content has been written.
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        let (file, _) = self
            .directories
            .create(&entry.path, |directory, name| {
                rustix::fs::openat(directory, name, flags, mode)
            })
            .map_err(fail)?;
        loop {
            let piece = entries.content()?;
            if piece.is_empty() {
                break;
            }
            let written = rustix::io::retry_on_intr(|| rustix::io::write(&file, piece))
                .map_err(|error| fail(error.into()))?;
            entries.consume(written);
        }
        let present = rustix::fs::fstat(&file).map_err(|error| fail(error.into()))?;
        sync::start(&file, 0, present.st_size.unsigned_abs());
        self.directories
            .touch(|| Ok(present.st_ino))
            .and_then(|()| attributes::set_on_new(&file, &present, entry, owner))
            .and_then(|()| attributes::set_times(&file, entry))
            .map_err(fail)
    }

    /// Makes something that has a name but cannot be opened.
    fn name(
        &mut self,
        entry: &Entry,
        make: impl Fn(std::os::fd::BorrowedFd<'_>, &[u8]) -> rustix::io::Result<()>,
    ) -> Result<(), LayerError> {
        let owner = self.owners.of(entry)?;
        let (_, name) = split(&entry.path);
        let made = self.directories.create(&entry.path, make);
        made.and_then(|((), directory)| {
            attributes::set_on_name(directory.fd.as_fd(), name, entry, owner)?;
            self.touch_name(&directory.fd, name)
        })
        .map_err(|cause| LayerError::Place {
            name: entry.path.escape_ascii().to_string(),
            cause,
        })
    }

    /// Gives a file of the tree another name. The last part of the other name is not followed, so
    /// a hard link to a symbolic link is a second name of that link.
    fn hard_link(&mut self, entry: &Entry) -> Result<(), LayerError> {
        let missing = || {
            LayerError::entry(
                &entry.path,
                format!(
                    "is a hard link to \"{}\", which is no file of the tree",
                    entry.link.escape_ascii()
                ),
            )
        };
        let fail = |cause: io::Error| LayerError::Place {
            name: entry.path.escape_ascii().to_string(),
            cause,
        };
        let (source_parent, source_name) = split(&entry.link);
        let (parent, name) = split(&entry.path);
        let source = self
            .directories
            .find(source_parent)
            .map_err(fail)?
            .ok_or_else(missing)?;
        let directory = self.directories.enter(parent).map_err(fail)?;
        let inode = |fd: &OwnedFd, name: &[u8]| {
            rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW)
                .ok()
                .map(|stat| stat.st_ino)
        };
        let linked = inode(&source.fd, source_name).ok_or_else(missing)?;
        // To make room for the link would remove the only name that the file has.
        if inode(&directory.fd, name) != Some(linked) {
            self.directories
                .create(&entry.path, |directory, name| {
                    let flags = AtFlags::empty();
                    rustix::fs::linkat(&source.fd, source_name, directory, name, flags)
                })
                .map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => missing(),
                    _ => fail(error),
                })?;
        }
        self.directories.touch(|| Ok(linked)).map_err(fail)
    }

    fn touch_name(&mut self, directory: &OwnedFd, name: &[u8]) -> io::Result<()> {
        self.directories.touch(|| {
            rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| stat.st_ino)
        })
    }
}
