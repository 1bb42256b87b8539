//! Handing a terminal to whoever listens at a console socket.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, sendmsg, socket_with,
};

/// What goes with the descriptor: the name of the file, as runc sends it.
const NAME: &[u8] = b"/dev/ptmx";

/// Sends `terminal` to the socket at `path`.
///
/// # Errors
/// When nobody listens there.
pub(super) fn send(path: &Path, terminal: BorrowedFd<'_>) -> io::Result<()> {
    let socket: OwnedFd = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [terminal];
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    let name = [io::IoSlice::new(NAME)];
    sendmsg(socket.as_fd(), &name, &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}
