//! What the caller, the stage and the init say to each other.
//!
//! The caller sends one [`Request`] through the *control* socket, and after that the specification if it
//! asks for a container; it keeps its end open: when it closes, the caller has died. Answers come as one [`Status`] a packet through the *status* socket, whose
//! end of file means that the program has taken over (the descriptor is close-on-exec). What the
//! stage is to make, it is told at its start, before the request: a container's namespaces take time.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::failure::{Context, Failure};
use super::spec::{Join, Network};
use crate::human::one_line;

/// The number at which the stage finds the control socket.
pub(super) const CONTROL: i32 = 3;
/// The number at which the stage finds the status socket.
pub(super) const STATUS: i32 = 4;
/// The number of the first descriptor that not every stage is given. What they are is said by words in
/// the arguments, in the same order.
pub(super) const FIRST_GIVEN: i32 = 5;
/// The longest packet on the status socket: one line of an error, which has at most 4,096 characters.
const PACKET: usize = 64 * 1024;

/// The longest request: arguments and environment are at most 6 MiB (execve(2)), and become up
/// to six times as long in JSON.
const REQUEST: usize = 64 << 20;

/// What a stage is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Make a container, whose [`Spec`](super::spec::Spec) comes next: the stage passes it on as it is.
    /// `mounts` descriptors for it come along, and then the guard's sockets.
    Launch {
        mounts: usize,
        /// `None` for a container that nobody guards.
        guard: Option<String>,
    },
    /// Run one more process in a container.
    Join(Box<Join>),
    /// Take the place of a guard that has died.
    Guard {
        pid: i32,
        start_time: u64,
        guard: String,
    },
}

/// What happened so far.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Status {
    /// The process exists.
    Started {
        /// Its pid outside.
        pid: i32,
        /// Whether it was born in its control group.
        placed: bool,
    },
    /// Something that it has to go without, in one line.
    Note(String),
    /// It has mounts of its own, which the caller keeps until it is done with the container; the descriptor
    /// of their namespace comes along.
    Mounts,
    /// Its terminal; the descriptor comes along.
    Terminal,
    /// Some of its system calls are decided by another process; the descriptor for that comes along.
    /// It waits for the word to go on.
    Listener,
    /// Its namespaces and mounts are there. It waits for the word to go on.
    Paused,
    /// It is set up. It waits for the word to go on.
    Ready,
    /// It outlives its caller from now on, and waits at its gate.
    Free,
    /// It could not be started.
    Failed(Failure),
}

impl Status {
    /// A failure in a form that always fits: a name in it may be very long.
    pub(super) fn failed(failure: Failure) -> Self {
        Self::Failed(Failure {
            message: one_line(&failure.message),
            ..failure
        })
    }
}

/// What a stage is started for: to make a container with a network of its own.
pub(super) const OWN_NETWORK: &str = "container";
/// To make a container with the host's network.
pub(super) const HOST_NETWORK: &str = "container-in-host-network";
/// For anything else.
pub(super) const OTHER_TASK: &str = "other";

/// The control group in which the process that the stage makes is born.
pub(super) const GIVEN_CGROUP: &str = "cgroup";
/// What was made of the container ahead: so many descriptors as that has.
pub(super) const GIVEN_SPARE: &str = "spare";

/// The task of making a container that is connected so.
pub(super) fn task_of(network: Network) -> &'static str {
    match network {
        Network::Host => HOST_NETWORK,
        Network::Private | Network::None => OWN_NETWORK,
    }
}

/// Two sockets that are connected with each other.
pub(super) fn sockets(kind: SocketType) -> Result<(OwnedFd, OwnedFd), Failure> {
    socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
        .context(|| "cannot make a pair of sockets".to_owned())
}

/// How many descriptors go with one byte; the kernel takes 253 (`SCM_MAX_FD`).
const BATCH: usize = 128;

/// Sends `value` with `descriptors` through a stream socket.
pub(super) fn send(
    socket: &OwnedFd,
    value: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), Failure> {
    let text = serde_json::to_vec(value).map_err(|error| Failure::engine(error.to_string()))?;
    send_text(socket, &text, descriptors)
}

/// Sends what [`receive_text`] has received, or what would be sent for a value.
pub(super) fn send_text(
    socket: &OwnedFd,
    text: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), Failure> {
    let send = || -> io::Result<()> {
        let mut head = Vec::with_capacity(8 + text.len());
        for length in [text.len(), descriptors.len()] {
            let length = u32::try_from(length).map_err(io::Error::other)?;
            head.extend(length.to_ne_bytes());
        }
        if descriptors.is_empty() {
            head.extend(text);
            return write_all(socket, &head);
        }
        write_all(socket, &head)?;
        for batch in descriptors.chunks(BATCH) {
            send_with(socket, b"d", batch, SendFlags::empty())?;
        }
        write_all(socket, text)
    };
    send().context(|| "cannot reach the process that sets up the container".to_owned())
}

/// Sends `words` with at most [`BATCH`] descriptors.
pub(super) fn send_with(
    socket: impl AsFd,
    words: &[u8],
    descriptors: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let words = [io::IoSlice::new(words)];
    let flags = flags | SendFlags::NOSIGNAL;
    sendmsg(socket, &words, &mut ancillary, flags).map(drop)
}

/// Receives the descriptors that came with one byte; none at the end of all.
pub(super) fn receive_with(
    socket: impl AsFd,
    flags: RecvFlags,
) -> rustix::io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let slices = &mut [io::IoSliceMut::new(&mut byte)];
    recvmsg(
        socket,
        slices,
        &mut ancillary,
        flags | RecvFlags::CMSG_CLOEXEC,
    )?;
    let rights = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(some) => Some(some),
        _ => None,
    });
    Ok(rights.flatten().collect())
}

fn write_all(socket: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let flags = SendFlags::NOSIGNAL;
        let count = rustix::io::retry_on_intr(|| rustix::net::send(socket, bytes, flags))?;
        bytes = &bytes[count..];
    }
    Ok(())
}

fn read_exact(socket: &OwnedFd, mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::retry_on_intr(|| rustix::io::read(socket, &mut *bytes))? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes = &mut bytes[count..],
        }
    }
    Ok(())
}

/// Receives what [`send`] sent.
pub(super) fn receive<T: DeserializeOwned>(socket: &OwnedFd) -> Result<(T, Vec<OwnedFd>), Failure> {
    let (text, descriptors) = receive_text(socket)?;
    Ok((parse(&text)?, descriptors))
}

/// The value of such a text.
pub(super) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Failure> {
    let value = serde_json::from_slice(text).map_err(io::Error::other);
    value.context(|| "cannot read what to set up".to_owned())
}

/// Receives a value as it was sent.
pub(super) fn receive_text(socket: &OwnedFd) -> Result<(Vec<u8>, Vec<OwnedFd>), Failure> {
    let receive = || -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
        let mut lengths = [[0; 4]; 2];
        read_exact(socket, lengths.as_flattened_mut())?;
        let [length, count] = lengths.map(|length| u32::from_ne_bytes(length) as usize);
        if length > REQUEST {
            return Err(io::Error::other("the request is too long"));
        }
        let mut descriptors = Vec::new();
        while descriptors.len() < count {
            let some = receive_with(socket, RecvFlags::empty())?;
            if some.is_empty() {
                return Err(io::Error::other("a descriptor is missing"));
            }
            descriptors.extend(some);
        }
        let mut text = vec![0; length];
        read_exact(socket, &mut text)?;
        Ok((text, descriptors))
    };
    receive().context(|| "cannot read what to set up".to_owned())
}

/// Sends `status`, and a descriptor with it. A reader that is gone is no error: it has died, and
/// what it would have done with the answer is void.
pub(super) fn send_status(
    socket: BorrowedFd<'_>,
    status: &Status,
    descriptor: Option<BorrowedFd<'_>>,
) {
    let text = serde_json::to_vec(status).unwrap_or_default();
    let _ = send_with(socket, &text, descriptor.as_slice(), SendFlags::empty());
}

/// Sends the word to go on to a process that paused.
pub(super) fn send_go(socket: BorrowedFd<'_>) {
    let word = io::IoSlice::new(b"go");
    // Who has died meanwhile is found out by reading.
    let _ = sendmsg(
        socket,
        &[word],
        &mut SendAncillaryBuffer::default(),
        SendFlags::NOSIGNAL,
    );
}

/// Waits for the word to go on. A process whose caller has died ends.
pub(super) fn wait_for_go(socket: BorrowedFd<'_>) -> Result<(), Failure> {
    let mut buffer = [0; 2];
    match rustix::io::retry_on_intr(|| rustix::io::read(socket, &mut buffer)) {
        Ok(1..) => Ok(()),
        _ => std::process::exit(125),
    }
}

/// Whether there is something to read, or the end of it, before that time is over.
pub(super) fn is_heard_within(socket: BorrowedFd<'_>, limit: Duration) -> bool {
    let limit = Timespec::try_from(limit).ok();
    let mut set = [PollFd::new(&socket, PollFlags::IN)];
    // Interrupted is as good as heard: the reader waits for the rest.
    poll(&mut set, limit.as_ref()) != Ok(0)
}

/// Whether nobody can read what is sent any more.
pub(super) fn is_closed(socket: BorrowedFd<'_>) -> bool {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut set = [PollFd::new(&socket, PollFlags::empty())];
    let _ = poll(&mut set, Some(&now));
    set[0].revents().contains(PollFlags::HUP)
}

/// The next status with its descriptor, `None` when nobody can send one any more.
pub(super) fn receive_status(
    socket: impl AsFd,
) -> Result<Option<(Status, Option<OwnedFd>)>, Failure> {
    let receive = |buffer: &mut [u8], ancillary: &mut RecvAncillaryBuffer<'_>, flags| {
        let mut slices = [io::IoSliceMut::new(buffer)];
        match rustix::io::retry_on_intr(|| recvmsg(&socket, &mut slices, ancillary, flags)) {
            Ok(message) => Ok(message.bytes),
            Err(rustix::io::Errno::CONNRESET) => Ok(0),
            Err(error) => Err(error).context(|| "status socket".to_owned()),
        }
    };
    // How long it is first: most are short, and the longest takes sixteen pages of memory.
    let only_length = RecvFlags::PEEK | RecvFlags::TRUNC;
    let length = receive(&mut [], &mut RecvAncillaryBuffer::default(), only_length)?;
    let mut buffer = vec![0; length.min(PACKET)];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let length = receive(&mut buffer, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    if length == 0 {
        return Ok(None);
    }
    let descriptor = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let status = serde_json::from_slice(&buffer[..length])
        .map_err(|error| Failure::engine(format!("status socket: {error}")))?;
    Ok(Some((status, descriptor)))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_failure_with_a_very_long_name_in_it_arrives() {
        let (here, there) = sockets(SocketType::SEQPACKET).unwrap();
        let failure = Failure::not_found("\u{1f980}\n".repeat(100_000));
        send_status(here.as_fd(), &Status::failed(failure), None);
        let (status, _) = receive_status(&there).unwrap().unwrap();
        assert!(matches!(status, Status::Failed(failure) if failure.code == 127));
        assert!(!is_closed(there.as_fd()));
        drop(here);
        assert!(is_closed(there.as_fd()));
        assert!(receive_status(&there).unwrap().is_none());
    }
    #[test]
    fn more_descriptors_than_the_kernel_takes_at_once_arrive_in_order() {
        let (here, there) = sockets(SocketType::STREAM).unwrap();
        let pipes: Vec<_> = (0..300).map(|_| io::pipe().unwrap()).collect();
        let ends: Vec<_> = pipes.iter().map(|pipe| pipe.1.as_fd()).collect();
        send(&here, &"text", &ends).unwrap();
        let (text, received): (String, _) = receive(&there).unwrap();
        assert_eq!((text.as_str(), received.len()), ("text", 300));
        let mut last = File::from(received.into_iter().last().unwrap());
        last.write_all(b"x").unwrap();
        let mut byte = [0];
        (&pipes[299].0).read_exact(&mut byte).unwrap();
        drop(here);
        assert!(receive::<String>(&there).is_err());
    }
}
