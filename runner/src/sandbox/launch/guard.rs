//! The process that guards a container, from its caller's side.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{Shutdown, shutdown};
use rustix::process::{Pid, WaitOptions, waitpid};

/// The process that guards a container, or its keepers. When this value is dropped, they have killed
/// the container and have ended.
#[derive(Debug)]
pub struct Guard {
    /// `None` when that process has made keepers and has ended.
    pub(super) pid: Option<Pid>,
    pub(super) control: OwnedFd,
    /// Whether there are processes that have the other end of `control` for as long as the container
    /// has any.
    pub(super) has_keepers: bool,
}

/// How long keepers may take for that. One that waits for a disk is not waited for.
const KEEPERS_PATIENCE: Duration = Duration::from_secs(5);

impl Drop for Guard {
    fn drop(&mut self) {
        self.release();
        self.reap();
        if !self.has_keepers {
            return;
        }
        // The other end is closed when the last of those that have it has ended.
        let _ = set_socket_timeout(&self.control, Timeout::Recv, Some(KEEPERS_PATIENCE));
        let _ = rustix::io::retry_on_intr(|| rustix::io::read(&self.control, &mut [0; 1]));
    }
}

impl Guard {
    /// Lets keepers be the guards of a container that has them.
    pub(super) fn leave_it_to_keepers(&mut self) {
        if self.has_keepers {
            self.reap();
        }
    }

    fn reap(&mut self) {
        if let Some(pid) = self.pid.take() {
            reap(pid);
        }
    }

    /// The guard's process id; keepers need no help from outside.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        self.pid
    }

    /// Tells the guard to end, and does not wait for it.
    pub fn release(&mut self) {
        let _ = shutdown(&self.control, Shutdown::Write);
    }
}

pub(super) fn reap(pid: Pid) {
    let _ = rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
}
