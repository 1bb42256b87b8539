//! Waiting for a while. tokio has timers of its own, but with them each turn of the runtime reads
//! the clock twice and searches a timing wheel, which is a tenth of what a request costs. A worker
//! needs three timers that fire once a second at most, so the kernel keeps them (`timerfd`).
//!
//! They are opened at the start, because one of them is needed when descriptors have run out.

use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use tokio::io::unix::AsyncFd;

use crate::sys;

/// A timer of the runtime that it was made in.
#[derive(Debug)]
pub struct Timer(AsyncFd<File>);

impl Timer {
    /// Opens a timer.
    pub fn new() -> io::Result<Timer> {
        sys::open_timer().map(Timer)
    }

    /// Waits for `time`. An error of the timer, which would be one of this program, ends the wait.
    pub async fn sleep(&mut self, time: Duration) {
        if sys::arm_timer(self.0.get_ref(), time).is_err() {
            return;
        }
        loop {
            let Ok(mut fired) = self.0.readable_mut().await else {
                return;
            };
            if fired
                .try_io(|file| file.get_mut().read(&mut [0; 8]))
                .is_ok()
            {
                return;
            }
        }
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
