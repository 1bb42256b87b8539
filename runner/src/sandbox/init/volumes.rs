//! Volumes and temporary file systems.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::mount::MountAttrFlags;

use super::super::copy;
use super::super::failure::{Context, Failure, describe};
use super::super::mounts::{self, Root};
use super::super::spec::Mount;
use super::{Setup, listed, root};

pub(super) fn mount(setup: &Setup<'_>) -> Result<(), Failure> {
    let root = root(setup)?;
    for path in &setup.spec.directories {
        root.target(path, mounts::Kind::Directory)
            .context(|| format!("cannot make the volume {}", path.escape_debug()))?;
    }
    for (position, mount) in setup.spec.mounts.iter().enumerate() {
        let target = mount.target();
        match mount {
            Mount::Bind {
                source,
                read_only,
                prepared,
                fill,
                ..
            } => {
                let mount = match prepared.and_then(|number| setup.carried.get(number)) {
                    Some(prepared) => prepared.try_clone().context(|| target.to_owned())?,
                    None => bind(source, *fill)?,
                };
                place(root, &mount, target, *read_only, *fill)
                    .map_err(|error| refusal(source, target, &error))?;
            }
            Mount::Tmpfs {
                options,
                read_only,
                executable,
                ..
            } => {
                temporary(root, target, options, *read_only, *executable)
                    .context(|| format!("cannot mount a temporary file system on {target}"))?;
            }
            Mount::Listed(mount) => listed::mount(setup, root, position, mount)?,
        }
    }
    Ok(())
}

/// Only a volume that has a name lies on a path of ours, which nobody resolved before.
fn bind(source: &Path, is_named: bool) -> Result<OwnedFd, Failure> {
    let open = if is_named {
        mounts::open_host
    } else {
        mounts::open_resolved
    };
    open(source)
        .and_then(|source| mounts::clone_mount(source, true))
        .context(|| format!("cannot mount {}", source.display()))
}

fn refusal(source: &Path, target: &str, error: &io::Error) -> Failure {
    let source = source.display();
    Failure::engine(format!(
        "cannot mount {source} on {target}: {}",
        describe(error)
    ))
}

/// Attaches the volume. The target is resolved inside the container's root, so a link in the image
/// leads nowhere else.
fn place(
    root: &Root,
    mount: &OwnedFd,
    target: &str,
    read_only: bool,
    fill: bool,
) -> io::Result<()> {
    let target = root.target(target, mounts::kind_of(mount)?)?;
    keep_proc_clear(&target)?;
    if fill {
        fill_volume(&target, mount)?;
    }
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    if read_only {
        attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    mounts::restrict(mount, attributes)?;
    mounts::attach(mount, target)
}

/// Copies what the image has at the target into a volume that is empty, as docker and podman do.
fn fill_volume(target: &OwnedFd, volume: &OwnedFd) -> io::Result<()> {
    use rustix::fs::{Dir, Mode, OFlags, openat};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(volume, ".", flags, Mode::empty())?;
    let mut entries = Dir::read_from(&directory)?;
    let is_empty = !entries.any(|entry| {
        entry.is_ok_and(|entry| !matches!(entry.file_name().to_bytes(), b"." | b".."))
    });
    if is_empty {
        copy::tree(target.as_fd(), volume.as_fd(), &copy::Owners::default())?;
    }
    Ok(())
}

fn temporary(
    root: &Root,
    target: &str,
    options: &[String],
    read_only: bool,
    executable: bool,
) -> io::Result<()> {
    let options: Vec<_> = options
        .iter()
        .map(|option| match option.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (option.as_str(), None),
        })
        .collect();
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    if !executable {
        attributes |= MountAttrFlags::MOUNT_ATTR_NOEXEC;
    }
    if read_only {
        attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    let mount = mounts::new_mount("tmpfs", &options, attributes)?;
    let target = root.target(target, mounts::Kind::Directory)?;
    keep_proc_clear(&target)?;
    mounts::attach(mount, target)
}

/// Nothing is mounted over the kernel's own files, not even through a link of the image: what we
/// mask, protect and set there has to be what it says it is (CVE-2019-16884, CVE-2023-28642).
fn keep_proc_clear(target: &OwnedFd) -> io::Result<()> {
    if mounts::is_on_proc(target)? {
        return Err(io::Error::other("it lies in /proc"));
    }
    Ok(())
}
