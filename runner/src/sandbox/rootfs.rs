//! A container's `/`: the image's tree, a thin layer with our own files, and a writable layer.
//!
//! The thin layer lies between the two and holds the mount points and files such as
//! `/etc/hosts`, so that these need neither a mount of their own nor a write into the
//! writable layer. It is made in memory at each start. A directory in it hides the image's directory of
//! the same path as far as mode, owner, times and extended attributes go, so it repeats those.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Uid, XattrFlags, chmodat, chownat, fchmod, fchown, fsetxattr,
    futimens, getxattr, listxattr, mkdirat, openat, renameat, symlinkat,
};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::copy;
use super::failure::{Context, Failure, describe};
use super::mounts::{self, Root};
use super::spec::{ConfigFile, Driver, ImageTree, Isolation, Rootfs, Spec};
use super::userns;

/// Directories that a mount of ours covers in every container.
const MOUNT_POINTS: [&str; 3] = ["dev", "proc", "sys"];

/// The copy of an image's files while it is not complete, beside its place.
const COPYING: &str = "copying";

/// The most that our own files may take: `/etc/resolv.conf` and the like are the host's.
const LAYER_SIZE: &str = "16m";

const ROOT_FAILED: &str = "cannot mount the root file system";

/// Fills the container's folder from inside the user's own user namespace, before the
/// container exists.
pub(super) fn prepare(spec: &Spec) -> Result<(), Failure> {
    let Rootfs::Image(rootfs) = &spec.rootfs else {
        return Ok(());
    };
    if let Driver::Memory(_) = rootfs.driver {
        return Ok(());
    }
    let what = |name: &str| format!("cannot make {}", rootfs.folder.join(name).display());
    let tree = Root::open(&rootfs.tree)
        .context(|| format!("cannot open the image's files in {}", rootfs.tree.display()))?;
    let folder = Root::open(&rootfs.folder).context(|| what(""))?;
    let owners = owners_of_copy(spec);
    let root = owners.of(mounts::attributes(&tree).context(|| what("upper"))?);
    // Inside, root is the first id that is mapped, whoever that is outside.
    let owner = |own: u32, extents: &[super::spec::Extent]| {
        extents.first().map_or(own, |extent| extent.outside)
    };
    let ids = (
        owner(root.st_uid, &spec.users),
        owner(root.st_gid, &spec.groups),
    );
    if rootfs.temporary {
        forget_volatile(&folder);
    }
    // What is there already is a container's that starts again, or was made ahead and belongs to whom
    // most containers belong to.
    let make = |name| make_directory(&folder, name, 0o755).context(|| what(name));
    let own_it = |name| own(&folder, name, ids).context(|| what(name));
    let is_new = make("work")? | own_it("work")?;
    if make("upper")? | is_new {
        own_it("upper")?;
    }
    let mut upper = folder.resolve("upper").context(|| what("upper"))?;
    repeat_attributes(&root, &tree, &upper).context(|| what("upper"))?;
    if rootfs.driver == Driver::Copy {
        if is_empty(&upper).context(|| what("upper"))? {
            // A start that was killed while it copied has left half of one.
            userns::remove_tree(&rootfs.folder.join(COPYING)).context(|| what(COPYING))?;
            make_directory(&folder, COPYING, 0o755).context(|| what(COPYING))?;
            own(&folder, COPYING, ids).context(|| what(COPYING))?;
            upper = folder.resolve(COPYING).context(|| what(COPYING))?;
            copy::tree(tree.as_fd(), upper.as_fd(), &owners).context(|| what("upper"))?;
            repeat_attributes(&root, &tree, &upper).context(|| what("upper"))?;
            renameat(&folder, COPYING, &folder, "upper").context(|| what("upper"))?;
        }
        fill(&tree, &upper, ids, &spec.files).context(|| what("upper"))?;
    }
    Ok(())
}

/// Without a user namespace the container's ids are the host's, and the image's files may have been placed
/// from inside one.
fn owners_of_copy(spec: &Spec) -> copy::Owners {
    match spec.isolation {
        Isolation::Namespaces => copy::Owners::default(),
        Isolation::Chroot => copy::Owners::unmapped(userns::ids_of_roots_files()),
    }
}

/// Removes the mark that a volatile overlay leaves, also where it was unmounted in order, and with which the
/// kernel mounts it no more. What may have been lost goes with the container.
fn forget_volatile(folder: &Root) {
    let Ok(work) = folder.resolve("work") else {
        return;
    };
    let mark = "work/incompat/volatile";
    let _ = rustix::fs::unlinkat(&work, format!("{mark}/dirty"), AtFlags::empty());
    let _ = rustix::fs::unlinkat(&work, mark, AtFlags::REMOVEDIR);
}

fn is_empty(directory: &OwnedFd) -> io::Result<bool> {
    let directory = openat(
        directory,
        ".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut entries = rustix::fs::Dir::read_from(&directory)?;
    Ok(!entries.any(|entry| {
        entry.is_ok_and(|entry| !matches!(entry.file_name().to_bytes(), b"." | b".."))
    }))
}

/// Gives a directory to its owner; whether it was somebody else's.
fn own(folder: &Root, name: &str, ids: (u32, u32)) -> io::Result<bool> {
    let is = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let is_other = (is.st_uid, is.st_gid) != ids;
    if is_other {
        let (user, group) = (Uid::from_raw(ids.0), Gid::from_raw(ids.1));
        chownat(folder, name, Some(user), Some(group), AtFlags::empty())?;
    }
    Ok(is_other)
}

/// Makes a directory; whether it is new.
fn make_directory(folder: &Root, name: &str, mode: u32) -> io::Result<bool> {
    match mkdirat(folder, name, Mode::from_raw_mode(mode)) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Puts the mount points and files of ours into `layer`.
fn fill(tree: &Root, layer: &OwnedFd, ids: (u32, u32), files: &[ConfigFile]) -> io::Result<()> {
    for name in MOUNT_POINTS {
        shadow(tree, layer, ids, name)?;
    }
    let mut last = (".", layer.try_clone()?);
    for file in files {
        let (folder, name) = file.path.rsplit_once('/').unwrap_or((".", &file.path));
        if folder != last.0 {
            let opened = match folder {
                "." => layer.try_clone()?,
                _ => shadow(tree, layer, ids, folder)?,
            };
            last = (folder, opened);
        }
        let mut written = File::from(make_anew(&last.1, name, file.mode)?);
        written.write_all(file.content.as_bytes())?;
        fchmod(&written, Mode::from_raw_mode(file.mode))?;
        fchown(
            &written,
            Some(Uid::from_raw(ids.0)),
            Some(Gid::from_raw(ids.1)),
        )?;
    }
    link_mount_table(tree, &shadow(tree, layer, ids, "etc")?, ids)
}

/// Makes a file, in the place of one that may be there: in a copied tree, or since the last start.
fn make_anew(folder: &OwnedFd, name: &str, mode: u32) -> io::Result<OwnedFd> {
    match mounts::make_file(folder, name, mode) {
        Err(Errno::EXIST) => {
            rustix::fs::unlinkat(folder, name, AtFlags::empty())?;
            Ok(mounts::make_file(folder, name, mode)?)
        }
        made => Ok(made?),
    }
}

/// Old programs look for the mounts in `/etc/mtab`; podman makes this link too.
fn link_mount_table(tree: &Root, folder: &OwnedFd, ids: (u32, u32)) -> io::Result<()> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let etc = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if openat(tree, "etc", etc, Mode::empty())
        .and_then(|etc| rustix::fs::statat(etc, "mtab", flags))
        .is_ok()
    {
        return Ok(());
    }
    match symlinkat("/proc/mounts", folder, "mtab") {
        // A container that starts again.
        Err(Errno::EXIST) => return Ok(()),
        other => other?,
    }
    let owner = (Uid::from_raw(ids.0), Gid::from_raw(ids.1));
    Ok(chownat(
        folder,
        "mtab",
        Some(owner.0),
        Some(owner.1),
        flags,
    )?)
}

/// Makes the one-level directory `name` in `layer`, with the attributes that it has in the image
/// if it is a directory there. (If it is anything else, a link to a place on the host for
/// instance, the new directory hides it.)
fn shadow(tree: &Root, layer: &OwnedFd, ids: (u32, u32), name: &str) -> io::Result<OwnedFd> {
    let made = mkdirat(layer, name, Mode::from_raw_mode(0o755));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match openat(layer, name, flags, Mode::empty()) {
        // In a copied tree it may be a link or a file.
        Err(Errno::NOTDIR | Errno::LOOP) => {
            rustix::fs::unlinkat(layer, name, AtFlags::empty())?;
            mkdirat(layer, name, Mode::from_raw_mode(0o755))?;
            openat(layer, name, flags, Mode::empty())?
        }
        other => other?,
    };
    if made.is_err() {
        return Ok(opened);
    }
    match openat(tree, name, flags, Mode::empty()) {
        Ok(original) => repeat_attributes(&mounts::attributes(&original)?, &original, &opened)?,
        Err(_) => fchown(
            &opened,
            Some(Uid::from_raw(ids.0)),
            Some(Gid::from_raw(ids.1)),
        )?,
    }
    Ok(opened)
}

/// Gives the directory `copy` the mode, owner, times and extended attributes of `original`.
fn repeat_attributes(
    stat: &rustix::fs::Stat,
    original: impl AsFd,
    copy: impl AsFd,
) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", copy.as_fd().as_raw_fd());
    // Each change goes through the journal of the disk, so only what differs is changed.
    let is = mounts::attributes(&copy)?;
    if (is.st_uid, is.st_gid) != (stat.st_uid, stat.st_gid) {
        let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        rustix::fs::chown(path.as_str(), Some(owner.0), Some(owner.1))?;
    }
    if is.st_mode != stat.st_mode {
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        chmodat(rustix::fs::CWD, path.as_str(), mode, AtFlags::empty())?;
    }
    let source = format!("/proc/self/fd/{}", original.as_fd().as_raw_fd());
    copy_attributes(Path::new(&source), Path::new(&path))?;
    let directory = rustix::fs::open(
        path.as_str(),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    Ok(futimens(&directory, &copy::times(stat))?)
}

/// Copies the extended attributes that an image may have, as far as the file system takes them.
fn copy_attributes(source: &Path, target: &Path) -> io::Result<()> {
    // How long the list is first: most directories have none.
    let mut names = match listxattr(source, &mut [0_u8; 0]) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(()),
        Ok(length) => vec![0_u8; length],
        Err(error) => return Err(error.into()),
    };
    let length = listxattr(source, &mut names)?;
    let target = File::open(target)?;
    for name in names[..length].split(|&byte| byte == 0) {
        if name.is_empty() || name.starts_with(b"user.overlay.") || name.starts_with(b"trusted.") {
            continue;
        }
        let name = <OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name);
        let mut value = vec![0_u8; 65_536];
        if let Ok(length) = getxattr(source, name, &mut value) {
            let _ = fsetxattr(&target, name, &value[..length], XattrFlags::empty());
        }
    }
    Ok(())
}

/// What a root file system is made of, open.
#[derive(Debug)]
pub(super) enum Sources {
    /// The layers of an image's.
    Image(Layers),
    /// The directory itself.
    Directory(Root),
}

impl Sources {
    pub(super) fn open(rootfs: &Rootfs) -> Result<Self, Failure> {
        match rootfs {
            Rootfs::Image(image) => Layers::open(image).map(Self::Image),
            Rootfs::Directory(directory) => Root::open(&directory.path)
                .map(Self::Directory)
                .context(|| {
                    format!(
                        "cannot open the root file system {}",
                        directory.path.display()
                    )
                }),
        }
    }
}

/// The folders of an image's root file system.
#[derive(Debug)]
pub(super) struct Layers {
    folder: OwnedFd,
    tree: Root,
    writable: Writable,
}

/// Where what the container writes goes.
#[derive(Debug)]
enum Writable {
    /// Into an overlay's directories on the disk.
    Upper(Pair),
    /// Into memory, so many bytes of it.
    Memory(u64),
    /// Into this copy of the tree.
    Copy(OwnedFd),
}

/// The two directories that overlay writes to.
#[derive(Debug)]
struct Pair {
    upper: OwnedFd,
    work: OwnedFd,
    /// Whether they go with the container's end.
    temporary: bool,
}

impl Layers {
    fn open(image: &ImageTree) -> Result<Self, Failure> {
        let what = |path: &Path| format!("cannot open {}", path.display());
        let folder = mounts::open_host(&image.folder).context(|| what(&image.folder))?;
        let below = |name: &str| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            openat(&folder, name, flags, Mode::empty()).context(|| what(&image.folder.join(name)))
        };
        let writable = match image.driver {
            Driver::Memory(size) => Writable::Memory(size),
            Driver::Copy => Writable::Copy(below("upper")?),
            Driver::Overlay => Writable::Upper(Pair {
                upper: below("upper")?,
                work: below("work")?,
                temporary: image.temporary,
            }),
        };
        Ok(Self {
            tree: Root::open(&image.tree).context(|| what(&image.tree))?,
            writable,
            folder,
        })
    }

    /// The thin layer, mounted on the container's folder: the kernel takes no layer of an overlay
    /// that is mounted nowhere.
    fn layer(&self, spec: &Spec) -> io::Result<OwnedFd> {
        let options = [("mode", Some("755")), ("size", Some(LAYER_SIZE))];
        let layer = mounts::new_mount("tmpfs", &options, mounts::PLAIN)?;
        mounts::attach(&layer, &self.folder)?;
        let owner =
            |extents: &[super::spec::Extent]| extents.first().map_or(0, |extent| extent.inside);
        let ids = (owner(&spec.users), owner(&spec.groups));
        fill(&self.tree, &layer, ids, &spec.files)?;
        Ok(layer)
    }

    /// An overlay mount whose state lies in `user.overlay.*` attributes, as it has to be without
    /// real privilege (kernel 5.11; Documentation/filesystems/overlayfs.rst).
    fn overlay(&self, layer: &OwnedFd, pair: &Pair) -> io::Result<OwnedFd> {
        // By descriptor: no directory on the way needs to be open to the container's ids, and no
        // character of a path can be taken for a separator.
        let path = |fd: BorrowedFd<'_>| format!("/proc/self/fd/{}", fd.as_raw_fd());
        let lower = format!("{}:{}", path(layer.as_fd()), path(self.tree.as_fd()));
        let (upper, work) = (path(pair.upper.as_fd()), path(pair.work.as_fd()));
        let mut options = vec![
            ("lowerdir", Some(lower.as_str())),
            ("upperdir", Some(&upper)),
            ("workdir", Some(&work)),
            ("userxattr", None),
            // One device number for all files, although the layers are of two file systems.
            ("xino", Some("on")),
        ];
        if pair.temporary {
            // Else the kernel brings all of the disk's file system up to date when the container
            // ends, other programs' files too (kernel 5.10).
            options.push(("volatile", None));
        }
        mounts::new_mount("overlay", &options, MountAttrFlags::empty())
    }
}

/// Directories for an overlay in a file system in memory of at most `size` bytes, which is mounted on
/// `folder`.
fn in_memory(tree: &Root, folder: &OwnedFd, size: u64) -> Result<Pair, Failure> {
    let what = || "cannot make the upper layer in memory".to_owned();
    // An empty file takes kernel memory that `size` does not count: as many files as pages.
    let inodes = (size / 4096).max(1024).to_string();
    let size = size.to_string();
    let options = [
        ("mode", Some("755")),
        ("size", Some(size.as_str())),
        ("nr_inodes", Some(&inodes)),
    ];
    let make = || -> io::Result<Pair> {
        let memory = mounts::new_mount("tmpfs", &options, mounts::PLAIN)?;
        mounts::attach(&memory, folder)?;
        let directory = |name| -> io::Result<OwnedFd> {
            mkdirat(&memory, name, Mode::from_raw_mode(0o755))?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            Ok(openat(&memory, name, flags, Mode::empty())?)
        };
        let pair = Pair {
            upper: directory("upper")?,
            work: directory("work")?,
            temporary: true,
        };
        repeat_attributes(&mounts::attributes(tree)?, tree, &pair.upper)?;
        Ok(pair)
    };
    let pair = make().context(what)?;
    // Without these overlay mounts, and fails later.
    match fsetxattr(&pair.work, c"user.overlay.probe", b"y", XattrFlags::empty()) {
        Ok(()) => Ok(pair),
        Err(Errno::OPNOTSUPP) => Err(Failure::engine(
            "the upper layer in memory needs a kernel from 6.6 on, whose tmpfs keeps user attributes: \
             leave --upper away"
                .to_owned(),
        )),
        Err(error) => Err(error).context(what),
    }
}

/// The copy of the image's files, as it lies on the disk.
pub(super) fn copied(sources: &Sources) -> Result<Root, Failure> {
    match sources {
        Sources::Image(Layers {
            writable: Writable::Copy(copy),
            ..
        }) => copy
            .try_clone()
            .map(Root::from)
            .context(|| ROOT_FAILED.to_owned()),
        _ => Err(Failure::engine("the image's files were not copied")),
    }
}

/// Mounts the root file system on the container's folder, in the container's own mount namespace.
pub(super) fn mount(sources: &Sources, spec: &Spec) -> Result<Root, Failure> {
    match sources {
        Sources::Image(layers) => mount_image(layers, spec),
        Sources::Directory(directory) => mounts::clone_mount(directory, true)
            .and_then(|mount| mounts::attach(&mount, directory).map(|()| Root::from(mount)))
            .context(|| ROOT_FAILED.to_owned()),
    }
}

fn mount_image(layers: &Layers, spec: &Spec) -> Result<Root, Failure> {
    let memory;
    let pair = match &layers.writable {
        Writable::Upper(pair) => pair,
        Writable::Memory(size) => {
            memory = in_memory(&layers.tree, &layers.folder, *size)?;
            &memory
        }
        Writable::Copy(copy) => return mount_copy(layers, copy),
    };
    let layer = layers
        .layer(spec)
        .context(|| "cannot make the layer of /etc/hosts".to_owned())?;
    let mount = layers.overlay(&layer, pair).map_err(|error| Failure {
        no_overlay: true,
        ..Failure::engine(format!(
            "the kernel refuses an overlay mount: {}",
            describe(&error)
        ))
    })?;
    finish(mount, &layer)
}

fn mount_copy(layers: &Layers, copy: &OwnedFd) -> Result<Root, Failure> {
    let mount = mounts::clone_mount(copy, false).context(|| ROOT_FAILED.to_owned())?;
    finish(mount, &layers.folder)
}

/// Puts the root file system in its place.
fn finish(mount: OwnedFd, place: &OwnedFd) -> Result<Root, Failure> {
    mounts::attach(&mount, place)
        .and_then(|()| mounts::restrict(&mount, MountAttrFlags::MOUNT_ATTR_NODEV))
        .context(|| ROOT_FAILED.to_owned())?;
    Ok(Root::from(mount))
}
