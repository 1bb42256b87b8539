//! The first process of a container that gets no namespace of its own: its files are a copy of the
//! image's, and that copy becomes its root directory (chroot(2)).
//!
//! Nothing can be mounted here, so there is no `/proc` and no `/sys`, and `/dev` is a part of the copy.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, makedev, mkdirat, mknodat, openat, symlinkat, unlinkat,
};

use super::super::failure::{Context, Failure, describe};
use super::super::keeper;
use super::super::mounts::Kind;
use super::super::program::{self, Surroundings};
use super::super::rootfs;
use super::super::spec::DEFAULT_DEVICES;
use super::super::wire::{self, Status};
use super::devices::LINKS;
use super::{Setup, Step, namespaces, root};

/// Everything before the program, in order.
const STEPS: &[Step] = &[
    namespaces::adjust_oom_score,
    find_root,
    make_directories,
    make_devices,
];

/// Takes the steps and becomes the program below two keepers, which end when `control` closes.
/// Returns only if something failed.
pub(super) fn main(setup: Setup<'_>, control: &OwnedFd) -> Failure {
    let prepare = || STEPS.iter().try_for_each(|step| step(&setup));
    if let Err(failure) = prepare() {
        return failure;
    }
    let Setup {
        spec,
        carried,
        status,
        root,
        ..
    } = setup;
    let Some(root) = root.into_inner() else {
        return Failure::engine("the root file system is not there");
    };
    keeper::main(&[control.as_fd()], || {
        match Surroundings::of_first(&spec, carried, status) {
            Ok(around) => program::start_below(root.as_fd(), &spec.process, around),
            Err(failure) => failure,
        }
    })
}

fn find_root(setup: &Setup<'_>) -> Result<(), Failure> {
    let _ = setup.root.set(rootfs::copied(&setup.sources)?);
    Ok(())
}

fn make_directories(setup: &Setup<'_>) -> Result<(), Failure> {
    let root = root(setup)?;
    setup.spec.directories.iter().try_for_each(|path| {
        let made = root.target(path, Kind::Directory).map(drop);
        made.context(|| format!("cannot make the volume {}", path.escape_debug()))
    })
}

/// Makes `/dev` anew, as it is at each start elsewhere. Where root may make no device nodes there are
/// none.
fn make_devices(setup: &Setup<'_>) -> Result<(), Failure> {
    let dev = new_folder(setup).context(|| "cannot make /dev".to_owned())?;
    if let Err(error) = nodes(&dev) {
        for (name, ..) in DEFAULT_DEVICES {
            let _ = unlinkat(&dev, name, AtFlags::empty());
        }
        let note = format!(
            "the container has no devices in /dev, not even null: {}",
            describe(&error)
        );
        wire::send_status(setup.status, &Status::Note(note), None);
    }
    for (name, link) in LINKS {
        symlinkat(link, &dev, name).context(|| format!("cannot make /dev/{name}"))?;
    }
    mkdirat(&dev, "shm", Mode::from_raw_mode(0o755))
        .and_then(|()| openat(&dev, "shm", FOLDER, Mode::empty()))
        .and_then(|shm| rustix::fs::fchmod(shm, Mode::from_raw_mode(0o1777)))
        .context(|| "cannot make /dev/shm".to_owned())
}

const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// An empty `/dev`, whatever the image or an earlier run has left there. By descriptor, and nobody is
/// in the container yet: no link in it leads anywhere.
fn new_folder(setup: &Setup<'_>) -> io::Result<OwnedFd> {
    let root = setup.root.get().ok_or(io::ErrorKind::NotFound)?;
    let path = format!("/proc/self/fd/{}/dev", root.as_fd().as_raw_fd());
    fs::remove_dir_all(path)?;
    mkdirat(root, "dev", Mode::from_raw_mode(0o755))?;
    Ok(openat(root, "dev", FOLDER, Mode::empty())?)
}

fn nodes(dev: &OwnedFd) -> io::Result<()> {
    for (name, major, minor) in DEFAULT_DEVICES {
        let mode = Mode::from_raw_mode(0o666);
        mknodat(
            dev,
            name,
            FileType::CharacterDevice,
            mode,
            makedev(major, minor),
        )?;
        // The umask took some of the bits away.
        rustix::fs::chmodat(dev, name, mode, AtFlags::empty())?;
    }
    // On a file system without devices a node can be made but not opened.
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    openat(dev, "null", flags, Mode::empty())?;
    Ok(())
}
