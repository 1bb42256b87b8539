//! What is the same for nearly every container, made ahead: a user namespace with its ids mapped, a
//! network that belongs to it, `/dev` and `/sys`. The kernel takes as long for these as for all the
//! rest, so the holder makes them while nobody waits, and keeps one set on its [`Shelf`]. Nobody has
//! ever been in them but the process that made them and is gone.
//!
//! The shelf is a pair of sockets: what the holder sent into the one, and nobody has received from
//! the other, is what lies there. A command copies that other end (pidfd_getfd(2), Linux 5.6) and
//! receives: without a word to the holder, and no two commands get the same set.
//!
//! It goes the other way with what is left of a container that has ended: its mounts, which the holder
//! takes down, while the command that gave them back goes on.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::net::{RecvFlags, SendFlags, SocketType};
use rustix::process::{
    DumpableBehavior, PidfdGetfdFlags, WaitOptions, pidfd_getfd, set_dumpable_behavior, waitpid,
};
use rustix::thread::{UnshareFlags, move_into_link_name_space};

use super::super::failure::{Context, Failure};
use super::super::handle::Handle;
use super::super::init::{devices, loopback, system};
use super::super::spec::Extent;
use super::super::{mounts, syscalls, wire};
use super::holder;
use super::map::IdMap;

/// Where the holder has the end of its shelf from which sets are taken: the first number that is
/// free in a process that was started with none but standard input, output and error.
const FRONT: i32 = 3;

/// Namespaces and file systems of a container, all of them unused.
#[derive(Debug)]
pub(in crate::sandbox) struct Spare {
    /// The user namespace.
    ids: OwnedFd,
    /// The network and the message queues that belong to it.
    namespaces: [OwnedFd; 2],
    ahead: Ahead,
}

/// What is mounted in nearly every container, attached nowhere yet.
#[derive(Debug)]
pub(in crate::sandbox) struct Ahead {
    /// `/dev`, with all that is below it.
    pub(in crate::sandbox) dev: OwnedFd,
    /// The `/sys` of the network.
    pub(in crate::sandbox) sys: OwnedFd,
}

impl Spare {
    /// How many descriptors it takes.
    pub(in crate::sandbox) const COUNT: usize = 5;

    /// From its descriptors, in their order.
    pub(in crate::sandbox) fn new(descriptors: Vec<OwnedFd>) -> Option<Self> {
        let [ids, network, ipc, dev, sys] = descriptors.try_into().ok()?;
        Some(Self {
            ids,
            namespaces: [network, ipc],
            ahead: Ahead { dev, sys },
        })
    }

    /// Its descriptors, in their order.
    pub(in crate::sandbox) fn descriptors(&self) -> [BorrowedFd<'_>; Self::COUNT] {
        let [network, ipc] = &self.namespaces;
        let Ahead { dev, sys } = &self.ahead;
        [&self.ids, network, ipc, dev, sys].map(AsFd::as_fd)
    }

    /// Moves this process into the namespaces, for good; what is left is to be mounted.
    pub(in crate::sandbox) fn enter(self) -> Result<Ahead, Failure> {
        let what = || "cannot enter the namespaces that were made ahead".to_owned();
        super::enter(self.ids.as_fd())?;
        // Other capabilities made the process readable again.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).context(what)?;
        for namespace in &self.namespaces {
            move_into_link_name_space(namespace.as_fd(), None).context(what)?;
        }
        Ok(self.ahead)
    }

    /// Those that the first process is not to be made with any more. (The network never is.)
    pub(in crate::sandbox) const NAMESPACES: UnshareFlags =
        UnshareFlags::NEWUSER.union(UnshareFlags::NEWIPC);
}

/// A command's side.
#[derive(Debug)]
pub(super) struct Front(OwnedFd);

impl Front {
    /// That of the shelf of `holder`, which runs this very program.
    pub(super) fn of(holder: &Handle) -> Option<Self> {
        let front = pidfd_getfd(holder, FRONT, PidfdGetfdFlags::empty());
        front.ok().map(Self)
    }

    /// Takes the set that lies there.
    pub(super) fn take(&self) -> Option<Spare> {
        Spare::new(wire::receive_with(&self.0, RecvFlags::DONTWAIT).ok()?)
    }

    /// Leaves mounts to the holder. If it has too much to do, they go with this command.
    pub(super) fn give_back(&self, mounts: &OwnedFd) {
        let _ = wire::send_with(&self.0, b"m", &[mounts.as_fd()], SendFlags::DONTWAIT);
    }
}

/// The holder's side.
#[derive(Debug)]
pub(super) struct Shelf {
    front: OwnedFd,
    back: OwnedFd,
    ids: IdMap,
}

impl Shelf {
    /// An empty one for containers of a user to whom `ids` are mapped, in a process that has nothing
    /// open yet. `None` where a container's ids are not always the same ones, or not those of the
    /// process that makes it: with a single id, and for root.
    pub(super) fn new(ids: IdMap) -> Option<Self> {
        if ids.is_single() || ids.is_of_root() {
            return None;
        }
        let (front, back) = wire::sockets(SocketType::SEQPACKET).ok()?;
        (front.as_raw_fd() == FRONT).then_some(Self { front, back, ids })
    }

    /// Puts a set there if there is none. If that fails, containers make their own and say why.
    pub(super) fn fill(&self) {
        if self.is_empty() {
            let _ = self.add();
        }
    }

    /// Readable when something was given back.
    pub(super) fn back(&self) -> BorrowedFd<'_> {
        self.back.as_fd()
    }

    /// Takes the mounts down that were given back: nobody else has them.
    pub(super) fn clear(&self) {
        while wire::receive_with(&self.back, RecvFlags::DONTWAIT)
            .is_ok_and(|given| !given.is_empty())
        {}
    }

    fn is_empty(&self) -> bool {
        let now = Timespec::default();
        poll(&mut [PollFd::new(&self.front, PollFlags::IN)], Some(&now)) == Ok(0)
    }

    fn add(&self) -> Result<(), Failure> {
        let (users, groups) = self.ids.nested(0, 0);
        let maker = holder::fork_with_ids(&users, &groups, || {
            let spare = make(&groups);
            i32::from(spare.and_then(|spare| self.put(&spare)).is_err())
        })?;
        let _ = rustix::io::retry_on_intr(|| waitpid(Some(maker), WaitOptions::empty()));
        Ok(())
    }

    /// In the process that made them.
    fn put(&self, spare: &Spare) -> Result<(), Failure> {
        let set = spare.descriptors();
        wire::send_with(&self.back, b"s", &set, SendFlags::empty())
            .context(|| "the shelf".to_owned())
    }
}

/// Makes a set, and leaves this process in it, which is in a new user namespace already.
fn make(groups: &[Extent]) -> Result<Spare, Failure> {
    let new = UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWNS;
    syscalls::unshare(new).context(|| "cannot make the namespaces".to_owned())?;
    // To bring it up takes the kernel as long as to make it.
    loopback::bring_up().context(|| "cannot set up a network".to_owned())?;
    let own = |kind: &str| {
        let path = format!("/proc/self/ns/{kind}");
        File::open(&path).map(OwnedFd::from).context(|| path)
    };
    Ok(Spare {
        ids: own("user")?,
        namespaces: [own("net")?, own("ipc")?],
        ahead: mount_ahead(groups)?,
    })
}

fn mount_ahead(groups: &[Extent]) -> Result<Ahead, Failure> {
    let what = || "cannot mount /dev and /sys".to_owned();
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).context(what)?;
    // Only what is attached somewhere takes other mounts. The root of this process stays below.
    let somewhere = mounts::open_host(Path::new("/")).context(what)?;
    let dev = devices::mount_at(&somewhere, groups)?;
    Ok(Ahead {
        dev: mounts::clone_mount(dev, true).context(what)?,
        sys: system::own_sysfs().context(what)?,
    })
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};

    use super::*;

    #[test]
    fn nothing_that_was_given_back_is_kept() {
        let (front, back) = wire::sockets(SocketType::SEQPACKET).unwrap();
        let shelf = Shelf {
            front: front.try_clone().unwrap(),
            back,
            ids: IdMap::of_process(std::process::id().cast_signed()).unwrap(),
        };
        let front = Front(front);
        let ends: Vec<_> = (0..3).map(|_| std::io::pipe().unwrap()).collect();
        let readers: Vec<_> = ends
            .into_iter()
            .map(|(reader, writer)| {
                front.give_back(&writer.into());
                reader
            })
            .collect();
        for reader in &readers {
            rustix::io::ioctl_fionbio(reader, true).unwrap();
        }
        let read = |mut reader: &std::io::PipeReader| reader.read(&mut [0]).map_err(|e| e.kind());
        assert_eq!(read(&readers[0]), Err(ErrorKind::WouldBlock));
        shelf.clear();
        shelf.clear();
        assert!(readers.iter().all(|reader| read(reader) == Ok(0)));
        assert!(shelf.is_empty() && front.take().is_none());
    }
}
