//! Namespaces made ahead: a container's own user namespace with its ids mapped, and a network that
//! belongs to it. The kernel takes a millisecond for the two, so the holder makes them while nobody
//! waits, and keeps one pair on its [`Shelf`]. Nobody has ever been in them but the process that made
//! them and is gone, and nothing in them comes from whoever takes them.
//!
//! The shelf is a pair of sockets: what the holder sent into the one, and nobody has received from
//! the other, is what lies there. A command copies that other end (pidfd_getfd(2), Linux 5.6) and
//! receives: without a word to the holder, and no two commands get the same pair.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketType, recvmsg, sendmsg,
};
use rustix::process::{
    DumpableBehavior, PidfdGetfdFlags, WaitOptions, pidfd_getfd, set_dumpable_behavior, waitpid,
};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::super::failure::{Context, Failure};
use super::super::handle::Handle;
use super::super::init::loopback;
use super::super::{syscalls, wire};
use super::holder;
use super::map::IdMap;

/// Where the holder has the end of its shelf from which pairs are taken: the first number that is
/// free in a process that was started with none but standard input, output and error.
const FRONT: i32 = 3;

/// A user namespace and a network that belongs to it, both unused.
#[derive(Debug)]
pub(in crate::sandbox) struct Spare {
    pub(in crate::sandbox) ids: OwnedFd,
    pub(in crate::sandbox) network: OwnedFd,
}

impl Spare {
    /// Takes the one that lies on the shelf of `holder`, which runs this very program.
    pub(super) fn take(holder: &Handle) -> Option<Self> {
        let front = pidfd_getfd(holder, FRONT, PidfdGetfdFlags::empty()).ok()?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let slices = &mut [io::IoSliceMut::new(&mut byte)];
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        recvmsg(&front, slices, &mut ancillary, flags).ok()?;
        let mut descriptors = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })?;
        let (ids, network) = (descriptors.next()?, descriptors.next()?);
        Some(Self { ids, network })
    }

    /// Moves this process into both, for good.
    pub(in crate::sandbox) fn enter(&self) -> Result<(), Failure> {
        let what = || "cannot enter the container's network".to_owned();
        super::enter(self.ids.as_fd())?;
        // Other capabilities made the process readable again.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).context(what)?;
        move_into_link_name_space(self.network.as_fd(), Some(LinkNameSpaceType::Network))
            .context(what)
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

    /// Puts a pair there if there is none. If that fails, containers make their own and say why.
    pub(super) fn fill(&self) {
        if self.is_empty() {
            let _ = self.add();
        }
    }

    fn is_empty(&self) -> bool {
        let now = Timespec::default();
        poll(&mut [PollFd::new(&self.front, PollFlags::IN)], Some(&now)) == Ok(0)
    }

    fn add(&self) -> Result<(), Failure> {
        let (users, groups) = self.ids.nested(0, 0);
        let maker = holder::fork_with_ids(&users, &groups, || {
            let made = make_network().and_then(|()| self.send_own());
            i32::from(made.is_err())
        })?;
        let _ = rustix::io::retry_on_intr(|| waitpid(Some(maker), WaitOptions::empty()));
        Ok(())
    }

    /// In the process that made them.
    fn send_own(&self) -> Result<(), Failure> {
        let open = |kind: &str| {
            let path = format!("/proc/self/ns/{kind}");
            File::open(&path).context(|| path)
        };
        let (ids, network) = (open("user")?, open("net")?);
        let descriptors = [ids.as_fd(), network.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        let byte = [io::IoSlice::new(b"s")];
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        sendmsg(&self.back, &byte, &mut ancillary, flags).context(|| "the shelf".to_owned())?;
        Ok(())
    }
}

/// A network whose loopback is up already, which takes the kernel as long as to make it.
fn make_network() -> Result<(), Failure> {
    let what = || "cannot make a network".to_owned();
    syscalls::unshare(UnshareFlags::NEWNET).context(what)?;
    loopback::bring_up().context(what)
}
