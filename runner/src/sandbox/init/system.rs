//! `/proc` and `/sys`: mounted fresh, then what a container must not see is covered and what it
//! must not change is made read-only.

use std::io;
use std::os::fd::OwnedFd;

use rustix::mount::MountAttrFlags;

use super::super::failure::{Context, Failure, describe};
use super::super::mounts::{self, Kind, PLAIN, Root};
use super::super::spec::{Namespace, System};
use super::{Setup, has_own_network, open_host, root, set_kernel_parameter};

fn is_standard(setup: &Setup<'_>) -> bool {
    matches!(setup.spec.system, System::Standard)
}

pub(super) fn mount_proc(setup: &Setup<'_>) -> Result<(), Failure> {
    if !is_standard(setup) {
        return Ok(());
    }
    let root = root(setup)?;
    let options: Vec<_> = setup
        .spec
        .proc_options
        .iter()
        .map(|option| match option.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (option.as_str(), None),
        })
        .collect();
    let proc = mounts::new_mount("proc", &options, PLAIN).map_err(|error| {
        Failure::without_namespaces(format!(
            "cannot mount /proc (inside another container it must not be masked: run that one with \
             --security-opt unmask=ALL): {}",
            describe(&error)
        ))
    })?;
    cover(root, "proc", proc).context(|| "cannot mount /proc".to_owned())
}

pub(super) fn mount_sys(setup: &Setup<'_>) -> Result<(), Failure> {
    if !is_standard(setup) {
        return Ok(());
    }
    let root = root(setup)?;
    let sys = match &setup.ahead {
        Some(ahead) => ahead.sys.try_clone(),
        None => sysfs(setup),
    };
    let sys = sys.context(|| "cannot mount /sys".to_owned())?;
    cover(root, "sys", sys).context(|| "cannot mount /sys".to_owned())?;
    cgroups(root);
    Ok(())
}

fn cover(root: &Root, path: &str, mount: OwnedFd) -> io::Result<()> {
    mounts::attach(mount, root.target(path, Kind::Directory)?)
}

/// A sysfs shows the devices of the network namespace that it belongs to, and the kernel mounts one
/// only for the owner of that. With the host's network the host's /sys is bound instead.
fn sysfs(setup: &Setup<'_>) -> io::Result<OwnedFd> {
    if has_own_network(setup) {
        return own_sysfs();
    }
    let read_only = PLAIN | MountAttrFlags::MOUNT_ATTR_RDONLY;
    let bound = mounts::clone_mount(open_host("/sys")?, true)?;
    mounts::restrict(&bound, read_only)?;
    Ok(bound)
}

/// The one of the network that this process is in, which belongs to its user namespace.
pub(in crate::sandbox) fn own_sysfs() -> io::Result<OwnedFd> {
    mounts::new_mount("sysfs", &[], PLAIN | MountAttrFlags::MOUNT_ATTR_RDONLY)
}

/// The container's own view of the cgroups, read-only. There is none where the host has only the first
/// version; programs then find an empty directory.
fn cgroups(root: &Root) {
    let read_only = PLAIN | MountAttrFlags::MOUNT_ATTR_RDONLY;
    if let (Ok(mount), Ok(target)) = (
        mounts::new_mount("cgroup2", &[], read_only),
        root.resolve("sys/fs/cgroup"),
    ) {
        let _ = mounts::attach(mount, target);
    }
}

/// Covers what must not be seen: a file with `/dev/null`, a directory with an empty one.
pub(super) fn mask(setup: &Setup<'_>) -> Result<(), Failure> {
    let root = root(setup)?;
    let null = open_host("/dev/null").context(|| "cannot open /dev/null".to_owned())?;
    // One for all of them: a file system costs more than a mount.
    let mut empty = None;
    for path in &setup.spec.masked {
        let mut hide = || -> io::Result<()> {
            let Some(target) = find(root, path)? else {
                return Ok(());
            };
            match (mounts::kind_of(&target)?, &empty) {
                // The host's own device: the container's could have been replaced.
                (Kind::File, _) => mounts::attach(mounts::clone_mount(&null, false)?, target),
                (Kind::Directory, Some(empty)) => {
                    mounts::attach(mounts::clone_mount(empty, false)?, target)
                }
                (Kind::Directory, None) => {
                    let attributes = PLAIN | MountAttrFlags::MOUNT_ATTR_RDONLY;
                    let mount = mounts::new_mount("tmpfs", &[("size", Some("0k"))], attributes)?;
                    mounts::attach(&mount, target)?;
                    empty = Some(mount);
                    Ok(())
                }
            }
        };
        hide().context(|| format!("cannot hide {path}"))?;
    }
    Ok(())
}

/// Makes read-only what must not be changed. Comes after our own changes to the same files.
pub(super) fn protect(setup: &Setup<'_>) -> Result<(), Failure> {
    let root = root(setup)?;
    for path in &setup.spec.protected {
        let protect = || -> io::Result<()> {
            let Some(target) = find(root, path)? else {
                return Ok(());
            };
            let mount = mounts::clone_mount(&target, true)?;
            mounts::restrict(&mount, PLAIN | MountAttrFlags::MOUNT_ATTR_RDONLY)?;
            mounts::attach(mount, target)
        };
        protect().context(|| format!("cannot make {path} read-only"))?;
    }
    Ok(())
}

fn find(root: &Root, path: &str) -> io::Result<Option<OwnedFd>> {
    match root.resolve(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sets what differs from the kernel's default inside.
pub(super) fn tune(setup: &Setup<'_>) -> Result<(), Failure> {
    let root = root(setup)?;
    if is_standard(setup) {
        tune_standard(setup, root)?;
    }
    // Last, so that they count.
    for (name, value) in &setup.spec.parameters {
        set_kernel_parameter(root, name, value)
            .context(|| format!("cannot set {name} to {value}"))?;
    }
    Ok(())
}

fn tune_standard(setup: &Setup<'_>, root: &Root) -> Result<(), Failure> {
    if has_own_network(setup) {
        // Any user inside may listen on any port, as podman and docker set it.
        let name = "net/ipv4/ip_unprivileged_port_start";
        set_kernel_parameter(root, name, "0").context(|| format!("cannot set {name}"))?;
        // Group 0 may ping without a raw socket, as podman sets it; with a single id there may be
        // no group 0.
        let _ = set_kernel_parameter(root, "net/ipv4/ping_group_range", "0 0");
    }
    if let Some(highest) = setup.spec.highest_pid {
        // Before Linux 6.14 it is one for the whole machine, and not ours to set.
        let _ = set_kernel_parameter(root, "kernel/pid_max", &highest.to_string());
    }
    if !setup.spec.namespaces.has_new(Namespace::User) {
        // It would be the host's own.
        return Ok(());
    }
    // Beside the seccomp filter, a second bar against nested user namespaces.
    let name = "user/max_user_namespaces";
    set_kernel_parameter(root, name, "0").context(|| format!("cannot set {name}"))
}
