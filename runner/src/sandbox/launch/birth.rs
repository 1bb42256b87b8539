//! What a caller hears of a process in a container until it is the program.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::{Shutdown, shutdown};
use rustix::process::Pid;

use super::super::cgroup::Cgroup;
use super::super::failure::Failure;
use super::super::handle::ProcessId;
use super::super::wire::{self, Status};
use super::guard::reap;

/// Hears from a process in the container until it has become the program.
#[derive(Debug)]
pub(super) struct Birth {
    pub(super) status: OwnedFd,
    child: Option<Pid>,
    /// What it said before its parent said that it is there.
    early: VecDeque<Heard>,
    /// What it said that it has to go without.
    notes: Vec<String>,
}

/// A status with what came along.
type Heard = (Status, Option<OwnedFd>);

impl Drop for Birth {
    fn drop(&mut self) {
        let kill = |child| rustix::process::kill_process(child, rustix::process::Signal::KILL);
        let _ = self.child.map(kill);
        while let Ok(Some((status, _))) = wire::receive_status(&self.status) {
            if let Status::Started { pid, .. } = status {
                self.child = Pid::from_raw(pid);
                let _ = self.child.map(kill);
            }
        }
        if let Some(child) = self.child {
            reap(child);
        }
    }
}

/// A process that has become its program.
pub(super) struct Born {
    pub(super) process: ProcessId,
    pub(super) terminal: Option<OwnedFd>,
    pub(super) mounts: Option<OwnedFd>,
    pub(super) notes: Vec<String>,
}

/// A moment at which the caller may do something while the container waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Namespaces and mounts are there, and the host's files still are.
    Paused,
    /// All is set up but for the word to start.
    Ready,
    /// Some of its system calls are decided by another process.
    Listening,
}

/// What a caller does at such a moment, with the process and its terminal or what listens.
pub(super) type AtMoment<'a> =
    &'a mut dyn FnMut(Moment, ProcessId, Option<OwnedFd>) -> Result<(), Failure>;

impl Birth {
    /// Of a process that is not there yet, and will be heard through `status`.
    pub(super) fn heard_through(status: OwnedFd) -> Self {
        Self {
            status,
            child: None,
            early: VecDeque::new(),
            notes: Vec::new(),
        }
    }

    /// What happens next, in order: that the process is there comes first, although it may be faster than
    /// its parent, who says so.
    fn hear(&mut self) -> Result<Option<Heard>, Failure> {
        if self.child.is_some()
            && let Some(heard) = self.early.pop_front()
        {
            return Ok(Some(heard));
        }
        loop {
            match wire::receive_status(&self.status)? {
                heard @ (None | Some((Status::Started { .. } | Status::Failed(_), _))) => {
                    return Ok(heard);
                }
                Some(heard) if self.child.is_none() => self.early.push_back(heard),
                heard => return Ok(heard),
            }
        }
    }

    /// Waits until the process is there, and sees to it that it is in its control group. Whether it had
    /// to be moved there.
    pub(super) fn place(&mut self, group: &Cgroup) -> Result<bool, Failure> {
        match self.hear()? {
            Some((Status::Started { pid, placed }, _)) => {
                self.child = Pid::from_raw(pid);
                match self.child.filter(|_| !placed) {
                    Some(child) => group.add(child).map(|()| true),
                    None => Ok(false),
                }
            }
            Some((Status::Failed(failure), _)) => Err(failure),
            _ => Err(Failure::engine(
                "the process that makes the container has died",
            )),
        }
    }

    /// Waits until the program runs or could not be started.
    pub(super) fn wait(self) -> Result<Born, Failure> {
        self.wait_with(None, &mut |_, _, _| Ok(()))
    }

    /// The same, or until it is ready to be started by the word of somebody else; `at` is called on the way.
    ///
    /// The start of the program itself may be what another process decides about, and it may think for
    /// long. Who has `patience` takes the program for one that runs after that time, so that it can be
    /// stopped like one; what fails later is told by its exit code.
    pub(super) fn wait_with(
        mut self,
        patience: Option<Duration>,
        at: AtMoment<'_>,
    ) -> Result<Born, Failure> {
        let (mut terminal, mut mounts) = (None, None);
        let mut limit = None;
        loop {
            let is_late = |limit| !wire::is_heard_within(self.status.as_fd(), limit);
            if self.early.is_empty() && limit.is_some_and(is_late) {
                // Whatever it says later is heard by nobody.
                let _ = shutdown(&self.status, Shutdown::Read);
                break;
            }
            match self.hear()? {
                Some((Status::Started { pid, .. }, _)) => self.child = Pid::from_raw(pid),
                Some((Status::Terminal, descriptor)) => terminal = descriptor,
                Some((Status::Mounts, descriptor)) => mounts = descriptor,
                Some((Status::Note(note), _)) => self.notes.push(note),
                Some((Status::Listener, descriptor)) => {
                    at(Moment::Listening, self.process()?, descriptor)?;
                    wire::send_go(self.status.as_fd());
                    limit = patience;
                }
                Some((Status::Paused, _)) => {
                    at(Moment::Paused, self.process()?, None)?;
                    wire::send_go(self.status.as_fd());
                }
                Some((Status::Ready, _)) => {
                    at(Moment::Ready, self.process()?, terminal.take())?;
                    wire::send_go(self.status.as_fd());
                }
                Some((Status::Free, _)) => {
                    // From now on it speaks to whoever opens its gate.
                    let _ = shutdown(&self.status, Shutdown::Read);
                    break;
                }
                Some((Status::Failed(failure), _)) => return Err(failure),
                None => break,
            }
        }
        let process = self.process()?;
        self.child = None;
        let notes = std::mem::take(&mut self.notes);
        Ok(Born {
            process,
            terminal,
            mounts,
            notes,
        })
    }

    fn process(&self) -> Result<ProcessId, Failure> {
        match self.child.map(ProcessId::of) {
            Some(Ok(process)) => Ok(process),
            _ => Err(Failure::engine(
                "the process that sets up the container has died",
            )),
        }
    }
}
