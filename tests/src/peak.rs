//! The memory that a command takes.

use std::fs;
use std::time::{Duration, Instant};

use crate::Run;

/// Longer than anything takes.
const LIMIT: Duration = Duration::from_secs(900);

/// The bytes of memory that a command has at most. The kernel keeps the highest mark, so whoever looks
/// every few milliseconds misses no more than the last of them.
///
/// # Panics
/// When the command fails.
#[must_use]
pub fn of(run: Run) -> f64 {
    let running = run.limit(LIMIT).spawn();
    let status = format!("/proc/{}/status", running.pid());
    let (mut most, start) = (0, Instant::now());
    while start.elapsed() < LIMIT {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let Some(mark) = mark.and_then(|mark| mark.split_whitespace().next()) else {
            break;
        };
        most = mark.parse::<u32>().expect("a number of kB").max(most);
        std::thread::sleep(Duration::from_millis(5));
    }
    let outcome = running.finish();
    assert_eq!(outcome.code, 0, "{outcome}");
    f64::from(most) * 1024.0
}
