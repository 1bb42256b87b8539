//! Waiting with a limit: nothing here sleeps for a fixed time and hopes.

use std::net::TcpListener;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const STEP: Duration = Duration::from_millis(5);

/// Looks until `attempt` gives a value, and returns nothing when `limit` has passed.
pub fn poll<T>(limit: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = attempt() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        sleep(STEP);
    }
}

/// Looks until `attempt` gives a value.
///
/// # Panics
/// When `limit` has passed; `what` says what was waited for.
pub fn until<T>(what: &str, limit: Duration, attempt: impl FnMut() -> Option<T>) -> T {
    poll(limit, attempt).unwrap_or_else(|| panic!("waited {limit:?} in vain for {what}"))
}

/// A TCP port that nothing uses at the moment, on IPv4 and IPv6.
///
/// # Panics
/// When the machine has no port left.
#[must_use]
pub fn free_port() -> u16 {
    for _ in 0..100 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        if TcpListener::bind(("0.0.0.0", port)).is_err() && TcpListener::bind(("::1", port)).is_ok()
        {
            return port;
        }
    }
    panic!("no port is free on both 127.0.0.1 and ::1");
}
