//! `/dev`: a small tmpfs with the harmless devices of the host, terminals and shared memory of the
//! container's own. Whatever the image has at `/dev` lies under it.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, mkdirat, symlinkat};
use rustix::mount::MountAttrFlags;

use super::super::failure::{Context, Failure};
use super::super::mounts::{self, Kind, PLAIN};
use super::super::spec::Extent;
use super::{Setup, open_host, root};

/// The devices of the host that every container gets, as the runtime specification lists them
/// (config-linux.md, "Default Devices"). They are bound, because making device nodes takes the real root.
const DEVICES: [&str; 6] = ["full", "null", "random", "tty", "urandom", "zero"];

/// Links that programs expect (runtime-linux.md, "Dev symbolic links").
const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// The group that owns terminals on Debian, Fedora and Alpine alike.
const TTY_GROUP: u32 = 5;

pub(super) fn mount(setup: &Setup) -> Result<(), Failure> {
    let target = root(setup)?
        .target("dev", Kind::Directory)
        .context(|| "cannot make /dev".to_owned())?;
    let dev = tmpfs("755", "65536k", MountAttrFlags::MOUNT_ATTR_NOSUID)
        .context(|| "cannot mount /dev".to_owned())?;
    mounts::attach(&dev, &target).context(|| "cannot mount /dev".to_owned())?;
    for name in DEVICES {
        device(&dev, name).context(|| format!("cannot give the container /dev/{name}"))?;
    }
    for (name, link) in LINKS {
        symlinkat(link, &dev, name).context(|| format!("cannot make /dev/{name}"))?;
    }
    terminals(setup, &dev).context(|| "cannot mount /dev/pts".to_owned())?;
    place(&dev, "mqueue", mounts::new_mount("mqueue", &[], PLAIN))
        .context(|| "cannot mount /dev/mqueue".to_owned())?;
    place(&dev, "shm", tmpfs("1777", "65536k", PLAIN))
        .context(|| "cannot mount /dev/shm".to_owned())
}

fn tmpfs(mode: &str, size: &str, attributes: MountAttrFlags) -> std::io::Result<OwnedFd> {
    let options = [("mode", Some(mode)), ("size", Some(size))];
    mounts::new_mount("tmpfs", &options, attributes)
}

fn place(dev: &OwnedFd, name: &str, mount: std::io::Result<OwnedFd>) -> std::io::Result<()> {
    mkdirat(dev, name, Mode::from_raw_mode(0o755))?;
    mounts::attach(mount?, open_below(dev, name)?)
}

fn device(dev: &OwnedFd, name: &str) -> std::io::Result<()> {
    let mount = mounts::clone_mount(open_host(&format!("/dev/{name}"))?, false)?;
    mounts::restrict(
        &mount,
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )?;
    mounts::make_file(dev, name, 0o666)?;
    mounts::attach(mount, open_below(dev, name)?)
}

fn terminals(setup: &Setup, dev: &OwnedFd) -> std::io::Result<()> {
    let group = TTY_GROUP.to_string();
    let mut options = vec![
        ("newinstance", None),
        ("ptmxmode", Some("0666")),
        ("mode", Some("0620")),
    ];
    if is_mapped(&setup.spec.groups, TTY_GROUP) {
        options.push(("gid", Some(group.as_str())));
    }
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    place(
        dev,
        "pts",
        mounts::new_mount("devpts", &options, attributes),
    )
}

fn is_mapped(extents: &[Extent], id: u32) -> bool {
    extents
        .iter()
        .any(|extent| (extent.inside..extent.inside.saturating_add(extent.count)).contains(&id))
}

fn open_below(folder: impl AsFd, name: &str) -> std::io::Result<OwnedFd> {
    use rustix::fs::OFlags;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, name, flags, Mode::empty())?)
}
