//! Times of containers as people read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::human;

/// `2026-01-02T03:04:05.000000006Z` of nanoseconds since 1970.
pub(super) fn rfc3339(nanoseconds: u64) -> String {
    humantime::format_rfc3339_nanos(UNIX_EPOCH + Duration::from_nanos(nanoseconds)).to_string()
}

/// `5 minutes ago` of nanoseconds since 1970.
pub(super) fn ago(nanoseconds: u64) -> String {
    human::ago(UNIX_EPOCH + Duration::from_nanos(nanoseconds))
}

/// `5 minutes`: how long it is since then.
pub(super) fn since(nanoseconds: u64) -> String {
    let then = UNIX_EPOCH + Duration::from_nanos(nanoseconds);
    human::duration(SystemTime::now().duration_since(then).unwrap_or_default())
}
