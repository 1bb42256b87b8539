//! Volumes of the real root, whose files have other ids inside than outside.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::failure::{Context, Failure};
use super::mounts;
use super::syscalls::{self, MountChange};
use super::userns::UserNamespace;

/// A mount of `path` on which the ids are those of the namespace: root's files outside are root's
/// inside (mount_setattr(2), `MOUNT_ATTR_IDMAP`). Takes the real root.
///
/// `None` where the file system or the kernel has no such mounts; what root writes inside then
/// belongs to another id outside.
///
/// # Errors
/// When `path` can not be opened.
pub fn mapped_mount(path: &Path, namespace: &UserNamespace) -> Result<Option<OwnedFd>, Failure> {
    let source =
        mounts::open_resolved(path).context(|| format!("cannot open {}", path.display()))?;
    for recursive in [true, false] {
        let mapped = mounts::clone_mount(&source, recursive).and_then(|mount| {
            let change = MountChange {
                id_map: Some(namespace.as_fd()),
                ..MountChange::default()
            };
            syscalls::mount_set_attributes(mount.as_fd(), &change, recursive)?;
            Ok(mount)
        });
        if let Ok(mount) = mapped {
            return Ok(Some(mount));
        }
    }
    Ok(None)
}
