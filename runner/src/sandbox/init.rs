//! The container's first process, from its birth to the program that it becomes.
//!
//! What is to be done is a list of steps in the order in which they happen; the first that fails
//! ends the container with one line that names it.

use std::cell::OnceCell;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, open};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, mount_move, unmount};
use rustix::process::{DumpableBehavior, chdir, chroot, fchdir, pivot_root, set_dumpable_behavior};
use rustix::system::{setdomainname, sethostname};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::failure::{Context, Failure};
use super::mounts::{self, Root};
use super::program::{self, Surroundings};
use super::rootfs::{self, Sources};
use super::spec::{Directory, Mount, Mounted, Network, Propagation, Rootfs, Spec};
use super::syscalls::{self, MountChange};
use super::userns::Ahead;
use super::wire::{self, Status};

mod bare;
mod cgroups;
pub(super) mod devices;
mod hooks;
mod listed;
pub(super) mod loopback;
mod namespaces;
pub(super) mod supervisor;
pub(super) mod system;
mod volumes;

/// What the first process works with.
#[derive(Debug)]
pub(super) struct Setup<'a> {
    pub(super) spec: Spec,
    pub(super) sources: Sources,
    /// What the listed mounts are made of, by their position; opened early like `sources`.
    pub(super) listed: Vec<Option<OwnedFd>>,
    /// Descriptors that came with the specification.
    pub(super) carried: Vec<OwnedFd>,
    /// Where the network comes from, unless this process was born in it.
    pub(super) inbox: Option<OwnedFd>,
    /// What is mounted already, if that was made ahead.
    pub(super) ahead: Option<Ahead>,
    /// Where the caller hears from us.
    pub(super) status: BorrowedFd<'a>,
    /// The container's root, as soon as it is mounted.
    pub(super) root: OnceCell<Root>,
}

type Step = fn(&Setup<'_>) -> Result<(), Failure>;

/// Everything before the program, in order.
const STEPS: &[Step] = &[
    namespaces::adjust_oom_score,
    namespaces::set_clocks,
    become_first_user,
    hide_other_cgroups,
    name_host,
    set_propagation,
    mount_root,
    devices::mount,
    system::mount_proc,
    enter_network,
    system::mount_sys,
    volumes::mount,
    devices::make,
    system::mask,
    loopback::raise,
    system::tune,
    system::protect,
    hooks::pause,
    hooks::create,
    enter_root,
    make_read_only,
];

/// Where the first process has its specification from.
#[derive(Debug)]
pub(super) enum Coming {
    /// It comes when the ids are mapped.
    Later {
        /// Through this.
        inbox: OwnedFd,
        /// Whether the network is made meanwhile and comes the same way.
        with_network: bool,
    },
    /// It was known before.
    Known {
        spec: Box<Spec>,
        /// Descriptors that came with it.
        carried: Vec<OwnedFd>,
        /// What is mounted already.
        ahead: Ahead,
    },
}

/// Waits for the specification, takes the steps and becomes the program. `control` closes when the caller
/// has died.
pub(super) fn main(coming: Coming, (control, status): (&OwnedFd, BorrowedFd<'_>)) -> ! {
    let start = || -> Result<Failure, Failure> {
        let (spec, carried, inbox, ahead) = match coming {
            Coming::Known {
                spec,
                carried,
                ahead,
            } => {
                hand_over_mounts(status);
                (*spec, carried, None, Some(ahead))
            }
            Coming::Later {
                inbox,
                with_network,
            } => {
                let (spec, carried): (Spec, _) = wire::receive(&inbox)?;
                (spec, carried, with_network.then_some(inbox), None)
            }
        };
        let setup = Setup {
            // While this process still is the user outside, to whom the way to them is open.
            sources: Sources::open(&spec.rootfs)?,
            listed: open_listed(&spec)?,
            spec,
            carried,
            inbox,
            ahead,
            status,
            root: OnceCell::new(),
        };
        if setup.spec.is_bare() {
            return Ok(bare::main(setup, control));
        }
        STEPS.iter().try_for_each(|step| step(&setup))?;
        let Setup { spec, carried, .. } = setup;
        let around = Surroundings::of_first(&spec, carried, status)?;
        if spec.init {
            return Ok(supervisor::main(&spec.process, around));
        }
        program::start(&spec.process, around)
    };
    let (Ok(failure) | Err(failure)) = start();
    wire::send_status(status, &Status::failed(failure), None);
    std::process::exit(125)
}

/// Gives the caller the mounts of this process to keep. Who leaves a mount namespace last takes it down, and
/// the kernel says that a process has ended only after that: with another one that has them, it is said
/// sooner. Without that they go with this process.
fn hand_over_mounts(status: BorrowedFd<'_>) {
    if let Ok(mounts) = fs::File::open("/proc/self/ns/mnt") {
        wire::send_status(status, &Status::Mounts, Some(mounts.as_fd()));
    }
}

fn open_listed(spec: &Spec) -> Result<Vec<Option<OwnedFd>>, Failure> {
    let open = |mount: &Mount| match mount {
        Mount::Listed(mount) => match &mount.what {
            Mounted::Path { source, .. } if mount.prepared.is_none() => mounts::open_host(source)
                .map(Some)
                .context(|| format!("cannot mount {} on {}", source.display(), mount.target)),
            _ => Ok(None),
        },
        Mount::Bind { .. } | Mount::Tmpfs { .. } => Ok(None),
    };
    spec.mounts.iter().map(open).collect()
}

/// Takes the id that owns the container's files. For the real root this is the moment at which it
/// stops being that, if the container has a user namespace of its own.
fn become_first_user(setup: &Setup<'_>) -> Result<(), Failure> {
    let first = |extents: &[super::spec::Extent]| extents.first().map_or(0, |extent| extent.inside);
    program::set_user(first(&setup.spec.users), first(&setup.spec.groups))?;
    // Changing the user made the process readable to others of that user again.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "prctl".to_owned())
}

/// From here on the group that this process is in is the root of all that it can see.
fn hide_other_cgroups(setup: &Setup<'_>) -> Result<(), Failure> {
    if !setup.spec.own_cgroups {
        return Ok(());
    }
    syscalls::unshare(UnshareFlags::NEWCGROUP)
        .context(|| "cannot make a cgroup namespace".to_owned())
}

fn name_host(setup: &Setup<'_>) -> Result<(), Failure> {
    if let Some(name) = &setup.spec.hostname {
        sethostname(name.as_bytes()).context(|| format!("cannot set the host name {name}"))?;
    }
    match &setup.spec.domainname {
        Some(name) => {
            setdomainname(name.as_bytes()).context(|| format!("cannot set the domain name {name}"))
        }
        None => Ok(()),
    }
}

/// Decides whether mounts of the host still reach the container, and the other way round.
fn set_propagation(setup: &Setup<'_>) -> Result<(), Failure> {
    let propagation = match &setup.spec.rootfs {
        // Only with the host's own mounts something can travel to a volume.
        Rootfs::Image(_) if has_travelling_volume(&setup.spec) => Propagation::Slave,
        Rootfs::Image(_) => Propagation::Private,
        // What is unbindable can not become the container's root, which it is made at the end.
        Rootfs::Directory(directory) if directory.propagation == Propagation::Unbindable => {
            Propagation::Private
        }
        Rootfs::Directory(directory) => directory.propagation,
    };
    let set = || {
        mount_change(
            "/",
            propagation_flag(propagation) | MountPropagationFlags::REC,
        )?;
        match &setup.spec.rootfs {
            Rootfs::Directory(directory) if propagation == Propagation::Shared => {
                part_from_host(&directory.path)
            }
            _ => Ok(()),
        }
    };
    set().context(|| "cannot set how mounts travel".to_owned())
}

fn has_travelling_volume(spec: &Spec) -> bool {
    let travels = |mount: &Mount| matches!(mount, Mount::Bind { propagation: Some((kind, _)), .. } if *kind != Propagation::Private);
    spec.mounts.iter().any(travels)
}

/// Makes the mount private that `path` lies on: what is mounted there is the container's own, and no
/// root can be pivoted to that travels (pivot_root(2)).
fn part_from_host(path: &Path) -> rustix::io::Result<()> {
    let mut ancestors = path.ancestors();
    // Only a mount's own root can be changed.
    let change = |path| mount_change(path, MountPropagationFlags::PRIVATE);
    let found = ancestors.find_map(|path| match change(path) {
        Err(rustix::io::Errno::INVAL) => None,
        done => Some(done),
    });
    found.unwrap_or(Err(rustix::io::Errno::INVAL))
}

fn propagation_flag(propagation: Propagation) -> MountPropagationFlags {
    match propagation {
        Propagation::Private => MountPropagationFlags::PRIVATE,
        Propagation::Slave => MountPropagationFlags::DOWNSTREAM,
        Propagation::Shared => MountPropagationFlags::SHARED,
        Propagation::Unbindable => MountPropagationFlags::UNBINDABLE,
    }
}

fn mount_root(setup: &Setup<'_>) -> Result<(), Failure> {
    let _ = setup.root.set(rootfs::mount(&setup.sources, &setup.spec)?);
    Ok(())
}

/// The container's root, before it is entered.
fn root<'a>(setup: &'a Setup<'_>) -> Result<&'a Root, Failure> {
    let root = setup.root.get();
    root.ok_or_else(|| Failure::engine("the root file system is not mounted yet"))
}

/// Enters the network that the stage makes meanwhile.
fn enter_network(setup: &Setup<'_>) -> Result<(), Failure> {
    let Some(inbox) = &setup.inbox else {
        return Ok(());
    };
    let what = || "cannot enter the container's network".to_owned();
    let ((), networks) = wire::receive(inbox)?;
    let network = networks.first().ok_or_else(|| Failure::engine(what()))?;
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).context(what)
}

/// Makes the root file system `/` and lets go of the host's.
fn enter_root(setup: &Setup<'_>) -> Result<(), Failure> {
    let what = || "cannot enter the root file system".to_owned();
    fchdir(root(setup)?).context(what)?;
    match &setup.spec.rootfs {
        Rootfs::Image(_) => pivot().and_then(|()| let_go()),
        Rootfs::Directory(directory) if directory.no_pivot => {
            cover().and_then(|()| keep_propagation(directory))
        }
        Rootfs::Directory(directory) => pivot_apart().and_then(|()| keep_propagation(directory)),
    }
    .context(what)
}

/// pivot_root(2), "pivot_root(".", ".")": the old root now lies over the new one.
fn pivot() -> rustix::io::Result<()> {
    pivot_root(".", ".")
}

/// The same where mounts may travel to the host: that the old root goes must not be seen there.
fn pivot_apart() -> rustix::io::Result<()> {
    let old = open(
        "/",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    pivot()?;
    // "." is the new root, and only what unmounts looks for what lies over it.
    fchdir(&old)?;
    mount_change(
        ".",
        MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
    )?;
    let_go()
}

/// Unmounts the old root. Safe because nothing of the host is reached through it any more.
fn let_go() -> rustix::io::Result<()> {
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")
}

/// For a host whose root file system can not be pivoted away from: the directory lies over it.
fn cover() -> rustix::io::Result<()> {
    mount_move(".", "/")?;
    chroot(".")?;
    chdir("/")
}

/// A root whose mounts travel, or that can not be copied, stays so.
fn keep_propagation(directory: &Directory) -> rustix::io::Result<()> {
    match directory.propagation {
        Propagation::Slave | Propagation::Private => Ok(()),
        other => mount_change("/", propagation_flag(other)),
    }
}

fn make_read_only(setup: &Setup<'_>) -> Result<(), Failure> {
    if !setup.spec.read_only {
        return Ok(());
    }
    // Only the root itself: volumes and temporary file systems on it stay as they are.
    open("/", OFlags::PATH, Mode::empty())
        .map_err(std::io::Error::from)
        .and_then(|root| {
            let read_only = MountChange {
                set: libc::MOUNT_ATTR_RDONLY,
                ..MountChange::default()
            };
            syscalls::mount_set_attributes(root.as_fd(), &read_only, false)
        })
        .context(|| "cannot make the root file system read-only".to_owned())
}

/// Writes a kernel setting below `/proc/sys` of the container's own proc mount.
fn set_kernel_parameter(root: &Root, path: &str, value: &str) -> std::io::Result<()> {
    let fd = root.resolve(&format!("proc/sys/{path}"))?;
    // A volume may lie over it.
    if !mounts::is_on_proc(&fd)? {
        return Err(std::io::Error::other("it is no file of the kernel's"));
    }
    let file = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
    fs::write(file, value)
}

/// Whether this container has a network namespace of its own.
fn has_own_network(setup: &Setup<'_>) -> bool {
    setup.spec.network != Network::Host
}

/// Opens a path of the host, relative to nothing.
fn open_host(path: &str) -> std::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}
