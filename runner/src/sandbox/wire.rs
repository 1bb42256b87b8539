//! What the caller, the stage and the init say to each other.
//!
//! The caller sends one [`Request`] through the *control* socket and keeps its end open: when it closes,
//! the caller has died. Answers come as one [`Status`] a packet through the *status* socket, whose
//! end of file means that the program has taken over (the descriptor is close-on-exec).

use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use super::failure::{Context, Failure};
use super::spec::{Join, Spec};
use crate::human::one_line;

/// The number at which the stage finds the control socket.
pub(super) const CONTROL: i32 = 3;
/// The number at which the stage finds the status socket.
pub(super) const STATUS: i32 = 4;
/// The first number at which it finds what the request came with.
pub(super) const EXTRA: i32 = 5;

/// The longest packet on the status socket: one line of an error, which has at most 4,096 characters.
const PACKET: usize = 64 * 1024;

/// The longest request: arguments and environment are at most 6 MiB (execve(2)), and become up
/// to six times as long in JSON.
const REQUEST: usize = 64 << 20;

/// What a stage is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Make a container; `mounts` prepared mounts and then `sockets` sockets come along.
    Launch {
        spec: Box<Spec>,
        mounts: usize,
        sockets: usize,
        guard: String,
    },
    /// Run one more process in a container.
    Join(Box<Join>),
    /// Take the place of a guard that has died.
    Guard {
        pid: i32,
        start_time: u64,
        sockets: usize,
        guard: String,
    },
}

/// What happened so far.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Status {
    /// The process exists, with this pid outside.
    Started(i32),
    /// Its terminal; the descriptor comes along.
    Terminal,
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

pub(super) fn send_request(control: &OwnedFd, request: &Request) -> Result<(), Failure> {
    let text = serde_json::to_vec(request).map_err(|error| Failure::engine(error.to_string()))?;
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let mut socket = File::from(
        control
            .try_clone()
            .context(|| "control socket".to_owned())?,
    );
    socket
        .write_all(&length.to_ne_bytes())
        .and_then(|()| socket.write_all(&text))
        .context(|| "cannot reach the process that sets up the container".to_owned())
}

pub(super) fn read_request(control: &OwnedFd) -> Result<Request, Failure> {
    let read = || -> io::Result<Request> {
        let mut socket = File::from(control.try_clone()?);
        let mut length = [0; 4];
        socket.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_ne_bytes(length)).unwrap_or(usize::MAX);
        if length > REQUEST {
            return Err(io::Error::other("the request is too long"));
        }
        let mut text = vec![0; length];
        socket.read_exact(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    };
    read().context(|| "cannot read what to set up".to_owned())
}

/// Sends `status`, and a descriptor with it. A reader that is gone is no error: it has died, and
/// what it would have done with the answer is void.
pub(super) fn send_status(
    socket: BorrowedFd<'_>,
    status: &Status,
    descriptor: Option<BorrowedFd<'_>>,
) {
    let text = serde_json::to_vec(status).unwrap_or_default();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.as_slice();
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let text = io::IoSlice::new(&text);
    let _ = sendmsg(socket, &[text], &mut ancillary, SendFlags::NOSIGNAL);
}

/// The next status with its descriptor, `None` when nobody can send one any more.
pub(super) fn receive_status(
    socket: impl AsFd,
) -> Result<Option<(Status, Option<OwnedFd>)>, Failure> {
    let mut buffer = vec![0; PACKET];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [io::IoSliceMut::new(&mut buffer)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received =
        rustix::io::retry_on_intr(|| recvmsg(&socket, &mut slices, &mut ancillary, flags));
    let length = match received {
        Ok(message) => message.bytes,
        Err(rustix::io::Errno::CONNRESET) => 0,
        Err(error) => return Err(error).context(|| "status socket".to_owned()),
    };
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
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    #[test]
    fn a_failure_with_a_very_long_name_in_it_arrives() {
        let (here, there) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let failure = Failure::not_found("\u{1f980}\n".repeat(100_000));
        send_status(here.as_fd(), &Status::failed(failure), None);
        let (status, _) = receive_status(&there).unwrap().unwrap();
        assert!(matches!(status, Status::Failed(failure) if failure.code == 127));
        drop(here);
        assert!(receive_status(&there).unwrap().is_none());
    }
}
