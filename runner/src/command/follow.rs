//! The output of a container that another command has started, from now on; signals go on to it.

use std::os::fd::AsFd;
use std::time::Duration;

use super::{logs, wait};
use crate::container::Container;
use crate::monitor::relay;
use crate::sandbox;
use crate::sandbox::handle::Handle;

/// How long nothing is looked at while the container goes on.
const PAUSE: Duration = Duration::from_millis(50);

/// Shows what the container prints until it ends; its exit code.
///
/// # Errors
/// When its log can not be read.
pub(super) fn follow(container: &Container, process: &Handle) -> anyhow::Result<u8> {
    let signals = relay::catch_signals()?;
    let mut shown = logs::Shown::from_now(container)?;
    loop {
        while let Ok(Some(number)) = sandbox::next_signal(signals.as_fd()) {
            if !matches!(number, libc::SIGCHLD | libc::SIGWINCH) {
                let _ = process.signal(number);
            }
        }
        // Looked at before the log is: what is printed until then is in the log.
        let has_ended = process.wait(Some(Duration::ZERO));
        shown.print_new()?;
        if has_ended {
            return wait::wait(container, process);
        }
        process.wait(Some(PAUSE));
    }
}
