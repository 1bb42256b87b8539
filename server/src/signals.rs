//! The signals that tell the server to end, and the children of PID 1. The signals are blocked and
//! read from a descriptor (`signalfd`) instead of handled: then no thread is interrupted, the kernel
//! keeps each until it is read, and they arrive even if whoever started the server had blocked them.

use std::io;
use std::time::Duration;

use nix::sys::signal::{self, SigSet};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{WaitOptions, wait};

/// A signal that the server reacts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `SIGTERM` or `SIGINT`, with its number: stop.
    Stop(i32),
    /// `SIGCHLD`: a child, perhaps one that was orphaned to PID 1, has ended.
    Child,
}

/// The signals the server reacts to, which are kept by the kernel from now on.
#[derive(Debug)]
#[must_use = "blocked signals that nobody reads make a process that does not end"]
pub struct Blocked(SigSet);

/// Blocks the signals in this thread and every thread that it starts later: call it first.
///
/// A blocked signal stays pending even for PID 1, for which the kernel otherwise discards every
/// signal that has no handler; so none is lost between start and the first [`Signals::wait`].
pub fn block() -> io::Result<Blocked> {
    let set = SigSet::from_iter([
        signal::Signal::SIGTERM,
        signal::Signal::SIGINT,
        signal::Signal::SIGCHLD,
    ]);
    set.thread_block()?;
    Ok(Blocked(set))
}

impl Blocked {
    /// Opens the descriptor that the signals are read from. Apart from [`block`], because sockets
    /// that were handed in are to be adopted before anything is opened.
    pub fn open(self) -> io::Result<Signals> {
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Signals(SignalFd::with_flags(&self.0, flags)?))
    }
}

/// Where the signals arrive.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Waits for the next signal, or `None` when `limit` has passed or the wait was interrupted.
    pub fn wait(&self, limit: Option<Duration>) -> io::Result<Option<Signal>> {
        // A limit beyond the range of the kernel's seconds is for ever, more or less.
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], limit.as_ref()) {
            Ok(0) | Err(Errno::INTR) => return Ok(None),
            result => result?,
        };
        let signal = self
            .0
            .read_signal()?
            .map(|info| info.ssi_signo.cast_signed());
        Ok(signal.map(|number| match number {
            libc::SIGCHLD => Signal::Child,
            number => Signal::Stop(number),
        }))
    }
}

/// Collects every child that has ended, and says how many there were. For PID 1, which inherits
/// the orphans of its namespace and would otherwise keep them as zombies.
pub fn reap_children() -> usize {
    std::iter::from_fn(|| wait(WaitOptions::NOHANG).ok().flatten()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{Signal as Number, raise};
    use std::time::Instant;

    #[test]
    fn signals_that_came_before_anyone_waited_are_told_once_each() {
        let blocked = block().unwrap();
        for signal in [Number::SIGTERM, Number::SIGCHLD, Number::SIGINT] {
            raise(signal).unwrap();
        }
        let signals = blocked.open().unwrap();
        let told = std::iter::from_fn(|| signals.wait(Some(Duration::ZERO)).unwrap());
        let expected = [
            Signal::Stop(libc::SIGINT),
            Signal::Stop(libc::SIGTERM),
            Signal::Child,
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn without_a_signal_the_wait_takes_as_long_as_its_limit() {
        let signals = block().unwrap().open().unwrap();
        let (start, limit) = (Instant::now(), Duration::from_millis(20));
        assert_eq!(signals.wait(Some(limit)).unwrap(), None);
        assert!(start.elapsed() >= limit);
    }
}
