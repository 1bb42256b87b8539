//! The container's view of its control groups, where the list of mounts asks for one.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::mount::MountAttrFlags;

use super::super::cgroup;
use super::super::mounts::{self, Root};
use super::super::spec::{ListedMount, Namespace};
use super::{Setup, listed, open_host};

/// One hierarchy of cgroups that this process is in: a line of `/proc/self/cgroup` (cgroups(7)).
struct Hierarchy {
    /// The controllers of the first version; empty for the second version.
    controllers: String,
    /// The group of this process.
    group: String,
}

pub(super) fn mount(setup: &Setup<'_>, root: &Root, mount: &ListedMount) -> io::Result<()> {
    let own = setup.spec.namespaces.has_new(Namespace::Cgroup);
    let mut hierarchies = hierarchies()?;
    // What the host does not show need not be there, and its processes may be in groups of it.
    if cgroup::is_unified(Path::new("/sys/fs/cgroup")) {
        hierarchies.retain(|hierarchy| hierarchy.controllers.is_empty());
    }
    match hierarchies.as_slice() {
        [Hierarchy { controllers, group }] if controllers.is_empty() => {
            let unified = || mounts::new_mount("cgroup2", &[], MountAttrFlags::empty());
            let bound = || bind(&format!("/sys/fs/cgroup{group}"));
            // Only its own namespace makes a new mount begin at its own group.
            let made = if own {
                unified().or_else(|_| bound())
            } else {
                bound()
            };
            listed::place(root, &made?, mount)
        }
        _ => mount_first_version(&hierarchies, own, root, mount),
    }
}

/// A directory for each hierarchy of the first version, in a small file system of their own.
fn mount_first_version(
    hierarchies: &[Hierarchy],
    own: bool,
    root: &Root,
    mount: &ListedMount,
) -> io::Result<()> {
    let folder = mounts::new_mount("tmpfs", &[("mode", Some("755"))], mounts::PLAIN)?;
    let mut attached = Vec::new();
    for Hierarchy { controllers, group } in hierarchies {
        let name = controllers.strip_prefix("name=").unwrap_or(controllers);
        if name.is_empty() {
            continue;
        }
        let made = if own {
            let options: Vec<_> = controllers
                .split(',')
                .map(|one| match one.split_once('=') {
                    Some((key, value)) => (key, Some(value)),
                    None => (one, None),
                })
                .collect();
            mounts::new_mount("cgroup", &options, MountAttrFlags::empty())
        } else {
            bind(&format!("/sys/fs/cgroup/{name}{group}"))
        };
        // One that is not mounted on the host either.
        if let Ok(made) = made {
            mkdirat(&folder, name, Mode::from_raw_mode(0o755))?;
            attached.push((name, made));
        }
    }
    listed::place(
        root,
        &folder,
        &ListedMount {
            attributes: super::super::spec::Attributes::default(),
            ..mount.clone()
        },
    )?;
    for (name, made) in &attached {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let target = openat(&folder, *name, flags, Mode::empty())?;
        listed::change(made, &mount.attributes, false)?;
        mounts::attach(made, target)?;
    }
    listed::change(&folder, &mount.attributes, false)
}

fn bind(path: &str) -> io::Result<OwnedFd> {
    mounts::clone_mount(open_host(path)?, false)
}

fn hierarchies() -> io::Result<Vec<Hierarchy>> {
    let text = std::fs::read_to_string("/proc/self/cgroup")?;
    let parse = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some(Hierarchy {
            controllers: fields.next()?.to_owned(),
            group: fields.next()?.trim_end_matches('/').to_owned(),
        })
    };
    Ok(text.lines().filter_map(parse).collect())
}
