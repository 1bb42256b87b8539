//! `/dev`: a small tmpfs with the harmless devices of the host, terminals and shared memory of the
//! container's own. Whatever the image has at `/dev` lies under it.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, Uid, chmodat, chownat, makedev, mkdirat, mknodat, symlinkat,
};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::super::failure::{Context, Failure};
use super::super::mounts::{self, Kind, PLAIN, Root};
use super::super::spec::{DEFAULT_DEVICES, Device, DeviceKind, Extent, Namespace, System};
use super::{Setup, open_host, root};

/// Links that programs expect (runtime-linux.md, "Dev symbolic links").
pub(super) const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// The group that owns terminals on Debian, Fedora and Alpine alike.
const TTY_GROUP: u32 = 5;

pub(super) fn mount(setup: &Setup<'_>) -> Result<(), Failure> {
    if let System::Listed(_) = setup.spec.system {
        return Ok(());
    }
    let target = root(setup)?
        .target("dev", Kind::Directory)
        .context(|| "cannot make /dev".to_owned())?;
    match &setup.ahead {
        Some(ahead) => {
            mounts::attach(&ahead.dev, &target).context(|| "cannot mount /dev".to_owned())
        }
        None => mount_at(target, &setup.spec.groups).map(drop),
    }
}

/// Mounts one on `target`, for a container to which these group ids are mapped.
pub(in crate::sandbox) fn mount_at(
    target: impl AsFd,
    groups: &[Extent],
) -> Result<OwnedFd, Failure> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_STRICTATIME;
    let dev = tmpfs("755", "65536k", attributes).context(|| "cannot mount /dev".to_owned())?;
    mounts::attach(&dev, target).context(|| "cannot mount /dev".to_owned())?;
    // The host's are bound, because making device nodes takes the real root.
    for (name, ..) in DEFAULT_DEVICES {
        device(&dev, name).context(|| format!("cannot give the container /dev/{name}"))?;
    }
    for (name, link) in LINKS {
        symlinkat(link, &dev, name).context(|| format!("cannot make /dev/{name}"))?;
    }
    terminals(groups, &dev).context(|| "cannot mount /dev/pts".to_owned())?;
    place(&dev, "mqueue", mounts::new_mount("mqueue", &[], PLAIN))
        .context(|| "cannot mount /dev/mqueue".to_owned())?;
    place(&dev, "shm", tmpfs("1777", "65536k", PLAIN))
        .context(|| "cannot mount /dev/shm".to_owned())?;
    Ok(dev)
}

/// Makes the devices that are listed.
pub(super) fn make(setup: &Setup<'_>) -> Result<(), Failure> {
    let System::Listed(listed) = &setup.spec.system else {
        return Ok(());
    };
    let Some(devices) = &listed.devices else {
        return Ok(());
    };
    let root = root(setup)?;
    // The kernel makes no device for the root of a user namespace.
    let may_make = !setup.spec.namespaces.has_new(Namespace::User);
    for device in devices {
        node(root, device, may_make)
            .context(|| format!("cannot make the device {}", device.path))?;
    }
    let dev = root
        .target("dev", Kind::Directory)
        .context(|| "cannot make /dev".to_owned())?;
    for (name, link) in LINKS {
        match symlinkat(link, &dev, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).context(|| format!("cannot make /dev/{name}")),
        }
    }
    Ok(())
}

/// Makes a device node; where only the host's root may, binds the host's. There is nothing to do for one
/// of the default devices that the list or the root file system has already.
fn node(root: &Root, device: &Device, may_make: bool) -> std::io::Result<()> {
    let (folder, name) = device.path.rsplit_once('/').unwrap_or(("", &device.path));
    let folder = root.target(folder, Kind::Directory)?;
    let kind = match device.kind {
        DeviceKind::Character => FileType::CharacterDevice,
        DeviceKind::Block => FileType::BlockDevice,
        DeviceKind::Fifo => FileType::Fifo,
    };
    if !may_make && kind != FileType::Fifo {
        return bind_node(&folder, name, device);
    }
    let (mode, number) = (
        Mode::from_raw_mode(device.mode),
        makedev(device.major, device.minor),
    );
    match mknodat(&folder, name, kind, mode, number) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Ok(()),
        Err(Errno::PERM) if kind != FileType::Fifo => return bind_node(&folder, name, device),
        Err(error) => return Err(error.into()),
    }
    let owner = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    chownat(&folder, name, Some(owner.0), Some(owner.1), flags)?;
    // The umask took some of the bits away. The node is new and its folder is ours alone.
    Ok(chmodat(&folder, name, mode, AtFlags::empty())?)
}

fn bind_node(folder: &OwnedFd, name: &str, device: &Device) -> std::io::Result<()> {
    let target = match mounts::make_file(folder, name, 0o644) {
        Err(Errno::EXIST) => return Ok(()),
        made => made?,
    };
    mounts::attach(
        mounts::clone_mount(open_host(&device.path)?, false)?,
        target,
    )
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
    // Not "noexec": a program may map /dev/zero as memory for code.
    mounts::restrict(&mount, MountAttrFlags::MOUNT_ATTR_NOSUID)?;
    mounts::make_file(dev, name, 0o666)?;
    mounts::attach(mount, open_below(dev, name)?)
}

fn terminals(groups: &[Extent], dev: &OwnedFd) -> std::io::Result<()> {
    let group = TTY_GROUP.to_string();
    let mut options = vec![
        ("newinstance", None),
        ("ptmxmode", Some("0666")),
        ("mode", Some("0620")),
    ];
    if is_mapped(groups, TTY_GROUP) {
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
