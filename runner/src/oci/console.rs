//! Handing the terminal of a process to whoever listens at its console socket.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use crate::sandbox::delivery;

/// What goes with a terminal: the name of the file, as runc sends it.
const TERMINAL: &[u8] = b"/dev/ptmx";

/// Sends the terminal `master` to the socket at `path`.
///
/// # Errors
/// When nobody listens there.
pub(super) fn send(path: &Path, master: BorrowedFd<'_>) -> io::Result<()> {
    delivery::send(path, TERMINAL, master)
}
