//! The gate: where a container that is set up waits for the word to start its program.
//!
//! It is a socket in the container's state folder, which the first process listens at. Who connects
//! lets it go on, and hears through the connection whether the program runs: its end of file says
//! that it does.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen,
    socket_with,
};

use super::failure::{Context, Failure};
use super::wire::{self, Status};

/// The socket's name in the state folder.
const NAME: &str = "gate";

/// Makes the gate of the container whose state is in `folder`.
///
/// # Errors
/// When the socket can not be made there.
pub fn make(folder: &Path) -> Result<OwnedFd, Failure> {
    let make = || -> io::Result<OwnedFd> {
        let socket = new_socket()?;
        with_address(folder, |address| bind(&socket, address))?;
        listen(&socket, 1)?;
        Ok(socket)
    };
    make().context(|| format!("cannot make {}", folder.join(NAME).display()))
}

/// Whether the container still waits behind its gate.
#[must_use]
pub fn is_there(folder: &Path) -> bool {
    folder.join(NAME).exists()
}

/// Lets the container whose state is in `folder` start its program, and waits until it runs. If some of
/// its system calls are decided by another process, `listener` takes the descriptor for that.
///
/// # Errors
/// Why the program could not be started.
pub fn open(
    folder: &Path,
    listener: &mut dyn FnMut(OwnedFd) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let connection = || -> io::Result<OwnedFd> {
        let socket = new_socket()?;
        with_address(folder, |address| connect(&socket, address))?;
        Ok(socket)
    };
    let connection =
        connection().context(|| "cannot start a container that does not wait".to_owned())?;
    let _ = std::fs::remove_file(folder.join(NAME));
    while let Some((status, descriptor)) = wire::receive_status(&connection)? {
        match (status, descriptor) {
            (Status::Failed(failure), _) => return Err(failure),
            (Status::Listener, Some(descriptor)) => {
                listener(descriptor)?;
                wire::send_go(connection.as_fd());
            }
            _ => {}
        }
    }
    Ok(())
}

/// The container's side: says that it is set up, waits until the caller has written that down, and
/// then for the word to start. What is returned is where to report to from now on.
pub(super) fn wait(gate: &OwnedFd, status: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
    wire::send_status(status, &Status::Ready, None);
    wire::wait_for_go(status)?;
    // It now outlives the caller.
    rustix::process::set_parent_process_death_signal(None).context(|| "prctl".to_owned())?;
    wire::send_status(status, &Status::Free, None);
    rustix::io::retry_on_intr(|| accept_with(gate, SocketFlags::CLOEXEC))
        .context(|| "cannot wait for the start".to_owned())
}

fn new_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags,
        None,
    )?)
}

/// Does `work` with the address of the socket, whose path may be longer than an address.
fn with_address(
    folder: &Path,
    work: impl FnOnce(&SocketAddrUnix) -> rustix::io::Result<()>,
) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty())?;
    let path = format!("/proc/self/fd/{}/{NAME}", folder.as_fd().as_raw_fd());
    Ok(work(&SocketAddrUnix::new(path)?)?)
}
