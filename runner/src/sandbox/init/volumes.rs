//! Volumes and temporary file systems.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::mount::MountAttrFlags;

use super::super::copy;
use super::super::failure::{Context, Failure, describe};
use super::super::mounts::{self, Root};
use super::super::spec::{Access, Mount, Propagation};
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
                prepared,
                named,
                ..
            } => {
                let made = match prepared.and_then(|number| setup.carried.get(number)) {
                    Some(prepared) => prepared.try_clone().context(|| target.to_owned())?,
                    None => bind(source, *named)?,
                };
                place(setup, root, &made, mount)
                    .map_err(|error| refusal(source, target, &error))?;
            }
            Mount::Tmpfs {
                options,
                access,
                copy_up,
                ..
            } => {
                temporary(root, target, options, *access, *copy_up)
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
fn place(setup: &Setup<'_>, root: &Root, made: &OwnedFd, mount: &Mount) -> io::Result<()> {
    let Mount::Bind {
        target,
        access,
        propagation,
        own,
        named,
        no_copy,
        ..
    } = mount
    else {
        return Ok(());
    };
    let target = root.target(target, mounts::kind_of(made)?)?;
    keep_proc_clear(&target)?;
    if *named && !no_copy {
        fill_volume(&target, made)?;
    }
    if *own {
        let process = &setup.spec.process;
        copy::own_all(made.as_fd(), process.uid, process.gid).map_err(|error| {
            let why = describe(&error);
            io::Error::other(format!(
                "its files can not be given to the container's user: {why}"
            ))
        })?;
    }
    mounts::restrict(made, attributes(*access))?;
    mounts::attach(made, target)?;
    let (kind, recursive) = propagation.unwrap_or((Propagation::Private, true));
    listed::propagate(made, kind, recursive)
}

/// What every volume is, but for what was asked for.
fn attributes(access: Access) -> MountAttrFlags {
    let flags = [
        (access.read_only, MountAttrFlags::MOUNT_ATTR_RDONLY),
        (access.no_exec, MountAttrFlags::MOUNT_ATTR_NOEXEC),
        (!access.suid, MountAttrFlags::MOUNT_ATTR_NOSUID),
        (!access.dev, MountAttrFlags::MOUNT_ATTR_NODEV),
    ];
    let set = flags.into_iter().filter(|(is_set, _)| *is_set);
    set.fold(MountAttrFlags::empty(), |all, (_, flag)| all | flag)
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
    access: Access,
    copy_up: bool,
) -> io::Result<()> {
    let options: Vec<_> = options
        .iter()
        .map(|option| match option.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (option.as_str(), None),
        })
        .collect();
    let mount = mounts::new_mount("tmpfs", &options, MountAttrFlags::empty())?;
    // What was not there has nothing to copy, and no mode that counts.
    let is_there = root.resolve(target).is_ok();
    let target = root.target(target, mounts::Kind::Directory)?;
    keep_proc_clear(&target)?;
    if copy_up && is_there {
        copy::tree(target.as_fd(), mount.as_fd(), &copy::Owners::default())?;
    }
    mounts::restrict(&mount, attributes(access))?;
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
