//! Owner, mode, times and extended attributes of what an entry made.
//!
//! In the order that the kernel asks for: a change of the owner takes set-uid bits and capabilities
//! away, so the owner comes first; writing takes capabilities away, so the content came before.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Gid, Mode, Stat, Uid, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::LayerError;
use super::directories::timestamps;
use super::entry::Entry;

/// How many user and group ids are mapped into the user namespace of [`Owners::Mapped`].
pub const MAPPED_IDS: u64 = 65_536;

/// What becomes of the owners that an image names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owners {
    /// Each file gets its owner: the caller is root in a user namespace with [`MAPPED_IDS`] ids.
    Mapped,
    /// Everything belongs to the caller, who has a single id.
    Squashed,
    /// Each file gets its owner: the caller is root where there are no user namespaces, and the ids of
    /// the image are the host's own.
    Host,
}

impl Owners {
    /// The owner of what no entry describes, if one is to be set: root.
    pub(super) fn of_root(self) -> Option<(Uid, Gid)> {
        match self {
            Self::Squashed => None,
            Self::Mapped | Self::Host => Some((Uid::ROOT, Gid::ROOT)),
        }
    }

    /// The owner to set, if one is to be set.
    pub(super) fn of(self, entry: &Entry) -> Result<Option<(Uid, Gid)>, LayerError> {
        let id = |id: u64| match u32::try_from(id) {
            Ok(raw) if id < MAPPED_IDS => Ok(raw),
            _ => Err(LayerError::entry(
                &entry.path,
                format!("belongs to id {id}, but only the ids below 65536 are mapped"),
            )),
        };
        match self {
            Self::Squashed => Ok(None),
            Self::Mapped | Self::Host => Ok(Some((
                Uid::from_raw(id(entry.uid)?),
                Gid::from_raw(id(entry.gid)?),
            ))),
        }
    }
}

/// Sets everything on an open file or directory but a directory's times.
pub(super) fn set(fd: impl AsFd, entry: &Entry, owner: Option<(Uid, Gid)>) -> io::Result<()> {
    if let Some((uid, gid)) = owner {
        rustix::fs::fchown(&fd, Some(uid), Some(gid))?;
    }
    set_xattrs(&fd, entry)?;
    Ok(rustix::fs::fchmod(&fd, Mode::from_raw_mode(entry.mode))?)
}

/// Sets what a file that was just made has not: most belong to root, with a mode that no umask
/// changed, and each call that changes nothing costs a file system as much as one that does.
pub(super) fn set_on_new(
    fd: impl AsFd,
    present: &Stat,
    entry: &Entry,
    owner: Option<(Uid, Gid)>,
) -> io::Result<()> {
    let is_owned =
        |(uid, gid): &(Uid, Gid)| (present.st_uid, present.st_gid) == (uid.as_raw(), gid.as_raw());
    if let Some((uid, gid)) = owner.filter(|owner| !is_owned(owner)) {
        rustix::fs::fchown(&fd, Some(uid), Some(gid))?;
    }
    set_xattrs(&fd, entry)?;
    if present.st_mode & 0o7777 != entry.mode {
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(entry.mode))?;
    }
    Ok(())
}

fn set_xattrs(fd: impl AsFd, entry: &Entry) -> io::Result<()> {
    for (name, value) in entry.xattrs.iter().filter(|(name, _)| is_kept(name)) {
        match rustix::fs::fsetxattr(&fd, name, value, XattrFlags::empty()) {
            // The file system has none of the kind, or the kernel forbids it here (a capability
            // where no id but one is mapped). The image works without in most cases.
            Err(Errno::NOTSUP | Errno::PERM | Errno::INVAL) => {}
            result => result?,
        }
    }
    Ok(())
}

/// Sets the times of an open file.
pub(super) fn set_times(fd: impl AsFd, entry: &Entry) -> io::Result<()> {
    Ok(rustix::fs::futimens(fd, &timestamps(entry.modified))?)
}

/// Sets owner and times of a name that cannot be opened: a symbolic link or a fifo.
pub(super) fn set_on_name(
    directory: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    owner: Option<(Uid, Gid)>,
) -> io::Result<()> {
    if let Some((uid, gid)) = owner {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(directory, name, Some(uid), Some(gid), flags)?;
    }
    let times = timestamps(entry.modified);
    Ok(rustix::fs::utimensat(
        directory,
        name,
        &times,
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

/// Removes the attributes that a lower layer gave to a directory which this layer describes anew.
pub(super) fn clear(fd: impl AsFd) -> io::Result<()> {
    // The kernel's own limit for a list of names.
    let mut names = vec![0_u8; 65_536];
    let length = match rustix::fs::flistxattr(&fd, &mut names[..]) {
        Err(Errno::NOTSUP) => 0,
        result => result?,
    };
    for name in names[..length].split(|&byte| byte == 0) {
        if is_kept(name) {
            rustix::fs::fremovexattr(&fd, name)?;
        }
    }
    Ok(())
}

/// Whether an attribute is the image's to give. Attributes of overlay would let an image redirect
/// or hide what the kernel shows; those of security modules and access lists name the host's ids.
fn is_kept(name: &[u8]) -> bool {
    name == b"security.capability"
        || name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")
}
