//! Mounts with everything said about them, as the runtime specification lists them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::mount::MountAttrFlags;

use super::super::copy;
use super::super::failure::{Context, Failure};
use super::super::mounts::{self, Kind, PLAIN, Root};
use super::super::spec::{Attributes, ListedMount, Mounted, Propagation};
use super::super::syscalls::{self, MountChange};
use super::{Setup, cgroups, open_host};

/// Files of the kernel that another file may lie over: those that lxcfs gives a container of its
/// own. Over any other, what is masked, protected and set there would not be what it says it is.
const REPLACEABLE: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
];

/// Makes the mount that stands at `position` of the list.
pub(super) fn mount(
    setup: &Setup<'_>,
    root: &Root,
    position: usize,
    listed: &ListedMount,
) -> Result<(), Failure> {
    let make = || -> io::Result<()> {
        let prepared = listed.prepared.and_then(|at| setup.carried.get(at));
        let mount = match (&listed.what, prepared, &setup.listed[position]) {
            (Mounted::Cgroups, ..) => return cgroups::mount(setup, root, listed),
            (_, Some(prepared), _) => prepared.try_clone()?,
            (Mounted::Path { recursive, .. }, None, Some(source)) => {
                mounts::clone_mount(source, *recursive)?
            }
            (Mounted::Path { source, recursive }, None, None) => {
                mounts::clone_mount(mounts::open_host(source)?, *recursive)?
            }
            (
                Mounted::FileSystem {
                    kind,
                    source,
                    options,
                },
                None,
                _,
            ) => file_system(kind, source, options)?,
        };
        place(root, &mount, listed)
    };
    make().context(|| {
        let what = match &listed.what {
            Mounted::Path { source, .. } => source.display().to_string(),
            Mounted::FileSystem { kind, .. } => kind.clone(),
            Mounted::Cgroups => "the control groups".to_owned(),
        };
        format!("cannot mount {what} on {}", listed.target)
    })
}

fn file_system(
    kind: &str,
    source: &str,
    options: &[(String, Option<String>)],
) -> io::Result<OwnedFd> {
    let options: Vec<_> = options
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_deref()))
        .collect();
    let made = mounts::new_mount_of(kind, source, &options, MountAttrFlags::empty());
    match made {
        // A sysfs belongs to the owner of the network, and here that is another one.
        Err(error) if kind == "sysfs" && error.kind() == io::ErrorKind::PermissionDenied => {
            let bound = mounts::clone_mount(open_host("/sys")?, true)?;
            mounts::restrict(&bound, PLAIN | MountAttrFlags::MOUNT_ATTR_RDONLY)?;
            Ok(bound)
        }
        made => made,
    }
}

/// Attaches `mount` where the list says, with what it says.
pub(super) fn place(root: &Root, mount: &OwnedFd, listed: &ListedMount) -> io::Result<()> {
    let kind = mounts::kind_of(mount)?;
    let target = match &listed.what {
        // What is masked in these is found by its path, so that has to lead here.
        Mounted::FileSystem { kind, .. } if matches!(kind.as_str(), "proc" | "sysfs") => {
            let target = root.target(&listed.target, Kind::Directory)?;
            root.resolve_plain(&listed.target)?;
            target
        }
        _ => root.target(&listed.target, kind)?,
    };
    let path = listed.target.trim_end_matches('/');
    if mounts::is_on_proc(&target)? && path != "/proc" && !REPLACEABLE.contains(&path) {
        return Err(io::Error::other("it lies in /proc"));
    }
    if listed.copy_up {
        copy::tree(target.as_fd(), mount.as_fd(), &copy::Owners::default())?;
    }
    change(mount, &listed.recursive, true)?;
    change(mount, &listed.attributes, false)?;
    mounts::attach(mount, target)?;
    for (propagation, recursive) in &listed.propagation {
        propagate(mount, *propagation, *recursive)?;
    }
    Ok(())
}

/// Decides how mounts travel between `mount` and what it was copied from.
pub(super) fn propagate(
    mount: &OwnedFd,
    propagation: Propagation,
    recursive: bool,
) -> io::Result<()> {
    let change = MountChange {
        propagation: propagation_bit(propagation),
        ..MountChange::default()
    };
    syscalls::mount_set_attributes(mount.as_fd(), &change, recursive)
}

pub(super) fn change(mount: &OwnedFd, attributes: &Attributes, recursive: bool) -> io::Result<()> {
    if *attributes == Attributes::default() {
        return Ok(());
    }
    let change = |set, clear| {
        let change = MountChange {
            set,
            clear,
            ..MountChange::default()
        };
        syscalls::mount_set_attributes(mount.as_fd(), &change, recursive)
    };
    let atime = libc::MOUNT_ATTR__ATIME | libc::MOUNT_ATTR_NODIRATIME;
    change(attributes.set, attributes.clear).or_else(|error| match error.kind() {
        // In a user namespace what the host forbids on its mount stays forbidden, and so does its
        // way with times (mount_namespaces(7)); the mount is only stricter than it was asked for.
        io::ErrorKind::PermissionDenied => change(attributes.set & !atime, 0),
        _ => Err(error),
    })
}

fn propagation_bit(propagation: Propagation) -> u64 {
    match propagation {
        Propagation::Private => libc::MS_PRIVATE,
        Propagation::Slave => libc::MS_SLAVE,
        Propagation::Shared => libc::MS_SHARED,
        Propagation::Unbindable => libc::MS_UNBINDABLE,
    }
}
