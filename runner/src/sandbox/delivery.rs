//! Handing a descriptor to whoever listens at a socket that has a path: a terminal, or what decides
//! about system calls.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
};

use super::wire;

/// How long whoever listens may take: a container waits meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends `descriptor` and `words` to the socket at `path`.
///
/// # Errors
/// When nobody listens there, or nobody takes it within ten seconds.
pub fn send(path: &Path, words: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let socket: OwnedFd = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
    connect(&socket, &SocketAddrUnix::new(path)?).map_err(in_time)?;
    wire::send_with(&socket, words, &[descriptor], SendFlags::empty()).map_err(in_time)?;
    Ok(())
}

/// The kernel's word for a time limit of a socket says little (unix(7), socket(7)).
fn in_time(error: Errno) -> io::Error {
    match error {
        Errno::AGAIN => io::ErrorKind::TimedOut.into(),
        other => other.into(),
    }
}
