//! Volumes whose files have other ids inside than outside. They take the real root.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::process::{WaitOptions, waitpid};
use rustix::thread::UnshareFlags;

use super::failure::{Context, Failure};
use super::mounts;
use super::spec::Extent;
use super::syscalls::{self, Fork, MountChange};
use super::userns::{UserNamespace, write_maps};

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

/// A mount of `path`, and of what is mounted below it if `recursive`, on which files have the ids of
/// these maps (mount_setattr(2), `MOUNT_ATTR_IDMAP`): also those below if `all`. Takes the real root.
///
/// # Errors
/// When the file system or the kernel has no such mounts.
pub fn mount_with_ids(
    path: &Path,
    recursive: bool,
    (users, groups): (&[Extent], &[Extent]),
    all: bool,
) -> Result<OwnedFd, Failure> {
    let what = || format!("cannot mount {} with other ids", path.display());
    let namespace = namespace_of(users, groups)?;
    let source = mounts::open_host(path).context(what)?;
    let mount = mounts::clone_mount(&source, recursive).context(what)?;
    let change = MountChange {
        id_map: Some(namespace.as_fd()),
        ..MountChange::default()
    };
    syscalls::mount_set_attributes(mount.as_fd(), &change, all).context(what)?;
    Ok(mount)
}

/// A user namespace with these maps, which a process makes that ends at once.
fn namespace_of(users: &[Extent], groups: &[Extent]) -> Result<File, Failure> {
    let pipe = || io::pipe().context(|| "cannot make a pipe".to_owned());
    let ((mut made, made_write), (go, go_write)) = (pipe()?, pipe()?);
    match syscalls::fork().context(|| "cannot fork".to_owned())? {
        Fork::Child => {
            drop((made, go_write));
            let done = syscalls::unshare(UnshareFlags::NEWUSER).is_ok();
            drop(made_write);
            // Until the namespace was opened.
            let _ = io::copy(&mut { go }, &mut io::sink());
            std::process::exit(i32::from(!done))
        }
        Fork::Parent(pid) => {
            drop((made_write, go));
            let _ = io::copy(&mut made, &mut io::sink());
            let path = format!("/proc/{}/ns/user", pid.as_raw_nonzero());
            let opened = write_maps(pid, users, groups)
                .and_then(|()| File::open(&path).context(|| format!("cannot open {path}")));
            drop(go_write);
            let _ = rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
            opened
        }
    }
}
