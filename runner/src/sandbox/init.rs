//! The container's first process, from its birth to the program that it becomes.
//!
//! What is to be done is a list of steps in the order in which they happen; the first that fails
//! ends the container with one line that names it.

use std::cell::OnceCell;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::CWD;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::process::{DumpableBehavior, chdir, fchdir, pivot_root, set_dumpable_behavior};
use rustix::system::sethostname;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::failure::{Context, Failure};
use super::mounts::{self, Root};
use super::program;
use super::rootfs::{self, Sources};
use super::spec::{Network, Spec};
use super::wire::{self, Status};

mod devices;
mod loopback;
mod supervisor;
mod system;
mod volumes;

/// What the first process works with.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) spec: Spec,
    pub(super) sources: Sources,
    /// Mounts that the caller prepared.
    pub(super) mounts: Vec<OwnedFd>,
    /// Where the network comes from.
    pub(super) inbox: OwnedFd,
    /// The container's root, as soon as it is mounted.
    pub(super) root: OnceCell<Root>,
}

type Step = fn(&Setup) -> Result<(), Failure>;

/// Everything before the program, in order.
const STEPS: &[Step] = &[
    become_first_user,
    hide_other_cgroups,
    name_host,
    keep_mounts_private,
    mount_root,
    devices::mount,
    system::mount_proc,
    enter_network,
    system::mount_sys,
    volumes::mount,
    system::mask,
    loopback::raise,
    system::tune,
    system::protect,
    enter_root,
    make_read_only,
];

/// Waits for the specification, which comes when the ids are mapped, takes the steps and becomes
/// the program.
pub(super) fn main(inbox: OwnedFd, status: BorrowedFd<'_>) -> ! {
    let start = || -> Result<Failure, Failure> {
        let (spec, mounts): (Spec, _) = wire::receive(&inbox)?;
        let setup = Setup {
            // While this process still is the user outside, to whom the way to them is open.
            sources: Sources::open(&spec.rootfs)?,
            spec,
            mounts,
            inbox,
            root: OnceCell::new(),
        };
        STEPS.iter().try_for_each(|step| step(&setup))?;
        let process = &setup.spec.process;
        Ok(if setup.spec.init {
            supervisor::main(process, status)
        } else {
            program::start(process, status)
        })
    };
    let (Ok(failure) | Err(failure)) = start();
    wire::send_status(status, &Status::failed(failure), None);
    std::process::exit(125)
}

/// Takes the id that owns the container's files. For the real root this is the moment at which it
/// stops being that.
fn become_first_user(setup: &Setup) -> Result<(), Failure> {
    let first = |extents: &[super::spec::Extent]| extents.first().map_or(0, |extent| extent.inside);
    program::set_user(first(&setup.spec.users), first(&setup.spec.groups))?;
    // Changing the user made the process readable to others of that user again.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "prctl".to_owned())
}

/// From here on the group that this process is in is the root of all that it can see.
fn hide_other_cgroups(setup: &Setup) -> Result<(), Failure> {
    if !setup.spec.own_cgroups {
        return Ok(());
    }
    super::syscalls::unshare(UnshareFlags::NEWCGROUP)
        .context(|| "cannot make a cgroup namespace".to_owned())
}

fn name_host(setup: &Setup) -> Result<(), Failure> {
    match &setup.spec.hostname {
        Some(name) => {
            sethostname(name.as_bytes()).context(|| format!("cannot set the host name {name}"))
        }
        None => Ok(()),
    }
}

fn keep_mounts_private(_: &Setup) -> Result<(), Failure> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).context(|| "cannot make the mounts private".to_owned())
}

fn mount_root(setup: &Setup) -> Result<(), Failure> {
    let _ = setup.root.set(rootfs::mount(&setup.sources, &setup.spec)?);
    Ok(())
}

/// The container's root, before it is entered.
fn root(setup: &Setup) -> Result<&Root, Failure> {
    let root = setup.root.get();
    root.ok_or_else(|| Failure::engine("the root file system is not mounted yet"))
}

/// Enters the network that the stage makes meanwhile.
fn enter_network(setup: &Setup) -> Result<(), Failure> {
    if !has_own_network(setup) {
        return Ok(());
    }
    let what = || "cannot enter the container's network".to_owned();
    let ((), networks) = wire::receive(&setup.inbox)?;
    let network = networks.first().ok_or_else(|| Failure::engine(what()))?;
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).context(what)
}

/// Makes the root file system `/` and lets go of the host's (pivot_root(2), "pivot_root(".", ".")").
fn enter_root(setup: &Setup) -> Result<(), Failure> {
    fchdir(root(setup)?)
        .and_then(|()| pivot_root(".", "."))
        // The old root now lies over the new one; unmounting it is safe because nothing of the
        // host is reached through it any more.
        .and_then(|()| unmount(".", UnmountFlags::DETACH))
        .and_then(|()| chdir("/"))
        .context(|| "cannot enter the root file system".to_owned())
}

fn make_read_only(setup: &Setup) -> Result<(), Failure> {
    if !setup.spec.read_only {
        return Ok(());
    }
    // Only the root itself: volumes and temporary file systems on it stay as they are.
    rustix::fs::open("/", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty())
        .map_err(std::io::Error::from)
        .and_then(|root| {
            super::syscalls::mount_set_attributes(
                root.as_fd(),
                libc::MOUNT_ATTR_RDONLY,
                None,
                false,
            )
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
fn has_own_network(setup: &Setup) -> bool {
    setup.spec.network != Network::Host
}

/// Opens a path of the host, relative to nothing.
fn open_host(path: &str) -> std::io::Result<OwnedFd> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    Ok(rustix::fs::openat(
        CWD,
        path,
        flags,
        rustix::fs::Mode::empty(),
    )?)
}
