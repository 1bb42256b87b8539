//! Waiting for a while. tokio has timers of its own, but with them each turn of the runtime reads
//! the clock twice and searches a timing wheel, which is a tenth of what a request costs. A worker
//! needs three timers that fire once a second at most, so the kernel keeps them (`timerfd`).
//!
//! They are opened at the start, because one of them is needed when descriptors have run out.

use std::io;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::net::unix::pipe::Receiver;

/// A timer of the runtime that it was made in.
///
/// To tokio it is the reading end of a pipe: its type for any descriptor cannot be made without
/// `unsafe`, and a pipe, which is waited for and read, is all that a timer is.
#[derive(Debug)]
pub struct Timer(Receiver);

impl Timer {
    /// Opens a timer.
    pub fn new() -> io::Result<Timer> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        Receiver::from_owned_fd_unchecked(timer).map(Timer)
    }

    /// Waits for `time`. An error of the timer, which would be one of this program, ends the wait.
    pub async fn sleep(&mut self, time: Duration) {
        if self.arm(time).is_err() {
            return;
        }
        while self.0.readable().await.is_ok() {
            match self.0.try_read(&mut [0; 8]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    }

    /// Lets the timer become readable once, after `time`.
    fn arm(&self, time: Duration) -> io::Result<()> {
        // Zero would disarm the timer.
        let time = time.max(Duration::from_nanos(1));
        let setting = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec::try_from(time).map_err(io::Error::other)?,
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &setting)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use tokio::runtime::Builder;

    #[test]
    fn a_timer_can_be_used_again_and_is_never_early() {
        let runtime = Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let mut timer = Timer::new().unwrap();
            for millis in [20, 1, 30] {
                let (time, start) = (Duration::from_millis(millis), Instant::now());
                timer.sleep(time).await;
                assert!(start.elapsed() >= time);
            }
        });
    }
}
