//! Handing a descriptor to whoever listens at a socket: a terminal at the console socket, a seccomp
//! listener at its own.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, sendmsg, socket_with,
};

/// What goes with a terminal: the name of the file, as runc sends it.
pub(super) const TERMINAL: &[u8] = b"/dev/ptmx";

/// Sends `descriptor` and `words` to the socket at `path`.
///
/// # Errors
/// When nobody listens there.
pub(super) fn send(path: &Path, words: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let socket: OwnedFd = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    let words = [io::IoSlice::new(words)];
    sendmsg(socket.as_fd(), &words, &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}
